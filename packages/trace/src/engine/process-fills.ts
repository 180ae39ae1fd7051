/** Which colour each process has on CPU rows and beside its name. */
import type { TrackId } from "../model/sink.ts";
import type { Trace } from "../model/trace.ts";
import { FILLS, fillOf } from "./palette.ts";
import { targetTracks } from "./targets.ts";

/**
 * Index in FILLS by process name without digits. As `fillOf`, but a taken fill goes to the next free one while there
 * are any: the recorded command's processes first, in the order they were seen.
 */
export class ProcessFills {
  readonly #trace: Trace;
  readonly #fills = new Map<string, number>();
  #at = "";

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  of(process: TrackId): number {
    this.#update();
    const name = this.#trace.trackName(process);
    return this.#fills.get(familyOf(name)) ?? fillOf(name);
  }

  /** Names and tracks may have come. */
  #update(): void {
    const { tracks, lives } = this.#trace;
    const at = `${tracks.length} ${lives.length}`;
    if (at === this.#at) return;
    this.#at = at;
    this.#fills.clear();
    const taken = new Set<number>();
    const targets = targetTracks(this.#trace);
    for (const wanted of [true, false])
      for (const [id, { kind }] of tracks.entries()) {
        if (kind !== "process" || targets.has(id) !== wanted) continue;
        const name = this.#trace.trackName(id as TrackId);
        const family = familyOf(name);
        if (this.#fills.has(family)) continue;
        if (taken.size === FILLS.length) return;
        let fill = fillOf(name);
        while (taken.has(fill)) fill = (fill + 5) % FILLS.length;
        taken.add(fill);
        this.#fills.set(family, fill);
      }
  }
}

function familyOf(name: string): string {
  return name.replace(/[0-9]+/g, "");
}
