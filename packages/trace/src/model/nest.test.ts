import fc from "fast-check";
import { expect, test } from "vitest";
import { type AnyCall, type AnyTrace, anyTrace } from "../testing/any-trace.ts";
import { dumpEvents } from "../testing/dump.ts";
import { play } from "../testing/play.ts";
import { TraceBuilder } from "./builder.ts";
import { replayTrace } from "./replay.ts";
import {
  EMPTY_STRING,
  type EventId,
  NO_ARGS,
  type Ns,
  type StringId,
  type TrackId,
} from "./sink.ts";
import { CHUNK_ROWS, durationAt, type Row, type Trace } from "./trace.ts";

interface Seen {
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly depth: number;
  readonly lane: number;
}

function slicesOf(trace: Trace): Seen[] {
  const seen: Seen[] = [];
  for (const row of trace.rows)
    if (row.kind === "slice")
      for (const chunk of row.chunks)
        for (let i = 0; i < chunk.length; i++)
          seen.push({
            name: trace.strings.get(chunk.key[i] as StringId),
            ts: chunk.ts[i]!,
            dur: durationAt(chunk, i),
            depth: chunk.depth[i]!,
            lane: row.lane,
          });
  return seen.sort((x, y) => x.ts - y.ts || x.lane - y.lane);
}

/** One thread track, calls by name: `b("a", 0)`, `e(5)`, `x("c", 1, 3)`. */
class OneTrack {
  readonly builder = new TraceBuilder();
  readonly track = this.builder.track({ kind: "thread", name: "t", tid: 1 });

  b(name: string, ts: number): this {
    this.builder.begin(this.track, ts as Ns, this.builder.string(name), EMPTY_STRING, NO_ARGS);
    return this;
  }
  e(ts: number): this {
    this.builder.end(this.track, ts as Ns, NO_ARGS);
    return this;
  }
  x(name: string, ts: number, dur: number): this {
    const id = this.builder.string(name);
    this.builder.slice(this.track, ts as Ns, dur as Ns, id, EMPTY_STRING, NO_ARGS);
    return this;
  }
  watermark(ts: number): this {
    this.builder.watermark(ts as Ns);
    return this;
  }
  get trace(): Trace {
    this.builder.close();
    return this.builder.trace;
  }
  /** "name@ts+dur/depth" of all slices; the lane follows where it is not the depth. */
  get text(): string {
    return slicesOf(this.trace)
      .map(
        ({ name, ts, dur, depth, lane }) =>
          `${name}@${ts}+${dur}/${depth}${lane === depth ? "" : `:${lane}`}`,
      )
      .join(" ");
  }
}

