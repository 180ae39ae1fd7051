/** When tracks end. */
import type { TrackId, TrackInfo } from "../model/sink.ts";
import type { Trace } from "../model/trace.ts";

/**
 * When the process that a counter belongs to ended, ns: with its own exit, else with its last thread's. Infinity when
 * it did not, or belongs to none.
 */
export function ownerEnd(trace: Trace, track: TrackId): number {
  let at: TrackId | undefined = track;
  for (let steps = 0; at !== undefined && at >= 0 && steps < 16; steps++) {
    const info: TrackInfo | undefined = trace.tracks[at];
    if (info?.kind === "process") return processEnd(trace, at);
    if (info?.kind === "thread") {
      const { endNs } = trace.lifetime(at);
      if (endNs !== undefined) return endNs;
    }
    at = info?.parent;
  }
  return Infinity;
}

function processEnd(trace: Trace, process: TrackId): number {
  const { endNs } = trace.lifetime(process);
  if (endNs !== undefined) return endNs;
  let last = -Infinity;
  for (const [id, { kind, parent }] of trace.tracks.entries()) {
    if (kind !== "thread" || parent !== process) continue;
    const end = trace.lifetime(id as TrackId).endNs;
    if (end === undefined) return Infinity;
    last = Math.max(last, end);
  }
  return last > -Infinity ? last : Infinity;
}
