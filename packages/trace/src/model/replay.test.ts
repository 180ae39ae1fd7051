import fc from "fast-check";
import { expect, test } from "vitest";
import { forward } from "../filters/forward.ts";
import { tee } from "../filters/tee.ts";
import { type AnyTrace, anyTrace } from "../testing/any-trace.ts";
import { dumpEvents } from "../testing/dump.ts";
import { play } from "../testing/play.ts";
import { TraceBuilder } from "./builder.ts";
import { replayTrace } from "./replay.ts";
import { EMPTY_STRING, NO_ARGS, type Ns } from "./sink.ts";
import type { Trace } from "./trace.ts";

function built(calls: AnyTrace): Trace {
  const builder = new TraceBuilder();
  play(calls, builder);
  builder.close();
  return builder.trace;
}

/** Rows with their lanes too: what the dump leaves out. */
function dumpRows(trace: Trace): string {
  const lines = trace.rows.flatMap((row) =>
    row.chunks.flatMap((chunk) =>
      Array.from(
        chunk.ts.subarray(0, chunk.length),
        (ts) => `${trace.tracks[row.track]!.kind} ${row.track} ${row.kind} ${row.lane} ${ts}`,
      ),
    ),
  );
  return `${dumpEvents(trace)}${lines.sort().join("\n")}`;
}

test("a replayed trace builds the same trace, lane by lane", () =>
  fc.assert(
    fc.property(anyTrace({ maxCalls: 80 }), (calls) => {
      const trace = built(calls);
      const again = new TraceBuilder();
      replayTrace(trace, again);
      again.close();
      expect(dumpRows(again.trace)).toBe(dumpRows(trace));
    }),
    { numRuns: 300 },
  ));

test("a replay comes in order of time, with nothing late", () =>
  fc.assert(
    fc.property(anyTrace(), (calls) => {
      const seen: number[] = [];
      const builder = new TraceBuilder();
      const note =
        <Args extends unknown[]>(at: number, call: (...args: Args) => void) =>
        (...args: Args) => {
          seen.push(args[at] as number);
          call(...args);
        };
      const sink = forward(builder);
      replayTrace(built(calls), {
        ...sink,
        begin: note(1, sink.begin),
        end: note(1, sink.end),
        slice: note(1, sink.slice),
        instant: note(1, sink.instant),
        counter: note(1, sink.counter),
        sample: note(1, sink.sample),
        switch: note(1, sink.switch),
        waking: note(1, sink.waking),
        life: note(1, sink.life),
        log: note(1, sink.log),
      });
      expect(seen).toEqual([...seen].sort((x, y) => x - y));
    }),
  ));

test("every branch of a tee gets every call under its own ids", () =>
  fc.assert(
    fc.property(anyTrace(), (calls) => {
      const plain = new TraceBuilder();
      const shifted = new TraceBuilder();
      // Ids of the second branch are not the tee's.
      for (const text of ["other", "strings"]) shifted.string(text);
      shifted.args.text(shifted.string("k"), shifted.string("v"));
      shifted.args.done();
      shifted.stack(-1 as never, shifted.frame({ name: "before" }));
      const sink = tee(plain, shifted);
      play(calls, sink);
      sink.close();
      const expected = dumpEvents(built(calls));
      expect(dumpEvents(plain.trace)).toBe(expected);
      expect(dumpEvents(shifted.trace)).toBe(expected);
    }),
  ));

test("a tee keeps sets apart that one branch drops", () => {
  const builder = new TraceBuilder();
  const dropping = forward(new TraceBuilder());
  const sink = tee({ ...dropping, args: { ...noArgs() } }, builder);
  const track = sink.track({ kind: "thread", name: "t" });
  for (const value of [1, 2]) {
    sink.args.int(sink.string("n"), value);
    sink.instant(track, value as Ns, EMPTY_STRING, EMPTY_STRING, sink.args.done());
  }
  sink.close();
  expect(dumpEvents(builder.trace, { without: ["clock", "track"] })).toBe(
    '1 instant thread ? "t": "" {"n":1}\n2 instant thread ? "t": "" {"n":2}\n',
  );
});

function noArgs() {
  return {
    int() {},
    real() {},
    text() {},
    bool() {},
    bytes() {},
    open() {},
    close() {},
    done: () => NO_ARGS,
  };
}
