/**
 * The engine: takes a page's messages, answers them over one open trace. The same class runs in a browser worker
 * (worker-host.ts) and in the server, one for each page. It never blocks long: only the newest viewport is drawn, long
 * answers are jobs, and a message that is not of the protocol is answered with an error.
 */
import type { Problem } from "../model/sink.ts";
import type { Row } from "../model/trace.ts";
import { area } from "./area.ts";
import { checkPageMessage, ProtocolError } from "./check.ts";
import { eventDetails } from "./details.ts";
import { flame } from "./flame.ts";
import { hitTest } from "./hit.ts";
import { Jobs } from "./jobs.ts";
import { minimapDensity } from "./minimap.ts";
import { firstChildIndex, laneRow, parentIndex } from "./nesting.ts";
import type { OpenTrace } from "./open-trace.ts";
import {
  type EngineMessage,
  type EventDetails,
  type PageMessage,
  PROTOCOL_VERSION,
  type TrackNode,
} from "./protocol.ts";
import { Raster } from "./raster.ts";
import { search } from "./search.ts";
import { trackTree } from "./tracks.ts";

export interface SqlAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
  readonly truncated: boolean;
}
export interface EngineOptions {
  readonly kind: "worker" | "server";
  /** Takes an answer; the buffers in `transfer` are the receiver's. */
  post(message: EngineMessage, transfer: ArrayBuffer[]): void;
  /** What is open already: the server's file. Pages share it. */
  readonly opened?: OpenTrace;
  /** Opens what a page names, at once: it is read while the engine answers. */
  load?(request: OpenRequest): OpenTrace;
  /** @throws with a message in words, for the page */
  sql?(open: OpenTrace, sql: string): Promise<SqlAnswer>;
  /** Runs a task after the messages that wait already. Default: setTimeout 0. */
  readonly defer?: (task: () => void) => void;
}
export type OpenRequest = Extract<PageMessage, { type: "open" }>;
type Request<Type extends PageMessage["type"]> = Extract<PageMessage, { type: Type }>;

const PROGRESS_MS = 100;
const TRACKS_MS = 400;
/** While a recording is watched: how often the page hears of its end, and at most of its tracks. */
const APPENDED_MS = 50;
const LIVE_TRACKS_MS = 200;
/** No less often, however long it takes. */
const SLOWEST_TRACKS_MS = 1000;
/** What making the tree costs is believed to grow by no more than this at a time: a thread that was kept waiting looks slow. */
const TREE_GROWTH = 1.5;
/** Making the tree is to take at most this part of the time, and the strips that pages ask for when they hear of more. */
const TREE_SHARE = 1 / 5;
const STRIP_SHARE = 1 / 5;
/** Facts of tracks that are otherwise the same are told again after so long. */
const FACTS_MS = 2000;

