/**
 * perf records → calls of the sink, in the order of time that merge.ts gives.
 *
 *     sched_switch, sched_waking     scheduling of every CPU
 *     comm, fork, exit, mmap2        names and lives of tasks, what their code addresses mean
 *     sys_enter, sys_exit            slices on the thread
 *     cpu-clock samples              stacks
 *     lost                           problems
 *
 * Every read is inside the record: its size is checked against the layout first, and a record that is too short for what
 * it claims is counted as malformed.
 */
import {
  NO_ARGS,
  NO_TRACK,
  type Ns,
  type StringId,
  type TraceSink,
  type TrackId,
} from "@kymo/trace";
import { errnoName } from "../../linux/errno.ts";
import type { RecordSource } from "../../linux/perf-ring.ts";
import { signalName } from "../../linux/signals.ts";
import { syscallName } from "../../linux/syscall-names.ts";
import type { CpuSwitches } from "./idle.ts";
import {
  dataLocation,
  type ExecLayout,
  type SignalLayout,
  type SwitchLayout,
  type SyscallEnterLayout,
  type SyscallExitLayout,
  type WakingLayout,
} from "./layout.ts";
import {
  headerBytes,
  Misc,
  payloadAt,
  RecordType,
  readText,
  readU64,
  trailerBytes,
} from "./records.ts";
import { type FrameSource, Stacks } from "./stacks.ts";
import type { Task, Tasks } from "./tasks.ts";

/** What one opened event records: a sample's id leads here. */
export type EventKind =
  | { readonly kind: "switch"; readonly layout: SwitchLayout }
  | { readonly kind: "waking"; readonly layout: WakingLayout }
  | { readonly kind: "syscall-enter"; readonly layout: SyscallEnterLayout }
  | { readonly kind: "syscall-exit"; readonly layout: SyscallExitLayout }
  | { readonly kind: "exec"; readonly layout: ExecLayout }
  | { readonly kind: "signal"; readonly layout: SignalLayout }
  | { readonly kind: "sample"; readonly periodNs: number }
  | { readonly kind: "side-band" };

/** What the decoder needs of linux/symbols. */
export interface Symbols extends FrameSource {
  map(
    pid: number,
    mapping: {
      readonly start: bigint;
      readonly length: number;
      readonly offset: number;
      readonly path: string;
      readonly buildId?: string;
    },
  ): void;
  exec(pid: number): void;
  exit(pid: number): void;
}

export interface DecoderSetup {
  readonly tasks: Tasks;
  /** The track of each CPU that has a ring. */
  readonly cpus: ReadonlyMap<number, TrackId>;
  /** By the low half of the id that the kernel gave the event. */
  readonly events: ReadonlyMap<number, EventKind>;
  readonly symbols: Symbols;
  /** Samples and signals of every process, not only of the recorded tree. */
  readonly everything: boolean;
  /** System calls that aren't drawn: they say something to kymo. The mode is the third argument. */
  readonly isMark?: (call: number, mode: number) => boolean;
  /** A CPU left idle: the kernel had reported it as a sched_switch, as it should, or it had not. */
  onIdleExit?(cpu: number, reported: boolean): void;
  /** As in `process.arch`: which table of system calls. */
  readonly arch: string;
}

const kernelInterruptFlags = 0x08 | 0x10; // TRACE_FLAG_HARDIRQ | TRACE_FLAG_SOFTIRQ
/** Ids of events are looked up by index up to this far from the first one. */
const idSpanLimit = 65_536;
/** Task states are flags below this; anything above is looked up each time. */
const stateLimit = 2 ** 16;
/** The lowest errno in a return value; below it are addresses and lengths. */
const lowestErrno = -4095;

