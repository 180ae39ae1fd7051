/** Which event is under the pointer: the one that covers the place, else the longest within reach, as it is drawn. */
import type { AnyRow, Chunk, Row } from "../model/trace.ts";
import { ownerEnd } from "./lifetimes.ts";
import { chunkStart, covering, endAt, indexAt, lastStarting, placeOf } from "./locate.ts";
import type { LevelOfDetail } from "./lod.ts";
import { Runs } from "./runs.ts";

const pointer = new Runs(1);

/** @returns the event's index in the row, −1 when nothing is within `toleranceNs` of `ts` */
export function hitTest(lod: LevelOfDetail, row: AnyRow, ts: number, toleranceNs: number): number {
  const openEnd = lod.trace.toNs;
  if (row.kind === "counter") {
    // A value holds until the next one, or the end of its process.
    const index = ts < ownerEnd(lod.trace, row.track) ? lastStarting(row, ts) : -1;
    return index >= 0 ? index : nearest(row, ts, toleranceNs);
  }
  if (row.kind === "instant" || row.kind === "sample") return nearest(row, ts, toleranceNs);
  const under = covering(row, ts, openEnd);
  if (under >= 0 && !isNarrow(row, under, openEnd, 2 * toleranceNs)) return under;
  if (toleranceNs <= 0) return under;
  // Narrower than the pointer: the one that stands for its neighbours on the screen.
  pointer.fill(row, ts - toleranceNs, ts + toleranceNs, openEnd, lod);
  let best = under;
  let longest = -1;
  for (let n = 0; n < pointer.length; n++) {
    const chunks: readonly Chunk[] = row.chunks;
    const chunk = chunks[pointer.chunk[n]!]!;
    const at = pointer.at[n]!;
    const start = chunk.ts[at]!;
    const end = endAt(chunk, at, openEnd);
    if (end < ts - toleranceNs || start > ts + toleranceNs || end - start <= longest) continue;
    longest = end - start;
    best = chunkStart(row, pointer.chunk[n]!) + at;
  }
  return best;
}

function isNarrow(row: AnyRow, index: number, openEnd: number, ns: number): boolean {
  const place = placeOf(row as Row, index)!;
  return endAt(place.chunk, place.at, openEnd) - place.chunk.ts[place.at]! < ns;
}

function nearest(row: AnyRow, ts: number, toleranceNs: number): number {
  const after = indexAt(row, ts);
  let best = -1;
  let distance = toleranceNs;
  for (const index of [after - 1, after]) {
    const place = placeOf(row as Row, index);
    if (place === undefined) continue;
    const away = Math.abs(place.chunk.ts[place.at]! - ts);
    if (away > distance) continue;
    best = index;
    distance = away;
  }
  return best;
}
