/** Processes, threads and CPUs of one machine, found by number, as tracks of the sink. */
import type { TrackId, TrackInfo } from "../../model/sink.ts";
import type { ReaderContext } from "./context.ts";

export interface ThreadEntry {
  readonly track: TrackId;
  readonly pid: number | undefined;
  name: string;
  /** Has had its start event. */
  started: boolean;
  /** ns since the clocks' base; when it was first seen running. */
  readonly since: number;
}
export interface ProcessEntry {
  readonly track: TrackId;
  name: string;
}
/** A task that ftrace says was made, not yet come up in an event. */
export interface Birth {
  readonly time: number;
  readonly tid: number;
  readonly pid: number | undefined;
  readonly comm: string;
}
export interface CpuChain {
  /** undefined: not known. */
  running: TrackId | undefined;
  since: number;
}
/** Threads, processes or CPUs of a file; numbers beyond are damage. */
const MAX_TRACKS = 1 << 22;

export class Machine {
  private readonly context: ReaderContext;
  private readonly host: TrackId | undefined;
  readonly threads: Map<number, ThreadEntry> = new Map();
  readonly processes: Map<number, ProcessEntry> = new Map();
  private overflow: TrackId | undefined;
  private readonly cpus: Map<number, TrackId> = new Map();
  private readonly chains: Map<number, CpuChain> = new Map();
  /** From process trees: who forked a process, and which process a thread belongs to. */
  readonly parentPids: Map<number, number> = new Map();
  private readonly treeThreads: Map<number, { readonly pid: number; readonly name: string }> =
    new Map();

  /** @param host parent of its processes and CPUs */
  constructor(context: ReaderContext, host: TrackId | undefined) {
    this.context = context;
    this.host = host;
  }

  chain(cpu: number): CpuChain {
    let chain = this.chains.get(cpu);
    if (chain === undefined) {
      chain = { running: undefined, since: -Infinity };
      this.chains.set(cpu, chain);
    }
    return chain;
  }

  cpu(number: number): TrackId {
    const known = this.cpus.get(number);
    if (known !== undefined) return known;
    const track = this.declare({
      kind: "cpu",
      name: `CPU ${number}`,
      cpu: number,
      ...this.under(),
    });
    this.cpus.set(number, track);
    return track;
  }
  setCpu(number: number, track: TrackId): void {
    this.cpus.set(number, track);
    this.chains.delete(number);
  }

  process(pid: number, name = ""): ProcessEntry {
    const known = this.processes.get(pid);
    if (known !== undefined) {
      if (name !== "") this.rename(known, name);
      return known;
    }
    const parentPid = this.parentPids.get(pid);
    const info: TrackInfo = { kind: "process", name, pid, ...this.under() };
    const track = this.declare(parentPid === undefined ? info : { ...info, parentPid });
    const entry = { track, name };
    this.processes.set(pid, entry);
    return entry;
  }

  /** The process whose main thread this is. */
  processOf(thread: ThreadEntry): ProcessEntry | undefined {
    const { pid } = thread;
    if (pid === undefined || this.threads.get(pid) !== thread) return undefined;
    return this.processes.get(pid);
  }

  /** A later, better name of a thread or process. */
  rename(entry: ThreadEntry | ProcessEntry, name: string): void {
    if (name === "" || entry.name === name) return;
    entry.name = name;
    const { sink } = this.context;
    sink.life(entry.track, this.context.latest(), "rename", sink.string(name));
  }

  treeThread(tid: number, pid: number, name: string): void {
    const entry = this.threads.get(tid);
    if (entry === undefined) this.treeThreads.set(tid, { pid, name });
    else this.rename(entry, name);
  }

  /**
   * The thread of a tid at `time`; made when it is new.
   *
   * @param comm its name where the event says so
   * @param pid  its process where that is known
   */
  thread(tid: number, time: number, comm = "", pid?: number): ThreadEntry {
    const known = this.threads.get(tid);
    if (known !== undefined) return known;
    const tree = this.treeThreads.get(tid);
    return this.makeThread(tid, time, comm || tree?.name || "", pid ?? tree?.pid);
  }

  makeThread(tid: number, time: number, name: string, pid: number | undefined): ThreadEntry {
    // A tid that names a process is its main thread.
    const of = pid ?? (this.processes.has(tid) ? tid : undefined);
    const parent =
      of === undefined
        ? this.host
        : this.process(of, of === tid && !this.processes.has(of) ? name : "").track;
    let info: TrackInfo = { kind: "thread", name, tid };
    if (of !== undefined) info = { ...info, pid: of };
    if (parent !== undefined) info = { ...info, parent };
    const entry: ThreadEntry = {
      track: this.declare(info),
      pid: of,
      name,
      started: false,
      since: time,
    };
    this.threads.set(tid, entry);
    return entry;
  }

  /** A thread as kymo declared it takes over its tid. */
  setThread(tid: number, track: TrackId, pid: number | undefined, name: string): void {
    this.threads.set(tid, { track, pid, name, started: true, since: -Infinity });
  }

  /**
   * ftrace saw a task being made. A tid that ran before `time` was another task: this is a new thread.
   *
   * @param pid its process; undefined when its creator's is not known
   */
  born(tid: number, time: number, pid: number | undefined, comm: string): ThreadEntry {
    const known = this.threads.get(tid);
    if (known !== undefined && !known.started && known.since >= time) {
      known.started = true;
      this.rename(known, comm);
      return known;
    }
    if (pid === tid && known !== undefined) this.processes.delete(tid);
    const entry = this.makeThread(tid, time, comm, pid);
    entry.started = true;
    return entry;
  }

  private under(): { readonly parent?: TrackId } {
    return this.host === undefined ? {} : { parent: this.host };
  }

  private declare(info: TrackInfo): TrackId {
    if (this.threads.size + this.processes.size + this.cpus.size >= MAX_TRACKS) {
      this.context.count("malformed", "tracks beyond the first 4 million are one");
      this.overflow ??= this.context.sink.track({ kind: "custom", name: "more tracks" });
      return this.overflow;
    }
    return this.context.sink.track(info);
  }
}
