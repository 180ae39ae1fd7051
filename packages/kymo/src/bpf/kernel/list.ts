/**
 * What can be probed, by name: `kymo probe --list`.
 *
 *     tracepoint:sched:sched_switch · rawTracepoint:sched_switch · syscall:openat · perfEvent:page-faults
 *     uprobe:/usr/bin/node:v8::* · usdt:libc:*      (of a file that is named, or of a process)
 */
import { readFileSync } from "node:fs";
import { demangle } from "../../linux/symbols/demangle/index.ts";
import { ElfFunctions, wordInLinkerName } from "../../linux/symbols/elf-functions.ts";
import { readStaticProbes } from "../../linux/symbols/static-probes.ts";
import { syscallNames } from "../../linux/syscall-names.ts";
import { findTracefs } from "../../linux/tracefs.ts";
import type { Missing } from "../schema.ts";
import { withBinary } from "./binaries.ts";
import { globPattern, isGlob } from "./glob.ts";
import { hardwareEvents, softwareEvents } from "./perf-events.ts";
import type { Arch } from "./registers.ts";
import { syscallArguments } from "./syscalls.ts";
import {
  eventCategories,
  eventsOf,
  rawTracepointSchema,
  rawTracepoints,
  tracepointSchema,
} from "./tracepoints.ts";
import { fieldTexts, typeText } from "./type-text.ts";
import { kernelTypes } from "./vmlinux.ts";

export type ProbeListKind =
  | "tracepoint"
  | "rawTracepoint"
  | "syscall"
  | "perfEvent"
  | "uprobe"
  | "usdt";

export interface ListedProbe {
  readonly kind: ProbeListKind;
  /** With its kind, as messages and labels have it. */
  readonly name: string;
  /** When asked for: `next_pid: i32`. */
  readonly fields?: readonly string[];
}

export interface ListOptions {
  /** Also the fields of each: reads a file for each tracepoint. */
  readonly fields?: boolean;
  /** uprobe and usdt: files that this process has mapped. */
  readonly pid?: number;
}

/** Reading it costs something: a generator, so that the first are shown while the rest is found. */
type Names = Iterable<{ readonly name: string; fields(): readonly string[] }>;

const kinds: { readonly [Kind in ProbeListKind]: (rest: string, options: ListOptions) => Names } = {
  tracepoint: () => tracepointNames(),
  rawTracepoint: () => rawTracepointNames(),
  syscall: () => syscallList(),
  perfEvent: () => [...softwareEvents, ...hardwareEvents].map((name) => ({ name, fields: none })),
  uprobe: (rest, options) => functionNames(rest, options),
  usdt: (rest, options) => staticProbeNames(rest, options),
};
const none = (): readonly string[] => [];

/**
 * @param pattern  with its kind or without (then of every kind that needs no file); `*` and `?`, or a part of the name;
 *                 "" for all
 * @throws Error in words when a file that is named can't be read
 */
export function* listProbes(pattern: string, options: ListOptions = {}): Generator<ListedProbe> {
  const [, given, rest = pattern] = /^(\w+):(.*)$/s.exec(pattern) ?? [];
  const own = Object.hasOwn(kinds, given ?? "") ? (given as ProbeListKind) : undefined;
  const text = own === undefined ? pattern : rest;
  const isWanted = matcher(text);
  for (const kind of Object.keys(kinds) as ProbeListKind[]) {
    const needsFile = kind === "uprobe" || kind === "usdt";
    if (own === undefined ? needsFile : own !== kind) continue;
    // Files filter their names themselves: what is asked for begins with the file's name.
    for (const { name, fields } of kinds[kind](text, options))
      if (needsFile || isWanted(name))
        yield {
          kind,
          name: `${kind}:${name}`,
          ...(options.fields === true ? { fields: fields() } : {}),
        };
  }
}

function matcher(text: string): (name: string) => boolean {
  if (!isGlob(text)) return (name) => name.includes(text);
  const pattern = globPattern(text);
  return (name) => pattern.test(name);
}