test.each<[string, (track: OneTrack) => OneTrack, string]>([
  ["pairs nest", (t) => t.b("a", 0).b("b", 2).e(4).e(9), "a@0+9/0 b@2+2/1"],
  ["slices that touch do not nest", (t) => t.x("a", 0, 5).x("b", 5, 4), "a@0+5/0 b@5+4/0"],
  ["pairs that touch do not nest", (t) => t.b("a", 0).e(5).b("b", 5).e(9), "a@0+5/0 b@5+4/0"],
  ["a child may arrive before its parent", (t) => t.x("b", 0, 3).x("a", 0, 9), "a@0+9/0 b@0+3/1"],
  ["a slice without duration", (t) => t.b("a", 0).b("b", 3).e(3).e(9), "a@0+9/0 b@3+0/1"],
  [
    "begin and end at the same time, twice",
    (t) => t.b("a", 3).e(3).b("b", 3).e(3),
    "a@3+0/0 b@3+0/0",
  ],
  ["no duration inside no duration", (t) => t.b("a", 3).b("b", 3).e(3).e(3), "a@3+0/0 b@3+0/1"],
  ["a crossing slice is not cut", (t) => t.x("a", 0, 10).x("b", 5, 10), "a@0+10/0 b@5+10/0:1"],
  [
    "a slice that outlives the pair around it",
    (t) => t.b("a", 0).x("b", 5, 10).e(8),
    "a@0+8/0 b@5+10/0:1",
  ],
  [
    "a pair that outlives the slice around it",
    (t) => t.x("a", 0, 8).b("b", 5).e(12),
    "a@0+8/0 b@5+7/0:1",
  ],
  [
    "a pair that ends with the slice around it",
    (t) => t.x("a", 0, 8).b("b", 5).e(8),
    "a@0+8/0 b@5+3/1",
  ],
  ["an open slice", (t) => t.b("a", 0).b("b", 2).e(3), "a@0+NaN/0 b@2+1/1"],
  ["a complete slice without end", (t) => t.x("a", 0, NaN).x("b", 2, 3), "a@0+NaN/0 b@2+3/1"],
  [
    "an open slice in one that ended is not inside it",
    (t) => t.x("a", 0, 5).b("b", 2),
    "a@0+5/0 b@2+NaN/0:1",
  ],
  [
    "an open pair that starts where another slice ends",
    (t) => t.b("a", 0).x("b", 5, 10).b("c", 15).b("d", 20),
    "a@0+NaN/0 b@5+10/1 c@15+NaN/1 d@20+NaN/2",
  ],
  [
    "pairs over watermarks",
    (t) => t.b("a", 0).watermark(1).b("b", 2).watermark(3).e(4).watermark(5).e(9),
    "a@0+9/0 b@2+2/1",
  ],
  ["out of order", (t) => t.e(9).e(4).b("a", 0).b("b", 2), "a@0+9/0 b@2+2/1"],
  [
    "a late begin",
    (t) => t.b("a", 0).e(9).watermark(10).x("b", 2, 3).x("c", 20, 1),
    "a@0+9/0 b@2+3/1 c@20+1/0",
  ],
  ["a late end", (t) => t.b("a", 0).b("b", 2).e(9).watermark(10).e(4), "a@0+9/0 b@2+2/1"],
  [
    "durations of a fraction and of minutes",
    (t) => t.x("a", 0, 1.5).x("b", 10, 2 ** 33),
    `a@0+1.5/0 b@10+${2 ** 33}/0`,
  ],
  [
    "the longest that fits the column, and one more",
    (t) => t.x("a", 0, 2 ** 32 - 2).x("b", 2 ** 33, 2 ** 32 - 1),
    `a@0+${2 ** 32 - 2}/0 b@${2 ** 33}+${2 ** 32 - 1}/0`,
  ],
])("%s", (_, calls, expected) => {
  expect(calls(new OneTrack()).text).toBe(expected);
});

test("ends without a begin are counted once per track, and go when the begin comes late", () => {
  const track = new OneTrack().e(5).e(7).watermark(10);
  expect(track.builder.trace.problems).toMatchObject([
    { kind: "unmatched-end", count: 2, from: 5 },
  ]);
  track.b("a", 1).b("b", 6);
  expect(track.text).toBe("a@1+4/0 b@6+1/0");
  expect(track.trace.problems.map(({ kind, count }) => `${kind} ${count}`)).toEqual(["late 2"]);
});

test("late events change the generation, not the ids", () => {
  const track = new OneTrack().b("a", 10).e(20).watermark(30);
  const { trace } = track.builder;
  expect(trace.locate(0 as EventId)).toEqual({ row: 0, index: 0 });
  expect(trace.rows[0]!.generation).toBe(0);
  track.x("early", 1, 2).watermark(40);
  expect(trace.rows[0]!.generation).toBe(1);
  expect(trace.locate(0 as EventId)).toEqual({ row: 0, index: 1 });
  expect(trace.locate(1 as EventId)).toEqual({ row: 0, index: 0 });
  expect(trace.locate(2 as EventId)).toBeUndefined();
  expect(track.trace.problems).toMatchObject([{ kind: "late", count: 1, from: 1 }]);
});

