/**
 * How an aggregation lies in its map. The language makes programs that add to it, sources/bpf reads it out; both go by this.
 *
 *     key     the key's fields (Aggregation.key); of hist, lhist and quantize the last 4 bytes are the bucket, u32.
 *             Without fields it is an array map, whose key is 0 or the bucket.
 *     value   count                    u64 count
 *             sum                      i64 sum
 *             avg                      i64 sum @0 · u64 count @8
 *             min, max                 i64 value @0 · u64 set @8 (0: no value yet)
 *             hist, lhist, quantize    u64 count
 *
 * Entries of per-CPU maps are put together when they are read. Values that are counted into buckets are i64.
 */
import type { Aggregation } from "./program.ts";

/** Values in a bucket: from ≤ value < to. */
export interface Bucket {
  readonly from: bigint;
  readonly to: bigint;
}

/** Of quantize: each power of two is cut into 2 ** 3 buckets, so that a value is known to 1/8. */
export const quantizeBits = 3;
const quantizeSteps = 2 ** quantizeBits;

const least = -(2n ** 63n);
/** One more than the largest value. */
const end = 2n ** 63n;

type Buckets = Pick<Aggregation, "kind" | "buckets">;

/** Buckets are 0 … bucketCount − 1. 1 for kinds without buckets. */
export function bucketCount(of: Buckets): number {
  switch (of.kind) {
    case "hist":
      return 65;
    case "quantize":
      return 1 + quantizeSteps + (63 - quantizeBits) * quantizeSteps;
    case "lhist": {
      const { from, to, width } = of.buckets!;
      return Number((to - from + width - 1n) / width) + 2;
    }
    default:
      return 1;
  }
}

/**
 * The bucket of a value: what the programs compute, written plainly.
 *
 *     hist      0: below 0 · 1: 0 · 2 + n: from 2ⁿ to 2ⁿ⁺¹
 *     quantize  0: below 0 · 1 + v: v < 8 · then for each power of two 2ⁿ, n ≥ 3, eight of 2ⁿ⁻³ each
 *     lhist     0: below `from` · 1 + n: from `from` + n · width · last: `to` and above
 */
export function bucketOf(of: Buckets, value: bigint): number {
  if (of.kind === "lhist") {
    const { from, to, width } = of.buckets!;
    if (value < from) return 0;
    return value >= to ? bucketCount(of) - 1 : 1 + Number((value - from) / width);
  }
  if (value < 0n) return 0;
  if (of.kind === "hist") return value === 0n ? 1 : 2 + log2(value);
  if (value < quantizeSteps) return 1 + Number(value);
  const power = log2(value) - quantizeBits;
  const step = Number(value >> BigInt(power)) - quantizeSteps;
  return 1 + quantizeSteps + power * quantizeSteps + step;
}

/** The values of a bucket. */
export function bucketRange(of: Buckets, bucket: number): Bucket {
  if (of.kind === "lhist") {
    const { from, to, width } = of.buckets!;
    if (bucket === 0) return { from: least, to: from };
    if (bucket >= bucketCount(of) - 1) return { from: to, to: end };
    const start = from + BigInt(bucket - 1) * width;
    return { from: start, to: start + width < to ? start + width : to };
  }
  if (bucket === 0) return { from: least, to: 0n };
  if (of.kind === "hist")
    return bucket === 1
      ? { from: 0n, to: 1n }
      : { from: 1n << BigInt(bucket - 2), to: 1n << BigInt(bucket - 1) };
  const index = bucket - 1;
  if (index < quantizeSteps) return { from: BigInt(index), to: BigInt(index + 1) };
  const power = BigInt(Math.floor(index / quantizeSteps) - 1);
  const start = BigInt((index % quantizeSteps) + quantizeSteps) << power;
  return { from: start, to: start + (1n << power) };
}

function log2(value: bigint): number {
  return value.toString(2).length - 1;
}
