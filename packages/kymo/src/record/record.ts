/** One recording from the main thread's side: the target, the capture worker, signals, and words on stderr. */
import { rmSync, statSync } from "node:fs";
import { hostname, machine, release } from "node:os";
import { type MessagePort, Worker } from "node:worker_threads";
import { UserError } from "../cli/command.ts";
import { readTask } from "../linux/proc.ts";
import type { ProbeCost, ProbeRequest } from "../sources/bpf/request.ts";
import type { PerfOptions } from "../sources/perf/options.ts";
import type { CaptureRequest, FromWorker, StoppedBy, ToWorker } from "./messages.ts";
import { type Prepared, prepareProbes } from "./prepare.ts";
import type { ProbeInput } from "./probes.ts";
import { ProgressLine, summaryLine } from "./progress.ts";
import { type ProbeDrain, RunningProbes } from "./running-probes.ts";
import { probeName } from "./shipped.ts";
import { exitStatus, findCommandProblem, launch, type Target } from "./target.ts";
import { ProbeWatch, type WatchHooks } from "./watch.ts";

export interface RecordOptions {
  /** undefined: nothing is written, the probes' events are printed. */
  readonly file: string | undefined;
  /** Empty: no command. */
  readonly command: readonly string[];
  readonly pid: number | undefined;
  readonly seconds: number;
  readonly maxBytes: number;
  readonly quiet: boolean;
  /** As the flag was given, for messages. */
  readonly bufferMb: number;
  readonly version: string;
  readonly perf: Omit<PerfOptions, "pid" | "launched">;
  readonly probes?: ProbeInput | undefined;
  /** Saved probe files take over while the recording runs. */
  readonly watch?: boolean;
  /** Events that programs mark themselves, without a library. */
  readonly marks?: boolean;
  /** Requests to disks, by a shipped probe. */
  readonly block?: boolean;
  /** To a live view (live/serve-live.ts). */
  readonly feed?: MessagePort;
}
export interface RecordResult {
  /** The command's own exit status, 128 + signal when it was killed; 0 without a command or when `-d` ended it. */
  readonly status: number;
  /** A trace was written. */
  readonly recorded: boolean;
  /** The first that asked for the end, if any did. */
  readonly signal?: NodeJS.Signals;
}

type Stopped = Extract<FromWorker, { type: "stopped" }>;

/** @throws UserError when nothing can be recorded. */
export async function record(options: RecordOptions): Promise<RecordResult> {
  const say = (text: string): void => {
    if (!options.quiet) process.stderr.write(`${text}\n`);
  };
  const [program] = options.command;
  if (program !== undefined) {
    const problem = findCommandProblem(program);
    if (problem !== undefined) {
      process.stderr.write(`${problem.message}\n`);
      return { status: problem.status, recorded: false };
    }
  }
  if (options.pid !== undefined && readTask(options.pid) === undefined)
    throw new UserError(`process ${options.pid} does not exist`);

  const signals = new StopSignals();
  // Its modules load while the probes are compiled.
  const session = new CaptureSession(options.quiet || options.file === undefined);
  let target: Target | undefined;
  let probes: RunningProbes | undefined;
  let watch: ProbeWatch | undefined;
  try {
    target = program === undefined ? undefined : await launch(options.command);
    const prepared = await prepareProbes({
      ...options,
      target: target?.pid ?? options.pid,
    });
    const first = prepared.session;
    probes = first === undefined ? undefined : new RunningProbes(first, session);
    for (const note of [...prepared.notes, ...(first?.notes ?? [])]) say(`note: ${note}`);
    session.start(captureRequest(options, target, prepared), () => probes?.end() ?? []);
    const notes = await session.ready;
    for (const note of notes) say(`note: ${note}`);
    try {
      probes?.begin();
    } catch (error) {
      await session.close();
      removeEmpty(options.file);
      throw error;
    }
    if (options.watch && options.probes && first && probes)
      watch = new ProbeWatch(options.probes, first, probes, watchWords(say, session));
    target?.release();
    void target?.exited.then(() => session.stop("target-ended"));
    let asked: NodeJS.Signals | undefined;
    void signals.first.then((signal) => {
      asked = signal;
      session.stop("asked");
      // A terminal sends SIGINT to the command by itself; any other signal came to kymo alone.
      if (signal !== "SIGINT" || !process.stdin.isTTY) target?.signal(signal);
    });
    const end = await session.stopped;
    if (end.message !== undefined) say(`recording stopped: ${end.message}`);
    sayEnd(options, end, say);
    const status = await statusOf(target, end.reason);
    return { status, recorded: true, ...(asked !== undefined && { signal: asked }) };
  } catch (error) {
    if (target?.running) target.abandon();
    throw error;
  } finally {
    watch?.close();
    probes?.close();
    void session.close();
    signals.close();
  }
}

