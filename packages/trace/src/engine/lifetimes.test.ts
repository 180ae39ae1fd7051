import { expect, test } from "vitest";
import { TraceBuilder } from "../model/builder.ts";
import type { Ns } from "../model/sink.ts";
import { counterCurve } from "./counter-curve.ts";
import { hitTest } from "./hit.ts";
import { ownerEnd } from "./lifetimes.ts";
import { LevelOfDetail } from "./lod.ts";

/** A process of two threads with a counter at 10 ns, and a counter of no process. */
function counted(ends: { first?: number; second?: number; process?: number }) {
  const builder = new TraceBuilder();
  const { trace } = builder;
  const none = builder.string("");
  const process = builder.track({ kind: "process", name: "app", pid: 1 });
  const first = builder.track({ kind: "thread", name: "app", tid: 1, parent: process });
  const second = builder.track({ kind: "thread", name: "app", tid: 2, parent: process });
  const memory = builder.track({ kind: "counter", name: "memory", parent: process });
  const load = builder.track({ kind: "counter", name: "load" });
  builder.counter(memory, 10 as Ns, 5);
  const tracks = { first, second, process };
  for (const [name, end] of Object.entries(ends))
    builder.life(tracks[name as keyof typeof tracks], end as Ns, "exit", none);
  builder.close();
  return { trace, memory, load };
}

test.each([
  ["a thread still lives", { first: 40 }, Infinity],
  ["the last thread's exit", { first: 40, second: 60 }, 60],
  ["its own exit", { first: 40, second: 60, process: 90 }, 90],
])("a process ends by %s", (_, ends, expected) => {
  const { trace, memory, load } = counted(ends);
  expect(ownerEnd(trace, memory)).toBe(expected);
  expect(ownerEnd(trace, load)).toBe(Infinity);
});

test("a counter holds its value until its process ends, and is not under the pointer after that", () => {
  const { trace, memory } = counted({ first: 40, second: 60 });
  const row = trace.rowsOf(memory)[0];
  if (row?.kind !== "counter") throw new Error("no counter row");
  const lod = new LevelOfDetail(trace);
  lod.work(Infinity);
  const { high } = counterCurve(lod, row, 0, 100, 100, ownerEnd(trace, memory));
  expect([high[9], high[10], high[59], high[60], high[99]]).toEqual([NaN, 1, 1, NaN, NaN]);
  expect(hitTest(lod, row, 50, 1)).toBe(0);
  expect(hitTest(lod, row, 80, 1)).toBe(-1);
});
