/**
 * The strip: one scanline a row, stretched by the page to the row's height. Costs pixels, not events
 * (bench/engine.bench.ts). Beside the pixels: labels of wide events, counter curves, losses.
 */
import type { StringId, TrackId } from "../model/sink.ts";
import type { AnyRow, Row, Trace } from "../model/trace.ts";
import { counterCurve } from "./counter-curve.ts";
import { ownerEnd } from "./lifetimes.ts";
import type { LevelOfDetail } from "./lod.ts";
import { eventName } from "./names.ts";
import {
  FILLS,
  faded,
  NameFills,
  NameMatches,
  pixel,
  SYSCALL_CATEGORY,
  SYSCALL_FILLS,
  stateClass,
  stateInk,
  stateTitle,
  type Theme,
} from "./palette.ts";
import { ProcessFills } from "./process-fills.ts";
import type { Strip, ViewportRequest } from "./protocol.ts";
import { forEachTick, Runs } from "./runs.ts";
import { isWaitState, syscallAt } from "./waits.ts";

/** Labels in one strip; the widest win. */
export const MAX_LABELS = 600;
const MAX_LABEL_TEXT = 400;
/** Least alpha of a cluster that covers next to nothing, so that nothing is invisible. */
const MIN_ALPHA = 72;
const GAP_FROM_PX = 3;
/** Widths of a least label that a sleep must have to get its words. */
const SLEEP_ROOM = 1.25;

/** Draws strips of one trace; keeps the caches of colours and names. */
export class Raster {
  readonly trace: Trace;
  readonly #lod: LevelOfDetail;
  readonly #fills: NameFills;
  readonly #processFills: ProcessFills;
  #matches: NameMatches | undefined;
  #threadFills: number[] = [];
  #threadFillsAt = -1;
  /** When each process ended; −1: it did not. By track, as #threadFills. */
  #ends: number[] = [];
  #runs = new Runs(1);
  #emphasis: ViewportRequest["emphasis"];

  constructor(lod: LevelOfDetail) {
    this.trace = lod.trace;
    this.#lod = lod;
    this.#fills = new NameFills(lod.trace);
    this.#processFills = new ProcessFills(lod.trace);
  }

  strip(id: number, request: ViewportRequest): Strip {
    const { rows, from, to, width, theme, labelMinPx } = request;
    const pixels = new Uint32Array(width * rows.length);
    const counters: Strip["counters"][number][] = [];
    const labels = new Labels(labelMinPx > 0 ? labelMinPx : Infinity);
    if (this.#runs.width !== width) this.#runs = new Runs(width);
    this.#emphasis = request.emphasis;
    const text = request.highlight;
    if (text === "") this.#matches = undefined;
    else if (this.#matches?.text !== text.toLowerCase())
      this.#matches = new NameMatches(this.trace, text);
    this.#forgetRenamed();
    for (let line = 0; line < rows.length; line++) {
      const row = this.trace.rows[rows[line]!];
      if (row === undefined || row.length === 0 || !(to > from)) continue;
      const scanline = pixels.subarray(line * width, (line + 1) * width);
      if (row.kind === "counter")
        counters.push({
          line,
          ...counterCurve(this.#lod, row, from, to, width, this.#endOf(row.track)),
        });
      else if (row.kind === "sample") this.#samples(row, from, to, theme, scanline);
      else if (row.kind === "instant") this.#instants(row, from, to, scanline);
      else this.#bars(row, line, from, to, theme, scanline, labels);
    }
    return {
      id,
      rows,
      from,
      to,
      width,
      theme,
      pixels,
      ...labels.finish(),
      counters,
      losses: lossIntervals(this.trace, from, to, width),
      traceToNs: this.trace.toNs,
    };
  }

  /** Index in FILLS of a thread's process: what colours it on CPU tracks. */
  #threadFill(thread: number): number {
    const known = this.#threadFills[thread];
    if (known !== undefined) return known;
    const process = this.trace.tracks[thread]?.parent ?? (thread as TrackId);
    const fill = this.#processFills.of(process);
    this.#threadFills[thread] = fill;
    return fill;
  }
  #forgetRenamed(): void {
    if (this.#threadFillsAt === this.trace.lives.length) return;
    this.#threadFillsAt = this.trace.lives.length;
    this.#threadFills = [];
    this.#ends = [];
  }
  #endOf(track: TrackId): number {
    this.#ends[track] ??= ownerEnd(this.trace, track);
    return this.#ends[track]!;
  }

  #bars(
    row: Row<"slice"> | Row<"sched"> | Row<"thread_state">,
    line: number,
    from: number,
    to: number,
    theme: Theme,
    out: Uint32Array,
    labels: Labels,
  ): void {
    const runs = this.#runs;
    runs.fill(row, from, to, this.trace.toNs, this.#lod);
    const paint = this.#paintOf(row, theme);
    const width = out.length;
    const calls = row.kind === "slice" ? this.trace.strings.find(SYSCALL_CATEGORY) : undefined;
    let lastEnd = -1;
    let lastWidth = 0;
    for (let n = 0; n < runs.length; n++) {
      const key = runs.key[n]!;
      const busy = runs.busy[n]!;
      const start = Math.max(0, Math.floor(runs.x0[n]!));
      if (start >= width) break;
      const end = Math.min(width, Math.max(start + 1, Math.floor(runs.x1[n]!)));
      const isCall =
        calls !== undefined &&
        (row as Row<"slice">).chunks[runs.chunk[n]!]!.category[runs.at[n]!] === calls;
      paint(out, start, end, key, busy, isCall);
      // One clear pixel between neighbours, when the left one can spare it.
      if (start === lastEnd && lastWidth >= GAP_FROM_PX) out[start - 1] = 0;
      lastEnd = end;
      lastWidth = end - start;
      if (lastWidth >= labels.minPx)
        labels.add(
          line,
          start,
          lastWidth,
          row.kind === "thread_state"
            ? this.#stateLabel(row, key, runs.chunk[n]!, runs.at[n]!, lastWidth / labels.minPx)
            : eventName(this.trace, row.kind, key),
        );
    }
  }

  /** "Sleeping in read"; nothing for sleeps too narrow to be worth their word (`room`: widths of a least label). */
  #stateLabel(
    row: Row<"thread_state">,
    key: number,
    chunk: number,
    at: number,
    room: number,
  ): string {
    const letter = this.trace.strings.get(key as StringId);
    const state = stateClass(letter);
    if (state === "ended" || (state === "sleeping" && room < SLEEP_ROOM)) return "";
    const title = stateTitle(letter);
    const ts = isWaitState(letter) ? row.chunks[chunk]?.ts[at] : undefined;
    const wait = ts === undefined ? undefined : syscallAt(this.trace, row.track, ts);
    return wait === undefined ? title : `${title} in ${wait.name}`;
  }

