/**
 * Mouse, wheel, pen and touch on the canvas.
 *
 *     drag: select an area · Shift+drag or middle button: pan and scroll · click: select · double click: zoom to it
 *     wheel: scroll · Ctrl/Meta+wheel: zoom at the pointer · Shift or sideways wheel: pan · two fingers: pinch and pan
 */
import type { Problem } from "@kymo/trace";
import type { EventDetails } from "@kymo/trace/engine";
import { wheelActionOf } from "../keys.ts";
import type { AreaSelection } from "../store.ts";
import { bandAt, itemIndexAt } from "./layout.ts";
import { RULER_HEIGHT } from "./paint.ts";
import { fitAround, spanOf, xToTime } from "./range.ts";
import type { Timeline } from "./timeline.ts";
import { rowsUnder, tracksUnder } from "./tree.ts";

/** Less movement than this is a click. */
const CLICK_PX = 4;
const TOOLTIP_MS = 80;
/** An event this near to the pointer counts as under it. */
const NEAR_PX = 3;

type Drag =
  | { readonly kind: "area"; readonly x: number; readonly y: number; started: boolean }
  | { readonly kind: "pan"; x: number; y: number; started: boolean };

export class Pointer {
  private readonly timeline: Timeline;
  private readonly canvas: HTMLCanvasElement;
  private drag: Drag | undefined;
  private readonly touches = new Map<number, { x: number; y: number }>();
  private tipTimer: ReturnType<typeof setTimeout> | undefined;
  private asking = 0;

