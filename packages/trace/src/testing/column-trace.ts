/**
 * A Trace made of given columns, for tests and benchmarks of what reads a Trace: no builder, no sorting, any size.
 * The caller answers for the order and nesting of the events.
 */
import type {
  ArgSetId,
  ClockInfo,
  EventId,
  EventTypeId,
  EventTypeInfo,
  FrameInfo,
  Ns,
  Problem,
  StringId,
  TrackId,
  TrackInfo,
} from "../model/sink.ts";
import {
  type AnyRow,
  type ArgLeaf,
  type ArgValue,
  CHUNK_ROWS,
  DUR_ESCAPE,
  durationAt,
  type FlowTable,
  type LifeEvent,
  type LogEntry,
  type Row,
  type RowKind,
  type StackTable,
  type ThreadLifetime,
  type Trace,
} from "../model/trace.ts";

/** An event by its columns; what is left out is 0, −1 or "". */
export interface GivenEvent {
  readonly ts: number;
  /** NaN: open. */
  readonly dur?: number;
  /** Slice, instant: name. thread_state: the state. sched: the running thread's TrackId. sample: StackId, or none. */
  readonly key?: string | number;
  readonly category?: string;
  readonly args?: number;
  readonly depth?: number;
  readonly value?: number;
  readonly weight?: number;
  readonly cpu?: number;
  readonly waker?: number;
  readonly priority?: number;
  readonly endState?: string;
  readonly type?: number;
}

type Columns = {
  [name: string]:
    | Float64Array
    | Uint32Array
    | Int32Array
    | Uint16Array
    | number
    | boolean
    | unknown;
};

export class ColumnTrace implements Trace {
  readonly clock: ClockInfo = { domain: "monotonic", originNs: 1_000_000_000n, errorNs: 0 };
  readonly metadata = new Map<string, string>();
  readonly tracks: TrackInfo[] = [];
  readonly rows: AnyRow[] = [];
  readonly frames: FrameInfo[] = [];
  readonly eventTypes: EventTypeInfo[] = [];
  readonly lives: LifeEvent[] = [];
  readonly logs: LogEntry[] = [];
  readonly clockSnapshots: never[] = [];
  readonly problems: Problem[] = [];
  readonly argSets: { readonly [key: string]: ArgValue }[] = [];
  readonly stackList: { readonly parent: number; readonly frame: number }[] = [];
  readonly flowList: {
    readonly id: bigint;
    readonly ts: number;
    readonly step: number;
    readonly event: number;
  }[] = [];
  fromNs = Infinity as Ns;
  toNs = -Infinity as Ns;
  length = 0;
  version = 0;
  readonly #texts: string[] = [""];
  readonly #ids = new Map<string, StringId>([["", 0 as StringId]]);
  readonly #events: { readonly row: number; readonly index: number }[] = [];

  readonly strings: Trace["strings"] & { add(text: string): StringId } = (() => {
    const texts = this.#texts;
    const ids = this.#ids;
    return {
      get length() {
        return texts.length;
      },
      get: (id: StringId) => texts[id]!,
      find: (text: string) => ids.get(text),
      add: (text: string) => {
        const known = ids.get(text);
        if (known !== undefined) return known;
        const id = (texts.push(text) - 1) as StringId;
        ids.set(text, id);
        return id;
      },
    };
  })();

  track(info: TrackInfo): TrackId {
    this.version++;
    return (this.tracks.push(info) - 1) as TrackId;
  }
  trackName(track: TrackId): string {
    return this.tracks[track]?.name ?? "";
  }
  lifetime(): ThreadLifetime {
    return {};
  }
  rowsOf(track: TrackId): readonly AnyRow[] {
    return this.rows.filter((row) => row.track === track);
  }
  eventType(id: EventTypeId): EventTypeInfo {
    return this.eventTypes[id]!;
  }
  locate(event: EventId): { readonly row: number; readonly index: number } | undefined {
    return this.#events[event];
  }
  readonly args = {
    length: 0,
    leaves: (): ArgLeaf[] => [],
    object: (set: ArgSetId): { readonly [key: string]: ArgValue } => this.argSets[set] ?? {},
  };
  get stacks(): StackTable {
    return {
      length: this.stackList.length,
      parent: Int32Array.from(this.stackList, (each) => each.parent),
      frame: Int32Array.from(this.stackList, (each) => each.frame),
    };
  }
  get flows(): FlowTable {
    const list = this.flowList;
    return {
      length: list.length,
      id: BigUint64Array.from(list, (each) => each.id),
      track: new Uint32Array(list.length),
      ts: Float64Array.from(list, (each) => each.ts),
      step: Uint8Array.from(list, (each) => each.step),
      event: Float64Array.from(list, (each) => each.event),
    };
  }

