/** What can be probed on this machine: `kymo probe --list 'syscall:open*'`. */
import { readdirSync } from "node:fs";
import { openKernel } from "../../bpf/kernel/index.ts";
import { softwareEvents } from "../../bpf/kernel/perf-events.ts";
import {
  type CType,
  type EventSchema,
  isMissing,
  type Kernel,
  type Missing,
} from "../../bpf/schema.ts";
import { loadLibc } from "../../linux/libc.ts";
import { syscallNames } from "../../linux/syscall-names.ts";
import { findOrMountTracefs } from "../../linux/tracefs.ts";

/** With so few left over by the globs, their fields are shown too. */
const detailedMost = 5;

/**
 * Labels as the probe language has them, ascending within each kind. Without a glob, all of them; a glob without `:`
 * is looked for in every part.
 */
export async function listProbes(globs: readonly string[]): Promise<string[]> {
  const libc = await loadLibc();
  const tracefs = findOrMountTracefs(libc);
  const tracepoints = tracefs.ok ? tracepointsOf(tracefs.path) : [];
  const all = [
    ...tracepoints.map((name) => `tracepoint:${name}`),
    ...rawTracepoints(tracepoints).map((name) => `rawTracepoint:${name}`),
    ...[...new Set(syscallNames(process.arch).filter(Boolean))]
      .sort()
      .map((name) => `syscall:${name}`),
    ...softwareEvents.map((name) => `perfEvent:${name}`),
  ];
  const patterns = globs.map(globPattern);
  const chosen =
    patterns.length === 0
      ? all
      : all.filter((label) => patterns.some((pattern) => pattern.test(label)));
  const notes = tracefs.ok ? [] : [`no tracepoints: ${tracefs.reason}; ${tracefs.fix}`];
  if (chosen.length > detailedMost) return [...chosen, ...notes];
  const kernel = await openKernel(libc);
  return [...chosen.flatMap((label) => [label, ...fieldsOf(kernel, label)]), ...notes];
}

/** "sched:sched_switch", of all but the system calls, which have names of their own. */
function tracepointsOf(tracefs: string): string[] {
  const folders = (path: string): string[] =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  return folders(`${tracefs}/events`)
    .filter((category) => category !== "syscalls" && category !== "ftrace")
    .flatMap((category) =>
      folders(`${tracefs}/events/${category}`).map((event) => `${category}:${event}`),
    );
}

/** Raw tracepoints have no category. */
function rawTracepoints(tracepoints: readonly string[]): string[] {
  return [...new Set(tracepoints.map((name) => name.slice(name.indexOf(":") + 1)))].sort();
}

/** `*` is anything, `?` one character; without a `:` of its own it may stand anywhere between them. */
export function globPattern(glob: string): RegExp {
  const body = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(glob.includes(":") ? `^${body}$` : `(^|:)${body}(:|$)`);
}

function fieldsOf(kernel: Kernel, label: string): string[] {
  const schema = schemaOf(kernel, label);
  if (schema === undefined) return [];
  if (isMissing(schema)) return [`    ${schema.missing}`];
  const shown = schema.fields.map(({ name, type }) => `    ${name}: ${typeText(type)}`);
  if (schema.result !== undefined)
    shown.push(`    ${schema.result.name}: ${typeText(schema.result.type)}`);
  return [...new Set(shown)];
}

function schemaOf(kernel: Kernel, label: string): EventSchema | Missing | undefined {
  const [kind, first = "", second = ""] = label.split(":");
  if (kind === "tracepoint") return kernel.tracepoint(first, second);
  if (kind === "rawTracepoint") return kernel.rawTracepoint(first);
  return kind === "syscall" ? kernel.syscall(first, "enter") : undefined;
}

function typeText(type: CType): string {
  switch (type.kind) {
    case "int":
    case "enum":
      return `${type.type.signed ? "i" : "u"}${type.type.bits}${type.kind === "enum" && type.name !== "" ? ` (enum ${type.name})` : ""}`;
    case "pointer":
      return `${typeText(type.to)} *`;
    case "array":
      return `${typeText(type.of)}[${type.length}]`;
    case "struct":
      return `struct ${type.name}`;
    case "chars":
      return type.bytes === undefined ? "cstr" : `text[${type.bytes}]`;
    case "opaque":
      return type.name;
    case "bool":
      return "bool";
  }
}
