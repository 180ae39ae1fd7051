/** A counter as a curve: lowest and highest value a pixel, as heights. A value holds until the next one or `until`. */
import type { Row } from "../model/trace.ts";
import { chunkBefore, lowerBound } from "./locate.ts";
import type { LevelOfDetail } from "./lod.ts";

export interface CounterCurve {
  /** The value at height 0: 0, or the smallest in the window when that is negative. */
  readonly min: number;
  /** The value at height 1: the largest in the window. */
  readonly max: number;
  /** Heights 0…1, width long; NaN before the first value. */
  readonly low: Float32Array;
  readonly high: Float32Array;
}

export function counterCurve(
  lod: LevelOfDetail,
  row: Row<"counter">,
  from: number,
  to: number,
  width: number,
  until: number = Infinity,
): CounterCurve {
  const low = new Float32Array(width).fill(NaN);
  const high = new Float32Array(width).fill(NaN);
  const nsPerPx = (to - from) / width;
  let c = chunkBefore(row, from);
  let i = row.chunks.length === 0 ? 0 : lowerBound(row.chunks[c]!, from);
  let held = i > 0 ? row.chunks[c]!.value[i - 1]! : NaN;
  const lastTs = to;
  for (let px = 0; px < width; px++) {
    const end = px === width - 1 ? lastTs : from + (px + 1) * nsPerPx;
    const ended = from + px * nsPerPx >= until;
    let min = ended ? NaN : held;
    let max = min;
    for (; c < row.chunks.length; c++, i = 0) {
      const chunk = row.chunks[c]!;
      if (i < chunk.length && chunk.ts[i]! >= end) break;
      const next = gallop(chunk.ts, i, chunk.length, end);
      if (next > i) {
        const range = lod.range(row, c);
        range.range(chunk, i, next);
        min = Number.isNaN(min) ? range.min : Math.min(min, range.min);
        max = Number.isNaN(max) ? range.max : Math.max(max, range.max);
        held = chunk.value[next - 1]!;
        i = next;
      }
      if (i < chunk.length) break;
    }
    if (min <= max) {
      low[px] = min;
      high[px] = max;
    }
  }
  return scale(low, high);
}

/** First index ≥ `from` with ts ≥ `end`. */
function gallop(ts: Float64Array, from: number, length: number, end: number): number {
  let step = 1;
  let low = from;
  let high = from;
  while (high < length && ts[high]! < end) {
    low = high + 1;
    high += step;
    step *= 2;
  }
  high = Math.min(high, length);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ts[middle]! < end) low = middle + 1;
    else high = middle;
  }
  return low;
}

function scale(low: Float32Array, high: Float32Array): CounterCurve {
  let min = Infinity;
  let max = -Infinity;
  for (let px = 0; px < low.length; px++) {
    if (low[px]! < min) min = low[px]!;
    if (high[px]! > max) max = high[px]!;
  }
  if (!(min <= max)) return { min: 0, max: 0, low, high };
  min = Math.min(0, min);
  max = Math.max(0, max);
  const range = max - min || 1;
  for (let px = 0; px < low.length; px++) {
    low[px] = (low[px]! - min) / range;
    high[px] = (high[px]! - min) / range;
  }
  return { min, max, low, high };
}
