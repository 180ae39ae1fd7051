import fc from "fast-check";
import { expect, test } from "vitest";
import { TraceBuilder } from "../model/builder.ts";
import { type AnyTrace, anyTrace } from "./any-trace.ts";
import { dumpEvents } from "./dump.ts";
import { play } from "./play.ts";

function built(calls: AnyTrace): TraceBuilder {
  const builder = new TraceBuilder();
  play(calls, builder);
  builder.close();
  return builder;
}

test("a dump shows nesting, durations and arguments", () => {
  const trace = built({
    clock: { domain: "monotonic", originNs: 5n, errorNs: 0 },
    metadata: [["host", "box"]],
    tracks: [
      { kind: "process", name: "app", pid: 7 },
      { kind: "thread", name: "main", parent: 0 as never, pid: 7, tid: 8 },
    ],
    frames: [],
    calls: [
      { call: "begin", ts: 0, track: 1, name: "outer", category: "io", args: [] },
      {
        call: "slice",
        ts: 2,
        track: 1,
        dur: 3,
        name: "inner",
        category: "",
        args: [["n", { type: "int", value: 2n ** 60n }]],
      },
      {
        call: "end",
        ts: 9,
        track: 1,
        args: [["ret", { type: "array", items: [{ type: "bool", value: true }] }]],
      },
      { call: "life", ts: 10, track: 1, what: "rename", detail: "renamed" },
    ],
  }).trace;
  expect(dumpEvents(trace)).toBe(
    [
      "clock monotonic 5",
      'metadata host = "box"',
      'track process 7 "app"',
      'track thread 8 "renamed" of process 7 "app"',
      '0 slice thread 8 "renamed": +9 "outer" [io] {"ret":[true]}',
      '2 slice thread 8 "renamed": · +3 "inner" {"n":1152921504606846976}',
      '10 life thread 8 "renamed": rename "renamed"',
      "",
    ].join("\n"),
  );
});

test("random traces need no repair: no problem but those they report", () =>
  fc.assert(
    fc.property(anyTrace(), (calls) => {
      const reported = calls.calls.filter(({ call }) => call === "problem").length;
      expect(built(calls).trace.problems).toHaveLength(reported);
    }),
  ));

test("the order of arrival between watermarks does not show", () =>
  fc.assert(
    fc.property(
      anyTrace({
        ordered: false,
        calls: [
          "begin",
          "end",
          "slice",
          "instant",
          "counter",
          "switch",
          "waking",
          "life",
          "log",
          "sample",
        ],
      }),
      (calls) => {
        const sorted = { ...calls, calls: [...calls.calls].sort((x, y) => x.ts - y.ts) };
        expect(dumpEvents(built(calls).trace)).toBe(dumpEvents(built(sorted).trace));
      },
    ),
  ));

test("watermarks in between change nothing", () =>
  fc.assert(
    fc.property(anyTrace({ ordered: true }), (calls) => {
      const without = { ...calls, calls: calls.calls.filter(({ call }) => call !== "watermark") };
      expect(dumpEvents(built(calls).trace)).toBe(dumpEvents(built(without).trace));
    }),
  ));