test("chunks are sealed when full, and their arrays never change again", () => {
  const { builder, track } = new OneTrack();
  const name = builder.string("n");
  for (let i = 0; i < CHUNK_ROWS + 10; i++)
    builder.slice(track, (i * 2) as Ns, 1 as Ns, name, EMPTY_STRING, NO_ARGS);
  builder.watermark(Infinity as Ns);
  const row = builder.trace.rows[0] as Row<"slice">;
  expect(row.chunks.map(({ length, sealed }) => [length, sealed])).toEqual([
    [CHUNK_ROWS, true],
    [10, false],
  ]);
  expect(row.length).toBe(CHUNK_ROWS + 10);
  expect(builder.trace.locate((CHUNK_ROWS + 3) as EventId)).toEqual({
    row: 0,
    index: CHUNK_ROWS + 3,
  });
  expect([builder.trace.fromNs, builder.trace.toNs]).toEqual([0, (CHUNK_ROWS + 9) * 2 + 1]);
});

test("times that are no numbers are left out and counted", () => {
  const track = new OneTrack().x("a", NaN, 1).x("b", Infinity, 1).x("c", 1, -5);
  expect(track.text).toBe("c@1+0/0");
  expect(track.trace.problems.map(({ kind, count }) => [kind, count])).toEqual([
    ["malformed", 2],
    ["malformed", 1],
  ]);
});

test("ten thousand slices at once get a lane each, quickly", () => {
  const track = new OneTrack();
  for (let i = 0; i < 10_000; i++) track.x("n", i, 20_000 + i);
  expect(track.trace.rows).toHaveLength(10_000);
});

test("an id that was never declared is refused", () => {
  const builder = new TraceBuilder();
  const missing = 3 as TrackId;
  expect(() => builder.begin(missing, 0 as Ns, EMPTY_STRING, EMPTY_STRING, NO_ARGS)).toThrow(
    /track 3 of 0/,
  );
});

const sliceCalls = anyTrace({ calls: ["begin", "end", "slice"], ordered: true, maxCalls: 80 });

test("depths agree with counting the slices around each", () =>
  fc.assert(
    fc.property(sliceCalls, (calls) => {
      const builder = new TraceBuilder();
      play(calls, builder);
      builder.close();
      for (const track of [2, 3, 4, 9])
        expect(depthsBuilt(builder.trace, track)).toEqual(depthsCounted(calls, track));
    }),
    { numRuns: 500 },
  ));

/** Starts 1–3 ns apart, up to `longest` ns long: dozens are active at once. */
const crowded = fc
  .record({
    longest: fc.integer({ min: 1, max: 300 }),
    steps: fc.array(
      fc.record({ gap: fc.integer({ min: 1, max: 3 }), what: fc.nat(9), dur: fc.nat(10_000) }),
      { maxLength: 300, size: "max" },
    ),
    pairs: fc.nat(4),
  })
  .map(({ longest, steps, pairs }) => {
    const calls: AnyCall[] = [];
    let [ts, open] = [0, 0];
    for (const { gap, what, dur } of steps) {
      ts += gap;
      const event = { ts, track: 2, args: [] };
      if (what >= pairs) {
        const slice = { call: "slice", dur: dur % longest, name: "", category: "" } as const;
        calls.push({ ...event, ...slice });
      } else if (open > 0 && what % 2 === 1) {
        calls.push({ ...event, call: "end" });
        open--;
      } else {
        calls.push({ ...event, call: "begin", name: "", category: "" });
        open++;
      }
    }
    return calls;
  });

