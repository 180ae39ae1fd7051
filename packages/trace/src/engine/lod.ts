/**
 * Level of detail of a whole trace, chunk by chunk: a pyramid for what is sealed, block-max for the open tail, value
 * ranges for counters. Built in small pieces (`work`) while the engine answers; dropped when a row's generation changes.
 */
import type { AnyRow, Chunk, CounterChunk, Row, Trace } from "../model/trace.ts";
import { BlockMax } from "./block-max.ts";
import { CounterRange } from "./counter-range.ts";
import { type Pyramid, PyramidBuilder, pyramidBytes } from "./pyramid.ts";

interface RowLod {
  readonly generation: number;
  /** By chunk; null: too short for one; undefined: not built yet. */
  readonly pyramids: (Pyramid | null | undefined)[];
  /** Length of the open last chunk when its pyramid was built; −1: none was. */
  settled: number;
  /** All chunks before this one are done. */
  built: number;
  tail: BlockMax | undefined;
  tailChunk: number;
  readonly ranges: CounterRange[];
}

export class LevelOfDetail {
  readonly trace: Trace;
  #rows: (RowLod | undefined)[] = [];
  readonly #builder = new PyramidBuilder();
  #cursor = 0;
  #doneVersion = -1;
  #complete = false;

  constructor(trace: Trace) {
    this.trace = trace;
  }

  /** The pyramid of a chunk that no longer grows; undefined when it has none or it is not built yet. */
  pyramid(row: AnyRow, chunkIndex: number): Pyramid | undefined {
    const lod = this.#row(row);
    const chunk = row.chunks[chunkIndex]!;
    if (!chunk.sealed && lod.settled !== chunk.length) return undefined;
    return lod.pyramids[chunkIndex] ?? undefined;
  }

  /** The trace is complete: open last chunks get a pyramid too (and lose it should they grow after all). */
  settle(): void {
    this.#complete = true;
    this.#doneVersion = -1;
  }

  /** Block-max of the row's open last chunk, up to date; undefined for a sealed chunk. */
  tail(row: AnyRow, chunkIndex: number): BlockMax | undefined {
    const chunk = row.chunks[chunkIndex]!;
    if (chunk.sealed || chunk.length < 64) return undefined;
    const lod = this.#row(row);
    if (lod.tail === undefined || lod.tailChunk !== chunkIndex) {
      lod.tail = new BlockMax();
      lod.tailChunk = chunkIndex;
    }
    lod.tail.extend(chunk);
    return lod.tail;
  }

  /** Value ranges of a counter chunk, up to date. */
  range(row: Row<"counter">, chunkIndex: number): CounterRange {
    const lod = this.#row(row);
    lod.ranges[chunkIndex] ??= new CounterRange();
    const range = lod.ranges[chunkIndex];
    range.extend(row.chunks[chunkIndex] as CounterChunk);
    return range;
  }

  /** Builds pyramids until `deadline` (performance.now() ms). @returns true when nothing is left to build. */
  work(deadline: number): boolean {
    const { rows, version } = this.trace;
    if (this.#doneVersion === version) return true;
    for (let tried = 0; tried < rows.length; tried++) {
      this.#cursor = this.#cursor >= rows.length ? 0 : this.#cursor;
      if (!this.#workRow(rows[this.#cursor]!, deadline)) return false;
      this.#cursor++;
    }
    this.#doneVersion = version;
    return true;
  }

  /** Bytes held by pyramids. */
  get bytes(): number {
    let sum = 0;
    for (const lod of this.#rows)
      for (const pyramid of lod?.pyramids ?? []) if (pyramid) sum += pyramidBytes(pyramid);
    return sum;
  }

  #workRow(row: AnyRow, deadline: number): boolean {
    if (row.kind !== "slice" && row.kind !== "sched" && row.kind !== "thread_state") return true;
    const lod = this.#row(row);
    const chunks: readonly Chunk[] = row.chunks;
    for (; lod.built < chunks.length && chunks[lod.built]!.sealed; lod.built++) {
      if (performance.now() >= deadline) return false;
      lod.pyramids[lod.built] = this.#builder.build(chunks[lod.built]!) ?? null;
      if (lod.tailChunk === lod.built) lod.tail = undefined;
    }
    const last = chunks[lod.built];
    if (!this.#complete || last === undefined || lod.settled === last.length) return true;
    if (performance.now() >= deadline) return false;
    lod.pyramids[lod.built] = this.#builder.build(last) ?? null;
    lod.settled = last.length;
    lod.tail = undefined;
    return true;
  }

  #row(row: AnyRow): RowLod {
    const lod = this.#rows[row.id];
    if (lod !== undefined && lod.generation === row.generation) return lod;
    const fresh: RowLod = {
      generation: row.generation,
      pyramids: [],
      settled: -1,
      built: 0,
      tail: undefined,
      tailChunk: -1,
      ranges: [],
    };
    this.#rows[row.id] = fresh;
    return fresh;
  }
}
