/**
 * TrackEvents → slices, instants, counters, flows, logs; the legacy phases of Chrome's trace events too.
 *
 * In a kymo sequence a begin waits for the packet after it: an end that carries a name makes it a slice
 * recorded whole.
 */
import {
  type ArgSetId,
  type ClockDomain,
  EMPTY_STRING,
  type EventTypeId,
  type FlowStep,
  type LogLevel,
  NO_ARGS,
  NO_STACK,
  type Ns,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
} from "../../model/sink.ts";
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import { Annotations } from "./annotations.ts";
import type { ReaderContext } from "./context.ts";
import { CATEGORY_IID, KymoEvent, TYPE_CATEGORY_IID } from "./kymo.ts";
import { clockOf, KymoEvents } from "./kymo-events.ts";
import { LegacyEvents } from "./legacy-events.ts";
import type { Machine } from "./machine.ts";
import { EventType, LogMessage, LogPriority, TrackEvent } from "./records.ts";
import type { Sequence } from "./sequence.ts";
import type { Stacks } from "./stacks.ts";
import { TrackEventFields } from "./track-event-fields.ts";
import type { TrackEntry, TrackTable } from "./track-table.ts";

/** Flow ids remembered as begun: what makes a later one a step. */
const MAX_FLOWS = 1 << 20;
const NOT_DECLARED = -1 as EventTypeId;

type Flows = readonly (readonly [bigint, FlowStep])[];
const NO_FLOWS: Flows = [];
/** How an event is recorded: EventType's numbers, and a slice whose end never comes. */
const OPEN_SLICE = -1;

export class TrackEvents {
  private readonly context: ReaderContext;
  private readonly sink: TraceSink;
  private readonly tracks: TrackTable;
  private readonly stacks: Stacks;
  private readonly annotations: Annotations;
  private readonly kymo: KymoEvents;
  private readonly legacy: LegacyEvents;
  private readonly fields = new TrackEventFields();
  private readonly inner = new ProtoReader();
  private readonly begun = new Set<bigint>();

  // The begin that waits for its end.
  private waiting: TrackEntry | undefined;
  private waitingTs = 0 as Ns;
  private waitingName = EMPTY_STRING;
  private waitingCategory = EMPTY_STRING;
  private waitingArgs = NO_ARGS;
  private waitingIsOpen = false;
  private waitingFlows = NO_FLOWS;

  constructor(context: ReaderContext, tracks: TrackTable, stacks: Stacks) {
    this.context = context;
    this.sink = context.sink;
    this.tracks = tracks;
    this.stacks = stacks;
    this.annotations = new Annotations(context);
    this.kymo = new KymoEvents(context, tracks);
    this.legacy = new LegacyEvents(context);
  }

  /** Damage ended an event before its end. */
  abandon(): void {
    this.annotations.abandon();
  }

  /** Records a begin that waits for its end: another packet came. */
  flush(): void {
    const entry = this.waiting;
    if (entry === undefined) return;
    this.waiting = undefined;
    this.deliver(
      entry,
      this.tracks.known(entry),
      this.waitingIsOpen ? OPEN_SLICE : EventType.sliceBegin,
      this.waitingTs,
      this.waitingName,
      this.waitingCategory,
      this.waitingArgs,
      this.waitingFlows,
      NOT_DECLARED,
    );
  }

