/**
 * What kymo says that Perfetto's schema has no word for, in words that a Perfetto reader still shows.
 *
 * One packet sequence; its first packet interns the category "kymo" as iid 1. That is how a reader knows
 * the sequence: in it, an event whose category is iid 1 is one of those below and no event of the program,
 * and an event of category iid 2 ("kymo.type") is an event of a declared type. README.md has the schema.
 */
import type { ClockDomain, TrackInfo } from "../../model/sink.ts";
import { BuiltinClock } from "./records.ts";

/** Goes up when a reader of the earlier schema would misread what is written. */
export const SCHEMA_VERSION = 1;
export const SEQUENCE_ID = 1;
export const CATEGORY = "kymo";
export const CATEGORY_IID = 1;
export const TYPE_CATEGORY = "kymo.type";
export const TYPE_CATEGORY_IID = 2;
/** The track of events that belong to no other: "kymo". Tracks of the trace follow it. */
export const KYMO_UUID = 1;
export const FIRST_TRACK_UUID = 2;

/** Event names in category "kymo". */
export const KymoEvent = {
  trace: "trace",
  metadata: "metadata",
  eventType: "event_type",
  clockSnapshot: "clock_snapshot",
  problem: "problem",
  watermark: "watermark",
  switch: "switch",
  waking: "waking",
  life: "life",
  sample: "sample",
  log: "log",
  flow: "flow",
} as const;

/** Annotations that mean something to us on events of any category. */
export const KymoArg = {
  /** bool, on a begin: this slice was recorded whole and never ended. */
  open: "kymo.open",
  /** uint: bit n is set when the event's n-th flow id is a step, not a start. */
  flowSteps: "kymo.flow_steps",
  /** In a dictionary of its own: lower-case hex of a bytes value. */
  bytes: "kymo.bytes",
} as const;

/** Restart interning when this much trace time has passed. */
export const SECTION_NS = 5e9;
/** Sequence-scoped clocks: each timestamp adds to the last one; ns since the section began. */
export const DELTA_CLOCK: number = BuiltinClock.firstOfSequence;
export const SECTION_CLOCK: number = BuiltinClock.firstOfSequence + 1;
/** As DELTA_CLOCK, for the ends of short slices recorded whole: they must not move the clock of what begins next. */
export const END_CLOCK: number = BuiltinClock.firstOfSequence + 2;
/** As DELTA_CLOCK, for what comes after later events: what is told when it ends began before what has begun since. */
export const LATE_CLOCK: number = BuiltinClock.firstOfSequence + 3;
/** A longer slice would take END_CLOCK past the ends of those that follow. */
export const END_CLOCK_SLICE_NS = 1e6;

/** The clock that timestamps of a domain are written on. "tsc" and "unknown" count as Perfetto's default clock. */
export function builtinClock(domain: ClockDomain): number {
  if (domain === "monotonic") return BuiltinClock.monotonic;
  if (domain === "realtime") return BuiltinClock.realtime;
  return BuiltinClock.boottime;
}

export function clockDomain(builtin: number): ClockDomain | undefined {
  if (builtin === BuiltinClock.monotonic) return "monotonic";
  if (builtin === BuiltinClock.realtime) return "realtime";
  if (builtin === BuiltinClock.boottime) return "boottime";
  if (builtin === BuiltinClock.tsc) return "tsc";
  return undefined;
}

type ExtraKey = "kind" | "pid" | "tid" | "cpu" | "parentPid" | "unit" | "sortIndex";
const EXTRA_KEYS: readonly ExtraKey[] = [
  "kind",
  "pid",
  "tid",
  "cpu",
  "parentPid",
  "unit",
  "sortIndex",
];
const TRACK_KINDS: readonly string[] = [
  "host",
  "process",
  "thread",
  "cpu",
  "counter",
  "async",
  "custom",
];
const DESCRIPTION = "kymo track: ";

/**
 * What of `info` the standard fields of a TrackDescriptor do not say, as its description:
 * `kymo track: {"kind":"cpu","cpu":3}`; a null takes a field away. Undefined when they say it all.
 *
 * @param standard what a reader makes of the standard fields alone
 */
export function describeExtras(info: TrackInfo, standard: TrackInfo): string | undefined {
  const extras: { [key in ExtraKey]?: string | number | null } = {};
  for (const key of EXTRA_KEYS)
    if (!Object.is(info[key], standard[key])) extras[key] = info[key] ?? null;
  return Object.keys(extras).length === 0 ? undefined : DESCRIPTION + JSON.stringify(extras);
}

/** Undoes `describeExtras`. A description that is not ours, or does not hold what it should, changes nothing. */
export function applyExtras(standard: TrackInfo, description: string): TrackInfo {
  if (!description.startsWith(DESCRIPTION) || description.length > 4096) return standard;
  let extras: unknown;
  try {
    extras = JSON.parse(description.slice(DESCRIPTION.length));
  } catch {
    return standard; // Someone else's words after our prefix: only a description then.
  }
  if (typeof extras !== "object" || extras === null) return standard;
  const info: { -readonly [key in keyof TrackInfo]: TrackInfo[key] } = { ...standard };
  for (const key of EXTRA_KEYS) {
    const value = (extras as { [key: string]: unknown })[key];
    if (value === undefined) continue;
    if (key === "kind") {
      if (typeof value === "string" && TRACK_KINDS.includes(value))
        info.kind = value as TrackInfo["kind"];
    } else if (value === null) delete info[key];
    else if (key === "unit") {
      if (typeof value === "string") info.unit = value;
    } else if (typeof value === "number") info[key] = value;
  }
  return info;
}
