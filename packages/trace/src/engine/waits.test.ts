import { expect, test } from "vitest";
import { ColumnTrace } from "../testing/column-trace.ts";
import { eventDetails } from "./details.ts";
import { FlowLinks } from "./flows.ts";
import { LevelOfDetail } from "./lod.ts";
import { NameDurations } from "./name-durations.ts";
import { pixel, sliceFill } from "./palette.ts";
import type { ViewportRequest } from "./protocol.ts";
import { Raster } from "./raster.ts";
import { RowTotals } from "./row-totals.ts";

/** A thread that sleeps in read() [100, 600), runs, and waits for a disk in fsync() [700, 900); a waker. */
function waiting() {
  const trace = new ColumnTrace();
  const main = trace.track({ kind: "thread", name: "main", tid: 1 });
  const other = trace.track({ kind: "thread", name: "waker", tid: 2 });
  // Left over from before the trace grew.
  trace.row(other, "thread_state", 0, []);
  const states = trace.row(main, "thread_state", 0, [
    { ts: 0, dur: 100, key: "Running", cpu: 0 },
    { ts: 100, dur: 500, key: "S" },
    { ts: 600, dur: 10, key: "R", waker: other },
    { ts: 610, dur: 90, key: "Running", cpu: 0 },
    { ts: 700, dur: 200, key: "D" },
    { ts: 900, dur: 100, key: "S" },
  ]);
  const wakerStates = trace.row(other, "thread_state", 0, [{ ts: 500, dur: 300, key: "Running" }]);
  const calls = trace.row(main, "slice", 0, [
    { ts: 90, dur: 530, key: "read", category: "syscall" },
    { ts: 690, dur: 205, key: "fsync", category: "syscall" },
  ]);
  const lod = new LevelOfDetail(trace);
  lod.work(Infinity);
  const draw = (rows: readonly number[], more: Partial<ViewportRequest> = {}) =>
    new Raster(lod).strip(1, {
      rows,
      from: 0,
      to: 1000,
      width: 1000,
      theme: "light",
      highlight: "",
      labelMinPx: 34,
      ...more,
    });
  const helpers = { flows: new FlowLinks(trace), durations: new NameDurations(trace) };
  const facts = (index: number) => eventDetails(trace, helpers, states.id, index)!.facts;
  return { trace, states, wakerStates, calls, draw, facts };
}

test("labels of sleeps say in which system call, where one is known", () => {
  const { draw, states } = waiting();
  const { labels, labelTexts } = draw([states.id]);
  const texts = Array.from({ length: labels.length / 4 }, (_, n) => labelTexts[labels[4 * n + 3]!]);
  expect(texts).toEqual([
    "Running",
    "Sleeping in read",
    "Running",
    "Uninterruptible sleep in fsync",
    "Sleeping",
  ]);
});

test("details of a wait name the call and the waker, whose empty rows do not hide it", () => {
  const { facts, calls, wakerStates } = waiting();
  expect(facts(1)).toEqual([
    { label: "State", value: "Sleeping (S)" },
    { label: "In", value: "read", ref: { row: calls.id, index: 0 } },
    { label: "Ended by", value: "waker", ref: { row: wakerStates.id, index: 0 } },
  ]);
  expect(facts(5).map(({ label }) => label)).toEqual(["State"]);
});

test("a selected name keeps its colour, others of its kind show at 60 %", () => {
  const { draw, calls, states } = waiting();
  const plain = draw([calls.id, states.id]).pixels;
  const { pixels } = draw([calls.id, states.id], { emphasis: { kind: "slice", name: "read" } });
  expect(pixels[300]).toBe(pixel(sliceFill("read", true)));
  expect(pixels[800]).toBe(pixel(sliceFill("fsync", true), 153));
  expect(pixels.subarray(1000)).toEqual(plain.subarray(1000));
  const byState = draw([states.id], {
    emphasis: { kind: "thread_state", name: "Sleeping" },
  }).pixels;
  expect(byState[50]! >>> 24).toBe(153);
  expect(byState[300]).toBe(plain[1300]);
});

test("system calls alone do not make a track annotated", () => {
  const { trace, calls } = waiting();
  const totals = new RowTotals(trace);
  expect(totals.of(calls).annotated).toBe(false);
  const track = trace.track({ kind: "thread", name: "app", tid: 3 });
  const own = trace.row(track, "slice", 0, [{ ts: 0, dur: 5, key: "request", category: "web" }]);
  expect(totals.of(own).annotated).toBe(true);
});
