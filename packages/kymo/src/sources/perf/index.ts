/**
 * The perf source: scheduling, system calls, samples and lives of tasks from the kernel's perf events.
 *
 * Rings are drained and decoded on a timer of the calling thread: start it in a worker (record/capture.worker.ts), so
 * that nothing else can hold it up.
 */
import { hostname, setPriority } from "node:os";
import type { Ns, Problem, TraceSink, TrackId } from "@kymo/trace";
import {
  CLOCK_BOOTTIME,
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  type Libc,
  loadLibc,
} from "../../linux/libc.ts";
import { perfEventParanoid } from "../../linux/perf-event.ts";
import { onlineCpus, processTree, readTask, seesHostPids, threadsOf } from "../../linux/proc.ts";
import { Symbolizer } from "../../linux/symbols/index.ts";
import { findTracefs } from "../../linux/tracefs.ts";
import type { Availability, Capture, Source } from "../../source.ts";
import { AttachError, type Attached, attach } from "./attach.ts";
import { Counters, ownCpuNs } from "./counters.ts";
import { PerfDecoder } from "./decode.ts";
import { ExtraInputList, type ExtraInputs } from "./extra.ts";
import { IdleWatch } from "./idle.ts";
import { markCalls } from "./mark-calls.ts";
import { TimeMerger } from "./merge.ts";
import { type PerfOptions, perfOptions } from "./options.ts";
import { recordTime } from "./records.ts";
import { Tasks } from "./tasks.ts";

export interface PerfStats {
  /** Records decoded so far, side band not counted. */
  readonly events: number;
  /** Records that the kernel dropped. */
  readonly lost: number;
  /** ns since the start of the recording. */
  readonly elapsedNs: Ns;
  /** CPU time that kymo itself has used since it started. */
  readonly ownCpuNs: number;
}
export interface PerfCapture extends Capture {
  readonly stats: PerfStats;
  /** What is not recorded, and why. */
  readonly notes: readonly string[];
  /** Another source's records, from now on merged with perf's by time. */
  readonly inputs: ExtraInputs;
}
export interface PerfHooks {
  /** Where other sources' events go; without it to the same sink as perf's. Ids are those of both. */
  readonly inputSink?: TraceSink;
  /** Events of other sources may have begun so long, in ns, before they are recorded: the watermark waits for them. */
  readonly holdBackNs?: number;
  /** Events are read as they come: they are shown sooner, at the risk that one comes too late for its place among the others. */
  readonly prompt?: boolean;
  /** After each round of draining: the sink has had its watermark. */
  onRound?(stats: PerfStats): void;
}

/** Between rounds, ms: short enough that a kill loses little, long enough to cost little. */
const longestRoundMs = 100;
const shortestRoundMs = 2;
/**
 * Rounds are as far apart as it takes for so many bytes of records to arrive: 2 or 3 ms of work. Longer bursts drive the threads
 * that are being recorded to other CPUs, which on a machine full of switching costs more than the decoding itself.
 */
const bytesPerRound = 1_000_000;
/** Longer rounds give the sink a watermark in between: what it writes at once stays small. */
const recordsPerWatermark = 16_384;
/** Ring space in use above which this thread goes before ordinary ones, until little is left. */
const urgentFill = 1 / 4;
const calmFill = 1 / 16;
/** A record's time is taken at most so long before it can be read, but for a machine that was stopped meanwhile. */
const settleNs = 20_000_000;
const promptSettleNs = 2_000_000;
/** Where events are read as they come, the first one is looked for so often, for so long. */
const firstRoundMs = 4;
const firstRoundsNs = 1e9;
/** A record that another source has begun and not ended is waited for so long at the end. */
const blockedWaitMs = 100;
/** Records of one ring may be out of order by the length of an interrupt. */
const slackNs = 1_000_000;

