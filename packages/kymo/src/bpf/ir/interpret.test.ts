import { expect, test } from "vitest";
import type { Expr, Handler, MapSpec, Statement } from "../ir.ts";
import { i8, u8, u32, u64 } from "../ir.ts";
import { interpret } from "./interpret.ts";
import { hex, MapModel } from "./memory.ts";

const hash: MapSpec = { kind: "hash", name: "h", keyBytes: 4, valueBytes: 8, max: 1 };
const ring: MapSpec = { kind: "ring", name: "r", keyBytes: 0, valueBytes: 0, max: 4096 };
const losses: MapSpec = { kind: "array", name: "l", keyBytes: 4, valueBytes: 8, max: 4 };
const number = (value: bigint): Expr => ({ op: "const", value });
const slot = (slot: number): Expr => ({ op: "slot", slot, offset: 0 });

function run(body: Statement[], options: { full?: boolean; context?: Uint8Array } = {}) {
  const handler: Handler = {
    name: "h",
    files: [],
    maps: [hash, ring, losses],
    slots: [
      { bytes: 8, name: "key" },
      { bytes: 8, name: "value" },
    ],
    localCount: 4,
    body,
    result: 99n,
  };
  const models = new Map(handler.maps.map((spec) => [spec, new MapModel(spec)]));
  const result = interpret(handler, {
    context: options.context ?? new Uint8Array(8),
    maps: models,
    isFull: () => options.full === true,
  });
  return { result, models };
}

const returned = (value: Expr) => run([{ op: "return", value }]).result;
const binary = (left: bigint, operator: "/" | "%" | ">>" | "<<", right: bigint, signed: boolean) =>
  returned({ op: "binary", operator, signed, left: number(left), right: number(right) });

test("arithmetic is that of 64-bit words", () => {
  expect(binary(-1n, "/", 2n, false)).toBe((1n << 63n) - 1n);
  expect(binary(-7n, "/", 2n, true)).toBe(-3n);
  expect(binary(5n, "/", 0n, true)).toBe(0n);
  expect(binary(5n, "%", 0n, true)).toBe(5n);
  expect(binary(-(1n << 63n), "/", -1n, true)).toBe(-(1n << 63n));
  expect(binary(1n, "<<", 65n, false)).toBe(2n);
  expect(binary(-8n, ">>", 1n, false)).toBe((1n << 63n) - 4n);
});

test("a handler that runs off its end gives its result", () => {
  expect(run([]).result).toBe(99n);
});

test("what is loaded is extended by its type's sign", () => {
  const load = (type: typeof u8): Expr => ({
    op: "load",
    type,
    memory: "direct",
    from: { op: "context" },
    offset: 1,
  });
  const context = Uint8Array.of(0, 0xfe);
  expect(run([{ op: "return", value: load(u8) }], { context }).result).toBe(254n);
  expect(run([{ op: "return", value: load(i8) }], { context }).result).toBe(-2n);
});

test("memory that isn't there reads as 0", () => {
  for (const memory of ["direct", "kernel", "user"] as const)
    expect(returned({ op: "load", type: u64, memory, from: number(0n), offset: 8 })).toBe(0n);
});

test("a full hash refuses new keys and takes known ones", () => {
  const update = (key: bigint): Statement[] => [
    { op: "store", type: u32, to: slot(0), offset: 0, value: number(key) },
    {
      op: "assign",
      local: 0,
      value: { op: "call", helper: 2, args: [{ op: "map", map: 0 }, slot(0), slot(1), number(0n)] },
    },
  ];
  const give: Statement = { op: "return", value: { op: "local", local: 0 } };
  expect(run([...update(1n), ...update(2n), give]).result).toBe(-7n);
  expect(run([...update(1n), ...update(1n), give]).result).toBe(0n);
});

test("records reach the ring, or count as lost at their site", () => {
  const emit: Statement = {
    op: "emit",
    ring: 1,
    losses: 2,
    site: 3,
    bytes: 8,
    body: [{ op: "store", type: u64, to: { op: "record" }, offset: 0, value: number(7n) }],
  };
  expect(run([emit]).models.get(ring)!.records.map(hex)).toEqual(["0700000000000000"]);
  const { models } = run([emit, emit], { full: true });
  expect(models.get(ring)!.records).toEqual([]);
  expect(hex(models.get(losses)!.lookup(Uint8Array.of(3, 0, 0, 0))!)).toBe("0200000000000000");
});

test("a loop runs its rounds, at the most as many as it may", () => {
  const loop = (to: bigint, most: number): Statement[] => [
    { op: "assign", local: 0, value: number(0n) },
    {
      op: "for",
      local: 1,
      from: number(0n),
      to: number(to),
      step: 2n,
      signed: true,
      most,
      body: [
        {
          op: "assign",
          local: 0,
          value: {
            op: "binary",
            operator: "+",
            signed: false,
            left: { op: "local", local: 0 },
            right: number(1n),
          },
        },
      ],
    },
    { op: "return", value: { op: "local", local: 0 } },
  ];
  expect(run(loop(5n, 100)).result).toBe(3n);
  expect(run(loop(1000n, 4)).result).toBe(4n);
  expect(run(loop(-1n, 4)).result).toBe(0n);
});
