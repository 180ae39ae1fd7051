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

test("a silent CPU is let alone while it has no idle time to report", () => {
  const { calls, counts, watch, round } = watching([1]);
  watch.leftIdle(1, false);
  round(0.1);
  counts.set(1, { switches: 20_000, toIdle: 5 });
  round(0.2);
  expect(calls).toEqual(["1 off"]);
  counts.set(1, { switches: 40_000, toIdle: 5 });
  round(0.3);
  expect(calls).toEqual(["1 off"]);
  counts.set(1, { switches: 40_100, toIdle: 50 });
  round(0.4);
  expect(calls).toEqual(["1 off", "1 on"]);
});
