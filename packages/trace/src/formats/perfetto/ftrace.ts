/**
 * FtraceEventBundles → scheduling, lives and atrace prints.
 *
 * A bundle holds one CPU's events; the column form and full events are merged back into the order of time. Who
 * left a CPU is not in the columns: it is who came last (`CpuChain`), so bundles of a CPU must come in order.
 */
import { NO_TRACK, type Ns, type StringId, type TrackId } from "../../model/sink.ts";
import { PackedReader, ProtoReader } from "../../wire/protobuf-reader.ts";
import type { Clocks } from "./clocks.ts";
import type { ReaderContext } from "./context.ts";
import type { Machine, ThreadEntry } from "./machine.ts";
import {
  BuiltinClock,
  CLONE_THREAD,
  CompactSched,
  FtraceEvent,
  FtraceEventBundle,
  FtracePrint,
  IRQ_FLAGS,
  SchedProcessExec,
  SchedProcessExit,
  SchedSwitch,
  SchedWaking,
  STATE_LETTERS,
  TaskNewtask,
  TaskRename,
} from "./records.ts";
import type { Sequence } from "./sequence.ts";

const UNSPECIFIED_CLOCK = 0;
const GLOBAL_CLOCK = 2;
const LOCAL_CLOCK = 3;
const MONO_RAW_CLOCK = 4;
/** CPUs beyond this are damage. */
const MAX_CPUS = 4096;
/** Names a bundle's table may hold. */
const MAX_COMMS = 1 << 16;

export interface BundleSource {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
  readonly sequence: Sequence;
  readonly machine: Machine;
  readonly isKymo: boolean;
}

type Columns = {
  readonly [name in
    | "switchTime"
    | "switchState"
    | "switchPid"
    | "switchPriority"
    | "switchComm"
    | "wakingTime"
    | "wakingPid"
    | "wakingCpu"
    | "wakingComm"
    | "wakingFlags"]: PackedReader;
};

export class FtraceReader {
  private readonly context: ReaderContext;
  private readonly clocks: Clocks;
  private readonly bundleCursor = new ProtoReader();
  private readonly eventCursor = new ProtoReader();
  private readonly inner = new ProtoReader();
  private readonly columns: Columns = {
    switchTime: new PackedReader(),
    switchState: new PackedReader(),
    switchPid: new PackedReader(),
    switchPriority: new PackedReader(),
    switchComm: new PackedReader(),
    wakingTime: new PackedReader(),
    wakingPid: new PackedReader(),
    wakingCpu: new PackedReader(),
    wakingComm: new PackedReader(),
    wakingFlags: new PackedReader(),
  };
  private readonly states = new Map<number, StringId>();
  /** Kernels before 4.14 report other bits. */
  oldStates = false;

  // The bundle being read.
  private machine!: Machine;
  private isKymo = false;
  private sequence!: Sequence;
  private clock = 0;
  private cpu = 0;
  private comms: string[] = [];

  constructor(context: ReaderContext, clocks: Clocks) {
    this.context = context;
    this.clocks = clocks;
  }

  read(source: BundleSource): void {
    const { bytes, from, to } = source;
    this.machine = source.machine;
    this.sequence = source.sequence;
    this.isKymo = source.isKymo;
    const bundle = this.bundleCursor.over(bytes, from, to);
    let cpu = -1;
    let lost = false;
    let compactStart = 0;
    let compactStop = 0;
    let ftraceClock = UNSPECIFIED_CLOCK;
    let stamp: { high: number; low: number } | undefined;
    let bootStamp: { high: number; low: number } | undefined;
    const events: number[] = [];
    while (bundle.next())
      switch (bundle.field) {
        case FtraceEventBundle.cpu:
          cpu = bundle.number();
          break;
        case FtraceEventBundle.event:
          events.push(bundle.start, bundle.stop);
          break;
        case FtraceEventBundle.lostEvents:
          lost = bundle.bool();
          break;
        case FtraceEventBundle.compactSched:
          compactStart = bundle.start;
          compactStop = bundle.stop;
          break;
        case FtraceEventBundle.ftraceClock:
          ftraceClock = bundle.number();
          break;
        case FtraceEventBundle.ftraceTimestamp:
          stamp = { high: bundle.high, low: bundle.low };
          break;
        case FtraceEventBundle.bootTimestamp:
          bootStamp = { high: bundle.high, low: bundle.low };
          break;
      }
    if (cpu < 0 || cpu >= MAX_CPUS) {
      this.context.count("malformed", "bundles of ftrace events without a CPU number");
      return;
    }
    this.cpu = cpu;
    this.clock = this.clockOf(ftraceClock, stamp, bootStamp);
    if (lost && !this.isKymo) {
      this.machine.chain(cpu).running = undefined;
      this.context.sink.problem({
        kind: "lost-events",
        cpu,
        message: `the kernel's buffer of CPU ${cpu} was full; events before this bundle are missing`,
        byteOffset: this.context.offset,
      });
    } else if (lost) this.machine.chain(cpu).running = undefined;
    this.merge(bytes, events, compactStart, compactStop);
  }