  constructor(timeline: Timeline) {
    this.timeline = timeline;
    this.canvas = timeline.canvas;
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", (event) => {
      this.touches.delete(event.pointerId);
      this.drag = undefined;
    });
    canvas.addEventListener("pointerleave", () => {
      timeline.pointerX = undefined;
      this.hideTip();
      timeline.invalidate();
    });
    canvas.addEventListener("dblclick", (event) => void this.onDouble(event));
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    // The middle button would start the browser's own scrolling.
    canvas.addEventListener("mousedown", (event) => event.button === 1 && event.preventDefault());
  }

  onWheel(event: WheelEvent): void {
    event.preventDefault();
    this.hideTip();
    const action = wheelActionOf(event);
    if (action.kind === "zoom") this.timeline.zoom(action.factor, event.offsetX);
    else if (action.kind === "pan") this.timeline.pan(action.px);
    else this.timeline.scrollTo(this.timeline.scrollTop + action.px);
  }

  private onDown(event: PointerEvent): void {
    this.hideTip();
    const { offsetX: x, offsetY: y } = event;
    if (event.pointerType === "touch") {
      this.touches.set(event.pointerId, { x, y });
      this.drag = this.touches.size === 1 ? { kind: "pan", x, y, started: false } : undefined;
      return;
    }
    if (event.button > 1) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag =
      event.button === 1 || event.shiftKey
        ? { kind: "pan", x, y, started: false }
        : { kind: "area", x, y, started: false };
  }

  private onMove(event: PointerEvent): void {
    const { timeline } = this;
    const { offsetX: x, offsetY: y } = event;
    timeline.pointerX = x;
    timeline.pointerY = y;
    timeline.invalidate();
    if (event.pointerType === "touch" && this.touches.size === 2) {
      this.pinch(event);
      return;
    }
    // A second finger may come down later: it pinches from where this one is then.
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, { x, y });
    const { drag } = this;
    if (!drag) {
      this.hover(event);
      return;
    }
    if (!drag.started && Math.hypot(x - drag.x, y - drag.y) < CLICK_PX) return;
    drag.started = true;
    // What is dragged over must stay where it is.
    if (drag.kind === "area") timeline.stopFollowing();
    if (drag.kind === "pan") {
      this.canvas.style.cursor = "grabbing";
      timeline.pan(drag.x - x);
      timeline.scrollTo(timeline.scrollTop + drag.y - y);
      drag.x = x;
      drag.y = y;
    } else timeline.store.area.value = this.areaBetween(drag.x, drag.y, x, y);
  }

  private onUp(event: PointerEvent): void {
    const { drag, timeline } = this;
    if (this.touches.delete(event.pointerId)) {
      timeline.pointerX = undefined;
      // The finger that stays goes on panning.
      const [left] = this.touches.values();
      if (left) {
        this.drag = { kind: "pan", ...left, started: true };
        return;
      }
    }
    this.drag = undefined;
    this.canvas.style.cursor = "";
    if (!drag) return;
    if (!drag.started) void this.select(event.offsetX, event.offsetY);
    else if (drag.kind === "area") {
      const { store } = timeline;
      const tab = store.drawer.value.tab;
      store.showTab(tab === "flame" ? "flame" : "stats");
    }
  }

  private async onDouble(event: MouseEvent): Promise<void> {
    const hit = await this.eventAt(event.offsetX, event.offsetY);
    if (!hit) return;
    const { timeline } = this;
    const dur = hit.dur < 0 ? timeline.summary.toNs - hit.ts : hit.dur;
    timeline.store.selection.value = hit;
    timeline.easeTo(fitAround(hit.ts, Math.max(dur, 1000), timeline.limits));
  }

  private async select(x: number, y: number): Promise<void> {
    const { store } = this.timeline;
    store.area.value = undefined;
    if (y < RULER_HEIGHT) return;
    const hit = await this.eventAt(x, y);
    store.selection.value = hit;
    if (hit && (!store.drawer.value.open || store.drawer.value.tab === "stats"))
      store.showTab("details");
  }

  private hover(event: PointerEvent): void {
    this.hideTip();
    if (event.pointerType === "touch" || event.offsetY < RULER_HEIGHT) return;
    const { offsetX, offsetY, clientX, clientY } = event;
    const asking = ++this.asking;
    this.tipTimer = setTimeout(async () => {
      const details = await this.eventAt(offsetX, offsetY);
      const losses = this.lossesAt(offsetX);
      if (asking !== this.asking || (!details && losses.length === 0)) return;
      this.timeline.store.tip.value = { details, losses, x: clientX, y: clientY };
    }, TOOLTIP_MS);
  }

  private hideTip(): void {
    clearTimeout(this.tipTimer);
    this.asking++;
    this.timeline.store.tip.value = undefined;
  }

  private lossesAt(x: number): Problem[] {
    const { range, width, store } = this.timeline;
    const air = (spanOf(range) / width) * NEAR_PX;
    const ts = xToTime(range, width, x);
    return store.problems.value.filter(({ kind, from, to }) => {
      const start = from ?? to;
      const end = to ?? from;
      return kind === "lost-events" && start !== undefined && ts >= start - air && ts <= end! + air;
    });
  }

  private async eventAt(x: number, y: number): Promise<EventDetails | undefined> {
    const { timeline } = this;
    if (y < RULER_HEIGHT) return undefined;
    const found = bandAt(timeline.layout, y - RULER_HEIGHT + timeline.scrollTop);
    if (!found) return undefined;
    const { range, width } = timeline;
    try {
      return await timeline.client.at({
        row: found.band.row,
        ts: xToTime(range, width, x),
        toleranceNs: (spanOf(range) / width) * NEAR_PX,
      });
    } catch {
      // The engine is gone; the page shows that by itself.
      return undefined;
    }
  }

  private areaBetween(x0: number, y0: number, x1: number, y1: number): AreaSelection {
    const { layout, scrollTop, range, width, summary } = this.timeline;
    const time = (x: number) =>
      Math.min(summary.toNs, Math.max(summary.fromNs, xToTime(range, width, x)));
    const from = time(Math.min(x0, x1));
    const to = Math.max(from, time(Math.max(x0, x1)));
    if (y0 < RULER_HEIGHT) {
      const nodes = layout.items.filter((item) => item.level === 0).map((item) => item.node);
      const rows = nodes.flatMap(rowsUnder).map((row) => row.id);
      return { from, to, keys: [], rows, tracks: [] };
    }
    const yOf = (y: number) => Math.max(0, y - RULER_HEIGHT + scrollTop);
    const first = itemIndexAt(layout, yOf(Math.min(y0, y1)));
    const last = itemIndexAt(layout, yOf(Math.max(y0, y1)));
    const items = layout.items.slice(Math.max(0, first), last + 1);
    const rows = new Set<number>();
    const tracks = new Set<number>();
    for (const { node, expanded } of items) {
      // A closed line stands for all that is in it.
      for (const row of expanded ? node.rows : rowsUnder(node)) rows.add(row.id);
      for (const track of expanded ? node.tracks : tracksUnder(node)) tracks.add(track);
    }
    return {
      from,
      to,
      keys: items.map((item) => item.node.key),
      rows: [...rows],
      tracks: [...tracks],
    };
  }

  private pinch(event: PointerEvent): void {
    const before = [...this.touches.values()];
    this.touches.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    const after = [...this.touches.values()];
    const [a, b] = before;
    const [c, d] = after;
    if (!a || !b || !c || !d) return;
    const gap = (p: { x: number }, q: { x: number }) => Math.max(16, Math.abs(p.x - q.x));
    this.timeline.pan((a.x + b.x - c.x - d.x) / 2);
    this.timeline.scrollTo(this.timeline.scrollTop + (a.y + b.y - c.y - d.y) / 2);
    this.timeline.zoom(gap(a, b) / gap(c, d), (c.x + d.x) / 2);
  }
}
