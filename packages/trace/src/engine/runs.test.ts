import fc from "fast-check";
import { expect, test } from "vitest";
import type { Row } from "../model/trace.ts";
import { ColumnTrace, type GivenEvent } from "../testing/column-trace.ts";
import { placeOf } from "./locate.ts";
import { LevelOfDetail } from "./lod.ts";
import { forEachTick, Runs } from "./runs.ts";

/** Non-overlapping events: gaps and durations over many magnitudes, zeros and escapes among them. */
const magnitude = fc.oneof(
  { weight: 6, arbitrary: fc.nat(50) },
  { weight: 4, arbitrary: fc.nat(5_000) },
  { weight: 2, arbitrary: fc.nat(3_000_000) },
  { weight: 1, arbitrary: fc.integer({ min: 4_000_000_000, max: 9_000_000_000 }) },
);
const eventList = fc
  .array(fc.tuple(magnitude, magnitude), { minLength: 1, maxLength: 700 })
  .map((pairs) => {
    const events: GivenEvent[] = [];
    let ts = -500;
    for (const [gap, dur] of pairs) {
      ts += gap;
      events.push({ ts, dur, key: `name ${events.length % 7}` });
      ts += dur;
    }
    return events;
  });

interface Case {
  readonly events: readonly GivenEvent[];
  readonly chunkRows: number;
  readonly sealed: boolean;
  readonly openLast: boolean;
  readonly window: readonly [number, number];
  readonly width: number;
}
const cases: fc.Arbitrary<Case> = fc.record({
  events: eventList,
  chunkRows: fc.constantFrom(130, 256, 1000),
  sealed: fc.boolean(),
  openLast: fc.boolean(),
  window: fc.tuple(
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 1e-6, max: 1, noNaN: true }),
  ),
  width: fc.integer({ min: 1, max: 300 }),
});

function build({ events, chunkRows, sealed, openLast }: Case) {
  const trace = new ColumnTrace();
  const track = trace.track({ kind: "thread", name: "t" });
  const given = openLast ? [...events.slice(0, -1), { ...events.at(-1)!, dur: NaN }] : events;
  const row = trace.row(track, "slice", 0, given, { chunkRows, sealed });
  const lod = new LevelOfDetail(trace);
  expect(lod.work(Infinity)).toBe(true);
  return { trace, row: row as Row<"slice">, lod, given };
}

/** Every event at least a pixel wide that shows in the window, by a plain scan: its index. */
function plainWide(
  events: readonly GivenEvent[],
  from: number,
  to: number,
  width: number,
  openEnd: number,
) {
  const nsPerPx = (to - from) / width;
  const wide: number[] = [];
  for (const [index, { ts, dur = 0 }] of events.entries()) {
    const ns = Number.isNaN(dur) ? Math.max(0, openEnd - ts) : dur;
    if (ns >= nsPerPx && ts < to && ts + ns > from) wide.push(index);
  }
  return wide;
}

test("at every zoom, every event at least a pixel wide is a run of its own", () => {
  fc.assert(
    fc.property(cases, (one) => {
      const { trace, row, lod, given } = build(one);
      const all = Math.max(1, trace.toNs - trace.fromNs);
      const span = Math.max(1, all * one.window[1] ** 3);
      const from = trace.fromNs + one.window[0] * (all - span);
      const to = from + span;
      const runs = new Runs(one.width);
      runs.fill(row, from, to, trace.toNs, lod);
      const drawn = new Set<number>();
      for (let n = 0; n < runs.length; n++) drawn.add(runs.chunk[n]! * one.chunkRows + runs.at[n]!);
      for (const index of plainWide(given, from, to, one.width, trace.toNs))
        expect(drawn.has(index), `event ${index} of ${given.length}`).toBe(true);
    }),
    { numRuns: 400 },
  );
});

