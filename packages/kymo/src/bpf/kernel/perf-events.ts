/** Perf events by the names that perf gives them. */
import { readFileSync } from "node:fs";
import { errnoName } from "../../linux/errno.ts";
import type { Libc } from "../../linux/libc.ts";
import { explainPerfError, openPerfEvent, PerfType } from "../../linux/perf-event.ts";
import { findOrMountTracefs } from "../../linux/tracefs.ts";
import type { Missing } from "../schema.ts";
import { suggestions } from "./suggest.ts";

export interface PerfEventId {
  readonly type: number;
  readonly config: number;
}

/** PERF_COUNT_SW_… by number; aliases behind the name. */
const software: readonly (readonly string[])[] = [
  ["cpu-clock"],
  ["task-clock"],
  ["page-faults", "faults"],
  ["context-switches", "cs"],
  ["cpu-migrations", "migrations"],
  ["minor-faults"],
  ["major-faults"],
  ["alignment-faults"],
  ["emulation-faults"],
  ["dummy"],
  ["bpf-output"],
  ["cgroup-switches"],
];
/** PERF_COUNT_HW_… by number. */
const hardware: readonly (readonly string[])[] = [
  ["cycles", "cpu-cycles"],
  ["instructions"],
  ["cache-references"],
  ["cache-misses"],
  ["branches", "branch-instructions"],
  ["branch-misses"],
  ["bus-cycles"],
  ["stalled-cycles-frontend"],
  ["stalled-cycles-backend"],
  ["ref-cycles"],
];
/** PERF_COUNT_HW_CACHE_…: cache | operation << 8 | result << 16. */
const caches = ["L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node"] as const;
const operations = { load: 0, store: 1, prefetch: 2 } as const;
const hardwareCache = 3;

export const softwareEvents: readonly string[] = software.map(([name]) => name!);
export const hardwareEvents: readonly string[] = hardware.map(([name]) => name!);

/** @returns Missing when there is no such name, or this machine lacks the event: it was tried. */
export function perfEventNamed(name: string, libc: Libc): PerfEventId | Missing {
  const id = idOf(name, libc);
  if (id === undefined)
    return {
      missing: `there is no perf event ${name}`,
      suggestions: suggestions(name, [...software.flat(), ...hardware.flat()]),
      fix: `software events are ${softwareEvents.slice(0, 5).join(", ")} …; more: kymo probe --list 'perfEvent:*'`,
    };
  if ("missing" in id) return id;
  const attr = { ...id, period: 1_000_000, sampleType: 0, readFormat: 0 };
  const fd = openPerfEvent(libc, { ...attr, flags: ["disabled"] }, 0, -1);
  if (fd >= 0) {
    libc.close(fd);
    return id;
  }
  const absent = ["ENOENT", "EOPNOTSUPP", "ENOTSUP", "ENODEV"].includes(errnoName(-fd));
  if (!absent) return { missing: explainPerfError(-fd, name, 1) };
  return {
    missing: `this machine has no event ${name} (${errnoName(-fd)}; usual in virtual machines)`,
    fix: 'use a software event ("cpu-clock", "page-faults", "context-switches"), or profile()',
  };
}

function idOf(name: string, libc: Libc): PerfEventId | Missing | undefined {
  const byName = (names: readonly (readonly string[])[]): number =>
    names.findIndex((aliases) => aliases.includes(name));
  if (byName(software) >= 0) return { type: PerfType.software, config: byName(software) };
  if (byName(hardware) >= 0) return { type: PerfType.hardware, config: byName(hardware) };
  const cache = /^(.*?)-(load|store|prefetch)(e?s|-misses)$/.exec(name);
  const index = caches.indexOf((cache?.[1] ?? "") as (typeof caches)[number]);
  if (cache !== null && index >= 0) {
    const operation = operations[cache[2] as keyof typeof operations];
    const result = cache[3] === "-misses" ? 1 : 0;
    return { type: hardwareCache, config: index | (operation << 8) | (result << 16) };
  }
  return name.includes(":") ? tracepoint(name, libc) : undefined;
}

function tracepoint(name: string, libc: Libc): PerfEventId | Missing | undefined {
  const [category, event] = name.split(":", 2) as [string, string];
  if (!/^[\w.-]+$/.test(category) || !/^[\w.-]+$/.test(event)) return undefined;
  const tracefs = findOrMountTracefs(libc);
  if (!tracefs.ok) return { missing: tracefs.reason, fix: tracefs.fix };
  try {
    const id = readFileSync(`${tracefs.path}/events/${category}/${event}/id`, "utf8");
    return { type: PerfType.tracepoint, config: Number(id) };
  } catch {
    return undefined; // no such tracepoint
  }
}
