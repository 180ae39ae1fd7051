import fc from "fast-check";
import { expect, test } from "vitest";
import { TimeMerger } from "./merge.ts";
import { callchainSample, MemorySource, originNs } from "./synthetic.ts";

const source = (cpu: number, times: readonly number[]) =>
  new MemorySource(
    cpu,
    times.map((ts) => callchainSample({ id: 1, pid: 1, tid: 1, ts }, [])),
  );

test("all sources come out in one order of time, as a sort would give it", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(2 ** 40)), { minLength: 1, maxLength: 5 }), (cpus) => {
      const sorted = cpus.map((times) => times.toSorted((a, b) => a - b));
      const seen: number[] = [];
      const merger = new TimeMerger(
        sorted.map((times, cpu) => source(cpu, times)),
        originNs,
      );
      const handled = merger.drain(Infinity, (_, ts) => void seen.push(ts));
      expect(seen).toEqual(sorted.flat().sort((a, b) => a - b));
      expect(handled).toBe(seen.length);
    }),
  );
});

test("what is not older than the limit waits for a later round", () => {
  const merger = new TimeMerger([source(0, [10, 30]), source(1, [20, 40])], originNs);
  const seen: number[] = [];
  merger.drain(30, (_, ts) => void seen.push(ts));
  expect(seen).toEqual([10, 20]);
  merger.drain(Infinity, (_, ts) => void seen.push(ts));
  expect(seen).toEqual([10, 20, 30, 40]);
});

test("times before the origin are negative, not huge", () => {
  const merger = new TimeMerger([source(0, [-5_000_000_000, 1])], originNs);
  const seen: number[] = [];
  merger.drain(Infinity, (_, ts) => void seen.push(ts));
  expect(seen).toEqual([-5_000_000_000, 1]);
});
