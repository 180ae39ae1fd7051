/**
 * The newest time of a recording as it is shown. What is drawn of it comes in steps, 5 to 20 times a second; this runs
 * evenly, a little behind, and never past what is drawn.
 */
import type { TimeRange } from "./range.ts";

/** So far behind: longer than two pieces of news are apart. */
const BEHIND_NS = 150e6;
/** An error is made good at this pace… */
const SETTLE_MS = 400;
/** …unless it is so large that one must have slept. */
const JUMP_NS = 1e9;

export class NewestClock {
  private toNs = NaN;
  private takenAt = 0;
  private shown = NaN;
  private shownAt = 0;

  /** The recording is drawn to `toNs`. */
  take(toNs: number, nowMs: number): void {
    if (toNs === this.toNs) return;
    this.toNs = toNs;
    this.takenAt = nowMs;
  }

  /** What to show at `nowMs`; each call no earlier than the one before. NaN before any news. */
  at(nowMs: number): number {
    const aim = this.toNs + (nowMs - this.takenAt) * 1e6 - BEHIND_NS;
    const passed = nowMs - this.shownAt;
    let next = this.shown + passed * 1e6;
    if (!(Math.abs(aim - next) < JUMP_NS)) next = this.toNs;
    else next += (aim - next) * (1 - Math.exp(-passed / SETTLE_MS));
    // Time that is shown never runs backwards.
    if (next < this.shown && this.shown <= this.toNs) next = this.shown;
    this.shown = Math.min(next, this.toNs);
    this.shownAt = nowMs;
    return this.shown;
  }
  /** What the last news said; NaN before any. */
  get known(): number {
    return this.toNs;
  }
  /** As last shown. */
  get last(): number {
    return this.shown;
  }
  clear(): void {
    this.toNs = NaN;
    this.shown = NaN;
  }
}

/** Part of the view's width that is past: the rest is air for what comes. */
export const FOLLOW_AT = 0.97;
/** The width of a view that follows, at first. */
export const FOLLOW_SPAN_NS = 10e9;

export function rangeFollowing(newest: number, span: number): TimeRange {
  const from = newest - span * FOLLOW_AT;
  return { from, to: from + span };
}