function* tracepointNames(): Names {
  const tracefs = findTracefs();
  if (!tracefs.ok) return;
  for (const category of eventCategories(tracefs.path))
    for (const event of eventsOf(tracefs.path, category))
      yield {
        name: `${category}:${event}`,
        fields: () => fieldTexts(tracepointSchema(tracefs.path, category, event, kernelTypes())),
      };
}

function* rawTracepointNames(): Names {
  const types = kernelTypes();
  if (types === undefined) return;
  for (const name of rawTracepoints(types.btf))
    yield { name, fields: () => fieldTexts(rawTracepointSchema(name, types)) };
}

function* syscallList(): Names {
  const tracefs = findTracefs();
  const machine = {
    arch: here,
    tracefs: tracefs.ok ? tracefs.path : undefined,
    types: kernelTypes(),
  };
  for (const name of syscallNames(here)) {
    if (name === undefined) continue;
    yield {
      name,
      fields: () =>
        (syscallArguments(name, machine) ?? []).map(
          (argument) => `${argument.name}: ${typeText(argument.type)}`,
        ),
    };
  }
}

/** `FILE:PATTERN`, or the files of a process. A file's name has no colon in it here. */
function filesOf(rest: string, { pid }: ListOptions): { files: string[]; pattern: string } {
  const [file = "", ...pattern] = rest.split(":");
  if (file !== "" && !isGlob(file)) return { files: [file], pattern: pattern.join(":") };
  if (pid === undefined)
    throw new Error("name a file, `uprobe:/usr/bin/node:*` or `usdt:libc:*`, or a process: -p PID");
  const wanted = matcher(file);
  const mapped = [...mappedBy(pid)].filter((one) => wanted(one));
  return { files: mapped, pattern: pattern.join(":") };
}

function mappedBy(pid: number): Set<string> {
  let maps: string;
  try {
    maps = readFileSync(`/proc/${pid}/maps`, "utf8");
  } catch {
    throw new Error(`there is no process ${pid}, or it is not yours`);
  }
  const files = new Set<string>();
  for (const line of maps.split("\n")) {
    const at = line.indexOf("/");
    if (at > 0 && /^\S+ ..x/.test(line) && !line.endsWith("(deleted)")) files.add(line.slice(at));
  }
  return files;
}

const here: Arch = process.arch === "arm64" ? "arm64" : "x64";

function* functionNames(rest: string, options: ListOptions): Names {
  const { files, pattern } = filesOf(rest, options);
  const isWanted = matcher(pattern);
  const word = wordInLinkerName(pattern);
  for (const file of files) {
    const names = readable(
      files,
      withBinary(file, options.pid, here, ({ elf, path, roots }) => {
        const found = new Set<string>();
        for (const { name } of new ElfFunctions(elf, path, roots).all(word)) {
          const source = demangle(name);
          if (isWanted(source) || isWanted(name)) found.add(source);
        }
        return found;
      }),
    );
    for (const name of names) yield { name: `${file}:${name}`, fields: none };
  }
}

function* staticProbeNames(rest: string, options: ListOptions): Names {
  const { files, pattern } = filesOf(rest, options);
  const isWanted = matcher(pattern);
  for (const file of files) {
    const probes = readable(
      files,
      withBinary(
        file,
        options.pid,
        here,
        ({ elf }) =>
          new Map(readStaticProbes(elf).map((one) => [`${one.provider}:${one.name}`, one])),
      ),
    );
    for (const [name, probe] of probes)
      if (isWanted(name))
        yield {
          name: `${file}:${name}`,
          fields: () => probe.arguments.map((text, index) => `${index}: ${sizeText(text)}`),
        };
  }
}

/** "-4@%edi" is an i32. */
function sizeText(argument: string): string {
  const [, sign, bytes] = /^(-?)(\d+)/.exec(argument) ?? [];
  return `${sign === "-" ? "i" : "u"}${8 * Number(bytes ?? 8)}`;
}

/** A file that was asked for by name must be readable; of a process's many, those that are not are left out. */
function readable<T extends object>(files: readonly string[], answer: T | Missing): T | never[] {
  if (!("missing" in answer)) return answer as T;
  if (files.length > 1) return [];
  throw new Error((answer as Missing).missing);
}
