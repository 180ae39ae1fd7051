/**
 * One frame: ruler, gridlines, strips, labels, losses, selection. Reads the state it is given, keeps none.
 */
import {
  type EventDetails,
  formatValue,
  stateInk,
  stateTitle,
  type TraceSummary,
} from "@kymo/trace/engine";
import type { Colors, Theme } from "../colors.ts";
import { formatDuration } from "../words.ts";
import { factsParts, shareOf } from "./facts.ts";
import type { TextMeasure } from "./labels.ts";
import {
  type Band,
  type Item,
  type Layout,
  placeOfRow,
  visibleBands,
  visibleItems,
} from "./layout.ts";
import { paintNow } from "./paint-now.ts";
import { spanOf, type TimeRange, timeToX } from "./range.ts";
import { type HeldStrip, type StripStore, uninterruptibleRuns } from "./strips.ts";
import { type Tick, ticksOf } from "./ticks.ts";

export const RULER_HEIGHT = 24;
const LABEL_FONT = '11px system-ui, "Segoe UI", sans-serif';
const RULER_FONT = "11px ui-monospace, monospace";
const MAX_LABELS = 600;
const MIN_LABEL_PX = 34;
/** The one state whose colour is dark in both themes. */
const preemptedTitle = stateTitle("R+");

export interface Area extends TimeRange {
  /** y from the top of the content. */
  readonly top: number;
  readonly bottom: number;
}
export interface Scene {
  readonly width: number;
  /** With the ruler. */
  readonly height: number;
  readonly dpr: number;
  readonly range: TimeRange;
  readonly scrollTop: number;
  readonly layout: Layout;
  readonly strips: StripStore;
  readonly summary: TraceSummary;
  readonly selection: EventDetails | undefined;
  readonly ancestors: readonly EventDetails[];
  readonly area: Area | undefined;
  readonly losses: readonly TimeRange[];
  readonly hoverX: number | undefined;
  /** Where a recording that goes on has come to, ns. */
  readonly now: number | undefined;
  readonly measure: TextMeasure;
  /** The closed line that holds a row which is not drawn itself, from the top of the content. */
  placeInside(row: number): { readonly y: number; readonly height: number } | undefined;
  /** The reader has asked for few colours: labelled events get an outline too. */
  readonly forcedColors: boolean;
  readonly theme: Theme;
}

export function labelFont(context: CanvasRenderingContext2D): (text: string) => number {
  return (text) => {
    context.font = LABEL_FONT;
    return context.measureText(text).width;
  };
}

/** @returns the number of rows drawn. */
export function paintScene(context: CanvasRenderingContext2D, scene: Scene, color: Colors): number {
  const { width, height, dpr, range, scrollTop, layout } = scene;
  context.setTransform(dpr, 0, 0, dpr, 0, 0);
  context.imageSmoothingEnabled = false;
  context.fillStyle = color.background;
  context.fillRect(0, 0, width, height);
  const ticks = ticksOf(range, width, scene.summary.fromNs);

  context.save();
  context.beginPath();
  context.rect(0, RULER_HEIGHT, width, height - RULER_HEIGHT);
  context.clip();
  const top = RULER_HEIGHT - scrollTop;
  const items = visibleItems(layout, scrollTop, scrollTop + height - RULER_HEIGHT);
  paintGround(context, scene, items, ticks, top, color);
  let rows = 0;
  for (const item of items) {
    for (const band of visibleBands(item, scrollTop, scrollTop + height - RULER_HEIGHT)) {
      paintBand(context, scene, item, band, top + item.y + band.y, color);
      rows++;
    }
  }
  paintLabels(context, scene, items, top, color);
  paintLosses(context, scene, color);
  paintArea(context, scene, top, color);
  paintSelection(context, scene, top, color);
  paintNow(context, scene, RULER_HEIGHT, color);
  context.restore();
  paintRuler(context, scene, ticks, color);
  return rows;
}

