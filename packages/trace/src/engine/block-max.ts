/**
 * Level of detail of the open tail of a row: for every 16 events the index of the longest and the sum of durations,
 * for every 16 of those again, and so on. Appending costs little and any range is answered in O(log n).
 *
 *     level 1  [ longest of 0…255 | …            ]
 *     level 0  [ of 0…15 | of 16…31 | …          ]   only full blocks; the rest is scanned
 *     events     0 1 2 …
 */
import { CHUNK_ROWS, type Chunk, DUR_ESCAPE } from "../model/trace.ts";
import { spanAt } from "./locate.ts";

const FAN = 16;

export class BlockMax {
  /** The answer of the last `range`: index of the longest event and the sum of durations. */
  best = 0;
  sum = 0;
  readonly #longest: Uint16Array[] = [];
  readonly #sums: Float64Array[] = [];
  readonly #counts: number[] = [];
  #done = 0;
  /** Of the chunk at hand, read once: chunks have many shapes. */
  #dur: Uint32Array = new Uint32Array(0);

  /** Takes in what was added to the chunk. Its last event may still grow, so it is left out of the blocks. */
  extend(chunk: Chunk): void {
    this.#dur = chunk.dur;
    const complete = Math.min(chunk.length - 1, CHUNK_ROWS);
    for (; this.#done + FAN <= complete; this.#done += FAN) {
      this.#scan(chunk, this.#done, this.#done + FAN);
      this.#push(chunk, 0);
    }
  }

  /** Sets `best` and `sum` over events [from, to). */
  range(chunk: Chunk, from: number, to: number): void {
    this.#dur = chunk.dur;
    this.best = from;
    this.sum = 0;
    let longest = -1;
    let low = from;
    let high = to;
    let level = -1;
    for (;;) {
      const above = level + 1;
      const up = Math.ceil(low / FAN);
      const down = Math.min(Math.floor(high / FAN), this.#counts[above] ?? 0);
      const climb = down > up;
      const leftEnd = climb ? up * FAN : high;
      for (let q = low; q < leftEnd; q++) longest = this.#take(chunk, level, q, longest);
      if (!climb) return;
      for (let q = down * FAN; q < high; q++) longest = this.#take(chunk, level, q, longest);
      low = up;
      high = down;
      level = above;
    }
  }

  #take(chunk: Chunk, level: number, q: number, longest: number): number {
    const i = level < 0 ? q : this.#longest[level]![q]!;
    const dur = this.#dur[i]!;
    const span = dur === DUR_ESCAPE ? spanAt(chunk, i) : dur;
    this.sum += level < 0 ? span : this.#sums[level]![q]!;
    if (span <= longest) return longest;
    this.best = i;
    return span;
  }

  #scan(chunk: Chunk, from: number, to: number): void {
    this.best = from;
    this.sum = 0;
    let longest = -1;
    for (let i = from; i < to; i++) longest = this.#take(chunk, -1, i, longest);
  }

  #push(chunk: Chunk, level: number): void {
    if (level === this.#counts.length) {
      this.#longest.push(new Uint16Array(FAN));
      this.#sums.push(new Float64Array(FAN));
      this.#counts.push(0);
    }
    const count = this.#counts[level]!++;
    if (count === this.#longest[level]!.length) {
      this.#longest[level] = enlarged(this.#longest[level]!, new Uint16Array(2 * count));
      this.#sums[level] = enlarged(this.#sums[level]!, new Float64Array(2 * count));
    }
    this.#longest[level]![count] = this.best;
    this.#sums[level]![count] = this.sum;
    if ((count + 1) % FAN !== 0) return;
    this.best = 0;
    this.sum = 0;
    let longest = -1;
    for (let q = count + 1 - FAN; q <= count; q++) longest = this.#take(chunk, level, q, longest);
    this.#push(chunk, level + 1);
  }
}

function enlarged<T extends Uint16Array | Float64Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
