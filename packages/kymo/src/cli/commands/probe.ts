import { CaptureSession } from "../../record/capture-session.ts";
import { probeFile, shippedProbes } from "../../record/shipped.ts";
import { type Flags, helpFlags, parseFlags } from "../arguments.ts";
import { type Command, UsageError, UserError } from "../command.ts";
import { liveFlags, viewOf } from "../live-flags.ts";
import { inRange, positiveInteger } from "../numbers.ts";
import { printable } from "../printable.ts";
import { version } from "../version.ts";

const flags = {
  eval: { type: "string", short: "e", value: "CODE", help: "probe code instead of a file" },
  output: {
    type: "string",
    short: "o",
    value: "FILE",
    help: "write a trace; without it events are printed",
  },
  ...liveFlags,
  open: { type: "boolean", help: "with --live: open its link in a browser" },
  watch: { type: "boolean", short: "w", help: "when a FILE is saved, its new version takes over" },
  duration: { type: "number", short: "d", value: "SECS", help: "stop after so many seconds" },
  pid: {
    type: "number",
    short: "p",
    value: "N",
    help: "only events of this process; ends with it",
  },
  list: { type: "boolean", short: "l", help: "list what can be probed; GLOBs choose" },
  dump: { type: "boolean", help: "print the compiled programs, and attach nothing" },
  "buffer-mb": { type: "number", value: "N", help: "MiB of the probes' ring buffer", default: 16 },
  "no-cost": { type: "boolean", help: "don't measure what the probes cost" },
  "no-cache": { type: "boolean", help: "compile anew, and keep nothing for the next time" },
  quiet: { type: "boolean", short: "q", help: "say nothing but errors" },
} as const satisfies Flags;

export const command: Command = {
  summary: "run TypeScript functions in the kernel: events as lines, or a trace",
  help: `Usage: kymo probe FILE... [FLAGS] [ARGS] [-- COMMAND]
       kymo probe -e CODE [FLAGS] [-- COMMAND]
       kymo probe --list [GLOB...]

Compiles the handlers of probe files (TypeScript, import "kymo/probe") and runs them in the kernel. Without -o every
event is a line on standard output, and aggregations are printed at the end; with -o they are in the trace, and only
print() and aggregations are printed. Ends with the command, after -d seconds, or on Ctrl-C. With --live the events are
on a page, too, whose link is printed; it shows them within a second, and is served until another Ctrl-C.

With --watch, saving a FILE (or what it imports of its own) lets its new version take over: attached before the old one is
detached, so that no event is missed. A version that fails changes nothing; its error is told here and on the page.

Flags:
${helpFlags(flags)}

ARGS are process.argv.slice(2) of the probe files. Code given with -e has all of kymo/probe in scope.

A FILE may be the name of a probe that ships with kymo:
  ${wrapped(shippedProbes().join(" "))}

Examples:
  sudo kymo probe -e 'syscall("openat", (e) => instant({ name: str(e.filename) }))' -- ls
  sudo kymo probe slow-reads.probe.ts -o slow.pftrace -d 10
  sudo kymo probe slow-reads.probe.ts --live --watch
  sudo kymo probe opensnoop -- git status
  sudo kymo probe --list 'tracepoint:sched:*'`,
  run,
};

/** Words in lines of at most 110 characters. */
function wrapped(words: string): string {
  return words.replace(/(.{1,110})( |$)/g, "$1\n  ").trimEnd();
}

