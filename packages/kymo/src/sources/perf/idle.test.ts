import { expect, test } from "vitest";
import { type CpuSwitches, IdleWatch } from "./idle.ts";

function watching(cpus: readonly number[]) {
  const calls: string[] = [];
  const counts = new Map<number, CpuSwitches>();
  const watch = new IdleWatch(cpus, (cpu, on) => void calls.push(`${cpu} ${on ? "on" : "off"}`));
  const round = (seconds: number) =>
    watch.round(seconds * 1e9, (cpu) => counts.get(cpu) ?? { switches: 0, toIdle: 0 });
  return { calls, counts, watch, round };
}

test("a CPU that reports how it leaves idle is watched no longer", () => {
  const { calls, watch } = watching([0, 1]);
  watch.leftIdle(0, true);
  watch.leftIdle(0, true);
  expect(calls).toEqual(["0 off"]);
});

test("a CPU that doesn't stays watched; one that never left idle does not", () => {
  const { calls, watch, round } = watching([0, 1]);
  watch.leftIdle(1, false);
  watch.leftIdle(1, true);
  round(1);
  expect(calls).toEqual([]);
  round(2.1);
  expect(calls).toEqual(["0 off"]);
});

test("a silent CPU is let alone after a while without idle time, and watched again at once", () => {
  const { calls, counts, watch, round } = watching([1]);
  watch.leftIdle(1, false);
  counts.set(1, { switches: 40_000, toIdle: 5 });
  round(0.1);
  expect(calls).toEqual([]);
  counts.set(1, { switches: 80_000, toIdle: 10 });
  round(1);
  expect(calls).toEqual(["1 off"]);
  counts.set(1, { switches: 90_000, toIdle: 12 });
  round(1.1);
  expect(calls).toEqual(["1 off"]);
  counts.set(1, { switches: 90_100, toIdle: 60 });
  round(1.2);
  expect(calls).toEqual(["1 off", "1 on"]);
});

test("a silent CPU that switches seldom stays watched, idle or not", () => {
  const { calls, counts, watch, round } = watching([1]);
  watch.leftIdle(1, false);
  for (let second = 1; second < 5; second++) {
    counts.set(1, { switches: 1000 * second, toIdle: 0 });
    round(second);
  }
  expect(calls).toEqual([]);
});

test("a busy CPU is let alone before anything is known of it, and has its full time once it is watched again", () => {
  const { calls, counts, round } = watching([1]);
  counts.set(1, { switches: 40_000, toIdle: 0 });
  round(0.3);
  expect(calls).toEqual(["1 off"]);
  counts.set(1, { switches: 400_000, toIdle: 0 });
  round(3);
  counts.set(1, { switches: 400_010, toIdle: 5 });
  round(3.1);
  expect(calls).toEqual(["1 off", "1 on"]);
  round(5);
  expect(calls).toEqual(["1 off", "1 on"]);
  round(5.2);
  expect(calls).toEqual(["1 off", "1 on", "1 off"]);
});
