/**
 * The calls that made one track's slices, read back from its rows: to build them again with late events, or to
 * replay the trace into another sink.
 *
 *     lane 0  ├─ a ─────────┤            begin a, begin b, end, slice c (complete), end
 *     lane 1    ├─ b ─┤ ├─ c ──┤
 *
 * Slices that were begun become begin and end again, the others complete slices, in order of time. Calls with equal
 * times come in an order that gives the same lanes.
 */
import { type Cursor, Heap } from "./heap.ts";
import type { OpenChunk } from "./rows.ts";
import { CHUNK_ROWS, durationAt, type Row } from "./trace.ts";

/** Where one row is being read. */
class LaneCursor implements Cursor {
  readonly lane: number;
  chunk: OpenChunk<"slice">;
  index = 0;
  ts: number;
  rank: number;
  readonly #chunks: readonly OpenChunk<"slice">[];
  #nextChunk = 1;

  /** @param row  not empty */
  constructor(row: Row<"slice">) {
    this.lane = row.lane;
    this.#chunks = row.chunks as readonly OpenChunk<"slice">[];
    this.chunk = this.#chunks[0]!;
    this.ts = this.chunk.ts[0]!;
    this.rank = this.chunk.id[0]!;
  }

  /** False at the end of the row. */
  advance(): boolean {
    if (++this.index === CHUNK_ROWS && this.#nextChunk < this.#chunks.length) {
      this.chunk = this.#chunks[this.#nextChunk++]!;
      this.index = 0;
    }
    if (this.index >= this.chunk.length) return false;
    this.ts = this.chunk.ts[this.index]!;
    this.rank = this.chunk.id[this.index]!;
    return true;
  }
}

/** Slices at equal times come in the order of their ids: the order of arrival. */
export class SliceCursor implements Cursor {
  /** Time of the next call; Infinity: there is none. */
  ts: number;
  readonly rank: number;
  readonly #lanes = new Heap<LaneCursor>();
  /** Ends and lanes of begun slices that are still to be ended, innermost last. */
  readonly #ends: number[] = [];
  readonly #endLanes: number[] = [];
  #endIsNext = false;

  /** @param rows  the slice rows of one track, by lane */
  constructor(rows: readonly Row<"slice">[], rank: number) {
    this.rank = rank;
    for (const row of rows) if (row.length > 0) this.#lanes.push(new LaneCursor(row));
    this.ts = this.#next();
  }

  /** Makes the next call: `end(ts)`, or `start` with the slice's chunk and index (`begun` says by which call). */
  call(
    start: (chunk: OpenChunk<"slice">, index: number, begun: boolean) => void,
    end: (ts: number) => void,
  ): void {
    if (this.#endIsNext) {
      end(this.ts);
      this.#ends.pop();
      this.#endLanes.pop();
    } else {
      const lane = this.#lanes.first!;
      const { chunk, index } = lane;
      const begun = chunk.begun?.[index] === 1;
      start(chunk, index, begun);
      if (begun) {
        const dur = durationAt(chunk, index);
        this.#ends.push(Number.isNaN(dur) ? Infinity : lane.ts + dur);
        this.#endLanes.push(lane.lane);
      }
      if (lane.advance()) this.#lanes.settle();
      else this.#lanes.shift();
    }
    this.ts = this.#next();
  }

  #next(): number {
    const end = this.#ends.at(-1) ?? Infinity;
    const lane = this.#lanes.first;
    const start = lane?.ts ?? Infinity;
    // At the same time: what shares or precedes the lane came after the end.
    this.#endIsNext =
      end < start || (end === start && end < Infinity && lane!.lane <= this.#endLanes.at(-1)!);
    return this.#endIsNext ? end : start;
  }
}
