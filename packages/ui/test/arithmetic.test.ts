/** The timeline's arithmetic: ranges, ticks, labels, motion. No browser. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readHash, writeHash } from "../src/hash.ts";
import { actionOf, wheelActionOf } from "../src/keys.ts";
import { flameBoxes, flameDepth } from "../src/panels/flame-layout.ts";
import { TextMeasure } from "../src/timeline/labels.ts";
import { Ease, HeldMotion } from "../src/timeline/motion.ts";
import {
  clampRange,
  fitAround,
  limitsOf,
  mixRanges,
  panBy,
  reveal,
  spanOf,
  zoomAt,
} from "../src/timeline/range.ts";
import { tickStep, ticksOf } from "../src/timeline/ticks.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatShare,
  formatTime,
  stateWords,
} from "../src/words.ts";

const limits = limitsOf(0, 1e9);
const range = fc
  .tuple(
    fc.double({ min: 0, max: 9e8, noNaN: true }),
    fc.double({ min: 100, max: 1e8, noNaN: true }),
  )
  .map(([from, span]) => ({ from, to: from + span }));

describe("ranges", () => {
  test("zooming keeps the time under the pointer where it is", () =>
    fc.assert(
      fc.property(range, fc.double({ min: 0, max: 1, noNaN: true }), (view, anchor) => {
        const fixed = view.from + spanOf(view) * anchor;
        const next = zoomAt(view, anchor, 0.5, limits);
        expect(next.from + spanOf(next) * anchor).toBeCloseTo(fixed, -1);
        expect(spanOf(next)).toBeCloseTo(Math.max(50, spanOf(view) / 2), 3);
      }),
    ));
  test("no movement leaves the trace", () =>
    fc.assert(
      fc.property(
        range,
        fc.double({ min: -50, max: 50, noNaN: true }),
        fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
        (view, pan, factor) => {
          for (const next of [panBy(view, pan, limits), zoomAt(view, 0.3, factor, limits)]) {
            expect(next.from).toBeGreaterThanOrEqual(limits.from - 1e-3);
            expect(next.to).toBeLessThanOrEqual(limits.to + 1e-3);
            expect(spanOf(next)).toBeGreaterThanOrEqual(limits.minSpan - 1e-3);
          }
        },
      ),
    ));
  test("zooming out all the way shows the whole trace with a little air", () => {
    const out = zoomAt({ from: 100, to: 200 }, 0.5, 1e9, limits);
    expect(out).toEqual({ from: limits.from, to: limits.to });
    expect(limits.from).toBeLessThan(0);
  });
  test("an empty trace still has a view", () => {
    expect(spanOf(limitsOf(Infinity, -Infinity))).toBe(1e6);
    expect(spanOf(clampRange({ from: 5, to: 5 }, limitsOf(0, 0)))).toBe(50);
  });
  test("fit puts an event in the middle with air", () => {
    const view = fitAround(1000, 1000, limits);
    expect(view.from).toBeCloseTo(850);
    expect(view.to).toBeCloseTo(2150);
  });
  test("reveal does not move when the event is already in sight", () => {
    const view = { from: 1000, to: 2000 };
    expect(reveal(view, 1500, 10, limits)).toBe(view);
    const moved = reveal(view, 5000, 10, limits);
    expect(moved.from).toBeLessThan(5000);
    expect(moved.to).toBeGreaterThan(5010);
    expect(spanOf(moved)).toBe(1000);
  });
  test("a mix starts and ends where it should and zooms evenly", () => {
    const a = { from: 0, to: 1000 };
    const b = { from: 100, to: 110 };
    expect(mixRanges(a, b, 0)).toBe(a);
    expect(mixRanges(a, b, 1)).toBe(b);
    expect(spanOf(mixRanges(a, b, 0.5))).toBeCloseTo(100);
  });
});

describe("ruler", () => {
  test("steps are 1, 2 or 5 and leave room for a label", () =>
    fc.assert(
      fc.property(
        fc.double({ min: 1e3, max: 1e14, noNaN: true }),
        fc.integer({ min: 300, max: 4000 }),
        (span, width) => {
          const step = tickStep(span, width);
          const lead = Number(step.toExponential().split("e")[0]);
          expect([1, 2, 5]).toContain(Math.round(lead * 1e6) / 1e6);
          expect((step / span) * width).toBeGreaterThanOrEqual(111.9);
        },
      ),
    ));
  test("about ten ticks on a usual screen", () => {
    const ticks = ticksOf({ from: 0, to: 11e6 }, 1300, 0);
    expect(ticks.map(({ label }) => label)).toEqual([
      "0 ms",
      "1 ms",
      "2 ms",
      "3 ms",
      "4 ms",
      "5 ms",
      "6 ms",
      "7 ms",
      "8 ms",
      "9 ms",
      "10 ms",
      "11 ms",
    ]);
  });
  test("deep in a long trace: the first in full, then offsets", () => {
    const ticks = ticksOf({ from: 32_190_000, to: 32_890_000 }, 1200, 0);
    expect(ticks[0]).toMatchObject({ label: "32.2 ms", absolute: true });
    expect(ticks[1]).toMatchObject({ label: "+100 µs", absolute: false });
    expect(ticks.length).toBeLessThanOrEqual(11);
  });
});

describe("labels", () => {
  const measure = new TextMeasure((text) => text.length * 6);
  test("what fits is left alone", () => expect(measure.fit("read", 24)).toBe("read"));
  test("qualified names keep their tail, others their head", () => {
    expect(measure.fit("ThreadPool::run_2064", 60)).toBe("…:run_2064");
    expect(measure.fit("postgres checkpointer", 60)).toBe("postgres …");
  });
  test("nothing rather than one letter", () => expect(measure.fit("postgres", 11)).toBe(""));
  test("never wider than its room", () =>
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 0, max: 300 }),
        (text, room) => {
          expect(measure.width(measure.fit(text, room))).toBeLessThanOrEqual(room);
        },
      ),
    ));
});

describe("motion", () => {
  test("a held key moves smoothly and stops when let go", () => {
    const motion = new HeldMotion();
    expect(motion.press("zoomIn", 0)).toBe(true);
    expect(motion.press("zoomIn", 10)).toBe(false);
    let view = { from: 0, to: 1e8 };
    for (let now = 16; now <= 160; now += 16) {
      const next = motion.step(view, 0.5, limits, now);
      expect(spanOf(next)).toBeLessThan(spanOf(view));
      expect(spanOf(next)).toBeGreaterThan(spanOf(view) * 0.9);
      view = next;
    }
    motion.release("zoomIn");
    expect(motion.moving).toBe(false);
    expect(motion.step(view, 0.5, limits, 200)).toBe(view);
  });
  test("a stall does not make it jump", () => {
    const motion = new HeldMotion();
    motion.press("panRight", 0);
    const view = { from: 0, to: 1e6 };
    const next = motion.step(view, 0.5, limits, 5000);
    expect(next.from - view.from).toBeLessThanOrEqual(0.05 * 1.6 * 1e6 + 1);
  });
  test("an ease ends exactly at its target", () => {
    const ease = new Ease({ from: 0, to: 100 }, { from: 50, to: 60 }, 1000);
    expect(ease.at(1060).done).toBe(false);
    expect(ease.at(1120)).toEqual({ range: { from: 50, to: 60 }, done: true });
  });
});

describe("input", () => {
  const press = (key: string, more = {}) => ({
    key,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    shiftKey: false,
    ...more,
  });
  test("W S A D are held", () => {
    expect(actionOf(press("w"), false)).toEqual({ kind: "hold", what: "zoomIn" });
    expect(actionOf(press("S"), false)).toEqual({ kind: "hold", what: "zoomOut" });
    expect(actionOf(press("a"), true)).toEqual({ kind: "hold", what: "panLeft" });
    expect(actionOf(press("d"), true)).toEqual({ kind: "hold", what: "panRight" });
  });
  test("the browser keeps its own shortcuts", () => {
    expect(actionOf(press("w", { ctrlKey: true }), false)).toBeUndefined();
    expect(actionOf(press("f", { metaKey: true }), false)).toBeUndefined();
    expect(actionOf(press("F5"), false)).toBeUndefined();
    expect(actionOf(press("Tab"), false)).toBeUndefined();
  });
  test("arrows walk events once one is selected", () => {
    expect(actionOf(press("ArrowRight"), true)).toEqual({ kind: "once", what: "next" });
    expect(actionOf(press("ArrowUp"), true)).toEqual({ kind: "once", what: "parent" });
    expect(actionOf(press("ArrowRight"), false)).toEqual({ kind: "hold", what: "panRight" });
  });
  test("Enter walks hits, Shift+Enter back", () => {
    expect(actionOf(press("Enter"), false)).toEqual({ kind: "once", what: "nextHit" });
    expect(actionOf(press("Enter", { shiftKey: true }), false)).toEqual({
      kind: "once",
      what: "previousHit",
    });
  });
  const turn = (deltaX: number, deltaY: number, more = {}) => ({
    deltaX,
    deltaY,
    deltaMode: 0,
    ctrlKey: false,
    metaKey: false,
    shiftKey: false,
    ...more,
  });
  test("the wheel scrolls, pans sideways, zooms with Ctrl or Meta", () => {
    expect(wheelActionOf(turn(0, 100))).toEqual({ kind: "scroll", px: 100 });
    expect(wheelActionOf(turn(80, 10))).toEqual({ kind: "pan", px: 80 });
    expect(wheelActionOf(turn(0, 100, { shiftKey: true }))).toEqual({ kind: "pan", px: 100 });
    expect(wheelActionOf(turn(0, 3, { deltaMode: 1 }))).toEqual({ kind: "scroll", px: 54 });
    const zoom = wheelActionOf(turn(0, -100, { ctrlKey: true }));
    expect(zoom.kind === "zoom" && zoom.factor).toBeLessThan(1);
    const wild = wheelActionOf(turn(0, 1e9, { metaKey: true }));
    expect(wild.kind === "zoom" && wild.factor).toBeLessThan(2);
  });
});

describe("address", () => {
  test("what is written is read", () => {
    const state = { from: 10, to: 2000, selection: { row: 3, index: 14 } };
    expect(readHash(writeHash(state))).toEqual(state);
    expect(writeHash({})).toBe("");
  });
  test("nonsense is nothing", () =>
    fc.assert(
      fc.property(fc.string(), (text) => {
        const { from = 0, to = 1 } = readHash(`#${text}`);
        expect(to).toBeGreaterThan(from);
      }),
    ));
  test("a backwards range is nothing", () => expect(readHash("#from=5&to=5")).toEqual({}));
});

describe("words", () => {
  test("durations", () => {
    expect(
      [0, 12, 1234, 12_300_000, 1.5e9, 90e9, 7200e9, -1, Number.NaN].map(formatDuration),
    ).toEqual([
      "0 ns",
      "12 ns",
      "1.234 µs",
      "12.3 ms",
      "1.5 s",
      "1 min 30 s",
      "2 h 0 min",
      "open",
      "open",
    ]);
  });
  test("moments have every digit of their step", () => {
    expect(formatTime(32_200_000, 50_000)).toBe("32.20 ms");
    expect(formatTime(1.5e9, 1e6)).toBe("1.500 s");
    expect(formatTime(0, 1e6)).toBe("0 ms");
    expect(formatTime(120, 10)).toBe("120 ns");
  });
  test("counts, bytes, shares", () => {
    expect([5, 1234, 123_456, 1_234_567].map(formatCount)).toEqual([
      "5",
      "1,234",
      "123 k",
      "1.23 M",
    ]);
    expect([12, 2048, 3_500_000].map(formatBytes)).toEqual(["12 B", "2.0 kB", "3.5 MB"]);
    expect([0, 0.0001, 0.014, 0.432].map(formatShare)).toEqual(["0 %", "< 0.1 %", "1.4 %", "43 %"]);
  });
  test("thread states in words, unknown letters as they are", () => {
    expect(stateWords("D").name).toBe("Uninterruptible");
    expect(stateWords("D|K").name).toBe("Uninterruptible");
    expect(stateWords("R+").name).toBe("Runnable (preempted)");
    expect(stateWords("?").name).toBe("?");
  });
});

describe("flame graph", () => {
  const node = (name: string, depth: number, totalNs: number) => ({
    name,
    module: "",
    depth,
    totalNs,
    selfNs: 0,
    samples: 1,
  });
  test("children start where their parent starts, side by side", () => {
    const boxes = flameBoxes([
      node("main", 0, 10),
      node("a", 1, 4),
      node("b", 2, 3),
      node("c", 1, 5),
      node("other", 0, 2),
    ]);
    expect(boxes.map(({ start, depth, parent }) => [start, depth, parent])).toEqual([
      [0, 0, -1],
      [0, 1, 0],
      [0, 2, 1],
      [4, 1, 0],
      [10, 0, -1],
    ]);
    expect(flameDepth(boxes)).toBe(3);
  });
});
