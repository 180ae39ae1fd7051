/**
 * The command to be recorded: started, but held before its first instruction until the recording is attached.
 *
 * A small shell waits for a byte on descriptor 3 and then executes the command in its own place: same pid, untouched
 * stdin, stdout and stderr. Should kymo die before that, the pipe closes and the command never runs.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { constants as osConstants } from "node:os";
import path from "node:path";

export interface TargetExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}
export interface Target {
  readonly pid: number;
  readonly exited: Promise<TargetExit>;
  readonly running: boolean;
  /** Lets the command start. */
  release(): void;
  /** Ends it before it was released, without running the command. */
  abandon(): void;
  signal(signal: NodeJS.Signals): void;
}

/** A command that can't be started, in words; `status` is what a shell would exit with: 127 not found, 126 not executable. */
export interface CommandProblem {
  readonly status: 126 | 127;
  readonly message: string;
}

/** Looks the command up as a shell would; undefined when it can be started. */
export function findCommandProblem(command: string): CommandProblem | undefined {
  if (command.includes("/")) {
    const problem = executableProblem(command);
    if (problem === undefined) return undefined;
    return problem === "missing"
      ? { status: 127, message: `${command}: no such file` }
      : { status: 126, message: `${command}: ${problem}` };
  }
  let denied = false;
  for (const directory of (process.env["PATH"] ?? "").split(path.delimiter)) {
    const problem = executableProblem(path.join(directory || ".", command));
    if (problem === undefined) return undefined;
    denied ||= problem === "permission denied";
  }
  return denied
    ? { status: 126, message: `${command}: permission denied` }
    : { status: 127, message: `${command}: command not found` };
}

function executableProblem(
  file: string,
): "missing" | "permission denied" | "is a directory" | undefined {
  try {
    if (statSync(file).isDirectory()) return "is a directory";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES" ? "permission denied" : "missing";
  }
  try {
    accessSync(file, constants.X_OK);
    return undefined;
  } catch {
    return "permission denied";
  }
}

const launcher = 'read _ <&3 || exit 125; exec "$@" 3<&-';

/** @throws Error when not even the shell can be started. */
export async function launch(command: readonly string[]): Promise<Target> {
  const child = spawn("/bin/sh", ["-c", launcher, "kymo", ...command], {
    stdio: ["inherit", "inherit", "inherit", "pipe"],
  });
  const exited = new Promise<TargetExit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  const gate = gateOf(child);
  return {
    pid: child.pid!,
    exited,
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    release: () => gate.end("\n"),
    abandon: () => {
      gate.destroy();
      child.kill("SIGKILL");
    },
    signal: (signal) => void child.kill(signal),
  };
}

function gateOf(child: ChildProcess): NodeJS.WritableStream & { destroy(): void } {
  const gate = child.stdio[3] as unknown as NodeJS.WritableStream & { destroy(): void };
  gate.on("error", () => {
    // EPIPE: the shell was killed meanwhile; its exit is reported by itself
  });
  return gate;
}

/** What a shell says of a finished command: its status, or 128 + the signal's number. */
export function exitStatus({ code, signal }: TargetExit): number {
  if (code !== null) return code;
  return 128 + (signal === null ? 0 : osConstants.signals[signal]);
}
