/**
 * The one road into the system.
 *
 *     capture source ─┐
 *     format reader ──┼─► TraceSink ─► TraceBuilder │ format writer │ BatchSink │ filter ─► TraceSink
 *     replay(batch) ──┘
 *
 * A sink takes calls with integer ids, not event objects: 100,000 slices into columns cost 0.11 ms
 * by call against 1.5 ms through a generator (bench/model.bench.ts).
 */
declare const unit: unique symbol;
/** Nanoseconds since the trace's origin. A float64: exact to 1 ns for 104 days. Absolute time is `ClockInfo.originNs + BigInt(ns)`. */
export type Ns = number & { readonly [unit]: "ns" };
export type StringId = number & { readonly [unit]: "string" };
export type TrackId = number & { readonly [unit]: "track" };
export type FrameId = number & { readonly [unit]: "frame" };
/** A call stack: a node of the prefix tree, or NO_STACK. */
export type StackId = number & { readonly [unit]: "stack" };
/** A finished set of arguments, or NO_ARGS. Equal sets may share an id. */
export type ArgSetId = number & { readonly [unit]: "args" };
export type EventTypeId = number & { readonly [unit]: "event type" };
/** A slice or an instant, stable for the life of the trace: what links, flows and marks point at. */
export type EventId = number & { readonly [unit]: "event" };

export const NO_STACK: StackId = -1 as StackId;
export const NO_ARGS: ArgSetId = -1 as ArgSetId;
export const NO_TRACK: TrackId = -1 as TrackId;
/** The empty string is interned first in every table. */
export const EMPTY_STRING: StringId = 0 as StringId;

export type ClockDomain = "monotonic" | "boottime" | "realtime" | "tsc" | "unknown";

export interface ClockInfo {
  readonly domain: ClockDomain;
  /** Absolute reading of that clock at Ns 0. */
  readonly originNs: bigint;
  /** Half-width of what we know, ns; 0 for the trace's own clock. */
  readonly errorNs: number;
}

export interface TrackInfo {
  readonly kind: "host" | "process" | "thread" | "cpu" | "counter" | "async" | "custom";
  readonly name: string;
  /** A thread's parent is its process; a process's or CPU's is its host (or none). */
  readonly parent?: TrackId;
  readonly pid?: number;
  readonly tid?: number;
  readonly cpu?: number;
  /** Processes: the pid that forked it, when known. */
  readonly parentPid?: number;
  /** Counter tracks: "bytes", "ns", "count", … */
  readonly unit?: string;
  readonly sortIndex?: number;
}

export interface FrameInfo {
  readonly name: string;
  readonly file?: string;
  readonly line?: number;
  /** Path of the mapped file; "[kernel.kallsyms]" for the kernel, "[module]" for a kernel module. */
  readonly module?: string;
  /** Hex, lower case. */
  readonly buildId?: string;
  /** File-relative address (what the ELF symbol table uses); for the kernel, absolute. */
  readonly address?: bigint;
  readonly inlined?: boolean;
}

/** A declared kind of event gets its own typed table (`packet`, `syscall`, …) with these columns. */
export interface EventTypeInfo {
  readonly name: string;
  readonly fields: readonly {
    readonly name: string;
    readonly type: "int" | "real" | "text" | "bool" | "bytes";
    readonly unit?: string;
  }[];
}

export type ProblemKind =
  | "lost-events"
  | "truncated"
  | "malformed"
  | "unsupported"
  | "unmatched-end"
  | "late"
  | "clock";

/** Something was lost or odd; the trace is still usable. Shown by every view, never only logged. */
export interface Problem {
  readonly kind: ProblemKind;
  readonly message: string;
  readonly count?: number;
  /** Which CPU's ring buffer, for losses. */
  readonly cpu?: number;
  readonly from?: Ns;
  readonly to?: Ns;
  readonly byteOffset?: number;
}

/**
 * A set is meant for the event recorded next: one that is older than so many others may be forgotten, so that what
 * streams needs no more memory the longer it runs.
 */
export const RECENT_ARG_SETS: number = 2 ** 17;

