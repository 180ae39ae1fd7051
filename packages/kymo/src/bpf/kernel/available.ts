/** Which probes work on this machine: each kind with the kernel's reason where it doesn't, and what to use instead. */
import type { Libc } from "../../linux/libc.ts";
import { openPerfEvent, PerfSoftware, PerfType } from "../../linux/perf-event.ts";
import { onlineCpus } from "../../linux/proc.ts";
import { findTracefs } from "../../linux/tracefs.ts";
import { type Feature, Features, rightsFix } from "./features.ts";
import { perfEventNamed } from "./perf-events.ts";
import { kernelTypes } from "./vmlinux.ts";

export interface ProbeKind {
  /** As in a probe file. */
  readonly name: string;
  readonly gives: string;
  readonly feature: Feature;
}

/** Every attach kind, tried now; nothing stays attached. */
export function probeKinds(libc: Libc): readonly ProbeKind[] {
  const types = kernelTypes();
  const features = new Features(libc, types?.btf);
  const { programs } = features;
  const kind = (name: string, gives: string, find: () => Feature): ProbeKind => ({
    name,
    gives,
    feature: programs.ok ? find() : programs,
  });
  return [
    kind("rawTracepoint, syscall", "events and system calls, without copies", () => programs),
    kind(
      "types of raw tracepoints",
      "arguments with fields, by BTF",
      () => features.typedTracepoints,
    ),
    kind("tracepoint", "events with the fields tracefs lists", tracefs),
    kind("uprobe, usdt", "functions, lines and static probes of programs", () =>
      features.uprobeMulti.ok ? features.uprobeMulti : features.uprobe,
    ),
    kind("span on a function", "entry and return in one program", () => features.uprobeSession),
    kind("profile, interval", "samples and timers by the CPU clock", () => cpuClock(libc)),
    kind("perfEvent", "hardware events: cycles, cache misses", () => cycles(libc)),
    kind("watchpoint", "who writes to an address", () => watchpoint(libc)),
    kind("kprobe", "any kernel function, by breakpoint", () => features.kprobe),
    kind("fentry, fexit", "kernel functions with typed arguments", () => features.fentry),
  ];
}

function tracefs(): Feature {
  const found = findTracefs();
  if (found.ok || process.geteuid?.() === 0) return { ok: true };
  return { ok: false, reason: found.reason, fix: found.fix };
}

function cpuClock(libc: Libc): Feature {
  const attr = { type: PerfType.software, config: PerfSoftware.cpuClock, period: 1e9 };
  const fd = openPerfEvent(
    libc,
    { ...attr, sampleType: 0, readFormat: 0, flags: ["disabled"] },
    -1,
    onlineCpus()[0] ?? 0,
  );
  if (fd < 0) return { ok: false, reason: "perf events are refused", fix: rightsFix() };
  libc.close(fd);
  return { ok: true };
}

function cycles(libc: Libc): Feature {
  const found = perfEventNamed("cycles", libc);
  if (!("missing" in found)) return { ok: true };
  const { missing: reason, fix } = found;
  return { ok: false, reason, ...(fix === undefined ? {} : { fix }) };
}

/** A breakpoint on a page of this process that is never written. */
function watchpoint(libc: Libc): Feature {
  const fd = openPerfEvent(
    libc,
    {
      type: PerfType.breakpoint,
      config: 0,
      period: 1,
      sampleType: 0,
      readFormat: 0,
      flags: ["disabled", "excludeKernel"],
      breakpointType: 2,
      config1: libc.addressOf(new Uint8Array(8)) & ~7n,
      config2: 8n,
    },
    0,
    -1,
  );
  if (fd < 0)
    return { ok: false, reason: "this machine has no hardware breakpoints for perf events" };
  libc.close(fd);
  return { ok: true };
}
