/** Parents, children and self time of slices: lanes of one track, one below the other. */
import type { Row, Trace } from "../model/trace.ts";
import { covering, endAt, forEachIn, placeOf } from "./locate.ts";

/** The slice row of the same track, `step` lanes further down (−1: up). */
export function laneRow(trace: Trace, row: Row<"slice">, step: number): Row<"slice"> | undefined {
  for (const other of trace.rowsOf(row.track))
    if (other.kind === "slice" && other.lane === row.lane + step) return other;
  return undefined;
}
export function childRow(trace: Trace, row: Row<"slice">): Row<"slice"> | undefined {
  return laneRow(trace, row, 1);
}

/** Duration without that of direct children, ns, for an open slice up to the trace's end. */
export function selfTime(trace: Trace, row: Row<"slice">, index: number): number {
  const place = placeOf(row, index);
  if (place === undefined) return 0;
  const from = place.chunk.ts[place.at]!;
  const to = endAt(place.chunk, place.at, trace.toNs);
  const below = childRow(trace, row);
  if (below === undefined || to <= from) return to - from;
  const depth = place.chunk.depth[place.at]! + 1;
  let children = 0;
  forEachIn(below, from, to, trace.toNs, (chunk, at) => {
    // An overflow lane's slices are not the children of the lane above it.
    if (chunk.depth[at] !== depth) return;
    children += Math.max(
      0,
      Math.min(to, endAt(chunk, at, trace.toNs)) - Math.max(from, chunk.ts[at]!),
    );
  });
  return Math.max(0, to - from - children);
}

/** Index of the slice around event `index`, in the lane above; −1 at the outermost. */
export function parentIndex(
  trace: Trace,
  above: Row<"slice">,
  row: Row<"slice">,
  index: number,
): number {
  const place = placeOf(row, index);
  return place === undefined ? -1 : covering(above, place.chunk.ts[place.at]!, trace.toNs);
}

/** Index of the first slice in the lane below that starts within event `index`; −1 when it has none. */
export function firstChildIndex(
  trace: Trace,
  below: Row<"slice">,
  row: Row<"slice">,
  index: number,
): number {
  const place = placeOf(row, index);
  if (place === undefined) return -1;
  const from = place.chunk.ts[place.at]!;
  const to = endAt(place.chunk, place.at, trace.toNs);
  let found = -1;
  forEachIn(below, from, to, trace.toNs, (chunk, at, child) => {
    if (found < 0 && chunk.ts[at]! >= from && (chunk.ts[at]! < to || to === from)) found = child;
  });
  return found;
}
