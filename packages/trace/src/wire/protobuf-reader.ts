/**
 * Protocol buffers, read: a cursor over bytes that makes no objects.
 *
 *     const message = new ProtoReader();
 *     message.over(bytes, from, to);
 *     while (message.next())
 *       if (message.field === 8) ts = message.number();
 *       else if (message.field === 2) name = message.text();
 *
 * It never looks past `to`, whatever lengths say; fields nobody asks for, groups included, are stepped over.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { WireType } from "./protobuf.ts";

const TWO_32 = 2 ** 32;
const MAX_FIELD = 2 ** 29 - 1;
const MAX_GROUP_DEPTH = 64;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const doubleBits = new DataView(new ArrayBuffer(8));

/** The bytes are no protobuf message: where, and why. */
export class ProtoError extends Error {
  override readonly name = "ProtoError";
  /** Index in the bytes given to `over`. */
  readonly at: number;
  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

export class ProtoReader {
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the next field starts. */
  at = 0;
  end = 0;
  /** Of the current field. */
  field = 0;
  wire = 0;
  /** Numbers: unsigned 32-bit halves. */
  low = 0;
  high = 0;
  /** Length-delimited fields: where the content is. */
  start = 0;
  stop = 0;

  over(bytes: Uint8Array, from: number, to: number): this {
    this.bytes = bytes;
    this.at = from;
    this.end = to;
    return this;
  }

  /** Over the content of `outer`'s current field. @throws ProtoError when that is no message */
  into(outer: ProtoReader): this {
    if (outer.wire !== WireType.len)
      throw new ProtoError(
        outer.at,
        `field ${outer.field} is no message (wire type ${outer.wire})`,
      );
    return this.over(outer.bytes, outer.start, outer.stop);
  }

  /** Steps to the next field. @returns false at the end. @throws ProtoError */
  next(): boolean {
    if (this.at >= this.end) return false;
    this.step();
    while (this.wire === WireType.groupStart) {
      this.skipGroup(this.field);
      if (this.at >= this.end) return false;
      this.step();
    }
    if (this.wire === WireType.groupEnd)
      throw new ProtoError(this.at, `field ${this.field} ends a group that never began`);
    return true;
  }

  private step(): void {
    const { bytes } = this;
    const first = bytes[this.at]!;
    if (first < 128) {
      this.at++;
      this.field = first >> 3;
      this.wire = first & 7;
    } else {
      const from = this.at;
      this.varint();
      const tag = this.high * TWO_32 + this.low;
      this.field = Math.floor(tag / 8);
      this.wire = this.low & 7;
      if (this.field > MAX_FIELD) throw new ProtoError(from, "field number over 2^29");
    }
    if (this.field === 0) throw new ProtoError(this.at - 1, "field number 0");
    switch (this.wire) {
      case WireType.varint:
        this.varint();
        return;
      case WireType.len: {
        this.varint();
        const size = this.high * TWO_32 + this.low;
        if (size > this.end - this.at)
          throw new ProtoError(
            this.at,
            `field ${this.field} claims ${size} bytes, ${this.end - this.at} are left`,
          );
        this.start = this.at;
        this.at += size;
        this.stop = this.at;
        return;
      }
      case WireType.fixed64:
        this.need(8);
        this.low = this.word(this.at);
        this.high = this.word(this.at + 4);
        this.at += 8;
        return;
      case WireType.fixed32:
        this.need(4);
        this.low = this.word(this.at);
        this.high = 0;
        this.at += 4;
        return;
      case WireType.groupStart:
      case WireType.groupEnd:
        return;
      default:
        throw new ProtoError(this.at - 1, `field ${this.field} has wire type ${this.wire}`);
    }
  }

  private skipGroup(field: number): void {
    const open = [field];
    while (open.length > 0) {
      if (this.at >= this.end) throw new ProtoError(this.at, `group ${field} does not end`);
      this.step();
      if (this.wire === WireType.groupStart) {
        if (open.length >= MAX_GROUP_DEPTH) throw new ProtoError(this.at, "groups nest too deep");
        open.push(this.field);
      } else if (this.wire === WireType.groupEnd) {
        const begun = open.pop();
        if (begun !== this.field)
          throw new ProtoError(this.at, `group ${begun} is ended by ${this.field}`);
      }
    }
  }

