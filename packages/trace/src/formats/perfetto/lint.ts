/**
 * Checks a Perfetto trace by the rules its format publishes: what trace_processor would drop without a word.
 *
 *     const lint = new PerfettoLint();
 *     for (const chunk of file) lint.push(chunk);
 *     for (const { rule, message, fix } of lint.end()) …
 *
 * Tracks may be described after the events that use them (trace_processor resolves them at the end of the file), so those
 * are judged at the end; interning and incremental state count in the order of each sequence.
 *
 * @see https://perfetto.dev/docs/reference/synthetic-track-event
 * @see https://github.com/google/perfetto/blob/main/protos/perfetto/trace/trace_packet.proto
 */
import { ProtoError, ProtoReader } from "../../wire/protobuf-reader.ts";
import { Framing } from "./framing.ts";
import { PacketFields } from "./packet-fields.ts";
import {
  BuiltinClock,
  Callstack,
  Clock,
  ClockSnapshot,
  CompactSched,
  CounterDescriptor,
  DebugAnnotation,
  EventType,
  Frame,
  FtraceEventBundle,
  InternedData,
  InternedText,
  LogMessage,
  Mapping,
  PerfSample,
  ProcessDescriptor,
  SequenceFlag,
  ThreadDescriptor,
  TracePacket,
  TracePacketDefaults,
  TrackDescriptor,
  TrackEvent,
  TrackEventDefaults,
} from "./records.ts";

export type LintRule =
  | "framing"
  | "protobuf"
  | "sequence-id"
  | "incremental-state"
  | "interning"
  | "descriptor"
  | "track"
  | "timestamp"
  | "clock"
  | "packed"
  | "bundle";

export interface LintFinding {
  readonly rule: LintRule;
  /** Of the first packet that breaks it. */
  readonly packet: number;
  readonly byteOffset: number;
  readonly message: string;
  /** What to do. */
  readonly fix: string;
  /** How many packets break it in the same way. */
  readonly count: number;
}

const MAX_FINDINGS = 1000;
const MAX_TRACKED = 1 << 20;
const MAX_DEPTH = 32;

/** Interning spaces: InternedData's field numbers. */
type Space = number;

class SequenceState {
  valid = false;
  everCleared = false;
  packets = 0;
  clock = 0;
  track: bigint | undefined;
  hasThread = false;
  readonly clocks: Set<number> = new Set();
  readonly iids: Map<Space, Set<number>> = new Map();
}
interface Place {
  readonly packet: number;
  readonly byteOffset: number;
}

const CLEAR_FIX =
  "set SEQ_INCREMENTAL_STATE_CLEARED (1) in sequence_flags of the sequence's first packet, and again after every loss";
const INTERN_FIX =
  "write the entry in interned_data of this packet or an earlier one of the sequence, after its last cleared state, with an iid from 1 up";

export class PerfettoLint {
  private readonly findings = new Map<string, { finding: LintFinding; count: number }>();
  private readonly sequences = new Map<number, SequenceState>();
  private readonly described = new Map<
    bigint,
    { isCounter: boolean; parent: bigint | undefined }
  >();
  private readonly used = new Map<bigint, Place & { counter: boolean }>();
  private readonly clocks = new Map<number, Place>();
  private readonly related = new Set<number>();
  private hasSnapshot = false;
  private packets = 0;
  private offset = 0;
  private readonly framing = new Framing({
    packet: (bytes, from, to, offset) => this.packet(bytes, from, to, offset),
    damaged: (offset, message) => {
      this.offset = offset;
      this.add("framing", message, "the file is damaged here; record or copy it again");
    },
  });
  private readonly fields = new PacketFields();
  private readonly inner = new ProtoReader();
  private readonly entry = new ProtoReader();

  /** @throws FormatError when the first bytes are no packet */
  push(chunk: Uint8Array): void {
    this.framing.push(chunk);
  }