test("level of detail shows a pixel as busy exactly where a plain scan does", () => {
  fc.assert(
    fc.property(cases, (one) => {
      const { trace, row, lod } = build(one);
      const from = trace.fromNs;
      const to = trace.toNs > from ? trace.toNs : from + 1;
      const cover = (detail: LevelOfDetail | undefined): Float64Array => {
        const runs = new Runs(one.width);
        runs.fill(row, from, to, trace.toNs, detail);
        const busy = new Float64Array(one.width + 1);
        for (let n = 0; n < runs.length; n++) {
          const end = Math.min(
            one.width,
            Math.max(Math.floor(runs.x0[n]!) + 1, Math.floor(runs.x1[n]!)),
          );
          for (let x = Math.max(0, Math.floor(runs.x0[n]!)); x < end; x++)
            busy[x] = Math.max(busy[x]!, runs.busy[n]!);
        }
        return busy;
      };
      const plain = cover(undefined);
      const quick = cover(lod);
      for (let px = 0; px < one.width; px++) {
        // A bucket never spans more than two pixels, so what is busy lies at most one pixel off.
        const near = Math.max(quick[px]!, quick[px - 1] ?? 0, quick[px + 1] ?? 0);
        if (plain[px]! > 0) expect(near).toBeGreaterThan(0);
      }
    }),
    { numRuns: 200 },
  );
});

test("a window never yields more than two runs a pixel, in order of time", () => {
  fc.assert(
    fc.property(cases, (one) => {
      const { trace, row, lod } = build(one);
      const runs = new Runs(one.width);
      runs.fill(row, trace.fromNs, Math.max(trace.toNs, trace.fromNs + 1), trace.toNs, lod);
      expect(runs.length).toBeLessThanOrEqual(2 * one.width + 2);
      for (let n = 1; n < runs.length; n++)
        expect(Math.floor(runs.x0[n]!)).toBeGreaterThanOrEqual(Math.floor(runs.x0[n - 1]!));
    }),
    { numRuns: 200 },
  );
});

test("a row built again because late events came is drawn from its new columns", () => {
  const events = Array.from({ length: 400 }, (_, i) => ({ ts: 10 * i, dur: 5, key: "a" }));
  const trace = new ColumnTrace();
  const track = trace.track({ kind: "thread", name: "t" });
  const row = trace.row(track, "slice", 0, events, { sealed: true }) as Row<"slice"> & {
    chunks: unknown;
    generation: number;
  };
  const lod = new LevelOfDetail(trace);
  lod.work(Infinity);
  const runs = new Runs(4);
  runs.fill(row, 0, 4000, 4000, lod);
  const other = trace.row(track, "slice", 0, [{ ts: 1000, dur: 2000, key: "b" }], { sealed: true });
  row.chunks = other.chunks;
  row.generation++;
  runs.fill(row, 0, 4000, 4000, lod);
  expect([runs.length, runs.x0[0], runs.x1[0]]).toEqual([1, 1, 3]);
});

test("a growing tail is complete at every length", () => {
  const track = 0;
  const events = Array.from({ length: 3000 }, (_, i) => ({
    ts: 100 * i,
    dur: i % 97 === 0 ? 90 : i % 7,
    key: "a",
  }));
  const trace = new ColumnTrace();
  trace.track({ kind: "thread", name: "t" });
  const row = trace.row(track as never, "slice", 0, events);
  const chunk = row.chunks[0] as { length: number };
  const lod = new LevelOfDetail(trace);
  for (const length of [1, 15, 16, 17, 255, 257, 1000, 2999, 3000]) {
    chunk.length = length;
    const runs = new Runs(50);
    runs.fill(row as never, 0, 300_000, 300_000, lod);
    const longest = Math.max(...events.slice(0, length).map((event) => event.dur));
    let shown = 0;
    for (let n = 0; n < runs.length; n++)
      shown = Math.max(shown, placeOf(row, runs.at[n]!)!.chunk.dur[runs.at[n]!]!);
    expect(shown).toBe(longest);
  }
});

test("ticks count every instant in its pixel", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(10_000), { minLength: 1, maxLength: 500 }),
      fc.integer({ min: 1, max: 200 }),
      (times, width) => {
        const trace = new ColumnTrace();
        const track = trace.track({ kind: "thread", name: "t" });
        const events = times.sort((a, b) => a - b).map((ts) => ({ ts, key: "x" }));
        const row = trace.row(track, "instant", 0, events, { chunkRows: 64 });
        let total = 0;
        forEachTick(row as never, 0, 10_001, width, (px, count) => {
          expect(px).toBeLessThan(width);
          total += count;
        });
        expect(total).toBe(times.length);
      },
    ),
  );
});
