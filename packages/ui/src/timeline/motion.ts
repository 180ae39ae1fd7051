/**
 * Movement over time: held keys with a soft start, and a 120 ms ease to a target range. No clock of its own: the
 * caller gives the frame's time.
 */
import { type Limits, mixRanges, panBy, type TimeRange, zoomAt } from "./range.ts";

export type Held = "zoomIn" | "zoomOut" | "panLeft" | "panRight";

const EASE_MS = 120;
/** A key held for this long moves at full speed. */
const RAMP_MS = 250;
/** Full speed: e-foldings of span per second, view widths per second. */
const ZOOM_RATE = 3.2;
const PAN_RATE = 1.6;
/** What one tap does at once, before any frame has passed. */
export const TAP_ZOOM = 0.85;
export const TAP_PAN = 0.06;

export class HeldMotion {
  private readonly since = new Map<Held, number>();
  private last = 0;

  get moving(): boolean {
    return this.since.size > 0;
  }
  /** @returns true when the key was not held before: the caller makes the tap's step. */
  press(what: Held, now: number): boolean {
    if (this.since.has(what)) return false;
    if (this.since.size === 0) this.last = now;
    this.since.set(what, now);
    return true;
  }
  release(what: Held): void {
    this.since.delete(what);
  }
  releaseAll(): void {
    this.since.clear();
  }
  /** The range after the time since the last step. Frames longer than 50 ms count as 50: no jumps after a stall. */
  step(range: TimeRange, anchor: number, limits: Limits, now: number): TimeRange {
    const seconds = Math.min(50, Math.max(0, now - this.last)) / 1000;
    this.last = now;
    let next = range;
    for (const [what, start] of this.since) {
      const speed = 0.25 + 0.75 * Math.min(1, Math.max(0, now - start) / RAMP_MS);
      if (what === "zoomIn" || what === "zoomOut") {
        const sign = what === "zoomIn" ? -1 : 1;
        next = zoomAt(next, anchor, Math.exp(sign * ZOOM_RATE * speed * seconds), limits);
      } else {
        const sign = what === "panLeft" ? -1 : 1;
        next = panBy(next, sign * PAN_RATE * speed * seconds, limits);
      }
    }
    return next;
  }
}

/** One eased way from a range to another. */
export class Ease {
  readonly to: TimeRange;
  private readonly from: TimeRange;
  private readonly start: number;
  constructor(from: TimeRange, to: TimeRange, now: number) {
    this.from = from;
    this.to = to;
    this.start = now;
  }
  at(now: number): { range: TimeRange; done: boolean } {
    const t = Math.min(1, Math.max(0, (now - this.start) / EASE_MS));
    return { range: mixRanges(this.from, this.to, 1 - (1 - t) ** 3), done: t >= 1 };
  }
}
