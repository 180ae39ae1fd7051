/**
 * What a TraceBuilder has built: chunked columns, read-only to everyone else, growing while the trace is live.
 *
 *     Trace ─ tracks[] ─ rows[] ─ chunks[] ─ typed arrays
 *                         │         └ ≤ 64 K events, sorted by ts; all but a row's last are sealed (immutable)
 *                         └ one drawn lane: (track, kind, lane); its events never overlap
 *
 * A slice row is (track, depth): what flame charts draw. Scheduling becomes two kinds of derived rows:
 * `sched` on CPU tracks and `thread_state` on thread tracks.
 */
import type {
  ArgSetId,
  ClockDomain,
  ClockInfo,
  EventId,
  EventTypeId,
  EventTypeInfo,
  FrameInfo,
  LifeKind,
  LogLevel,
  Ns,
  Problem,
  StringId,
  TrackId,
  TrackInfo,
} from "./sink.ts";

/** Rows a chunk holds at most. */
export const CHUNK_ROWS = 65_536;
/** In a `dur` column: the duration does not fit; `longDur` has it (NaN: still open). */
export const DUR_ESCAPE = 0xffff_ffff;

export type RowKind = "slice" | "instant" | "counter" | "sched" | "thread_state" | "sample";

/**
 * Columns that every kind of row has. Arrays may be longer than `length`.
 * `key` is what names and colours an event:
 * slice, instant → StringId of its name · sched → TrackId of the running thread · thread_state → StringId
 * of the state ("Running", "R", "R+" preempted, "S", "D", …) · sample → StackId + 1 (0: none) · counter → 0.
 */
export interface Chunk {
  readonly length: number;
  readonly sealed: boolean;
  /** Start, ns since the origin, ascending. */
  readonly ts: Float64Array;
  /** Duration in ns, or DUR_ESCAPE. Instants, counters and samples: 0. Use `durationAt` outside hot loops. */
  readonly dur: Uint32Array;
  readonly longDur: ReadonlyMap<number, number>;
  readonly key: Uint32Array;
}
export interface SliceChunk extends Chunk {
  /** EventId. */
  readonly id: Uint32Array;
  /** StringId. */
  readonly category: Uint32Array;
  /** ArgSetId; −1 none. */
  readonly args: Int32Array;
  /** Number of slices around it; differs from the row's lane only in an overflow lane. */
  readonly depth: Uint16Array;
}
export interface InstantChunk extends Chunk {
  readonly id: Uint32Array;
  readonly category: Uint32Array;
  readonly args: Int32Array;
  /** EventTypeId + 1; 0: a plain instant. */
  readonly type: Uint16Array;
}
export interface CounterChunk extends Chunk {
  readonly value: Float64Array;
}
/** On a CPU track: `key` ran from ts for dur; the idle task leaves a gap. */
export interface SchedChunk extends Chunk {
  /** StringId: the state in which the thread left the CPU; 0 while it still runs. */
  readonly endState: Uint32Array;
  readonly priority: Int32Array;
}
/** On a thread track. */
export interface ThreadStateChunk extends Chunk {
  /** CPU while Running, −1 otherwise. */
  readonly cpu: Int32Array;
  /** Runnable: TrackId of the thread that woke it, −1 unknown. */
  readonly waker: Int32Array;
}
export interface SampleChunk extends Chunk {
  /** ns of CPU time it stands for. */
  readonly weight: Float64Array;
  readonly cpu: Int32Array;
}
export interface RowChunks {
  slice: SliceChunk;
  instant: InstantChunk;
  counter: CounterChunk;
  sched: SchedChunk;
  thread_state: ThreadStateChunk;
  sample: SampleChunk;
}