function paintGround(
  context: CanvasRenderingContext2D,
  scene: Scene,
  items: readonly Item[],
  ticks: readonly Tick[],
  top: number,
  color: Colors,
): void {
  const { width, range, dpr } = scene;
  const hair = 1 / dpr;
  for (const item of items) {
    const y = top + item.y;
    if (isHeading(item)) {
      context.fillStyle = color.band;
      context.fillRect(0, y, width, item.height);
    }
  }
  context.fillStyle = color.grid;
  const bottom = Math.min(scene.height, top + scene.layout.height);
  for (const { ts } of ticks)
    context.fillRect(
      snap(timeToX(range, width, ts), dpr),
      RULER_HEIGHT,
      hair,
      bottom - RULER_HEIGHT,
    );
  for (const item of items) {
    if (item.height < 12) continue;
    context.fillStyle = item.level === 0 ? color.line : color.grid;
    context.fillRect(0, snap(top + item.y + item.height, dpr) - hair, width, hair);
  }
  context.font = LABEL_FONT;
  context.textBaseline = "middle";
  for (const item of items) {
    if (!isHeading(item) || item.height < 16) continue;
    context.fillStyle = color.muted;
    context.fillText(headingText(item, scene.summary), 8, top + item.y + item.height / 2 + 0.5);
  }
}

function headingText({ node }: Item, summary: TraceSummary): string {
  return factsParts(node.facts, node.kind, shareOf(node, summary)).join(" · ");
}

/** An open line that has only other lines below: its facts stand in the free space to the right. */
export function isHeading(item: Item): boolean {
  return item.expanded && item.bands.length === 0 && item.node.children.length > 0;
}

function paintBand(
  context: CanvasRenderingContext2D,
  scene: Scene,
  item: Item,
  band: Band,
  y: number,
  color: Colors,
): void {
  const found = scene.strips.forRow(band.row, scene.range);
  const gap = band.height >= 12 ? 1 : 0;
  for (let n = 0; n < found.length; n++) {
    const { held, line } = found[n]!;
    const { x, scale } = place(scene, held);
    const stripWidth = held.strip.width * scale;
    if (n > 0) {
      // The newer strip replaces the older one where it reaches: no doubled alpha.
      context.fillStyle = color.background;
      const from = Math.max(0, x);
      const to = Math.min(scene.width, x + stripWidth);
      if (to > from) context.fillRect(from, y, to - from, band.height);
    }
    if (band.kind === "counter") paintCounter(context, scene, item, band, held, line, y, color);
    else
      context.drawImage(
        held.canvas,
        0,
        line,
        held.strip.width,
        1,
        x,
        y,
        stripWidth,
        Math.max(1 / scene.dpr, band.height - gap),
      );
    if (band.kind === "thread_state" && band.height >= 6) {
      const runs = uninterruptibleRuns(held, line);
      const pattern = runs.length > 0 ? waitPattern(context, scene) : null;
      context.fillStyle = pattern ?? color.loss;
      for (let i = 0; pattern && i < runs.length; i += 2)
        context.fillRect(
          x + runs[i]! * scale,
          y,
          (runs[i + 1]! - runs[i]!) * scale,
          band.height - gap,
        );
    }
  }
}

/** Where a strip's px 0 lies and how wide one of its px is, in CSS px of the current view. */
function place(scene: Scene, { strip }: HeldStrip): { x: number; scale: number } {
  const x = timeToX(scene.range, scene.width, strip.from);
  const scale = ((strip.to - strip.from) / strip.width / spanOf(scene.range)) * scene.width;
  return { x, scale };
}

function paintCounter(
  context: CanvasRenderingContext2D,
  scene: Scene,
  item: Item,
  band: Band,
  held: HeldStrip,
  line: number,
  y: number,
  color: Colors,
): void {
  const counter = held.counterOfLine.get(line);
  if (!counter) return;
  const { x, scale } = place(scene, held);
  const { dpr } = scene;
  const height = band.height - 2;
  context.save();
  context.beginPath();
  context.rect(0, y, scene.width, band.height);
  context.clip();
  context.setTransform(dpr * scale, 0, 0, dpr * height, dpr * x, dpr * (y + 1));
  context.fillStyle = color.counterFill;
  context.fill(counter.area);
  context.restore();
  context.save();
  context.beginPath();
  context.rect(0, y, scene.width, band.height);
  context.clip();
  // The path is scaled, the pen is not.
  const path = new Path2D();
  path.addPath(counter.line, new DOMMatrix([scale, 0, 0, height, x, y + 1]));
  context.strokeStyle = color.counter;
  context.lineWidth = 1;
  context.stroke(path);
  context.restore();
  if (band.height >= 24 && Number.isFinite(counter.max)) {
    context.font = RULER_FONT;
    context.textBaseline = "top";
    const text = `max ${formatValue(counter.max, item.node.unit)}`;
    context.globalAlpha = 0.75;
    context.fillStyle = color.background;
    context.fillRect(2, y + 2, context.measureText(text).width + 5, 13);
    context.globalAlpha = 1;
    context.fillStyle = color.muted;
    context.fillText(text, 4, y + 3);
  }
}