  private clockOf(
    kind: number,
    stamp: { high: number; low: number } | undefined,
    boot: { high: number; low: number } | undefined,
  ): number {
    if (kind === UNSPECIFIED_CLOCK) return BuiltinClock.boottime;
    let clock: number = BuiltinClock.boottime;
    if (kind === MONO_RAW_CLOCK) clock = BuiltinClock.monotonicRaw;
    else if (kind === GLOBAL_CLOCK || kind === LOCAL_CLOCK) clock = BuiltinClock.firstOfSequence;
    else {
      this.context.count("clock", `ftrace clock ${kind} is not known; its times count as boottime`);
      return clock;
    }
    if (stamp !== undefined && boot !== undefined)
      this.clocks.snapshot(this.sequence.id, [
        {
          clock: BuiltinClock.boottime,
          high: boot.high | 0,
          low: boot.low,
          incremental: false,
          multiplier: 1,
        },
        { clock, high: stamp.high | 0, low: stamp.low, incremental: false, multiplier: 1 },
      ]);
    return clock;
  }

  /** Switch columns, waking columns and full events, each in its order, by time. */
  private merge(bytes: Uint8Array, events: readonly number[], from: number, to: number): void {
    const { columns } = this;
    for (const column of Object.values(columns)) column.over(bytes, 0, 0);
    this.comms.length = 0;
    if (to > from) this.openColumns(bytes, from, to);

    let switchAt: number | undefined = this.firstTime(columns.switchTime);
    let wakingAt: number | undefined = this.firstTime(columns.wakingTime);
    let next = 0;
    let eventAt = this.eventTime(bytes, events, next);
    for (;;) {
      const switchTime = switchAt ?? Infinity;
      const wakingTime = wakingAt ?? Infinity;
      const eventTime = eventAt ?? Infinity;
      if (next < events.length && eventAt === undefined) {
        // No time, or none we can place: counted by eventTime.
        next += 2;
        eventAt = this.eventTime(bytes, events, next);
      } else if (eventAt !== undefined && eventTime <= switchTime && eventTime <= wakingTime) {
        this.event(bytes, events[next]!, events[next + 1]!, eventAt);
        next += 2;
        eventAt = this.eventTime(bytes, events, next);
      } else if (wakingAt !== undefined && wakingTime <= switchTime) {
        if (!this.compactWaking(wakingAt)) break;
        wakingAt = columns.wakingTime.next() ? wakingAt + columns.wakingTime.number() : undefined;
      } else if (switchAt !== undefined) {
        if (!this.compactSwitch(switchAt)) break;
        switchAt = columns.switchTime.next() ? switchAt + columns.switchTime.number() : undefined;
      } else break;
    }
  }

  private openColumns(bytes: Uint8Array, from: number, to: number): void {
    const { columns } = this;
    const compact = this.inner.over(bytes, from, to);
    while (compact.next()) {
      const { field } = compact;
      if (field === CompactSched.internTable) {
        if (this.comms.length < MAX_COMMS) this.comms.push(compact.text());
        continue;
      }
      const column = columnOf(columns, field);
      if (column === undefined) continue;
      if (compact.wire === 2) column.over(bytes, compact.start, compact.stop);
      else this.context.count("malformed", "scheduling columns that are not packed");
    }
  }

  private firstTime(column: PackedReader): number | undefined {
    if (!column.next()) return undefined;
    return this.time(column.high, column.low);
  }

