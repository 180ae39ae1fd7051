/** Watching a recording: the even clock, the view that follows, the tree that stays. No browser. */
import type { TrackNode } from "@kymo/trace/engine";
import { describe, expect, test } from "vitest";
import { actionOf } from "../src/keys.ts";
import { FOLLOW_AT, NewestClock, rangeFollowing } from "../src/timeline/newest.ts";
import { clampRange, liveLimitsOf, panBy, spanOf } from "../src/timeline/range.ts";
import { buildTree, SteadyOrder } from "../src/timeline/tree.ts";

describe("the newest time as shown", () => {
  /** News every 100 ms, off by up to ±30 ms, frames every 16 ms. */
  function run(seconds: number): { at: number; arrived: number; shown: number }[] {
    const clock = new NewestClock();
    const frames: { at: number; arrived: number; shown: number }[] = [];
    let arrived = Number.NaN;
    let next = 0;
    for (let at = 0; at < seconds * 1000; at += 16) {
      if (at >= next) {
        arrived = at * 1e6;
        clock.take(arrived, at);
        next = at + 100 + 30 * Math.sin(at);
      }
      frames.push({ at, arrived, shown: clock.at(at) });
    }
    return frames;
  }
  test("never runs ahead of what has arrived, never back, and stays close behind", () => {
    let before = -Infinity;
    for (const { at, arrived, shown } of run(10)) {
      expect(shown).toBeLessThanOrEqual(arrived);
      expect(shown).toBeGreaterThanOrEqual(before);
      expect(at * 1e6 - shown).toBeLessThan(300e6);
      before = shown;
    }
  });
  test("runs evenly between the news", () => {
    const frames = run(10).slice(200);
    const steps = frames.slice(1).map(({ shown }, i) => (shown - frames[i]!.shown) / 1e6);
    expect(Math.min(...steps)).toBeGreaterThan(8);
    expect(Math.max(...steps)).toBeLessThan(24);
  });
  test("jumps when the tab has slept", () => {
    const clock = new NewestClock();
    clock.take(1e9, 1000);
    expect(clock.at(1000)).toBe(1e9);
    clock.take(90e9, 90_000);
    const shown = clock.at(90_010);
    expect(90e9 - shown).toBeLessThan(300e6);
    // No news: it stands.
    clock.at(90_500);
    expect(clock.at(99_000)).toBe(90e9);
  });
  test("has nothing to show before any news", () => {
    expect(new NewestClock().at(5)).toBeNaN();
  });
});

describe("a view that follows", () => {
  test("has the newest time near its right edge, and may be panned back before it is full", () => {
    const view = rangeFollowing(2e9, 10e9);
    expect(spanOf(view)).toBe(10e9);
    expect(view.from + FOLLOW_AT * 10e9).toBeCloseTo(2e9, 0);
    const limits = liveLimitsOf(0, 2e9, 10e9, 1 - FOLLOW_AT);
    expect(clampRange(view, limits)).toEqual(view);
    expect(panBy(view, -0.06, limits).to).toBeLessThan(2e9);
  });
  test("keeps its width when the recording is longer than it", () => {
    const limits = liveLimitsOf(0, 100e9, 10e9, 1 - FOLLOW_AT);
    expect(limits.from).toBeLessThan(0);
    expect(clampRange(rangeFollowing(100e9, 10e9), limits)).toEqual(rangeFollowing(100e9, 10e9));
  });
  test("Space and L are its keys", () => {
    const press = (key: string) =>
      actionOf({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false }, false);
    expect([press(" "), press("l")]).toEqual([
      { kind: "once", what: "pause" },
      { kind: "once", what: "follow" },
    ]);
  });
});

describe("the tree while it grows", () => {
  const thread = (id: number, parent: number, busyNs: number): TrackNode => ({
    id,
    parent,
    info: { kind: "thread", name: `t${id}`, tid: id },
    name: `t${id}`,
    idText: "",
    facts: "",
    rows: [{ id, kind: "thread_state", lane: 0, length: 1 }],
    busyNs,
    target: false,
  });
  const process = (id: number, busyNs: number): TrackNode => ({
    ...thread(id, 0, busyNs),
    parent: undefined,
    info: { kind: "process", name: `p${id}`, pid: id },
    rows: [],
  });
  const keys = (tree: ReturnType<typeof buildTree>, key: string) =>
    tree.byKey.get(key)!.children.map((child) => child.key);

  test("lines keep their places when others get busier, new ones come last", () => {
    const steady = new SteadyOrder();
    const first = [process(1, 9), thread(2, 1, 5), thread(3, 1, 4), process(4, 1), thread(5, 4, 1)];
    expect(buildTree(first, steady).roots.map(({ key }) => key)).toEqual(["t1", "t4"]);
    const later = [
      process(7, 500),
      thread(8, 7, 500),
      process(4, 100),
      thread(5, 4, 100),
      process(1, 20),
      thread(9, 1, 20),
      thread(3, 1, 15),
      thread(2, 1, 5),
    ];
    const tree = buildTree(later, steady);
    expect(tree.roots.map(({ key }) => key)).toEqual(["t1", "t4", "t7"]);
    expect(keys(tree, "t1")).toEqual(["t2", "t3", "t9"]);
    expect(buildTree(later).roots.map(({ key }) => key)).toEqual(["t7", "t4", "t1"]);
  });
  test("a thread that stood on its own is not folded away when others get busier", () => {
    const steady = new SteadyOrder();
    const with3 = (busy: number) => [
      process(1, 9),
      thread(2, 1, busy),
      thread(3, 1, 5),
      thread(4, 1, 5),
      thread(5, 1, 0),
      thread(6, 1, 0),
    ];
    expect(keys(buildTree(with3(5), steady), "t1")).toEqual(["t2", "t3", "t4", "q1"]);
    expect(keys(buildTree(with3(5000), steady), "t1")).toEqual(["t2", "t3", "t4", "q1"]);
    expect(keys(buildTree(with3(5000)), "t1")).toEqual(["t2", "q1"]);
  });
});
