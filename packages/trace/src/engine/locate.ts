/** Finding events in rows: bisection over chunks and inside them. A row's index runs through all its chunks. */
import { type AnyRow, type Chunk, DUR_ESCAPE, type Row, type RowChunks } from "../model/trace.ts";

/** Duration in ns; Infinity while the event is open. */
export function spanAt(chunk: Chunk, index: number): number {
  const dur = chunk.dur[index]!;
  if (dur !== DUR_ESCAPE) return dur;
  const long = chunk.longDur.get(index);
  return long === undefined || Number.isNaN(long) ? Infinity : long;
}

/** End of the event, ns; an open one ends at `openEnd`. */
export function endAt(chunk: Chunk, index: number, openEnd: number): number {
  const ts = chunk.ts[index]!;
  const end = ts + spanAt(chunk, index);
  return end === Infinity ? Math.max(ts, openEnd) : end;
}

/** First index of the chunk with ts ≥ `ts`; its length when there is none. */
export function lowerBound(chunk: Chunk, ts: number, from = 0): number {
  const times = chunk.ts;
  let low = from;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle]! < ts) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last chunk that starts before `ts`, or 0: where a scan from `ts` begins. */
export function chunkBefore(row: AnyRow, ts: number): number {
  let low = 0;
  let high = row.chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (row.chunks[middle]!.length > 0 && row.chunks[middle]!.ts[0]! < ts) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** An event: its chunk and the place in it. */
export interface Place<C extends Chunk = Chunk> {
  readonly chunk: C;
  readonly at: number;
}

/** Where event `index` of the row is; undefined outside the row. */
export function placeOf<Kind extends keyof RowChunks>(
  row: Row<Kind>,
  index: number,
): Place<RowChunks[Kind]> | undefined {
  if (!Number.isInteger(index) || index < 0) return undefined;
  let rest = index;
  for (const chunk of row.chunks) {
    if (rest < chunk.length) return { chunk, at: rest };
    rest -= chunk.length;
  }
  return undefined;
}

/** Number of events before chunk `chunkIndex`. */
export function chunkStart(row: AnyRow, chunkIndex: number): number {
  let start = 0;
  for (let c = 0; c < chunkIndex; c++) start += row.chunks[c]!.length;
  return start;
}

/** Number of events that start before `ts`. */
export function indexAt(row: AnyRow, ts: number): number {
  if (row.chunks.length === 0) return 0;
  const c = chunkBefore(row, ts);
  return chunkStart(row, c) + lowerBound(row.chunks[c]!, ts);
}

/** Index of the last event that starts at or before `ts`, −1 when none does. */
export function lastStarting(row: AnyRow, ts: number): number {
  if (row.chunks.length === 0) return -1;
  return indexAt(row, nextUp(ts)) - 1;
}

/** Index of the event that covers `ts` (start ≤ ts < end, or an event without duration at ts), −1 when none does. */
export function covering(row: AnyRow, ts: number, openEnd: number): number {
  const index = lastStarting(row, ts);
  const place = index < 0 ? undefined : placeOf(row as Row, index);
  if (place === undefined) return -1;
  const start = place.chunk.ts[place.at]!;
  const end = endAt(place.chunk, place.at, openEnd);
  return ts < end || start === ts ? index : -1;
}

/** Events [from, to) of a chunk; `start` is the row's index of the chunk's first event. */
export interface ChunkRange<C extends Chunk = Chunk> {
  readonly chunk: C;
  readonly from: number;
  readonly to: number;
  readonly start: number;
}

/**
 * The events of the row that overlap [from, to], chunk by chunk: long jobs yield between chunks.
 * Events without duration count when from ≤ ts ≤ to.
 */
export function rangesIn<Kind extends keyof RowChunks>(
  row: Row<Kind>,
  from: number,
  to: number,
  openEnd: number,
): ChunkRange<RowChunks[Kind]>[] {
  const any = row as unknown as AnyRow;
  const ranges: ChunkRange<RowChunks[Kind]>[] = [];
  let c = chunkBefore(any, from);
  let start = chunkStart(any, c);
  for (; c < row.chunks.length; c++) {
    const chunk = row.chunks[c]!;
    if (chunk.length === 0) continue;
    if (chunk.ts[0]! > to) break;
    // An event before `from` may reach into the window: only the last one, as events do not overlap.
    let first = Math.max(0, lowerBound(chunk, from) - 1);
    if (chunk.ts[first]! < from && endAt(chunk, first, openEnd) <= from) first++;
    const end = lowerBound(chunk, nextUp(to), first);
    if (end > first) ranges.push({ chunk, from: first, to: end, start });
    start += chunk.length;
  }
  return ranges;
}

/** Calls `visit(chunk, at, index)` for the events of `rangesIn`, in order. */
export function forEachIn<Kind extends keyof RowChunks>(
  row: Row<Kind>,
  from: number,
  to: number,
  openEnd: number,
  visit: (chunk: RowChunks[Kind], at: number, index: number) => void,
): void {
  for (const range of rangesIn(row, from, to, openEnd))
    for (let at = range.from; at < range.to; at++) visit(range.chunk, at, range.start + at);
}

/** The next float up, near enough: turns "≤ ts" into "< nextUp(ts)". */
function nextUp(ts: number): number {
  return ts + Math.max(2 ** -20, Math.abs(ts) * Number.EPSILON);
}
