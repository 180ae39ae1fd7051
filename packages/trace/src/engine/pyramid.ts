/**
 * Level of detail of a sealed chunk: buckets of 2^shift ns, each keeping its longest event.
 *
 *     level 2  |   b   |   c   |     shift 14      index: Uint16 (a chunk has ≤ 64 K events)
 *     level 1  | a | b |   | c |     shift 13      busy:  part of the bucket its events cover, 0…255
 *     events   a.. bbb     c  c
 *
 * Events of a row do not overlap, so two events as long as a bucket cannot start in the same one: drawn at a
 * level whose buckets are no wider than a pixel, every event of ≥ 1 px is there. Measured: bench/engine.bench.ts.
 */
import { CHUNK_ROWS, type Chunk, DUR_ESCAPE } from "../model/trace.ts";
import { spanAt } from "./locate.ts";

/** Chunks shorter than this are scanned as they are. */
const MIN_ROWS = 128;
/** A level must be this much smaller than the one below, or it is left out. */
const KEEP_RATIO = 0.7;
/** The lowest level has about this part of the events. */
const BASE_RATIO = 0.62;
const TOP_ENTRIES = 8;
/** Levels with one entry for this many events or more get `light` columns. */
const LIGHT_RATIO = 8;
const MAX_SHIFT = 52;

export interface Pyramid {
  /** log2 of the bucket width in ns, ascending, one a level. */
  readonly shifts: Uint8Array;
  /** Where a level starts in `index` and `busy`; one more than levels. */
  readonly starts: Uint32Array;
  /** Index in the chunk of each bucket's longest event, by bucket; empty buckets have no entry. */
  readonly index: Uint16Array;
  /** Part of the bucket that the events starting in it cover, 0…255. */
  readonly busy: Uint8Array;
  /** Number of the bucket that the chunk's first event is in, one a level. */
  readonly bases: Float64Array;
  /** Levels from this one on have `light` columns. */
  readonly lightLevel: number;
  /**
   * What is drawn of an entry, beside it: at these levels every look-up in the chunk would be a cache miss.
   * From entry `starts[lightLevel]` on.
   */
  readonly light: {
    /** Of the entry, counted from the level's base. */
    readonly bucket: Uint32Array;
    /** Class of the longest event's duration: 0 for 0 ns, else ⌊log2⌋ + 1. */
    readonly size: Uint8Array;
    readonly key: Uint32Array;
  };
}

/** Builds pyramids; keeps the scratch memory (about 1.7 MB) between chunks. */
export class PyramidBuilder {
  readonly #index: Uint16Array = new Uint16Array(3 * CHUNK_ROWS);
  readonly #busy: Uint8Array = new Uint8Array(3 * CHUNK_ROWS);
  /** Covered ns of the entries of the level below, and of the one being built. */
  #below: Float64Array = new Float64Array(CHUNK_ROWS);
  #sums: Float64Array = new Float64Array(CHUNK_ROWS);
  readonly #gaps: Uint32Array = new Uint32Array(MAX_SHIFT + 2);

  /** @returns undefined when the chunk is too short to need one. */
  build(chunk: Chunk): Pyramid | undefined {
    const n = chunk.length;
    if (n < MIN_ROWS || n > CHUNK_ROWS) return undefined;
    const shifts: number[] = [];
    const starts: number[] = [];
    let used = 0;
    let sourceStart = -1; // -1: the events themselves
    let sourceEnd = n;
    for (let shift = this.#baseShift(chunk); shift <= MAX_SHIFT; shift++) {
      const before = sourceStart < 0 ? n : sourceEnd - sourceStart;
      const end =
        sourceStart < 0
          ? this.#levelOfEvents(chunk, shift, used)
          : this.#levelOfLevel(chunk, shift, sourceStart, sourceEnd, used, before * KEEP_RATIO);
      if (end < 0 || end - used > before * KEEP_RATIO) continue;
      shifts.push(shift);
      starts.push(used);
      sourceStart = used;
      sourceEnd = end;
      used = end;
      [this.#below, this.#sums] = [this.#sums, this.#below];
      if (sourceEnd - sourceStart <= TOP_ENTRIES) break;
    }
    starts.push(used);
    const index = this.#index.slice(0, used);
    const base = (level: number): number => Math.floor(chunk.ts[0]! * 2 ** -shifts[level]!);
    const bases = Float64Array.from(shifts, (_, level) => base(level));
    const lightLevel = lightFrom(chunk, shifts, starts, bases);
    return {
      shifts: Uint8Array.from(shifts),
      starts: Uint32Array.from(starts),
      index,
      busy: this.#busy.slice(0, used),
      bases,
      lightLevel,
      light: lightColumns(chunk, shifts, starts, index, bases, lightLevel),
    };
  }

  /** The first shift whose number of non-empty buckets is about BASE_RATIO of the events, from a histogram of gaps. */
  #baseShift(chunk: Chunk): number {
    const { ts, length } = chunk;
    const gaps = this.#gaps.fill(0);
    for (let i = 1, last = ts[0]!; i < length; i++) {
      const gap = ts[i]! - last;
      last = ts[i]!;
      gaps[
        gap < 2 ** 32 ? 32 - Math.clz32(gap) : Math.min(MAX_SHIFT, 33 + (Math.log2(gap) - 32))
      ]!++;
    }
    // A gap g < 2^shift ends a bucket with probability g / 2^shift; gaps in class k average 0.75 · 2^k.
    let longer = length;
    let shorter = 0;
    for (let shift = 0; shift < MAX_SHIFT; shift++) {
      longer -= gaps[shift]!;
      shorter = shorter / 2 + 0.75 * gaps[shift]!;
      if (longer + shorter <= BASE_RATIO * length) return shift;
    }
    return MAX_SHIFT;
  }

