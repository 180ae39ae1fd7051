/** Where a recording has come to: a line, and right of it the future, whatever a strip was asked for. */
import type { Colors } from "../colors.ts";
import { type TimeRange, timeToX } from "./range.ts";

export interface NowScene {
  readonly width: number;
  readonly height: number;
  readonly dpr: number;
  readonly range: TimeRange;
  /** ns; undefined: no recording goes on. */
  readonly now: number | undefined;
}

export function paintNow(
  context: CanvasRenderingContext2D,
  { width, height, dpr, range, now }: NowScene,
  top: number,
  color: Colors,
): void {
  if (now === undefined || now >= range.to) return;
  const x = Math.round(timeToX(range, width, Math.max(now, range.from)) * dpr) / dpr;
  context.fillStyle = color.panel;
  context.fillRect(x, top, width - x, height - top);
  if (now < range.from) return;
  context.fillStyle = color.accent;
  context.fillRect(x, top, 1, height - top);
}