  end(): LintFinding[] {
    const cut = this.framing.end();
    if (cut !== undefined) {
      this.offset = cut.offset;
      this.add(
        "framing",
        `the last packet is cut short: ${cut.left} bytes of it are there`,
        "end the recording cleanly, or accept that its last moments are missing",
      );
    }
    for (const [uuid, place] of this.used) {
      const described = this.described.get(uuid);
      if (described === undefined)
        this.addAt(
          place,
          "descriptor",
          `track ${uuid} is used, but no TrackDescriptor describes it`,
          "write a TrackDescriptor with this uuid before the track's first event",
        );
      else if (place.counter && !described.isCounter)
        this.addAt(
          place,
          "track",
          `counter values stand on track ${uuid}, whose descriptor has no counter`,
          "give its TrackDescriptor a counter message",
        );
    }
    for (const [uuid, { parent }] of this.described)
      if (parent !== undefined && parent !== 0n && !this.described.has(parent))
        this.add(
          "descriptor",
          `track ${uuid} has parent ${parent}, which no TrackDescriptor describes`,
          "describe the parent, or leave parent_uuid out",
        );
    if (this.hasSnapshot)
      for (const [clock, place] of this.clocks)
        if (!this.related.has(clock))
          this.addAt(
            place,
            "clock",
            `timestamps are on clock ${clock}, which no ClockSnapshot reads`,
            "write a ClockSnapshot that reads it together with the trace's clock",
          );
    return [...this.findings.values()]
      .map(({ finding, count }) => ({ ...finding, count }))
      .sort((a, b) => a.byteOffset - b.byteOffset);
  }

  private add(rule: LintRule, message: string, fix: string): void {
    this.addAt({ packet: this.packets, byteOffset: this.offset }, rule, message, fix);
  }
  private addAt(place: Place, rule: LintRule, message: string, fix: string): void {
    const known = this.findings.get(message);
    if (known !== undefined) known.count++;
    else if (this.findings.size < MAX_FINDINGS) {
      const { packet, byteOffset } = place;
      const finding = { rule, packet, byteOffset, message, fix, count: 1 };
      this.findings.set(message, { finding, count: 1 });
    }
  }

  private packet(bytes: Uint8Array, from: number, to: number, offset: number): void {
    this.offset = offset;
    try {
      this.check(bytes, from, to);
    } catch (error) {
      if (!(error instanceof ProtoError)) throw error;
      this.add(
        "protobuf",
        error.message,
        "the packet is no valid protobuf message: its writer is wrong, or it is damaged",
      );
    }
    this.packets++;
  }

  private check(bytes: Uint8Array, from: number, to: number): void {
    const { fields } = this;
    fields.read(bytes, from, to);
    const { sequenceId: id, flags, cleared, dropped, hasTime, clock, kind } = fields;
    const data: [number, number] = [fields.start, fields.stop];
    const interned: [number, number] | undefined =
      fields.internedStart < 0 ? undefined : [fields.internedStart, fields.internedStop];
    const defaults: [number, number] | undefined =
      fields.defaultsStart < 0 ? undefined : [fields.defaultsStart, fields.defaultsStop];
    const sequence = this.sequence(id);
    const first = sequence.packets++ === 0;
    if (fields.kinds > 1)
      this.add(
        "protobuf",
        "a packet holds more than one kind of data",
        "write one data field in each TracePacket",
      );
    if (
      id === 0 &&
      (kind === TracePacket.trackEvent || interned !== undefined || defaults !== undefined)
    )
      this.add(
        "sequence-id",
        "a packet with events, interned data or defaults has no trusted_packet_sequence_id",
        "set trusted_packet_sequence_id to a number other than 0 on every packet",
      );
    if (cleared) {
      sequence.valid = true;
      sequence.everCleared = true;
      sequence.iids.clear();
      sequence.clock = 0;
      sequence.track = undefined;
      sequence.hasThread = false;
    } else if (dropped && !first) sequence.valid = false;
    if (fields.needsState && !sequence.valid)
      this.add(
        "incremental-state",
        sequence.everCleared
          ? `sequence ${id}: a packet needs incremental state that was lost before it`
          : `sequence ${id}: a packet needs incremental state, but the state was never cleared`,
        CLEAR_FIX,
      );
    if (!sequence.valid && !dropped && (interned !== undefined || defaults !== undefined))
      this.add(
        "incremental-state",
        `sequence ${id}: interned data or defaults come before the state is cleared`,
        CLEAR_FIX,
      );
    if (defaults !== undefined) this.defaults(bytes, defaults, sequence);
    if (interned !== undefined) this.interned(bytes, interned, sequence);
    if (hasTime) this.time(clock !== 0 ? clock : sequence.clock, sequence, id);
    switch (kind) {
      case TracePacket.trackEvent:
        this.trackEvent(bytes, data, sequence, id, hasTime, flags);
        return;
      case TracePacket.trackDescriptor:
        this.descriptor(bytes, data);
        return;
      case TracePacket.threadDescriptor:
        sequence.hasThread = true;
        return;
      case TracePacket.clockSnapshot:
        this.snapshot(bytes, data, sequence);
        return;
      case TracePacket.perfSample:
        this.sample(bytes, data, sequence, hasTime);
        return;
      case TracePacket.ftraceEvents:
        this.bundle(bytes, data);
        return;
    }
  }