  /** How the runs of a row are painted: decided once a row. */
  #paintOf(row: AnyRow, theme: Theme): Paint {
    const matches = this.#matches;
    if (row.kind === "thread_state") {
      const miss = matches !== undefined && !matches.hasText(this.trace.trackName(row.track));
      return statePaint(this.trace, theme, miss, this.#otherNames(row));
    }
    const others = this.#otherNames(row);
    if (others !== undefined) return this.#dimmedPaint(this.#namePaint(row), others);
    return this.#namePaint(row);
  }

  /** Which keys of the row are not the selected event's name; undefined when nothing of this kind is selected. */
  #otherNames(row: AnyRow): ((key: number) => boolean) | undefined {
    const emphasis = this.#emphasis;
    if (emphasis === undefined || emphasis.kind !== row.kind) return undefined;
    const known = new Map<number, boolean>();
    return (key) => {
      let other = known.get(key);
      if (other === undefined) {
        other = eventName(this.trace, row.kind, key) !== emphasis.name;
        known.set(key, other);
      }
      return other;
    };
  }

  #dimmedPaint(paint: Paint, others: (key: number) => boolean): Paint {
    return (out, start, end, key, busy, isCall) => {
      paint(out, start, end, key, busy, isCall);
      if (others(key)) for (let x = start; x < end; x++) out[x] = dimmed(out[x]!);
    };
  }

  #namePaint(row: AnyRow): Paint {
    const matches = this.#matches;
    const isSched = row.kind === "sched";
    const fills = this.#fills;
    if (matches === undefined && !isSched)
      return (out, start, end, key, busy, isCall) => {
        const fill = fills.of(key);
        const word = isCall ? callPixels[fill % callPixels.length]! : fillPixels[fill]!;
        if (end - start === 1) out[start] = busy < 1 ? withAlpha(word, busy) : word;
        else paintSpan(out, start, end, word);
      };
    return (out, start, end, key, busy, isCall) => {
      const fill = isSched ? this.#threadFill(key) : fills.of(key);
      const hit =
        matches === undefined ||
        (isSched ? matches.hasText(this.trace.trackName(key as TrackId)) : matches.has(key));
      const word = isCall
        ? (hit ? callPixels : fadedCallPixels)[fill % callPixels.length]!
        : (hit ? fillPixels : fadedPixels)[fill]!;
      if (end - start === 1) out[start] = busy < 1 ? withAlpha(word, busy) : word;
      else paintSpan(out, start, end, word);
    };
  }

  #instants(row: AnyRow, from: number, to: number, out: Uint32Array): void {
    const matches = this.#matches;
    forEachTick(row, from, to, out.length, (px, _count, key) => {
      const hit = matches === undefined || matches.has(key);
      const word = (hit ? fillPixels : fadedPixels)[this.#fills.of(key)]!;
      out[px] = word;
      // Two pixels where there is room: the next tick, if any, overwrites the second.
      if (px + 1 < out.length) out[px + 1] = word;
    });
  }

  #samples(row: AnyRow, from: number, to: number, theme: Theme, out: Uint32Array): void {
    const rgb = theme === "light" ? 0x57606a : 0xaab4bf;
    forEachTick(row, from, to, out.length, (px, count) => {
      out[px] = pixel(rgb, Math.min(255, 110 + 36 * Math.log2(count + 1)));
    });
  }
}

