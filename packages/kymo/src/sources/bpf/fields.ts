/** Numbers in a record: for each field one small function that knows its place, so that nothing is decided per event. */
import type { Field } from "../../bpf/site.ts";
import type { RecordBytes } from "../../linux/perf-ring.ts";

/** Reads something of the record that starts at byte `at`, a multiple of 8. */
export type Read<T> = (bytes: RecordBytes, at: number) => T;

interface Place {
  readonly offset: number;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly signed: boolean;
}

/** @throws RangeError for a field that holds no number: the compiler promised one. */
function placeOf(field: Field): Place {
  switch (field.type) {
    case "int":
    case "uint":
    case "bool":
      return { offset: field.offset, bytes: field.bytes, signed: field.type === "int" };
    case "name":
      return { offset: field.offset, bytes: field.bytes, signed: field.of !== "symbol" };
    default:
      throw new RangeError(`a field of type ${field.type} is not a number`);
  }
}

/** Of 64 bits, what lies beyond 2 ** 53 is rounded: for ids and places, not for values. */
export function readNumber(field: Field): Read<number> {
  const { offset, bytes, signed } = placeOf(field);
  const aligned = offset % bytes === 0;
  if (bytes === 1)
    return signed
      ? ({ u8 }, at) => (u8[at + offset]! << 24) >> 24
      : ({ u8 }, at) => u8[at + offset]!;
  if (bytes === 2 && aligned)
    return signed
      ? ({ u16 }, at) => (u16[(at + offset) >> 1]! << 16) >> 16
      : ({ u16 }, at) => u16[(at + offset) >> 1]!;
  if (bytes === 4 && aligned)
    return signed
      ? ({ i32 }, at) => i32[(at + offset) >> 2]!
      : ({ u32 }, at) => u32[(at + offset) >> 2]!;
  if (bytes === 8 && offset % 4 === 0)
    return signed
      ? ({ u32, i32 }, at) => i32[((at + offset) >> 2) + 1]! * 2 ** 32 + u32[(at + offset) >> 2]!
      : ({ u32 }, at) => u32[((at + offset) >> 2) + 1]! * 2 ** 32 + u32[(at + offset) >> 2]!;
  const big = readBig(field);
  return (record, at) => Number(big(record, at));
}

/** A number where it is exact, else a bigint. */
export function readExact(field: Field): Read<number | bigint> {
  const number = readNumber(field);
  if (placeOf(field).bytes < 8) return number;
  const big = readBig(field);
  return (bytes, at) => {
    const value = number(bytes, at);
    return Number.isSafeInteger(value) ? value : big(bytes, at);
  };
}

/** All 64 bits. Slow: for ids. */
export function readBig(field: Field): Read<bigint> {
  const { offset, bytes, signed } = placeOf(field);
  return ({ u8 }, at) => {
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(u8[at + offset + i]!);
    return signed ? BigInt.asIntN(8 * bytes, value) : value;
  };
}

/** A u64 time as ns since the origin. Over 32-bit halves: a BigInt costs 30 times as much. */
export function readTime(offset: number, originNs: bigint): Read<number> {
  const originHi = Number(originNs >> 32n);
  const originLo = Number(originNs & 0xffff_ffffn);
  if (offset % 4 !== 0) throw new RangeError(`a time at offset ${offset} is not aligned`);
  return ({ u32 }, at) => {
    const word = (at + offset) >> 2;
    return (u32[word + 1]! - originHi) * 2 ** 32 + (u32[word]! - originLo);
  };
}
