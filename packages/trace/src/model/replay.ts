/**
 * Trace → calls of a sink: what `convert` does with a trace that is already built.
 *
 *     rows, lives, logs ─► cursors ─► heap by time ─► begin, end, instant, switch, … with a watermark now and then
 *
 * Building the calls again gives an equal trace. Problems and unbound flows come first; every other flow follows its
 * event, bound by "last".
 */
import { BuiltTrace } from "./built-trace.ts";
import { type Cursor, Heap } from "./heap.ts";
import type { Pending } from "./pending.ts";
import type { OpenChunk } from "./rows.ts";
import { WAKING } from "./sched.ts";
import {
  type ArgSetId,
  type EventTypeId,
  type FrameId,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  RECENT_ARG_SETS,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
} from "./sink.ts";
import { SliceCursor } from "./slice-calls.ts";
import { type AnyRow, type Chunk, durationAt, type Row, type Trace } from "./trace.ts";
import { FLOW_STEPS } from "./words.ts";

/** Writers put out their bytes at watermarks. */
const CALLS_PER_WATERMARK = 8192;

/** Something to replay; `call` makes one call and sets `ts` to the time of the next, Infinity at the end. */
interface Player extends Cursor {
  call(): void;
}

/**
 * Replays a whole trace, watermark at the end included; does not close the sink.
 *
 * @throws TypeError when the trace is not a TraceBuilder's: only that remembers how it was made
 */
export function replayTrace(trace: Trace, sink: TraceSink): void {
  if (!(trace instanceof BuiltTrace))
    throw new TypeError("replayTrace takes a TraceBuilder's trace");
  const ids = new Ids(trace, sink);
  declare(trace, sink, ids);
  const heap = new Heap<Player>();
  for (const player of players(trace, sink, ids)) if (player.ts < Infinity) heap.push(player);
  let calls = 0;
  for (let player = heap.first; player !== undefined; player = heap.first) {
    if (++calls % CALLS_PER_WATERMARK === 0) sink.watermark(player.ts as Ns);
    player.call();
    if (player.ts < Infinity) heap.settle();
    else heap.shift();
  }
  sink.watermark(Infinity as Ns);
}

/** The sink's ids of what the trace has, declared when first used. */
class Ids {
  readonly tracks: TrackId[] = [];
  readonly types: EventTypeId[] = [];
  readonly #trace: BuiltTrace;
  readonly #sink: TraceSink;
  readonly #strings: StringId[] = [];
  readonly #frames: FrameId[] = [];
  readonly #stacks: StackId[] = [];
  readonly #args: Map<number, ArgSetId> = new Map();

  constructor(trace: BuiltTrace, sink: TraceSink) {
    this.#trace = trace;
    this.#sink = sink;
  }

  string = (id: number): StringId => {
    const known = this.#strings[id];
    if (known !== undefined) return known;
    const made = this.#sink.string(this.#trace.strings.get(id as StringId));
    this.#strings[id] = made;
    return made;
  };

  track(id: number): TrackId {
    return id < 0 ? NO_TRACK : this.tracks[id]!;
  }

