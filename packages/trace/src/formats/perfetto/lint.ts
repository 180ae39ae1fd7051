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
import { Findings, type LintFinding, type Place } from "./lint-findings.ts";
import { InternedIds, type InterningState } from "./lint-interning.ts";
import { PacketFields } from "./packet-fields.ts";

export type { LintFinding, LintRule } from "./lint-findings.ts";

import {
  BuiltinClock,
  Clock,
  ClockSnapshot,
  CompactSched,
  CounterDescriptor,
  DebugAnnotation,
  EventType,
  FtraceEventBundle,
  InternedData,
  LogMessage,
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

const MAX_TRACKED = 1 << 20;
const MAX_DEPTH = 32;

class SequenceState implements InterningState {
  valid = false;
  everCleared = false;
  packets = 0;
  clock = 0;
  track: bigint | undefined;
  hasThread = false;
  readonly clocks: Set<number> = new Set();
  readonly iids: Map<number, Set<number>> = new Map();
}

const CLEAR_FIX =
  "set SEQ_INCREMENTAL_STATE_CLEARED (1) in sequence_flags of the sequence's first packet, and again after every loss";

export class PerfettoLint {
  private readonly findings = new Findings();
  private readonly interning = new InternedIds(this.findings);
  private readonly sequences = new Map<number, SequenceState>();
  private readonly described = new Map<
    bigint,
    { isCounter: boolean; parent: bigint | undefined }
  >();
  private readonly used = new Map<bigint, Place & { counter: boolean }>();
  private readonly clocks = new Map<number, Place>();
  private readonly related = new Set<number>();
  private hasSnapshot = false;
  private readonly framing = new Framing({
    packet: (bytes, from, to, offset) => this.packet(bytes, from, to, offset),
    damaged: (offset, message) => {
      this.findings.byteOffset = offset;
      this.findings.add("framing", message, "the file is damaged here; record or copy it again");
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
      this.findings.byteOffset = cut.offset;
      this.findings.add(
        "framing",
        `the last packet is cut short: ${cut.left} bytes of it are there`,
        "end the recording cleanly, or accept that its last moments are missing",
      );
    }
    for (const [uuid, place] of this.used) {
      const described = this.described.get(uuid);
      if (described === undefined)
        this.findings.addAt(
          place,
          "descriptor",
          `track ${uuid} is used, but no TrackDescriptor describes it`,
          "write a TrackDescriptor with this uuid before the track's first event",
        );
      else if (place.counter && !described.isCounter)
        this.findings.addAt(
          place,
          "track",
          `counter values stand on track ${uuid}, whose descriptor has no counter`,
          "give its TrackDescriptor a counter message",
        );
    }
    for (const [uuid, { parent }] of this.described)
      if (parent !== undefined && parent !== 0n && !this.described.has(parent))
        this.findings.add(
          "descriptor",
          `track ${uuid} has parent ${parent}, which no TrackDescriptor describes`,
          "describe the parent, or leave parent_uuid out",
        );
    if (this.hasSnapshot)
      for (const [clock, place] of this.clocks)
        if (!this.related.has(clock))
          this.findings.addAt(
            place,
            "clock",
            `timestamps are on clock ${clock}, which no ClockSnapshot reads`,
            "write a ClockSnapshot that reads it together with the trace's clock",
          );
    return this.findings.list();
  }

  private packet(bytes: Uint8Array, from: number, to: number, offset: number): void {
    this.findings.byteOffset = offset;
    try {
      this.check(bytes, from, to);
    } catch (error) {
      if (!(error instanceof ProtoError)) throw error;
      this.findings.add(
        "protobuf",
        error.message,
        "the packet is no valid protobuf message: its writer is wrong, or it is damaged",
      );
    }
    this.findings.packet++;
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
      this.findings.add(
        "protobuf",
        "a packet holds more than one kind of data",
        "write one data field in each TracePacket",
      );
    if (
      id === 0 &&
      (kind === TracePacket.trackEvent || interned !== undefined || defaults !== undefined)
    )
      this.findings.add(
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
      this.findings.add(
        "incremental-state",
        sequence.everCleared
          ? `sequence ${id}: a packet needs incremental state that was lost before it`
          : `sequence ${id}: a packet needs incremental state, but the state was never cleared`,
        CLEAR_FIX,
      );
    if (!sequence.valid && !dropped && (interned !== undefined || defaults !== undefined))
      this.findings.add(
        "incremental-state",
        `sequence ${id}: interned data or defaults come before the state is cleared`,
        CLEAR_FIX,
      );
    if (defaults !== undefined) this.defaults(bytes, defaults, sequence);
    if (interned !== undefined) this.interning.read(bytes, interned, sequence);
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
        this.findings.add(
          "clock",
          `clock ${clock} belongs to a sequence, but the packet has no sequence id`,
          "set trusted_packet_sequence_id",
        );
      else if (!sequence.clocks.has(clock))
        this.findings.add(
          "clock",
          `sequence ${id}: timestamps are on its clock ${clock} before a ClockSnapshot of the sequence reads it`,
          "write the ClockSnapshot on the same sequence, before the first such timestamp",
        );
    } else if (!this.clocks.has(clock) && this.clocks.size < MAX_TRACKED)
      this.clocks.set(clock, this.findings.here);
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
        this.findings.add(
          "clock",
          "a ClockSnapshot reads a clock without id or timestamp",
          "set both",
        );
      else if (clock >= BuiltinClock.firstOfSequence && clock <= BuiltinClock.lastOfSequence)
        sequence.clocks.add(clock);
      else this.related.add(clock);
    }
    if (readings < 2)
      this.findings.add(
        "clock",
        "a ClockSnapshot reads fewer than two clocks: it relates nothing",
        "read at least two",
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
          this.interning.refer(sequence, InternedData.eventCategories, event.number());
          break;
        case TrackEvent.nameIid:
          needs = true;
          this.interning.refer(sequence, InternedData.eventNames, event.number(), true);
          break;
        case TrackEvent.callstackIid:
          needs = true;
          this.interning.refer(sequence, InternedData.callstacks, event.number());
          break;
        case TrackEvent.logMessage: {
          const log = this.entry.into(event);
          while (log.next())
            if (log.field === LogMessage.bodyIid)
              this.interning.refer(sequence, InternedData.logMessageBody, log.number());
          break;
        }
        case TrackEvent.debugAnnotations:
          this.annotation(bytes, event.start, event.stop, sequence, 0);
          break;
      }
    if (!hasTime && !ownTime)
      this.findings.add("timestamp", "a track event has no timestamp", "set TracePacket.timestamp");
    if (type === 0 && !hasLegacy)
      this.findings.add(
        "track",
        "a track event has neither a type nor a legacy phase",
        "set TrackEvent.type",
      );
    if (needs && (flags & SequenceFlag.needsIncrementalState) === 0 && !hasLegacy)
      this.findings.add(
        "incremental-state",
        `sequence ${id}: a track event uses interned data without saying that it needs it`,
        "set SEQ_NEEDS_INCREMENTAL_STATE (2) in sequence_flags",
      );
    if (type === EventType.counter && !hasValue)
      this.findings.add(
        "track",
        "a counter event has no value",
        "set counter_value or double_counter_value",
      );
    if (track === undefined) {
      if (!sequence.hasThread && !hasLegacy)
        this.findings.add(
          "track",
          `sequence ${id}: a track event names no track, and the sequence has no default one`,
          "set track_uuid, or track_event_defaults in TracePacketDefaults",
        );
      return;
    }
    if (track === 0n && !explicit) return;
    if (track !== 0n && !this.used.has(track) && this.used.size < MAX_TRACKED)
      this.used.set(track, {
        ...this.findings.here,
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
          this.interning.refer(sequence, InternedData.debugAnnotationNames, annotation.number());
          break;
        case DebugAnnotation.stringValueIid:
          this.interning.refer(
            sequence,
            InternedData.debugAnnotationStringValues,
            annotation.number(),
          );
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
            this.findings.add(
              "descriptor",
              "a process's descriptor has no pid",
              "set ProcessDescriptor.pid",
            );
          break;
        case TrackDescriptor.thread:
          if (!this.hasFields(message, ThreadDescriptor.pid, ThreadDescriptor.tid))
            this.findings.add(
              "descriptor",
              "a thread's descriptor lacks its pid or tid",
              "set both",
            );
          break;
        case TrackDescriptor.counter:
          isCounter = true;
          this.hasFields(message, CounterDescriptor.unit);
          break;
      }
    if (uuid === undefined)
      this.findings.add("descriptor", "a TrackDescriptor has no uuid", "set TrackDescriptor.uuid");
    else if (uuid === parent)
      this.findings.add("descriptor", `track ${uuid} is its own parent`, "leave parent_uuid out");
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
      this.findings.add("timestamp", "a perf sample has no timestamp", "set TracePacket.timestamp");
    const sample = this.inner.over(bytes, from, to);
    while (sample.next())
      if (sample.field === PerfSample.callstackIid)
        this.interning.refer(sequence, InternedData.callstacks, sample.number(), true);
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
            this.findings.add(
              "packed",
              `CompactSched's field ${compact.field} is not packed: trace_processor drops it without a word`,
              "write repeated numbers of CompactSched packed",
            );
      }
    if (!hasCpu)
      this.findings.add("bundle", "an FtraceEventBundle has no cpu", "set FtraceEventBundle.cpu");
  }
}
