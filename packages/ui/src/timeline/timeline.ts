/**
 * The timeline: owns the view (range, scroll), the frame loop, and what is asked of the engine. A frame draws what
 * is there; answers only ask for another frame.
 *
 *     input ─► range, scrollTop ─► frame: paint strips stretched ─► viewport request ─► strip ─► frame
 */
import type { EventDetails, EventRef, TraceSummary, ViewportRequest } from "@kymo/trace/engine";
import { effect } from "@preact/signals";
import { colors } from "../colors.ts";
import type { EngineClient } from "../engine/client.ts";
import type { Store } from "../store.ts";
import { cutText, formatDuration } from "../words.ts";
import { FrameStats } from "./frame-stats.ts";
import { TextMeasure } from "./labels.ts";
import {
  itemIndexAt,
  type Layout,
  layoutTree,
  placeOfRow,
  visibleBands,
  visibleItems,
} from "./layout.ts";
import { Ease, type Held, HeldMotion, TAP_PAN, TAP_ZOOM } from "./motion.ts";
import { FOLLOW_AT, FOLLOW_SPAN_NS, NewestClock, rangeFollowing } from "./newest.ts";
import { labelFont, paintScene, RULER_HEIGHT } from "./paint.ts";
import {
  clampRange,
  fitAround,
  type Limits,
  limitsOf,
  liveLimitsOf,
  panBy,
  reveal,
  spanOf,
  type TimeRange,
  zoomAt,
} from "./range.ts";
import { StripStore } from "./strips.ts";
import { expandedAtFirst } from "./tree.ts";

/** Strips reach this much further than the view on both sides, so that a pan does not show an edge. */
const OVERSCAN = 0.1;
const OVERSCAN_Y = 72;
const MAX_STRIP_WIDTH = 8192;
const MAX_STRIP_ROWS = 600;
/** How often a view that moves by itself tells the panels where it is. */
const RANGE_TOLD_MS = 500;

const emptySummary: TraceSummary = {
  name: "",
  fromNs: 0,
  toNs: 1e6,
  originNs: "0",
  clockDomain: "unknown",
  events: 0,
  metadata: {},
  lostEvents: 0,
  leftOutEvents: 0,
  live: false,
};

export class Timeline {
  readonly store: Store;
  readonly client: EngineClient;
  readonly canvas: HTMLCanvasElement;
  readonly stats = new FrameStats();
  readonly strips = new StripStore();
  range: TimeRange = { from: 0, to: 1e6 };
  limits: Limits = limitsOf(0, 1e6);
  scrollTop = 0;
  layout: Layout = layoutTree(
    {
      roots: [],
      byKey: new Map(),
      parentOf: new Map(),
      keyOfRow: new Map(),
      nodeOfTrack: new Map(),
    },
    new Set(),
    "normal",
  );
  /** CSS px; the height includes the ruler. */
  width = 800;
  height = 600;
  rowsDrawn = 0;
  /** Time and place of the pointer over the canvas, px from its left; undefined outside. */
  pointerX: number | undefined;
  /** As pointerX; px from the top of the ruler. */
  pointerY = 0;
  /** Called in the frame, after the canvas: headers, minimap, scrollbar. */
  readonly onFrame: (() => void)[] = [];
  /** Restored from the address; held until the whole trace is there. */
  private initialRange: TimeRange | undefined;

  private readonly context: CanvasRenderingContext2D;
  private readonly measure: TextMeasure;
  private readonly motion = new HeldMotion();
  private ease: Ease | undefined;
  private frameAsked = 0;
  private ancestors: readonly EventDetails[] = [];
  private losses: readonly TimeRange[] = [];
  private touched = false;
  private opened = false;
  private requested = "";
  private settleTimer: ReturnType<typeof setTimeout> | undefined;
  private viewChangedAt = 0;
  private readonly newest = new NewestClock();
  /** How far the newest strip knows a recording that goes on. */
  private drawnToNs = Infinity;
  /** The width of a view that follows; undefined: the whole recording. */
  private followSpan: number | undefined = FOLLOW_SPAN_NS;
  private rangeToldAt = 0;
  /** What the newest request showed of the recording, and where. */
  private asked = { data: "", from: 0, to: 0 };
  /** Since when the newest strip is not exactly what should be shown; undefined while it is. */
  private staleSince: number | undefined;

