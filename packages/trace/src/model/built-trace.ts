/** The tables a builder fills, as the Trace that everyone else reads. */
import { Args } from "./args.ts";
import { Flows } from "./flows.ts";
import { Pending } from "./pending.ts";
import { BuiltRow } from "./rows.ts";
import type {
  ClockDomain,
  ClockInfo,
  EventId,
  EventTypeId,
  EventTypeInfo,
  FrameInfo,
  Ns,
  Problem,
  TrackId,
  TrackInfo,
} from "./sink.ts";
import { Frames, Stacks } from "./stacks.ts";
import { StringTable } from "./strings.ts";
import type { AnyRow, LifeEvent, LogEntry, RowKind, ThreadLifetime, Trace } from "./trace.ts";

const UNKNOWN_CLOCK: ClockInfo = { domain: "unknown", originNs: 0n, errorNs: 0 };
/** Order of a track's rows. */
const KIND_ORDER: { readonly [Kind in RowKind]: number } = {
  sched: 0,
  thread_state: 0,
  slice: 1,
  instant: 2,
  counter: 3,
  sample: 4,
};

interface Life {
  name?: string;
  nameTs: number;
  startNs?: Ns;
  endNs?: Ns;
}

export class BuiltTrace implements Trace {
  clock: ClockInfo = UNKNOWN_CLOCK;
  readonly metadata: Map<string, string> = new Map();
  readonly strings: StringTable = new StringTable();
  readonly tracks: TrackInfo[] = [];
  readonly rows: AnyRow[] = [];
  readonly #frames = new Frames();
  readonly stacks: Stacks = new Stacks();
  readonly args: Args;
  readonly eventTypes: EventTypeInfo[] = [];
  readonly flows: Flows = new Flows();
  readonly lives: LifeEvent[] = [];
  readonly logs: LogEntry[] = [];
  readonly clockSnapshots: (readonly (readonly [ClockDomain, bigint])[])[] = [];
  fromNs: Ns = Infinity as Ns;
  toNs: Ns = -Infinity as Ns;
  version = 0;
  readonly #rowsOf: AnyRow[][] = [];
  readonly #lifeOf = new Map<TrackId, Life>();
  readonly #problems = new Map<string, Problem>();
  #problemList: readonly Problem[] = [];
  #problemsChanged = false;

  /** Switches, wake-ups, starts and exits as they were called, by time (sched.ts): what replaying needs. */
  schedCalls: Pending = new Pending();

  constructor(onArgsTooDeep: () => void) {
    this.args = new Args(this.strings, onArgsTooDeep);
  }

  get frames(): readonly FrameInfo[] {
    return this.#frames.list;
  }
  get frameTable(): Frames {
    return this.#frames;
  }

  #lengthVersion = -1;
  #length = 0;

