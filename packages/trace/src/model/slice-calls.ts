/**
 * The calls that made one track's slices, read back from its rows: to build them again with late events, or to
 * replay the trace into another sink.
 *
 * Slices that were begun become begin and end again, the others complete slices, in order of time; events with
 * equal times come in an order that gives the same lanes.
 */
import type { OpenChunk } from "./rows.ts";
import { sortedOrder } from "./sort.ts";
import { CHUNK_ROWS, durationAt, type Row } from "./trace.ts";

export interface SliceCalls {
  begin(chunk: OpenChunk<"slice">, index: number): void;
  end(ts: number): void;
  slice(chunk: OpenChunk<"slice">, index: number, dur: number): void;
}

/** All chunks of a row but the last hold CHUNK_ROWS events. */
const CHUNK_BITS = Math.log2(CHUNK_ROWS);

/** @param rows  the slice rows of one track, by lane */
export function sliceCalls(rows: readonly Row<"slice">[], calls: SliceCalls): void {
  const { ts, row, index, order } = inArrivalOrder(rows);
  // Begun slices that are still to be ended, innermost last.
  const ends: number[] = [];
  const lanes: number[] = [];
  const endBefore = (start: number, lane: number) => {
    while (ends.length > 0) {
      const end = ends.at(-1)!;
      // At the same time: what shares or precedes the lane came after the end.
      if (!(end < start || (end === start && lane <= lanes.at(-1)!))) return;
      calls.end(end);
      ends.pop();
      lanes.pop();
    }
  };
  for (const i of order) {
    const { lane, chunks } = rows[row[i]!]!;
    endBefore(ts[i]!, lane);
    const chunk = chunks[index[i]! >>> CHUNK_BITS] as OpenChunk<"slice">;
    const at = index[i]! & (CHUNK_ROWS - 1);
    const dur = durationAt(chunk, at);
    if (chunk.begun?.[at]) {
      calls.begin(chunk, at);
      ends.push(Number.isNaN(dur) ? Infinity : ts[i]! + dur);
      lanes.push(lane);
    } else calls.slice(chunk, at, dur);
  }
  while (ends.length > 0 && ends.at(-1) === Infinity) ends.pop();
  for (let i = ends.length - 1; i >= 0; i--) if (ends[i]! < Infinity) calls.end(ends[i]!);
}

/** Every slice of the rows by (ts, id): its row and its index there. */
function inArrivalOrder(rows: readonly Row<"slice">[]) {
  const n = rows.reduce((sum, row) => sum + row.length, 0);
  const ts = new Float64Array(n);
  const id = new Uint32Array(n);
  const row = new Uint32Array(n);
  const index = new Uint32Array(n);
  let at = 0;
  for (const [r, { chunks, length }] of rows.entries()) {
    let from = at;
    for (const chunk of chunks) {
      ts.set(chunk.ts.subarray(0, chunk.length), from);
      id.set(chunk.id.subarray(0, chunk.length), from);
      from += chunk.length;
    }
    row.fill(r, at, at + length);
    for (let i = 0; i < length; i++) index[at + i] = i;
    at += length;
  }
  const order = sortedOrder(ts, n);
  for (let from = 0; from < n; ) {
    let to = from + 1;
    while (to < n && ts[order[to]!] === ts[order[from]!]) to++;
    if (to - from > 1) order.subarray(from, to).sort((x, y) => id[x]! - id[y]!);
    from = to;
  }
  return { ts, row, index, order };
}