  /**
   * @param time       of the packet, ns since the clocks' base; undefined when it has none
   * @param legacyTime a time in µs on the monotonic clock, as ns since base
   */
  read(
    bytes: Uint8Array,
    from: number,
    to: number,
    time: number | undefined,
    sequence: Sequence,
    machine: Machine,
    legacyTime: (us: number) => number | undefined,
  ): void {
    const { fields } = this;
    fields.read(bytes, from, to, this.context);
    let at = time;
    if (fields.deltaUs !== undefined) {
      sequence.referenceUs += fields.deltaUs;
      at = legacyTime(sequence.referenceUs);
    } else if (fields.absoluteUs !== undefined) at = legacyTime(fields.absoluteUs);
    if (at === undefined) {
      this.context.count("malformed", "track events without a timestamp");
      return;
    }
    const ts = this.context.ns(at);
    let hasTrack = true;
    if (!fields.hasTrack) {
      ({ hasTrack } = sequence);
      fields.trackHigh = hasTrack ? sequence.trackHigh : 0;
      fields.trackLow = hasTrack ? sequence.trackLow : 0;
    }
    const entry = this.tracks.entry(fields.trackHigh, fields.trackLow);
    const { type } = fields;

    if (sequence.isKymo) {
      if (fields.categories[0] === CATEGORY_IID) {
        this.flush();
        this.kymoEvent(bytes, sequence, ts, entry);
        return;
      }
      if (type === EventType.sliceEnd && fields.nameIid !== 0 && this.wholeSlice(entry, ts)) return;
      this.flush();
    }

    const direct =
      !hasTrack && sequence.tid >= 0
        ? machine.thread(sequence.tid, at, "", sequence.pid).track
        : this.tracks.known(entry);
    if (fields.extraValues.length > 0 || fields.extraDoubles.length > 0)
      this.extraCounters(ts, sequence);

    if (type === EventType.counter) {
      this.counter(entry, direct, ts);
      return;
    }
    this.annotations.restart();
    const args = fields.annotations.length === 0 ? NO_ARGS : this.args(bytes, sequence);
    if (fields.legacyStart >= 0 && type === 0) {
      this.legacyEvent(bytes, entry, direct, ts, at, args, sequence, machine);
      return;
    }
    if (fields.logStart >= 0) this.log(bytes, sequence, ts, entry, direct);
    if (type === EventType.sliceEnd) {
      this.deliver(
        entry,
        direct,
        type,
        ts,
        EMPTY_STRING,
        EMPTY_STRING,
        args,
        NO_FLOWS,
        NOT_DECLARED,
      );
      return;
    }
    if (type !== EventType.sliceBegin && type !== EventType.instant) {
      this.context.count("unsupported", `track events of type ${type} are not read`);
      return;
    }
    const isBegin = type === EventType.sliceBegin;
    if (!isBegin && fields.logStart >= 0 && fields.nameIid === 0 && fields.name === undefined)
      return;
    const flows = this.flows(sequence);
    if (sequence.isKymo && !isBegin && fields.categories[0] === TYPE_CATEGORY_IID) {
      const declared = this.kymo.typeOf(sequence, fields.nameIid);
      if (declared !== undefined) {
        this.deliver(entry, direct, type, ts, EMPTY_STRING, EMPTY_STRING, args, flows, declared);
        return;
      }
    }
    const name = this.name(sequence, fields.nameIid);
    const category = this.category(sequence);
    if (isBegin && sequence.isKymo) {
      this.waiting = entry;
      this.waitingTs = ts;
      this.waitingName = name;
      this.waitingCategory = category;
      this.waitingArgs = args;
      this.waitingIsOpen = this.annotations.isOpen;
      this.waitingFlows = flows;
    } else this.deliver(entry, direct, type, ts, name, category, args, flows, NOT_DECLARED);
  }

  /** Whether this is the end of the begin that waits: then both were one slice. */
  private wholeSlice(entry: TrackEntry, ts: Ns): boolean {
    if (this.waiting !== entry || this.waitingIsOpen) return false;
    this.waiting = undefined;
    const track = this.tracks.now(entry);
    const begin = this.waitingTs;
    this.sink.slice(
      track,
      begin,
      (ts - begin) as Ns,
      this.waitingName,
      this.waitingCategory,
      this.waitingArgs,
    );
    this.emitFlows(track, begin, this.waitingFlows);
    return true;
  }

  // ── Recording ─────────────────────────────────────────────────────────────────────────────────

  /** Records an event on its track; where the track's descriptor has not come, when it does. */
  private deliver(
    entry: TrackEntry,
    direct: TrackId | undefined,
    kind: number,
    ts: Ns,
    name: StringId,
    category: StringId,
    args: ArgSetId,
    flows: Flows,
    declared: EventTypeId,
  ): void {
    if (direct === undefined) this.later(entry, kind, ts, name, category, args, flows, declared);
    else this.emit(direct, kind, ts, name, category, args, flows, declared);
  }

