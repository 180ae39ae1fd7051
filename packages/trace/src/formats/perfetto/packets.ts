/**
 * TracePackets of our one sequence: timestamps, interned data, and the event that stays open for flows.
 *
 *     startEvent ─ … fields … ─ (flows of that event) ─ finish        at the latest before the next packet
 */
import {
  type ArgSetId,
  EMPTY_STRING,
  type FlowStep,
  NO_ARGS,
  type StringId,
} from "../../model/sink.ts";
import { ProtoWriter, WireType } from "../../wire/protobuf.ts";
import type { ByteSink } from "../format.ts";
import { ArgSets, writeAnnotations, writeInteger } from "./args.ts";
import { type ClockOrigin, clockOrigin, writeAbsolute } from "./bundle.ts";
import {
  CATEGORY_IID,
  END_CLOCK,
  END_CLOCK_SLICE_NS,
  KymoArg,
  LATE_CLOCK,
  SECTION_CLOCK,
  SEQUENCE_ID,
  TYPE_CATEGORY_IID,
} from "./kymo.ts";
import { Output } from "./output.ts";
import { Profiles } from "./profile.ts";
import {
  BuiltinClock,
  DebugAnnotation,
  EventType,
  InternedData,
  SequenceFlag,
  Trace,
  TracePacket,
  TrackEvent,
} from "./records.ts";
import { TextInterner, Texts } from "./strings.ts";

/** Finished packets are handed on when they reach this, watermark or not. */
const FLUSH_BYTES = 1 << 19;

export type KymoValue = number | bigint | string | boolean | { readonly real: number };

/** Times are integers of ns since the origin. */
export class Packets {
  readonly out: ProtoWriter = new ProtoWriter(1 << 16);
  readonly output: Output;
  readonly texts: Texts = new Texts();
  readonly args: ArgSets = new ArgSets();

  /** The section being written; 0 before the first. */
  section = 0;
  sectionStart = 0;
  /** Where the clock of deltas stands. */
  lastTime = 0;
  /** Where the clock of ends stands. */
  lastEnd = 0;
  /** Where the clock of late events stands. */
  lastLate = 0;
  /** The trace clock: its id, and its reading at time 0. */
  primaryClock: number = BuiltinClock.boottime;
  origin: ClockOrigin = clockOrigin(0n);

  // InternedData of the packet being written.
  private readonly interned = new ProtoWriter(4096);
  readonly profiles: Profiles = new Profiles(this.texts, this.interned);
  readonly categories: TextInterner = this.interner(
    InternedData.eventCategories,
    TYPE_CATEGORY_IID + 1,
  );
  readonly names: TextInterner = this.interner(InternedData.eventNames);
  readonly logTexts: TextInterner = this.interner(InternedData.logMessageBody);
  private readonly argNames = this.interner(InternedData.debugAnnotationNames);
  private readonly argTexts = this.interner(InternedData.debugAnnotationStringValues);

  // The event packet that is still open, because a flow of that event may follow.
  private openPacket = -1;
  private openEvent = 0;
  /** Uuid; 0 when flows can't be bound to the event. */
  private openTrack = 0;
  private openTime = 0;
  private openFlows = 0;
  private openSteps = 0n;
  /** The end of a slice recorded whole, written after its begin is finished. */
  private wholeEnd: { readonly time: number; readonly name: StringId } | undefined;

  constructor(sink: ByteSink) {
    this.output = new Output(sink);
  }

  private interner(field: number, first = 1): TextInterner {
    return new TextInterner(field, this.texts, this.interned, first);
  }

  /** Starts a section: what is interned counts from here. */
  restart(time: number): void {
    this.section++;
    this.sectionStart = time;
    this.lastTime = time;
    this.lastEnd = time;
    this.lastLate = time;
    for (const table of [this.categories, this.names, this.argNames, this.argTexts, this.logTexts])
      table.restart();
    this.profiles.restart();
  }

  startUntimed(flags: number): number {
    this.finish();
    if (this.out.length >= FLUSH_BYTES) this.flush();
    const packet = this.out.open(Trace.packet);
    this.out.uint(TracePacket.trustedPacketSequenceId, SEQUENCE_ID);
    if (flags !== 0) this.out.uint(TracePacket.sequenceFlags, flags);
    return packet;
  }

  startPacket(time: number, flags: number): number {
    const packet = this.startUntimed(flags);
    const delta = time - this.lastTime;
    if (delta >= 0) {
      this.out.uint(TracePacket.timestamp, delta);
      this.lastTime = time;
    } else if (time >= this.lastLate) {
      this.out.uint(TracePacket.timestamp, time - this.lastLate);
      this.out.uint(TracePacket.timestampClockId, LATE_CLOCK);
      this.lastLate = time;
    } else this.writeTime(time);
    return packet;
  }

  /** A timestamp that the clocks of deltas can't say, or must not move for. */
  writeTime(time: number): void {
    const inSection = time - this.sectionStart;
    if (inSection >= 0) {
      this.out.uint(TracePacket.timestamp, inSection);
      this.out.uint(TracePacket.timestampClockId, SECTION_CLOCK);
    } else {
      this.out.tag(TracePacket.timestamp, WireType.varint);
      writeAbsolute(this.out, this.origin, time);
      this.out.uint(TracePacket.timestampClockId, this.primaryClock);
    }
  }

  /** Of a slice that began at `openTime`. It must not move the clock of deltas past the slices inside. */
  private writeEndTime(time: number): void {
    const delta = time - this.lastEnd;
    if (delta < 0 || time - this.openTime > END_CLOCK_SLICE_NS) {
      this.writeTime(time);
      return;
    }
    this.out.uint(TracePacket.timestamp, delta);
    this.out.uint(TracePacket.timestampClockId, END_CLOCK);
    this.lastEnd = time;
  }

