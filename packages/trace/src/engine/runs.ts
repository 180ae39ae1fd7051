/**
 * What one row shows in a window: at most two runs a pixel, whatever the number of events. A run is an event at least
 * one pixel wide, or a cluster of narrower ones in one pixel, which stands for its longest event.
 */
import { type AnyRow, type Chunk, DUR_ESCAPE } from "../model/trace.ts";
import type { BlockMax } from "./block-max.ts";
import { chunkBefore, lowerBound, spanAt } from "./locate.ts";
import type { LevelOfDetail } from "./lod.ts";
import { levelFor, type Pyramid } from "./pyramid.ts";

/** The shortest duration of each size class (pyramid.ts); a table, as `2 **` cost more than the rest of a frame. */
const leastOfClass = Float64Array.from({ length: 256 }, (_, size) =>
  size === 0 ? 0 : 2 ** (size - 1),
);

export class Runs {
  length = 0;
  /** Edges in px from the window's left edge; may lie outside it. A cluster spans exactly its pixel. */
  readonly x0: Float64Array;
  readonly x1: Float64Array;
  /** Part of the pixel that is covered, 0…1; an event of its own: 1. */
  readonly busy: Float32Array;
  readonly key: Uint32Array;
  /** Chunk, and index in the chunk. */
  readonly chunk: Uint32Array;
  readonly at: Uint32Array;
  readonly width: number;

  // The cluster being gathered.
  #px = -1;
  #longest = 0;
  #covered = 0;
  #chunk = 0;
  #at = 0;
  #key = 0;
  /** First pixel after the last run that was an event of its own: clusters stay behind it. */
  #clear = 0;

  // Columns of the chunk being walked. Chunks have many shapes (six kinds, grown or not): reading their columns once
  // a chunk, not once an event, is worth a factor of 3 (bench/engine.bench.mjs).
  #walked: Chunk | undefined;
  #walkedIndex = 0;
  #ts: Float64Array = new Float64Array(0);
  #dur: Uint32Array = new Uint32Array(0);
  #keys: Uint32Array = new Uint32Array(0);

  // The window.
  #from = 0;
  #inverse = 1;
  #nsPerPx = 1;
  #openEnd = 0;

  constructor(width: number) {
    const capacity = 2 * width + 8;
    this.width = width;
    this.x0 = new Float64Array(capacity);
    this.x1 = new Float64Array(capacity);
    this.busy = new Float32Array(capacity);
    this.key = new Uint32Array(capacity);
    this.chunk = new Uint32Array(capacity);
    this.at = new Uint32Array(capacity);
  }

  /**
   * Fills itself with what `row` shows in [from, to), ns, in order of time. `lod` undefined: from a plain scan.
   * Events still open end at `openEnd`.
   */
  fill(
    row: AnyRow,
    from: number,
    to: number,
    openEnd: number,
    lod: LevelOfDetail | undefined,
  ): void {
    this.length = 0;
    this.#px = -1;
    this.#clear = 0;
    this.#from = from;
    this.#nsPerPx = (to - from) / this.width;
    this.#inverse = this.width / (to - from);
    this.#openEnd = openEnd;
    const chunks: readonly Chunk[] = row.chunks;
    for (let c = chunkBefore(row, from); c < chunks.length; c++) {
      const chunk = chunks[c]!;
      if (chunk.length === 0) continue;
      if (chunk.ts[0]! >= to) break;
      const pyramid = lod?.pyramid(row, c);
      const level = pyramid === undefined ? -1 : levelFor(pyramid, this.#nsPerPx);
      const tail = pyramid === undefined ? lod?.tail(row, c) : undefined;
      this.#walked = chunk;
      this.#walkedIndex = c;
      this.#ts = chunk.ts;
      this.#dur = chunk.dur;
      this.#keys = chunk.key;
      if (pyramid !== undefined && level >= 0) this.#walkLevel(pyramid, level, from, to);
      else if (tail !== undefined) this.#walkTail(chunk, tail, from, to);
      else this.#walkEvents(chunk, from, to);
    }
    this.#walked = undefined;
    this.#flush();
  }

  #span(i: number): number {
    const dur = this.#dur[i]!;
    return dur === DUR_ESCAPE ? spanAt(this.#walked!, i) : dur;
  }

  #walkEvents(chunk: Chunk, from: number, to: number): void {
    const { ts, length } = chunk;
    for (let i = Math.max(0, lowerBound(chunk, from) - 1); i < length && ts[i]! < to; i++) {
      const span = this.#span(i);
      this.#take(i, span, span);
    }
  }

