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
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  type Problem,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "../../model/sink.ts";
import { ProtoWriter, WireType } from "../../wire/protobuf.ts";
import type { ByteSink } from "../format.ts";
import { ArgSets, writeAnnotations, writeInteger } from "./args.ts";
import { Bundle, BundleKind, type ClockOrigin, clockOrigin, writeAbsolute } from "./bundle.ts";
import {
  builtinClock,
  CATEGORY,
  CATEGORY_IID,
  DELTA_CLOCK,
  FIRST_TRACK_UUID,
  KYMO_UUID,
  KymoArg,
  KymoEvent,
  SCHEMA_VERSION,
  SECTION_CLOCK,
  SECTION_NS,
  SEQUENCE_ID,
  TYPE_CATEGORY,
  TYPE_CATEGORY_IID,
} from "./kymo.ts";
import { Output } from "./output.ts";
import { Profiles } from "./profile.ts";
import {
  BuiltinClock,
  CLONE_THREAD,
  Clock,
  ClockSnapshot,
  DebugAnnotation,
  EventType,
  FtraceEvent,
  HARD_IRQ_FLAG,
  InternedData,
  LogMessage,
  LogPriority,
  PerfCounter,
  PerfSample,
  PerfSampleDefaults,
  ProcessTree,
  SchedProcessExec,
  SchedProcessExit,
  SchedSwitch,
  SchedWaking,
  SequenceFlag,
  STATE_LETTERS,
  STATE_PREEMPTED,
  SystemInfo,
  TaskNewtask,
  TaskRename,
  Timebase,
  Trace,
  TracePacket,
  TracePacketDefaults,
  TrackDescriptor,
  TrackEvent,
  TreeProcess,
  Utsname,
} from "./records.ts";
import { TextInterner, Texts } from "./strings.ts";
import { hasTreeEntry, isCpu, isInt32, TrackState, writeDescriptor } from "./tracks.ts";

/** Finished packets are handed on when they reach this, watermark or not. */
const FLUSH_BYTES = 1 << 19;
/** Readings of monotonic and boottime are taken one after the other: a smaller change of their distance is noise. */
const CLOCK_NOISE_NS = 1_000_000n;
const DEFAULT_PRIORITY = 120;
const SWAPPER = "swapper";
const MAX_SNAPSHOTS_BEFORE_EVENTS = 256;

type Snapshot = readonly (readonly [ClockDomain, bigint])[];
type KymoValue = number | bigint | string | boolean | { readonly real: number };
/** A thread that runs: null is the idle task. */
type Runner = TrackState | null;

export class PerfettoWriter implements TraceSink {
  readonly args: ArgSets = new ArgSets();
  private readonly output: Output;
  private readonly out = new ProtoWriter(1 << 16);
  private readonly texts = new Texts();
  private readonly tracks: TrackState[] = [];
  private readonly types: { readonly info: EventTypeInfo; section: number; iid: number }[] = [];
  private readonly meta = new Map<string, string>();
  private closed = false;

  // Clocks. Times inside are integers of ns since the origin.
  private clockInfo: ClockInfo = { domain: "unknown", originNs: 0n, errorNs: 0 };
  private primaryClock: number = BuiltinClock.boottime;
  private origin: ClockOrigin = clockOrigin(0n);
  /** Boottime minus trace clock, as ftrace timestamps are written; what it is while unknown is 0. */
  private bootOffset = 0n;
  private bootKnown = false;
  private bootOrigin: ClockOrigin = clockOrigin(0n);
  private snapshots: Snapshot[] = [];
  private lastSnapshot: Snapshot | undefined;

  // The section being written; 0 before the first.
  private section = 0;
  private sectionStart = 0;
  private sectionEnd = -Infinity;
  private lastTime = 0;
  private newestTime = -Infinity;

  // InternedData of the packet being written.
  private readonly interned = new ProtoWriter(4096);
  private readonly categories = new TextInterner(
    InternedData.eventCategories,
    this.texts,
    this.interned,
    TYPE_CATEGORY_IID + 1,
  );
  private readonly names = new TextInterner(InternedData.eventNames, this.texts, this.interned);
  private readonly argNames = new TextInterner(
    InternedData.debugAnnotationNames,
    this.texts,
    this.interned,
  );
  private readonly argTexts = new TextInterner(
    InternedData.debugAnnotationStringValues,
    this.texts,
    this.interned,
  );
  private readonly logTexts = new TextInterner(
    InternedData.logMessageBody,
    this.texts,
    this.interned,
  );
  private readonly profiles = new Profiles(this.texts, this.interned);

