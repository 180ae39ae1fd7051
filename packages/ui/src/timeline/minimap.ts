/**
 * The whole trace in 28 px: density, search hits, losses, and the brush that shows and moves the view.
 */
import { effect } from "@preact/signals";
import { colors } from "../colors.ts";
import { limitsOf, MIN_SPAN_NS, spanOf, type TimeRange, timeToX, xToTime } from "./range.ts";
import type { Timeline } from "./timeline.ts";

export const MINIMAP_HEIGHT = 28;
/** This near to an edge of the brush a drag moves the edge. */
const EDGE_PX = 5;

type Drag =
  | { readonly kind: "move"; readonly grab: number }
  | { readonly kind: "from" }
  | { readonly kind: "to" }
  | { readonly kind: "new"; readonly start: number };

export class Minimap {
  private readonly canvas: HTMLCanvasElement;
  private readonly timeline: Timeline;
  private density = new Float32Array(0);
  private densityRange: TimeRange = { from: 0, to: 1 };
  private drag: Drag | undefined;
  private asked = "";
  private askTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(canvas: HTMLCanvasElement, timeline: Timeline) {
    this.canvas = canvas;
    this.timeline = timeline;
    timeline.onFrame.push(() => this.draw());
    effect(() => {
      const { summary } = timeline.store;
      if (summary.value) this.askSoon();
      else {
        this.density = new Float32Array(0);
        this.asked = "";
      }
    });
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    const end = () => {
      this.drag = undefined;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("dblclick", () => timeline.showAll());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      timeline.setRange({ ...timeline.range });
      const at = timeToX(timeline.range, timeline.width, this.timeAt(event.offsetX));
      timeline.zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY)) * 0.0022), at);
    });
  }

  /** The trace with the same air at its ends as the view fully zoomed out: both show the same place. */
  private get whole(): TimeRange {
    const { fromNs, toNs } = this.timeline.summary;
    return limitsOf(fromNs, toNs);
  }
  private timeAt(x: number): number {
    return xToTime(this.whole, this.timeline.width, x);
  }

  /** At most four times a second while a trace grows. */
  private askSoon(): void {
    this.askTimer ??= setTimeout(
      () => {
        this.askTimer = undefined;
        const { summary, width, client } = this.timeline;
        const key = `${summary.events} ${summary.toNs} ${width}`;
        if (key === this.asked || this.timeline.store.summary.value === undefined) return;
        this.asked = key;
        client.minimap({ width: Math.max(16, Math.round(width)) }).then(
          (answer) => {
            this.density = Float32Array.from(answer.density);
            this.densityRange = { from: answer.fromNs, to: answer.toNs };
            this.timeline.invalidate();
          },
          () => {
            // The engine is gone: the page says so; the brush still works on an empty minimap.
          },
        );
      },
      this.asked === "" ? 0 : 250,
    );
  }

  private draw(): void {
    const { timeline, canvas } = this;
    const { store, width, range } = timeline;
    const dpr = window.devicePixelRatio || 1;
    const height = MINIMAP_HEIGHT;
    if (canvas.width !== Math.round(width * dpr)) {
      canvas.width = Math.round(width * dpr);
      if (store.summary.value) this.askSoon();
    }
    if (canvas.height !== Math.round(height * dpr)) canvas.height = Math.round(height * dpr);
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) return;
    const color = colors[store.theme.value];
    const { whole } = this;
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    context.fillStyle = color.panel;
    context.fillRect(0, 0, width, height);
    this.drawDensity(context, color.density);
    const x = (ts: number) => timeToX(whole, width, ts);
    context.fillStyle = color.loss;
    for (const loss of timeline.lossIntervals)
      context.fillRect(x(loss.from), height - 4, Math.max(2, x(loss.to) - x(loss.from)), 4);
    this.drawHits(context, color.hit);
    const from = x(range.from);
    const to = Math.max(from + 2, x(range.to));
    if (to - from < width - 1) {
      context.fillStyle = color.background;
      context.globalAlpha = 0.62;
      context.fillRect(0, 0, Math.max(0, from), height);
      context.fillRect(to, 0, Math.max(0, width - to), height);
      context.globalAlpha = 1;
      context.fillStyle = color.accentWash;
      context.fillRect(from, 0, to - from, height);
      context.fillStyle = color.accent;
      context.fillRect(from - 1, 0, 2, height);
      context.fillRect(to - 1, 0, 2, height);
      if (to - from > 24) {
        context.fillRect(from - 2, height / 2 - 5, 4, 10);
        context.fillRect(to - 2, height / 2 - 5, 4, 10);
      }
    }
    context.fillStyle = color.line;
    context.fillRect(0, height - 1 / dpr, width, 1 / dpr);
  }

  private drawDensity(context: CanvasRenderingContext2D, style: string): void {
    const { density, densityRange, whole } = this;
    if (density.length === 0) return;
    const { width } = this.timeline;
    const bottom = MINIMAP_HEIGHT - 1;
    const step = spanOf(densityRange) / density.length;
    context.fillStyle = style;
    context.beginPath();
    context.moveTo(timeToX(whole, width, densityRange.from), bottom);
    for (let i = 0; i < density.length; i++) {
      const y = bottom - Math.min(1, density[i]!) * (bottom - 2);
      context.lineTo(timeToX(whole, width, densityRange.from + i * step), y);
      context.lineTo(timeToX(whole, width, densityRange.from + (i + 1) * step), y);
    }
    context.lineTo(timeToX(whole, width, densityRange.to), bottom);
    context.fill();
  }

  private drawHits(context: CanvasRenderingContext2D, style: string): void {
    const { heat } = this.timeline.store.search.value;
    if (heat.length === 0) return;
    const { fromNs, toNs } = this.timeline.summary;
    const { width } = this.timeline;
    const step = (toNs - fromNs) / heat.length;
    let most = 0;
    for (const value of heat) most = Math.max(most, value);
    context.fillStyle = style;
    for (let i = 0; i < heat.length; i++) {
      if (!(heat[i]! > 0)) continue;
      const x = timeToX(this.whole, width, fromNs + i * step);
      const end = timeToX(this.whole, width, fromNs + (i + 1) * step);
      context.globalAlpha = 0.45 + 0.55 * (heat[i]! / most);
      context.fillRect(x, 0, Math.max(2, end - x), 4);
    }
    context.globalAlpha = 1;
  }

  private onDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    const { range, width } = this.timeline;
    const x = event.offsetX;
    const from = timeToX(this.whole, width, range.from);
    const to = timeToX(this.whole, width, range.to);
    this.canvas.setPointerCapture(event.pointerId);
    const full = to - from > width * 0.97;
    if (!full && Math.abs(x - from) <= EDGE_PX) this.drag = { kind: "from" };
    else if (!full && Math.abs(x - to) <= EDGE_PX) this.drag = { kind: "to" };
    else if (!full && x > from && x < to)
      this.drag = { kind: "move", grab: this.timeAt(x) - range.from };
    else this.drag = { kind: "new", start: x };
  }

  private onMove(event: PointerEvent): void {
    const { timeline, drag } = this;
    const { range } = timeline;
    const ts = this.timeAt(event.offsetX);
    if (!drag) return;
    if (drag.kind === "move")
      timeline.setRange({ from: ts - drag.grab, to: ts - drag.grab + spanOf(range) });
    else if (drag.kind === "from")
      timeline.setRange({ from: Math.min(ts, range.to - MIN_SPAN_NS), to: range.to });
    else if (drag.kind === "to")
      timeline.setRange({ from: range.from, to: Math.max(ts, range.from + MIN_SPAN_NS) });
    else if (Math.abs(event.offsetX - drag.start) > 3) {
      const start = this.timeAt(drag.start);
      timeline.setRange({ from: Math.min(start, ts), to: Math.max(start, ts) });
    }
  }
}
