/**
 * The ruler: about ten ticks on 1/2/5 steps. The first is written in full ("32.200 ms"); when the full text
 * of the others would repeat the same leading digits, they are offsets from it ("+50 µs").
 */
import { formatDuration, formatTime } from "../words.ts";
import { spanOf, type TimeRange } from "./range.ts";

export interface Tick {
  readonly ts: number;
  readonly label: string;
  /** Written in full. */
  readonly absolute: boolean;
}

/** The smallest 1/2/5 step that leaves at least `minPx` between two ticks. Never under 1 ns. */
export function tickStep(spanNs: number, width: number, minPx = 112): number {
  const raw = (spanNs * minPx) / Math.max(1, width);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((each) => each * power >= raw * (1 - 1e-9)) ?? 10;
  return Math.max(1, step * power);
}

/** Ticks in the range; times are told from `zeroNs`, the start of the trace. */
export function ticksOf(range: TimeRange, width: number, zeroNs: number): Tick[] {
  const step = tickStep(spanOf(range), width);
  const first = Math.ceil((range.from - zeroNs) / step);
  const last = Math.floor((range.to - zeroNs) / step);
  const start = first * step;
  // With the view far from 0 compared to its own length, full labels differ only in their tails.
  const relative = Math.abs(range.from - zeroNs) > spanOf(range) * 20;
  const ticks: Tick[] = [];
  for (let i = first; i <= last && ticks.length < 200; i++) {
    const at = i * step;
    const absolute = !relative || i === first;
    const label = absolute ? formatTime(at, step) : `+${formatDuration(at - start)}`;
    ticks.push({ ts: zeroNs + at, label, absolute });
  }
  return ticks;
}