test("depths agree when dozens of slices overlap, and replaying tells the same", () =>
  fc.assert(
    fc.property(crowded, (calls) => {
      const [base] = fc.sample(anyTrace({ maxCalls: 0 }), { numRuns: 1, seed: 1 });
      const trace = { ...base!, calls };
      const builder = new TraceBuilder();
      play(trace, builder);
      builder.close();
      expect(depthsBuilt(builder.trace, 2)).toEqual(depthsCounted(trace, 2));
      const again = new TraceBuilder();
      replayTrace(builder.trace, again);
      again.close();
      expect(slicesOf(again.trace)).toEqual(slicesOf(builder.trace));
    }),
    { numRuns: 300 },
  ));

test("the slices of a row never overlap, and no lane lies above the depth", () =>
  fc.assert(
    fc.property(sliceCalls, (calls) => {
      const builder = new TraceBuilder();
      play(calls, builder);
      builder.close();
      for (const row of builder.trace.rows) {
        let end = -Infinity;
        for (const chunk of row.chunks as Row<"slice">["chunks"])
          for (let i = 0; i < chunk.length; i++) {
            expect(chunk.ts[i]).toBeGreaterThanOrEqual(end);
            expect(row.lane).toBeGreaterThanOrEqual(chunk.depth[i]!);
            const dur = durationAt(chunk, i);
            end = Number.isNaN(dur) ? Infinity : chunk.ts[i]! + dur;
          }
      }
    }),
    { numRuns: 300 },
  ));

test("late events build the same trace as events in time", () =>
  fc.assert(
    fc.property(
      anyTrace({
        ordered: true,
        watermarks: false,
        calls: [
          "begin",
          "end",
          "slice",
          "instant",
          "counter",
          "sample",
          "switch",
          "waking",
          "life",
          "log",
        ],
      }),
      fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
      (trace, places) => {
        const inTime = { ...trace, calls: trace.calls.map(withoutEndArgs) };
        const shuffled = inTime.calls
          .map((call, i) => ({ call, place: places[i]! }))
          .sort((x, y) => x.place - y.place)
          .flatMap(({ call, place }): AnyCall[] =>
            place % 3 === 0 ? [call, { call: "watermark", ts: call.ts + 1 }] : [call],
          );
        const [direct, late] = [inTime, { ...trace, calls: shuffled }].map((calls) => {
          const builder = new TraceBuilder();
          play(calls, builder);
          builder.close();
          return dumpEvents(builder.trace, { without: ["problem"] });
        });
        expect(late).toBe(direct);
      },
    ),
    { numRuns: 300 },
  ));

/** What an end adds to its slice is not kept apart, so it can't move to another slice when that turns out to be meant. */
function withoutEndArgs(call: AnyCall): AnyCall {
  return call.call === "end" ? { ...call, args: [] } : call;
}

function depthsBuilt(trace: Trace, track: number): string[] {
  const lines: string[] = [];
  for (const row of trace.rowsOf(track as TrackId) as readonly Row<"slice">[])
    for (const chunk of row.chunks)
      for (let i = 0; i < chunk.length; i++)
        lines.push(`${chunk.ts[i]} ${durationAt(chunk, i)} ${chunk.depth[i]}`);
  return lines.sort();
}

/** The plain way: pair, then count for every slice all others that contain it. */
function depthsCounted(calls: AnyTrace, track: number): string[] {
  const slices: { ts: number; end: number }[] = [];
  const open: { ts: number; end: number }[] = [];
  for (const call of calls.calls) {
    if (!("track" in call) || call.track !== track) continue;
    if (call.call === "begin") {
      const slice = { ts: call.ts, end: Infinity };
      slices.push(slice);
      open.push(slice);
    } else if (call.call === "end") open.pop()!.end = call.ts;
    else if (call.call === "slice")
      slices.push({ ts: call.ts, end: Number.isNaN(call.dur) ? Infinity : call.ts + call.dur });
  }
  return slices
    .map(({ ts, end }) => {
      const around = slices.filter((other) => other.ts < ts && other.end > ts && other.end >= end);
      return `${ts} ${end === Infinity ? NaN : end - ts} ${around.length}`;
    })
    .sort();
}
