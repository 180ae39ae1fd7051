/** Smallest and largest value of any range of a counter chunk: 16-ary blocks, appended to as the chunk grows. */
import { CHUNK_ROWS, type CounterChunk } from "../model/trace.ts";

const FAN = 16;

export class CounterRange {
  /** The answer of the last `range`. */
  min: number = Infinity;
  max: number = -Infinity;
  readonly #mins: number[][] = [];
  readonly #maxs: number[][] = [];
  #done = 0;

  extend(chunk: CounterChunk): void {
    for (; this.#done + FAN <= Math.min(chunk.length, CHUNK_ROWS); this.#done += FAN) {
      this.min = Infinity;
      this.max = -Infinity;
      for (let i = this.#done; i < this.#done + FAN; i++) this.#take(chunk, -1, i);
      this.#push(chunk, 0);
    }
  }

  /** Sets `min` and `max` over values [from, to); Infinity and −Infinity when there is none (NaN is no value). */
  range(chunk: CounterChunk, from: number, to: number): void {
    this.min = Infinity;
    this.max = -Infinity;
    let low = from;
    let high = to;
    for (let level = -1; ; level++) {
      const up = Math.ceil(low / FAN);
      const down = Math.min(Math.floor(high / FAN), this.#mins[level + 1]?.length ?? 0);
      const climb = down > up;
      for (let q = low; q < (climb ? up * FAN : high); q++) this.#take(chunk, level, q);
      if (!climb) return;
      for (let q = down * FAN; q < high; q++) this.#take(chunk, level, q);
      low = up;
      high = down;
    }
  }

  #take(chunk: CounterChunk, level: number, q: number): void {
    const low = level < 0 ? chunk.value[q]! : this.#mins[level]![q]!;
    const high = level < 0 ? low : this.#maxs[level]![q]!;
    if (low < this.min) this.min = low;
    if (high > this.max) this.max = high;
  }

  #push(chunk: CounterChunk, level: number): void {
    this.#mins[level] ??= [];
    this.#maxs[level] ??= [];
    const mins = this.#mins[level];
    mins.push(this.min);
    this.#maxs[level].push(this.max);
    if (mins.length % FAN !== 0) return;
    this.min = Infinity;
    this.max = -Infinity;
    for (let q = mins.length - FAN; q < mins.length; q++) this.#take(chunk, level, q);
    this.#push(chunk, level + 1);
  }
}
