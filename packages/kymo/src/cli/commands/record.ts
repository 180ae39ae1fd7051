import { cpus } from "node:os";
import { ringBytes } from "../../record/probes.ts";
import { record } from "../../record/record.ts";
import { probeFile } from "../../record/shipped.ts";
import { defaultBufferMb } from "../../sources/perf/options.ts";
import { type Flags, helpFlags, parseFlags } from "../arguments.ts";
import { type Command, UsageError } from "../command.ts";
import { liveFlags, viewOf } from "../live-flags.ts";
import { inRange, positiveInteger } from "../numbers.ts";
import { version } from "../version.ts";

const flags = {
  output: {
    type: "string",
    short: "o",
    value: "FILE",
    help: "the trace to write",
    default: "trace.pftrace",
  },
  duration: { type: "number", short: "d", value: "SECS", help: "stop after so many seconds" },
  all: { type: "boolean", short: "a", help: "record the whole system" },
  pid: {
    type: "number",
    short: "p",
    value: "N",
    help: "record a running process and its descendants",
  },
  open: { type: "boolean", help: "open the trace when it is done; with --live, at once" },
  ...liveFlags,
  "max-size": {
    type: "string",
    value: "SIZE",
    help: "stop before the file is larger: 500K, 100M, 2G",
  },
  freq: { type: "number", value: "HZ", help: "CPU samples a second", default: 999 },
  "buffer-mb": {
    type: "number",
    value: "N",
    help: "MiB of ring buffer a CPU (default 16, less with many CPUs)",
  },
  probe: {
    type: "string",
    many: true,
    value: "FILE",
    help: "run a probe file, or a shipped probe by name, too; may be given more than once",
  },
  "no-sched": { type: "boolean", help: "leave out scheduling" },
  "no-syscalls": { type: "boolean", help: "leave out system calls" },
  "no-samples": { type: "boolean", help: "leave out CPU samples" },
  "no-counters": { type: "boolean", help: "leave out memory counters" },
  "no-block": { type: "boolean", help: "leave out requests to disks" },
  "no-marks": {
    type: "boolean",
    help: "leave out what programs mark by system calls that fail (docs/events-from-any-language.md)",
  },
  quiet: { type: "boolean", short: "q", help: "say nothing but errors" },
} as const satisfies Flags;

export const command: Command = {
  summary: "record a command, a process or the whole system into a trace file",
  help: `Usage: kymo record [FLAGS] [--] COMMAND [ARGS]
       kymo record [FLAGS] --pid N
       kymo record [FLAGS] -a

Records what a program does: scheduling of all CPUs, its system calls, samples of its stacks, processes and threads
as they come and go. Ends with the command, after -d seconds, or on Ctrl-C. The exit status is the command's.

With --live, prints a link to a timeline that shows events within a second; it carries a secret token. It is served
until Ctrl-C, also when the recording has ended. The recording never waits for it, and the file has everything.

Flags:
${helpFlags(flags)}

Examples:
  kymo record make -j4
  kymo record -o slow.pftrace --open -- ./server --port 0
  kymo record --live --open -- ./server
  sudo kymo record --probe slow-reads.probe.ts -- ./server
  sudo kymo record -a -d 5`,
  run,
};

async function run(argv: readonly string[]): Promise<number> {
  const { values, positionals, rest } = parseFlags(flags, argv, { stopAtPositional: true });
  const target = rest ?? positionals;
  if (rest !== undefined && positionals.length > 0)
    throw new UsageError(`${positionals[0]}: flags come before --, the command after it`);
  if (rest !== undefined && rest.length === 0) throw new UsageError("-- needs a command after it");
  if (target.length > 0 && values.pid !== undefined)
    throw new UsageError("--pid and a command: record one or the other");
  if (target.length === 0 && values.pid === undefined && !values.all)
    throw new UsageError("nothing to record: give a command, --pid N, or -a for the whole system");
  const view = viewOf(values);
  const cpuCount = cpus().length;
  const bufferMb = inRange(
    "--buffer-mb",
    values["buffer-mb"] ?? defaultBufferMb(cpuCount),
    0.0625,
    1024,
  );
  const options = {
    file: values.output,
    command: target,
    pid: values.pid === undefined ? undefined : positiveInteger("--pid", values.pid),
    seconds:
      values.duration === undefined ? Infinity : inRange("--duration", values.duration, 0.001, 1e6),
    maxBytes: values["max-size"] === undefined ? Infinity : parseSize(values["max-size"]),
    quiet: values.quiet === true,
    bufferMb,
    version,
    perf: {
      sched: values["no-sched"] !== true,
      syscalls: values["no-syscalls"] !== true,
      samples: values["no-samples"] !== true,
      counters: values["no-counters"] !== true,
      freq: inRange("--freq", values.freq, 1, 20_000),
      bufferMb,
      signals: true,
      all: values.all === true,
    },
    marks: values["no-marks"] !== true,
    block: values["no-block"] !== true,
    probes:
      values.probe.length === 0
        ? undefined
        : // One ring for all CPUs.
          {
            files: values.probe.map(probeFile),
            measure: true,
            ringBytes: ringBytes(bufferMb * cpuCount),
          },
  };
  if (view !== undefined) {
    const { recordLive } = await import("../../live/record-live.ts");
    return (await recordLive(options, view)).status;
  }
  const { status, recorded } = await record(options);
  if (values.open && recorded) {
    const { command: open } = await import("./open.ts");
    await open.run([values.output]);
  }
  return status;
}

const sizeUnits: { readonly [suffix: string]: number } = {
  "": 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** "100M" → bytes. */
function parseSize(text: string): number {
  const [, number, suffix] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  const unit = sizeUnits[suffix?.toLowerCase() ?? ""];
  if (number === undefined || unit === undefined || Number(number) === 0)
    throw new UsageError(`--max-size needs a size like 500K, 100M or 2G, not "${text}"`);
  return Math.floor(Number(number) * unit);
}
