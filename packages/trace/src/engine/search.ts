/**
 * Search in names: slices and instants whose name contains the text, and threads and processes named so (one hit each,
 * at their first event). A job: yields often, so that frames are drawn meanwhile.
 */
import type { TrackId } from "../model/sink.ts";
import type { AnyRow, Chunk, Trace } from "../model/trace.ts";
import { durationAt } from "../model/trace.ts";
import { displayName } from "./names.ts";
import { NameMatches } from "./palette.ts";
import type { EngineMessage, SearchHit } from "./protocol.ts";

export const HEAT_BUCKETS = 256;
type Answer = Extract<EngineMessage, { type: "search" }>;

export function* search(
  trace: Trace,
  id: number,
  text: string,
  limit: number,
): Generator<void, Answer> {
  const heat = new Float32Array(HEAT_BUCKETS);
  const hits: SearchHit[] = [];
  let total = 0;
  if (text === "" || trace.length === 0) return { type: "search", id, hits, total, heat };
  const matches = new NameMatches(trace, text);
  const scale = HEAT_BUCKETS / Math.max(1, trace.toNs - trace.fromNs);
  const warm = (ts: number): void => {
    heat[Math.min(HEAT_BUCKETS - 1, Math.max(0, Math.floor((ts - trace.fromNs) * scale)))]!++;
  };
  for (const row of trace.rows) {
    if (row.kind !== "slice" && row.kind !== "instant") continue;
    let start = 0;
    let kept = 0;
    for (const chunk of row.chunks as readonly Chunk[]) {
      const { key, ts, length } = chunk;
      for (let i = 0; i < length; i++) {
        if (!matches.has(key[i]!)) continue;
        total++;
        warm(ts[i]!);
        if (kept++ < limit) hits.push(hit(trace, row, chunk, i, start + i));
      }
      start += length;
      yield;
    }
    // Rows are in order by themselves; the first `limit` of all are among the first of each.
    if (hits.length > 4 * limit + 4096) keepFirst(hits, limit);
  }
  for (const [track, info] of trace.tracks.entries()) {
    if (info.kind !== "thread" && info.kind !== "process") continue;
    const name = displayName(trace, track as TrackId);
    if (!matches.hasText(name)) continue;
    const row = firstRow(trace, track as TrackId);
    const chunk = row?.chunks.find((each: Chunk) => each.length > 0);
    if (row === undefined || chunk === undefined) continue;
    total++;
    warm(chunk.ts[0]!);
    hits.push({ ...hit(trace, row, chunk, 0, 0), name });
  }
  keepFirst(hits, limit);
  return { type: "search", id, hits, total, heat };
}

function hit(trace: Trace, row: AnyRow, chunk: Chunk, at: number, index: number): SearchHit {
  const dur = durationAt(chunk, at);
  return {
    row: row.id,
    index,
    name: trace.strings.get(chunk.key[at]! as never),
    ts: chunk.ts[at]!,
    dur: Number.isNaN(dur) ? -1 : dur,
    track: row.track,
  };
}
function keepFirst(hits: SearchHit[], limit: number): void {
  hits.sort((a, b) => a.ts - b.ts || a.row - b.row || a.index - b.index);
  if (hits.length > limit) hits.length = limit;
}
function firstRow(trace: Trace, track: TrackId): AnyRow | undefined {
  return trace.rowsOf(track).find((row) => row.length > 0 && row.kind !== "counter");
}
