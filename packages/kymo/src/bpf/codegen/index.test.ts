import { expect, test } from "vitest";
import type { Expr, Handler, MapSpec, Statement } from "../ir.ts";
import { i32, u32, u64 } from "../ir.ts";
import { ProbeError } from "../program.ts";
import { disassemble } from "./disassemble.ts";
import { compile, isaOf } from "./index.ts";

const hash: MapSpec = { kind: "hash", name: "started", keyBytes: 4, valueBytes: 8, max: 1024 };
const ring: MapSpec = { kind: "ring", name: "ring", keyBytes: 0, valueBytes: 0, max: 4096 };
const losses: MapSpec = { kind: "array", name: "losses", keyBytes: 4, valueBytes: 64, max: 1 };
const context: Expr = { op: "context" };
const local = (n: number): Expr => ({ op: "local", local: n });
const number = (value: bigint): Expr => ({ op: "const", value });
const call = (helper: number, ...args: Expr[]): Expr => ({ op: "call", helper, args });
const load = (offset: number, type = u64): Expr => ({
  op: "load",
  type,
  memory: "direct",
  from: context,
  offset,
});

function handlerOf(body: Statement[], slots: Handler["slots"] = []): Handler {
  return {
    name: "test",
    files: [{ path: "test.probe.ts", text: "first line\nsecond line\n" }],
    maps: [ring, losses, hash],
    slots,
    localCount: 8,
    body,
    result: 0n,
  };
}

function listing(body: Statement[], options = { isa: 4 } as const): string[] {
  const handler = handlerOf(body, [{ bytes: 8, name: "key" }]);
  return disassemble(compile(handler, options), handler)
    .split("\n")
    .map((line) => line.replace(/^\d+: /, ""));
}

const returns = (value: Expr): Statement[] => [{ op: "return", value }];

test("a probe that looks up, tests and emits", () => {
  const key: Expr = { op: "slot", slot: 0, offset: 0 };
  const record: Expr = { op: "record" };
  const handler = handlerOf(
    [
      {
        op: "store",
        type: u32,
        to: key,
        offset: 0,
        value: { op: "cast", type: u32, value: call(14) },
        at: { file: 0, offset: 0 },
      },
      { op: "assign", local: 0, value: call(1, { op: "map", map: 2 }, key) },
      {
        op: "if",
        condition: {
          op: "compare",
          operator: "==",
          signed: false,
          left: local(0),
          right: number(0n),
        },
        then: [{ op: "return", value: number(0n) }],
        else: [],
      },
      {
        op: "emit",
        ring: 0,
        losses: 1,
        site: 3,
        bytes: 16,
        at: { file: 0, offset: 11 },
        body: [
          { op: "store", type: u32, to: record, offset: 0, value: number(3n) },
          {
            op: "store",
            type: u32,
            to: record,
            offset: 4,
            value: { op: "cast", type: u32, value: call(14) },
          },
          { op: "store", type: u64, to: record, offset: 8, value: call(5) },
        ],
      },
    ],
    [{ bytes: 8, name: "key" }],
  );
  expect(disassemble(compile(handler, { isa: 4 }), handler)).toMatchInlineSnapshot(`
    "; first line
    0: call 14
    1: r6 = r0
    2: *(u32 *)(r10 -8) = r6
    3: r1 = map started
    5: r2 = r10
    6: r2 += -8
    7: call 1
    8: if r0 == 0 goto 28
    ; second line
    9: r1 = map ring
    11: r2 = 16
    12: r3 = 0
    13: call 131
    14: r7 = r0
    15: if r7 == 0 goto 24
    16: *(u32 *)(r7 +0) = 3
    17: *(u32 *)(r7 +4) = r6
    18: call 5
    19: *(u64 *)(r7 +8) = r0
    20: r1 = r7
    21: r2 = 0
    22: call 132
    23: goto 28
    24: r1 = value of losses + 24
    26: r2 = 1
    27: lock *(u64 *)(r1 +0) += r2
    ; first line
    28: r0 = 0
    29: exit"
  `);
});

test.each<[string, Expr, string]>([
  [
    "constants fold",
    { op: "binary", operator: "*", signed: false, left: number(6n), right: number(7n) },
    "r0 = 42",
  ],
  ["a u32 constant is one instruction", number(0xffff_fff0n), "w0 = -16"],
  [
    "a cast of what is narrow already is nothing",
    { op: "cast", type: u64, value: { op: "cast", type: u32, value: load(0, u32) } },
    "r0 = *(u32 *)(r1 +0)",
  ],
  ["a signed load is one instruction", load(4, i32), "r0 = *(s32 *)(r1 +4)"],
  [
    "division by a power of two is a shift",
    { op: "binary", operator: "/", signed: false, left: load(0, u32), right: number(8n) },
    "r0 = *(u32 *)(r1 +0) | r0 >>= 3",
  ],
  [
    "division by 0 is 0",
    { op: "binary", operator: "/", signed: true, left: load(0), right: number(0n) },
    "r0 = 0",
  ],
])("%s", (_, value, expected) => {
  expect(listing(returns(value)).slice(0, -1).join(" | ")).toBe(expected);
});