  endPacket(packet: number): void {
    if (this.interned.length > 0) {
      this.out.blob(TracePacket.internedData, this.interned.view());
      this.interned.clear();
    }
    this.out.close(packet);
  }

  /** Opens a TrackEvent; `finish` closes it, at the latest before the next packet. */
  startEvent(type: number, uuid: number, time: number): void {
    this.openPacket = this.startPacket(time, SequenceFlag.needsIncrementalState);
    this.openEvent = this.out.open(TracePacket.trackEvent);
    this.out.uint(TrackEvent.type, type);
    this.out.uint(TrackEvent.trackUuid, uuid);
    this.openTrack = type === EventType.sliceEnd ? 0 : uuid;
    this.openTime = time;
  }

  named(
    type: number,
    uuid: number,
    time: number,
    name: StringId,
    category: StringId,
    args: ArgSetId,
  ): void {
    this.startEvent(type, uuid, time);
    if (category !== EMPTY_STRING)
      this.out.uint(TrackEvent.categoryIids, this.categories.iid(category, this.section));
    if (name !== EMPTY_STRING)
      this.out.uint(TrackEvent.nameIid, this.names.iid(name, this.section));
    this.writeArgs(args);
  }

  writeArgs(args: ArgSetId): void {
    if (args === NO_ARGS) return;
    writeAnnotations(this.out, this.args.get(args), {
      section: this.section,
      texts: this.texts,
      names: this.argNames,
      values: this.argTexts,
    });
  }

  /** Adds a true annotation to the open event. */
  flag(name: string): void {
    const annotation = this.out.open(TrackEvent.debugAnnotations);
    this.out.uint(DebugAnnotation.nameIid, this.argNames.iid(this.texts.id(name), this.section));
    this.out.uint(DebugAnnotation.boolValue, 1);
    this.out.close(annotation);
  }

  /** The open begin is a slice that ends at `time`. */
  endWhole(time: number, name: StringId): void {
    this.wholeEnd = { time, name };
  }

  /** Adds a flow to the open event, if that is the event it is bound to. @returns whether it was */
  addFlow(uuid: number, time: number, id: bigint, step: FlowStep): boolean {
    if (this.openPacket < 0 || this.openTrack !== uuid || this.openTime !== time) return false;
    if (step === "end") this.out.fixed64(TrackEvent.terminatingFlowIds, id);
    else {
      if (step === "step") this.openSteps |= 1n << BigInt(this.openFlows);
      this.openFlows++;
      this.out.fixed64(TrackEvent.flowIds, id);
    }
    return true;
  }

  finish(): void {
    if (this.openPacket < 0) return;
    const { out } = this;
    const packet = this.openPacket;
    this.openPacket = -1;
    if (this.openSteps !== 0n) {
      const annotation = out.open(TrackEvent.debugAnnotations);
      const name = this.texts.id(KymoArg.flowSteps);
      out.uint(DebugAnnotation.nameIid, this.argNames.iid(name, this.section));
      writeInteger(out, this.openSteps);
      out.close(annotation);
    }
    this.openFlows = 0;
    this.openSteps = 0n;
    out.close(this.openEvent);
    this.endPacket(packet);
    const whole = this.wholeEnd;
    if (whole === undefined) return;
    this.wholeEnd = undefined;
    // Directly after its begin.
    const end = out.open(Trace.packet);
    out.uint(TracePacket.trustedPacketSequenceId, SEQUENCE_ID);
    out.uint(TracePacket.sequenceFlags, SequenceFlag.needsIncrementalState);
    this.writeEndTime(whole.time);
    const event = out.open(TracePacket.trackEvent);
    out.uint(TrackEvent.type, EventType.sliceEnd);
    out.uint(TrackEvent.trackUuid, this.openTrack);
    out.uint(TrackEvent.nameIid, this.names.iid(whole.name, this.section));
    out.close(event);
    this.endPacket(end);
  }

  /** One of our own events. `more` adds fields to it. */
  kymo(
    name: string,
    time: number,
    uuid: number,
    fields: readonly (readonly [string, KymoValue])[],
    more?: () => void,
  ): void {
    const { out, section } = this;
    const packet = this.startPacket(time, SequenceFlag.needsIncrementalState);
    const event = out.open(TracePacket.trackEvent);
    out.uint(TrackEvent.type, EventType.instant);
    out.uint(TrackEvent.trackUuid, uuid);
    out.uint(TrackEvent.categoryIids, CATEGORY_IID);
    out.uint(TrackEvent.nameIid, this.names.iid(this.texts.id(name), section));
    for (const [key, value] of fields) {
      const annotation = out.open(TrackEvent.debugAnnotations);
      out.uint(DebugAnnotation.nameIid, this.argNames.iid(this.texts.id(key), section));
      if (typeof value === "string") out.string(DebugAnnotation.stringValue, value);
      else if (typeof value === "boolean") out.uint(DebugAnnotation.boolValue, value ? 1 : 0);
      else if (typeof value === "object") out.double(DebugAnnotation.doubleValue, value.real);
      else writeInteger(out, value);
      out.close(annotation);
    }
    more?.();
    out.close(event);
    this.endPacket(packet);
  }

  flush(): void {
    this.finish();
    if (this.out.length === 0) return;
    const kept = this.output.send(this.out.view());
    if (kept) this.out.bytes = new Uint8Array(1 << 16);
    this.out.clear();
  }
}
