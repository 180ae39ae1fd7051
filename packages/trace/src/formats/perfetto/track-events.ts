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
  type FlowStep,
  type LogLevel,
  NO_ARGS,
  NO_STACK,
  type Ns,
  type StackId,
  type StringId,
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
import type { TrackEntry, TrackTable } from "./track-table.ts";

/** Flow ids remembered as begun: what makes a later one a step. */
const MAX_FLOWS = 1 << 20;
const MAX_FLOWS_OF_EVENT = 256;

interface WaitingBegin {
  readonly sequence: Sequence;
  readonly entry: TrackEntry;
  readonly ts: Ns;
  readonly name: StringId;
  readonly category: StringId;
  readonly args: ArgSetId;
  readonly isOpen: boolean;
  readonly flows: readonly [bigint, FlowStep][];
}

export class TrackEvents {
  private readonly context: ReaderContext;
  private readonly tracks: TrackTable;
  private readonly stacks: Stacks;
  private readonly annotations: Annotations;
  private readonly kymo: KymoEvents;
  private readonly legacy: LegacyEvents;
  private readonly event = new ProtoReader();
  private readonly inner = new ProtoReader();
  private readonly begun = new Set<bigint>();
  private waiting: WaitingBegin | undefined;

  // Fields of the event being read.
  private categories: number[] = [];
  private categoryTexts: string[] = [];
  private flowIds: bigint[] = [];
  private endedFlows: bigint[] = [];
  /** Starts and stops of annotations. */
  private annotationRanges: number[] = [];
  private extraUuids: bigint[] = [];
  private extraValues: number[] = [];
  private extraDoubleUuids: bigint[] = [];
  private extraDoubles: number[] = [];

  constructor(context: ReaderContext, tracks: TrackTable, stacks: Stacks) {
    this.context = context;
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
    const begin = this.waiting;
    if (begin === undefined) return;
    this.waiting = undefined;
    const { sink } = this.context;
    this.tracks.use(begin.entry, (track) => {
      if (begin.isOpen)
        sink.slice(track, begin.ts, NaN as Ns, begin.name, begin.category, begin.args);
      else sink.begin(track, begin.ts, begin.name, begin.category, begin.args);
      this.emitFlows(track, begin.ts, begin.flows);
    });
  }