test("before Linux 6.6, signed loads and casts are shifts", () => {
  const old = listing(returns(load(4, i32)), { isa: 3 } as never);
  expect(old).toEqual(["r0 = *(u32 *)(r1 +4)", "r0 <<= 32", "r0 s>>= 32", "exit"]);
  expect([
    isaOf("6.6.0"),
    isaOf("6.18.44-fc"),
    isaOf("7.0"),
    isaOf("5.15.0"),
    isaOf("6.5.13"),
  ]).toEqual([4, 4, 4, 3, 3]);
});

test("an id of the thread is asked for once", () => {
  const id: Statement = { op: "assign", local: 0, value: call(14) };
  const again: Statement = {
    op: "return",
    value: { op: "binary", operator: "^", signed: false, left: local(0), right: call(14) },
  };
  const calls = listing([id, again]).filter((line) => line.startsWith("call"));
  expect(calls).toEqual(["call 14"]);
});

const eight = [0, 1, 2, 3, 4, 5, 6, 7];
const sumOfEight = eight.map(local).reduce((left, right) => ({
  op: "binary",
  operator: "+",
  signed: false,
  left,
  right,
}));

test("what outlives calls and finds no register goes to the stack", () => {
  const draws: Statement[] = eight.map((n) => ({ op: "assign", local: n, value: call(7) }));
  // The last one needs nothing; four of the others live in r6 … r9.
  expect(compile(handlerOf([...draws, ...returns(sumOfEight)])).stackBytes).toBe(24);
});

test("what the event holds is read again instead", () => {
  const reads: Statement[] = eight.flatMap((n): Statement[] => [
    { op: "assign", local: n, value: load(n * 8) },
    { op: "eval", value: call(7, local(n)) },
  ]);
  expect(compile(handlerOf([...reads, ...returns(sumOfEight)])).stackBytes).toBe(0);
});

test("too much on the stack names the largest variables", () => {
  const slots = [
    { bytes: 300, name: "path" },
    { bytes: 8, name: "key" },
    { bytes: 256, name: "host" },
  ];
  const body: Statement[] = slots.map((_, slot) => ({
    op: "zero",
    to: { op: "slot", slot, offset: 0 },
    offset: 0,
    bytes: 8,
    at: { file: 0, offset: 11 },
  }));
  expect(() => compile(handlerOf(body, slots))).toThrow(ProbeError);
  expect(() => compile(handlerOf(body, slots))).toThrow(
    /needs 568 bytes of stack, the kernel gives 512; the largest: path \(300 bytes\), host \(256 bytes\), key/,
  );
});

test("every instruction of a statement has its place", () => {
  const at = (offset: number) => ({ file: 0, offset });
  const { lines } = compile(
    handlerOf([
      { op: "eval", value: call(5), at: at(0) },
      { op: "eval", value: call(7), at: at(11) },
    ]),
  );
  expect(lines).toEqual([
    { instruction: 0, at: at(0) },
    { instruction: 1, at: at(11) },
  ]);
});

test("zeroes that are overwritten at once are not stored, those that show are", () => {
  const key: Expr = { op: "slot", slot: 0, offset: 0 };
  const body = (width: typeof u32): Statement[] => [
    { op: "zero", to: key, offset: 0, bytes: 8 },
    { op: "store", type: width, to: key, offset: 0, value: load(8) },
    { op: "eval", value: call(1, { op: "map", map: 2 }, key) },
  ];
  const stores = (width: typeof u32) =>
    listing(body(width)).filter((line) => /^\*\(u\d+ \*\)/.test(line));
  expect(stores(u64)).toEqual(["*(u64 *)(r10 -8) = r1"]);
  expect(stores(u32)).toEqual(["*(u64 *)(r10 -8) = 0", "*(u32 *)(r10 -8) = r1"]);
});

test("what was just tested is not tested again, and a choice of constants is one jump", () => {
  const found: Expr = {
    op: "compare",
    operator: "!=",
    signed: false,
    left: local(0),
    right: number(0n),
  };
  const lines = listing([
    { op: "zero", to: { op: "slot", slot: 0, offset: 0 }, offset: 0, bytes: 8 },
    {
      op: "assign",
      local: 0,
      value: call(1, { op: "map", map: 2 }, { op: "slot", slot: 0, offset: 0 }),
    },
    {
      op: "if",
      condition: found,
      then: [{ op: "assign", local: 1, value: call(7) }],
      else: [{ op: "assign", local: 1, value: number(0n) }],
    },
    { op: "if", condition: found, then: [], else: returns(number(0n)) },
    {
      op: "return",
      value: { op: "select", condition: local(1), then: number(5n), else: number(6n) },
    },
  ]);
  const tests = lines.filter((line) => line.startsWith("if") || line.startsWith("goto"));
  expect(tests).toHaveLength(2);
});
