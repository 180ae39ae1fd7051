/**
 * One trace that is open: being read, then indexed, then done. Any number of engines (pages) share it, with its level
 * of detail and caches. Whoever loads it calls `progress`, `finish` or `fail`.
 */

import type { LeftOut } from "../live/gate.ts";
import type { Ns, Problem } from "../model/sink.ts";
import type { Trace } from "../model/trace.ts";
import { FlowLinks } from "./flows.ts";
import { LevelOfDetail } from "./lod.ts";
import { NameDurations } from "./name-durations.ts";
import type { TraceSummary } from "./protocol.ts";
import { RowTotals } from "./row-totals.ts";

export type OpenPhase = "reading" | "indexing" | "done" | "failed";
export interface OpenTraceOptions {
  readonly trace: Trace;
  readonly name: string;
  /** 0 when it is not known. */
  readonly totalBytes?: number;
  /** Runs `task` when other messages had their turn. Default: setTimeout 0. */
  readonly defer?: (task: () => void) => void;
  /** Stops the loading; what has been read stays. */
  readonly stop?: () => void;
  /** It is being recorded: "reading" lasts as long as the recording. */
  readonly live?: boolean;
}

/** A slice of background work: shorter than a frame. */
const WORK_MS = 8;
/** While the trace grows every row is looked at this often: a chunk waits that long for its level of detail. */
const INDEX_MS = 200;
/** Intervals of events left out that are nearer to each other are told as one. */
const MERGE_NS = 1e9;

export class OpenTrace {
  readonly trace: Trace;
  readonly name: string;
  readonly lod: LevelOfDetail;
  readonly totals: RowTotals;
  readonly flows: FlowLinks;
  readonly durations: NameDurations;
  readonly defer: (task: () => void) => void;
  phase: OpenPhase = "reading";
  bytes = 0;
  totalBytes: number;
  /** Set when the phase is `failed`. What was read before is still shown. */
  error: { readonly message: string; readonly hint: string } | undefined;
  /** Events that the live view left out because it could not keep up. */
  leftOutEvents = 0;
  readonly #leftOut: Problem[] = [];
  readonly #live: boolean;
  readonly #stop: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #startedMs = performance.now();
  #endedMs = 0;
  #indexedAt = -Infinity;
  #indexing = false;

  constructor(options: OpenTraceOptions) {
    this.trace = options.trace;
    this.name = options.name;
    this.totalBytes = options.totalBytes ?? 0;
    this.defer = options.defer ?? ((task) => void setTimeout(task, 0));
    this.#stop = options.stop;
    this.#live = options.live ?? false;
    this.lod = new LevelOfDetail(options.trace);
    this.totals = new RowTotals(options.trace);
    this.flows = new FlowLinks(options.trace);
    this.durations = new NameDurations(options.trace);
  }

  get loading(): boolean {
    return this.phase === "reading";
  }
  /** It is being recorded right now. */
  get live(): boolean {
    return this.#live && this.phase === "reading";
  }
  get lostEvents(): number {
    let lost = 0;
    for (const problem of this.trace.problems)
      if (problem.kind === "lost-events") lost += problem.count ?? 0;
    return lost;
  }
  /** The trace's, and what the live view left out. */
  get problems(): readonly Problem[] {
    return [...this.trace.problems, ...this.#leftOut];
  }
  get bytesPerSecond(): number {
    const ms = (this.#endedMs || performance.now()) - this.#startedMs;
    return ms > 0 ? (1000 * this.bytes) / ms : 0;
  }

  /** So many bytes of the input were read. */
  progress(bytes: number, totalBytes: number = this.totalBytes): void {
    this.bytes = bytes;
    this.totalBytes = totalBytes;
    this.grow();
  }
  /** The trace has more in it than before. */
  grow(): void {
    const now = performance.now();
    if (now - this.#indexedAt >= INDEX_MS) {
      this.#indexedAt = now;
      this.#index();
    }
    this.#tell();
  }
  /** Events that the view leaves out: a problem for each interval. */
  leaveOut({ count, from, to }: LeftOut): void {
    this.leftOutEvents += count;
    const kind = "lost-events";
    const message = "left out of the live view, which could not keep up; they are in the file";
    const last = this.#leftOut.at(-1);
    if (last === undefined || from - last.to! > MERGE_NS)
      this.#leftOut.push({ kind, message, count, from, to });
    else {
      const both = { count: last.count! + count, to: Math.max(last.to!, to) as Ns };
      this.#leftOut[this.#leftOut.length - 1] = { ...last, ...both };
    }
  }
  /** All there is has been read. */
  finish(): void {
    if (this.phase !== "reading") return;
    this.#endedMs = performance.now();
    this.phase = "indexing";
    this.lod.settle();
    this.#index();
    this.#tell();
  }
  /** Nothing more can be read; what was read stays. */
  fail(message: string, hint: string): void {
    if (this.phase !== "reading") return;
    this.#endedMs = performance.now();
    this.error = { message, hint };
    this.phase = "failed";
    this.lod.settle();
    this.#index();
    this.#tell();
  }
  stop(): void {
    if (this.phase === "reading") this.#stop?.();
  }

  /** Calls `listener` after every change, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  summary(): TraceSummary {
    const { trace, lostEvents, leftOutEvents } = this;
    return {
      name: this.name,
      fromNs: trace.fromNs,
      toNs: trace.toNs,
      originNs: trace.clock.originNs.toString(),
      clockDomain: trace.clock.domain,
      events: trace.length,
      metadata: Object.fromEntries(trace.metadata),
      lostEvents,
      leftOutEvents,
      live: this.live,
    };
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Builds level of detail a few ms at a time, as long as there is some to build. */
  #index(): void {
    if (this.#indexing) return;
    this.#indexing = true;
    const step = (): void => {
      if (!this.lod.work(performance.now() + WORK_MS)) {
        this.defer(step);
        return;
      }
      this.#indexing = false;
      if (this.phase !== "indexing") return;
      this.phase = "done";
      this.#tell();
    };
    this.defer(step);
  }
}