export class Engine {
  readonly #options: EngineOptions;
  readonly #defer: (task: () => void) => void;
  readonly #jobs: Jobs;
  #open: OpenTrace | undefined;
  #raster: Raster | undefined;
  #unsubscribe: (() => void) | undefined;
  #greeted = false;
  #closed = false;
  #viewport: Request<"viewport"> | undefined;
  // What the page has been told.
  #toldTree = "";
  #toldVersion = -1;
  #toldProblems: readonly Problem[] = [];
  #toldPhase = "";
  #progressAt = -Infinity;
  #appendedAt = -Infinity;
  #tracksAt = -Infinity;
  #tracksEveryMs = LIVE_TRACKS_MS;
  #treeMs = 1;
  #appendedEveryMs = APPENDED_MS;
  #treeAt = -Infinity;
  /** Of the tree that was looked at last. */
  #treeVersion = -1;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#defer = options.defer ?? ((task) => void setTimeout(task, 0));
    this.#jobs = new Jobs(this.#defer);
  }

  /** One message of the page. Never throws: what is wrong with it is answered. */
  handle(message: PageMessage): void {
    if (this.#closed) return;
    const id = idOf(message);
    try {
      this.#answer(checkPageMessage(message));
    } catch (error) {
      this.#failed(id, error);
    }
  }

  /** The page is gone: no more answers. The open trace lives on for others. */
  close(): void {
    this.#closed = true;
    this.#jobs.clear();
    this.#unsubscribe?.();
    clearTimeout(this.#timer);
  }

  #answer(message: PageMessage): void {
    switch (message.type) {
      case "hello":
        this.#hello(message.version);
        break;
      case "open":
        this.#load(message);
        break;
      case "stop":
        this.#open?.stop();
        break;
      case "viewport":
        this.#queueViewport(message);
        break;
      case "minimap":
        this.#minimap(message);
        break;
      case "at":
        this.#at(message);
        break;
      case "details":
        this.#post({
          type: "details",
          id: message.id,
          details: this.#details(message.row, message.index),
        });
        break;
      case "step":
        this.#step(message);
        break;
      case "search":
      case "flame":
      case "area":
        this.#longAnswer(message);
        break;
      case "sql":
        void this.#sql(message);
        break;
    }
  }

  #hello(version: number): void {
    if (version !== PROTOCOL_VERSION)
      throw new ProtocolError(
        `the page speaks protocol ${version}, this engine ${PROTOCOL_VERSION}: reload the page`,
      );
    const { kind, opened, sql } = this.#options;
    this.#post({ type: "hello", version: PROTOCOL_VERSION, kind, sql: sql !== undefined });
    if (!this.#greeted && opened !== undefined) this.#attach(opened);
    else this.#retell();
    this.#greeted = true;
  }

  /** A page that says hello again (reloaded, reconnected) hears everything again. */
  #retell(): void {
    if (this.#open === undefined) return;
    this.#toldTree = "";
    this.#toldVersion = -1;
    this.#toldProblems = [];
    this.#toldPhase = "";
    this.#tell(true);
  }

  #load(request: OpenRequest): void {
    if (this.#options.load === undefined)
      throw new ProtocolError("this engine serves one file; it opens no other");
    this.#open?.stop();
    this.#attach(this.#options.load(request));
  }

  #attach(open: OpenTrace): void {
    this.#unsubscribe?.();
    this.#jobs.clear();
    this.#open = open;
    this.#raster = new Raster(open.lod);
    this.#unsubscribe = open.onChange(() => this.#tell(false));
    this.#retell();
  }

  /** Unasked messages: progress, tracks, appended, problems; no more often than a page can use them. */
  #tell(now: boolean): void {
    const open = this.#open;
    if (open === undefined || this.#closed) return;
    const phaseChanged = open.phase !== this.#toldPhase;
    if (open.live) this.#tellLive(open, now);
    else this.#tellLoading(open, now, phaseChanged);
    if (phaseChanged && open.error !== undefined) this.#post({ type: "error", ...open.error });
    this.#toldPhase = open.phase;
  }

  #tellLoading(open: OpenTrace, now: boolean, phaseChanged: boolean): void {
    const at = performance.now();
    if (now || phaseChanged || at - this.#progressAt >= PROGRESS_MS) {
      this.#progressAt = at;
      const { bytes, totalBytes, bytesPerSecond, trace } = open;
      const phase = open.phase === "reading" ? "reading" : "indexing";
      if (open.phase !== "done" && open.phase !== "failed")
        this.#post({
          type: "progress",
          phase,
          bytes,
          totalBytes,
          events: trace.length,
          bytesPerSecond,
        });
    }
    const ended = open.phase !== "reading";
    if (now || (phaseChanged && ended) || at - this.#tracksAt >= TRACKS_MS)
      this.#tellTracks(open, phaseChanged);
    else this.#tellLater(open, TRACKS_MS);
  }

  #tellLive(open: OpenTrace, now: boolean): void {
    const at = performance.now();
    if (now || at - this.#tracksAt >= this.#tracksEveryMs) {
      this.#tellTracks(open, now || at - this.#treeAt >= FACTS_MS);
      this.#treeMs = Math.min(performance.now() - at, TREE_GROWTH * this.#treeMs + 1);
      const wantedMs = Math.max(LIVE_TRACKS_MS, this.#treeMs / TREE_SHARE);
      this.#tracksEveryMs = Math.min(SLOWEST_TRACKS_MS, wantedMs);
    } else if (at - this.#appendedAt >= this.#appendedEveryMs) this.#tellAppended(open);
    // What has been told of the end may be all there is to tell for long, but the tree was not looked at yet.
    this.#tellLater(open, this.#appendedEveryMs);
  }

  #tellLater(open: OpenTrace, ms: number): void {
    const { version } = open.trace;
    const isTold = version === this.#toldVersion && version === this.#treeVersion;
    if (this.#timer !== undefined || isTold) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#tell(false);
    }, ms);
  }

  /** @param again  the tree is told even if it is as before */
  #tellTracks(open: OpenTrace, again: boolean): void {
    this.#tracksAt = performance.now();
    const { trace, problems } = open;
    const isNew = trace.version !== this.#treeVersion;
    this.#treeVersion = trace.version;
    if (isNew || again) {
      const tracks = trackTree(trace, open.totals);
      const done = open.phase !== "reading";
      const tree = `${done} ${treeKey(tracks)}`;
      if (tree !== this.#toldTree || again) {
        this.#toldTree = tree;
        this.#toldVersion = trace.version;
        this.#treeAt = this.#appendedAt = this.#tracksAt;
        this.#post({ type: "tracks", summary: open.summary(), tracks, done });
      } else this.#tellAppended(open);
    }
    if (sameProblems(problems, this.#toldProblems)) return;
    this.#toldProblems = problems;
    this.#post({ type: "problems", problems: [...problems] });
  }

  #tellAppended(open: OpenTrace): void {
    const { trace, lostEvents, leftOutEvents } = open;
    // An empty trace has no end yet.
    if (trace.version === this.#toldVersion || !(trace.toNs >= trace.fromNs)) return;
    this.#appendedAt = performance.now();
    this.#toldVersion = trace.version;
    const { toNs, length: events } = trace;
    this.#post({ type: "appended", toNs, events, lostEvents, leftOutEvents });
  }

  #queueViewport(request: Request<"viewport">): void {
    const waiting = this.#viewport !== undefined;
    this.#viewport = request;
    if (waiting) return; // the newest wins
    this.#defer(() => {
      const newest = this.#viewport;
      this.#viewport = undefined;
      if (newest === undefined || this.#closed) return;
      try {
        this.#draw(newest);
      } catch (error) {
        this.#failed(newest.id, error);
      }
    });
  }

  #draw(request: Request<"viewport">): void {
    const startedAt = performance.now();
    const strip = this.#need(this.#raster).strip(request.id, request);
    const drawMs = performance.now() - startedAt;
    this.#appendedEveryMs = Math.min(LIVE_TRACKS_MS, Math.max(APPENDED_MS, drawMs / STRIP_SHARE));
    const transfer = [strip.pixels, strip.labels, strip.losses].map((array) => array.buffer);
    for (const { low, high } of strip.counters) transfer.push(low.buffer, high.buffer);
    this.#post({ type: "strip", ...strip }, transfer as ArrayBuffer[]);
  }

  #minimap({ id, width }: Request<"minimap">): void {
    const { lod, trace } = this.#need(this.#open);
    const post = this.#post.bind(this);
    this.#job(id, "minimap", function* () {
      const density = yield* minimapDensity(lod, width);
      post({ type: "minimap", id, density, fromNs: trace.fromNs, toNs: trace.toNs }, [
        density.buffer as ArrayBuffer,
      ]);
    });
  }

  #at({ id, row: rowId, ts, toleranceNs }: Request<"at">): void {
    const { lod, trace } = this.#need(this.#open);
    const row = trace.rows[rowId];
    const index = row === undefined ? -1 : hitTest(lod, row, ts, toleranceNs);
    this.#post({ type: "at", id, hit: index < 0 ? undefined : this.#details(rowId, index) });
  }

  #details(row: number, index: number): EventDetails | undefined {
    const open = this.#need(this.#open);
    return eventDetails(open.trace, open, row, index);
  }

  #step({ id, row: rowId, index, move }: Request<"step">): void {
    const { trace } = this.#need(this.#open);
    const row = trace.rows[rowId];
    let details: EventDetails | undefined;
    if (move === "next" || move === "previous")
      details =
        index === 0 && move === "previous"
          ? undefined
          : this.#details(rowId, index + (move === "next" ? 1 : -1));
    else if (row?.kind === "slice") {
      const slices = row as Row<"slice">;
      const other = laneRow(trace, slices, move === "parent" ? -1 : 1);
      const find = move === "parent" ? parentIndex : firstChildIndex;
      const at = other === undefined ? -1 : find(trace, other, slices, index);
      if (other !== undefined && at >= 0) details = this.#details(other.id, at);
    }
    this.#post({ type: "step", id, details });
  }

  /** A newer request of the same type cancels an unfinished older one, which is then not answered. */
  #longAnswer(message: Request<"search"> | Request<"flame"> | Request<"area">): void {
    const { trace } = this.#need(this.#open);
    const post = this.#post.bind(this);
    this.#job(message.id, message.type, function* () {
      if (message.type === "flame") post(yield* flame(trace, message));
      else if (message.type === "area") post(yield* area(trace, message));
      else {
        const answer = yield* search(trace, message.id, message.text, message.limit);
        post(answer, [answer.heat.buffer as ArrayBuffer]);
      }
    });
  }

  #job(id: number, key: string, steps: () => Generator<void, void>): void {
    this.#jobs.start(key, steps(), (error) => this.#failed(id, error));
  }

  async #sql({ id, sql }: Request<"sql">): Promise<void> {
    try {
      if (this.#options.sql === undefined)
        throw new EngineError(
          "SQL is not available in a page without the kymo server",
          'run `kymo open FILE` for the timeline with SQL, or `kymo query FILE "SELECT …"`',
        );
      const open = this.#need(this.#open);
      if (open.loading)
        throw open.live
          ? new EngineError(
              "the trace is still being recorded",
              "ask again when the recording has ended, or query a finished one: kymo query FILE",
            )
          : new EngineError("the trace is still being read", "ask again when it is loaded");
      const answer = await this.#options.sql(open, sql);
      this.#post({ type: "sql", id, ...answer });
    } catch (error) {
      this.#failed(id, error);
    }
  }

  #need<T>(value: T | undefined): T {
    if (value === undefined)
      throw new EngineError("no trace is open", "drop a file on the page, or open one by ?url=");
    return value;
  }

  /** Wrong requests and failed answers are told in words; a defect of ours keeps its message, so it can be reported. */
  #failed(id: number | undefined, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const hint = hintOf(error);
    this.#post(
      id === undefined ? { type: "error", message, hint } : { type: "error", id, message, hint },
    );
  }

  #post(message: EngineMessage, transfer: ArrayBuffer[] = []): void {
    if (!this.#closed) this.#options.post(message, transfer);
  }
}

/** A request that cannot be served now; the hint says what to do. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

function hintOf(error: unknown): string {
  const { hint, fix } = error as { hint?: unknown; fix?: unknown };
  return typeof hint === "string" ? hint : typeof fix === "string" ? fix : "";
}

function idOf(message: unknown): number | undefined {
  const id = (message as { id?: unknown } | null)?.id;
  return typeof id === "number" ? id : undefined;
}

/** The list is made anew when one changes. */
function sameProblems(a: readonly Problem[], b: readonly Problem[]): boolean {
  return a === b || (a.length === b.length && a.every((problem, i) => problem === b[i]));
}

/** Changes when the page must lay out its tree again: not when rows only grew. */
function treeKey(tracks: readonly TrackNode[]): string {
  let hash = 0x811c9dc5;
  const mix = (value: number): void => {
    hash = Math.imul(hash ^ value, 0x01000193);
  };
  for (const track of tracks) {
    mix(track.id + 16);
    for (let i = 0; i < track.name.length; i++) mix(track.name.charCodeAt(i));
    for (const row of track.rows) mix(row.id + 1);
  }
  return `${tracks.length} ${hash}`;
}
