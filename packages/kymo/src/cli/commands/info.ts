/** `kymo info`: what a trace file holds, what it was made with, and what is wrong with it. */
import { stat } from "node:fs/promises";
import {
  type Format,
  FormatError,
  formats,
  type LintFinding,
  type LintRule,
  PerfettoLint,
  TraceBuilder,
} from "@kymo/trace";
import { readTraceFile } from "../../files/open.ts";
import { problemMeanings, type TraceContents, traceContents } from "../../query/summary.ts";
import { probeCostPrefix } from "../../sources/bpf/request.ts";
import { helpFlags, parseFlags } from "../arguments.ts";
import { type Command, UsageError, UserError } from "../command.ts";
import { printable } from "../printable.ts";

const flags = {
  json: { type: "boolean", help: "print one JSON object" },
  strict: {
    type: "boolean",
    help: "check a Perfetto file by the format's published rules; exit 1 when one is broken",
  },
  top: { type: "number", value: "N", default: 10, help: "processes and threads listed" },
} as const;

export const command: Command = {
  summary: "what a trace holds, what it was made with, what was lost",
  help: `kymo info FILE [--json] [--strict]

Prints the contents of a trace: events by kind, tracks, who used the CPUs, the time range; what it was recorded
with; events lost on each CPU, and every other problem that was found while reading it.

${helpFlags(flags)}

Examples:
  kymo info t.pftrace
  kymo info t.pftrace --json | jq .events
  kymo info t.pftrace --strict`,

  async run(args) {
    const { values, positionals } = parseFlags(flags, args);
    const [file, ...extra] = positionals;
    if (file === undefined) throw new UsageError("a trace file is missing: kymo info FILE");
    if (extra.length > 0) throw new UsageError(`one file is expected, ${extra[0]} is too many`);
    if (!Number.isInteger(values.top) || values.top < 0)
      throw new UsageError(`--top needs a whole number, not ${values.top}`);
    const builder = new TraceBuilder();
    const lint = values.strict ? new PerfettoLint() : undefined;
    const read = await readTraceFile(file, builder, {
      formats: lint === undefined ? formats : formats.map((format) => linted(format, lint)),
    });
    if (lint !== undefined && read.format !== "perfetto")
      throw new UserError(
        `--strict checks Perfetto files by their rules; this is ${titleOf(read.format)}`,
        "leave --strict out, or convert it first: kymo convert IN OUT.pftrace",
      );
    const findings = lint?.end();
    // Of a pipe only what came through is known; of a file also what was not worth reading.
    const stats = file === "-" ? undefined : await stat(file);
    const bytes = stats?.isFile() ? stats.size : read.bytesRead;
    const facts: FileFacts = {
      file: file === "-" ? "standard input" : file,
      bytes,
      format: read.format,
      compression: read.compression === "none" ? undefined : read.compression,
      bytesExpanded: read.bytesExpanded,
    };
    const contents = traceContents(builder.trace);
    console.log(
      values.json
        ? asJson(facts, contents, findings)
        : [...asText(facts, contents, values.top), ...strictText(findings)].join("\n"),
    );
    return findings === undefined || findings.length === 0 ? 0 : 1;
  },
};

/** A Perfetto reader that shows every byte to the lint as well: one pass, whatever the file is packed in. */
function linted(format: Format, lint: PerfettoLint): Format {
  const { stream } = format;
  if (format.name !== "perfetto" || stream === undefined) return format;
  return {
    ...format,
    stream: async (sink) => {
      const reader = await stream(sink);
      let broken = false;
      return {
        push: (chunk) => {
          // The lint gives up on bytes that are no packets; the reader has the last word on them.
          try {
            if (!broken) lint.push(chunk);
          } catch (error) {
            if (!(error instanceof FormatError)) throw error;
            broken = true;
          }
          reader.push(chunk);
        },
        end: () => reader.end(),
      };
    },
  };
}

