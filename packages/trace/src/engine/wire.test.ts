import fc from "fast-check";
import { expect, test } from "vitest";
import { ProtocolError } from "./check.ts";
import type { EngineMessage } from "./protocol.ts";
import { decodeMessage, encodeMessage } from "./wire.ts";

const array = fc.oneof(
  fc.uint8Array(),
  fc.uint16Array(),
  fc.int32Array(),
  fc.uint32Array(),
  fc.float32Array(),
  fc.float64Array(),
);
const key = fc.oneof(
  fc.string(),
  fc.constantFrom("$array", "$$", "$bigint", "__proto__", "constructor", ""),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.string({ unit: "binary" }),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.bigInt(),
    array,
    fc.array(tie("value"), { maxLength: 5 }),
    fc
      .array(fc.tuple(key, tie("value")), { maxLength: 5 })
      .map((entries) => Object.fromEntries(entries)),
  ),
}));
const message = fc
  .array(fc.tuple(key, value), { maxLength: 6 })
  .map((entries) => Object.fromEntries(entries));

/** JSON has no −0. */
function withoutMinusZero(tree: unknown): unknown {
  if (tree === 0) return 0;
  if (Array.isArray(tree)) return tree.map(withoutMinusZero);
  if (typeof tree !== "object" || tree === null || ArrayBuffer.isView(tree)) return tree;
  return Object.fromEntries(
    Object.entries(tree).map(([name, member]) => [name, withoutMinusZero(member)]),
  );
}

test("what is encoded decodes to the same, whatever it holds", () => {
  fc.assert(
    fc.property(message, (original) => {
      const decoded = decodeMessage(encodeMessage(original as never));
      expect(decoded).toEqual(withoutMinusZero(original));
      expect(Object.keys(decoded)).toEqual(Object.keys(original));
      expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
    }),
    { numRuns: 500 },
  );
});

test("a strip comes back with its arrays, at any alignment", () => {
  const strip: EngineMessage = {
    type: "strip",
    id: 3,
    rows: [1, 2],
    from: 0.5,
    to: 9,
    width: 3,
    theme: "dark",
    pixels: Uint32Array.of(1, 2, 3, 4, 5, 0xffff_ffff),
    labels: Float32Array.of(1.5, 2, 0, 0),
    labelTexts: ["naïve 日本 😀"],
    counters: [
      {
        line: 0,
        min: 0,
        max: 5,
        low: Float32Array.of(NaN, 0, 1),
        high: Float32Array.of(NaN, 1, 1),
      },
    ],
    losses: new Float32Array(0),
    traceToNs: 5e9,
  };
  const bytes = encodeMessage(strip);
  for (let shift = 0; shift < 8; shift++) {
    const moved = new Uint8Array(bytes.length + shift).subarray(shift);
    moved.set(bytes);
    expect(decodeMessage(moved)).toEqual(strip);
  }
});

test("undefined members are left out", () => {
  const decoded = decodeMessage(encodeMessage({ type: "at", id: 1, hit: undefined }));
  expect(decoded).toEqual({ type: "at", id: 1 });
  expect((decoded as { hit?: unknown }).hit).toBeUndefined();
});

test("numbers that JSON lacks survive: an empty trace goes from Infinity to −Infinity", () => {
  const range = {
    type: "minimap",
    id: 1,
    density: new Float32Array(1),
    fromNs: Infinity,
    toNs: -Infinity,
  } as const;
  expect(decodeMessage(encodeMessage(range))).toEqual(range);
});

test("any bytes and any damage: a ProtocolError or a message, never anything else", () => {
  const survives = (bytes: Uint8Array): void => {
    try {
      decodeMessage(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives), { numRuns: 500 });
  const damage = fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(message, damage, fc.nat(400), (original, flips, cut) => {
      const bytes = encodeMessage(original as never);
      survives(bytes.subarray(0, Math.max(0, bytes.length - cut)));
      for (const [at, byte] of flips) bytes[at % bytes.length] = byte;
      survives(bytes);
    }),
    { numRuns: 1000 },
  );
});

test("lengths that lie are refused before anything is allocated", () => {
  const lie = (json: string): Uint8Array => {
    const text = new TextEncoder().encode(json);
    const bytes = new Uint8Array(8 + text.length);
    new DataView(bytes.buffer).setUint32(0, 0x4f4d594b, true);
    new DataView(bytes.buffer).setUint32(4, text.length, true);
    bytes.set(text, 8);
    return bytes;
  };
  for (const json of [
    '{"a":{"$array":["Float64Array",0,4294967296]}}',
    '{"a":{"$array":["Float64Array",-8,1]}}',
    '{"a":{"$array":["Float64Array",0,1e300]}}',
    '{"a":{"$array":["toString",0,0]}}',
    '{"a":{"$bigint":"x"}}',
    '{"a":{"$what":1}}',
    `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    "[1]",
    "7",
  ])
    expect(() => decodeMessage(lie(json))).toThrow(ProtocolError);
});