  constructor(canvas: HTMLCanvasElement, store: Store, client: EngineClient) {
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("this browser gives no 2d canvas");
    this.canvas = canvas;
    this.context = context;
    this.store = store;
    this.client = client;
    this.measure = new TextMeasure(labelFont(context));
    client.onStrip = (strip, requestedAt) => {
      if (this.store.summary.value === undefined) return;
      this.strips.add(strip, requestedAt);
      this.drawnToNs = strip.traceToNs;
      this.newest.take(strip.traceToNs, performance.now());
      this.staleSince = requestedAt >= this.viewChangedAt ? undefined : requestedAt;
      this.stats.strip(performance.now(), requestedAt);
      this.invalidate();
    };
    effect(() => this.takeTracks());
    effect(() => {
      const anchor = store.watched.value ? this.lineLookedAt() : undefined;
      this.layout = layoutTree(
        store.tree.value,
        store.expanded.value,
        store.density.value,
        store.filter.value !== "",
      );
      const place = anchor && this.layout.items[this.layout.indexOfKey.get(anchor.key) ?? -1];
      this.scrollTo(anchor && place ? place.y - anchor.offset : this.scrollTop);
      this.invalidate();
    });
    effect(() => {
      const { problems } = store;
      this.losses = problems.value
        .filter((each) => each.kind === "lost-events" && (each.from ?? each.to) !== undefined)
        .map((each) => ({ from: (each.from ?? each.to)!, to: (each.to ?? each.from)! }));
      this.invalidate();
    });
    effect(() => this.takeSelection(store.selection.value));
    effect(() => {
      void store.theme.value;
      void store.area.value;
      void store.search.value;
      void store.selection.value;
      this.requested = "";
      this.invalidate();
    });
  }

  get summary(): TraceSummary {
    return this.store.summary.value ?? emptySummary;
  }
  /** Height of the part that scrolls. */
  get viewHeight(): number {
    return Math.max(0, this.height - RULER_HEIGHT);
  }
  get lossIntervals(): readonly TimeRange[] {
    return this.losses;
  }

  resize(width: number, height: number): void {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    // Whole px: a fraction would stretch, and so blur, every pixel of the canvas.
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.scrollTo(this.scrollTop);
    this.invalidate();
  }

  // --- movement -----------------------------------------------------------------------------------------------

