/** What a thread waits in: the system call around the moment it went to sleep. */
import type { StringId, TrackId } from "../model/sink.ts";
import type { Row, Trace } from "../model/trace.ts";
import { covering, placeOf } from "./locate.ts";
import { SYSCALL_CATEGORY, stateClass } from "./palette.ts";
import type { EventRef } from "./protocol.ts";

export interface Wait extends EventRef {
  readonly name: string;
}

/** The innermost slice of category "syscall" of `track` at `ts`; undefined when there is none or none was recorded. */
export function syscallAt(trace: Trace, track: TrackId, ts: number): Wait | undefined {
  let found: Wait | undefined;
  let lane = -1;
  for (const row of trace.rowsOf(track)) {
    if (row.kind !== "slice" || row.lane <= lane) continue;
    const index = covering(row, ts, trace.toNs);
    const place = index < 0 ? undefined : placeOf(row as Row<"slice">, index);
    if (place === undefined) continue;
    const { category, key } = place.chunk;
    if (trace.strings.get(category[place.at]! as StringId) !== SYSCALL_CATEGORY) continue;
    found = { row: row.id, index, name: trace.strings.get(key[place.at]! as StringId) };
    lane = row.lane;
  }
  return found;
}

/** Whether a thread in this state waits for something other than a CPU. */
export function isWaitState(letter: string): boolean {
  const state = stateClass(letter);
  return (state === "sleeping" && letter !== "I") || state === "uninterruptible";
}