  stack(id: number): StackId {
    if (id < 0) return NO_STACK;
    const { parent, frame } = this.#trace.stacks;
    const missing: number[] = [];
    let at = id;
    for (; at >= 0 && this.#stacks[at] === undefined; at = parent[at]!) missing.push(at);
    let made = at < 0 ? NO_STACK : this.#stacks[at]!;
    for (const node of missing.reverse()) {
      const index = frame[node]!;
      this.#frames[index] ??= this.#sink.frame(this.#trace.frames[index]!);
      made = this.#sink.stack(made, this.#frames[index]);
      this.#stacks[node] = made;
    }
    return made;
  }

  args(set: number): ArgSetId {
    if (set < 0) return NO_ARGS;
    const known = this.#args.get(set);
    if (known !== undefined) return known;
    const made = this.#trace.args.replay(set as ArgSetId, this.#sink.args, this.string);
    // Sinks forget old sets: what is used again later is built again.
    if (this.#args.size >= RECENT_ARG_SETS / 2) this.#args.clear();
    this.#args.set(set, made);
    return made;
  }
}

/** Everything that has no place in time, and the flows that found no event. */
function declare(trace: BuiltTrace, sink: TraceSink, ids: Ids): void {
  sink.clock(trace.clock);
  for (const readings of trace.clockSnapshots) sink.clockSnapshot(readings);
  for (const [key, value] of trace.metadata) sink.metadata(key, value);
  for (const info of trace.tracks) {
    const { parent } = info;
    const mapped = parent === undefined ? info : { ...info, parent: ids.track(parent) };
    ids.tracks.push(sink.track(mapped));
  }
  for (const type of trace.eventTypes) ids.types.push(sink.eventType(type));
  for (const problem of trace.problems) sink.problem(problem);
  const { flows } = trace;
  for (let i = 0; i < flows.length; i++) if (flows.event[i]! < 0) playFlow(trace, sink, ids, i);
}

function playFlow(trace: BuiltTrace, sink: TraceSink, ids: Ids, i: number): void {
  const { id, track, ts, step } = trace.flows;
  sink.flow(id[i]!, ids.track(track[i]!), ts[i]! as Ns, FLOW_STEPS[step[i]!]!, "last");
}

/** At equal times: lives, scheduling, slices and other rows, logs. */
function players(trace: BuiltTrace, sink: TraceSink, ids: Ids): Player[] {
  const flows = new FlowsByEvent(trace, sink, ids);
  const all: Player[] = [];
  const next = () => all.length;
  const { lives, logs } = trace;
  all.push(
    new ListPlayer(next(), lives, ({ track, ts, what, detail }) =>
      sink.life(ids.track(track), ts, what, ids.string(detail)),
    ),
    new SchedPlayer(next() + 1, trace.schedCalls, sink, ids),
  );
  for (const track of trace.tracks.keys()) {
    const rows = trace.rowsOf(track as TrackId);
    const slices = rows.filter((row) => row.kind === "slice");
    if (slices.length > 0) all.push(new SlicePlayer(next(), slices, sink, ids, flows));
    for (const row of rows) {
      const call = flatCall(row, sink, ids, flows);
      if (call !== undefined) all.push(new RowPlayer(next(), row, call));
    }
  }
  all.push(
    new ListPlayer(next(), logs, ({ track, ts, level, message }) =>
      sink.log(ids.track(track), ts, level, ids.string(message)),
    ),
  );
  return all;
}

class FlowsByEvent {
  readonly #byEvent = new Map<number, number[]>();
  readonly #play: (flow: number) => void;

  constructor(trace: BuiltTrace, sink: TraceSink, ids: Ids) {
    this.#play = (flow) => playFlow(trace, sink, ids, flow);
    const { flows } = trace;
    for (let i = 0; i < flows.length; i++) {
      const event = flows.event[i]!;
      if (event < 0) continue;
      const list = this.#byEvent.get(event);
      if (list === undefined) this.#byEvent.set(event, [i]);
      else list.push(i);
    }
  }

  play(event: number): void {
    if (this.#byEvent.size === 0) return;
    for (const flow of this.#byEvent.get(event) ?? []) this.#play(flow);
  }
}

class ListPlayer<T extends { readonly ts: number }> implements Player {
  ts: number;
  readonly rank: number;
  readonly #list: readonly T[];
  readonly #play: (event: T) => void;
  #at = 0;

  constructor(rank: number, list: readonly T[], play: (event: T) => void) {
    this.rank = rank;
    this.#list = list;
    this.#play = play;
    this.ts = list[0]?.ts ?? Infinity;
  }

  call(): void {
    this.#play(this.#list[this.#at++]!);
    this.ts = this.#list[this.#at]?.ts ?? Infinity;
  }
}

/** Switches and wake-ups as they were called; thread starts and exits are among the lives. */
class SchedPlayer implements Player {
  ts = -Infinity;
  readonly rank: number;
  readonly #next: () => boolean;
  readonly #play: () => void;

  constructor(rank: number, calls: Pending, sink: TraceSink, ids: Ids) {
    this.rank = rank;
    const blocks = calls.blocks();
    let block = blocks.shift();
    let i = -1;
    this.#next = () => {
      while (block !== undefined) {
        if (++i >= block.length) {
          block = blocks.shift();
          i = -1;
        } else if (block.d[i]! >= WAKING) {
          this.ts = block.ts[i]!;
          return true;
        }
      }
      this.ts = Infinity;
      return false;
    };
    this.#play = () => {
      const { ts, value, a, b, c, d } = block!;
      const [at, first] = [ts[i]! as Ns, ids.track(a[i]!)];
      if (d[i] === WAKING) sink.waking(first, at, ids.track(b[i]!), c[i]!);
      else {
        const [previous, next] = [ids.track(b[i]!), ids.track(c[i]!)];
        sink.switch(first, at, previous, ids.string(d[i]!), next, value[i]!);
      }
    };
    this.#next();
  }

  call(): void {
    this.#play();
    this.#next();
  }
}

class SlicePlayer implements Player {
  readonly rank: number;
  readonly #cursor: SliceCursor;
  readonly #start: (chunk: OpenChunk<"slice">, i: number, begun: boolean) => void;
  readonly #end: (ts: number) => void;

  constructor(
    rank: number,
    rows: readonly Row<"slice">[],
    sink: TraceSink,
    ids: Ids,
    flows: FlowsByEvent,
  ) {
    this.rank = rank;
    this.#cursor = new SliceCursor(rows, rank);
    const track = ids.track(rows[0]!.track);
    this.#start = (chunk, i, begun) => {
      const ts = chunk.ts[i]! as Ns;
      const [name, category] = [ids.string(chunk.key[i]!), ids.string(chunk.category[i]!)];
      const args = ids.args(chunk.args[i]!);
      if (begun) sink.begin(track, ts, name, category, args);
      else sink.slice(track, ts, durationAt(chunk, i) as Ns, name, category, args);
      flows.play(chunk.id[i]!);
    };
    this.#end = (ts) => sink.end(track, ts as Ns, NO_ARGS);
  }

  get ts(): number {
    return this.#cursor.ts;
  }
  call(): void {
    this.#cursor.call(this.#start, this.#end);
  }
}

/** A row without nesting, event by event. */
class RowPlayer implements Player {
  ts: number;
  readonly rank: number;
  readonly #chunks: readonly Chunk[];
  readonly #play: (chunk: never, i: number) => void;
  #chunk = 0;
  #index = 0;