async function run(argv: readonly string[]): Promise<number> {
  const { values, positionals, rest } = parseFlags(flags, argv);
  if (values.list) {
    const pid = values.pid === undefined ? undefined : positiveInteger("--pid", values.pid);
    return list(positionals.length === 0 ? [""] : positionals, pid);
  }
  if (rest !== undefined && rest.length === 0) throw new UsageError("-- needs a command after it");
  const { files, args } = sources(values.eval, positionals);
  const pid = values.pid === undefined ? undefined : positiveInteger("--pid", values.pid);
  if (pid !== undefined && rest !== undefined)
    throw new UsageError("--pid and a command: probe one or the other");
  if (values.watch && "code" in files) throw new UsageError("--watch watches files; -e has none");
  const bufferMb = inRange("--buffer-mb", values["buffer-mb"], 0.0625, 1024);
  const view = viewOf(values);
  const seconds =
    values.duration === undefined ? Infinity : inRange("--duration", values.duration, 0.001, 1e6);
  const quiet = values.quiet === true;
  // Nothing is wrong with the command line. What takes longest to start goes first.
  const capture =
    values.dump || view !== undefined
      ? undefined
      : new CaptureSession({ quiet, file: values.output });
  const [{ record }, { dumpPrograms, ringBytes }] = await Promise.all([
    import("../../record/record.ts"),
    import("../../record/probes.ts"),
  ]);
  const probes = {
    files,
    argv: args,
    pid,
    ringBytes: ringBytes(bufferMb),
    cache: values["no-cache"] !== true,
    measure: values["no-cost"] !== true && values.output !== undefined,
  };
  if (values.dump) {
    console.log(await dumpPrograms(probes));
    return 0;
  }
  const options = {
    file: values.output,
    command: rest ?? [],
    pid,
    seconds,
    maxBytes: Infinity,
    quiet,
    bufferMb,
    version,
    // What the probes' events need to have names: tasks and what they have mapped.
    perf: {
      sched: false,
      syscalls: false,
      samples: false,
      counters: false,
      signals: false,
      all: true,
      freq: 999,
      bufferMb: 1,
    },
    probes,
    watch: values.watch === true,
  };
  if (view === undefined)
    return (await record({ ...options, ...(capture === undefined ? {} : { capture }) })).status;
  const { recordLive } = await import("../../live/record-live.ts");
  return (await recordLive(options, view)).status;
}

/** With so few left, their fields are shown too. */
const detailedMost = 5;

async function list(patterns: readonly string[], pid: number | undefined): Promise<number> {
  const { listProbes } = await import("../../bpf/kernel/list.ts");
  const options = pid === undefined ? {} : { pid };
  let found = 0;
  for (const pattern of patterns) {
    let matching: number;
    try {
      matching = countUpTo(detailedMost + 1, listProbes(pattern, options));
      const fields = matching <= detailedMost;
      for (const probe of listProbes(pattern, { ...options, fields })) {
        console.log(printable(probe.name));
        for (const field of probe.fields ?? []) console.log(`    ${printable(field)}`);
      }
    } catch (error) {
      throw new UserError(error instanceof Error ? error.message : String(error));
    }
    found += matching;
  }
  if (found > 0) return 0;
  throw new UserError(
    `nothing here matches ${patterns.join(" ")}`,
    "as root more can be seen; uprobe:FILE:GLOB and usdt:FILE:GLOB look into programs",
  );
}

function countUpTo(most: number, items: Iterable<unknown>): number {
  let count = 0;
  for (const _ of items) if (++count === most) break;
  return count;
}

/** Probe files come first; what is none any more by its name, and all after it, are their arguments. */
function sources(
  code: string | undefined,
  positionals: readonly string[],
): {
  readonly files: readonly string[] | { readonly code: string };
  readonly args: readonly string[];
} {
  if (code !== undefined) return { files: { code }, args: positionals };
  if (positionals.length === 0)
    throw new UsageError(
      "nothing to probe: give a file, or code with -e; --list shows what there is",
    );
  const isProbe = (name: string): boolean => /\.[cm]?[jt]s$|\.o$/.test(name);
  // The first one is a file whatever it is called: a missing one is to be named.
  const end = positionals.findIndex((name, i) => i > 0 && !isProbe(name));
  const files = end < 0 ? positionals : positionals.slice(0, end);
  return {
    files: files.map(probeFile),
    args: end < 0 ? [] : positionals.slice(end),
  };
}