  // The event packet that is still open, because a flow of that event may follow.
  private openPacket = -1;
  private openEvent = 0;
  private openTrack: TrackState | undefined;
  private openTime = 0;
  private openFlows = 0;
  private openSteps = 0n;
  /** The end of a slice recorded whole, written after its begin is finished. */
  private wholeEnd: { time: number; name: StringId } | undefined;

  // Scheduling.
  private readonly bundles: (Bundle<TrackState> | undefined)[] = [];
  private bundleSerial = 0;
  /** Which track a reader takes a tid or CPU number for, after what was written so far. */
  private readonly tidOwner = new Map<number, TrackState>();
  private readonly cpuOwner = new Map<number, TrackState>();
  private samplePeriod = -1;
  private readonly sampleCounts: number[] = [];

  constructor(out: ByteSink) {
    this.output = new Output(out);
  }

  /** Bytes handed to a ByteSink that answered with a promise, and not accepted yet. */
  get queuedBytes(): number {
    return this.output.queuedBytes;
  }
  /** Resolves when the ByteSink has accepted all that was written. Await it between pushes of a big input. */
  drained(): Promise<void> {
    return this.output.drained();
  }

  // ── Declarations ──────────────────────────────────────────────────────────────────────────────

  clock(clock: ClockInfo): void {
    if (this.section !== 0) throw new RangeError("clock() after the first event");
    this.clockInfo = { ...clock };
    this.primaryClock = builtinClock(clock.domain);
    this.origin = clockOrigin(clock.originNs);
    this.bootOrigin = this.origin;
  }

  clockSnapshot(readings: Snapshot): void {
    if (this.section !== 0) this.writeSnapshot(readings, true);
    else if (this.snapshots.length < MAX_SNAPSHOTS_BEFORE_EVENTS)
      this.snapshots.push([...readings]);
  }

  metadata(key: string, value: string): void {
    if (this.meta.get(key) === value) return;
    this.meta.set(key, value);
    if (this.section === 0) return;
    this.kymo(KymoEvent.metadata, this.lastTime, KYMO_UUID, [
      ["key", key],
      ["value", value],
    ]);
    if (key === "kernel" || key === "arch") this.writeSystemInfo();
  }

  string(text: string): StringId {
    return this.texts.id(text);
  }

  track(info: TrackInfo): TrackId {
    const parent = info.parent === undefined ? undefined : this.at(info.parent);
    const id = this.tracks.length;
    const track = new TrackState({ ...info }, FIRST_TRACK_UUID + id, parent);
    this.tracks.push(track);
    if (info.sortIndex !== undefined && parent !== undefined && !parent.hasOrderedChildren) {
      parent.hasOrderedChildren = true;
      parent.section = 0;
    }
    if (this.section !== 0) this.declare(track);
    return id as TrackId;
  }

  eventType(info: EventTypeInfo): EventTypeId {
    this.types.push({ info, section: 0, iid: 0 });
    const id = (this.types.length - 1) as EventTypeId;
    if (this.section !== 0) this.declareType(id);
    return id;
  }

  frame(info: FrameInfo): FrameId {
    return this.profiles.frame(info);
  }
  stack(parent: StackId, frame: FrameId): StackId {
    return this.profiles.stack(parent, frame);
  }

  // ── Track events ──────────────────────────────────────────────────────────────────────────────

  begin(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.named(EventType.sliceBegin, this.at(track), this.enter(ts), name, category, args);
  }

  end(track: TrackId, ts: Ns, args: ArgSetId): void {
    const time = this.enter(ts);
    this.startEvent(EventType.sliceEnd, this.at(track), time);
    this.writeArgs(args);
  }

  slice(track: TrackId, ts: Ns, dur: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    const time = this.enter(ts);
    this.named(EventType.sliceBegin, this.at(track), time, name, category, args);
    if (!Number.isFinite(dur)) this.flag(KymoArg.open);
    else {
      const end = integer(ts + dur);
      this.wholeEnd = { time: end, name };
      if (end > this.newestTime) this.newestTime = end;
    }
  }

  instant(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.named(EventType.instant, this.at(track), this.enter(ts), name, category, args);
  }