  private time(high: number, low: number): number | undefined {
    const time = this.clocks.time(this.sequence.id, this.clock, high, low);
    if (time === undefined)
      this.context.count(
        "clock",
        "ftrace events on a clock that no snapshot relates to the trace's",
      );
    return time;
  }

  /** Time of the full event at `at` of the list; undefined at its end too. */
  private eventTime(bytes: Uint8Array, events: readonly number[], at: number): number | undefined {
    if (at >= events.length) return undefined;
    const event = this.eventCursor.over(bytes, events[at]!, events[at + 1]!);
    while (event.next())
      if (event.field === FtraceEvent.timestamp) return this.time(event.high, event.low);
    this.context.count("malformed", "ftrace events without a timestamp");
    return undefined;
  }

  // ── Scheduling ────────────────────────────────────────────────────────────────────────────────

  private compactSwitch(time: number): boolean {
    const { switchState, switchPid, switchPriority, switchComm } = this.columns;
    if (!switchState.next() || !switchPid.next() || !switchPriority.next() || !switchComm.next()) {
      this.context.count("malformed", "scheduling columns of different lengths");
      return false;
    }
    const chain = this.machine.chain(this.cpu);
    const next = this.thread(switchPid.int32(), time, this.comms[switchComm.low] ?? "");
    this.emitSwitch(time, chain.running ?? NO_TRACK, switchState.low, next, switchPriority.int32());
    return true;
  }

  private emitSwitch(
    time: number,
    previous: TrackId,
    state: number,
    next: TrackId,
    priority: number,
  ): void {
    const { sink } = this.context;
    const cpu = this.machine.cpu(this.cpu);
    sink.switch(cpu, this.context.ns(time), previous, this.state(state), next, priority);
    const chain = this.machine.chain(this.cpu);
    if (time >= chain.since) {
      chain.running = next;
      chain.since = time;
    }
  }

  private compactWaking(time: number): boolean {
    const { wakingPid, wakingCpu, wakingComm, wakingFlags } = this.columns;
    if (!wakingPid.next() || !wakingCpu.next() || !wakingComm.next()) {
      this.context.count("malformed", "scheduling columns of different lengths");
      return false;
    }
    const flags = wakingFlags.next() ? wakingFlags.low : 0;
    const thread = this.thread(wakingPid.int32(), time, this.comms[wakingComm.low] ?? "");
    const running = this.machine.chain(this.cpu).running ?? NO_TRACK;
    const waker = (flags & IRQ_FLAGS) !== 0 ? NO_TRACK : running;
    if (thread !== NO_TRACK)
      this.context.sink.waking(thread, this.context.ns(time), waker, wakingCpu.int32());
    return true;
  }

  /** NO_TRACK for the idle task. */
  private thread(tid: number, time: number, comm: string): TrackId {
    if (tid === 0) return NO_TRACK;
    const entry = this.machine.thread(tid, time, comm);
    if (!this.isKymo && comm !== "" && entry.name !== comm) this.rename(entry, time, comm);
    return entry.track;
  }

  /** A process that was named after its main thread goes on being so: an exec renames both. */
  private rename(entry: ThreadEntry, time: number, comm: string): void {
    const { sink } = this.context;
    const process = this.machine.processOf(entry);
    const at = this.context.ns(time);
    const name = sink.string(comm);
    if (process !== undefined && process.name === entry.name && !this.isKymo) {
      process.name = comm;
      sink.life(process.track, at, "rename", name);
    }
    entry.name = comm;
    sink.life(entry.track, at, "rename", name);
  }

  /** The letter of prev_state. */
  private state(bits: number): StringId {
    const known = this.states.get(bits);
    if (known !== undefined) return known;
    const letter = this.oldStates ? oldLetter(bits) : newLetter(bits);
    const id = this.context.sink.string(letter);
    if (this.states.size < 4096) this.states.set(bits, id);
    return id;
  }

  // ── Full events ───────────────────────────────────────────────────────────────────────────────