export interface Row<Kind extends RowKind = RowKind> {
  /** Index in `Trace.rows`; stable while the trace grows. */
  readonly id: number;
  readonly track: TrackId;
  readonly kind: Kind;
  /** Slices: 0 is the outermost. Other kinds: 0. */
  readonly lane: number;
  readonly chunks: readonly RowChunks[Kind][];
  /** Events in all chunks. */
  readonly length: number;
  /** Changes when a closed part of the row was rebuilt because late events arrived: level of detail must be dropped. */
  readonly generation: number;
}
export type AnyRow = { [Kind in RowKind]: Row<Kind> }[RowKind];

/** A growing, append-only table of equal-length columns; valid up to `length`. */
export interface StackTable {
  readonly length: number;
  /** StackId of the caller, −1 at the outermost frame; always smaller than its own index. */
  readonly parent: Int32Array;
  readonly frame: Int32Array;
}
export interface FlowTable {
  readonly length: number;
  readonly id: BigUint64Array;
  readonly track: Uint32Array;
  readonly ts: Float64Array;
  /** 0 start, 1 step, 2 end. */
  readonly step: Uint8Array;
  /** The event it is bound to, −1 when none was found. */
  readonly event: Float64Array;
}
export interface LifeEvent {
  readonly track: TrackId;
  readonly ts: Ns;
  readonly what: LifeKind;
  readonly detail: StringId;
}
export interface LogEntry {
  readonly track: TrackId;
  readonly ts: Ns;
  readonly level: LogLevel;
  readonly message: StringId;
}
export type ArgValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly ArgValue[]
  | { readonly [key: string]: ArgValue };

/** One leaf of a set: `key` is the flat path ("http.headers[0].name"). */
export interface ArgLeaf {
  readonly key: string;
  readonly type: "int" | "real" | "text" | "bool" | "bytes";
  readonly value: number | bigint | boolean | string | Uint8Array;
}
export interface ArgTable {
  /** Number of sets. */
  readonly length: number;
  leaves(set: ArgSetId): ArgLeaf[];
  /** As nested values, in the order they were given. */
  object(set: ArgSetId): { readonly [key: string]: ArgValue };
}

export interface ThreadLifetime {
  readonly startNs?: Ns;
  readonly endNs?: Ns;
}

export interface Trace {
  readonly clock: ClockInfo;
  readonly metadata: ReadonlyMap<string, string>;
  readonly strings: {
    readonly length: number;
    get(id: StringId): string;
    find(text: string): StringId | undefined;
  };
  readonly tracks: readonly TrackInfo[];
  /** The track's name now: the declared one, or the last `rename`/`exec` since. */
  trackName(track: TrackId): string;
  /** From `life` events. */
  lifetime(track: TrackId): ThreadLifetime;
  readonly rows: readonly AnyRow[];
  /** Rows of one track: its thread_state or sched row first, then slices by lane, then the rest. */
  rowsOf(track: TrackId): readonly AnyRow[];
  readonly frames: readonly FrameInfo[];
  readonly stacks: StackTable;
  readonly args: ArgTable;
  readonly eventTypes: readonly EventTypeInfo[];
  eventType(id: EventTypeId): EventTypeInfo;
  readonly flows: FlowTable;
  readonly lives: readonly LifeEvent[];
  readonly logs: readonly LogEntry[];
  readonly clockSnapshots: readonly (readonly (readonly [ClockDomain, bigint])[])[];
  readonly problems: readonly Problem[];
  /** Row id and index within the row of a slice or instant; undefined when there is none. */
  locate(event: EventId): { readonly row: number; readonly index: number } | undefined;
  /** First start and last end over all rows; from > to (Infinity, −Infinity) when the trace is empty. */
  readonly fromNs: Ns;
  readonly toNs: Ns;
  /** Number of events in all rows. */
  readonly length: number;
  /** Goes up whenever something was added. */
  readonly version: number;
}

/** Duration of event `index` of a chunk, ns; NaN while it is open. */
export function durationAt(chunk: Chunk, index: number): number {
  const dur = chunk.dur[index]!;
  return dur === DUR_ESCAPE ? (chunk.longDur.get(index) ?? NaN) : dur;
}
