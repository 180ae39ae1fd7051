/**
 * Calls of functions whose slices are open, by track. A call may be left without a return (longjmp, exec), and a record of
 * either side may be lost; "end the innermost" would then end another call's slice, and every later one's:
 *
 *     outer ─┬─ inner ──✗ longjmp          ends: outer  ⇒ inner, then outer
 *            └──────────────── return
 */
import type { TrackId } from "@kymo/trace";

export class OpenCalls {
  readonly #byTrack = new Map<TrackId, number[]>();

  begin(track: TrackId, call: number): void {
    const open = this.#byTrack.get(track);
    if (open === undefined) this.#byTrack.set(track, [call]);
    else open.push(call);
  }

  /** @returns how many slices end with it, itself among them; 0: its begin is not known. */
  end(track: TrackId, call: number): number {
    const open = this.#byTrack.get(track);
    const at = open?.lastIndexOf(call) ?? -1;
    if (open === undefined || at < 0) return 0;
    const count = open.length - at;
    open.length = at;
    return count;
  }
}
