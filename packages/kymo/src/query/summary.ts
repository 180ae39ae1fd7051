/** What is in a trace, in numbers: what `kymo info` prints. One pass over the scheduling rows, none over the others. */
import { durationAt, type ProblemKind, type RowKind, type Trace, type TrackId } from "@kymo/trace";
import { TrackIds } from "./track-ids.ts";

export interface ProcessSummary {
  readonly pid: number | undefined;
  readonly name: string;
  readonly threads: number;
  readonly cpuNs: number;
}
export interface ThreadSummary {
  readonly tid: number | undefined;
  readonly name: string;
  readonly process: string;
  readonly cpuNs: number;
}
export interface ProblemSummary {
  readonly kind: ProblemKind;
  readonly message: string;
  readonly count: number;
}
export interface TraceContents {
  readonly metadata: { readonly [key: string]: string };
  readonly clock: string;
  /** Absolute ns on that clock; undefined for a trace without events. */
  readonly from: bigint | undefined;
  readonly to: bigint | undefined;
  readonly durationNs: number;
  /** Recorded events: without thread states, which are derived from scheduling. */
  readonly events: number;
  readonly eventsByKind: { readonly [Kind in RowKind | "flow" | "log" | "life"]: number };
  readonly eventTypes: readonly string[];
  readonly tracks: number;
  readonly tracksByKind: { readonly [kind: string]: number };
  readonly strings: number;
  readonly argSets: number;
  readonly stacks: number;
  /** By CPU time, most first; all of them. */
  readonly processes: readonly ProcessSummary[];
  readonly threads: readonly ThreadSummary[];
  /** By CPU; `undefined` when a loss names none. */
  readonly lost: readonly { readonly cpu: number | undefined; readonly count: number }[];
  readonly problems: readonly ProblemSummary[];
}

export function traceContents(trace: Trace): TraceContents {
  const eventsByKind = {
    slice: 0,
    instant: 0,
    counter: 0,
    sched: 0,
    thread_state: 0,
    sample: 0,
    flow: trace.flows.length,
    log: trace.logs.length,
    life: trace.lives.length,
  };
  for (const row of trace.rows) eventsByKind[row.kind] += row.length;
  const tracksByKind: { [kind: string]: number } = {};
  for (const { kind } of trace.tracks) tracksByKind[kind] = (tracksByKind[kind] ?? 0) + 1;
  const empty = !(trace.fromNs <= trace.toNs);
  const absolute = (ns: number): bigint => trace.clock.originNs + BigInt(Math.floor(ns));
  return {
    metadata: Object.fromEntries(trace.metadata),
    clock: trace.clock.domain,
    from: empty ? undefined : absolute(trace.fromNs),
    to: empty ? undefined : absolute(trace.toNs),
    durationNs: empty ? 0 : trace.toNs - trace.fromNs,
    events: Object.values(eventsByKind).reduce((a, b) => a + b, 0) - eventsByKind.thread_state,
    eventsByKind,
    eventTypes: trace.eventTypes.map(({ name }) => name),
    tracks: trace.tracks.length,
    tracksByKind,
    strings: trace.strings.length,
    argSets: trace.args.length,
    stacks: trace.stacks.length,
    ...whoRan(trace),
    lost: lossesByCpu(trace),
    problems: problemsByMessage(trace),
  };
}

function whoRan(trace: Trace): Pick<TraceContents, "processes" | "threads"> {
  const ids = new TrackIds(trace);
  const cpuNs = cpuTimeByThread(trace);
  const nameOf = (track: number): string => trace.trackName(track as TrackId);
  const threads: ThreadSummary[] = [];
  const processes = new Map<number, { threads: number; cpuNs: number }>();
  trace.tracks.forEach((info, track) => {
    if (info.kind === "process" && !processes.has(track))
      processes.set(track, { threads: 0, cpuNs: 0 });
    if (info.kind !== "thread") return;
    const process = ids.processOf(track);
    const own = cpuNs[track]!;
    threads.push({
      tid: info.tid,
      name: nameOf(track),
      process: process === undefined ? "" : nameOf(process),
      cpuNs: own,
    });
    if (process === undefined) return;
    const sums = processes.get(process) ?? { threads: 0, cpuNs: 0 };
    processes.set(process, { threads: sums.threads + 1, cpuNs: sums.cpuNs + own });
  });
  return {
    processes: [...processes]
      .map(([track, sums]) => ({ pid: trace.tracks[track]!.pid, name: nameOf(track), ...sums }))
      .sort((a, b) => b.cpuNs - a.cpuNs),
    threads: threads.sort((a, b) => b.cpuNs - a.cpuNs),
  };
}

/** By track. What still runs at the end counts to the end. Without scheduling, from "Running" thread states. */
function cpuTimeByThread(trace: Trace): Float64Array {
  const cpuNs = new Float64Array(trace.tracks.length);
  const running = trace.strings.find("Running");
  const scheduled = trace.rows.some((row) => row.kind === "sched" && row.length > 0);
  for (const row of trace.rows) {
    if (row.kind !== (scheduled ? "sched" : "thread_state")) continue;
    for (const chunk of row.chunks)
      for (let i = 0; i < chunk.length; i++) {
        const dur = durationAt(chunk, i);
        const length = Number.isNaN(dur) ? trace.toNs - chunk.ts[i]! : dur;
        if (scheduled) cpuNs[chunk.key[i]!]! += length;
        else if (chunk.key[i] === running) cpuNs[row.track]! += length;
      }
  }
  return cpuNs;
}

function lossesByCpu(trace: Trace): TraceContents["lost"] {
  const counts = new Map<number | undefined, number>();
  for (const { kind, cpu, count } of trace.problems)
    if (kind === "lost-events") counts.set(cpu, (counts.get(cpu) ?? 0) + (count ?? 1));
  return [...counts]
    .map(([cpu, count]) => ({ cpu, count }))
    .sort((a, b) => (a.cpu ?? -1) - (b.cpu ?? -1));
}

function problemsByMessage(trace: Trace): ProblemSummary[] {
  const byMessage = new Map<
    string,
    { -readonly [Key in keyof ProblemSummary]: ProblemSummary[Key] }
  >();
  for (const { kind, message, count } of trace.problems) {
    const key = `${kind} ${message}`;
    const known = byMessage.get(key);
    if (known === undefined) byMessage.set(key, { kind, message, count: count ?? 1 });
    else known.count += count ?? 1;
  }
  return [...byMessage.values()].sort((a, b) => b.count - a.count);
}

/** What a problem means for someone who looks at the trace. */
export const problemMeanings: { readonly [Kind in ProblemKind]: string } = {
  "lost-events": "happened but are not in the file: counts and durations around them may be wrong",
  truncated: "the file ends in the middle of a record; everything before it is here",
  malformed: "bytes that do not follow the format were skipped",
  unsupported: "data of a kind that kymo does not read; it was skipped",
  "unmatched-end":
    "ends without a begin: those slices began before the recording, or their begin was lost",
  late: "came after their time had been passed; they are kept, in their place",
  clock: "times of a clock that could not be related to the trace's own",
};
