/** What belongs to the recorded command. */
import type { Trace } from "../model/trace.ts";

/** Tracks of the recorded command: the process `target.pid`, those it started, and theirs; with their threads. */
export function targetTracks(trace: Trace): ReadonlySet<number> {
  const found = new Set<number>();
  const target = Number(trace.metadata.get("target.pid") ?? NaN);
  if (!Number.isInteger(target)) return found;
  const children = new Map<number, number[]>();
  const byPid = new Map<number, number[]>();
  for (const [id, { kind, pid, parentPid }] of trace.tracks.entries()) {
    if (kind !== "process" || pid === undefined) continue;
    append(byPid, pid, id);
    if (parentPid !== undefined && parentPid !== pid) append(children, parentPid, pid);
  }
  const seen = new Set<number>();
  const queue = [target];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    if (seen.has(pid)) continue;
    seen.add(pid);
    for (const id of byPid.get(pid) ?? []) found.add(id);
    queue.push(...(children.get(pid) ?? []));
  }
  for (const [id, info] of trace.tracks.entries()) {
    let at: number | undefined = info.parent;
    for (let steps = 0; at !== undefined && steps < 16; steps++) {
      if (found.has(at)) found.add(id);
      at = trace.tracks[at]?.parent;
    }
  }
  return found;
}

function append(map: Map<number, number[]>, key: number, value: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