  private sequence(id: number): SequenceState {
    let sequence = this.sequences.get(id);
    if (sequence === undefined) {
      sequence = new SequenceState();
      if (this.sequences.size < MAX_TRACKED) this.sequences.set(id, sequence);
    }
    return sequence;
  }

  private time(clock: number, sequence: SequenceState, id: number): void {
    if (clock === 0) return;
    if (clock >= BuiltinClock.firstOfSequence && clock <= BuiltinClock.lastOfSequence) {
      if (id === 0)
        this.add(
          "clock",
          `clock ${clock} belongs to a sequence, but the packet has no sequence id`,
          "set trusted_packet_sequence_id",
        );
      else if (!sequence.clocks.has(clock))
        this.add(
          "clock",
          `sequence ${id}: timestamps are on its clock ${clock} before a ClockSnapshot of the sequence reads it`,
          "write the ClockSnapshot on the same sequence, before the first such timestamp",
        );
    } else if (!this.clocks.has(clock) && this.clocks.size < MAX_TRACKED)
      this.clocks.set(clock, { packet: this.packets, byteOffset: this.offset });
  }

  private defaults(bytes: Uint8Array, [from, to]: [number, number], sequence: SequenceState): void {
    const message = this.inner.over(bytes, from, to);
    sequence.clock = 0;
    sequence.track = undefined;
    while (message.next())
      if (message.field === TracePacketDefaults.timestampClockId) sequence.clock = message.number();
      else if (message.field === TracePacketDefaults.trackEventDefaults) {
        const event = this.entry.into(message);
        while (event.next())
          if (event.field === TrackEventDefaults.trackUuid) sequence.track = event.unsigned();
      }
  }

  private snapshot(bytes: Uint8Array, [from, to]: [number, number], sequence: SequenceState): void {
    this.hasSnapshot = true;
    const message = this.inner.over(bytes, from, to);
    let readings = 0;
    while (message.next()) {
      if (message.field === ClockSnapshot.primaryTraceClock) this.related.add(message.number());
      if (message.field !== ClockSnapshot.clocks) continue;
      readings++;
      const entry = this.entry.into(message);
      let clock = 0;
      let hasTime = false;
      while (entry.next())
        if (entry.field === Clock.clockId) clock = entry.number();
        else if (entry.field === Clock.timestamp) hasTime = true;
      if (clock === 0 || !hasTime)
        this.add("clock", "a ClockSnapshot reads a clock without id or timestamp", "set both");
      else if (clock >= BuiltinClock.firstOfSequence && clock <= BuiltinClock.lastOfSequence)
        sequence.clocks.add(clock);
      else this.related.add(clock);
    }
    if (readings < 2)
      this.add(
        "clock",
        "a ClockSnapshot reads fewer than two clocks: it relates nothing",
        "read at least two",
      );
  }

  // ── Interning ─────────────────────────────────────────────────────────────────────────────────

  private interned(bytes: Uint8Array, [from, to]: [number, number], sequence: SequenceState): void {
    const message = this.inner.over(bytes, from, to);
    // Frames may refer to mappings that stand after them in the same message: define first, then look.
    while (message.next()) {
      if (message.wire !== 2) continue;
      const entry = this.entry.into(message);
      let iid = 0;
      while (entry.next()) if (entry.field === InternedText.iid) iid = entry.number();
      if (iid === 0)
        this.add(
          "interning",
          `interned_data has an entry of field ${message.field} with iid 0, which means none`,
          "count iids from 1",
        );
      else this.define(sequence, message.field, iid);
    }
    message.over(bytes, from, to);
    while (message.next()) {
      if (message.wire !== 2) continue;
      const entry = this.entry;
      if (message.field === InternedData.mappings) {
        entry.into(message);
        while (entry.next())
          if (entry.field === Mapping.buildId)
            this.refer(sequence, InternedData.buildIds, entry.number(), true);
          else if (entry.field === Mapping.pathStringIds)
            this.refer(sequence, InternedData.mappingPaths, entry.number());
      } else if (message.field === InternedData.frames) {
        entry.into(message);
        while (entry.next())
          if (entry.field === Frame.functionNameId)
            this.refer(sequence, InternedData.functionNames, entry.number(), true);
          else if (entry.field === Frame.mappingId)
            this.refer(sequence, InternedData.mappings, entry.number(), true);
          else if (entry.field === Frame.sourcePathIid)
            this.refer(sequence, InternedData.sourcePaths, entry.number());
      } else if (message.field === InternedData.callstacks) {
        entry.into(message);
        while (entry.next())
          if (entry.field === Callstack.frameIds)
            this.refer(sequence, InternedData.frames, entry.number());
      }
    }
  }

