/** Which thread and process a track belongs to. A thread's `utid` and a process's `upid` are the ids of their tracks. */
import type { Trace } from "@kymo/trace";

export class TrackIds {
  readonly #tracks: Trace["tracks"];
  readonly #pids = new Map<number, number[]>();
  constructor(trace: Trace) {
    this.#tracks = trace.tracks;
    trace.tracks.forEach((track, id) => {
      if (track.kind !== "process" || track.pid === undefined) return;
      const same = this.#pids.get(track.pid);
      if (same === undefined) this.#pids.set(track.pid, [id]);
      else same.push(id);
    });
  }
  threadOf(track: number): number | undefined {
    return this.#above(track, "thread");
  }
  processOf(track: number): number | undefined {
    return this.#above(track, "process");
  }
  /** The process with this pid; of several (pids are used again) the last one declared before `before`, else the first. */
  processByPid(pid: number, before: number): number | undefined {
    const same = this.#pids.get(pid);
    return same?.findLast((id) => id < before) ?? same?.find((id) => id !== before);
  }

  #above(track: number, kind: "thread" | "process"): number | undefined {
    // A track's parent is declared before it, so this ends.
    for (let id: number | undefined = track; id !== undefined; ) {
      const info: Trace["tracks"][number] | undefined = this.#tracks[id];
      if (info === undefined) return undefined;
      if (info.kind === kind) return id;
      if (info.parent !== undefined && info.parent >= id) return undefined;
      id = info.parent;
    }
    return undefined;
  }
}
