/**
 * Stable order of nearly sorted times.
 *
 * What arrives out of order is a few long ascending runs (one per CPU, per thread, per file section), so runs are
 * found first and merged pairwise: n·log₂(runs) steps over integers, and no comparator calls
 * (bench/model.bench.ts compares it with `Array.prototype.sort`).
 *
 * @param ts  n times, none NaN
 * @returns   the n indices in ascending order of ts; equal times keep their order
 */
export function sortedOrder(ts: Float64Array, n: number): Uint32Array {
  let from = new Uint32Array(n);
  for (let i = 0; i < n; i++) from[i] = i;
  let ends: number[] = [];
  for (let i = 1; i < n; i++) if (ts[i]! < ts[i - 1]!) ends.push(i);
  if (ends.length === 0) return from;
  ends.push(n);
  let to = new Uint32Array(n);
  while (ends.length > 1) {
    const merged: number[] = [];
    for (let run = 0; run < ends.length; run += 2) {
      const begin = run === 0 ? 0 : ends[run - 1]!;
      const middle = ends[run]!;
      const end = ends[run + 1] ?? middle;
      mergeRuns(ts, from, to, begin, middle, end);
      merged.push(end);
    }
    [from, to] = [to, from];
    ends = merged;
  }
  return from;
}

/** Merges from[begin, middle) and from[middle, end) into to[begin, end); the left run wins ties. */
function mergeRuns(
  ts: Float64Array,
  from: Uint32Array,
  to: Uint32Array,
  begin: number,
  middle: number,
  end: number,
): void {
  let left = begin;
  let right = middle;
  for (let out = begin; out < end; out++) {
    const takeLeft = right >= end || (left < middle && ts[from[left]!]! <= ts[from[right]!]!);
    to[out] = takeLeft ? from[left++]! : from[right++]!;
  }
}