/** A version that fails is told where the user looks: on the terminal, and in the page and the trace. */
function watchWords(say: (text: string) => void, session: CaptureSession): WatchHooks {
  return {
    replaced: ({ notes }, ms) => {
      for (const note of notes) say(`note: ${note}`);
      say(`probes: the new version runs (${Math.round(ms)} ms after it was saved)`);
    },
    failed: ({ message, fix }) => {
      const kept = "the version before it runs on";
      const why = fix === undefined ? message : `${message}\n  fix: ${fix}`;
      process.stderr.write(`${why}\nprobes: not replaced; ${kept}\n`);
      session.tell(`${withoutSource(message)}; ${kept}`);
    },
    broken: (error) => {
      throw error;
    },
  };
}

/** Words in a line: without the lines of source that stand below them. */
function withoutSource(message: string): string {
  return message
    .split("\n")
    .filter((line) => !line.startsWith("  "))
    .join("; ");
}

/** A recording that could not begin leaves no file that looks as if it had. */
function removeEmpty(file: string | undefined): void {
  if (file !== undefined && statSync(file, { throwIfNoEntry: false })?.isFile() === true)
    rmSync(file);
}

function sayEnd(options: RecordOptions, end: Stopped, say: (text: string) => void): void {
  if (options.file !== undefined) say(summaryLine(options.file, end));
  if (end.lost > 0)
    say(`  ${end.lost} events were lost: raise --buffer-mb (now ${options.bufferMb})`);
  if (options.file !== undefined) say(`  next: kymo open ${options.file}`);
}

/**
 * Waits for the command, which may outlive its recording: a full disk doesn't end it, `-d` does.
 */
async function statusOf(target: Target | undefined, reason: StoppedBy): Promise<number> {
  if (target === undefined) return 0;
  if (reason === "duration" && target.running) {
    target.signal("SIGTERM");
    await target.exited;
    return 0;
  }
  return exitStatus(await target.exited);
}

function captureRequest(
  options: RecordOptions,
  target: Target | undefined,
  { session: probes, perf }: Prepared,
): CaptureRequest {
  const pid = target?.pid ?? options.pid ?? 0;
  const metadata: [string, string][] = [
    ["host", hostname()],
    ["kernel", release()],
    ["arch", machine()],
    ["command", options.command.join(" ")],
    ["kymo.version", options.version],
    ["kymo.options", JSON.stringify(options.perf)],
    ["sources", probes === undefined ? "perf" : "perf, bpf"],
    ["started", new Date().toISOString()],
    ["schema", "1"],
  ];
  if (pid !== 0) metadata.push(["target.pid", String(pid)]);
  if (probes !== undefined) metadata.push(["probes", probes.sources.map(probeName).join(", ")]);
  return {
    file: options.file,
    maxBytes: options.maxBytes,
    seconds: options.seconds,
    perf: { ...perf, pid, launched: target !== undefined },
    metadata,
    printing: probes !== undefined && !options.quiet,
    replaceable: options.watch === true,
    ...(probes === undefined ? {} : { probes: probes.request }),
    ...(options.feed === undefined ? {} : { feed: options.feed }),
  };
}

/** SIGINT, SIGTERM, SIGHUP: the first asks for a clean end, the second ends at once. */
class StopSignals {
  readonly first: Promise<NodeJS.Signals>;
  readonly #handler: (signal: NodeJS.Signals) => void;
  static readonly #signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

