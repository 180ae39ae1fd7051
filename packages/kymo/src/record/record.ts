/** One recording from the main thread's side: the target, the capture worker, signals, and words on stderr. */
import { hostname, machine, release } from "node:os";
import { Worker } from "node:worker_threads";
import { UserError } from "../cli/command.ts";
import { readTask } from "../linux/proc.ts";
import type { PerfOptions } from "../sources/perf/options.ts";
import type { CaptureRequest, FromWorker, StoppedBy, ToWorker } from "./messages.ts";
import { ProgressLine, summaryLine } from "./progress.ts";
import { exitStatus, findCommandProblem, launch, type Target } from "./target.ts";

export interface RecordOptions {
  readonly file: string;
  /** Empty: no command. */
  readonly command: readonly string[];
  readonly pid: number | undefined;
  readonly seconds: number;
  readonly maxBytes: number;
  readonly quiet: boolean;
  readonly version: string;
  readonly perf: Omit<PerfOptions, "pid" | "launched">;
}
export interface RecordResult {
  /** The command's own exit status, 128 + signal when it was killed; 0 without a command or when `-d` ended it. */
  readonly status: number;
  /** A trace was written. */
  readonly recorded: boolean;
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
  const target = program === undefined ? undefined : await launch(options.command);
  const session = new CaptureSession(captureRequest(options, target), options.quiet);
  try {
    const notes = await session.ready;
    for (const note of notes) say(`note: ${note}`);
    target?.release();
    void target?.exited.then(() => session.stop("target-ended"));
    void signals.first.then((signal) => {
      session.stop("asked");
      // A terminal sends SIGINT to the command by itself; any other signal came to kymo alone.
      if (signal !== "SIGINT" || !process.stdin.isTTY) target?.signal(signal);
    });
    const end = await session.stopped;
    if (end.message !== undefined) say(`recording stopped: ${end.message}`);
    say(summaryLine(options.file, end));
    if (end.lost > 0)
      say(`  ${end.lost} events were lost: raise --buffer-mb (now ${options.perf.bufferMb})`);
    say(`  next: kymo open ${options.file}`);
    return { status: await statusOf(target, end.reason), recorded: true };
  } catch (error) {
    if (target?.running) target.abandon();
    throw error;
  } finally {
    signals.close();
  }
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

function captureRequest(options: RecordOptions, target: Target | undefined): CaptureRequest {
  const pid = target?.pid ?? options.pid ?? 0;
  const metadata: [string, string][] = [
    ["host", hostname()],
    ["kernel", release()],
    ["arch", machine()],
    ["command", options.command.join(" ")],
    ["kymo.version", options.version],
    ["kymo.options", JSON.stringify(options.perf)],
    ["sources", "perf"],
    ["started", new Date().toISOString()],
    ["schema", "1"],
  ];
  if (pid !== 0) metadata.push(["target.pid", String(pid)]);
  return {
    file: options.file,
    maxBytes: options.maxBytes,
    seconds: options.seconds,
    perf: { ...options.perf, pid, launched: target !== undefined },
    metadata,
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
class CaptureSession {
  /** Resolves with the notes once nothing can be missed. */
  readonly ready: Promise<readonly string[]>;
  readonly stopped: Promise<Stopped>;
  readonly #worker: Worker;

  constructor(request: CaptureRequest, quiet: boolean) {
    const line = new ProgressLine(process.stderr, quiet);
    this.#worker = new Worker(new URL("./capture.worker.js", import.meta.url), {
      workerData: request,
    });
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
    this.stopped.catch(() => {}); // `ready` fails first, then nobody waits for this one
    this.#worker.on("message", (message: FromWorker) => {
      if (message.type === "ready") onReady(message.notes);
      else if (message.type === "progress") line.update(message);
      else {
        line.clear();
        if (message.type === "stopped") onStopped(message);
        else onFailure(new UserError(message.message, message.fix));
      }
    });
    this.#worker.once("error", onFailure);
    this.#worker.once("exit", () => onFailure(new Error("the capture worker ended by itself")));
  }

  stop(reason: ToWorker["reason"]): void {
    this.#worker.postMessage({ reason } satisfies ToWorker);
  }
}