function paintLabels(
  context: CanvasRenderingContext2D,
  scene: Scene,
  items: readonly Item[],
  top: number,
  color: Colors,
): void {
  context.font = LABEL_FONT;
  context.textBaseline = "middle";
  let left = MAX_LABELS;
  for (const item of items) {
    for (const band of visibleBands(item, scene.scrollTop, scene.scrollTop + scene.height)) {
      if (band.height < 11 || band.overview || band.kind === "counter" || left <= 0) continue;
      const found = scene.strips.forRow(band.row, scene.range).at(-1);
      if (!found) continue;
      const { held, line } = found;
      const { x, scale } = place(scene, held);
      const middle = top + item.y + band.y + (band.height - 1) / 2 + 0.5;
      const write = (start: number, end: number, text: string, inset: number) => {
        const from = Math.max(0, x + start * scale);
        const to = Math.min(scene.width, x + end * scale);
        if (to - from < MIN_LABEL_PX) return;
        const room = to - from - 2 * inset;
        const fitted =
          band.kind === "thread_state"
            ? fitState(scene.measure, text, room, callsBelow)
            : scene.measure.fit(text, room, band.kind === "slice");
        if (fitted === "") return;
        context.fillText(fitted, from + inset, middle);
        if (scene.forcedColors) {
          context.strokeStyle = color.ink;
          context.lineWidth = 1;
          context.strokeRect(
            from + 0.5,
            middle - band.height / 2 + 0.5,
            to - from - 1,
            band.height - 2,
          );
        }
        left--;
      };
      const callsBelow = item.bands.some(({ kind, height }) => kind === "slice" && height >= 11);
      const { labels, labelTexts } = held.strip;
      for (const i of held.labelsOfLine.get(line) ?? []) {
        if (left <= 0) break;
        const start = labels[i]!;
        const text = labelTexts[labels[i + 3]!] ?? "";
        // Sleeping is next to empty: its words are on the background, not on a fill.
        const quiet = band.kind === "thread_state" && /^(Sleeping|Idle)/.test(text);
        const dark = band.kind === "thread_state" && text === preemptedTitle;
        context.fillStyle = quiet ? color.muted : dark ? "#ffffff" : color.labelInk;
        write(start, start + labels[i + 1]!, text, 4);
      }
    }
  }
}

/**
 * "Sleeping in read", else "in read", else "in r…": the same state never has another word. Where the call itself is
 * drawn below with its name (`callBelow`), the whole or nothing.
 */
function fitState(measure: TextMeasure, text: string, room: number, callBelow: boolean): string {
  if (measure.width(text) <= room) return text;
  const at = text.indexOf(" in ");
  return at < 0 || callBelow ? "" : measure.fit(text.slice(at + 1), room, false);
}