  constructor() {
    let seen = 0;
    let resolveFirst: (signal: NodeJS.Signals) => void = () => {};
    this.first = new Promise((resolve) => {
      resolveFirst = resolve;
    });
    this.#handler = (signal) => {
      if (++seen === 1) resolveFirst(signal);
      else process.exit(130);
    };
    for (const signal of StopSignals.#signals) process.on(signal, this.#handler);
  }

  close(): void {
    for (const signal of StopSignals.#signals) process.off(signal, this.#handler);
  }
}

/** The capture worker, as promises. */
class CaptureSession implements ProbeDrain {
  /** Resolves with the notes once nothing can be missed. */
  readonly ready: Promise<readonly string[]>;
  readonly stopped: Promise<Stopped>;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  /** Who waits for what was asked for a version of the probes; resolved with words when it can't be done. */
  readonly #asked = new Map<number, (refused: string | undefined) => void>();
  #ended = false;
  /** Detaches the probes. @returns what they have cost. */
  #detach: () => readonly ProbeCost[] = () => [];

  constructor(noProgress: boolean) {
    const line = new ProgressLine(process.stderr, noProgress);
    this.#worker = new Worker(new URL("./capture.worker.js", import.meta.url));
    let onReady: (notes: readonly string[]) => void = () => {};
    let onStopped: (end: Stopped) => void = () => {};
    let onFailure: (error: Error) => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      onFailure = reject;
    });
    const ready = new Promise<readonly string[]>((resolve) => {
      onReady = resolve;
    });
    const stopped = new Promise<Stopped>((resolve) => {
      onStopped = resolve;
    });
    this.ready = Promise.race([ready, failed]);
    this.stopped = Promise.race([stopped, failed]);
    // One fails first, then nobody waits for the other; before the start, for neither.
    this.ready.catch(() => {});
    this.stopped.catch(() => {});
    this.#worker.on("message", (message: FromWorker) => {
      if (message.type === "ready") onReady(message.notes);
      else if (message.type === "progress") line.update(message);
      else if (message.type === "version") this.#answer(message.version, message.refused);
      else {
        line.clear();
        if (message.type === "stopped") {
          this.#end();
          onStopped(message);
        } else if (message.type === "failed")
          onFailure(new UserError(message.message, message.fix));
        else this.#post({ type: "detached", costs: this.#detach() });
      }
    });
    this.#worker.once("error", onFailure);
    this.#exited = new Promise((resolve) => this.#worker.once("exit", () => resolve()));
    void this.#exited.then(() => {
      this.#end();
      onFailure(new Error("the capture worker ended by itself"));
    });
  }

  start(request: CaptureRequest, detach: () => readonly ProbeCost[]): void {
    this.#detach = detach;
    this.#worker.postMessage(
      { type: "start", request } satisfies ToWorker,
      request.feed === undefined ? [] : [request.feed],
    );
  }

  stop(reason: "asked" | "target-ended"): void {
    this.#post({ type: "stop", reason });
  }

  costs(costs: readonly ProbeCost[]): void {
    this.#post({ type: "costs", costs });
  }

  async add(version: number, probes: ProbeRequest): Promise<void> {
    const refused = await this.#ask({ type: "add", version, probes });
    if (refused !== undefined) throw new UserError(refused);
  }

  async retire(version: number): Promise<void> {
    await this.#ask({ type: "retire", version });
  }

  async discard(version: number): Promise<void> {
    await this.#ask({ type: "discard", version });
  }

  /** For the trace and who watches it. */
  tell(message: string): void {
    this.#post({ type: "tell", message });
  }

  #ask(message: Extract<ToWorker, { readonly version: number }>): Promise<string | undefined> {
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#asked.set(message.version, resolve);
      this.#post(message);
    });
  }

  #answer(version: number, refused: string | undefined): void {
    this.#asked.get(version)?.(refused);
    this.#asked.delete(version);
  }

  /** Nobody answers any more. */
  #end(): void {
    this.#ended = true;
    for (const version of this.#asked.keys()) this.#answer(version, undefined);
  }

  /**
   * Ends a worker that has not been started, too. It leaves by itself, between two jobs: to be ended while it loads native
   * code, or is in it, would abort the whole process.
   */
  async close(): Promise<void> {
    this.#post({ type: "leave" });
    await this.#exited;
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
