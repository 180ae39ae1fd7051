/** What tracks and events are called. */
import type { StringId, TrackId } from "../model/sink.ts";
import type { AnyRow, Trace } from "../model/trace.ts";
import { stateTitle } from "./palette.ts";

/** The track's name now, or what it is when it has none: "Thread 812". */
export function displayName(trace: Trace, track: TrackId): string {
  const name = trace.trackName(track);
  const info = trace.tracks[track];
  if (name !== "" || info === undefined) return name;
  if (info.kind === "cpu") return `CPU ${info.cpu ?? "?"}`;
  if (info.kind === "process") return `Process ${info.pid ?? "?"}`;
  if (info.kind === "thread") return `Thread ${info.tid ?? "?"}`;
  return `(${info.kind})`;
}

/** What an event is called, by its row's kind and its key. */
export function eventName(trace: Trace, kind: AnyRow["kind"], key: number): string {
  if (kind === "slice" || kind === "instant") return trace.strings.get(key as StringId);
  if (kind === "thread_state") return stateTitle(trace.strings.get(key as StringId));
  if (kind === "sched") {
    const name = trace.trackName(key as TrackId);
    const tid = trace.tracks[key]?.tid;
    return name === "" || tid === undefined ? displayName(trace, key as TrackId) : `${name} ${tid}`;
  }
  if (kind === "sample" && key > 0) {
    const frame = trace.stacks.frame[key - 1];
    return frame === undefined ? "sample" : (trace.frames[frame]?.name ?? "sample");
  }
  return kind === "sample" ? "sample" : "";
}
