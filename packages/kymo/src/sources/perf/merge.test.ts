import fc from "fast-check";
import { expect, test } from "vitest";
import { TimeMerger } from "./merge.ts";
import { recordTime } from "./records.ts";
import { callchainSample, MemorySource, originNs } from "./synthetic.ts";

/** A merger of these times; what it handles goes to `seen`. */
function merger(cpus: readonly (readonly number[])[], seen: number[]): TimeMerger {
  return new TimeMerger(
    cpus.map((times, cpu) => ({
      source: new MemorySource(
        cpu,
        times.map((ts) => callchainSample({ id: 1, pid: 1, tid: 1, ts }, [])),
      ),
      time: recordTime,
      handle: (_, ts) => void seen.push(ts),
    })),
    originNs,
  );
}

test("all sources come out in one order of time, as a sort would give it", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(2 ** 40)), { minLength: 1, maxLength: 5 }), (cpus) => {
      const sorted = cpus.map((times) => times.toSorted((a, b) => a - b));
      const seen: number[] = [];
      let handled = 0;
      merger(sorted, seen).drain(Infinity, () => void handled++);
      expect(seen).toEqual(sorted.flat().sort((a, b) => a - b));
      expect(handled).toBe(seen.length);
    }),
  );
});

test("what is not older than the limit waits for a later round", () => {
  const seen: number[] = [];
  const merged = merger(
    [
      [10, 30],
      [20, 40],
    ],
    seen,
  );
  merged.drain(30);
  expect(seen).toEqual([10, 20]);
  merged.drain(Infinity);
  expect(seen).toEqual([10, 20, 30, 40]);
});

test("times before the origin are negative, not huge", () => {
  const seen: number[] = [];
  merger([[-5_000_000_000, 1]], seen).drain(Infinity);
  expect(seen).toEqual([-5_000_000_000, 1]);
});

test("an input that is removed is not read any more, one that is added takes its place in time", () => {
  const seen: string[] = [];
  const input = (name: string, times: readonly number[]) => ({
    source: new MemorySource(
      0,
      times.map((ts) => callchainSample({ id: 1, pid: 1, tid: 1, ts }, [])),
    ),
    time: recordTime,
    handle: (_: unknown, ts: number) => void seen.push(`${name}${ts}`),
  });
  const [first, second] = [input("a", [1, 5]), input("b", [2, 4, 6])];
  const merged = new TimeMerger([first], originNs);
  merged.drain(3);
  merged.add(second);
  merged.drain(5);
  merged.remove(first);
  merged.drain(Infinity);
  expect(seen).toEqual(["a1", "b2", "b4", "b6"]);
});