  private define(sequence: SequenceState, space: Space, iid: number): void {
    let iids = sequence.iids.get(space);
    if (iids === undefined) {
      iids = new Set();
      sequence.iids.set(space, iids);
    }
    if (iids.size < MAX_TRACKED) iids.add(iid);
  }

  /** @param optional 0 means none */
  private refer(sequence: SequenceState, space: Space, iid: number, optional = false): void {
    if (iid === 0) {
      if (!optional)
        this.add(
          "interning",
          `${SPACES.get(space) ?? "an entry"} is referred to by iid 0`,
          INTERN_FIX,
        );
      return;
    }
    // What came before a loss was already reported as state that is missing.
    if (!sequence.valid) return;
    const iids = sequence.iids.get(space);
    if (iids?.has(iid)) return;
    if (iids !== undefined && iids.size >= MAX_TRACKED) return;
    this.add(
      "interning",
      `${SPACES.get(space) ?? "an entry"} is used by an iid that was not defined before`,
      INTERN_FIX,
    );
  }

  // ── Events ────────────────────────────────────────────────────────────────────────────────────

  private trackEvent(
    bytes: Uint8Array,
    [from, to]: [number, number],
    sequence: SequenceState,
    id: number,
    hasTime: boolean,
    flags: number,
  ): void {
    const event = this.inner.over(bytes, from, to);
    let track = sequence.track;
    let explicit = false;
    let type = 0;
    let hasLegacy = false;
    let hasValue = false;
    let ownTime = false;
    let needs = false;
    while (event.next())
      switch (event.field) {
        case TrackEvent.trackUuid:
          track = event.unsigned();
          explicit = true;
          break;
        case TrackEvent.type:
          type = event.low;
          break;
        case TrackEvent.legacyEvent:
          hasLegacy = true;
          break;
        case TrackEvent.counterValue:
        case TrackEvent.doubleCounterValue:
          hasValue = true;
          break;
        case TrackEvent.timestampDeltaUs:
        case TrackEvent.timestampAbsoluteUs:
          ownTime = true;
          break;
        case TrackEvent.categoryIids:
          needs = true;
          this.refer(sequence, InternedData.eventCategories, event.number());
          break;
        case TrackEvent.nameIid:
          needs = true;
          this.refer(sequence, InternedData.eventNames, event.number(), true);
          break;
        case TrackEvent.callstackIid:
          needs = true;
          this.refer(sequence, InternedData.callstacks, event.number());
          break;
        case TrackEvent.logMessage: {
          const log = this.entry.into(event);
          while (log.next())
            if (log.field === LogMessage.bodyIid)
              this.refer(sequence, InternedData.logMessageBody, log.number());
          break;
        }
        case TrackEvent.debugAnnotations:
          this.annotation(bytes, event.start, event.stop, sequence, 0);
          break;
      }
    if (!hasTime && !ownTime)
      this.add("timestamp", "a track event has no timestamp", "set TracePacket.timestamp");
    if (type === 0 && !hasLegacy)
      this.add(
        "track",
        "a track event has neither a type nor a legacy phase",
        "set TrackEvent.type",
      );
    if (needs && (flags & SequenceFlag.needsIncrementalState) === 0 && !hasLegacy)
      this.add(
        "incremental-state",
        `sequence ${id}: a track event uses interned data without saying that it needs it`,
        "set SEQ_NEEDS_INCREMENTAL_STATE (2) in sequence_flags",
      );
    if (type === EventType.counter && !hasValue)
      this.add(
        "track",
        "a counter event has no value",
        "set counter_value or double_counter_value",
      );
    if (track === undefined) {
      if (!sequence.hasThread && !hasLegacy)
        this.add(
          "track",
          `sequence ${id}: a track event names no track, and the sequence has no default one`,
          "set track_uuid, or track_event_defaults in TracePacketDefaults",
        );
      return;
    }
    if (track === 0n && !explicit) return;
    if (track !== 0n && !this.used.has(track) && this.used.size < MAX_TRACKED)
      this.used.set(track, {
        packet: this.packets,
        byteOffset: this.offset,
        counter: type === EventType.counter,
      });
  }