  private event(bytes: Uint8Array, start: number, stop: number, time: number): void {
    const event = this.eventCursor.over(bytes, start, stop);
    let pid = 0;
    let flags = 0;
    let kind = 0;
    const inner = this.inner;
    while (event.next())
      if (event.field === FtraceEvent.pid) pid = event.int32();
      else if (event.field === FtraceEvent.commonFlags) flags = event.number();
      else if (event.wire === 2 && kind === 0) {
        kind = event.field;
        inner.into(event);
      }
    switch (kind) {
      case FtraceEvent.schedSwitch:
        this.schedSwitch(inner, time);
        return;
      case FtraceEvent.schedWaking:
        this.schedWaking(inner, time, pid, flags);
        return;
      case FtraceEvent.taskNewtask:
        this.newtask(inner, time, pid);
        return;
      case FtraceEvent.taskRename:
        this.taskRename(inner, time);
        return;
      case FtraceEvent.schedProcessExec:
        this.exec(inner, time);
        return;
      case FtraceEvent.schedProcessExit:
        this.exit(inner, time);
        return;
      case FtraceEvent.print:
        this.print(inner, time, pid);
        return;
      // They say what sched_waking, task_newtask and sched_process_exit have said.
      case FtraceEvent.schedWakeup:
      case FtraceEvent.schedWakeupNew:
      case FtraceEvent.schedProcessFork:
      case FtraceEvent.schedProcessFree:
        return;
      default:
        this.context.count("unsupported", `ftrace events of field ${kind} are not read`);
    }
  }

  private schedSwitch(event: ProtoReader, time: number): void {
    let prevComm = "";
    let prevPid = 0;
    let state = 0;
    let nextComm = "";
    let nextPid = 0;
    let priority = 0;
    while (event.next())
      switch (event.field) {
        case SchedSwitch.prevComm:
          prevComm = event.text();
          break;
        case SchedSwitch.prevPid:
          prevPid = event.int32();
          break;
        case SchedSwitch.prevState:
          state = event.low;
          break;
        case SchedSwitch.nextComm:
          nextComm = event.text();
          break;
        case SchedSwitch.nextPid:
          nextPid = event.int32();
          break;
        case SchedSwitch.nextPrio:
          priority = event.int32();
          break;
      }
    const previous = this.thread(prevPid, time, prevComm);
    this.emitSwitch(time, previous, state, this.thread(nextPid, time, nextComm), priority);
  }

  private schedWaking(event: ProtoReader, time: number, waker: number, flags: number): void {
    let comm = "";
    let pid = 0;
    let cpu = -1;
    while (event.next())
      if (event.field === SchedWaking.comm) comm = event.text();
      else if (event.field === SchedWaking.pid) pid = event.int32();
      else if (event.field === SchedWaking.targetCpu) cpu = event.int32();
    const thread = this.thread(pid, time, comm);
    if (thread === NO_TRACK) return;
    const by = (flags & IRQ_FLAGS) !== 0 ? NO_TRACK : this.thread(waker, time, "");
    this.context.sink.waking(thread, this.context.ns(time), by, cpu);
  }

  private newtask(event: ProtoReader, time: number, creator: number): void {
    let tid = 0;
    let comm = "";
    let flags = 0;
    while (event.next())
      if (event.field === TaskNewtask.pid) tid = event.int32();
      else if (event.field === TaskNewtask.comm) comm = event.text();
      else if (event.field === TaskNewtask.cloneFlags) flags = event.low;
    if (tid === 0) return;
    const { sink } = this.context;
    let entry: ThreadEntry;
    if (this.isKymo) entry = this.machine.thread(tid, time, comm);
    else {
      const isThread = (flags & CLONE_THREAD) !== 0;
      const creatorPid = this.machine.threads.get(creator)?.pid;
      if (!isThread && creatorPid !== undefined) this.machine.parentPids.set(tid, creatorPid);
      entry = this.machine.born(tid, time, isThread ? creatorPid : tid, comm);
    }
    sink.life(entry.track, this.context.ns(time), "start", sink.string(comm));
  }

  private taskRename(event: ProtoReader, time: number): void {
    let tid = 0;
    let name = "";
    while (event.next())
      if (event.field === TaskRename.pid) tid = event.int32();
      else if (event.field === TaskRename.newcomm) name = event.text();
    if (tid !== 0) this.rename(this.machine.thread(tid, time, name), time, name);
  }