  /** Apart from `deliver`: its closure would cost every event an allocation. */
  private later(
    entry: TrackEntry,
    kind: number,
    ts: Ns,
    name: StringId,
    category: StringId,
    args: ArgSetId,
    flows: Flows,
    declared: EventTypeId,
  ): void {
    this.tracks.use(entry, (track) =>
      this.emit(track, kind, ts, name, category, args, flows, declared),
    );
  }

  private emit(
    track: TrackId,
    kind: number,
    ts: Ns,
    name: StringId,
    category: StringId,
    args: ArgSetId,
    flows: Flows,
    declared: EventTypeId,
  ): void {
    if (kind === EventType.sliceEnd) this.sink.end(track, ts, args);
    else if (kind === EventType.sliceBegin) this.sink.begin(track, ts, name, category, args);
    else if (kind === OPEN_SLICE) this.sink.slice(track, ts, NaN as Ns, name, category, args);
    else if (declared !== NOT_DECLARED) this.sink.typed(declared, track, ts, args);
    else this.sink.instant(track, ts, name, category, args);
    if (flows.length > 0) this.emitFlows(track, ts, flows);
  }

  private emitFlows(track: TrackId, ts: Ns, flows: Flows): void {
    for (const [id, step] of flows) this.sink.flow(id, track, ts, step, "last");
  }

  private counter(entry: TrackEntry, direct: TrackId | undefined, ts: Ns): void {
    const { value } = this.fields;
    if (value === undefined) this.context.count("malformed", "counter events without a value");
    else if (direct !== undefined) this.sink.counter(direct, ts, counterValue(entry, value));
    else
      this.tracks.use(entry, (track) => this.sink.counter(track, ts, counterValue(entry, value)));
  }

  private extraCounters(ts: Ns, sequence: Sequence): void {
    const { extraValues, extraUuids, extraDoubles, extraDoubleUuids } = this.fields;
    this.extra(ts, extraValues, extraUuids, sequence.extraCounters);
    this.extra(ts, extraDoubles, extraDoubleUuids, sequence.extraDoubleCounters);
  }
  private extra(
    ts: Ns,
    values: readonly number[],
    uuids: readonly bigint[],
    defaults: readonly bigint[],
  ): void {
    const of = uuids.length > 0 ? uuids : defaults;
    values.forEach((value, i) => {
      const uuid = of[i];
      if (uuid === undefined) {
        this.context.count("malformed", "extra counter values without a track");
        return;
      }
      const entry = this.tracks.of(uuid);
      this.tracks.use(entry, (track) => this.sink.counter(track, ts, counterValue(entry, value)));
    });
  }

  private legacyEvent(
    bytes: Uint8Array,
    entry: TrackEntry,
    direct: TrackId | undefined,
    ts: Ns,
    at: number,
    args: ArgSetId,
    sequence: Sequence,
    machine: Machine,
  ): void {
    const { fields } = this;
    const iidOr = (iid: number): number => (fields.nameIid !== 0 ? fields.nameIid : iid);
    this.legacy.read({
      bytes,
      from: fields.legacyStart,
      to: fields.legacyStop,
      ts,
      at,
      name: (iid) => this.name(sequence, iidOr(iid)),
      nameText: (iid) => fields.name ?? this.context.textOf(sequence.names.get(iidOr(iid))),
      category: this.category(sequence),
      args,
      pid: sequence.pid,
      tid: sequence.tid,
      machine,
      record: (use) => {
        if (direct !== undefined) use(direct);
        else this.tracks.use(entry, use);
      },
    });
  }

  private log(
    bytes: Uint8Array,
    sequence: Sequence,
    ts: Ns,
    entry: TrackEntry,
    direct: TrackId | undefined,
  ): void {
    const log = this.inner.over(bytes, this.fields.logStart, this.fields.logStop);
    let body = 0;
    let priority = 0;
    while (log.next())
      if (log.field === LogMessage.bodyIid) body = log.number();
      else if (log.field === LogMessage.prio) priority = log.number();
    const message = this.context.defined(sequence.logTexts.get(body), "log messages");
    const level = logLevel(priority);
    if (direct !== undefined) this.sink.log(direct, ts, level, message);
    else this.tracks.use(entry, (track) => this.sink.log(track, ts, level, message));
  }