type Paint = (
  out: Uint32Array,
  start: number,
  end: number,
  key: number,
  busy: number,
  isCall: boolean,
) => void;

const fillPixels = Uint32Array.from(FILLS, (rgb) => pixel(rgb));
const fadedPixels = Uint32Array.from(FILLS, (rgb) => pixel(faded(rgb)));
const callPixels = Uint32Array.from(SYSCALL_FILLS, (rgb) => pixel(rgb));
const fadedCallPixels = Uint32Array.from(SYSCALL_FILLS, (rgb) => pixel(faded(rgb)));

/** `fill` is a call; most spans are a few pixels. */
function paintSpan(out: Uint32Array, start: number, end: number, word: number): void {
  if (end - start > 24) out.fill(word, start, end);
  else for (let x = start; x < end; x++) out[x] = word;
}

/** `busy` of the pixel is covered: never less than visible. */
function withAlpha(word: number, busy: number): number {
  const alpha = MIN_ALPHA + (255 - MIN_ALPHA) * busy;
  return (((alpha << 24) | (word & 0xffffff)) >>> 0) as number;
}

/** At 60 %: shows less than the selected name. */
function dimmed(word: number): number {
  return ((Math.round((word >>> 24) * 0.6) << 24) | (word & 0xffffff)) >>> 0;
}

function statePaint(
  trace: Trace,
  theme: Theme,
  miss: boolean,
  others: ((key: number) => boolean) | undefined,
): Paint {
  const inks = new Map<number, { word: number; alpha: number }>();
  const inkOf = (key: number): { word: number; alpha: number } => {
    const known = inks.get(key);
    if (known !== undefined) return known;
    const ink = stateInk(theme, stateClass(trace.strings.get(key as StringId)));
    const rgb = miss ? faded(ink.rgb) : ink.rgb;
    const word = pixel(rgb, ink.alpha);
    const fresh = { word: others?.(key) ? dimmed(word) : word, alpha: ink.alpha };
    inks.set(key, fresh);
    return fresh;
  };
  return (out, start, end, key, busy) => {
    const { word, alpha } = inkOf(key);
    if (alpha === 0) return;
    if (end - start === 1 && busy < 1 && alpha === 255) out[start] = withAlpha(word, busy);
    else paintSpan(out, start, end, word);
  };
}

class Labels {
  readonly minPx: number;
  readonly #places: number[] = [];
  readonly #texts: string[] = [];
  readonly #ids = new Map<string, number>();

  constructor(minPx: number) {
    this.minPx = minPx;
  }

  add(line: number, x: number, width: number, text: string): void {
    if (text === "") return;
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#texts.length;
      this.#ids.set(text, id);
      this.#texts.push(
        text.length <= MAX_LABEL_TEXT
          ? text
          : `${text.slice(0, MAX_LABEL_TEXT / 2)}…${text.slice(-MAX_LABEL_TEXT / 2)}`,
      );
    }
    this.#places.push(x, width, line, id);
  }

  finish(): { labels: Float32Array; labelTexts: string[] } {
    const places = this.#places;
    const count = places.length / 4;
    if (count <= MAX_LABELS) return { labels: Float32Array.from(places), labelTexts: this.#texts };
    const widest = Array.from({ length: count }, (_, n) => n)
      .sort((a, b) => places[4 * b + 1]! - places[4 * a + 1]!)
      .slice(0, MAX_LABELS)
      .sort((a, b) => a - b);
    const labels = new Float32Array(4 * MAX_LABELS);
    const labelTexts: string[] = [];
    const ids = new Map<number, number>();
    for (const [at, n] of widest.entries()) {
      const old = places[4 * n + 3]!;
      const id = ids.get(old) ?? labelTexts.push(this.#texts[old]!) - 1;
      ids.set(old, id);
      labels.set([places[4 * n]!, places[4 * n + 1]!, places[4 * n + 2]!, id], 4 * at);
    }
    return { labels, labelTexts };
  }
}

/** Pixel pairs of the intervals in which events were lost. */
function lossIntervals(trace: Trace, from: number, to: number, width: number): Float32Array {
  const intervals: number[] = [];
  for (const problem of trace.problems) {
    if (problem.kind !== "lost-events") continue;
    const start = problem.from ?? problem.to;
    const end = problem.to ?? problem.from;
    if (start === undefined || end === undefined || end < from || start > to) continue;
    const scale = width / (to - from);
    const x0 = Math.max(0, (start - from) * scale);
    intervals.push(x0, Math.max(x0 + 1, Math.min(width, (end - from) * scale)));
  }
  return Float32Array.from(intervals);
}
