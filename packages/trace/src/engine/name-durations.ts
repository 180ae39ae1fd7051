/** Where a duration stands among all slices of the same name: gathered on first use of a name, kept until the trace grows. */
import type { Trace } from "../model/trace.ts";
import { spanAt } from "./locate.ts";

/** Names kept at once: each costs 8 bytes a slice. */
const MAX_NAMES = 64;
/** Slices looked at for one name; a larger trace gives no percentile rather than a late one. */
const MAX_SCAN = 200_000_000;

export class NameDurations {
  readonly #trace: Trace;
  #version = -1;
  readonly #sorted = new Map<number, Float64Array>();

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  /** Percentile 0…100 of `dur` among the slices named so (−1: unknown), and how many there are. */
  rank(name: number, dur: number): { readonly percentile: number; readonly count: number } {
    if (this.#trace.length > MAX_SCAN) return { percentile: -1, count: 0 };
    if (this.#version !== this.#trace.version) {
      this.#version = this.#trace.version;
      this.#sorted.clear();
    }
    const sorted = this.#sorted.get(name) ?? this.#gather(name);
    const count = sorted.length;
    if (count < 2) return { percentile: -1, count };
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]! < dur) low = middle + 1;
      else high = middle;
    }
    return { percentile: Math.min(100, (100 * low) / (count - 1)), count };
  }

  #gather(name: number): Float64Array {
    let durations = new Float64Array(256);
    let count = 0;
    for (const row of this.#trace.rows) {
      if (row.kind !== "slice") continue;
      for (const chunk of row.chunks) {
        const { key, length } = chunk;
        for (let i = 0; i < length; i++) {
          if (key[i] !== name) continue;
          const span = spanAt(chunk, i);
          if (span === Infinity) continue;
          if (count === durations.length) {
            const more = new Float64Array(2 * count);
            more.set(durations);
            durations = more;
          }
          durations[count++] = span;
        }
      }
    }
    const sorted = durations.subarray(0, count).sort();
    if (this.#sorted.size >= MAX_NAMES) this.#sorted.delete(this.#sorted.keys().next().value!);
    this.#sorted.set(name, sorted);
    return sorted;
  }
}