  #walkLevel(pyramid: Pyramid, level: number, from: number, to: number): void {
    if (level >= pyramid.lightLevel) {
      this.#walkLightLevel(pyramid, level, from, to);
      return;
    }
    const ts = this.#ts;
    const { index, busy, starts, shifts } = pyramid;
    const first = starts[level]!;
    const end = starts[level + 1]!;
    const unit = 2 ** shifts[level]! / 255;
    let low = first;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ts[index[middle]!]! < from) low = middle + 1;
      else high = middle;
    }
    for (let q = low > first ? low - 1 : first; q < end; q++) {
      const i = index[q]!;
      // Its bucket may start before `to` with earlier, narrower events: less than a pixel is at stake.
      if (ts[i]! >= to) break;
      this.#take(i, this.#span(i), busy[q]! * unit);
    }
  }

  /**
   * As #walkLevel, from what the level itself knows of its entries; only what may be as wide as a pixel is looked
   * up. The look-ups are cache misses and cost 10 × the rest (bench/engine.bench.ts). A cluster may be drawn up to
   * a bucket, at most a pixel, early.
   */
  #walkLightLevel(pyramid: Pyramid, level: number, from: number, to: number): void {
    const { index, busy, starts, shifts, light, bases } = pyramid;
    const { bucket, size } = light;
    const lightStart = starts[pyramid.lightLevel]!;
    const first = starts[level]! - lightStart;
    const end = starts[level + 1]! - lightStart;
    const bucketNs = 2 ** shifts[level]!;
    const unit = bucketNs / 255;
    const inverse = this.#inverse;
    // Entry's left edge in px: x = origin + bucket · perBucket.
    const origin = (bases[level]! * bucketNs - this.#from) * inverse;
    const perBucket = bucketNs * inverse;
    /** Durations of this class may reach a pixel. */
    const wideFrom = Math.max(0, Math.floor(Math.log2(this.#nsPerPx)));
    const fromBucket = Math.floor(from / bucketNs) - bases[level]!;
    let low = first;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (bucket[middle]! < fromBucket) low = middle + 1;
      else high = middle;
    }
    // The loop that a frame spends most of its time in: the cluster is gathered in locals.
    const width = this.width;
    let px = this.#px;
    let sum = this.#covered * 255;
    let largest = -1; // of `best`; the cluster may also hold an event from before, of #longest ns
    let best = -1;
    for (let q = low > first ? low - 1 : first; q < end; q++) {
      const x0 = origin + bucket[q]! * perBucket;
      if (x0 >= width) break;
      const isWide = x0 < 0 || size[q]! > wideFrom;
      const at = isWide ? -1 : Math.max(x0 | 0, this.#clear);
      if (at !== px || isWide) {
        this.#settle(px, sum / 255, largest, best, pyramid);
        best = -1;
        largest = -1;
        if (isWide) {
          const i = index[q + lightStart]!;
          if (this.#ts[i]! >= to) {
            px = this.#px;
            sum = this.#covered * 255;
            break;
          }
          this.#take(i, this.#span(i), busy[q + lightStart]! * unit);
          px = this.#px;
          sum = this.#covered * 255;
          continue;
        }
        this.#flush();
        px = at;
        this.#px = at;
        this.#longest = -1;
        sum = 0;
      }
      sum += busy[q + lightStart]! * bucketNs;
      if (size[q]! <= largest) continue;
      largest = size[q]!;
      best = q;
    }
    this.#settle(px, sum / 255, largest, best, pyramid);
  }

  /** Puts a cluster gathered in locals back: `best` is the light entry of its longest event, −1 when it has none. */
  #settle(px: number, covered: number, sizeOfBest: number, best: number, pyramid: Pyramid): void {
    this.#px = px;
    this.#covered = covered;
    if (best < 0) return;
    // The lower end of its class, so that an exact duration of the same class wins.
    const least = leastOfClass[sizeOfBest]!;
    if (least <= this.#longest) return;
    this.#longest = least;
    this.#chunk = this.#walkedIndex;
    this.#at = pyramid.index[best + pyramid.starts[pyramid.lightLevel]!]!;
    this.#key = pyramid.light.key[best]!;
  }

  #walkTail(chunk: Chunk, tail: BlockMax, from: number, to: number): void {
    const { ts, length } = chunk;
    const nsPerPx = this.#nsPerPx;
    let i = Math.max(0, lowerBound(chunk, from) - 1);
    while (i < length && ts[i]! < to) {
      const span = this.#span(i);
      if (span >= nsPerPx) {
        this.#take(i++, span, span);
        continue;
      }
      // All that start in this pixel, by galloping to its end.
      const px = Math.floor((ts[i]! - this.#from) * this.#inverse);
      const pixelEnd = this.#from + (px + 1) * nsPerPx;
      let step = 1;
      let low = i + 1;
      let high = i + 1;
      while (high < length && ts[high]! < pixelEnd) {
        low = high + 1;
        high += step;
        step *= 2;
      }
      high = Math.min(high, length);
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (ts[middle]! < pixelEnd) low = middle + 1;
        else high = middle;
      }
      // At most one of them, the last, is as long as a pixel: it is taken by itself.
      const last = low - 1;
      const lastSpan = this.#span(last);
      const until = lastSpan >= nsPerPx ? last : low;
      if (until > i) {
        tail.range(chunk, i, until);
        this.#take(tail.best, this.#span(tail.best), tail.sum);
      }
      if (until === last) this.#take(last, lastSpan, lastSpan);
      i = low;
    }
  }

  /** One event, standing for others in its pixel: `covered` ns in all. */
  #take(i: number, span: number, covered: number): void {
    const ts = this.#ts[i]!;
    const ns = span === Infinity ? Math.max(0, this.#openEnd - ts) : span;
    const x0 = (ts - this.#from) * this.#inverse;
    const x1 = x0 + ns * this.#inverse;
    if (x1 < 0 || (x1 === 0 && x0 < 0)) return;
    if (ns >= this.#nsPerPx) {
      this.#flush();
      this.#push(x0, x1, 1, this.#keys[i]!, this.#walkedIndex, i);
      this.#clear = Math.max(this.#clear, Math.floor(x1));
      return;
    }
    const px = x0 < 0 ? 0 : Math.floor(x0);
    if (px !== this.#px) {
      this.#flush();
      this.#px = px;
      this.#longest = -1;
      this.#covered = 0;
    }
    this.#covered += covered;
    if (ns <= this.#longest) return;
    this.#longest = ns;
    this.#chunk = this.#walkedIndex;
    this.#at = i;
    this.#key = this.#keys[i]!;
  }

  #flush(): void {
    if (this.#px < 0) return;
    const busy = Math.min(1, this.#covered * this.#inverse);
    this.#push(this.#px, this.#px + 1, busy, this.#key, this.#chunk, this.#at);
    this.#px = -1;
  }

  #push(x0: number, x1: number, busy: number, key: number, chunk: number, at: number): void {
    const n = this.length;
    if (n >= this.x0.length) return; // only when a row's events overlap, which the model rules out
    this.x0[n] = x0;
    this.x1[n] = x1;
    this.busy[n] = busy;
    this.key[n] = key;
    this.chunk[n] = chunk;
    this.at[n] = at;
    this.length = n + 1;
  }
}

/**
 * Instants and samples in [from, to): their number a pixel and the key of the first of each. Costs pixels, not events.
 * `visit` is called once for each pixel that has any.
 */
export function forEachTick(
  row: AnyRow,
  from: number,
  to: number,
  width: number,
  visit: (px: number, count: number, key: number) => void,
): void {
  const nsPerPx = (to - from) / width;
  const chunks: readonly Chunk[] = row.chunks;
  for (let c = chunkBefore(row, from); c < chunks.length; c++) {
    const chunk = chunks[c]!;
    const { ts, length } = chunk;
    let i = lowerBound(chunk, from);
    while (i < length && ts[i]! < to) {
      const px = Math.min(width - 1, Math.floor((ts[i]! - from) / nsPerPx));
      const pixelEnd = from + (px + 1) * nsPerPx;
      let step = 1;
      let low = i + 1;
      let high = i + 1;
      while (high < length && ts[high]! < pixelEnd) {
        low = high + 1;
        high += step;
        step *= 2;
      }
      high = Math.min(high, length);
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (ts[middle]! < pixelEnd) low = middle + 1;
        else high = middle;
      }
      visit(px, low - i, chunk.key[i]!);
      i = low;
    }
    if (i < length) break;
  }
}
