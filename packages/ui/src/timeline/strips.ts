/**
 * The strips the engine has sent, kept as canvases so that a frame only stretches them. The newest that has a row
 * is shown; where it does not reach (just panned or zoomed out), an older one fills in until the answer comes.
 */
import { type Strip, stateInk } from "@kymo/trace/engine";
import type { TimeRange } from "./range.ts";

/** Newest first; older ones only fill gaps. */
const KEEP = 4;

export interface HeldStrip {
  readonly strip: Strip;
  readonly canvas: HTMLCanvasElement;
  readonly lineOfRow: ReadonlyMap<number, number>;
  /** Labels of each line: indexes in `strip.labels` (of groups of 4). */
  readonly labelsOfLine: ReadonlyMap<number, readonly number[]>;
  readonly counterOfLine: ReadonlyMap<number, HeldCounter>;
  /** Filled by `uninterruptibleRuns`. */
  readonly uninterruptible: Map<number, readonly number[]>;
  /** performance.now() of its request. */
  readonly requestedAt: number;
}
export interface HeldCounter {
  readonly min: number;
  readonly max: number;
  /** x in strip px, y in 0 (top) … 1 (bottom). */
  readonly area: Path2D;
  readonly line: Path2D;
  readonly low: Float32Array;
  readonly high: Float32Array;
}

export class StripStore {
  private held: HeldStrip[] = [];

  get newest(): HeldStrip | undefined {
    return this.held[0];
  }
  clear(): void {
    this.held = [];
  }

  add(strip: Strip, requestedAt: number): HeldStrip | undefined {
    if (strip.width <= 0 || strip.rows.length === 0) return undefined;
    // Another theme's or trace's pixels must not shine through.
    if (this.held.some((each) => each.strip.theme !== strip.theme)) this.held = [];
    const recycled = this.held.length >= KEEP ? this.held.pop()?.canvas : undefined;
    const entry: HeldStrip = {
      strip,
      canvas: toCanvas(strip, recycled),
      lineOfRow: new Map(strip.rows.map((row, line) => [row, line])),
      labelsOfLine: groupLabels(strip),
      counterOfLine: new Map(strip.counters.map((each) => [each.line, counterPaths(each)])),
      uninterruptible: new Map(),
      requestedAt,
    };
    this.held.unshift(entry);
    return entry;
  }

  /** The strips to draw for a row, oldest first; one when the newest covers the range. */
  forRow(row: number, range: TimeRange): readonly { held: HeldStrip; line: number }[] {
    const found: { held: HeldStrip; line: number }[] = [];
    for (const held of this.held) {
      const line = held.lineOfRow.get(row);
      if (line === undefined) continue;
      found.unshift({ held, line });
      const { from, to } = held.strip;
      if (from <= range.from && to >= range.to) break;
    }
    return found;
  }
}

function toCanvas(strip: Strip, recycled: HTMLCanvasElement | undefined): HTMLCanvasElement {
  const canvas = recycled ?? document.createElement("canvas");
  const height = strip.rows.length;
  if (canvas.width !== strip.width) canvas.width = strip.width;
  if (canvas.height !== height) canvas.height = height;
  const { buffer, byteOffset, byteLength } = strip.pixels;
  const bytes = new Uint8ClampedArray(buffer as ArrayBuffer, byteOffset, byteLength);
  canvas.getContext("2d")?.putImageData(new ImageData(bytes, strip.width, height), 0, 0);
  return canvas;
}

function groupLabels(strip: Strip): Map<number, number[]> {
  const byLine = new Map<number, number[]>();
  for (let i = 0; i + 3 < strip.labels.length; i += 4) {
    const line = strip.labels[i + 2]!;
    const list = byLine.get(line);
    if (list) list.push(i);
    else byLine.set(line, [i]);
  }
  return byLine;
}

function counterPaths(counter: Strip["counters"][number]): HeldCounter {
  const area = new Path2D();
  const line = new Path2D();
  const { low, high } = counter;
  let open = false;
  let start = 0;
  for (let x = 0; x <= high.length; x++) {
    const top = high[x];
    if (top === undefined || Number.isNaN(top)) {
      if (open) {
        area.lineTo(x, 1);
        area.lineTo(start, 1);
        area.closePath();
      }
      open = false;
      continue;
    }
    const y = 1 - top;
    if (open) {
      area.lineTo(x, y);
      line.lineTo(x, y);
    } else {
      area.moveTo(x, 1);
      area.lineTo(x, y);
      line.moveTo(x, y);
      start = x;
      open = true;
    }
    // Between low and high the value swung within this one px.
    const bottom = low[x]!;
    if (bottom < top) {
      line.lineTo(x, 1 - bottom);
      line.lineTo(x, y);
    }
    area.lineTo(x + 1, y);
    line.lineTo(x + 1, y);
  }
  return { min: counter.min, max: counter.max, area, line, low, high };
}

/** Runs of uninterruptible waits at least 3 px wide in one line, as [start, end) px: they get their hatch drawn. */
export function uninterruptibleRuns(held: HeldStrip, line: number): readonly number[] {
  let runs = held.uninterruptible.get(line);
  if (!runs) {
    runs = findRuns(held.strip, line, stateInk(held.strip.theme, "uninterruptible").rgb, 3);
    held.uninterruptible.set(line, runs);
  }
  return runs;
}

function findRuns(strip: Strip, line: number, rgb: number, leastPx: number): number[] {
  const word = ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >>> 16);
  const runs: number[] = [];
  const at = line * strip.width;
  let start = -1;
  for (let x = 0; x <= strip.width; x++) {
    const inside = x < strip.width && (strip.pixels[at + x]! & 0xffffff) === word;
    if (inside && start < 0) start = x;
    else if (!inside && start >= 0) {
      if (x - start >= leastPx) runs.push(start, x);
      start = -1;
    }
  }
  return runs;
}
