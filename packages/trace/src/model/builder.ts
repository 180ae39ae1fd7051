/**
 * Builds a Trace from the calls of a sink.
 *
 *     calls ─► pending columns of the track ── watermark ──► sort · pair · nest · bind ─► rows
 *
 * Events wait in raw columns until the watermark passes them (strictly: what has the watermark's own time waits on,
 * its ties may still follow); nesting and scheduling then go on from where the last watermark left them. What comes
 * later than that is kept: its part of the trace is taken apart and built again, with the same event ids.
 */
import { BuiltTrace } from "./built-trace.ts";
import { COUNTER, type FlatColumns, type FlatKind, FlatTarget, INSTANT, SAMPLE } from "./flat.ts";
import {
  BEGIN,
  END,
  FLOW_ENCLOSING,
  FLOW_NEXT,
  MAX_LANES,
  Nest,
  type NestHost,
  orderSliceTies,
} from "./nest.ts";
import type { Pending } from "./pending.ts";
import { Sched, type SchedHost, THREAD_EXIT, THREAD_START, WAKING } from "./sched.ts";
import {
  type ArgSetId,
  type ArgsBuilder,
  type ClockDomain,
  type ClockInfo,
  EMPTY_STRING,
  type EventTypeId,
  type EventTypeInfo,
  type FlowBind,
  type FlowStep,
  type FrameId,
  type FrameInfo,
  type LifeKind,
  type LogLevel,
  type Ns,
  type Problem,
  type ProblemKind,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "./sink.ts";
import { SortedList } from "./sorted-list.ts";
import { Stream } from "./stream.ts";
import type { LifeEvent, LogEntry, Trace } from "./trace.ts";
import { FLOW_STEPS } from "./words.ts";

/** What one track's events wait in; made when the first of a kind comes. */
interface TrackStreams {
  readonly id: TrackId;
  slices: Stream | undefined;
  nest: Nest | undefined;
  instants: Stream | undefined;
  counters: Stream | undefined;
  samples: Stream | undefined;
  /** The slice or instant recorded last: what a flow's bind "last" means. −1 none. */
  lastEvent: number;
}

/** A track costs some kB, whatever is on it: a file of millions would fill the memory before anything is seen. */
export const MAX_TRACKS: number = 2 ** 18;

export interface TraceBuilderOptions {
  /**
   * The trace is watched while it grows: it reaches to the watermark, even when nothing happened since the last event,
   * so that what is open lasts until now.
   */
  readonly live?: boolean;
}

/** The trace is larger than can be held; shown to the user as it is. */
export class TraceLimitError extends Error {
  override readonly name = "TraceLimitError";
}

/** Lower than any time: nothing is late yet. Times must be finite. */
const NOTHING_PASSED = -Number.MAX_VALUE;

export class TraceBuilder implements TraceSink {
  readonly args: ArgsBuilder;
  readonly #trace: BuiltTrace;
  readonly #streams: TrackStreams[] = [];
  readonly #waiting: Stream[] = [];
  readonly #sched: Stream;
  readonly #schedTarget: Sched;
  readonly #lives: SortedList<LifeEvent>;
  readonly #logs: SortedList<LogEntry>;
  readonly #counted = new Map<string, Counted>();
  readonly #nestHost: NestHost;
  #nextEvent = 0;
  #passed = NOTHING_PASSED;
  #closed = false;
  readonly #live: boolean;

  constructor(options: TraceBuilderOptions = {}) {
    this.#live = options.live ?? false;
    const trace = new BuiltTrace(() =>
      this.#count("malformed", "arguments nested deeper than 64 levels were left out", NaN),
    );
    this.#trace = trace;
    this.args = trace.args;
    this.#lives = new SortedList(trace.lives);
    this.#logs = new SortedList(trace.logs);
    const schedHost: SchedHost = {
      schedRow: (cpu) => trace.addRow(cpu, "sched", 0),
      stateRow: (thread) => trace.addRow(thread, "thread_state", 0),
      cpuNumber: (cpu) => trace.tracks[cpu]?.cpu ?? -1,
      span: (from, to) => trace.span(from, to),
    };
    this.#schedTarget = new Sched(schedHost, trace.strings);
    this.#sched = new Stream(this.#schedTarget, undefined);
    this.#nestHost = {
      lane: (track, lane) => trace.addRow(track, "slice", lane),
      mergeArgs: (begin, end) => trace.args.merge(begin as ArgSetId, end as ArgSetId),
      bindFlow: (flow, event) => {
        trace.flows.event[flow] = event;
      },
      flowTs: (flow) => trace.flows.ts[flow]!,
      unmatchedEnds: (track, count, firstTs) =>
        trace.setProblem(
          `unmatched-end ${track}`,
          count > 0
            ? {
                kind: "unmatched-end",
                message: `${plural(count, "end")} without a begin on ${trackText(trace, track)}`,
                count,
                from: firstTs as Ns,
              }
            : undefined,
        ),
      tooDeep: (track, count, ts) =>
        trace.setProblem(`too deep ${track}`, {
          kind: "unsupported",
          message: `${plural(count, "slice")} in more than ${MAX_LANES} lanes left out on ${trackText(trace, track)}`,
          count,
          to: ts as Ns,
        }),
      span: (from, to) => trace.span(from, to),
    };
  }

  /** Grows with every watermark; whole after `close`. */
  get trace(): Trace {
    return this.#trace;
  }

  // --- declarations ---

  clock(clock: ClockInfo): void {
    this.#trace.clock = { ...clock };
    this.#trace.version++;
  }
  clockSnapshot(readings: readonly (readonly [ClockDomain, bigint])[]): void {
    this.#trace.clockSnapshots.push(readings.map(([domain, ns]) => [domain, ns] as const));
    this.#trace.version++;
  }
  metadata(key: string, value: string): void {
    this.#trace.metadata.set(key, value);
    this.#trace.version++;
  }
  string(text: string): StringId {
    return this.#trace.strings.intern(text);
  }
  track(info: TrackInfo): TrackId {
    if (info.parent !== undefined) this.#of(info.parent);
    if (this.#streams.length >= MAX_TRACKS)
      throw new TraceLimitError(
        `the trace has more than ${MAX_TRACKS} tracks (threads, processes, counters …), more than kymo can show`,
      );
    const id = this.#trace.addTrack(info);
    this.#streams.push({
      id,
      slices: undefined,
      nest: undefined,
      instants: undefined,
      counters: undefined,
      samples: undefined,
      lastEvent: -1,
    });
    this.#trace.version++;
    return id;
  }
  eventType(info: EventTypeInfo): EventTypeId {
    this.#trace.version++;
    const fields = info.fields.map((field) => ({ ...field }));
    return (this.#trace.eventTypes.push({ name: info.name, fields }) - 1) as EventTypeId;
  }
  frame(info: FrameInfo): FrameId {
    return this.#trace.frameTable.intern(info);
  }
  stack(parent: StackId, frame: FrameId): StackId {
    if (!(frame >= 0 && frame < this.#trace.frames.length))
      throw new RangeError(`frame ${frame} of ${this.#trace.frames.length}`);
    return this.#trace.stacks.intern(parent, frame);
  }

  // --- events ---

  begin(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    const of = this.#of(track);
    const stream = of.slices ?? this.#sliceStream(of);
    const id = this.#nextEvent++;
    of.lastEvent = id;
    this.#pending(stream, ts)?.append(ts, BEGIN, id, name, category, args, false);
  }

  end(track: TrackId, ts: Ns, args: ArgSetId): void {
    const of = this.#of(track);
    const stream = of.slices ?? this.#sliceStream(of);
    this.#pending(stream, ts)?.append(ts, END, 0, 0, 0, args, false);
  }

  slice(track: TrackId, ts: Ns, dur: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    const of = this.#of(track);
    const stream = of.slices ?? this.#sliceStream(of);
    const id = this.#nextEvent++;
    of.lastEvent = id;
    let length: number = dur;
    if (!(dur >= 0 && dur < Infinity)) {
      if (dur < 0) {
        this.#count("malformed", "slices with a negative duration (taken as 0)", ts);
        length = 0;
      } else length = NaN;
    }
    this.#pending(stream, ts)?.append(ts, length, id, name, category, args, true);
  }

  instant(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.#instant(track, ts, 0, name, category, args);
  }

  typed(type: EventTypeId, track: TrackId, ts: Ns, args: ArgSetId): void {
    const name = this.#trace.strings.intern(this.#trace.eventType(type).name);
    this.#instant(track, ts, type + 1, name, EMPTY_STRING, args);
  }

  #instant(
    track: TrackId,
    ts: Ns,
    type: number,
    name: StringId,
    category: StringId,
    args: ArgSetId,
  ): void {
    const of = this.#of(track);
    of.instants ??= this.#flatStream(track, "instant", INSTANT);
    const id = this.#nextEvent++;
    of.lastEvent = id;
    this.#pending(of.instants, ts)?.append(ts, type, id, name, category, args, false);
  }

  counter(track: TrackId, ts: Ns, value: number | bigint): void {
    const of = this.#of(track);
    of.counters ??= this.#flatStream(track, "counter", COUNTER);
    this.#pending(of.counters, ts)?.append(ts, Number(value), 0, 0, 0, 0, false);
  }

  sample(thread: TrackId, ts: Ns, stack: StackId, weight: number, cpu: number): void {
    const of = this.#of(thread);
    of.samples ??= this.#flatStream(thread, "sample", SAMPLE);
    this.#pending(of.samples, ts)?.append(ts, weight, 0, stack + 1, 0, cpu, false);
  }

  switch(
    cpu: TrackId,
    ts: Ns,
    previous: TrackId,
    state: StringId,
    next: TrackId,
    priority: number,
  ): void {
    this.#of(cpu);
    if (previous >= 0) this.#of(previous);
    if (next >= 0) this.#of(next);
    this.#pending(this.#sched, ts)?.append(ts, priority, cpu, previous, next, state, false);
  }

  waking(thread: TrackId, ts: Ns, waker: TrackId, targetCpu: number): void {
    this.#of(thread);
    if (waker >= 0) this.#of(waker);
    this.#pending(this.#sched, ts)?.append(ts, 0, thread, waker, targetCpu, WAKING, false);
  }

  life(thread: TrackId, ts: Ns, what: LifeKind, detail: StringId): void {
    this.#of(thread);
    const arrival = this.#arrival(ts);
    if (arrival === Arrival.never) return;
    this.#lives.add({ track: thread, ts, what, detail });
    if (what !== "exit" && what !== "start") return;
    const op = what === "exit" ? THREAD_EXIT : THREAD_START;
    const stream = this.#wait(this.#sched);
    // Asking for `late` makes it: all that was built would be built again.
    const events = arrival === Arrival.late ? stream.late : stream.pending;
    events.append(ts, 0, thread, -1, 0, op, false);
  }

  flow(id: bigint, track: TrackId, ts: Ns, step: FlowStep, bind: FlowBind): void {
    const of = this.#of(track);
    const { flows } = this.#trace;
    const event = bind === "last" ? of.lastEvent : -1;
    const index = flows.add(id, track, ts, FLOW_STEPS.indexOf(step), event);
    if (bind === "last") return;
    const stream = of.slices ?? this.#sliceStream(of);
    const what = bind === "next" ? FLOW_NEXT : FLOW_ENCLOSING;
    this.#pending(stream, ts)?.append(ts, what, index, 0, 0, 0, true);
  }

  log(track: TrackId, ts: Ns, level: LogLevel, message: StringId): void {
    this.#of(track);
    if (this.#arrival(ts) !== Arrival.never) this.#logs.add({ track, ts, level, message });
  }

  problem(problem: Problem): void {
    this.#trace.addProblem({ ...problem });
  }

  // --- progress ---

  watermark(ts: Ns): void {
    if (!(ts > this.#passed) || this.#closed) return;
    this.#passed = ts;
    this.#drain(ts, false);
    if (this.#live && ts < Infinity && this.#trace.fromNs < Infinity) {
      this.#trace.span(ts, ts);
      this.#trace.version++;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#drain(Infinity, true);
    this.#passed = Infinity;
    for (const of of this.#streams) {
      of.nest?.finish();
      of.nest = of.slices = of.instants = of.counters = of.samples = undefined;
    }
    this.#closed = true;
  }

  #drain(limit: number, final: boolean): void {
    const trace = this.#trace;
    let moved = 0;
    for (const stream of this.#waiting.splice(0)) {
      moved += stream.drain(limit, final);
      if (stream.isEmpty) stream.waiting = false;
      else this.#waiting.push(stream);
    }
    trace.schedCalls = this.#schedTarget.calls;
    const lives = this.#lives.drain(limit);
    for (const life of lives) trace.applyLife(life);
    moved += lives.length + this.#logs.drain(limit).length;
    for (const [key, counted] of this.#counted) {
      if (counted.reported === counted.count) continue;
      counted.reported = counted.count;
      const { kind, message, count, from, to } = counted;
      const span = Number.isFinite(from) && { from: from as Ns, to: to as Ns };
      trace.setProblem(key, { kind, message, count, ...span });
    }
    if (moved > 0) trace.version++;
  }

  // --- helpers of the calls above ---

  #of(track: TrackId): TrackStreams {
    const of = this.#streams[track];
    if (of === undefined) throw new RangeError(`track ${track} of ${this.#streams.length}`);
    return of;
  }

  #sliceStream(of: TrackStreams): Stream {
    of.nest = new Nest(of.id, this.#nestHost);
    of.slices = new Stream(of.nest, orderSliceTies);
    return of.slices;
  }

  #flatStream<Kind extends FlatKind>(
    track: TrackId,
    kind: Kind,
    columns: FlatColumns<Kind>,
  ): Stream {
    const span = (from: number, to: number) => this.#trace.span(from, to);
    return new Stream(new FlatTarget(this.#trace.addRow(track, kind, 0), columns, span), undefined);
  }

  /** Where an event at `ts` waits; undefined: it can't be kept. */
  #pending(stream: Stream, ts: number): Pending | undefined {
    if (ts >= this.#passed && ts < Infinity)
      return (stream.waiting ? stream : this.#wait(stream)).pending;
    return this.#arrival(ts) === Arrival.late ? this.#wait(stream).late : undefined;
  }

  #wait(stream: Stream): Stream {
    if (this.#closed) throw new Error("an event after close()");
    if (!stream.waiting) this.#waiting.push(stream);
    stream.waiting = true;
    return stream;
  }

  /** Counts what comes late or has no place in time. */
  #arrival(ts: number): Arrival {
    if (ts >= this.#passed && ts < Infinity) return Arrival.inTime;
    if (Number.isFinite(ts)) {
      this.#count("late", "events came after the watermark had passed them", ts);
      return Arrival.late;
    }
    this.#count("malformed", "events without a finite time were left out", NaN);
    return Arrival.never;
  }

  #count(kind: ProblemKind, message: string, ts: number): void {
    const key = `${kind} ${message}`;
    const counted = this.#counted.get(key);
    if (counted === undefined)
      this.#counted.set(key, { kind, message, count: 1, reported: 0, from: ts, to: ts });
    else {
      counted.count++;
      counted.from = Math.min(counted.from, ts);
      counted.to = Math.max(counted.to, ts);
    }
  }
}

/** Problems of one sort, reported as one with a count. */
interface Counted {
  readonly kind: ProblemKind;
  readonly message: string;
  count: number;
  /** The count that the trace's problem has. */
  reported: number;
  /** NaN: at no time. */
  from: number;
  to: number;
}

const Arrival = { inTime: 0, late: 1, never: 2 } as const;
type Arrival = (typeof Arrival)[keyof typeof Arrival];

/** A track as messages call it. */
function trackText(trace: BuiltTrace, id: TrackId): string {
  const name = trace.trackName(id);
  if (name !== "") return `track ${name}`;
  const { kind, tid, pid, cpu } = trace.tracks[id]!;
  return [kind, tid ?? pid ?? cpu].filter((part) => part !== undefined).join(" ");
}

function plural(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}