/** What is checked, in the words of the rule. */
const rules: { readonly [Rule in LintRule]: string } = {
  framing: "the file is a row of whole packets, to its last byte",
  protobuf: "every packet is valid protobuf, every field of its declared kind",
  "sequence-id": "packets with state name their trusted_packet_sequence_id",
  "incremental-state": "a sequence clears its incremental state before anything relies on it",
  interning: "every interned id was written before, in the same state of its sequence",
  descriptor: "every track that is used or named as a parent has its descriptor",
  track: "track events have a kind, a track of that kind, and counters their values",
  timestamp: "events and samples have timestamps",
  clock: "every clock in use is read by a snapshot",
  packed: "repeated numbers of compact scheduling are packed",
  bundle: "bundles of kernel events name their CPU",
};

function strictText(findings: readonly LintFinding[] | undefined): string[] {
  if (findings === undefined) return [];
  const lines = Object.entries(rules).map(([rule, meaning]) => {
    const broken = findings.filter((finding) => finding.rule === rule).length;
    return `  ${broken === 0 ? "kept  " : "BROKEN"}  ${rule.padEnd(19)}${meaning}`;
  });
  const details = findings.flatMap(({ message, count: number, packet, byteOffset, fix }) => [
    `  × ${count(number)}, first at packet ${count(packet)}, byte ${count(byteOffset)}: ${printable(message)}`,
    `    fix: ${fix}`,
  ]);
  return ["", "rules of the Perfetto format", ...lines, ...details];
}

interface FileFacts {
  readonly file: string;
  readonly bytes: number;
  readonly format: string;
  readonly compression: string | undefined;
  readonly bytesExpanded: number;
}

function asJson(
  facts: FileFacts,
  contents: TraceContents,
  findings: readonly LintFinding[] | undefined,
): string {
  const bytesPerEvent = contents.events === 0 ? undefined : facts.bytes / contents.events;
  return JSON.stringify(
    { ...facts, bytesPerEvent, ...contents, ...(findings && { strict: findings }) },
    (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value),
    2,
  );
}

function asText(facts: FileFacts, contents: TraceContents, top: number): string[] {
  return [
    ...heading(facts, contents),
    "",
    ...events(facts, contents),
    ...ran(contents, top),
    "",
    ...trouble(contents),
  ];
}

function titleOf(name: string): string {
  return formats.find((format) => format.name === name)?.title ?? name;
}

function heading(facts: FileFacts, contents: TraceContents): string[] {
  const title = titleOf(facts.format);
  const packed =
    facts.compression === undefined
      ? ""
      : ` (${facts.compression}; ${byteText(facts.bytesExpanded)} unpacked)`;
  const { metadata } = contents;
  const lines = [`${facts.file}: ${title}, ${byteText(facts.bytes)}${packed}`];
  const add = (label: string, text: string | undefined): void => {
    if (text !== undefined && text !== "") lines.push(`  ${label.padEnd(12)}${printable(text)}`);
  };
  const { command, host, kernel, arch, started, schema: _, ...others } = metadata;
  const { "kymo.version": version, "kymo.cpu_ns": ownNs, ...rest } = others;
  add("command", command);
  add("host", [host, kernel, arch].filter(Boolean).join(", "));
  add("started", started);
  add("made by", version && `kymo ${version}`);
  add("own cost", ownNs && `${durationText(Number(ownNs))} of CPU for the recording itself`);
  for (const [key, value] of Object.entries(rest)) {
    const label = key.startsWith(probeCostPrefix) ? key.slice(probeCostPrefix.length) : undefined;
    if (label === undefined) add(`${key} `, value);
    else add("probe cost", probeCostText(label, value));
  }
  if (contents.from === undefined) add("time", "no events");
  else
    add(
      "time",
      `${durationText(contents.durationNs)}, from ${secondsText(contents.from)} to ${secondsText(contents.to!)} s (${contents.clock} clock)`,
    );
  return lines;
}

/** "syscall:openat: 1,204 runs, 210 ns each, 0.253 ms in all"; the kernel's own count. */
function probeCostText(label: string, json: string): string {
  let cost: { readonly runs?: unknown; readonly ns?: unknown };
  try {
    cost = JSON.parse(json);
  } catch {
    return `${label}: ${json}`; // not written by kymo
  }
  const [runs, ns] = [Number(cost.runs), Number(cost.ns)];
  if (!(runs > 0)) return `${label}: did not run`;
  return `${label}: ${count(runs)} runs, ${(ns / runs).toFixed(0)} ns each, ${durationText(ns)} in all`;
}