export class PerfDecoder {
  /** Records handled, without the side band. */
  events = 0;
  lost = 0;
  malformed = 0;
  /** Switches that must have been, by what came after, and had no record. */
  unreported = 0;
  readonly #sink: TraceSink;
  readonly #setup: DecoderSetup;
  readonly #tasks: Tasks;
  readonly #stacks: Stacks;
  readonly #text: {
    readonly syscall: StringId;
    readonly signal: StringId;
    readonly ret: StringId;
    readonly errno: StringId;
    readonly code: StringId;
    readonly running: StringId;
    readonly sleeping: StringId;
  };
  readonly #stateIds: StringId[] = [];
  readonly #syscallIds: StringId[] = [];
  /** By CPU; NaN: none yet. */
  readonly #lastTs: Float64Array;
  readonly #lostOnCpu = new Map<number, number>();
  /** By CPU: the tid that the last sched_switch let run. */
  readonly #runningOn: Int32Array;
  readonly #firstId: number;
  readonly #eventsById: EventKind[] = [];
  readonly #cpuTracks: TrackId[] = [];
  readonly #switches: Float64Array;
  readonly #toIdle: Float64Array;
  readonly #hasSchedSwitch: boolean;
  /** Names that an exec gave and whose file is still to be reported, by tid. */
  readonly #pendingExec = new Map<number, string>();

  constructor(sink: TraceSink, setup: DecoderSetup) {
    this.#sink = sink;
    this.#setup = setup;
    this.#tasks = setup.tasks;
    this.#stacks = new Stacks(sink, setup.symbols);
    this.#firstId = Math.min(...setup.events.keys());
    for (const [id, event] of setup.events)
      if (id - this.#firstId < idSpanLimit) this.#eventsById[id - this.#firstId] = event;
    for (const [cpu, track] of setup.cpus) this.#cpuTracks[cpu] = track;
    const cpuCount = Math.max(0, ...setup.cpus.keys()) + 1;
    this.#lastTs = new Float64Array(cpuCount).fill(NaN);
    this.#runningOn = new Int32Array(cpuCount).fill(-1);
    this.#switches = new Float64Array(cpuCount);
    this.#toIdle = new Float64Array(cpuCount);
    this.#hasSchedSwitch = [...setup.events.values()].some(({ kind }) => kind === "switch");
    this.#text = {
      syscall: sink.string("syscall"),
      signal: sink.string("signal"),
      ret: sink.string("ret"),
      errno: sink.string("errno"),
      code: sink.string("code"),
      running: sink.string("R"),
      sleeping: sink.string("S"),
    };
  }

  /** Lost records that the kernel has reported for a CPU so far. */
  lostOn(cpu: number): number {
    return this.#lostOnCpu.get(cpu) ?? 0;
  }

  switchesOn(cpu: number): CpuSwitches {
    return { switches: this.#switches[cpu] ?? 0, toIdle: this.#toIdle[cpu] ?? 0 };
  }

  /** Time of the last record seen of a CPU. */
  lastTs(cpu: number): Ns | undefined {
    const ts = this.#lastTs[cpu] ?? NaN;
    return Number.isNaN(ts) ? undefined : (ts as Ns);
  }

  /** Decodes the source's current record, whose time is `ts`. */
  record(source: RecordSource, ts: Ns): void {
    const { u32, u16 } = source.bytes;
    const { at, size } = source;
    if (size < payloadAt) {
      this.malformed++;
      return;
    }
    const type = u32[at >> 2]!;
    if (type === RecordType.sample) {
      this.events++;
      this.#sample(source, ts);
    } else this.#sideBand(source, ts, type, u16[(at + 4) >> 1]!);
    this.#lastTs[source.cpu] = ts;
  }

  #sample(source: RecordSource, ts: Ns): void {
    const { u32, i32, u8 } = source.bytes;
    const { at, size } = source;
    const event = this.#eventOf(u32[(at + headerBytes) >> 2]!);
    if (event === undefined || event.kind === "side-band") {
      this.malformed++;
      return;
    }
    if (event.kind === "sample") {
      this.#cpuSample(source, ts, event.periodNs);
      return;
    }
    if (size < event.layout.bytes) {
      this.malformed++;
      return;
    }
    switch (event.kind) {
      case "switch": {
        const { layout } = event;
        const cpu = this.#cpuTracks[source.cpu];
        if (cpu === undefined) return;
        const previousTid = i32[(at + layout.prevPid) >> 2]!;
        const nextTid = i32[(at + layout.nextPid) >> 2]!;
        const previous =
          previousTid === 0
            ? undefined
            : (this.#tasks.known(previousTid) ??
              this.#named(previousTid, livePid(i32[(at + 16) >> 2]!), u8, at + layout.prevComm));
        const next =
          nextTid === 0
            ? undefined
            : (this.#tasks.known(nextTid) ??
              this.#named(nextTid, undefined, u8, at + layout.nextComm));
        const state = u32[(at + layout.prevState) >> 2]!;
        const believed = this.#runningOn[source.cpu]!;
        if (believed !== previousTid && believed >= 0) this.unreported++;
        this.#runningOn[source.cpu] = nextTid;
        this.#switches[source.cpu]!++;
        if (nextTid === 0) this.#toIdle[source.cpu]!++;
        this.#sink.switch(
          cpu,
          ts,
          previous === undefined ? NO_TRACK : previous.track,
          this.#state(state, layout.stateLetters),
          next === undefined ? NO_TRACK : next.track,
          i32[(at + layout.nextPrio) >> 2]!,
        );
        // Exiting takes a while: a task can be preempted, or block, between its exit record and its end.
        if (previous?.exited && (state & layout.deadStates) !== 0) this.#tasks.forget(previous);
        return;
      }
      case "waking": {
        const { layout } = event;
        const tid = i32[(at + layout.pid) >> 2]!;
        if (tid === 0) return;
        const task = this.#tasks.known(tid) ?? this.#named(tid, undefined, u8, at + layout.comm);
        const interrupt = (u8[at + layout.flags]! & kernelInterruptFlags) !== 0;
        const waker = interrupt ? NO_TRACK : this.#waker(source);
        this.#sink.waking(task.track, ts, waker, i32[(at + layout.targetCpu) >> 2]!);
        return;
      }
      case "syscall-enter": {
        const task = this.#taskOf(source);
        if (task.inSyscall) this.#sink.end(task.track, ts, NO_ARGS); // its exit was lost
        const number = i32[(at + event.layout.id) >> 2]!;
        if (this.#setup.isMark?.(number, i32[(at + event.layout.args + 16) >> 2]!)) {
          task.inSyscall = false;
          return;
        }
        task.inSyscall = true;
        this.#sink.begin(task.track, ts, this.#syscall(number), this.#text.syscall, NO_ARGS);
        return;
      }
      case "syscall-exit": {
        const task = this.#taskOf(source);
        if (!task.inSyscall) return; // entered before the recording, or a forked child coming back
        task.inSyscall = false;
        const word = (at + event.layout.ret) >> 2;
        const { args } = this.#sink;
        const lo = u32[word]!;
        const hi = i32[word + 1]!;
        const ret = hi * 2 ** 32 + lo;
        args.int(
          this.#text.ret,
          Number.isSafeInteger(ret) ? ret : (BigInt(hi) << 32n) | BigInt(lo),
        );
        if (ret < 0 && ret >= lowestErrno)
          args.text(this.#text.errno, this.#sink.string(errnoName(-ret)));
        this.#sink.end(task.track, ts, args.done());
        return;
      }
      case "exec": {
        const { from, length } = dataLocation(u32, at, event.layout.filename);
        const end = at + Math.min(from + length, size);
        const task = this.#taskOf(source);
        const name = this.#pendingExec.get(task.tid);
        this.#pendingExec.delete(task.tid);
        this.#tasks.exec(ts, task.process.pid, task.tid, name, readText(u8, at + from, end));
        return;
      }
      case "signal": {
        const task = this.#taskOf(source);
        if (!this.#wanted(task)) return;
        const { args } = this.#sink;
        args.int(this.#text.code, i32[(at + event.layout.code) >> 2]!);
        const name = signalName(i32[(at + event.layout.signal) >> 2]!);
        this.#sink.instant(task.track, ts, this.#sink.string(name), this.#text.signal, args.done());
        return;
      }
    }
  }

  /** An index where the ids lie close together, as they do; a map costs a tenth of the whole decoding. */
  #eventOf(id: number): EventKind | undefined {
    const index = id - this.#firstId;
    return index >= 0 && index < idSpanLimit ? this.#eventsById[index] : this.#setup.events.get(id);
  }

  #wanted(task: Task): boolean {
    return this.#setup.everything || task.process.inTree;
  }

  /** The task that a sample was taken in. */
  #taskOf(source: RecordSource): Task {
    const { i32 } = source.bytes;
    const tid = i32[(source.at + 20) >> 2]!;
    return this.#tasks.known(tid) ?? this.#tasks.task(tid, i32[(source.at + 16) >> 2]!);
  }

  /** Who runs where the event came from; NO_TRACK for the idle task and for one that is not known. */
  #waker(source: RecordSource): TrackId {
    const tid = source.bytes.i32[(source.at + 20) >> 2]!;
    if (tid > 0) return this.#taskOf(source).track;
    // A task wakes its parent after it gave its ids back: it is still the one that was switched to last.
    const running = tid < 0 ? this.#runningOn[source.cpu]! : 0;
    return running > 0 ? (this.#tasks.known(running)?.track ?? NO_TRACK) : NO_TRACK;
  }

  /** A task seen for the first time, by an event that says its name. */
  #named(tid: number, pid: number | undefined, u8: Uint8Array, comm: number): Task {
    return this.#tasks.task(tid, pid, readText(u8, comm, comm + 16));
  }

  /** The letter of the lowest state bit that has one; none: runnable. */
  #state(state: number, letters: ReadonlyMap<number, string>): StringId {
    let id = this.#stateIds[state];
    if (id === undefined) {
      let letter = "R";
      for (const [bit, text] of letters)
        if ((state & bit) !== 0) {
          letter = text;
          break;
        }
      id = this.#sink.string(letter);
      if (state < stateLimit) this.#stateIds[state] = id;
    }
    return id;
  }

  #syscall(number: number): StringId {
    let id = this.#syscallIds[number];
    if (id === undefined) {
      id = this.#sink.string(syscallName(this.#setup.arch, number));
      if (number >= 0 && number < 4096) this.#syscallIds[number] = id;
    }
    return id;
  }

  #cpuSample(source: RecordSource, ts: Ns, periodNs: number): void {
    const { u32 } = source.bytes;
    const { at, size } = source;
    if (u32[(at + 20) >> 2] === 0) return; // the idle task
    const task = this.#taskOf(source);
    if (!this.#wanted(task)) return;
    const count = u32[(at + payloadAt) >> 2]!;
    if (size < payloadAt + 8 || count > (size - payloadAt - 8) / 8) {
      this.malformed++;
      return;
    }
    const stack = this.#stacks.stack(task.process.pid, u32, at + payloadAt + 8, count);
    this.#sink.sample(task.track, ts, stack, periodNs, source.cpu);
  }

  #sideBand(source: RecordSource, ts: Ns, type: number, misc: number): void {
    const { u32, u8 } = source.bytes;
    const { at, size } = source;
    const end = at + size - trailerBytes;
    const body = (at + headerBytes) >> 2;
    const bodyBytes = size - headerBytes - trailerBytes;
    switch (type) {
      case RecordType.fork: {
        if (bodyBytes < 24) break;
        const [pid, parentPid, tid, parentTid] = [
          u32[body]!,
          u32[body + 1]!,
          u32[body + 2]!,
          u32[body + 3]!,
        ];
        this.#tasks.fork(ts, pid, tid, parentPid, parentTid);
        return;
      }
      case RecordType.exit:
        if (bodyBytes < 24) break;
        if (this.#tasks.exit(ts, u32[body]!, u32[body + 2]!).process.exited)
          this.#setup.symbols.exit(u32[body]!);
        return;
      case RecordType.comm: {
        if (bodyBytes < 8) break;
        const [pid, tid] = [u32[body]!, u32[body + 1]!];
        const name = readText(u8, at + headerBytes + 8, end);
        if ((misc & Misc.commExec) === 0) this.#tasks.rename(ts, pid, tid, name);
        else this.#commOfExec(ts, pid, tid, name);
        return;
      }
      case RecordType.mmap2:
        if (bodyBytes < 64) break;
        this.#mapping(source, misc, end);
        return;
      case RecordType.lost:
      case RecordType.lostSamples: {
        const word = body + (type === RecordType.lost ? 2 : 0);
        if (bodyBytes < (type === RecordType.lost ? 16 : 8)) break;
        this.reportLost(
          source.cpu,
          u32[word]! + u32[word + 1]! * 2 ** 32,
          this.lastTs(source.cpu) ?? ts,
          ts,
        );
        return;
      }
      case RecordType.switch:
        this.events++;
        this.#ownSwitch(source, ts, misc);
        return;
      case RecordType.switchCpuWide:
        if (bodyBytes < 8) break;
        this.#cpuWideSwitch(source, ts, misc, u32[body]!, u32[body + 1]!);
        return;
      default:
        return; // read values, throttling: nothing that a trace shows
    }
    this.malformed++;
  }

  /** The kernel renames first and reports the exec, with the file, a moment later, where that tracepoint is recorded. */
  #commOfExec(ts: Ns, pid: number, tid: number, name: string): void {
    this.#setup.symbols.exec(pid);
    for (const event of this.#setup.events.values())
      if (event.kind === "exec") {
        this.#pendingExec.set(tid, name);
        return;
      }
    this.#tasks.exec(ts, pid, tid, name, "");
  }

  #mapping(source: RecordSource, misc: number, end: number): void {
    const { u32, u8 } = source.bytes;
    const body = source.at + headerBytes;
    const process = this.#tasks.task(u32[(body >> 2) + 1]!, u32[body >> 2]!).process;
    if (!this.#setup.everything && !process.inTree) return;
    const path = readText(u8, body + 64, end);
    const buildIdBytes = Math.min(u8[body + 32]!, 20);
    const buildId =
      (misc & Misc.mmapBuildId) === 0
        ? undefined
        : Buffer.from(u8.subarray(body + 36, body + 36 + buildIdBytes)).toString("hex");
    this.#setup.symbols.map(process.pid, {
      start: readU64(u32, body + 8),
      length: Number(readU64(u32, body + 16)),
      offset: Number(readU64(u32, body + 24)),
      path,
      ...(buildId === undefined || buildId === "" ? {} : { buildId }),
    });
  }

  /** Without privileges the kernel says when the target's own threads come and go, not who runs instead. */
  #ownSwitch(source: RecordSource, ts: Ns, misc: number): void {
    const cpu = this.#setup.cpus.get(source.cpu);
    if (cpu === undefined) return;
    const task = this.#trailerTask(source);
    if (task === undefined) return;
    if ((misc & Misc.switchOut) === 0)
      this.#sink.switch(cpu, ts, NO_TRACK, this.#text.running, task.track, unknownPriority);
    else this.#sink.switch(cpu, ts, task.track, this.#stateOut(misc), NO_TRACK, unknownPriority);
  }

  /**
   * A switch comes as an "out" and an "in" record. Root without tracefs takes the "out", which says all. Beside
   * sched_switch only an "in" after idle is of use, where that doesn't report it (idle.ts).
   */
  #cpuWideSwitch(
    source: RecordSource,
    ts: Ns,
    misc: number,
    otherPid: number,
    otherTid: number,
  ): void {
    const cpu = this.#setup.cpus.get(source.cpu);
    if (cpu === undefined) return;
    const out = (misc & Misc.switchOut) !== 0;
    if (this.#hasSchedSwitch) {
      const next = out || otherTid !== 0 ? undefined : this.#trailerTask(source);
      if (next === undefined) return;
      const reported = this.#runningOn[source.cpu] === next.tid;
      this.#setup.onIdleExit?.(source.cpu, reported);
      if (reported) return;
      this.#runningOn[source.cpu] = next.tid;
      this.events++;
      this.#sink.switch(cpu, ts, NO_TRACK, this.#text.running, next.track, unknownPriority);
      return;
    }
    if (!out) return;
    this.events++;
    const previous = this.#trailerTask(source);
    const next = otherTid === 0 ? NO_TRACK : this.#tasks.task(otherTid, otherPid).track;
    this.#sink.switch(
      cpu,
      ts,
      previous?.track ?? NO_TRACK,
      this.#stateOut(misc),
      next,
      unknownPriority,
    );
  }

  /** These records only tell preempted from blocked: "S" stands for every way to block. */
  #stateOut(misc: number): StringId {
    return (misc & Misc.switchOutPreempt) !== 0 ? this.#text.running : this.#text.sleeping;
  }

  #trailerTask(source: RecordSource): Task | undefined {
    const { i32 } = source.bytes;
    const word = (source.at + source.size - trailerBytes) >> 2;
    const tid = i32[word + 1]!;
    return tid <= 0 ? undefined : this.#tasks.task(tid, i32[word]!);
  }

  /** Records were dropped because a ring was full. */
  reportLost(cpu: number, count: number, from: Ns, to: Ns): void {
    this.lost += count;
    this.#lostOnCpu.set(cpu, this.lostOn(cpu) + count);
    this.#sink.problem({
      kind: "lost-events",
      cpu,
      count,
      from,
      to,
      message: `the kernel's ring buffer of cpu ${cpu} was full; raise --buffer-mb`,
    });
  }
}

/** PERF_RECORD_SWITCH has no priority. */
const unknownPriority = -1;

/** The kernel says pid −1 of a task that gave its ids back when it exited. */
function livePid(pid: number): number | undefined {
  return pid < 0 ? undefined : pid;
}
