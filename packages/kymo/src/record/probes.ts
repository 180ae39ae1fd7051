/** Probe files on their way into a recording: compiled, loaded and attached by the main thread, drained by the worker. */
import { readFileSync } from "node:fs";
import type { Handler } from "../bpf/ir.ts";
import { rightsFix } from "../bpf/kernel/features.ts";
import type { LoadedSession } from "../bpf/kernel/session.ts";
import { ProbeErrors } from "../bpf/lang/errors.ts";
import type { LoadOptions } from "../bpf/lang/index.ts";
import { ProbeError, type ProbeSet, type Program } from "../bpf/program.ts";
import { UserError } from "../cli/command.ts";
import { printable } from "../cli/printable.ts";
import { type Libc, loadLibc } from "../linux/libc.ts";
import type { ProbeCost, ProbeRequest } from "../sources/bpf/request.ts";
import { cachedProbes, forgetProbes, keepProbes, type Sources } from "./probe-cache.ts";
import { sourceLine } from "./source-line.ts";

export interface ProbeInput {
  readonly files: readonly string[] | { readonly code: string };
  /** What the probe files see as `process.argv.slice(2)`. */
  readonly argv?: readonly string[];
  /** Only events of this process. */
  readonly pid?: number | undefined;
  /** The process that is recorded, with its descendants: what `targetPid()` says. None: everything is. */
  readonly target?: number | undefined;
  /** Of the ring: a power of two. What the compiler chose, where it is not given. */
  readonly ringBytes?: number;
  /** Let the kernel measure what the programs cost. */
  readonly measure: boolean;
  /** What is compiled is kept for the next time, and taken from there. */
  readonly cache?: boolean;
}

export interface ProbeSession {
  /** The files, for the trace's metadata. */
  readonly sources: readonly string[];
  /** Those, and what they import of their own. */
  readonly files: readonly string[];
  /** What could not be had here. */
  readonly notes: readonly string[];
  readonly request: ProbeRequest;
  /** Runs the `begin` handlers and attaches everything; `onCosts` is told now and then what the programs cost. @throws UserError */
  begin(onCosts: (costs: readonly ProbeCost[]) => void): void;
  /** Detaches, then runs the `end` handlers. @returns what all of it has cost; empty when that is not measured. */
  end(): readonly ProbeCost[];
  /** Nothing stays in the kernel. Maps and the ring are gone after this. */
  close(): void;
}

const costIntervalMs = 1000;
const smallestRing = 65_536;
const largestRing = 2 ** 30;

function toolchain(): Promise<typeof import("./toolchain.ts")> {
  return import("./toolchain.ts");
}

/** Bytes of a ring of about so many MiB: the kernel wants a power of two, and pages may have 64 KiB. */
export function ringBytes(megabytes: number): number {
  const bytes = 2 ** Math.ceil(Math.log2(megabytes * 2 ** 20));
  return Math.min(largestRing, Math.max(smallestRing, bytes));
}

/** Why this user's probes can't run here; undefined: they can. */
export async function whyNoProbes(): Promise<string | undefined> {
  if (process.platform !== "linux" || process.geteuid?.() !== 0) return "root is needed";
  // What is wrong with the FFI is said by the part of kymo that can't do without it.
  const libc = await loadLibc().catch((error: Error) => error.message);
  if (typeof libc === "string") return libc;
  const { Features } = await import("./loader.ts");
  const { programs } = new Features(libc, undefined);
  return programs.ok ? undefined : programs.reason;
}

/** The compiled programs as text. @throws UserError at the place in the user's file. */
export async function dumpPrograms(input: ProbeInput): Promise<string> {
  const [{ disassemble }, libc] = await Promise.all([
    import("../bpf/codegen/disassemble.ts"),
    loadLibc(),
  ]);
  return inWords(input, async () => {
    const { set, compile } = await compiled(input, libc);
    return set.probes
      .map(({ label, handler }) => {
        const program = compile(handler);
        return `${label}: ${program.instructions.byteLength / 8} instructions\n${disassemble(program, handler)}`;
      })
      .join("\n\n");
  });
}

interface Compiled {
  readonly set: ProbeSet;
  readonly compile: (handler: Handler) => Program;
}

/** Probe files through the compiler; an object of another compiler as it is. */
async function compiled(input: ProbeInput, libc: Libc): Promise<Compiled> {
  const { files } = input;
  const { openKernel, loadProbes, compile } = await toolchain();
  const kernel = await openKernel(libc);
  const object = "code" in files ? undefined : files.find((file) => file.endsWith(".o"));
  if (object !== undefined && !("code" in files)) {
    if (files.length > 1)
      throw new UserError(`${object} is probed alone: its ring holds records of its own kind`);
    const { loadObject } = await import("../bpf/kernel/object/index.ts");
    return loadObject(object, kernel);
  }
  return { set: await loadProbes(files, kernel, compilerOptions(input)), compile };
}

function compilerOptions({ argv, pid, target }: ProbeInput): LoadOptions {
  return {
    ...(target === undefined ? {} : { target }),
    ...(argv === undefined ? {} : { argv: [...argv] }),
    ...(pid === undefined ? {} : { pid }),
  };
}