  typed(type: EventTypeId, track: TrackId, ts: Ns, args: ArgSetId): void {
    const time = this.enter(ts);
    const iid = this.declareType(type);
    this.startEvent(EventType.instant, this.at(track), time);
    this.out.uint(TrackEvent.categoryIids, TYPE_CATEGORY_IID);
    this.out.uint(TrackEvent.nameIid, iid);
    this.writeArgs(args);
  }

  counter(track: TrackId, ts: Ns, value: number | bigint): void {
    const time = this.enter(ts);
    this.startEvent(EventType.counter, this.at(track), time);
    if (typeof value === "number") {
      if (Number.isSafeInteger(value) && !Object.is(value, -0))
        this.out.int(TrackEvent.counterValue, value);
      else this.out.double(TrackEvent.doubleCounterValue, value);
    } else if (BigInt.asIntN(64, value) === value) this.out.big(TrackEvent.counterValue, value);
    else this.out.double(TrackEvent.doubleCounterValue, Number(value));
    this.finish();
  }

  log(track: TrackId, ts: Ns, level: LogLevel, message: StringId): void {
    const time = this.enter(ts);
    const on = this.at(track);
    if (!on.isThread) {
      // Perfetto's log table takes lines of threads only.
      const text = this.texts.get(message);
      this.declare(on);
      this.kymo(KymoEvent.log, time, on.uuid, [
        ["level", level],
        ["message", text],
      ]);
      return;
    }
    this.startEvent(EventType.instant, on, time);
    const log = this.out.open(TrackEvent.logMessage);
    this.out.uint(LogMessage.bodyIid, this.logTexts.iid(message, this.section));
    this.out.uint(LogMessage.prio, LogPriority[level]);
    this.out.close(log);
    this.finish();
  }

  flow(id: bigint, track: TrackId, ts: Ns, step: FlowStep, bind: FlowBind): void {
    const on = this.at(track);
    const time = integer(ts);
    if (
      bind === "last" &&
      this.openPacket >= 0 &&
      this.openTrack === on &&
      this.openTime === time
    ) {
      if (step === "end") this.out.fixed64(TrackEvent.terminatingFlowIds, id);
      else {
        if (step === "step") this.openSteps |= 1n << BigInt(this.openFlows);
        this.openFlows++;
        this.out.fixed64(TrackEvent.flowIds, id);
      }
      return;
    }
    this.enter(ts);
    this.declare(on);
    this.kymo(
      KymoEvent.flow,
      time,
      on.uuid,
      [
        ["step", step],
        ["bind", bind],
      ],
      () =>
        this.out.fixed64(step === "end" ? TrackEvent.terminatingFlowIds : TrackEvent.flowIds, id),
    );
  }

  // ── Samples ───────────────────────────────────────────────────────────────────────────────────