  constructor(rank: number, row: AnyRow, play: (chunk: never, i: number) => void) {
    this.rank = rank;
    this.#chunks = row.chunks;
    this.#play = play;
    this.ts = row.length > 0 ? row.chunks[0]!.ts[0]! : Infinity;
  }

  call(): void {
    const chunk = this.#chunks[this.#chunk]!;
    this.#play(chunk as never, this.#index);
    if (++this.#index >= chunk.length) {
      this.#chunk++;
      this.#index = 0;
    }
    const next = this.#chunks[this.#chunk];
    this.ts = next === undefined || next.length === 0 ? Infinity : next.ts[this.#index]!;
  }
}

/** The call for one event of a row of instants, counters or samples; undefined for other kinds. */
function flatCall(
  row: AnyRow,
  sink: TraceSink,
  ids: Ids,
  flows: FlowsByEvent,
): ((chunk: never, i: number) => void) | undefined {
  const track = ids.track(row.track);
  if (row.kind === "instant")
    return ({ ts, key, category, args, type, id }: (typeof row.chunks)[0], i: number) => {
      const [at, set] = [ts[i]! as Ns, ids.args(args[i]!)];
      if (type[i]! > 0) sink.typed(ids.types[type[i]! - 1] as EventTypeId, track, at, set);
      else sink.instant(track, at, ids.string(key[i]!), ids.string(category[i]!), set);
      flows.play(id[i]!);
    };
  if (row.kind === "counter")
    return ({ ts, value }: (typeof row.chunks)[0], i: number) =>
      sink.counter(track, ts[i]! as Ns, value[i]!);
  if (row.kind === "sample")
    return ({ ts, key, weight, cpu }: (typeof row.chunks)[0], i: number) =>
      sink.sample(track, ts[i]! as Ns, ids.stack(key[i]! - 1), weight[i]!, cpu[i]!);
  return undefined;
}