/** Compiles and loads; nothing is attached yet. @throws UserError at the place in the user's file. */
export async function loadProbeSession(input: ProbeInput): Promise<ProbeSession> {
  const [{ loadSession }, libc] = await Promise.all([
    import("./loader.ts"),
    loadLibc().catch((error: Error) => {
      throw new UserError(error.message);
    }),
  ]);
  const loaded = ({ set, compile }: Compiled): { set: ProbeSet; session: LoadedSession } => {
    const session = loadSession(libc, set, compile, {
      measure: input.measure,
      ...(input.ringBytes === undefined ? {} : { ringBytes: input.ringBytes }),
    });
    return { set, session };
  };
  return inWords(input, async () => {
    const { set, session } =
      loadedFromCache(input, loaded) ?? (await loadedAnew(input, libc, loaded));
    let timer: NodeJS.Timeout | undefined;
    const costs = (): readonly ProbeCost[] => (input.measure ? session.stats() : []);
    return {
      sources: Array.isArray(input.files) ? (input.files as readonly string[]) : ["-e"],
      files: "code" in input.files ? [] : [...input.files, ...set.files.map(({ path }) => path)],
      notes: set.notes,
      request: {
        sites: set.sites,
        eventTypes: set.eventTypes,
        aggregations: set.aggregations,
        ringFd: session.ringFd,
        ringBytes: session.ringBytes,
        lossesFd: session.lossesFd,
        maps: session.maps,
        ...(set.foreign === undefined ? {} : { foreign: set.foreign }),
      },
      begin: (onCosts) =>
        inWordsNow(input, () => {
          session.runBegin();
          session.attach();
          if (input.measure) timer = setInterval(() => onCosts(costs()), costIntervalMs);
        }),
      end: () => {
        clearInterval(timer);
        session.detach();
        session.runEnd();
        return costs();
      },
      close: () => {
        clearInterval(timer);
        session.close();
      },
    };
  });
}

type Load = (compiled: Compiled) => { readonly set: ProbeSet; readonly session: LoadedSession };

/** Only probes of a process depend on more than their files and the kernel. */
function cacheSources({ files, argv, pid, target, cache }: ProbeInput): Sources | undefined {
  const isGeneral = pid === undefined && target === undefined;
  return cache === true && isGeneral ? { files, argv: argv ?? [] } : undefined;
}

function loadedFromCache(input: ProbeInput, load: Load): ReturnType<Load> | undefined {
  const sources = cacheSources(input);
  const kept = sources === undefined ? undefined : cachedProbes(sources);
  if (sources === undefined || kept === undefined) return undefined;
  const { set, programs } = kept;
  const byHandler = new Map(set.probes.map(({ handler }, i) => [handler, programs[i]!]));
  try {
    return load({ set, compile: (handler) => byHandler.get(handler)! });
  } catch {
    forgetProbes(sources);
    return undefined; // compiled anew, it says what is wrong
  }
}

async function loadedAnew(input: ProbeInput, libc: Libc, load: Load): Promise<ReturnType<Load>> {
  const { set, compile } = await compiled(input, libc);
  const programs: Program[] = [];
  const result = load({
    set,
    compile: (handler) => {
      const program = compile(handler);
      programs.push(program);
      return program;
    },
  });
  const sources = cacheSources(input);
  if (sources !== undefined) keepProbes(sources, { set, programs });
  return result;
}

async function inWords<T>(input: ProbeInput, job: () => Promise<T>): Promise<T> {
  try {
    return await job();
  } catch (error) {
    throw userError(input, error);
  }
}
function inWordsNow<T>(input: ProbeInput, job: () => T): T {
  try {
    return job();
  } catch (error) {
    throw userError(input, error);
  }
}

/** Errors at a place of the user's show the line and point at it; the kernel's refusals are words too; all else is a defect. */
function userError({ files }: ProbeInput, error: unknown): unknown {
  if (error instanceof ProbeError) {
    const errors = error instanceof ProbeErrors ? error.errors : [error];
    // The last fix is printed after the message; the others stand with theirs.
    const texts = errors.map((one, i) => {
      const line = lineOf(files, one);
      const fix = i === errors.length - 1 || one.fix === undefined ? "" : `\n  fix: ${one.fix}`;
      return `${printableLines(String(one))}${line === undefined ? "" : `\n${line}`}${fix}`;
    });
    return new UserError(texts.join("\n"), errors.at(-1)!.fix);
  }
  if (error instanceof Error && error.name === "BpfError")
    return new UserError(error.message, rightsFix());
  return error;
}

/** What a file threw may have anything in it. */
function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

function lineOf(files: ProbeInput["files"], error: ProbeError): string | undefined {
  const { file, line, column } = error;
  if (file === undefined || line === undefined || column === undefined) return undefined;
  try {
    return sourceLine("code" in files ? files.code : readFileSync(file, "utf8"), line, column);
  } catch {
    return undefined; // changed meanwhile: the place alone has to do
  }
}
