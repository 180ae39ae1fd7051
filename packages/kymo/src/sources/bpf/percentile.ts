/** Percentiles of values that are known by bucket only. */
import { bucketRange } from "../../bpf/aggregation.ts";
import type { Aggregation } from "../../bpf/program.ts";

/** A value that about `share` of all values lie below: inside its bucket the values are taken as spread evenly. */
export function percentile(
  of: Pick<Aggregation, "kind" | "buckets">,
  row: { readonly count: bigint; readonly buckets: ReadonlyMap<number, bigint> },
  share: number,
): number {
  let below = 0;
  const wanted = share * Number(row.count);
  for (const [bucket, count] of row.buckets) {
    const inside = Number(count);
    if (below + inside >= wanted) {
      const range = bucketRange(of, bucket);
      const from = Number(range.from);
      // Open ends have no width to speak of.
      if (range.from === -(2n ** 63n)) return Number(range.to);
      if (range.to === 2n ** 63n) return from;
      // Whole numbers: the last one of a bucket is one below its end.
      return from + ((Number(range.to) - 1 - from) * (wanted - below)) / inside;
    }
    below += inside;
  }
  return NaN;
}