  read(
    bytes: Uint8Array,
    from: number,
    to: number,
    time: number | undefined,
    sequence: Sequence,
    machine: Machine,
    legacyTime: (us: number) => number | undefined,
  ): void {
    const event = this.event.over(bytes, from, to);
    let type = 0;
    let hasTrack = sequence.hasTrack;
    let trackHigh = sequence.trackHigh;
    let trackLow = sequence.trackLow;
    let nameIid = 0;
    let name: string | undefined;
    let value: number | bigint | undefined;
    let stackIid = -1;
    let logStart = -1;
    let logStop = 0;
    let legacyStart = -1;
    let legacyStop = 0;
    let at = time;
    this.restart();
    while (event.next())
      switch (event.field) {
        case TrackEvent.type:
          type = event.low;
          break;
        case TrackEvent.trackUuid:
          hasTrack = true;
          trackHigh = event.high;
          trackLow = event.low;
          break;
        case TrackEvent.categoryIids:
          this.categories.push(event.number());
          break;
        case TrackEvent.categories:
          this.categoryTexts.push(event.text());
          break;
        case TrackEvent.nameIid:
          nameIid = event.number();
          break;
        case TrackEvent.name:
          name = event.text();
          break;
        case TrackEvent.counterValue:
          value = event.integer();
          break;
        case TrackEvent.doubleCounterValue:
          value = event.double();
          break;
        case TrackEvent.debugAnnotations:
          this.annotationRanges.push(event.start, event.stop);
          break;
        case TrackEvent.flowIds:
        case TrackEvent.flowIdsOld:
          if (this.flowIds.length < MAX_FLOWS_OF_EVENT) this.flowIds.push(event.unsigned());
          break;
        case TrackEvent.terminatingFlowIds:
        case TrackEvent.terminatingFlowIdsOld:
          if (this.endedFlows.length < MAX_FLOWS_OF_EVENT) this.endedFlows.push(event.unsigned());
          break;
        case TrackEvent.extraCounterTrackUuids:
          this.extraUuids.push(event.unsigned());
          break;
        case TrackEvent.extraCounterValues:
          this.extraValues.push(event.signed());
          break;
        case TrackEvent.extraDoubleCounterTrackUuids:
          this.extraDoubleUuids.push(event.unsigned());
          break;
        case TrackEvent.extraDoubleCounterValues:
          this.extraDoubles.push(event.double());
          break;
        case TrackEvent.callstackIid:
          stackIid = event.number();
          break;
        case TrackEvent.logMessage:
          logStart = event.start;
          logStop = event.stop;
          break;
        case TrackEvent.legacyEvent:
          legacyStart = event.start;
          legacyStop = event.stop;
          break;
        case TrackEvent.timestampDeltaUs:
          sequence.referenceUs += event.signed();
          at = legacyTime(sequence.referenceUs);
          break;
        case TrackEvent.timestampAbsoluteUs:
          at = legacyTime(event.signed());
          break;
        // Read along with the fields they go with, or of no use here.
        case TrackEvent.callstackWeight:
        case TrackEvent.threadTimeDeltaUs:
        case TrackEvent.threadTimeAbsoluteUs:
        case TrackEvent.threadInstructionCountDelta:
        case TrackEvent.threadInstructionCountAbsolute:
          break;
        default:
          this.context.count("unsupported", `track events' field ${event.field} is not read`);
      }
    if (at === undefined) {
      this.context.count("malformed", "track events without a timestamp");
      return;
    }
    const ts = this.context.ns(at);

    if (sequence.isKymo) {
      const category = this.categories[0];
      if (category === CATEGORY_IID) {
        this.flush();
        this.kymoEvent(bytes, sequence, ts, nameIid, stackIid, trackHigh, trackLow);
        return;
      }
      if (this.wholeSlice(type, nameIid, trackHigh, trackLow, ts)) return;
      this.flush();
    }

    const legacyThread =
      !hasTrack && sequence.tid >= 0
        ? machine.thread(sequence.tid, at, "", sequence.pid)
        : undefined;
    const entry = this.tracks.entry(hasTrack ? trackHigh : 0, hasTrack ? trackLow : 0);
    const record = (use: (track: TrackId) => void): void => {
      if (legacyThread !== undefined) use(legacyThread.track);
      else this.tracks.use(entry, use);
    };
    this.extraCounters(ts, sequence);

    if (type === EventType.counter) {
      if (value === undefined) this.context.count("malformed", "counter events without a value");
      else {
        const said = this.counterValue(entry, value);
        record((track) => this.context.sink.counter(track, ts, said));
      }
      return;
    }
    this.annotations.restart();
    const args = this.args(bytes, sequence);
    const { sink } = this.context;
    if (legacyStart >= 0 && type === 0) {
      const legacyName = (iid: number): StringId =>
        this.nameId(sequence, nameIid !== 0 ? nameIid : iid, name);
      this.legacy.read({
        bytes,
        from: legacyStart,
        to: legacyStop,
        ts,
        at,
        name: legacyName,
        nameText: (iid) => name ?? sequence.names.get(nameIid !== 0 ? nameIid : iid)?.text ?? "",
        category: this.category(sequence),
        args,
        pid: sequence.pid,
        tid: sequence.tid,
        machine,
        record,
      });
      return;
    }
    if (logStart >= 0) this.log(bytes, logStart, logStop, sequence, ts, record);
    if (type === EventType.sliceEnd) {
      record((track) => sink.end(track, ts, args));
      return;
    }
    const flows = this.flows(sequence, this.annotations.flowSteps);
    if (type === EventType.sliceBegin) {
      const begin: WaitingBegin = {
        sequence,
        entry,
        ts,
        name: this.nameId(sequence, nameIid, name),
        category: this.category(sequence),
        args,
        isOpen: this.annotations.isOpen,
        flows,
      };
      if (sequence.isKymo) this.waiting = begin;
      else
        record((track) => {
          sink.begin(track, ts, begin.name, begin.category, args);
          this.emitFlows(track, ts, flows);
        });
    } else if (type === EventType.instant) {
      if (logStart >= 0 && nameIid === 0 && name === undefined) return;
      if (sequence.isKymo && this.categories[0] === TYPE_CATEGORY_IID) {
        const declared = this.kymo.typeOf(sequence, nameIid);
        if (declared !== undefined) {
          record((track) => {
            sink.typed(declared, track, ts, args);
            this.emitFlows(track, ts, flows);
          });
          return;
        }
      }
      const id = this.nameId(sequence, nameIid, name);
      const category = this.category(sequence);
      record((track) => {
        sink.instant(track, ts, id, category, args);
        this.emitFlows(track, ts, flows);
      });
    } else this.context.count("unsupported", `track events of type ${type} are not read`);
  }

