/**
 * Trace events → a Perfetto trace (protobuf), as they come.
 *
 *     file ─ section ─ section ─ …            a new one after 5 s of trace time: everything is declared anew
 *              │
 *              ├ cleared state, clocks, metadata, event types
 *              ├ descriptors, each before its track's first event
 *              ├ TrackEvents in the order of the calls
 *              └ one bundle of scheduling events per CPU and flush
 *
 * Every `watermark` hands all finished packets to the ByteSink. A slice recorded whole is written as a begin
 * directly followed by its end, and only then does the end carry the slice's name: that is how our reader tells
 * such a slice from a begin and an end, and how overlapping slices survive. README.md says what else is ours.
 */
import {
  type ArgSetId,
  type ArgsBuilder,
  type ClockInfo,
  type EventTypeId,
  type EventTypeInfo,
  type FlowBind,
  type FlowStep,
  type FrameId,
  type FrameInfo,
  type LifeKind,
  type LogLevel,
  NO_STACK,
  type Ns,
  type Problem,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "../../model/sink.ts";
import type { ByteSink } from "../format.ts";
import { ClockWriter, type Snapshot } from "./clock-writer.ts";
import {
  CATEGORY,
  CATEGORY_IID,
  DELTA_CLOCK,
  KYMO_UUID,
  KymoArg,
  KymoEvent,
  SCHEMA_VERSION,
  SECTION_NS,
  TYPE_CATEGORY,
  TYPE_CATEGORY_IID,
} from "./kymo.ts";
import { type KymoValue, Packets } from "./packets.ts";
import {
  EventType,
  LogMessage,
  LogPriority,
  PerfCounter,
  PerfSample,
  PerfSampleDefaults,
  SequenceFlag,
  SystemInfo,
  Timebase,
  TracePacket,
  TracePacketDefaults,
  TrackDescriptor,
  TrackEvent,
  Utsname,
} from "./records.ts";
import { SchedWriter } from "./sched-writer.ts";
import { TrackWriter } from "./track-writer.ts";
import { isCpu, type TrackState } from "./tracks.ts";

const MAX_EARLY_PROBLEMS = 1024;

export class PerfettoWriter implements TraceSink {
  readonly args: ArgsBuilder;
  private readonly packets: Packets;
  private readonly tracks: TrackWriter;
  private readonly clocks: ClockWriter;
  private readonly sched: SchedWriter;
  private readonly types: { readonly info: EventTypeInfo; section: number; iid: number }[] = [];
  private readonly meta = new Map<string, string>();
  /** ns since the origin: when the next section starts. */
  private sectionEnd = -Infinity;
  /** What a sample weighs, as last written; −1: not in this section. */
  private samplePeriod = -1;
  /** By CPU + 1: weights of all its samples. */
  private readonly sampleCounts: number[] = [];
  /** What came before the first event: written with it. */
  private earlyProblems: Problem[] = [];
  private closed = false;

  constructor(out: ByteSink) {
    this.packets = new Packets(out);
    this.args = this.packets.args;
    this.clocks = new ClockWriter(this.packets, () => this.sched.close());
    // What waits in the bundles means the owner so far.
    this.tracks = new TrackWriter(this.packets, (track) => {
      this.sched.close();
      if (!track.isThread) this.sched.forget(track.cpu);
    });
    this.sched = new SchedWriter(this.packets, this.tracks, this.clocks);
  }

  /** Bytes handed to a ByteSink that answered with a promise, and not accepted yet. */
  get queuedBytes(): number {
    return this.packets.output.queuedBytes;
  }
  /** Resolves when the ByteSink has accepted all that was written. Await it between pushes of a big input. */
  drained(): Promise<void> {
    return this.packets.output.drained();
  }

  // ── Declarations ──────────────────────────────────────────────────────────────────────────────

  clock(clock: ClockInfo): void {
    if (this.packets.section !== 0) throw new RangeError("clock() after the first event");
    this.clocks.set(clock);
  }

  clockSnapshot(readings: Snapshot): void {
    this.clocks.snapshot(readings);
  }

  metadata(key: string, value: string): void {
    if (this.meta.get(key) === value) return;
    this.meta.set(key, value);
    if (this.packets.section === 0) return;
    this.packets.kymo(KymoEvent.metadata, this.packets.lastTime, KYMO_UUID, [
      ["key", key],
      ["value", value],
    ]);
    if (key === "kernel" || key === "arch") this.writeSystemInfo();
  }

  string(text: string): StringId {
    return this.packets.texts.id(text);
  }

  track(info: TrackInfo): TrackId {
    return this.tracks.add(info);
  }

  eventType(info: EventTypeInfo): EventTypeId {
    this.types.push({ info, section: 0, iid: 0 });
    const id = (this.types.length - 1) as EventTypeId;
    if (this.packets.section !== 0) this.declareType(id);
    return id;
  }

  frame(info: FrameInfo): FrameId {
    return this.packets.profiles.frame(info);
  }
  stack(parent: StackId, frame: FrameId): StackId {
    return this.packets.profiles.stack(parent, frame);
  }

  // ── Track events ──────────────────────────────────────────────────────────────────────────────

  begin(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.named(EventType.sliceBegin, track, ts, name, category, args);
  }

  end(track: TrackId, ts: Ns, args: ArgSetId): void {
    const time = this.enter(ts);
    this.start(EventType.sliceEnd, this.tracks.at(track), time);
    this.packets.writeArgs(args);
  }

  slice(track: TrackId, ts: Ns, dur: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.named(EventType.sliceBegin, track, ts, name, category, args);
    if (!Number.isFinite(dur)) this.packets.flag(KymoArg.open);
    else this.packets.endWhole(integer(ts + dur), name);
  }

  instant(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.named(EventType.instant, track, ts, name, category, args);
  }

  typed(type: EventTypeId, track: TrackId, ts: Ns, args: ArgSetId): void {
    const time = this.enter(ts);
    const iid = this.declareType(type);
    this.start(EventType.instant, this.tracks.at(track), time);
    this.packets.out.uint(TrackEvent.categoryIids, TYPE_CATEGORY_IID);
    this.packets.out.uint(TrackEvent.nameIid, iid);
    this.packets.writeArgs(args);
  }

  counter(track: TrackId, ts: Ns, value: number | bigint): void {
    const time = this.enter(ts);
    this.start(EventType.counter, this.tracks.at(track), time);
    if (typeof value === "number") {
      if (Number.isSafeInteger(value) && !Object.is(value, -0))
        this.packets.out.int(TrackEvent.counterValue, value);
      else this.packets.out.double(TrackEvent.doubleCounterValue, value);
    } else if (BigInt.asIntN(64, value) === value)
      this.packets.out.big(TrackEvent.counterValue, value);
    else this.packets.out.double(TrackEvent.doubleCounterValue, Number(value));
    this.packets.finish();
  }

  log(track: TrackId, ts: Ns, level: LogLevel, message: StringId): void {
    const time = this.enter(ts);
    const on = this.tracks.at(track);
    if (!on.isThread) {
      // Perfetto's log table takes lines of threads only.
      const text = this.packets.texts.get(message);
      this.tracks.declare(on);
      this.packets.kymo(KymoEvent.log, time, on.uuid, [
        ["level", level],
        ["message", text],
      ]);
      return;
    }
    this.start(EventType.instant, on, time);
    const log = this.packets.out.open(TrackEvent.logMessage);
    this.packets.out.uint(
      LogMessage.bodyIid,
      this.packets.logTexts.iid(message, this.packets.section),
    );
    this.packets.out.uint(LogMessage.prio, LogPriority[level]);
    this.packets.out.close(log);
    this.packets.finish();
  }

  flow(id: bigint, track: TrackId, ts: Ns, step: FlowStep, bind: FlowBind): void {
    const on = this.tracks.at(track);
    const time = integer(ts);
    if (bind === "last" && this.packets.addFlow(on.uuid, time, id, step)) return;
    this.enter(ts);
    this.tracks.declare(on);
    this.packets.kymo(
      KymoEvent.flow,
      time,
      on.uuid,
      [
        ["step", step],
        ["bind", bind],
      ],
      () =>
        this.packets.out.fixed64(
          step === "end" ? TrackEvent.terminatingFlowIds : TrackEvent.flowIds,
          id,
        ),
    );
  }

  private start(type: number, track: TrackState, time: number): void {
    this.tracks.declare(track);
    this.packets.startEvent(type, track.uuid, time);
  }

  private named(
    type: number,
    track: TrackId,
    ts: Ns,
    name: StringId,
    category: StringId,
    args: ArgSetId,
  ): void {
    const time = this.enter(ts);
    const on = this.tracks.at(track);
    this.tracks.declare(on);
    this.packets.named(type, on.uuid, time, name, category, args);
  }

  // ── Samples ───────────────────────────────────────────────────────────────────────────────────

  sample(thread: TrackId, ts: Ns, stack: StackId, weight: number, cpu: number): void {
    const time = this.enter(ts);
    const on = this.tracks.at(thread);
    const plain =
      on.isThread && Number.isSafeInteger(weight) && weight >= 0 && (cpu === -1 || isCpu(cpu));
    if (!plain) {
      this.tracks.declare(on);
      this.packets.kymo(
        KymoEvent.sample,
        time,
        on.uuid,
        [
          ["weight", { real: weight }],
          ["cpu", cpu],
        ],
        () => {
          if (stack !== NO_STACK) {
            this.packets.out.uint(
              TrackEvent.callstackIid,
              this.packets.profiles.callstack(stack, this.packets.section),
            );
            this.packets.out.double(TrackEvent.callstackWeight, weight);
          }
        },
      );
      return;
    }
    this.tracks.own(on);
    if (weight !== this.samplePeriod) this.writeDefaults(weight);
    const packet = this.packets.startPacket(time, SequenceFlag.needsIncrementalState);
    const sample = this.packets.out.open(TracePacket.perfSample);
    if (cpu >= 0) this.packets.out.uint(PerfSample.cpu, cpu);
    this.packets.out.uint(PerfSample.pid, on.pid);
    this.packets.out.uint(PerfSample.tid, on.tid);
    if (stack !== NO_STACK)
      this.packets.out.uint(
        PerfSample.callstackIid,
        this.packets.profiles.callstack(stack, this.packets.section),
      );
    const count = (this.sampleCounts[cpu + 1] ?? 0) + weight;
    this.sampleCounts[cpu + 1] = count;
    this.packets.out.uint(PerfSample.timebaseCount, Math.min(count, Number.MAX_SAFE_INTEGER));
    this.packets.out.close(sample);
    this.packets.endPacket(packet);
  }

  // ── Scheduling ────────────────────────────────────────────────────────────────────────────────

  switch(
    cpu: TrackId,
    ts: Ns,
    previous: TrackId,
    state: StringId,
    next: TrackId,
    priority: number,
  ): void {
    this.sched.switch(cpu, this.enter(ts), previous, state, next, priority);
  }

  waking(thread: TrackId, ts: Ns, waker: TrackId, targetCpu: number): void {
    this.sched.waking(thread, this.enter(ts), waker, targetCpu);
  }

  life(thread: TrackId, ts: Ns, what: LifeKind, detail: StringId): void {
    const time = this.enter(ts);
    const on = this.tracks.at(thread);
    const text = this.packets.texts.get(detail);
    if (on.isThread) this.sched.life(on, time, what, text);
    else {
      this.tracks.declare(on);
      this.packets.kymo(KymoEvent.life, time, on.uuid, [
        ["what", what],
        ["detail", text],
      ]);
    }
    if (what === "exit" || text === "") return;
    const name = what === "exec" ? text.slice(text.lastIndexOf("/") + 1) : text;
    if (name === on.name) return;
    on.name = name;
    on.commSerials.length = 0;
    // Threads are renamed by the event itself; a process only by a new descriptor.
    if (on.isProcess) {
      on.section = 0;
      this.tracks.declare(on);
    }
  }

  // ── Problems, flushing ────────────────────────────────────────────────────────────────────────

  problem(problem: Problem): void {
    if (this.packets.section === 0) {
      if (this.earlyProblems.length < MAX_EARLY_PROBLEMS) this.earlyProblems.push(problem);
      return;
    }
    const fields: [string, KymoValue][] = [
      ["kind", problem.kind],
      ["message", problem.message],
    ];
    for (const key of ["count", "cpu", "from", "to", "byteOffset"] as const) {
      const value = problem[key];
      if (value !== undefined) fields.push([key, { real: value }]);
    }
    const { cpu } = problem;
    const lostOn = problem.kind === "lost-events" && isCpu(cpu) ? cpu : undefined;
    this.packets.kymo(KymoEvent.problem, this.packets.lastTime, KYMO_UUID, fields);
    if (lostOn !== undefined) this.sched.lost(lostOn);
  }

  watermark(ts: Ns): void {
    if (this.closed) return;
    const time = Number.isFinite(ts) ? this.enter(ts) : undefined;
    this.sched.close();
    if (time !== undefined) this.packets.kymo(KymoEvent.watermark, time, KYMO_UUID, []);
    this.packets.flush();
  }

  close(): void {
    if (this.closed) return;
    if (this.packets.section === 0) this.enter(0 as Ns);
    this.closed = true;
    this.sched.close();
    this.packets.flush();
  }

  // ── Sections ──────────────────────────────────────────────────────────────────────────────────

  /** Starts a section when it is time. Returns `ts` as an integer. */
  private enter(ts: Ns): number {
    const time = Number.isFinite(ts) ? integer(ts) : this.packets.lastTime;
    if (time >= this.sectionEnd || this.packets.section === 0) this.startSection(time);
    return time;
  }

  private startSection(time: number): void {
    const isFirst = this.packets.section === 0;
    this.packets.finish();
    this.sched.restart();
    this.packets.restart(time);
    this.sectionEnd = time + SECTION_NS;
    this.samplePeriod = -1;

    this.clocks.prepare();
    const packet = this.packets.startUntimed(SequenceFlag.incrementalStateCleared);
    if (isFirst) this.packets.out.uint(TracePacket.firstPacketOnSequence, 1);
    this.clocks.writeClocks(time, []);
    this.writeDefaultsField();
    this.packets.categories.write(CATEGORY_IID, CATEGORY);
    this.packets.categories.write(TYPE_CATEGORY_IID, TYPE_CATEGORY);
    this.packets.endPacket(packet);

    this.writeKymoTrack();
    this.packets.kymo(KymoEvent.trace, time, KYMO_UUID, [
      ["schema", SCHEMA_VERSION],
      ["domain", this.clocks.info.domain],
      ["origin", this.clocks.info.originNs],
      ["error", { real: this.clocks.info.errorNs }],
    ]);
    if (this.meta.has("kernel")) this.writeSystemInfo();
    for (const [key, value] of this.meta)
      this.packets.kymo(KymoEvent.metadata, time, KYMO_UUID, [
        ["key", key],
        ["value", value],
      ]);
    this.clocks.repeat();
    for (let id = 0; id < this.types.length; id++) this.declareType(id as EventTypeId);
    if (isFirst) for (const track of this.tracks.list) this.tracks.declare(track);
    const problems = this.earlyProblems;
    this.earlyProblems = [];
    for (const problem of problems) this.problem(problem);
  }

  private writeKymoTrack(): void {
    const packet = this.packets.startUntimed(0);
    const track = this.packets.out.open(TracePacket.trackDescriptor);
    this.packets.out.uint(TrackDescriptor.uuid, KYMO_UUID);
    this.packets.out.string(TrackDescriptor.name, CATEGORY);
    this.packets.out.close(track);
    this.packets.endPacket(packet);
  }

  private writeSystemInfo(): void {
    const release = /\d+\.\d+\S*/.exec(this.meta.get("kernel") ?? "")?.[0];
    if (release === undefined) return;
    const packet = this.packets.startUntimed(0);
    const system = this.packets.out.open(TracePacket.systemInfo);
    const names = this.packets.out.open(SystemInfo.utsname);
    this.packets.out.string(Utsname.sysname, "Linux");
    this.packets.out.string(Utsname.release, release);
    const arch = this.meta.get("arch");
    if (arch !== undefined) this.packets.out.string(Utsname.machine, arch);
    this.packets.out.close(names);
    this.packets.out.close(system);
    this.packets.endPacket(packet);
  }

  /** TracePacketDefaults in the packet being written. */
  private writeDefaultsField(): void {
    const { out } = this.packets;
    const defaults = out.open(TracePacket.tracePacketDefaults);
    if (this.samplePeriod >= 0) {
      const samples = out.open(TracePacketDefaults.perfSampleDefaults);
      const timebase = out.open(PerfSampleDefaults.timebase);
      out.uint(Timebase.period, this.samplePeriod);
      out.uint(Timebase.counter, PerfCounter.cpuClock);
      out.close(timebase);
      out.close(samples);
    }
    out.uint(TracePacketDefaults.timestampClockId, DELTA_CLOCK);
    out.close(defaults);
  }
  private writeDefaults(samplePeriod: number): void {
    this.samplePeriod = samplePeriod;
    const packet = this.packets.startUntimed(SequenceFlag.needsIncrementalState);
    this.writeDefaultsField();
    this.packets.endPacket(packet);
  }

  /** Writes what an event type is, unless this section has it. Returns the iid of its name. */
  private declareType(id: EventTypeId): number {
    const type = this.types[id];
    if (type === undefined) throw new RangeError(`event type ${id} was not given by this sink`);
    if (type.section === this.packets.section) return type.iid;
    type.section = this.packets.section;
    this.packets.finish();
    type.iid = this.packets.names.own(type.info.name);
    this.packets.kymo(KymoEvent.eventType, this.packets.lastTime, KYMO_UUID, [
      ["id", id],
      ["iid", type.iid],
      ["name", type.info.name],
      ["fields", JSON.stringify(type.info.fields)],
    ]);
    return type.iid;
  }
}

/** Whole nanoseconds, within what a float64 counts exactly. */
function integer(ns: number): number {
  const rounded = Math.round(ns);
  if (rounded > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
  return Math.max(rounded, Number.MIN_SAFE_INTEGER);
}
