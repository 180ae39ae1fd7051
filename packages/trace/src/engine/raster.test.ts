import fc from "fast-check";
import { expect, test } from "vitest";
import type { TrackId } from "../model/sink.ts";
import { ColumnTrace, type GivenEvent } from "../testing/column-trace.ts";
import { counterCurve } from "./counter-curve.ts";
import { LevelOfDetail } from "./lod.ts";
import { FILLS, faded, fillOf, pixel } from "./palette.ts";
import { MAX_LABELS, Raster } from "./raster.ts";

function draw(
  events: readonly GivenEvent[],
  over: {
    kind?: "slice" | "thread_state" | "instant" | "sample";
    width?: number;
    to?: number;
    highlight?: string;
    labelMinPx?: number;
  } = {},
) {
  const trace = new ColumnTrace();
  const track = trace.track({ kind: "thread", name: "main" });
  const row = trace.row(track, over.kind ?? "slice", 0, events, { sealed: true });
  const lod = new LevelOfDetail(trace);
  lod.work(Infinity);
  return new Raster(lod).strip(1, {
    rows: [row.id],
    from: 0,
    to: over.to ?? 100,
    width: over.width ?? 100,
    theme: "light",
    highlight: over.highlight ?? "",
    labelMinPx: over.labelMinPx ?? 0,
  });
}
const alpha = (word: number): number => word >>> 24;
const rgb = (word: number): number => word & 0xffffff;

test("slices a pixel wide or more fill exactly their pixels; neighbours are parted by one clear pixel", () => {
  const { pixels } = draw([
    { ts: 10, dur: 10, key: "a" },
    { ts: 20, dur: 5, key: "b" },
    { ts: 40, dur: 2, key: "a" },
    { ts: 42, dur: 2, key: "b" },
  ]);
  const a = pixel(FILLS[fillOf("a")]!);
  const b = pixel(FILLS[fillOf("b")]!);
  const expected = new Uint32Array(100);
  expected.fill(a, 10, 19).fill(b, 20, 25).fill(a, 40, 42).fill(b, 42, 44);
  expect([...pixels]).toEqual([...expected]);
});

test("a cluster takes the longest slice's colour, its alpha says how busy the pixel is", () => {
  const events = [
    { ts: 100, dur: 10, key: "x" },
    { ts: 120, dur: 50, key: "y" },
    { ts: 300, dur: 5, key: "x" },
  ];
  const { pixels } = draw(events, { width: 10, to: 1000 });
  expect(rgb(pixels[1]!)).toBe(rgb(pixel(FILLS[fillOf("y")]!)));
  expect(alpha(pixels[1]!)).toBeGreaterThan(alpha(pixels[3]!));
  expect(alpha(pixels[3]!)).toBeGreaterThan(60);
  expect(pixels[2]).toBe(0);
});

test("names that differ in digits only share a colour; the colours of a theme are the palette's", () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), fc.nat(), (name, i, j) => {
      expect(fillOf(`${name}${i}`)).toBe(fillOf(`${name}${j}`));
      expect(fillOf(name)).toBeLessThan(FILLS.length);
    }),
  );
  const used = new Set(
    Array.from({ length: 400 }, (_, i) =>
      fillOf(`f${String.fromCharCode(97 + (i % 26))}${"x".repeat(i / 26)}`),
    ),
  );
  expect(used.size).toBe(FILLS.length);
});

test("a search miss keeps a quarter of its saturation", () => {
  const { pixels } = draw(
    [
      { ts: 0, dur: 50, key: "miss" },
      { ts: 50, dur: 50, key: "a hit" },
    ],
    { highlight: "hit" },
  );
  const miss = FILLS[fillOf("miss")]!;
  expect(pixels[5]).toBe(pixel(faded(miss)));
  expect(pixels[60]).toBe(pixel(FILLS[fillOf("a hit")]!));
  const spread = (c: number) =>
    Math.max(c >>> 16, (c >>> 8) & 255, c & 255) - Math.min(c >>> 16, (c >>> 8) & 255, c & 255);
  expect(Math.abs(spread(faded(miss)) - spread(miss) / 4)).toBeLessThanOrEqual(1);
});