  sample(thread: TrackId, ts: Ns, stack: StackId, weight: number, cpu: number): void {
    const time = this.enter(ts);
    const on = this.at(thread);
    const plain =
      on.isThread && Number.isSafeInteger(weight) && weight >= 0 && (cpu === -1 || isCpu(cpu));
    if (!plain) {
      this.declare(on);
      this.kymo(
        KymoEvent.sample,
        time,
        on.uuid,
        [
          ["weight", { real: weight }],
          ["cpu", cpu],
        ],
        () => {
          if (stack !== NO_STACK) {
            this.out.uint(TrackEvent.callstackIid, this.profiles.callstack(stack, this.section));
            this.out.double(TrackEvent.callstackWeight, weight);
          }
        },
      );
      return;
    }
    this.own(on);
    if (weight !== this.samplePeriod) this.writeDefaults(weight);
    const packet = this.startPacket(time, SequenceFlag.needsIncrementalState);
    const sample = this.out.open(TracePacket.perfSample);
    if (cpu >= 0) this.out.uint(PerfSample.cpu, cpu);
    this.out.uint(PerfSample.pid, on.pid);
    this.out.uint(PerfSample.tid, on.tid);
    if (stack !== NO_STACK)
      this.out.uint(PerfSample.callstackIid, this.profiles.callstack(stack, this.section));
    const count = (this.sampleCounts[cpu + 1] ?? 0) + weight;
    this.sampleCounts[cpu + 1] = count;
    this.out.uint(PerfSample.timebaseCount, Math.min(count, Number.MAX_SAFE_INTEGER));
    this.out.close(sample);
    this.endPacket(packet);
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
    const time = this.enter(ts);
    const on = this.at(cpu);
    const from = this.runner(previous);
    const to = this.runner(next);
    const bits = on.cpu < 0 ? undefined : stateBits(this.texts.get(state), from);
    if (bits === undefined || !schedulable(from) || !schedulable(to) || !isInt32(priority)) {
      this.kymo(KymoEvent.switch, time, KYMO_UUID, [
        ["cpu", this.uuidOf(on)],
        ["previous", this.uuidOf(from)],
        ["state", this.texts.get(state)],
        ["next", this.uuidOf(to)],
        ["priority", { real: priority }],
      ]);
      return;
    }
    this.own(on);
    if (from !== null) this.own(from);
    if (to !== null) this.own(to);
    const bundle = this.bundle(on.cpu);
    const inOrder = time >= bundle.runningSince;
    if (inOrder && bundle.running === from) {
      this.makeRoom(bundle, time, BundleKind.switch);
      const comm = this.comm(bundle, to);
      bundle.addSwitch(this.bootOrigin, time, bits, to?.tid ?? 0, priority, comm);
    } else {
      this.makeRoom(bundle, time, BundleKind.event);
      const fromTid = from?.tid ?? 0;
      const full = bundle.startEvent(this.bootOrigin, time, fromTid, FtraceEvent.schedSwitch);
      full.string(SchedSwitch.prevComm, from?.name ?? SWAPPER);
      full.uint(SchedSwitch.prevPid, fromTid);
      full.int(SchedSwitch.prevPrio, from?.priority ?? DEFAULT_PRIORITY);
      full.uint(SchedSwitch.prevState, bits);
      full.string(SchedSwitch.nextComm, to?.name ?? SWAPPER);
      full.uint(SchedSwitch.nextPid, to?.tid ?? 0);
      full.int(SchedSwitch.nextPrio, priority);
      bundle.endEvent();
    }
    if (inOrder) {
      bundle.running = to;
      bundle.runningSince = time;
    }
    if (from !== null) from.lastCpu = on.cpu;
    if (to !== null) {
      to.lastCpu = on.cpu;
      to.priority = priority;
    }
  }

  waking(thread: TrackId, ts: Ns, waker: TrackId, targetCpu: number): void {
    const time = this.enter(ts);
    const woken = this.at(thread);
    const by = this.runner(waker);
    if (!woken.isThread || !schedulable(by) || !isInt32(targetCpu)) {
      this.kymo(KymoEvent.waking, time, KYMO_UUID, [
        ["thread", this.uuidOf(woken)],
        ["waker", this.uuidOf(by)],
        ["target_cpu", { real: targetCpu }],
      ]);
      return;
    }
    this.own(woken);
    if (by !== null) this.own(by);
    // The columns don't say who woke: a reader takes who ran on that CPU then, or nobody in an interrupt.
    const bundle = this.bundle(by === null ? (isCpu(targetCpu) ? targetCpu : 0) : by.lastCpu);
    const implied = bundle.running === by && time >= bundle.runningSince;
    if (implied || by === null) {
      this.makeRoom(bundle, time, BundleKind.waking);
      const comm = this.comm(bundle, woken);
      const flags = implied ? 0 : HARD_IRQ_FLAG;
      const { tid, priority } = woken;
      bundle.addWaking(this.bootOrigin, time, tid, targetCpu, priority, comm, flags);
      return;
    }
    this.makeRoom(bundle, time, BundleKind.event);
    const full = bundle.startEvent(this.bootOrigin, time, by.tid, FtraceEvent.schedWaking);
    full.string(SchedWaking.comm, woken.name);
    full.uint(SchedWaking.pid, woken.tid);
    full.int(SchedWaking.prio, woken.priority);
    full.uint(SchedWaking.success, 1);
    full.int(SchedWaking.targetCpu, targetCpu);
    bundle.endEvent();
  }