  #levelOfEvents(chunk: Chunk, shift: number, at: number): number {
    const { ts, dur, length } = chunk;
    const index = this.#index;
    const sums = this.#sums;
    const inverse = 2 ** -shift;
    let out = at;
    let bucket = Math.floor(ts[0]! * inverse);
    let best = 0;
    let longest = -1;
    let sum = 0;
    for (let i = 0; i < length; i++) {
      const b = Math.floor(ts[i]! * inverse);
      if (b !== bucket) {
        sums[out - at] = sum;
        index[out++] = best;
        bucket = b;
        longest = -1;
        sum = 0;
      }
      // Columns in locals: chunks have many shapes.
      const short = dur[i]!;
      const span = short === DUR_ESCAPE ? spanAt(chunk, i) : short;
      sum += span;
      if (span > longest) {
        longest = span;
        best = i;
      }
    }
    sums[out - at] = sum;
    index[out++] = best;
    this.#quantise(at, out, inverse);
    return out;
  }

  /** @returns the end of the level, or −1 when it would have more than `most` entries. */
  #levelOfLevel(
    chunk: Chunk,
    shift: number,
    from: number,
    to: number,
    at: number,
    most: number,
  ): number {
    const { ts, dur } = chunk;
    const index = this.#index;
    const sums = this.#sums;
    const below = this.#below;
    const inverse = 2 ** -shift;
    const limit = at + most - 1;
    let out = at;
    let bucket = Math.floor(ts[index[from]!]! * inverse);
    let best = 0;
    let longest = -1;
    let sum = 0;
    for (let q = from; q < to; q++) {
      const i = index[q]!;
      const b = Math.floor(ts[i]! * inverse);
      if (b !== bucket) {
        if (out >= limit) return -1;
        sums[out - at] = sum;
        index[out++] = best;
        bucket = b;
        longest = -1;
        sum = 0;
      }
      // Columns in locals: chunks have many shapes.
      const short = dur[i]!;
      const span = short === DUR_ESCAPE ? spanAt(chunk, i) : short;
      sum += below[q - from]!;
      if (span > longest) {
        longest = span;
        best = i;
      }
    }
    sums[out - at] = sum;
    index[out++] = best;
    this.#quantise(at, out, inverse);
    return out;
  }

  #quantise(from: number, to: number, inverse: number): void {
    const sums = this.#sums;
    const busy = this.#busy;
    const scale = 255 * inverse;
    for (let q = from; q < to; q++) {
      const part = sums[q - from]! * scale;
      busy[q] = part >= 255 ? 255 : part + 0.5;
    }
  }
}

/** The first level with few enough entries, and with bucket numbers that fit 32 bits. */
function lightFrom(
  chunk: Chunk,
  shifts: readonly number[],
  starts: readonly number[],
  bases: Float64Array,
): number {
  const last = chunk.ts[chunk.length - 1]!;
  for (const [level, shift] of shifts.entries()) {
    const entries = starts[level + 1]! - starts[level]!;
    const buckets = Math.floor(last * 2 ** -shift) - bases[level]!;
    if (entries * LIGHT_RATIO <= chunk.length && buckets < 2 ** 32) return level;
  }
  return shifts.length;
}

function lightColumns(
  chunk: Chunk,
  shifts: readonly number[],
  starts: readonly number[],
  index: Uint16Array,
  bases: Float64Array,
  lightLevel: number,
): Pyramid["light"] {
  const first = starts[lightLevel]!;
  const count = index.length - first;
  const light = {
    bucket: new Uint32Array(count),
    size: new Uint8Array(count),
    key: new Uint32Array(count),
  };
  const { ts, key } = chunk;
  for (let level = lightLevel; level < shifts.length; level++) {
    const inverse = 2 ** -shifts[level]!;
    const base = bases[level]!;
    for (let q = starts[level]!; q < starts[level + 1]!; q++) {
      const i = index[q]!;
      light.bucket[q - first] = Math.floor(ts[i]! * inverse) - base;
      light.size[q - first] = sizeClass(spanAt(chunk, i));
      light.key[q - first] = key[i]!;
    }
  }
  return light;
}
function sizeClass(span: number): number {
  if (span < 2 ** 32) return 32 - Math.clz32(span);
  return span === Infinity ? 255 : Math.floor(Math.log2(span)) + 1;
}

/** The highest level whose buckets are no wider than `nsPerPx`; −1: only the events themselves are fine enough. */
export function levelFor(pyramid: Pyramid, nsPerPx: number): number {
  let level = -1;
  while (level + 1 < pyramid.shifts.length && 2 ** pyramid.shifts[level + 1]! <= nsPerPx) level++;
  return level;
}

/** Bytes of a pyramid's arrays. */
export function pyramidBytes(pyramid: Pyramid): number {
  return (
    pyramid.index.byteLength +
    pyramid.busy.byteLength +
    pyramid.bases.byteLength +
    pyramid.light.bucket.byteLength +
    pyramid.light.size.byteLength +
    pyramid.light.key.byteLength +
    pyramid.starts.byteLength +
    pyramid.shifts.byteLength
  );
}