  setRange(range: TimeRange): void {
    this.ease = undefined;
    this.moveTo(range);
    this.keepFollowing();
  }
  easeTo(range: TimeRange): void {
    const to = clampRange(range, this.limits);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.setRange(to);
      return;
    }
    this.touched = true;
    this.ease = new Ease(this.range, to, performance.now());
    this.keepFollowing(to);
    this.invalidate();
  }
  /** Sticks to the newest time of a recording that goes on, until the view is moved away from it. */
  follow(): void {
    this.ease = undefined;
    this.store.following.value = true;
    this.invalidate();
  }
  stopFollowing(): void {
    this.store.following.value = false;
  }
  zoom(factor: number, anchorX = this.anchorX): void {
    this.setRange(zoomAt(this.range, anchorX / this.width, factor, this.limits));
  }
  pan(px: number): void {
    this.setRange(panBy(this.range, px / this.width, this.limits));
  }
  scrollTo(top: number): void {
    const most = Math.max(0, this.layout.height - this.viewHeight);
    const next = Math.round(Math.min(most, Math.max(0, top)));
    if (next === this.scrollTop) return;
    this.scrollTop = next;
    this.store.tip.value = undefined;
    this.invalidate();
  }
  hold(what: Held): void {
    if (!this.motion.press(what, performance.now())) return;
    if (what === "zoomIn" || what === "zoomOut")
      this.zoom(what === "zoomIn" ? TAP_ZOOM : 1 / TAP_ZOOM);
    else this.setRange(panBy(this.range, what === "panLeft" ? -TAP_PAN : TAP_PAN, this.limits));
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.motion.releaseAll();
  }
  release(what: Held): void {
    this.motion.release(what);
  }
  releaseAll(): void {
    this.motion.releaseAll();
  }
  showAll(): void {
    this.easeTo(limitsOf(this.summary.fromNs, this.summary.toNs));
    this.touched = false;
    if (this.store.following.value) this.followSpan = undefined;
  }
  fitSelection(): void {
    const { selection, area } = this.store;
    if (selection.value) {
      const { ts, dur } = selection.value;
      this.easeTo(fitAround(ts, dur < 0 ? this.summary.toNs - ts : dur, this.limits));
    } else if (area.value) this.easeTo(fitAround(area.value.from, spanOf(area.value), this.limits));
    else this.showAll();
  }

  // --- selection ----------------------------------------------------------------------------------------------

  /** Selects, and brings the event into view: opens the lines above it, scrolls, pans. */
  async goTo(ref: EventRef, zoom = false): Promise<void> {
    const details = await this.client.details({ row: ref.row, index: ref.index });
    if (!details) return;
    this.store.selection.value = details;
    this.reveal(details, zoom);
  }
  reveal(details: EventDetails, zoom = false): void {
    this.revealRow(details.row);
    const dur = details.dur < 0 ? this.summary.toNs - details.ts : details.dur;
    const minPx = (dur / spanOf(this.range)) * this.width;
    if (zoom || minPx < 1) {
      const target = fitAround(details.ts, Math.max(dur, 200) * (zoom ? 1 : 20), this.limits);
      // Never zooms out to show what a search found.
      this.easeTo(
        spanOf(target) < spanOf(this.range)
          ? target
          : reveal(this.range, details.ts, dur, this.limits),
      );
    } else this.easeTo(reveal(this.range, details.ts, dur, this.limits));
  }
  revealRow(row: number): void {
    const { tree, fullTree, expanded, filter } = this.store;
    if (!tree.value.keyOfRow.has(row)) filter.value = "";
    const next = new Set(expanded.value);
    const { keyOfRow, parentOf } = fullTree.value;
    for (let key = keyOfRow.get(row); key !== undefined; key = parentOf.get(key)) next.add(key);
    if (next.size !== expanded.value.size) expanded.value = next;
    const at = placeOfRow(this.layout, row);
    if (!at) return;
    const air = Math.min(60, this.viewHeight / 4);
    if (at.y < this.scrollTop + air) this.scrollTo(at.y - air);
    else if (at.y + at.height > this.scrollTop + this.viewHeight - air)
      this.scrollTo(at.y + at.height - this.viewHeight + air);
  }

  // --- frames -------------------------------------------------------------------------------------------------

  invalidate(): void {
    this.frameAsked ||= requestAnimationFrame((now) => this.frame(now));
  }

  private get anchorX(): number {
    const middle = this.store.following.value ? FOLLOW_AT : 0.5;
    return this.pointerX ?? this.width * middle;
  }

  /** After the view was moved: as wide as it is now, or not at all when the newest time is out of it. */
  private keepFollowing(range = this.range): void {
    if (!this.store.following.value) return;
    const { last } = this.newest;
    if (last >= range.from && last <= range.to) this.followSpan = spanOf(range);
    else this.stopFollowing();
  }

  /** Where the recording has come to, as shown; undefined when none goes on. */
  private nowShown(): number | undefined {
    if (!this.store.live.value) return undefined;
    return this.store.following.value
      ? this.newest.last
      : Math.min(this.summary.toNs, this.drawnToNs);
  }

  private followNewest(): void {
    const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const now = performance.now();
    const newest = this.newest.at(now);
    const known = this.newest.known;
    // Before the first strip there is nothing that a view could follow but the news.
    const at = Number.isNaN(known) ? this.summary.toNs : reduced ? known : newest;
    if (!Number.isFinite(at)) return;
    this.range =
      this.followSpan === undefined
        ? limitsOf(this.summary.fromNs, at)
        : rangeFollowing(at, this.followSpan);
    if (now - this.rangeToldAt < RANGE_TOLD_MS) return;
    this.rangeToldAt = now;
    this.store.range.value = this.range;
  }

  /** The line that must stay where it is when lines come above it: under the pointer, selected, or the first in sight. */
  private lineLookedAt(): { key: string; offset: number } | undefined {
    const { layout, scrollTop, viewHeight } = this;
    const selected = this.store.tree.peek().keyOfRow.get(this.store.selection.peek()?.row ?? -1);
    const chosen = layout.items[layout.indexOfKey.get(selected ?? "") ?? -1];
    const isSeen =
      chosen && chosen.y + chosen.height > scrollTop && chosen.y < scrollTop + viewHeight;
    const under =
      this.pointerX === undefined
        ? -1
        : itemIndexAt(layout, scrollTop + Math.max(0, this.pointerY - RULER_HEIGHT));
    const item =
      layout.items[under] ??
      (isSeen ? chosen : scrollTop > 0 ? layout.items[itemIndexAt(layout, scrollTop)] : undefined);
    return item && { key: item.node.key, offset: item.y - scrollTop };
  }

  private moveTo(range: TimeRange): void {
    const next = clampRange(range, this.limits);
    this.touched = true;
    if (next.from === this.range.from && next.to === this.range.to) return;
    this.range = next;
    this.store.tip.value = undefined;
    this.invalidate();
    clearTimeout(this.settleTimer);
    this.settleTimer = setTimeout(() => {
      this.store.range.value = this.range;
    }, 120);
  }

  private frame(now: number): void {
    this.frameAsked = 0;
    const started = performance.now();
    if (this.ease) {
      const { range, done } = this.ease.at(now);
      this.moveTo(range);
      if (done) this.ease = undefined;
    }
    if (this.motion.moving) {
      this.moveTo(this.motion.step(this.range, this.anchorX / this.width, this.limits, now));
      this.keepFollowing();
    }
    const follows = this.store.following.value && !this.ease;
    if (follows) this.followNewest();
    this.paint();
    this.ask(started);
    for (const draw of this.onFrame) draw();
    this.stats.frame(now, performance.now() - started, this.stripAge(started));
    if (this.ease || this.motion.moving || follows) this.invalidate();
  }

  private paint(): void {
    const { canvas, width, height } = this;
    const dpr = window.devicePixelRatio || 1;
    const pixelWidth = Math.round(width * dpr);
    const pixelHeight = Math.round(height * dpr);
    if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
      canvas.width = pixelWidth;
      canvas.height = pixelHeight;
    }
    const { store } = this;
    this.rowsDrawn = paintScene(
      this.context,
      {
        width,
        height,
        dpr,
        range: this.range,
        scrollTop: this.scrollTop,
        layout: this.layout,
        strips: this.strips,
        summary: this.summary,
        selection: store.selection.value,
        ancestors: this.ancestors,
        area: this.areaOnScreen(),
        losses: this.losses,
        hoverX: this.pointerX,
        now: this.nowShown(),
        measure: this.measure,
        theme: store.theme.value,
        placeInside: (row) => this.placeInside(row),
        forcedColors: matchMedia("(forced-colors: active)").matches,
      },
      colors[store.theme.value],
    );
  }

  private placeInside(row: number): { y: number; height: number } | undefined {
    const { keyOfRow, parentOf } = this.store.tree.value;
    for (let key = keyOfRow.get(row); key !== undefined; key = parentOf.get(key)) {
      const item = this.layout.items[this.layout.indexOfKey.get(key) ?? -1];
      if (item) return { y: item.y, height: item.height };
    }
    return undefined;
  }

  /** Asks for the view shown now, unless that was the last thing asked for. */
  private ask(now: number): void {
    const rows = this.rowsWanted();
    if (this.store.summary.value === undefined) return;
    if (rows.length === 0) {
      this.drawnToNs = this.summary.toNs;
      this.newest.take(this.drawnToNs, now);
      return;
    }
    const dpr = window.devicePixelRatio || 1;
    const span = spanOf(this.range);
    const width = Math.min(
      MAX_STRIP_WIDTH,
      Math.round(this.width * dpr) + 2 * Math.round(this.width * dpr * OVERSCAN),
    );
    const side = ((width / dpr / this.width - 1) / 2) * span;
    const request = {
      rows,
      from: this.range.from - side,
      to: this.range.to + side,
      width,
      theme: this.store.theme.value,
      highlight: this.store.search.value.text.toLowerCase(),
      labelMinPx: Math.round(34 * dpr),
      ...this.emphasis(),
    };
    const data = `${width} ${request.theme} ${request.highlight} ${request.emphasis?.kind} ${request.emphasis?.name} ${this.summary.events} ${this.summary.toNs} ${rows.join()}`;
    const key = `${request.from} ${request.to} ${data}`;
    if (key === this.requested) return;
    if (this.store.following.value && this.requested !== "" && data === this.asked.data) {
      // Nothing new: the strip that is there moves along.
      const { from, to } = this.asked;
      if (from <= this.range.from && to >= this.range.to) return;
    }
    this.asked = { data, from: request.from, to: request.to };
    this.requested = key;
    this.viewChangedAt = now;
    this.staleSince ??= now;
    this.client.viewport(request, now);
  }

  /** Names other than the selected one's fade. */
  private emphasis(): Pick<ViewportRequest, "emphasis"> {
    const selection = this.store.selection.value;
    if (!selection || selection.kind === "counter" || selection.kind === "sample") return {};
    if (selection.name.length > 4096) return {};
    return { emphasis: { kind: selection.kind, name: selection.name } };
  }

  private rowsWanted(): number[] {
    const top = this.scrollTop - OVERSCAN_Y;
    const bottom = this.scrollTop + this.viewHeight + OVERSCAN_Y;
    const rows: number[] = [];
    for (const item of visibleItems(this.layout, Math.max(0, top), bottom))
      for (const band of visibleBands(item, top, bottom))
        if (rows.length < MAX_STRIP_ROWS) rows.push(band.row);
    return rows;
  }

  /** ms since the picture was right: 0 when the newest strip was drawn for exactly this view. */
  stripAge(now = performance.now()): number {
    if (!this.strips.newest || this.staleSince === undefined) return 0;
    return Math.max(0, now - this.staleSince);
  }

  private areaOnScreen() {
    const area = this.store.area.value;
    if (!area) return undefined;
    if (area.keys.length === 0)
      return { ...area, top: this.scrollTop, bottom: this.scrollTop + this.height };
    let top = Infinity;
    let bottom = -Infinity;
    for (const key of area.keys) {
      const item = this.layout.items[this.layout.indexOfKey.get(key) ?? -1];
      if (!item) continue;
      top = Math.min(top, item.y);
      bottom = Math.max(bottom, item.y + item.height);
    }
    return bottom > top ? { ...area, top, bottom } : undefined;
  }

  /** Shows what a link asked for, now or as soon as the trace is there. */
  restoreRange(range: TimeRange): void {
    this.initialRange = range;
    if (this.opened) this.moveTo(range);
    if (this.store.done.value) this.initialRange = undefined;
  }

  private takeTracks(): void {
    const { store } = this;
    const summary = store.summary.value;
    const tree = store.fullTree.value;
    if (summary === undefined) {
      this.strips.clear();
      this.opened = false;
      this.touched = false;
      this.requested = "";
      this.newest.clear();
      this.drawnToNs = Infinity;
      this.invalidate();
      return;
    }
    const before = this.limits;
    const { fromNs, toNs, live } = summary;
    this.limits = live
      ? liveLimitsOf(fromNs, toNs, this.followSpan ?? 0, 1 - FOLLOW_AT)
      : limitsOf(fromNs, toNs);
    if (!live) store.following.value = false;
    if (tree.roots.length > 0 && !this.opened) {
      this.opened = true;
      store.expanded.value = expandedAtFirst(tree);
      this.scrollTo(0);
      if (live && !this.initialRange) this.follow();
    } else if (!this.touched || store.watched.value) {
      // New lines of a growing trace open as the first ones did, until somebody has closed or opened one.
      const first = expandedAtFirst(tree);
      const old = store.expanded.peek();
      const fresh = [...first].filter((key) => !old.has(key) && !this.known.has(key));
      if (fresh.length > 0) store.expanded.value = new Set([...old, ...fresh]);
    }
    for (const key of tree.byKey.keys()) this.known.add(key);
    if (this.initialRange) {
      this.moveTo(this.initialRange);
      if (store.done.value) this.initialRange = undefined;
    } else if (store.watched.value) {
      // It follows, or stays where it was put.
    } else if (!this.touched || (this.range.from === before.from && this.range.to === before.to)) {
      this.moveTo(this.limits);
      this.touched = false;
      store.range.value = this.range;
    }
    if (!live) this.requested = "";
    this.invalidate();
  }
  private readonly known = new Set<string>();

  private takeSelection(selection: EventDetails | undefined): void {
    this.ancestors = [];
    this.invalidate();
    if (!selection) return;
    const { name, dur, path } = selection;
    this.store.spoken.value = `${cutText(name, 200)}, ${formatDuration(dur)}, in ${path.join(", ")}`;
    const near = selection.ancestors.slice(-16);
    Promise.all(near.map(({ row, index }) => this.client.details({ row, index }))).then(
      (found) => {
        if (this.store.selection.value !== selection) return;
        this.ancestors = found.filter((each) => each !== undefined);
        this.invalidate();
      },
      () => {
        // Outlines of parents are an extra; a lost engine says so elsewhere.
      },
    );
  }
}