  life(thread: TrackId, ts: Ns, what: LifeKind, detail: StringId): void {
    const time = this.enter(ts);
    const on = this.at(thread);
    const text = this.texts.get(detail);
    if (on.isThread) this.threadLife(on, time, what, text);
    else {
      this.declare(on);
      this.kymo(KymoEvent.life, time, on.uuid, [
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
      this.declare(on);
    }
  }

  private threadLife(on: TrackState, time: number, what: LifeKind, text: string): void {
    this.own(on);
    const bundle = this.bundle(on.lastCpu);
    this.makeRoom(bundle, time, BundleKind.event);
    const origin = this.bootOrigin;
    if (what === "start") {
      const isMain = on.tid === on.pid;
      const parentPid = on.parent?.info.parentPid;
      const creator = isMain ? (isInt32(parentPid) && parentPid > 0 ? parentPid : 0) : on.pid;
      const task = bundle.startEvent(origin, time, creator, FtraceEvent.taskNewtask);
      task.uint(TaskNewtask.pid, on.tid);
      task.string(TaskNewtask.comm, text);
      task.uint(TaskNewtask.cloneFlags, isMain ? 0 : CLONE_THREAD);
    } else if (what === "rename") {
      const task = bundle.startEvent(origin, time, on.tid, FtraceEvent.taskRename);
      task.uint(TaskRename.pid, on.tid);
      task.string(TaskRename.oldcomm, on.name);
      task.string(TaskRename.newcomm, text);
    } else if (what === "exec") {
      const exec = bundle.startEvent(origin, time, on.tid, FtraceEvent.schedProcessExec);
      exec.string(SchedProcessExec.filename, text);
      exec.uint(SchedProcessExec.pid, on.tid);
      exec.uint(SchedProcessExec.oldPid, on.tid);
    } else {
      const exit = bundle.startEvent(origin, time, on.tid, FtraceEvent.schedProcessExit);
      if (text !== "") exit.string(SchedProcessExit.comm, text);
      exit.uint(SchedProcessExit.pid, on.tid);
      exit.uint(SchedProcessExit.tgid, on.pid);
      exit.int(SchedProcessExit.prio, on.priority);
    }
    bundle.endEvent();
  }

  // ── Problems, flushing ────────────────────────────────────────────────────────────────────────

  problem(problem: Problem): void {
    if (this.section === 0) this.enter((problem.from ?? problem.to ?? 0) as Ns);
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
    if (lostOn !== undefined) this.closeBundle(this.bundle(lostOn));
    this.kymo(KymoEvent.problem, this.lastTime, KYMO_UUID, fields);
    if (lostOn !== undefined) {
      const bundle = this.bundle(lostOn);
      bundle.running = undefined;
      const packet = this.startUntimed(0);
      bundle.write(this.out, ++this.bundleSerial, true);
      this.endPacket(packet);
    }
  }

  watermark(ts: Ns): void {
    if (this.closed) return;
    const time = Number.isFinite(ts) ? this.enter(ts) : undefined;
    this.closeBundles();
    if (time !== undefined) this.kymo(KymoEvent.watermark, time, KYMO_UUID, []);
    this.flush();
  }

  close(): void {
    if (this.closed) return;
    if (this.section === 0) this.enter(0 as Ns);
    this.closed = true;
    this.closeBundles();
    this.flush();
  }

  private flush(): void {
    this.finish();
    if (this.out.length === 0) return;
    const kept = this.output.send(this.out.view());
    if (kept) this.out.bytes = new Uint8Array(1 << 16);
    this.out.clear();
  }

  // ── Sections ──────────────────────────────────────────────────────────────────────────────────

  /** Starts a section when it is time. Returns `ts` as an integer. */
  private enter(ts: Ns): number {
    const time = Number.isFinite(ts) ? integer(ts) : this.lastTime;
    if (time >= this.sectionEnd || this.section === 0) this.startSection(time);
    if (time > this.newestTime) this.newestTime = time;
    return time;
  }

  private startSection(time: number): void {
    const isFirst = this.section === 0;
    this.finish();
    this.closeBundles();
    for (const bundle of this.bundles) if (bundle !== undefined) bundle.running = undefined;
    this.section++;
    this.sectionStart = time;
    this.sectionEnd = time + SECTION_NS;
    this.lastTime = time;
    for (const table of [this.categories, this.names, this.argNames, this.argTexts, this.logTexts])
      table.restart();
    this.profiles.restart();
    this.samplePeriod = -1;

    const waiting = this.snapshots;
    this.snapshots = [];
    for (const readings of waiting) this.learnBootOffset(readings);
    const packet = this.startUntimed(SequenceFlag.incrementalStateCleared);
    if (isFirst) this.out.uint(TracePacket.firstPacketOnSequence, 1);
    this.writeClocks(time, []);
    this.writeDefaultsField();
    this.categories.write(CATEGORY_IID, CATEGORY);
    this.categories.write(TYPE_CATEGORY_IID, TYPE_CATEGORY);
    this.endPacket(packet);

    this.writeKymoTrack();
    this.kymo(KymoEvent.trace, time, KYMO_UUID, [
      ["schema", SCHEMA_VERSION],
      ["domain", this.clockInfo.domain],
      ["origin", this.clockInfo.originNs],
      ["error", { real: this.clockInfo.errorNs }],
    ]);
    if (this.meta.has("kernel")) this.writeSystemInfo();
    for (const [key, value] of this.meta)
      this.kymo(KymoEvent.metadata, time, KYMO_UUID, [
        ["key", key],
        ["value", value],
      ]);
    if (waiting.length > 0) for (const readings of waiting) this.writeSnapshot(readings, true);
    else if (this.lastSnapshot !== undefined) this.writeSnapshot(this.lastSnapshot, true);
    for (let id = 0; id < this.types.length; id++) this.declareType(id as EventTypeId);
    if (isFirst) for (const track of this.tracks) this.declare(track);
  }

  private writeKymoTrack(): void {
    const packet = this.startUntimed(0);
    const track = this.out.open(TracePacket.trackDescriptor);
    this.out.uint(TrackDescriptor.uuid, KYMO_UUID);
    this.out.string(TrackDescriptor.name, CATEGORY);
    this.out.close(track);
    this.endPacket(packet);
  }

  private writeSystemInfo(): void {
    const release = /\d+\.\d+\S*/.exec(this.meta.get("kernel") ?? "")?.[0];
    if (release === undefined) return;
    const packet = this.startUntimed(0);
    const system = this.out.open(TracePacket.systemInfo);
    const names = this.out.open(SystemInfo.utsname);
    this.out.string(Utsname.sysname, "Linux");
    this.out.string(Utsname.release, release);
    const arch = this.meta.get("arch");
    if (arch !== undefined) this.out.string(Utsname.machine, arch);
    this.out.close(names);
    this.out.close(system);
    this.endPacket(packet);
  }

  /**
   * The ClockSnapshot of the packet being written: our two sequence clocks, the trace clock and boottime at `time`,
   * and what else was read then.
   */
  private writeClocks(time: number, others: Snapshot): void {
    const { out } = this;
    const snapshot = out.open(TracePacket.clockSnapshot);
    const clock = (id: number, origin: ClockOrigin, reading: number, incremental = false): void => {
      const entry = out.open(ClockSnapshot.clocks);
      out.uint(Clock.clockId, id);
      out.tag(Clock.timestamp, WireType.varint);
      writeAbsolute(out, origin, reading);
      if (incremental) out.uint(Clock.isIncremental, 1);
      out.close(entry);
    };
    const zero: ClockOrigin = { high: 0, low: 0 };
    clock(DELTA_CLOCK, this.origin, time, true);
    clock(SECTION_CLOCK, zero, time - this.sectionStart);
    clock(this.primaryClock, this.origin, time);
    if (this.primaryClock !== BuiltinClock.boottime)
      clock(BuiltinClock.boottime, this.bootOrigin, time);
    for (const [domain, reading] of others) {
      const id = builtinClock(domain);
      if (id !== this.primaryClock && id !== BuiltinClock.boottime)
        clock(id, clockOrigin(reading), 0);
    }
    out.uint(ClockSnapshot.primaryTraceClock, this.primaryClock);
    out.close(snapshot);
    this.lastTime = time;
  }

  /** @returns whether ftrace timestamps must be written with another offset from now on */
  private learnBootOffset(readings: Snapshot): boolean {
    if (this.primaryClock === BuiltinClock.boottime) return false;
    const own = readings.find(([domain]) => domain === this.clockInfo.domain)?.[1];
    const boot = readings.find(([domain]) => domain === "boottime")?.[1];
    if (own === undefined || boot === undefined) return false;
    const offset = boot - own;
    const change = offset - this.bootOffset;
    if (this.bootKnown && change < CLOCK_NOISE_NS && change > -CLOCK_NOISE_NS) return false;
    this.bootKnown = true;
    this.closeBundles();
    this.bootOffset = offset;
    this.bootOrigin = clockOrigin(this.clockInfo.originNs + offset);
    return true;
  }

  private writeSnapshot(readings: Snapshot, tell: boolean): void {
    this.learnBootOffset(readings);
    this.lastSnapshot = [...readings];
    const own = readings.find(([domain]) => domain === this.clockInfo.domain)?.[1];
    if (own !== undefined) {
      const time = Number(own - this.clockInfo.originNs);
      if (Number.isSafeInteger(time) && time >= this.sectionStart) {
        const packet = this.startUntimed(0);
        this.writeClocks(time, readings);
        this.endPacket(packet);
      }
    }
    if (tell) this.kymo(KymoEvent.clockSnapshot, this.lastTime, KYMO_UUID, readings);
  }

  /** TracePacketDefaults in the packet being written. */
  private writeDefaultsField(): void {
    const { out } = this;
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
    const packet = this.startUntimed(SequenceFlag.needsIncrementalState);
    this.writeDefaultsField();
    this.endPacket(packet);
  }

  // ── Tracks and types ──────────────────────────────────────────────────────────────────────────

  private at(id: TrackId): TrackState {
    const track = this.tracks[id];
    if (track === undefined) throw new RangeError(`track ${id} was not given by this sink`);
    return track;
  }
  private runner(id: TrackId): Runner {
    return id === NO_TRACK ? null : this.at(id);
  }
  /** Its uuid, declared; 0 for none. */
  private uuidOf(track: Runner): number {
    if (track === null) return 0;
    this.declare(track);
    return track.uuid;
  }

  /** Writes the track's descriptor, after its parents', unless this section has it. */
  private declare(track: TrackState): void {
    if (track.section === this.section) return;
    if (track.parent !== undefined) this.declare(track.parent);
    this.writeTrack(track);
  }

  /** Declares the track and makes sure that a reader takes its tid or CPU number for it. */
  private own(track: TrackState): void {
    if (track.section !== this.section) {
      this.declare(track);
      return;
    }
    const owner = track.isThread ? this.tidOwner.get(track.tid) : this.cpuOwner.get(track.cpu);
    if (owner !== track) this.writeTrack(track);
  }

  private writeTrack(track: TrackState): void {
    const number = track.isThread ? track.tid : track.cpu;
    if (track.isThread || number >= 0) {
      const owners = track.isThread ? this.tidOwner : this.cpuOwner;
      const owner = owners.get(number);
      // What waits in the bundles means the owner so far.
      if (owner !== undefined && owner !== track) {
        this.closeBundles();
        if (!track.isThread) {
          const bundle = this.bundles[number];
          if (bundle !== undefined) bundle.running = undefined;
        }
      }
      owners.set(number, track);
    }
    if (hasTreeEntry(track)) {
      const packet = this.startUntimed(0);
      const tree = this.out.open(TracePacket.processTree);
      const process = this.out.open(ProcessTree.processes);
      this.out.uint(TreeProcess.pid, track.pid);
      this.out.uint(TreeProcess.ppid, track.info.parentPid!);
      this.out.string(TreeProcess.cmdline, track.name);
      this.out.close(process);
      this.out.close(tree);
      this.endPacket(packet);
    }
    const packet = this.startUntimed(0);
    writeDescriptor(this.out, track);
    this.endPacket(packet);
    track.section = this.section;
  }

  /** Writes what an event type is, unless this section has it. Returns the iid of its name. */
  private declareType(id: EventTypeId): number {
    const type = this.types[id];
    if (type === undefined) throw new RangeError(`event type ${id} was not given by this sink`);
    if (type.section === this.section) return type.iid;
    type.section = this.section;
    this.finish();
    type.iid = this.names.own(type.info.name);
    this.kymo(KymoEvent.eventType, this.lastTime, KYMO_UUID, [
      ["id", id],
      ["iid", type.iid],
      ["name", type.info.name],
      ["fields", JSON.stringify(type.info.fields)],
    ]);
    return type.iid;
  }

  // ── Packets ───────────────────────────────────────────────────────────────────────────────────

  private startUntimed(flags: number): number {
    this.finish();
    if (this.out.length >= FLUSH_BYTES) this.flush();
    const packet = this.out.open(Trace.packet);
    this.out.uint(TracePacket.trustedPacketSequenceId, SEQUENCE_ID);
    if (flags !== 0) this.out.uint(TracePacket.sequenceFlags, flags);
    return packet;
  }

  private startPacket(time: number, flags: number): number {
    const packet = this.startUntimed(flags);
    const delta = time - this.lastTime;
    if (delta >= 0) {
      this.out.uint(TracePacket.timestamp, delta);
      this.lastTime = time;
    } else this.writeTime(time);
    return packet;
  }

  /** A timestamp that the clock of deltas can't say, or must not move for. */
  private writeTime(time: number): void {
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

  private endPacket(packet: number): void {
    if (this.interned.length > 0) {
      this.out.blob(TracePacket.internedData, this.interned.view());
      this.interned.clear();
    }
    this.out.close(packet);
  }

  /** Opens a TrackEvent; `finish` closes it, at the latest before the next packet. */
  private startEvent(type: number, track: TrackState, time: number): void {
    this.declare(track);
    this.openPacket = this.startPacket(time, SequenceFlag.needsIncrementalState);
    this.openEvent = this.out.open(TracePacket.trackEvent);
    this.out.uint(TrackEvent.type, type);
    this.out.uint(TrackEvent.trackUuid, track.uuid);
    this.openTrack = type === EventType.sliceEnd ? undefined : track;
    this.openTime = time;
  }

  private named(
    type: number,
    track: TrackState,
    time: number,
    name: StringId,
    category: StringId,
    args: ArgSetId,
  ): void {
    this.startEvent(type, track, time);
    if (category !== EMPTY_STRING)
      this.out.uint(TrackEvent.categoryIids, this.categories.iid(category, this.section));
    if (name !== EMPTY_STRING)
      this.out.uint(TrackEvent.nameIid, this.names.iid(name, this.section));
    this.writeArgs(args);
  }

  private writeArgs(args: ArgSetId): void {
    if (args === NO_ARGS) return;
    writeAnnotations(this.out, this.args.get(args), {
      section: this.section,
      texts: this.texts,
      names: this.argNames,
      values: this.argTexts,
    });
  }

  /** Adds a true annotation to the open event. */
  private flag(name: string): void {
    const annotation = this.out.open(TrackEvent.debugAnnotations);
    this.out.uint(DebugAnnotation.nameIid, this.argNames.iid(this.texts.id(name), this.section));
    this.out.uint(DebugAnnotation.boolValue, 1);
    this.out.close(annotation);
  }

  private finish(): void {
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
    // Directly after its begin; it must not move the clock of deltas past the slices inside.
    const end = out.open(Trace.packet);
    out.uint(TracePacket.trustedPacketSequenceId, SEQUENCE_ID);
    out.uint(TracePacket.sequenceFlags, SequenceFlag.needsIncrementalState);
    this.writeTime(whole.time);
    const event = out.open(TracePacket.trackEvent);
    out.uint(TrackEvent.type, EventType.sliceEnd);
    out.uint(TrackEvent.trackUuid, this.openTrack!.uuid);
    out.uint(TrackEvent.nameIid, this.names.iid(whole.name, this.section));
    out.close(event);
    this.endPacket(end);
  }

  /** One of our own events. `more` adds fields to it. */
  private kymo(
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

  // ── Bundles ───────────────────────────────────────────────────────────────────────────────────

  private bundle(cpu: number): Bundle<TrackState> {
    let bundle = this.bundles[cpu];
    if (bundle === undefined) {
      bundle = new Bundle(cpu, ++this.bundleSerial);
      this.bundles[cpu] = bundle;
    }
    return bundle;
  }

  private makeRoom(bundle: Bundle<TrackState>, time: number, kind: number): void {
    if (!bundle.fits(time, kind)) this.closeBundle(bundle);
  }

  private comm(bundle: Bundle<TrackState>, thread: Runner): number {
    const named = thread ?? this.idle;
    const { cpu, serial } = bundle;
    if (named.commSerials[cpu] !== serial) {
      named.comms[cpu] = bundle.comm(named.name);
      named.commSerials[cpu] = serial;
    }
    return named.comms[cpu]!;
  }
  private readonly idle = new TrackState({ kind: "thread", name: SWAPPER }, 0, undefined);

  private closeBundle(bundle: Bundle<TrackState>): void {
    if (bundle.isEmpty) return;
    const packet = this.startUntimed(0);
    bundle.write(this.out, ++this.bundleSerial);
    this.endPacket(packet);
  }
  private closeBundles(): void {
    for (const bundle of this.bundles) if (bundle !== undefined) this.closeBundle(bundle);
  }
}

/** Whole nanoseconds, within what a float64 counts exactly. */
function integer(ns: number): number {
  const rounded = Math.round(ns);
  if (rounded > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
  return Math.max(rounded, Number.MIN_SAFE_INTEGER);
}

function schedulable(thread: Runner): boolean {
  return thread === null || thread.isThread;
}

/** `state` as sched_switch reports it; undefined for a text that is no state. */
function stateBits(state: string, previous: Runner): number | undefined {
  // What the idle task leaves in says nothing: the kernel writes R.
  if (previous === null) return 0;
  if (state === "R") return STATE_PREEMPTED;
  const bit = STATE_LETTERS.indexOf(state as "S");
  return bit < 0 ? undefined : 1 << bit;
}