  /** Adds a row of given events; `chunkRows` events a chunk, the last chunk open unless `sealed`. */
  row<Kind extends RowKind>(
    track: TrackId,
    kind: Kind,
    lane: number,
    events: readonly GivenEvent[],
    options: { readonly chunkRows?: number; readonly sealed?: boolean } = {},
  ): Row<Kind> {
    const size = options.chunkRows ?? CHUNK_ROWS;
    const chunks: Columns[] = [];
    for (let at = 0; at < events.length; at += size) {
      const part = events.slice(at, at + size);
      const isLast = at + size >= events.length;
      chunks.push(this.#chunk(part, kind, lane, !isLast || options.sealed === true, at));
    }
    return this.rowOfChunks(track, kind, lane, chunks);
  }

  /** Adds a row over ready-made chunks: how benchmarks get to 10 M events. */
  rowOfChunks<Kind extends RowKind>(
    track: TrackId,
    kind: Kind,
    lane: number,
    chunks: readonly Columns[],
  ): Row<Kind> {
    const typed = chunks as unknown as Row<Kind>["chunks"];
    const length = typed.reduce((sum, chunk) => sum + chunk.length, 0);
    const row: Row<Kind> = {
      id: this.rows.length,
      track,
      kind,
      lane,
      chunks: typed,
      length,
      generation: 0,
    };
    this.rows.push(row as unknown as AnyRow);
    this.length += length;
    this.version++;
    for (const chunk of typed) {
      if (chunk.length === 0) continue;
      const last = chunk.length - 1;
      const dur = durationAt(chunk, last);
      this.fromNs = Math.min(this.fromNs, chunk.ts[0]!) as Ns;
      this.toNs = Math.max(this.toNs, chunk.ts[last]! + (Number.isNaN(dur) ? 0 : dur)) as Ns;
    }
    return row;
  }

  #chunk(
    events: readonly GivenEvent[],
    kind: RowKind,
    lane: number,
    sealed: boolean,
    start: number,
  ): Columns {
    const n = events.length;
    const longDur = new Map<number, number>();
    const dur = new Uint32Array(n);
    for (const [i, event] of events.entries()) {
      const ns = event.dur ?? 0;
      if (ns >>> 0 === ns && ns !== DUR_ESCAPE) {
        dur[i] = ns;
        continue;
      }
      dur[i] = DUR_ESCAPE;
      if (!Number.isNaN(ns)) longDur.set(i, ns);
    }
    const hasId = kind === "slice" || kind === "instant";
    const id = new Uint32Array(n);
    for (let i = 0; hasId && i < n; i++)
      id[i] = this.#events.push({ row: this.rows.length, index: start + i }) - 1;
    const column = (pick: (event: GivenEvent) => number): Int32Array =>
      Int32Array.from(events, pick);
    return {
      length: n,
      sealed,
      ts: Float64Array.from(events, (event) => event.ts),
      dur,
      longDur,
      key: Uint32Array.from(events, (event) => this.#key(kind, event.key)),
      id,
      category: Uint32Array.from(events, (event) => this.strings.add(event.category ?? "")),
      args: column((event) => event.args ?? -1),
      depth: Uint16Array.from(events, (event) => event.depth ?? lane),
      type: Uint16Array.from(events, (event) => (event.type ?? -1) + 1),
      value: Float64Array.from(events, (event) => event.value ?? 0),
      weight: Float64Array.from(events, (event) => event.weight ?? 0),
      cpu: column((event) => event.cpu ?? -1),
      waker: column((event) => event.waker ?? -1),
      priority: column((event) => event.priority ?? 0),
      endState: Uint32Array.from(events, (event) => this.strings.add(event.endState ?? "")),
    };
  }
  #key(kind: RowKind, key: string | number | undefined): number {
    if (typeof key === "string") return this.strings.add(key);
    return kind === "sample" ? (key ?? -1) + 1 : (key ?? 0);
  }
}