  private exec(event: ProtoReader, time: number): void {
    let tid = 0;
    let file = "";
    while (event.next())
      if (event.field === SchedProcessExec.pid) tid = event.int32();
      else if (event.field === SchedProcessExec.filename) file = event.text();
    if (tid === 0) return;
    const { sink } = this.context;
    const { track } = this.machine.thread(tid, time);
    sink.life(track, this.context.ns(time), "exec", sink.string(file));
  }

  private exit(event: ProtoReader, time: number): void {
    let tid = 0;
    let comm = "";
    while (event.next())
      if (event.field === SchedProcessExit.pid) tid = event.int32();
      else if (event.field === SchedProcessExit.comm) comm = event.text();
    if (tid === 0) return;
    const { sink } = this.context;
    const { track } = this.machine.thread(tid, time, comm);
    sink.life(track, this.context.ns(time), "exit", sink.string(this.isKymo ? comm : ""));
  }

  /** What atrace writes into trace_marker: B|pid|name, E|pid, I|pid|name, C|pid|name|value. */
  private print(event: ProtoReader, time: number, tid: number): void {
    let text = "";
    while (event.next()) if (event.field === FtracePrint.buf) text = event.text();
    const [what, pidText, name = "", value = ""] = text.trimEnd().split("|");
    const pid = Number(pidText);
    const { sink } = this.context;
    const ts: Ns = this.context.ns(time);
    const thread = (): TrackId =>
      this.machine.thread(tid, time, "", Number.isSafeInteger(pid) ? pid : undefined).track;
    if (tid === 0) this.context.count("unsupported", "prints of the idle task are not read");
    else if (what === "B") sink.begin(thread(), ts, sink.string(name), 0 as StringId, -1 as never);
    else if (what === "E") sink.end(thread(), ts, -1 as never);
    else if (what === "I")
      sink.instant(thread(), ts, sink.string(name), 0 as StringId, -1 as never);
    else if (what === "C" && Number.isFinite(Number(value)) && Number.isSafeInteger(pid))
      sink.counter(this.printCounter(pid, name), ts, Number(value));
    else this.context.count("unsupported", "ftrace prints that are not atrace's B, E, I or C");
  }
  private readonly printCounters = new Map<string, TrackId>();
  private printCounter(pid: number, name: string): TrackId {
    const key = `${pid} ${name}`;
    let track = this.printCounters.get(key);
    if (track === undefined) {
      const parent = this.machine.process(pid).track;
      track = this.context.sink.track({ kind: "counter", name, parent });
      this.printCounters.set(key, track);
    }
    return track;
  }
}

function columnOf(columns: Columns, field: number): PackedReader | undefined {
  switch (field) {
    case CompactSched.switchTimestamp:
      return columns.switchTime;
    case CompactSched.switchPrevState:
      return columns.switchState;
    case CompactSched.switchNextPid:
      return columns.switchPid;
    case CompactSched.switchNextPrio:
      return columns.switchPriority;
    case CompactSched.switchNextCommIndex:
      return columns.switchComm;
    case CompactSched.wakingTimestamp:
      return columns.wakingTime;
    case CompactSched.wakingPid:
      return columns.wakingPid;
    case CompactSched.wakingTargetCpu:
      return columns.wakingCpu;
    case CompactSched.wakingCommIndex:
      return columns.wakingComm;
    case CompactSched.wakingCommonFlags:
      return columns.wakingFlags;
    default:
      return undefined;
  }
}

/** Linux ≥ 4.14. Preempted is "R" as well: it can run. */
function newLetter(bits: number): string {
  const low = bits & 0xff;
  if (low === 0) return "R";
  // Parked and idle are said beside D or S: the higher bit tells more.
  for (let bit = STATE_LETTERS.length - 1; bit >= 0; bit--)
    if ((low & (1 << bit)) !== 0) return STATE_LETTERS[bit]!;
  return "R";
}

/** Linux < 4.14: the scheduler's own bits. @see include/linux/sched.h of that time */
function oldLetter(bits: number): string {
  if ((bits & 0x200) !== 0) return "P";
  if ((bits & 0x402) === 0x402) return "I";
  const low = bits & 0x7f;
  const letters = ["S", "D", "T", "t", "X", "Z", "X"];
  for (let bit = 0; bit < letters.length; bit++) if ((low & (1 << bit)) !== 0) return letters[bit]!;
  return "R";
}
