import { expect, test } from "vitest";
import { interpret } from "../ir/interpret.ts";
import { hex, MapModel } from "../ir/memory.ts";
import { maps, randomProgram } from "../ir/random.ts";
import type { Expr, Handler, Statement } from "../ir.ts";
import { u32, u64 } from "../ir.ts";
import { forwardLocals } from "./forward.ts";

const context: Expr = { op: "context" };
const local = (n: number): Expr => ({ op: "local", local: n });
const load = (from: Expr, offset: number): Expr => ({
  op: "load",
  type: u64,
  memory: "direct",
  from,
  offset,
});
const assign = (n: number, value: Expr): Statement => ({ op: "assign", local: n, value });
const call = (helper: number): Expr => ({ op: "call", helper, args: [] });

function handlerOf(...body: Statement[]): Handler {
  const slots = [{ bytes: 8, name: "slot" }];
  return { name: "h", files: [], maps: [], slots, localCount: 8, body, result: 0n };
}

/** Locals that are still assigned. */
function kept(...body: Statement[]): number[] {
  return forwardLocals(handlerOf(...body)).body.flatMap((statement) =>
    statement.op === "assign" ? [statement.local] : [],
  );
}

const result = (value: Expr): Statement => ({ op: "return", value });
const clock: Statement = { op: "eval", value: call(5) };

test("a field of the event is read where it is used", () => {
  expect(
    forwardLocals(handlerOf(assign(0, load(context, 8)), clock, result(local(0)))).body,
  ).toEqual([clock, result(load(context, 8))]);
});

test("so is what a pointer in the event leads to", () => {
  expect(
    kept(assign(0, load(context, 8)), assign(1, load(local(0), 16)), clock, result(local(1))),
  ).toEqual([]);
});

test.each<[string, Statement[]]>([
  [
    "a variable that is read twice",
    [
      assign(0, load(context, 8)),
      assign(1, local(0)),
      result({ op: "binary", operator: "+", signed: false, left: local(0), right: local(0) }),
    ],
  ],
  ["the clock", [assign(0, call(5)), clock, result(local(0))]],
  [
    "what is read from a slot",
    [assign(0, load({ op: "slot", slot: 0, offset: 0 }, 0)), clock, result(local(0))],
  ],
  [
    "what is read from a map's value",
    [assign(0, load({ op: "call", helper: 1, args: [] }, 0)), clock, result(local(0))],
  ],
  [
    "a variable that gets a second value",
    [assign(0, load(context, 8)), assign(0, load(context, 16)), result(local(0))],
  ],
])("%s stays where it is", (_, body) => {
  expect(kept(...body)).toContain(0);
});

test("nothing moves into a loop", () => {
  const loop: Statement = {
    op: "for",
    local: 1,
    from: { op: "const", value: 0n },
    to: { op: "const", value: 4n },
    step: 1n,
    signed: false,
    most: 4,
    body: [{ op: "eval", value: local(0) }],
  };
  expect(kept(assign(0, load(context, 8)), loop)).toEqual([0]);
});

test("a handler that writes through the event's pointers keeps its order", () => {
  const write: Statement = {
    op: "store",
    type: u32,
    to: load(context, 8),
    offset: 0,
    value: { op: "const", value: 1n },
  };
  expect(kept(assign(0, load(load(context, 8), 0)), write, result(local(0)))).toEqual([0]);
});

test("random handlers mean the same afterwards", () => {
  const outcome = (handler: Handler, context: Uint8Array) => {
    const models = new Map(Object.values(maps).map((spec) => [spec, new MapModel(spec)]));
    const value = interpret(handler, { context, maps: models });
    return {
      value,
      maps: [...models.values()].map((map) => [...map.entries].map(([k, v]) => `${k} ${hex(v)}`)),
      records: models.get(maps.ring)!.records.map(hex),
    };
  };
  let changed = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const { handler, context } = randomProgram(seed);
    const forwarded = forwardLocals(handler);
    if (forwarded !== handler) changed++;
    expect(outcome(forwarded, context), `seed ${seed}`).toEqual(outcome(handler, context));
  }
  expect(changed).toBeGreaterThan(0);
});