  get length(): number {
    if (this.#lengthVersion === this.version) return this.#length;
    this.#lengthVersion = this.version;
    this.#length = 0;
    for (const row of this.rows) this.#length += row.length;
    return this.#length;
  }

  addTrack(info: TrackInfo): TrackId {
    this.#rowsOf.push([]);
    return (this.tracks.push({ ...info }) - 1) as TrackId;
  }

  addRow<Kind extends RowKind>(track: TrackId, kind: Kind, lane: number): BuiltRow<Kind> {
    const row = new BuiltRow(this.rows.length, track, kind, lane);
    const seen = row as unknown as AnyRow;
    this.rows.push(seen);
    const rows = this.#rowsOf[track]!;
    let at = rows.length;
    while (at > 0 && comesAfter(rows[at - 1]!, kind, lane)) at--;
    rows.splice(at, 0, seen);
    return row;
  }

  rowsOf(track: TrackId): readonly AnyRow[] {
    return this.#rowsOf[track] ?? [];
  }

  eventType(id: EventTypeId): EventTypeInfo {
    const type = this.eventTypes[id];
    if (type === undefined) throw new RangeError(`event type ${id} of ${this.eventTypes.length}`);
    return type;
  }

  trackName(track: TrackId): string {
    return this.#lifeOf.get(track)?.name ?? this.tracks[track]?.name ?? "";
  }

  lifetime(track: TrackId): ThreadLifetime {
    const { startNs, endNs } = this.#lifeOf.get(track) ?? {};
    return { ...(startNs !== undefined && { startNs }), ...(endNs !== undefined && { endNs }) };
  }

  /** Events may come in any order. */
  applyLife({ track, ts, what, detail }: LifeEvent): void {
    let life = this.#lifeOf.get(track);
    if (life === undefined) {
      life = { nameTs: -Infinity };
      this.#lifeOf.set(track, life);
    }
    if (what === "start") life.startNs = Math.min(ts, life.startNs ?? Infinity) as Ns;
    if (what === "exit") life.endNs = Math.max(ts, life.endNs ?? -Infinity) as Ns;
    const text = this.strings.get(detail);
    if (what === "exit" || text === "" || ts < life.nameTs) return;
    life.name = what === "exec" ? text.slice(text.lastIndexOf("/") + 1) : text;
    life.nameTs = ts;
  }

  get problems(): readonly Problem[] {
    if (this.#problemsChanged) {
      this.#problemList = [...this.#problems.values()];
      this.#problemsChanged = false;
    }
    return this.#problemList;
  }

  addProblem(problem: Problem): void {
    this.setProblem(`#${this.#problems.size}`, problem);
  }

  /** One problem per key: a count that grows. */
  setProblem(key: string, problem: Problem | undefined): void {
    if (problem === undefined) this.#problems.delete(key);
    else this.#problems.set(key, problem);
    this.#problemsChanged = true;
    this.version++;
  }

  span(from: number, to: number): void {
    if (from < this.fromNs) this.fromNs = from as Ns;
    if (to > this.toNs) this.toNs = to as Ns;
  }

  #located: { readonly generation: number; length: number }[] = [];
  #rowOfEvent = new Int32Array(0);
  #indexOfEvent = new Uint32Array(0);

  /** Built on the first call and extended as the trace grows: 8 bytes an event for those who ask. */
  locate(event: EventId): { readonly row: number; readonly index: number } | undefined {
    this.#indexEvents();
    const row = this.#rowOfEvent[event] ?? -1;
    return row < 0 ? undefined : { row, index: this.#indexOfEvent[event]! };
  }

  #indexedVersion = -1;

  #indexEvents(): void {
    if (this.#indexedVersion === this.version) return;
    this.#indexedVersion = this.version;
    for (const row of this.rows) {
      if (row.kind !== "slice" && row.kind !== "instant") continue;
      const done = this.#located[row.id];
      let from = done !== undefined && done.generation === row.generation ? done.length : 0;
      for (; from < row.length; from++) {
        const chunk = row.chunks[from >>> 16]!;
        this.#note(chunk.id[from & 0xffff]!, row.id, from);
      }
      this.#located[row.id] = { generation: row.generation, length: row.length };
    }
  }

  #note(event: number, row: number, index: number): void {
    if (event >= this.#rowOfEvent.length) {
      const size = Math.max(1024, 2 ** Math.ceil(Math.log2(event + 1)));
      const rows = new Int32Array(size).fill(-1);
      rows.set(this.#rowOfEvent);
      this.#rowOfEvent = rows;
      const indices = new Uint32Array(size);
      indices.set(this.#indexOfEvent);
      this.#indexOfEvent = indices;
    }
    this.#rowOfEvent[event] = row;
    this.#indexOfEvent[event] = index;
  }
}

function comesAfter(row: AnyRow, kind: RowKind, lane: number): boolean {
  return KIND_ORDER[row.kind] > KIND_ORDER[kind] || (row.kind === kind && row.lane > lane);
}