  /** Whether this is the end of the begin that waits: then both were one slice. */
  private wholeSlice(type: number, nameIid: number, high: number, low: number, ts: Ns): boolean {
    const begin = this.waiting;
    if (begin === undefined || type !== EventType.sliceEnd || nameIid === 0) return false;
    if (begin.isOpen || this.tracks.entry(high, low) !== begin.entry) return false;
    this.waiting = undefined;
    const { sink } = this.context;
    this.tracks.use(begin.entry, (track) => {
      const dur = (ts - begin.ts) as Ns;
      sink.slice(track, begin.ts, dur, begin.name, begin.category, begin.args);
      this.emitFlows(track, begin.ts, begin.flows);
    });
    return true;
  }

  /** Empties the lists of the event before. Most are empty: setting a length costs more than looking. */
  private restart(): void {
    if (this.categories.length > 0) this.categories.length = 0;
    if (this.annotationRanges.length > 0) this.annotationRanges.length = 0;
    if (this.flowIds.length > 0) this.flowIds.length = 0;
    if (this.endedFlows.length > 0) this.endedFlows.length = 0;
    if (this.categoryTexts.length > 0) this.categoryTexts.length = 0;
    if (this.extraUuids.length > 0) this.extraUuids.length = 0;
    if (this.extraValues.length > 0) this.extraValues.length = 0;
    if (this.extraDoubleUuids.length > 0) this.extraDoubleUuids.length = 0;
    if (this.extraDoubles.length > 0) this.extraDoubles.length = 0;
  }