  /** Reads the varint at `at` into low and high. */
  private varint(): void {
    const { bytes, end } = this;
    let at = this.at;
    if (at < end) {
      const first = bytes[at]!;
      if (first < 128) {
        this.at = at + 1;
        this.low = first;
        this.high = 0;
        return;
      }
    }
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw new ProtoError(at, "a number is cut off");
      const byte = bytes[at++]!;
      const bits = byte & 127;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 128) {
        this.at = at;
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw new ProtoError(at, "a number of more than ten bytes");
  }

  private need(count: number): void {
    if (this.end - this.at < count) throw new ProtoError(this.at, "a number is cut off");
  }
  private word(at: number): number {
    const { bytes } = this;
    return (
      (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
    );
  }

  /** Unsigned; exact up to 2^53. 0 for a field that is no number. */
  number(): number {
    if (this.wire === WireType.len) return 0;
    // Small numbers stay integers to the engine: map lookups by them are several times faster.
    return this.high === 0 ? this.low : this.high * TWO_32 + this.low;
  }
  /** int64 as a number; exact within ±2^53. */
  signed(): number {
    return this.wire === WireType.len ? 0 : (this.high | 0) * TWO_32 + this.low;
  }
  int32(): number {
    return this.wire === WireType.len ? 0 : this.low | 0;
  }
  bool(): boolean {
    return this.wire !== WireType.len && (this.low | this.high) !== 0;
  }
  /** 64 bits, unsigned. */
  unsigned(): bigint {
    return this.wire === WireType.len ? 0n : (BigInt(this.high) << 32n) | BigInt(this.low);
  }
  /** int64: a number where that is exact, else a bigint. */
  integer(): number | bigint {
    const value = this.signed();
    return Number.isSafeInteger(value) ? value : BigInt.asIntN(64, this.unsigned());
  }
  /** uint64: a number where that is exact, else a bigint. */
  natural(): number | bigint {
    const value = this.number();
    return Number.isSafeInteger(value) ? value : this.unsigned();
  }
  /** NaN for a field that is no fixed64. */
  double(): number {
    if (this.wire !== WireType.fixed64) return NaN;
    doubleBits.setUint32(0, this.low, true);
    doubleBits.setUint32(4, this.high, true);
    return doubleBits.getFloat64(0, true);
  }
  /** UTF-8; what is not becomes U+FFFD. "" for a field that is no text. */
  text(): string {
    if (this.wire !== WireType.len) return "";
    const { bytes, start, stop } = this;
    if (stop - start <= 32) {
      let text = "";
      let at = start;
      for (; at < stop; at++) {
        const byte = bytes[at]!;
        if (byte > 127) break;
        text += String.fromCharCode(byte);
      }
      if (at === stop) return text;
    }
    return decoder.decode(bytes.subarray(start, stop));
  }
  /** A view of the content; it belongs to whoever owns the bytes. */
  blob(): Uint8Array {
    return this.wire === WireType.len
      ? this.bytes.subarray(this.start, this.stop)
      : new Uint8Array(0);
  }
}

/** The numbers of a packed field: `numbers.over(bytes, start, stop); while (numbers.next()) use(numbers.number())`. */
export class PackedReader {
  private readonly cursor = new ProtoReader();
  private at = 0;
  private end = 0;
  low = 0;
  high = 0;

  /** Over bytes of varints. */
  over(bytes: Uint8Array, from: number, to: number): this {
    this.cursor.bytes = bytes;
    this.at = from;
    this.end = to;
    return this;
  }
  get done(): boolean {
    return this.at >= this.end;
  }
  /** @throws ProtoError when a number is cut off */
  next(): boolean {
    if (this.at >= this.end) return false;
    const { bytes } = this.cursor;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= this.end) throw new ProtoError(this.at, "a packed number is cut off");
      const byte = bytes[this.at++]!;
      const bits = byte & 127;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 128) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return true;
      }
    }
    throw new ProtoError(this.at, "a packed number of more than ten bytes");
  }
  number(): number {
    return this.high * TWO_32 + this.low;
  }
  int32(): number {
    return this.low | 0;
  }
}