const hatches = new Map<string, CanvasPattern | null>();
function lossPattern(context: CanvasRenderingContext2D, color: Colors): CanvasPattern | null {
  return hatchOf(context, color.loss, 8, 1.5, 0.55);
}
/** Over uninterruptible waits: told apart without colours. */
function waitPattern(context: CanvasRenderingContext2D, scene: Scene): CanvasPattern | null {
  const { hatch = 0 } = stateInk(scene.theme, "uninterruptible");
  return hatchOf(context, `#${hatch.toString(16).padStart(6, "0")}`, 5, 1.5, 1);
}
/** Diagonal lines, `period` px apart. */
function hatchOf(
  context: CanvasRenderingContext2D,
  style: string,
  period: number,
  lineWidth: number,
  alpha: number,
): CanvasPattern | null {
  const key = `${style} ${period}`;
  const known = hatches.get(key);
  if (known !== undefined) return known;
  const tile = document.createElement("canvas");
  tile.width = period;
  tile.height = period;
  const pen = tile.getContext("2d");
  if (!pen) return null;
  pen.strokeStyle = style;
  pen.globalAlpha = alpha;
  pen.lineWidth = lineWidth;
  for (const shift of [-period, 0, period]) {
    pen.moveTo(shift, period);
    pen.lineTo(shift + period, 0);
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  hatches.set(key, pattern);
  return pattern;
}

function paintLosses(context: CanvasRenderingContext2D, scene: Scene, color: Colors): void {
  const height = Math.min(scene.height - RULER_HEIGHT, scene.layout.height - scene.scrollTop);
  const pattern = lossPattern(context, color);
  for (const loss of scene.losses) {
    const x = timeToX(scene.range, scene.width, loss.from);
    const end = Math.max(x + 3, timeToX(scene.range, scene.width, loss.to));
    if (end < 0 || x > scene.width) continue;
    const from = Math.max(-2, x);
    const width = Math.min(scene.width + 2, end) - from;
    context.fillStyle = color.lossWash;
    context.fillRect(from, RULER_HEIGHT, width, height);
    if (pattern) {
      context.fillStyle = pattern;
      context.fillRect(from, RULER_HEIGHT, width, height);
    }
  }
}

function paintArea(
  context: CanvasRenderingContext2D,
  scene: Scene,
  top: number,
  color: Colors,
): void {
  const { area, width, range } = scene;
  if (!area) return;
  const x0 = timeToX(range, width, area.from);
  const x1 = timeToX(range, width, area.to);
  const y0 = Math.max(RULER_HEIGHT, top + area.top);
  const y1 = Math.min(scene.height, top + area.bottom);
  if (y1 <= y0) return;
  context.fillStyle = color.accentWash;
  context.fillRect(x0, y0, x1 - x0, y1 - y0);
  context.strokeStyle = color.accent;
  context.lineWidth = 1;
  context.strokeRect(x0 + 0.5, y0 + 0.5, Math.max(0, x1 - x0 - 1), y1 - y0 - 1);
  const text = formatDuration(area.to - area.from);
  context.font = RULER_FONT;
  const textWidth = context.measureText(text).width;
  const middle = Math.min(
    Math.max((Math.max(x0, 0) + Math.min(x1, width)) / 2, textWidth / 2 + 8),
    width - textWidth / 2 - 8,
  );
  context.fillStyle = color.accent;
  context.beginPath();
  context.roundRect(middle - textWidth / 2 - 7, y0 + 4, textWidth + 14, 18, 9);
  context.fill();
  context.fillStyle = color.background;
  context.textBaseline = "middle";
  context.fillText(text, middle - textWidth / 2, y0 + 13.5);
}

function paintSelection(
  context: CanvasRenderingContext2D,
  scene: Scene,
  top: number,
  color: Colors,
): void {
  const { selection, range, width, layout } = scene;
  if (!selection) return;
  context.strokeStyle = color.outline;
  for (const ancestor of scene.ancestors) {
    const box = boxOf(scene, ancestor, top);
    if (!box) continue;
    context.lineWidth = 1;
    context.strokeRect(box.x + 0.5, box.y + 0.5, Math.max(1, box.width - 1), box.height - 1);
  }
  const box = boxOf(scene, selection, top);
  if (!box) return;
  context.lineWidth = 2;
  context.strokeRect(box.x, box.y, Math.max(3, box.width), box.height);
  for (const { label, ref } of selection.facts) {
    // Who woke the thread: from the waker's line straight to where this state began, or ended.
    if (!ref || (label !== "Woken by" && label !== "Ended by")) continue;
    const at = placeOfRow(layout, ref.row) ?? scene.placeInside(ref.row);
    if (!at) continue;
    const x = label === "Woken by" ? box.x : box.x + box.width;
    const below = at.y > box.y - top;
    paintUpright(
      context,
      x,
      top + at.y + (below ? 0 : at.height),
      box.y + (below ? box.height : 0),
      color,
    );
  }
  for (const flow of selection.flows) {
    const at = placeOfRow(layout, flow.other.row) ?? scene.placeInside(flow.other.row);
    if (!at) continue;
    const otherX = timeToX(range, width, flow.other.ts);
    const otherY = top + at.y + at.height / 2;
    const ownX = flow.step === "out" ? box.x + box.width : box.x;
    const ownY = box.y + box.height / 2;
    const [x0, y0, x1, y1] =
      flow.step === "out" ? [ownX, ownY, otherX, otherY] : [otherX, otherY, ownX, ownY];
    paintArrow(context, x0, y0, x1, y1, color);
  }
}

function boxOf(
  scene: Scene,
  event: EventDetails,
  top: number,
): { x: number; y: number; width: number; height: number } | undefined {
  const at = placeOfRow(scene.layout, event.row);
  if (!at) return undefined;
  const end = event.dur < 0 ? scene.summary.toNs : event.ts + event.dur;
  const x = Math.max(-4, timeToX(scene.range, scene.width, event.ts));
  const right = Math.min(scene.width + 4, timeToX(scene.range, scene.width, end));
  if (right < -3 || x > scene.width + 3) return undefined;
  const gap = at.height >= 12 ? 1 : 0;
  return { x, y: top + at.y, width: right - x, height: at.height - gap };
}

function paintArrow(
  context: CanvasRenderingContext2D,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  color: Colors,
): void {
  const bend = Math.max(24, Math.min(160, Math.abs(x1 - x0) / 2));
  const draw = (lineWidth: number, style: string) => {
    context.strokeStyle = style;
    context.lineWidth = lineWidth;
    context.beginPath();
    context.moveTo(x0, y0);
    context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1 - 4, y1);
    context.stroke();
  };
  draw(4, color.background);
  draw(1.75, color.accent);
  context.fillStyle = color.accent;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x1 - 8, y1 - 4.5);
  context.lineTo(x1 - 8, y1 + 4.5);
  context.fill();
}