function events(facts: FileFacts, contents: TraceContents): string[] {
  const perEvent =
    contents.events === 0 ? "" : `, ${(facts.bytes / contents.events).toFixed(1)} bytes each`;
  const kinds = Object.entries(contents.eventsByKind).filter(([, count]) => count > 0);
  const tracks = Object.entries(contents.tracksByKind);
  return [
    `events    ${count(contents.events)}${perEvent}`,
    ...kinds.map(
      ([kind, number]) =>
        `  ${kind.padEnd(14)}${count(number).padStart(12)}${kind === "thread_state" ? "  (derived from sched)" : ""}`,
    ),
    ...(contents.eventTypes.length === 0
      ? []
      : [`  declared types: ${contents.eventTypes.map(printable).join(", ")}`]),
    `tracks    ${count(contents.tracks)}: ${tracks.map(([kind, number]) => `${count(number)} ${kind}`).join(", ")}`,
    `also      ${count(contents.strings)} strings, ${count(contents.argSets)} argument sets, ${count(contents.stacks)} stack nodes`,
  ];
}

function ran({ processes, threads, durationNs }: TraceContents, top: number): string[] {
  const share = (cpuNs: number): string => `${((100 * cpuNs) / durationNs).toFixed(1)} %`;
  const busy = processes.filter(({ cpuNs }) => cpuNs > 0).slice(0, top);
  const busyThreads = threads.filter(({ cpuNs }) => cpuNs > 0).slice(0, top);
  const more = (shown: number, all: number): string => (all > shown ? ` (${shown} of ${all})` : "");
  const lines: string[] = [];
  if (busy.length > 0)
    lines.push(
      "",
      `processes by CPU time${more(busy.length, processes.length)}; 100 % is one CPU`,
      ...columns(
        busy.map((row) => [
          durationText(row.cpuNs),
          share(row.cpuNs),
          row.pid === undefined ? "" : `pid ${row.pid}`,
          printable(row.name),
          `${count(row.threads)} ${row.threads === 1 ? "thread" : "threads"}`,
        ]),
      ),
    );
  if (busyThreads.length > 0)
    lines.push(
      "",
      `threads by CPU time${more(busyThreads.length, threads.length)}`,
      ...columns(
        busyThreads.map((row) => [
          durationText(row.cpuNs),
          share(row.cpuNs),
          row.tid === undefined ? "" : `tid ${row.tid}`,
          printable(row.name),
          row.process === "" ? "" : `of ${printable(row.process)}`,
        ]),
      ),
    );
  return lines;
}

function trouble({ lost, problems }: TraceContents): string[] {
  if (problems.length === 0) return ["problems  none; no events were lost"];
  const total = lost.reduce((sum, loss) => sum + loss.count, 0);
  const lines = [
    total === 0
      ? "lost      no events"
      : `lost      ${count(total)} events: ${lost.map((loss) => `${loss.cpu === undefined ? "no CPU named" : `cpu ${loss.cpu}`} ${count(loss.count)}`).join(", ")}`,
    "problems",
  ];
  for (const { kind, message, count: number } of problems)
    lines.push(
      `  ${kind} × ${count(number)}: ${printable(message)}`,
      `    ${problemMeanings[kind]}`,
    );
  return lines;
}

/** The first two columns to the right, the others to the left. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    `  ${row.map((text, i) => (i < 2 ? text.padStart(widths[i]!) : text.padEnd(widths[i]!))).join("  ")}`.trimEnd(),
  );
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
function durationText(ns: number): string {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(3)} s`;
  if (ns >= 1e6) return `${(ns / 1e6).toFixed(3)} ms`;
  if (ns >= 1e3) return `${(ns / 1e3).toFixed(3)} µs`;
  return `${ns} ns`;
}
function secondsText(ns: bigint): string {
  const sign = ns < 0n ? "-" : "";
  const digits = (ns < 0n ? -ns : ns).toString().padStart(10, "0");
  return `${sign}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}
function byteText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(2)} MB`;
  if (bytes >= 1e3) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${bytes} bytes`;
}
