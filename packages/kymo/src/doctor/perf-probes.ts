/** Tries each kind of perf event that a recording opens, and closes it at once: what the kernel says is what counts. */
import { errnoName } from "../linux/errno.ts";
import { type Libc, loadLibc } from "../linux/libc.ts";
import {
  explainPerfError,
  openPerfEvent,
  type PerfAttr,
  PerfSoftware,
  PerfType,
  SampleType,
} from "../linux/perf-event.ts";
import { onlineCpus } from "../linux/proc.ts";
import { findTracefs, readEventFormat } from "../linux/tracefs.ts";
import { sources } from "../sources/registry.gen.ts";
import { type Check, Checks, groups, messageOf } from "./check.ts";

interface Probe {
  readonly name: string;
  readonly gives: string;
  /** The highest perf_event_paranoid at which users may have it. */
  readonly paranoid: number;
  readonly attr: PerfAttr;
  /** Everything on one CPU, or this process. */
  readonly scope: "cpu" | "own";
  /** Instead of the general one, for events the machine may not have. */
  readonly missing?: string;
}

const base = { period: 1_000_000, readFormat: 0 } as const;
const sampled = SampleType.ip | SampleType.tid | SampleType.time | SampleType.callchain;
const clock = {
  ...base,
  type: PerfType.software,
  config: PerfSoftware.cpuClock,
  sampleType: sampled,
};
const dummy = { ...base, type: PerfType.software, config: PerfSoftware.dummy, sampleType: 0 };

const probes: readonly Probe[] = [
  {
    name: "samples of every process",
    gives: "stacks of kernel and user space, by the CPU clock",
    paranoid: 0,
    attr: { ...clock, flags: ["disabled"] },
    scope: "cpu",
  },
  {
    name: "samples of your processes",
    gives: "stacks of kernel and user space",
    paranoid: 1,
    attr: { ...clock, flags: ["disabled", "inherit"] },
    scope: "own",
  },
  {
    name: "user-space samples of yours",
    gives: "stacks without the kernel's part",
    paranoid: 2,
    attr: { ...clock, flags: ["disabled", "inherit", "excludeKernel"] },
    scope: "own",
  },
  {
    name: "switches of your processes",
    gives: "when their threads run",
    paranoid: 2,
    attr: {
      ...dummy,
      flags: ["disabled", "inherit", "excludeKernel", "comm", "task", "contextSwitch"],
    },
    scope: "own",
  },
  {
    name: "hardware counters",
    gives: "cycles, cache misses",
    paranoid: 2,
    attr: {
      ...base,
      type: PerfType.hardware,
      config: 0,
      sampleType: 0,
      flags: ["disabled", "excludeKernel"],
    },
    scope: "own",
    missing: "this machine has none (usual in virtual machines); samples use the CPU clock",
  },
];

/** Events of tracefs that recordings use: what each is for. */
const tracepoints: readonly (readonly [event: string, name: string, gives: string])[] = [
  ["sched/sched_switch", "scheduling of every process", "switches"],
  ["sched/sched_waking", "wakeups of every process", "who woke whom"],
  ["raw_syscalls/sys_enter", "system calls", "names, results, durations"],
  ["signal/signal_generate", "signals", "who sent what to whom"],
];

export async function recordChecks(): Promise<readonly Check[]> {
  const checks = new Checks(groups.record);
  if (process.platform !== "linux") {
    checks.no(
      "recording",
      `needs Linux; this is ${process.platform}. Opening, querying and converting recordings work here`,
      "record on a Linux machine and copy the file",
    );
    return checks.all;
  }
  await sourceChecks(checks);
  let libc: Libc;
  try {
    libc = await loadLibc();
  } catch (error) {
    checks.no("perf events", `not tried: ${messageOf(error)}`);
    return checks.all;
  }
  tracepointChecks(checks, libc);
  for (const probe of probes) report(checks, libc, probe);
  return checks.all;
}

async function sourceChecks(checks: Checks): Promise<void> {
  for (const source of sources) {
    try {
      const found = await source.available();
      if (found.ok) checks.yes(`source ${source.name}`, found.note ?? source.title);
      else checks.no(`source ${source.name}`, found.reason, found.fix);
    } catch (error) {
      checks.no(`source ${source.name}`, messageOf(error));
    }
  }
}

function tracepointChecks(checks: Checks, libc: Libc): void {
  const tracefs = findTracefs();
  for (const [event, name, gives] of tracepoints) {
    if (!tracefs.ok) {
      if (process.geteuid?.() === 0)
        checks.note(name, `not tried: ${tracefs.reason}; kymo record mounts it`);
      else checks.no(name, tracefs.reason, tracefs.fix);
      continue;
    }
    const format = readEventFormat(tracefs.path, event);
    if (format === undefined) {
      checks.no(
        name,
        `this kernel has no event ${event}`,
        "use a kernel with CONFIG_FTRACE_SYSCALLS and CONFIG_SCHED_TRACER",
      );
      continue;
    }
    report(checks, libc, {
      name,
      gives: `${gives} (${event})`,
      paranoid: -1,
      attr: {
        ...base,
        type: PerfType.tracepoint,
        config: format.id,
        period: 1,
        sampleType: SampleType.tid | SampleType.time | SampleType.raw,
        flags: ["disabled"],
      },
      scope: "cpu",
    });
  }
}

function report(checks: Checks, libc: Libc, probe: Probe): void {
  const cpu = onlineCpus()[0] ?? 0;
  const fd =
    probe.scope === "cpu"
      ? openPerfEvent(libc, probe.attr, -1, cpu)
      : openPerfEvent(libc, probe.attr, 0, -1);
  if (fd >= 0) {
    libc.close(fd);
    checks.yes(probe.name, probe.gives);
    return;
  }
  const code = errnoName(-fd);
  if (probe.missing !== undefined && code !== "EACCES" && code !== "EPERM") {
    checks.no(probe.name, probe.missing);
    return;
  }
  const [reason, ...fix] = explainPerfError(
    -fd,
    probe.scope === "cpu" ? `cpu ${cpu}` : "own process",
    probe.paranoid,
  ).split("; ");
  checks.no(probe.name, reason!, fix.length === 0 ? undefined : fix.join("; "));
}