export const source: Source<PerfOptions> & {
  start(options: PerfOptions, sink: TraceSink, hooks?: PerfHooks): Promise<PerfCapture>;
} = {
  name: "perf",
  title: "Linux perf events: scheduling, system calls, CPU samples, lives of tasks",
  options: perfOptions,
  available,
  start,
};

async function available(): Promise<Availability> {
  try {
    await loadLibc();
  } catch (error) {
    return { ok: false, reason: (error as Error).message, fix: "record on Linux, x64 or arm64" };
  }
  const paranoid = perfEventParanoid();
  if (paranoid === undefined)
    return {
      ok: false,
      reason: "this kernel has no perf events",
      fix: "use a kernel with CONFIG_PERF_EVENTS",
    };
  if (process.geteuid?.() === 0) {
    const tracefs = findTracefs();
    return tracefs.ok
      ? { ok: true }
      : { ok: true, note: `${tracefs.reason}; kymo record mounts it, as perf does` };
  }
  return {
    ok: true,
    note: `as this user (kernel.perf_event_paranoid is ${paranoid}): only the target's own threads${paranoid > 1 ? ", user space only" : ""}`,
  };
}

async function start(
  options: PerfOptions,
  sink: TraceSink,
  hooks: PerfHooks = {},
): Promise<PerfCapture> {
  const libc = await loadLibc().catch((error: Error) => {
    throw new AttachError(error.message);
  });
  // The clock comes first in a sink, so problems found while getting ready wait for it.
  const early: Problem[] = [];
  let report = (problem: Problem): void => void early.push(problem);
  const symbols = new Symbolizer({ onProblem: (problem) => report(problem) });
  if (options.samples) symbols.prepare();
  const cpus = onlineCpus();
  const tree = options.pid === 0 ? [] : processTree(options.pid);
  const attached = attach(libc, options, cpus, tree.flatMap(threadsOf));
  const capture = new RunningCapture(libc, options, sink, hooks, symbols, attached, tree);
  report = (problem) => sink.problem(problem);
  early.forEach(report);
  capture.begin();
  return capture;
}

class RunningCapture implements PerfCapture {
  readonly ended: Promise<void>;
  readonly notes: readonly string[];
  readonly #libc: Libc;
  readonly #sink: TraceSink;
  readonly #hooks: PerfHooks;
  readonly #attached: Attached;
  readonly #tasks: Tasks;
  readonly #decoder: PerfDecoder;
  readonly #merger: TimeMerger;
  readonly #extra: ExtraInputList;
  readonly #counters: Counters;
  readonly #originNs: bigint;
  readonly #targetPid: number;
  readonly #idle: IdleWatch;
  #settle: { resolve(): void; reject(error: unknown): void } = { resolve() {}, reject() {} };
  #timer: NodeJS.Timeout | undefined;
  #beganNs = 0;
  #drainedNs = 0;
  #previousRoundNs = 0;
  #writtenBytes = 0;
  #urgent = false;
  #stopped: Promise<void> | undefined;

