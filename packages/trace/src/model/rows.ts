/**
 * Rows as the builder fills them: chunks of typed arrays that start small and double up to CHUNK_ROWS; then the next
 * chunk begins and the full one is sealed. Only the last event of a row may still change (its end, its arguments).
 */
import type { TrackId } from "./sink.ts";
import { CHUNK_ROWS, DUR_ESCAPE, type RowChunks, type RowKind } from "./trace.ts";

/** A begun slice knows that it came from begin/end: replaying and rebuilding need the same calls again. */
export interface BuiltChunks extends RowChunks {
  slice: RowChunks["slice"] & {
    /** 1: from `begin` (and `end`), 0: from `slice`. */
    readonly begun: Uint8Array;
  };
}
export type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
export type OpenChunk<Kind extends RowKind> = Mutable<BuiltChunks[Kind]>;

/** The first arrays of a row hold this many events: most rows stay small, and 64 bytes cost V8 no allocation of their own. */
const FIRST_CHUNK = 8;
const NO_LONG: ReadonlyMap<number, number> = new Map();

function common(n: number) {
  return {
    length: 0,
    sealed: false,
    ts: new Float64Array(n),
    dur: new Uint32Array(n),
    longDur: NO_LONG,
    key: new Uint32Array(n),
  };
}

const newChunk: { readonly [Kind in RowKind]: (n: number) => OpenChunk<Kind> } = {
  slice: (n) => ({
    ...common(n),
    id: new Uint32Array(n),
    category: new Uint32Array(n),
    args: new Int32Array(n),
    depth: new Uint16Array(n),
    begun: new Uint8Array(n),
  }),
  instant: (n) => ({
    ...common(n),
    id: new Uint32Array(n),
    category: new Uint32Array(n),
    args: new Int32Array(n),
    type: new Uint16Array(n),
  }),
  counter: (n) => ({ ...common(n), value: new Float64Array(n) }),
  sched: (n) => ({ ...common(n), endState: new Uint32Array(n), priority: new Int32Array(n) }),
  thread_state: (n) => ({ ...common(n), cpu: new Int32Array(n), waker: new Int32Array(n) }),
  sample: (n) => ({ ...common(n), weight: new Float64Array(n), cpu: new Int32Array(n) }),
};

/** A `Row<Kind>` (trace.ts), as the builder sees it. */
export class BuiltRow<Kind extends RowKind = RowKind> {
  readonly id: number;
  readonly track: TrackId;
  readonly kind: Kind;
  readonly lane: number;
  chunks: OpenChunk<Kind>[] = [];
  generation = 0;
  /** The chunk being filled. */
  last: OpenChunk<Kind>;
  #sealedLength = 0;

  constructor(id: number, track: TrackId, kind: Kind, lane: number) {
    this.id = id;
    this.track = track;
    this.kind = kind;
    this.lane = lane;
    this.last = newChunk[kind](FIRST_CHUNK);
    this.chunks.push(this.last);
  }

  get length(): number {
    return this.#sealedLength + this.last.length;
  }

  /** The chunk that has room for one more event; the caller writes every column at `length` and adds one to it. */
  room(): OpenChunk<Kind> {
    const last = this.last;
    return last.length < last.ts.length ? last : this.#grow();
  }

  #grow(): OpenChunk<Kind> {
    const last = this.last;
    if (last.length >= CHUNK_ROWS) {
      last.sealed = true;
      this.#sealedLength += last.length;
      this.last = newChunk[this.kind](CHUNK_ROWS);
      this.chunks.push(this.last);
      return this.last;
    }
    const columns = last as unknown as Record<string, unknown>;
    for (const name in columns) {
      const column = columns[name];
      if (ArrayBuffer.isView(column)) columns[name] = enlarged(column as unknown as Column);
    }
    return last;
  }

  /** Drops all events: the row is about to be filled again. */
  restart(): void {
    this.last = newChunk[this.kind](FIRST_CHUNK);
    this.chunks = [this.last];
    this.#sealedLength = 0;
    this.generation++;
  }
}

type Column = Float64Array | Uint32Array | Int32Array | Uint16Array | Uint8Array;

/** A copy with twice the room. */
export function enlarged<T extends Column>(column: T): T {
  const larger = new (column.constructor as new (length: number) => T)(column.length * 2);
  larger.set(column);
  return larger;
}

/** Writes a duration, ns; NaN or Infinity: open. What is no integer below 2³² − 1 goes to `longDur`. */
export function setDuration(chunk: OpenChunk<RowKind>, index: number, dur: number): void {
  if (dur >>> 0 === dur && dur !== DUR_ESCAPE) {
    chunk.dur[index] = dur;
    if (chunk.longDur.size > 0) (chunk.longDur as Map<number, number>).delete(index);
    return;
  }
  chunk.dur[index] = DUR_ESCAPE;
  if (!(dur < Infinity)) return; // open: no entry reads as NaN
  if (chunk.longDur === NO_LONG) chunk.longDur = new Map();
  (chunk.longDur as Map<number, number>).set(index, dur);
}