/** A wakeup: both ends at the same moment. */
function paintUpright(
  context: CanvasRenderingContext2D,
  x: number,
  y0: number,
  y1: number,
  color: Colors,
): void {
  const tip = Math.sign(y1 - y0) * 7;
  for (const [lineWidth, style] of [
    [4, color.background],
    [1.75, color.accent],
  ] as const) {
    context.strokeStyle = style;
    context.lineWidth = lineWidth;
    context.beginPath();
    context.moveTo(x, y0);
    context.lineTo(x, y1 - tip);
    context.stroke();
  }
  context.fillStyle = color.accent;
  context.beginPath();
  context.arc(x, y0, 2.5, 0, 2 * Math.PI);
  context.moveTo(x, y1);
  context.lineTo(x - 4.5, y1 - tip);
  context.lineTo(x + 4.5, y1 - tip);
  context.fill();
}

function paintRuler(
  context: CanvasRenderingContext2D,
  scene: Scene,
  ticks: readonly Tick[],
  color: Colors,
): void {
  const { width, range, dpr } = scene;
  const hair = 1 / dpr;
  context.fillStyle = color.panel;
  context.fillRect(0, 0, width, RULER_HEIGHT);
  if (scene.area) {
    const x0 = timeToX(range, width, scene.area.from);
    const x1 = timeToX(range, width, scene.area.to);
    context.fillStyle = color.accentWash;
    context.fillRect(x0, 0, x1 - x0, RULER_HEIGHT);
  }
  context.fillStyle = color.line;
  context.fillRect(0, RULER_HEIGHT - hair, width, hair);
  context.font = RULER_FONT;
  context.textBaseline = "middle";
  for (const { ts, label, absolute } of ticks) {
    const x = snap(timeToX(range, width, ts), dpr);
    context.fillStyle = color.line;
    context.fillRect(x, RULER_HEIGHT - 8, hair, 8);
    context.fillStyle = absolute ? color.ink : color.muted;
    // A view that follows a recording may begin before it.
    if (x + 4 < width - 20 && ts >= scene.summary.fromNs)
      context.fillText(label, x + 4, RULER_HEIGHT / 2 + 0.5);
  }
  if (scene.hoverX !== undefined) {
    context.fillStyle = color.accent;
    context.fillRect(snap(scene.hoverX, dpr), 0, hair, RULER_HEIGHT);
  }
}

/** On the device's pixel grid. */
function snap(x: number, dpr: number): number {
  return Math.round(x * dpr) / dpr;
}
