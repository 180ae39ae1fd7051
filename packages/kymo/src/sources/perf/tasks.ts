/**
 * Threads and processes seen so far, by tid: names, parents, the tracks they were declared as.
 *
 * A task is declared when its first event is recorded: from its fork when we saw that, else from /proc, else from what
 * the event itself says. A pid that is used again is a new process with a new track.
 */
import { NO_ARGS, type Ns, type StringId, type TraceSink, type TrackId } from "@kymo/trace";
import type { TaskStatus } from "../../linux/proc.ts";

export interface Process {
  readonly pid: number;
  readonly parentPid: number;
  readonly track: TrackId;
  /** Belongs to the recorded command: the target or a descendant of it. */
  readonly inTree: boolean;
  name: string;
  /** Known threads that have not exited. */
  readonly live: Set<number>;
  leaderExited: boolean;
  exited: boolean;
}
export interface Task {
  readonly tid: number;
  readonly process: Process;
  readonly track: TrackId;
  name: string;
  /** Between a sys_enter and its sys_exit. */
  inSyscall: boolean;
  exited: boolean;
}

export interface TasksSetup {
  readonly host: TrackId;
  /** Root of the recorded tree. */
  readonly targetPid?: number | undefined;
  /** Looks into /proc; a map in tests. */
  readTask(tid: number): TaskStatus | undefined;
  /** A process appeared by fork: mappings are inherited. */
  onFork?(parent: Process, child: Process): void;
}

/** The kernel's own limit (PID_MAX_LIMIT). Untouched parts of an index of this size take no memory. */
const tidLimit = 2 ** 22;

export class Tasks {
  readonly #sink: TraceSink;
  readonly #setup: TasksSetup;
  /** Slots of `#tasks` by tid, 0: none. An index, because every scheduling event looks up two tasks. */
  readonly #slotOfTid = new Int32Array(tidLimit);
  readonly #tasks: (Task | undefined)[] = [undefined];
  readonly #freeSlots: number[] = [];
  readonly #processes = new Map<number, Process>();
  readonly #category: StringId;
  #nextFlow = 1n;

  constructor(sink: TraceSink, setup: TasksSetup) {
    this.#sink = sink;
    this.#setup = setup;
    this.#category = sink.string("process");
  }

  get processes(): Iterable<Process> {
    return this.#processes.values();
  }

  process(pid: number): Process | undefined {
    return this.#processes.get(pid);
  }

  /** The task if it was seen before. Hot. */
  known(tid: number): Task | undefined {
    return this.#tasks[this.#slotOfTid[tid]!];
  }

  /** The task, declared now if this is its first event. `pid` and `name` are what the event says, if it does. */
  task(tid: number, pid?: number, name?: string): Task {
    return this.known(tid) ?? this.#discover(tid, pid, name);
  }