  // ── Fields ────────────────────────────────────────────────────────────────────────────────────

  private args(bytes: Uint8Array, sequence: Sequence): ArgSetId {
    const ranges = this.fields.annotations;
    let any = false;
    for (let i = 0; i < ranges.length; i += 2)
      if (this.annotations.add(sequence, bytes, ranges[i]!, ranges[i + 1]!)) any = true;
    return any ? this.annotations.done() : NO_ARGS;
  }

  private name(sequence: Sequence, iid: number): StringId {
    const { name } = this.fields;
    if (name !== undefined) return this.sink.string(name);
    return iid === 0 ? EMPTY_STRING : this.context.defined(sequence.names.get(iid), "event names");
  }

  private category(sequence: Sequence): StringId {
    const { categories, categoryTexts } = this.fields;
    if (categoryTexts.length === 0) {
      if (categories.length === 0) return EMPTY_STRING;
      if (categories.length === 1)
        return this.context.defined(sequence.categories.get(categories[0]!), "categories");
    }
    const texts = categories.map((iid) => this.context.textOf(sequence.categories.get(iid)));
    return this.sink.string([...texts, ...categoryTexts].join(","));
  }

  private flows(sequence: Sequence): Flows {
    const { flowIds, endedFlows } = this.fields;
    if (flowIds.length === 0 && endedFlows.length === 0) return NO_FLOWS;
    const steps = this.annotations.flowSteps;
    const flows: [bigint, FlowStep][] = flowIds.map((id, i) => {
      if (sequence.isKymo) return [id, (steps >> BigInt(i)) & 1n ? "step" : "start"];
      const isStep = this.begun.has(id);
      if (!isStep && this.begun.size < MAX_FLOWS) this.begun.add(id);
      return [id, isStep ? "step" : "start"];
    });
    for (const id of endedFlows) {
      this.begun.delete(id);
      flows.push([id, "end"]);
    }
    return flows;
  }

  // ── kymo's own events ─────────────────────────────────────────────────────────────────────────

  private kymoEvent(bytes: Uint8Array, sequence: Sequence, ts: Ns, entry: TrackEntry): void {
    const { nameIid, stackIid, flowIds, endedFlows, annotations } = this.fields;
    const values = new Map<string, number | bigint | string | boolean>();
    for (let i = 0; i < annotations.length; i += 2)
      this.annotations.plain(sequence, bytes, annotations[i]!, annotations[i + 1]!, values);
    const stack: StackId = stackIid < 0 ? NO_STACK : this.stacks.stack(sequence, stackIid);
    this.kymo.read(
      {
        name: this.context.textOf(sequence.names.get(nameIid)),
        fields: values,
        ts,
        track: () => this.tracks.now(entry),
        stack,
        flows: [...flowIds, ...endedFlows],
      },
      sequence,
    );
  }

  /** What kymo's own event "trace" says of the clock; undefined for any other event. */
  traceEvent(
    sequence: Sequence,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): { domain: ClockDomain; originNs: bigint; errorNs: number } | undefined {
    const event = this.inner.over(bytes, from, to);
    const values = new Map<string, number | bigint | string | boolean>();
    let name = "";
    while (event.next())
      if (event.field === TrackEvent.nameIid)
        name = this.context.textOf(sequence.names.get(event.number()));
      else if (event.field === TrackEvent.debugAnnotations)
        this.annotations.plain(sequence, bytes, event.start, event.stop, values);
    return name === KymoEvent.trace ? clockOf(values) : undefined;
  }
}

function counterValue(entry: TrackEntry, value: number | bigint): number | bigint {
  if (!entry.isIncremental && entry.multiplier === 1) return value;
  const scaled = Number(value) * entry.multiplier;
  if (!entry.isIncremental) return scaled;
  entry.value += scaled;
  return entry.value;
}

function logLevel(priority: number): LogLevel {
  if (priority >= LogPriority.error) return "error";
  if (priority === LogPriority.warning) return "warning";
  return priority === LogPriority.info || priority === 0 ? "info" : "debug";
}