test("thread states have colours of their own; sleeping is faint", () => {
  const { pixels } = draw(
    [
      { ts: 0, dur: 20, key: "Running" },
      { ts: 20, dur: 20, key: "R" },
      { ts: 40, dur: 20, key: "R+" },
      { ts: 60, dur: 20, key: "D" },
      { ts: 80, dur: 20, key: "S" },
    ],
    { kind: "thread_state" },
  );
  const colours = [5, 25, 45, 65, 85].map((px) => pixels[px]!);
  expect(new Set(colours).size).toBe(5);
  expect(colours.map(alpha)).toEqual([255, 255, 255, 255, 26]);
  expect(new Set(pixels.subarray(61, 78)).size).toBe(1);
});

test("instants are ticks of at most two pixels, samples get denser where there are more", () => {
  const instants = draw(
    [
      { ts: 10, key: "a" },
      { ts: 11, key: "b" },
      { ts: 50, key: "a" },
    ],
    { kind: "instant" },
  );
  const at = (px: number) => instants.pixels[px];
  const a = pixel(FILLS[fillOf("a")]!);
  const b = pixel(FILLS[fillOf("b")]!);
  expect([at(9), at(10), at(11), at(12), at(13), at(50), at(51), at(52)]).toEqual([
    0,
    a,
    b,
    b,
    0,
    a,
    a,
    0,
  ]);
  const many = Array.from({ length: 40 }, (_, i) => ({ ts: i < 39 ? 10 : 20 }));
  const samples = draw(many, { kind: "sample" });
  expect(alpha(samples.pixels[10]!)).toBeGreaterThan(alpha(samples.pixels[20]!));
});

test("labels: one for each slice wide enough, the widest when there are too many", () => {
  const events = Array.from({ length: 1500 }, (_, i) => ({
    ts: 10 * i,
    dur: i % 2 === 0 ? 4 : 8,
    key: `n${i}`,
  }));
  const strip = draw(events, { width: 15_000, to: 15_000, labelMinPx: 3 });
  expect(strip.labels).toHaveLength(4 * MAX_LABELS);
  for (let i = 0; i < strip.labels.length; i += 4) {
    expect(strip.labels[i + 1]).toBe(8);
    expect(strip.labelTexts[strip.labels[i + 3]!]).toBe(`n${strip.labels[i]! / 10}`);
  }
  expect(draw(events, { width: 15_000, to: 15_000, labelMinPx: 0 }).labels).toHaveLength(0);
});

test("a slice that starts before the window has its label and pixels from the window's edge", () => {
  const strip = draw([{ ts: -50, dur: 80, key: "long" }], { labelMinPx: 10 });
  expect([...strip.labels]).toEqual([0, 30, 0, 0]);
  expect(strip.pixels[0]).not.toBe(0);
});

test("a counter curve has the lowest and highest value of every pixel, and holds between values", () => {
  const values = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: -1000, max: 1000 })), {
    minLength: 1,
    maxLength: 400,
  });
  fc.assert(
    fc.property(
      values,
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 16, max: 200 }),
      (pairs, width, chunkRows) => {
        const trace = new ColumnTrace();
        const track = trace.track({ kind: "counter", name: "c" });
        let ts = 0;
        const events = pairs.map(([gap, value]) => {
          ts += gap;
          return { ts, value };
        });
        const row = trace.row(track as TrackId, "counter", 0, events, { chunkRows });
        const to = ts + 10;
        const curve = counterCurve(new LevelOfDetail(trace), row, 0, to, width);
        const edge = (px: number): number => (px === width ? to : px * (to / width));
        for (let px = 0; px < width; px++) {
          const before = events.findLast((event) => event.ts < edge(px));
          const inside = events.filter((event) => event.ts >= edge(px) && event.ts < edge(px + 1));
          const seen = [...(before ? [before] : []), ...inside].map((event) => event.value);
          if (seen.length === 0) expect(curve.low[px]).toBeNaN();
          else {
            const range = curve.max - curve.min;
            expect(curve.low[px]! * (range || 1) + curve.min).toBeCloseTo(Math.min(...seen), 2);
            expect(curve.high[px]! * (range || 1) + curve.min).toBeCloseTo(Math.max(...seen), 2);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});