  private kymoEvent(
    bytes: Uint8Array,
    sequence: Sequence,
    ts: Ns,
    nameIid: number,
    stackIid: number,
    high: number,
    low: number,
  ): void {
    const fields = new Map<string, number | bigint | string | boolean>();
    const { annotationRanges } = this;
    for (let i = 0; i < annotationRanges.length; i += 2)
      this.annotations.plain(
        sequence,
        bytes,
        annotationRanges[i]!,
        annotationRanges[i + 1]!,
        fields,
      );
    const stack: StackId = stackIid < 0 ? NO_STACK : this.stacks.stack(sequence, stackIid);
    this.kymo.read(
      {
        name: sequence.names.get(nameIid)?.text ?? "",
        fields,
        ts,
        track: () => this.tracks.now(this.tracks.entry(high, low)),
        stack,
        flows: [...this.flowIds, ...this.endedFlows],
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
    const event = this.event.over(bytes, from, to);
    const fields = new Map<string, number | bigint | string | boolean>();
    let name = "";
    while (event.next())
      if (event.field === TrackEvent.nameIid) name = sequence.names.get(event.number())?.text ?? "";
      else if (event.field === TrackEvent.debugAnnotations)
        this.annotations.plain(sequence, bytes, event.start, event.stop, fields);
    return name === KymoEvent.trace ? clockOf(fields) : undefined;
  }

  private args(bytes: Uint8Array, sequence: Sequence): ArgSetId {
    const { annotationRanges } = this;
    if (annotationRanges.length === 0) return NO_ARGS;
    let any = false;
    for (let i = 0; i < annotationRanges.length; i += 2)
      if (this.annotations.add(sequence, bytes, annotationRanges[i]!, annotationRanges[i + 1]!))
        any = true;
    return any ? this.annotations.done() : NO_ARGS;
  }

  private nameId(sequence: Sequence, iid: number, text: string | undefined): StringId {
    if (text !== undefined) return this.context.sink.string(text);
    return iid === 0 ? EMPTY_STRING : this.context.id(sequence.names.get(iid), "event names");
  }

  private category(sequence: Sequence): StringId {
    const { categories, categoryTexts } = this;
    if (categories.length === 0 && categoryTexts.length === 0) return EMPTY_STRING;
    if (categories.length === 1 && categoryTexts.length === 0)
      return this.context.id(sequence.categories.get(categories[0]!), "categories");
    const texts = categories.map((iid) => sequence.categories.get(iid)?.text ?? "?");
    return this.context.sink.string([...texts, ...categoryTexts].join(","));
  }

  private flows(sequence: Sequence, steps: bigint): readonly [bigint, FlowStep][] {
    if (this.flowIds.length === 0 && this.endedFlows.length === 0) return [];
    const flows: [bigint, FlowStep][] = this.flowIds.map((id, i) => {
      if (sequence.isKymo) return [id, (steps >> BigInt(i)) & 1n ? "step" : "start"];
      const isStep = this.begun.has(id);
      if (!isStep && this.begun.size < MAX_FLOWS) this.begun.add(id);
      return [id, isStep ? "step" : "start"];
    });
    for (const id of this.endedFlows) {
      this.begun.delete(id);
      flows.push([id, "end"]);
    }
    return flows;
  }

  private emitFlows(track: TrackId, ts: Ns, flows: readonly [bigint, FlowStep][]): void {
    for (const [id, step] of flows) this.context.sink.flow(id, track, ts, step, "last");
  }

  private log(
    bytes: Uint8Array,
    from: number,
    to: number,
    sequence: Sequence,
    ts: Ns,
    record: (use: (track: TrackId) => void) => void,
  ): void {
    const log = this.inner.over(bytes, from, to);
    let body = 0;
    let priority = 0;
    while (log.next())
      if (log.field === LogMessage.bodyIid) body = log.number();
      else if (log.field === LogMessage.prio) priority = log.number();
    const message = this.context.id(sequence.logTexts.get(body), "log messages");
    const level = logLevel(priority);
    record((track) => this.context.sink.log(track, ts, level, message));
  }

  // ── Counters ──────────────────────────────────────────────────────────────────────────────────

  private counterValue(entry: TrackEntry, value: number | bigint): number | bigint {
    if (!entry.isIncremental && entry.multiplier === 1) return value;
    const scaled = Number(value) * entry.multiplier;
    if (!entry.isIncremental) return scaled;
    entry.value += scaled;
    return entry.value;
  }

  private extraCounters(ts: Ns, sequence: Sequence): void {
    if (this.extraValues.length > 0)
      this.extra(ts, this.extraValues, this.extraUuids, sequence.extraCounters);
    if (this.extraDoubles.length > 0)
      this.extra(ts, this.extraDoubles, this.extraDoubleUuids, sequence.extraDoubleCounters);
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
      const said = this.counterValue(entry, value);
      this.tracks.use(entry, (track) => this.context.sink.counter(track, ts, said));
    });
  }
}

function logLevel(priority: number): LogLevel {
  if (priority >= LogPriority.error) return "error";
  if (priority === LogPriority.warning) return "warning";
  return priority === LogPriority.info || priority === 0 ? "info" : "debug";
}