  constructor(
    libc: Libc,
    options: PerfOptions,
    sink: TraceSink,
    hooks: PerfHooks,
    symbols: Symbolizer,
    attached: Attached,
    tree: readonly number[],
  ) {
    this.ended = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.ended.catch(() => {}); // whoever awaits it sees the error; nobody has to
    this.#libc = libc;
    this.#sink = sink;
    this.#hooks = hooks;
    this.#attached = attached;
    this.#targetPid = options.pid;
    this.#originNs = libc.clockNs(CLOCK_MONOTONIC);
    this.notes = seesHostPids()
      ? attached.notes
      : [
          ...attached.notes,
          "this is a container with its own process ids: scheduling events show the host's",
        ];
    sink.clock({ domain: "monotonic", originNs: this.#originNs, errorNs: 0 });
    this.#snapshotClocks();
    for (const note of this.notes) sink.problem({ kind: "unsupported", message: note });
    const host = sink.track({ kind: "host", name: hostname() });
    const everything = options.all;
    this.#tasks = new Tasks(sink, {
      host,
      targetPid: options.pid === 0 ? undefined : options.pid,
      readTask,
      onFork: (parent, child) => {
        if (everything || child.inTree) symbols.fork(parent.pid, child.pid);
      },
    });
    const cpuTracks = new Map<number, TrackId>();
    for (const { cpu } of attached.rings)
      cpuTracks.set(cpu, sink.track({ kind: "cpu", name: `CPU ${cpu}`, parent: host, cpu }));
    for (const pid of tree) for (const tid of threadsOf(pid)) this.#tasks.task(tid, pid);
    this.#decoder = new PerfDecoder(sink, {
      tasks: this.#tasks,
      cpus: cpuTracks,
      events: attached.events,
      symbols,
      everything,
      onIdleExit: (cpu, reported) => this.#idle.leftIdle(cpu, reported),
      arch: process.arch,
      ...(options.marks ? { isMark: markCalls(process.arch) } : {}),
    });
    this.#idle = new IdleWatch(
      attached.rings.map(({ cpu }) => cpu),
      (cpu, on) => attached.watchIdle(cpu, on),
    );
    this.#merger = new TimeMerger(
      attached.rings.map((ring) => ({
        source: ring,
        time: recordTime,
        handle: (source, ts) => this.#decoder.record(source, ts),
      })),
      this.#originNs,
    );
    this.#extra = new ExtraInputList(
      {
        libc,
        sink: hooks.inputSink ?? sink,
        originNs: this.#originNs,
        host,
        cpus: cpuTracks,
        tasks: this.#tasks,
        symbols,
      },
      this.#merger,
    );
    this.#counters = new Counters(sink, this.#tasks, host, options.counters, libc.pageBytes);
  }

  get inputs(): ExtraInputs {
    return this.#extra;
  }

  begin(): void {
    this.#attached.enable();
    this.#beganNs = this.#now();
    this.#previousRoundNs = this.#beganNs;
    this.#schedule(shortestRoundMs * 5);
  }

  get stats(): PerfStats {
    return {
      events: this.#decoder.events + this.#extra.events,
      lost: this.#lost,
      elapsedNs: (this.#now() - this.#beganNs) as Ns,
      // Asked for a few times a second; a round is far more often, and getrusage costs 0.3 ms with several threads.
      get ownCpuNs() {
        return ownCpuNs();
      },
    };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#finish();
    return this.#stopped;
  }

  get #lost(): number {
    return this.#decoder.lost + this.#extra.lost;
  }

  #now(): number {
    return Number(process.hrtime.bigint() - this.#originNs);
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => this.#round(), ms);
  }

  #round(): void {
    if (this.#stopped !== undefined) return;
    try {
      const startNs = this.#now();
      let fill = 0;
      let writtenBytes = 0;
      for (const ring of [...this.#attached.rings, ...this.#extra.rings]) {
        ring.refresh();
        fill = Math.max(fill, ring.fill / ring.dataBytes);
        writtenBytes += ring.writtenBytes;
      }
      // What is older has certainly arrived by now; the rest waits for the next round.
      const prompt = this.#hooks.prompt === true;
      const settledNs = startNs - (prompt ? promptSettleNs : settleNs);
      const completeNs = Math.max(this.#drainedNs, settledNs);
      this.#drain(completeNs);
      this.#hurry(fill);
      this.#counters.round(startNs as Ns, this.#lost);
      this.#extra.round(startNs as Ns);
      if (!this.#extra.blocked) {
        this.#watermark(completeNs);
        this.#drainedNs = completeNs;
      }
      this.#hooks.onRound?.(this.stats);
      if (this.#stopped !== undefined) return;
      if (this.#targetPid !== 0 && this.#tasks.process(this.#targetPid)?.exited !== false)
        this.#settle.resolve();
      this.#idle.round(startNs, (cpu) => this.#decoder.switchesOn(cpu));
      const spentMs = (this.#now() - startNs) / 1e6;
      const sinceMs = (startNs - this.#previousRoundNs) / 1e6;
      this.#previousRoundNs = startNs;
      const arrivedBytes = writtenBytes - this.#writtenBytes;
      this.#writtenBytes = writtenBytes;
      const isAwaited = prompt && this.#extra.events === 0 && startNs < firstRoundsNs;
      const wantedMs = Math.min(
        isAwaited ? firstRoundMs : longestRoundMs,
        2 * sinceMs,
        (sinceMs * bytesPerRound) / (arrivedBytes + 1),
      );
      this.#schedule(Math.max(shortestRoundMs, wantedMs - spentMs));
    } catch (error) {
      this.#settle.reject(error);
    }
  }

  /**
   * The rings must be drained however busy the machine is, but only then at the cost of others. Niceness belongs to a
   * thread on Linux: neither the rest of kymo nor the target changes.
   */
  #hurry(fill: number): void {
    if (this.#urgent ? fill > calmFill : fill < urgentFill) return;
    this.#urgent = !this.#urgent;
    try {
      setPriority(this.#libc.threadId(), this.#urgent ? -10 : 0);
    } catch {
      // not root: an ordinary thread always
    }
  }

  #drain(beforeNs: number): void {
    let handled = 0;
    this.#merger.drain(beforeNs, (ts) => {
      if (++handled % recordsPerWatermark !== 0) return;
      this.#drainedNs = Math.max(this.#drainedNs, ts);
      this.#watermark(this.#drainedNs);
    });
  }

  /** All records up to `drainedNs` have been handled. */
  #watermark(drainedNs: number): void {
    const heldNs = this.#hooks.holdBackNs ?? 0;
    const ts = drainedNs - slackNs - heldNs;
    // Before the first such time there is nothing to promise but the origin; the sink flushes all the same.
    this.#sink.watermark((heldNs === 0 ? ts : Math.max(0, ts)) as Ns);
  }

  /** What is still being written when all else has ended is waited for, a little. */
  async #drainBlocked(): Promise<void> {
    for (let waitedMs = 0; this.#extra.blocked && waitedMs < blockedWaitMs; waitedMs += 2) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      this.#drain(Infinity);
    }
  }

  async #finish(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      this.#attached.disable();
      this.#drain(Infinity);
      await this.#drainBlocked();
      const endNs = this.#now() as Ns;
      this.#extra.finish(endNs);
      this.#reportRemainingLosses(endNs);
      if (this.#decoder.malformed > 0)
        this.#sink.problem({
          kind: "malformed",
          count: this.#decoder.malformed,
          message: "perf records of a shape that kymo does not know were skipped",
        });
      if (this.#decoder.unreported > 0 && this.#decoder.lost === 0)
        this.#sink.problem({
          kind: "unsupported",
          count: this.#decoder.unreported,
          message:
            "the kernel has not reported some switches, so when the next thread began to run is unknown",
        });
      this.#counters.finish(endNs, this.#lost);
      this.#snapshotClocks();
      this.#sink.watermark(endNs);
    } finally {
      this.#extra.close();
      this.#attached.close();
      this.#settle.resolve();
    }
  }

  /** The kernel reports a loss with the next record that fits. What was lost last of all shows only in its counts. */
  #reportRemainingLosses(endNs: Ns): void {
    for (const { cpu } of this.#attached.rings) {
      const missing = this.#attached.lostOn(cpu) - this.#decoder.lostOn(cpu);
      if (missing > 0)
        this.#decoder.reportLost(cpu, missing, this.#decoder.lastTs(cpu) ?? (0 as Ns), endNs);
    }
  }

  #snapshotClocks(): void {
    const libc = this.#libc;
    this.#sink.clockSnapshot([
      ["monotonic", libc.clockNs(CLOCK_MONOTONIC)],
      ["realtime", libc.clockNs(CLOCK_REALTIME)],
      ["boottime", libc.clockNs(CLOCK_BOOTTIME)],
    ]);
  }
}
