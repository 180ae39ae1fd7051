import fc from "fast-check";
import { expect, test } from "vitest";
import { ProtoWriter } from "./protobuf.ts";
import { PackedReader, ProtoError, ProtoReader } from "./protobuf-reader.ts";

function reader(bytes: Uint8Array): ProtoReader {
  return new ProtoReader().over(bytes, 0, bytes.length);
}
/** The plain version: seven bits at a time. */
function plainVarint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}
const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0n, max: 300n }),
);

test("numbers are written as the plain version writes them", () =>
  fc.assert(
    fc.property(u64, fc.maxSafeInteger(), (big, safe) => {
      const out = new ProtoWriter(1);
      out.varintBig(big);
      out.varint64(Number(big >> 32n), Number(big & 0xffff_ffffn));
      out.varintSigned(safe);
      if (safe >= 0) out.varint(safe);
      expect([...out.view()]).toEqual([
        ...plainVarint(big),
        ...plainVarint(big),
        ...plainVarint(BigInt(safe)),
        ...(safe >= 0 ? plainVarint(BigInt(safe)) : []),
      ]);
    }),
  ));

test("fields read back as written", () =>
  fc.assert(
    fc.property(
      u64,
      fc.maxSafeInteger(),
      fc.double(),
      fc.string({ unit: "grapheme" }),
      (big, safe, real, text) => {
        const out = new ProtoWriter(1);
        out.big(1, big);
        out.int(2, safe);
        out.double(3, real);
        out.string(4, text);
        out.fixed64(5, big);
        out.string(536870911, text);
        const message = reader(out.view());
        const next = () => expect(message.next()).toBe(true);
        next();
        expect(message.unsigned()).toBe(big);
        expect(BigInt(message.natural())).toBe(big);
        expect(BigInt(message.integer())).toBe(BigInt.asIntN(64, big));
        next();
        expect(message.signed()).toBe(safe);
        next();
        expect(message.double()).toBe(real);
        next();
        expect(message.text()).toBe(text);
        next();
        expect(message.unsigned()).toBe(big);
        next();
        expect([message.field, message.text()]).toEqual([536870911, text]);
        expect(message.next()).toBe(false);
      },
    ),
  ));

test("messages nest to any size, with the shortest lengths", () => {
  for (const size of [0, 1, 126, 127, 128, 16_383, 16_384, 3_000_000]) {
    const out = new ProtoWriter(1);
    const outer = out.open(1);
    const inner = out.open(2);
    out.raw(new Uint8Array(size).fill(7));
    out.close(inner);
    out.uint(3, 9);
    out.close(outer);
    out.uint(4, 1);
    const innerBytes = 1 + plainVarint(BigInt(size)).length + size;
    expect(out.length).toBe(1 + plainVarint(BigInt(innerBytes + 2)).length + innerBytes + 2 + 2);
    const message = reader(out.view());
    message.next();
    const nested = new ProtoReader().into(message);
    nested.next();
    expect([nested.field, nested.stop - nested.start]).toEqual([2, size]);
    nested.next();
    expect(nested.number()).toBe(9);
    expect(nested.next()).toBe(false);
    message.next();
    expect([message.field, message.number()]).toEqual([4, 1]);
  }
});

test("groups of unknown fields are stepped over", () => {
  const out = new ProtoWriter();
  out.tag(9, 3);
  out.string(1, "inside");
  out.tag(8, 3);
  out.tag(8, 4);
  out.tag(9, 4);
  out.uint(2, 5);
  const message = reader(out.view());
  expect(message.next()).toBe(true);
  expect([message.field, message.number()]).toEqual([2, 5]);
});

test.each([
  ["a length beyond the end", [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]],
  ["a length of 2^63", [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
  ["a number cut off", [0x08, 0x80]],
  ["a number of eleven bytes", [0x08, ...new Array<number>(10).fill(0x80), 1]],
  ["a fixed64 cut off", [0x09, 1, 2, 3]],
  ["field 0", [0x00, 1]],
  ["wire type 6", [0x0e]],
  ["a group that does not end", [0x0b, 0x08, 1]],
  ["a group ended by another", [0x0b, 0x14]],
  ["an end without a group", [0x0c]],
  ["groups without end", new Array<number>(1000).fill(0x0b)],
])("%s is a ProtoError", (_, bytes) => {
  const message = reader(new Uint8Array(bytes));
  expect(() => {
    while (message.next());
  }).toThrow(ProtoError);
});

test("any bytes end, and nothing outside is read", () =>
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      fc.nat(20),
      fc.nat(20),
      (bytes, before, after) => {
        const around = new Uint8Array(before + bytes.length + after).fill(0xff);
        around.set(bytes, before);
        const read = (message: ProtoReader) => {
          const seen: unknown[] = [];
          try {
            while (message.next())
              seen.push([message.field, message.wire, message.unsigned(), message.text()]);
          } catch (error) {
            if (!(error instanceof ProtoError)) throw error;
            seen.push(error.message);
          }
          return seen;
        };
        const inside = new ProtoReader().over(around, before, before + bytes.length);
        expect(read(inside)).toEqual(read(reader(bytes)));
      },
    ),
  ));

test("packed numbers read back", () =>
  fc.assert(
    fc.property(fc.array(u64), (values) => {
      const out = new ProtoWriter(1);
      for (const value of values) out.varintBig(value);
      const packed = new PackedReader().over(out.bytes, 0, out.length);
      const seen: bigint[] = [];
      while (packed.next()) seen.push((BigInt(packed.high) << 32n) | BigInt(packed.low));
      expect(seen).toEqual(values);
    }),
  ));
