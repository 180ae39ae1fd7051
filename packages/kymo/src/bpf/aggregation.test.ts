import fc from "fast-check";
import { expect, test } from "vitest";
import { bucketCount, bucketOf, bucketRange } from "./aggregation.ts";

const anyBuckets = fc.oneof(
  fc.constant({ kind: "hist" as const }),
  fc.constant({ kind: "quantize" as const }),
  fc
    .tuple(
      fc.bigInt({ min: -1000n, max: 1000n }),
      fc.bigInt({ min: 1n, max: 5000n }),
      fc.bigInt({ min: 1n, max: 300n }),
    )
    .map(([from, length, width]) => ({
      kind: "lhist" as const,
      buckets: { from, to: from + length, width },
    })),
);
const anyValue = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -2000n, max: 8000n }),
);

test("every value lies in the range of its bucket", () => {
  fc.assert(
    fc.property(anyBuckets, anyValue, (of, value) => {
      const bucket = bucketOf(of, value);
      expect(bucket).toBeLessThan(bucketCount(of));
      const { from, to } = bucketRange(of, bucket);
      expect(value >= from && value < to).toBe(true);
    }),
  );
});

test("the buckets follow each other without a gap, from the least value to the largest", () => {
  fc.assert(
    fc.property(anyBuckets, (of) => {
      let next = -(2n ** 63n);
      for (let bucket = 0; bucket < bucketCount(of); bucket++) {
        const { from, to } = bucketRange(of, bucket);
        expect(from).toBe(next);
        expect(to > from).toBe(true);
        next = to;
      }
      expect(next).toBe(2n ** 63n);
    }),
  );
});