  #discover(tid: number, pid: number | undefined, name: string | undefined): Task {
    const status = this.#setup.readTask(tid);
    const taskName = name ?? status?.name ?? `thread ${tid}`;
    const processPid = status?.pid ?? pid ?? tid;
    let process = this.#processes.get(processPid);
    if (process === undefined || process.exited) {
      const leader = processPid === tid ? status : this.#setup.readTask(processPid);
      process = this.#declareProcess(
        processPid,
        leader?.parentPid ?? 0,
        processPid === tid ? taskName : (leader?.name ?? taskName),
        this.#isInTree(processPid, leader?.parentPid ?? 0),
      );
    }
    return this.#declareTask(tid, process, taskName);
  }

  #isInTree(pid: number, parentPid: number): boolean {
    return pid === this.#setup.targetPid || this.#processes.get(parentPid)?.inTree === true;
  }

  #declareProcess(pid: number, parentPid: number, name: string, inTree: boolean): Process {
    const track = this.#sink.track({
      kind: "process",
      name,
      parent: this.#setup.host,
      pid,
      ...(parentPid > 0 ? { parentPid } : {}),
    });
    const process: Process = {
      pid,
      parentPid,
      track,
      inTree,
      name,
      live: new Set(),
      leaderExited: false,
      exited: false,
    };
    this.#processes.set(pid, process);
    return process;
  }

  #declareTask(tid: number, process: Process, name: string): Task {
    const { pid } = process;
    const track = this.#sink.track({ kind: "thread", name, parent: process.track, pid, tid });
    const task: Task = { tid, process, track, name, inSyscall: false, exited: false };
    this.#remember(task);
    process.live.add(tid);
    return task;
  }

  /**
   * `parent` (a thread) made `tid`: a thread of its own process, or the first one of a new process.
   * Records an instant on the parent and a flow to whatever the child does first.
   */
  fork(ts: Ns, pid: number, tid: number, parentPid: number, parentTid: number): Task {
    const sink = this.#sink;
    const parent = this.task(parentTid, parentPid);
    const newProcess = pid !== parentPid;
    let process = parent.process;
    if (newProcess) {
      process = this.#declareProcess(
        pid,
        parentPid,
        parent.name,
        parent.process.inTree || pid === this.#setup.targetPid,
      );
      this.#setup.onFork?.(parent.process, process);
    }
    const child = this.#declareTask(tid, process, parent.name);
    const name = sink.string(parent.name);
    if (newProcess) sink.life(process.track, ts, "start", name);
    sink.life(child.track, ts, "start", name);

    const { args } = sink;
    args.int(sink.string(newProcess ? "pid" : "tid"), tid);
    sink.instant(
      parent.track,
      ts,
      sink.string(newProcess ? "fork" : "clone"),
      this.#category,
      args.done(),
    );
    const flow = this.#nextFlow++;
    sink.flow(flow, parent.track, ts, "start", "last");
    sink.flow(flow, child.track, ts, "end", "next");
    return child;
  }

  rename(ts: Ns, pid: number, tid: number, name: string): Task {
    const task = this.task(tid, pid, name);
    if (task.name === name) return task;
    const id = this.#sink.string(name);
    task.name = name;
    this.#sink.life(task.track, ts, "rename", id);
    if (task.tid === task.process.pid) {
      task.process.name = name;
      this.#sink.life(task.process.track, ts, "rename", id);
    }
    return task;
  }

  /** The task runs a new program: its other threads are gone, and it has the leader's tid. `file` is "" when unknown. */
  exec(ts: Ns, pid: number, tid: number, name: string | undefined, file: string): Task {
    const sink = this.#sink;
    const task = this.task(tid, pid, name);
    const { process } = task;
    process.leaderExited = false;
    process.exited = false;
    task.exited = false;
    process.live.clear();
    process.live.add(tid);
    const detail = sink.string(file === "" ? (name ?? task.name) : file);
    sink.life(process.track, ts, "exec", detail);
    sink.life(task.track, ts, "exec", detail);
    if (name !== undefined) this.#nameAfterExec(ts, task, name);
    const { args } = sink;
    if (file !== "") args.text(sink.string("file"), sink.string(file));
    sink.instant(
      task.track,
      ts,
      sink.string("exec"),
      this.#category,
      file === "" ? NO_ARGS : args.done(),
    );
    return task;
  }

  /** An exec's detail is the file; the name that ps shows follows as a rename, even when it is the old one. */
  #nameAfterExec(ts: Ns, task: Task, name: string): void {
    const id = this.#sink.string(name);
    task.name = name;
    task.process.name = name;
    this.#sink.life(task.track, ts, "rename", id);
    this.#sink.life(task.process.track, ts, "rename", id);
  }

  exit(ts: Ns, pid: number, tid: number): Task {
    const sink = this.#sink;
    const task = this.task(tid, pid);
    const { process } = task;
    task.exited = true;
    process.live.delete(tid);
    if (tid === process.pid) process.leaderExited = true;
    if (task.inSyscall) {
      task.inSyscall = false;
      sink.end(task.track, ts, NO_ARGS);
    }
    sink.instant(task.track, ts, sink.string("exit"), this.#category, NO_ARGS);
    sink.life(task.track, ts, "exit", sink.string(""));
    if (process.leaderExited && process.live.size === 0) {
      process.exited = true;
      sink.life(process.track, ts, "exit", sink.string(""));
    }
    return task;
  }

  /** The last switch of an exited task: nothing more comes from it, and its tid may be used again. */
  forget(task: Task): void {
    if (this.known(task.tid) === task) {
      const slot = this.#slotOfTid[task.tid]!;
      this.#tasks[slot] = undefined;
      this.#slotOfTid[task.tid] = 0;
      this.#freeSlots.push(slot);
    }
    if (task.process.exited && this.#processes.get(task.process.pid) === task.process)
      this.#processes.delete(task.process.pid);
  }

  /** From now on its tid means this task. A tid beyond the kernel's limit is forgotten at once. */
  #remember(task: Task): void {
    let slot = this.#slotOfTid[task.tid];
    if (slot === undefined) return;
    if (slot === 0) {
      slot = this.#freeSlots.pop() ?? this.#tasks.length;
      this.#slotOfTid[task.tid] = slot;
    }
    this.#tasks[slot] = task;
  }
}