/** Arguments are finished before the event that carries them, so that writers can stream. */
export interface ArgsBuilder {
  int(key: StringId, value: number | bigint): void;
  real(key: StringId, value: number): void;
  text(key: StringId, value: StringId): void;
  bool(key: StringId, value: boolean): void;
  bytes(key: StringId, value: Uint8Array): void;
  /** A nested object or array until `close`. Keys of array members are ignored (pass EMPTY_STRING). */
  open(key: StringId, kind: "object" | "array"): void;
  close(): void;
  done(): ArgSetId;
}

export type LifeKind = "start" | "rename" | "exec" | "exit";
export type FlowStep = "start" | "step" | "end";
export type FlowBind = "last" | "enclosing" | "next";
export type LogLevel = "debug" | "info" | "warning" | "error";

/**
 * Sources and readers call it; the store, every format writer and every filter implement it.
 * Declare (clock, string, track, frame, stack, event type), then record. Ids belong to the sink that
 * gave them. `string`, `track`, `frame` and `stack` with equal input may return the same id; a `track` call
 * always declares a new track, so callers keep their own maps (pid → TrackId).
 * Events may come in any order up to `watermark`; ties keep arrival order; what comes later than a
 * watermark is kept and counted as `late`. Times and durations are never altered: a slice that
 * does not nest goes to an overflow lane of its track.
 */
export interface TraceSink {
  /** The trace's own clock: once, before the first event. */
  clock(clock: ClockInfo): void;
  /** The same instant on two or more clocks, as (domain, absolute reading in ns) pairs. */
  clockSnapshot(readings: readonly (readonly [ClockDomain, bigint])[]): void;
  /** What the trace was made with: host, kernel, command, options, versions, own overhead. The last value of a key wins. */
  metadata(key: string, value: string): void;
  string(text: string): StringId;
  track(info: TrackInfo): TrackId;
  eventType(info: EventTypeInfo): EventTypeId;
  frame(info: FrameInfo): FrameId;
  /** `frame` called by `parent`; NO_STACK as parent starts at the outermost frame. */
  stack(parent: StackId, frame: FrameId): StackId;
  readonly args: ArgsBuilder;

  begin(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void;
  /** Ends the innermost open `begin` of the track. Its args are added to the slice's. */
  end(track: TrackId, ts: Ns, args: ArgSetId): void;
  /** `dur` NaN: still open at the end of the trace (−1 in SQL). */
  slice(track: TrackId, ts: Ns, dur: Ns, name: StringId, category: StringId, args: ArgSetId): void;
  instant(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void;
  /** An event of a declared type: an instant with a row in that type's table. */
  typed(type: EventTypeId, track: TrackId, ts: Ns, args: ArgSetId): void;
  counter(track: TrackId, ts: Ns, value: number | bigint): void;
  /** One CPU sample of a thread. `weight` in ns of CPU time it stands for; `cpu` −1 when unknown. */
  sample(thread: TrackId, ts: Ns, stack: StackId, weight: number, cpu: number): void;
  /**
   * Scheduling: `previous` leaves `cpu` in `state`, `next` enters. NO_TRACK is the idle task (or unknown).
   * `state` is the kernel's letter: "R" still runnable (preempted), "S", "D", "T", "t", "X", "Z", "I".
   */
  switch(
    cpu: TrackId,
    ts: Ns,
    previous: TrackId,
    state: StringId,
    next: TrackId,
    priority: number,
  ): void;
  /** `thread` became runnable, made so by `waker` (NO_TRACK: an interrupt or unknown), to run on `targetCpu`. */
  waking(thread: TrackId, ts: Ns, waker: TrackId, targetCpu: number): void;
  /** A process or thread changed. `detail`: the new name (start, rename), the file (exec), or "" (exit). */
  life(thread: TrackId, ts: Ns, what: LifeKind, detail: StringId): void;
  /** Binds flow `id` to the event recorded last on `track`, to the slice enclosing ts, or to the next one. */
  flow(id: bigint, track: TrackId, ts: Ns, step: FlowStep, bind: FlowBind): void;
  log(track: TrackId, ts: Ns, level: LogLevel, message: StringId): void;

  problem(problem: Problem): void;
  /** Nothing earlier than `ts` follows; what is at `ts` may (live readers; whole files call it once, at the end, with Infinity). */
  watermark(ts: Ns): void;
  /** No more calls follow. Writers flush here. */
  close(): void;
}
