/** One recording from the main thread's side: the target, the capture worker, signals, and words on stderr. */
import { rmSync, statSync } from "node:fs";
import { hostname, machine, release } from "node:os";
import type { MessagePort } from "node:worker_threads";
import { UserError } from "../cli/command.ts";
import { readTask } from "../linux/proc.ts";
import type { PerfOptions } from "../sources/perf/options.ts";
import { CaptureSession, type Stopped } from "./capture-session.ts";
import type { CaptureRequest, StoppedBy } from "./messages.ts";
import { type Prepared, prepareProbes } from "./prepare.ts";
import type { ProbeInput } from "./probes.ts";
import { summaryLine } from "./progress.ts";
import { RunningProbes } from "./running-probes.ts";
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
  /** A worker that was started before, for the same `quiet` and `file`; it is closed in any case. */
  readonly capture?: CaptureSession;
}
export interface RecordResult {
  /** The command's own exit status, 128 + signal when it was killed; 0 without a command or when `-d` ended it. */
  readonly status: number;
  /** A trace was written. */
  readonly recorded: boolean;
  /** The first that asked for the end, if any did. */
  readonly signal?: NodeJS.Signals;
}

/** @throws UserError when nothing can be recorded. */
export async function record(options: RecordOptions): Promise<RecordResult> {
  const say = (text: string): void => {
    if (!options.quiet) process.stderr.write(`${text}\n`);
  };
  const [program] = options.command;
  // Its modules load while the probes are compiled.
  const session = options.capture ?? new CaptureSession(options);
  const signals = new StopSignals();
  let target: Target | undefined;
  let probes: RunningProbes | undefined;
  let watch: ProbeWatch | undefined;
  try {
    if (program !== undefined) {
      const problem = findCommandProblem(program);
      if (problem !== undefined) {
        process.stderr.write(`${problem.message}\n`);
        return { status: problem.status, recorded: false };
      }
    }
    if (options.pid !== undefined && readTask(options.pid) === undefined)
      throw new UserError(`process ${options.pid} does not exist`);
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