  private annotation(
    bytes: Uint8Array,
    from: number,
    to: number,
    sequence: SequenceState,
    depth: number,
  ): void {
    if (depth >= MAX_DEPTH) return;
    const annotation = new ProtoReader().over(bytes, from, to);
    while (annotation.next())
      switch (annotation.field) {
        case DebugAnnotation.nameIid:
          this.refer(sequence, InternedData.debugAnnotationNames, annotation.number());
          break;
        case DebugAnnotation.stringValueIid:
          this.refer(sequence, InternedData.debugAnnotationStringValues, annotation.number());
          break;
        case DebugAnnotation.dictEntries:
        case DebugAnnotation.arrayValues:
          this.annotation(bytes, annotation.start, annotation.stop, sequence, depth + 1);
          break;
      }
  }

  private descriptor(bytes: Uint8Array, [from, to]: [number, number]): void {
    const message = this.inner.over(bytes, from, to);
    let uuid: bigint | undefined;
    let parent: bigint | undefined;
    let isCounter = false;
    while (message.next())
      switch (message.field) {
        case TrackDescriptor.uuid:
          uuid = message.unsigned();
          break;
        case TrackDescriptor.parentUuid:
          parent = message.unsigned();
          break;
        case TrackDescriptor.process:
          if (!this.hasFields(message, ProcessDescriptor.pid))
            this.add(
              "descriptor",
              "a process's descriptor has no pid",
              "set ProcessDescriptor.pid",
            );
          break;
        case TrackDescriptor.thread:
          if (!this.hasFields(message, ThreadDescriptor.pid, ThreadDescriptor.tid))
            this.add("descriptor", "a thread's descriptor lacks its pid or tid", "set both");
          break;
        case TrackDescriptor.counter:
          isCounter = true;
          this.hasFields(message, CounterDescriptor.unit);
          break;
      }
    if (uuid === undefined)
      this.add("descriptor", "a TrackDescriptor has no uuid", "set TrackDescriptor.uuid");
    else if (uuid === parent)
      this.add("descriptor", `track ${uuid} is its own parent`, "leave parent_uuid out");
    else if (this.described.size < MAX_TRACKED) this.described.set(uuid, { isCounter, parent });
  }

  private hasFields(message: ProtoReader, ...fields: readonly number[]): boolean {
    const seen = new Set<number>();
    const entry = this.entry.into(message);
    while (entry.next()) seen.add(entry.field);
    return fields.every((field) => seen.has(field));
  }

  private sample(
    bytes: Uint8Array,
    [from, to]: [number, number],
    sequence: SequenceState,
    hasTime: boolean,
  ): void {
    if (!hasTime)
      this.add("timestamp", "a perf sample has no timestamp", "set TracePacket.timestamp");
    const sample = this.inner.over(bytes, from, to);
    while (sample.next())
      if (sample.field === PerfSample.callstackIid)
        this.refer(sequence, InternedData.callstacks, sample.number(), true);
  }

  private bundle(bytes: Uint8Array, [from, to]: [number, number]): void {
    const bundle = this.inner.over(bytes, from, to);
    let hasCpu = false;
    while (bundle.next())
      if (bundle.field === FtraceEventBundle.cpu) hasCpu = true;
      else if (bundle.field === FtraceEventBundle.compactSched) {
        const compact = this.entry.into(bundle);
        while (compact.next())
          if (compact.field !== CompactSched.internTable && compact.wire !== 2)
            this.add(
              "packed",
              `CompactSched's field ${compact.field} is not packed: trace_processor drops it without a word`,
              "write repeated numbers of CompactSched packed",
            );
      }
    if (!hasCpu) this.add("bundle", "an FtraceEventBundle has no cpu", "set FtraceEventBundle.cpu");
  }
}

const SPACES: ReadonlyMap<Space, string> = new Map([
  [InternedData.eventCategories, "a category"],
  [InternedData.eventNames, "an event name"],
  [InternedData.debugAnnotationNames, "an argument name"],
  [InternedData.debugAnnotationStringValues, "an argument text"],
  [InternedData.functionNames, "a function name"],
  [InternedData.frames, "a frame"],
  [InternedData.callstacks, "a call stack"],
  [InternedData.buildIds, "a build id"],
  [InternedData.mappingPaths, "a mapping path"],
  [InternedData.sourcePaths, "a source path"],
  [InternedData.mappings, "a mapping"],
  [InternedData.logMessageBody, "a log message"],
]);
