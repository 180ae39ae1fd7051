import fc from "fast-check";
import { expect, test } from "vitest";
import { Lanes } from "./lanes.ts";

test("the tree of lanes agrees with a linear search", () =>
  fc.assert(
    fc.property(
      fc.array(fc.record({ from: fc.nat(80), ts: fc.nat(50), dur: fc.nat(30) }), {
        maxLength: 300,
      }),
      (steps) => {
        const lanes = new Lanes();
        const plain: number[] = [];
        for (const { from, ts, dur } of steps) {
          let expected = from;
          while (expected < plain.length && plain[expected]! > ts) expected++;
          expect(lanes.firstFree(from, ts)).toBe(expected);
          while (plain.length <= expected) plain.push(-Infinity);
          plain[expected] = ts + dur;
          lanes.set(expected, ts + dur);
        }
      },
    ),
  ));
