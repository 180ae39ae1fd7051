/** Everything the page shows about one event. */
import {
  type ArgSetId,
  type EventId,
  NO_ARGS,
  type StringId,
  type TrackId,
} from "../model/sink.ts";
import type { AnyRow, Chunk, Row, StackTable, Trace } from "../model/trace.ts";
import type { FlowLinks } from "./flows.ts";
import { covering, endAt, forEachIn, indexAt, type Place, placeOf, spanAt } from "./locate.ts";
import type { NameDurations } from "./name-durations.ts";
import { displayName, eventName } from "./names.ts";
import { childRow, selfTime } from "./nesting.ts";
import { stateClass, stateTitle } from "./palette.ts";
import type { EventDetails, EventRef } from "./protocol.ts";
import { formatNs, formatValue } from "./units.ts";
import { isWaitState, syscallAt } from "./waits.ts";

type Facts = EventDetails["facts"][number][];
export interface DetailHelpers {
  readonly flows: FlowLinks;
  readonly durations: NameDurations;
}
const MAX_FRAMES = 1024;
const MAX_FLOWS = 200;
const MAX_STATE_SCAN = 1_000_000;

/** @returns undefined when there is no such row or event. */
export function eventDetails(
  trace: Trace,
  helpers: DetailHelpers,
  rowId: number,
  index: number,
): EventDetails | undefined {
  const row = trace.rows[rowId];
  const place = row === undefined ? undefined : placeOf(row as Row, index);
  if (row === undefined || place === undefined) return undefined;
  const { chunk, at } = place;
  const ts = chunk.ts[at]!;
  const end = endAt(chunk, at, trace.toNs);
  const key = chunk.key[at]!;
  const open = spanAt(chunk, at) === Infinity;
  const recorded = row.kind === "slice" || row.kind === "instant";
  const event = recorded
    ? (placeOf(row as Row<"slice">, index) as Place<Chunk & RecordedColumns>)
    : undefined;
  const eventId = event === undefined ? -1 : event.chunk.id[at]!;
  const args = event === undefined ? NO_ARGS : (event.chunk.args[at]! as ArgSetId);
  const rank =
    row.kind === "slice" && !open
      ? helpers.durations.rank(key, end - ts)
      : { percentile: -1, count: 0 };
  return {
    row: rowId,
    index,
    kind: row.kind,
    track: row.track,
    name: row.kind === "counter" ? displayName(trace, row.track) : eventName(trace, row.kind, key),
    category: event === undefined ? "" : trace.strings.get(event.chunk.category[at]! as StringId),
    ts,
    dur: open ? -1 : end - ts,
    selfNs: row.kind === "slice" ? selfTime(trace, row, index) : -1,
    percentile: rank.percentile,
    sameName: rank.count,
    eventId,
    path: trackPath(trace, row.track),
    args: args === NO_ARGS ? {} : trace.args.object(args),
    facts: factsOf(trace, row, index, place, end),
    stack: row.kind === "sample" && key > 0 ? stackOf(trace, trace.stacks, key - 1) : [],
    ancestors: row.kind === "slice" ? ancestorsOf(trace, row, ts) : [],
    flows: eventId < 0 ? [] : flowsOf(trace, helpers.flows, eventId),
  };
}
interface RecordedColumns {
  readonly id: Uint32Array;
  readonly category: Uint32Array;
  readonly args: Int32Array;
}

/** Names from the outermost track to this one; hosts left out unless it is one. */
function trackPath(trace: Trace, track: TrackId): string[] {
  const path: string[] = [];
  let at: TrackId | undefined = track;
  for (let steps = 0; at !== undefined && at >= 0 && steps < 16; steps++) {
    const info: Trace["tracks"][number] | undefined = trace.tracks[at];
    if (info === undefined || (info.kind === "host" && at !== track)) break;
    path.unshift(displayName(trace, at));
    at = info.parent;
  }
  return path;
}

/** Outermost first. */
function stackOf(trace: Trace, stacks: StackTable, leaf: number): EventDetails["stack"][number][] {
  const frames: EventDetails["stack"][number][] = [];
  for (
    let at = leaf;
    at >= 0 && at < stacks.length && frames.length < MAX_FRAMES;
    at = stacks.parent[at]!
  ) {
    const frame = trace.frames[stacks.frame[at]!];
    if (frame === undefined) break;
    frames.push({
      name: frame.name,
      module: frame.module ?? "",
      file: frame.file ?? "",
      line: frame.line ?? 0,
    });
  }
  return frames.reverse();
}

/** Slices around `ts` in the lanes above, outermost first. */
function ancestorsOf(
  trace: Trace,
  row: Row<"slice">,
  ts: number,
): EventDetails["ancestors"][number][] {
  const above: EventDetails["ancestors"][number][] = [];
  for (const other of trace.rowsOf(row.track)) {
    if (other.kind !== "slice" || other.lane >= row.lane) continue;
    const index = covering(other, ts, trace.toNs);
    const place = index < 0 ? undefined : placeOf(other, index);
    if (place === undefined) continue;
    above.push({
      name: trace.strings.get(place.chunk.key[place.at]! as StringId),
      row: other.id,
      index,
    });
  }
  return above;
}

function flowsOf(trace: Trace, links: FlowLinks, event: number): EventDetails["flows"][number][] {
  const found: EventDetails["flows"][number][] = [];
  for (const { step, event: other } of links.of(event).slice(0, MAX_FLOWS)) {
    const where = trace.locate(other as EventId);
    const row = where === undefined ? undefined : trace.rows[where.row];
    const place = row === undefined ? undefined : placeOf(row as Row, where!.index);
    if (row === undefined || place === undefined) continue;
    found.push({
      step,
      other: {
        row: where!.row,
        index: where!.index,
        name: eventName(trace, row.kind, place.chunk.key[place.at]!),
        ts: place.chunk.ts[place.at]!,
        track: row.track,
      },
    });
  }
  return found;
}

function factsOf(trace: Trace, row: AnyRow, index: number, place: Place, end: number): Facts {
  const ts = place.chunk.ts[place.at]!;
  switch (row.kind) {
    case "slice":
      return stateFacts(trace, row.track, ts, end);
    case "instant": {
      const at = placeOf(row, index)!;
      const type = at.chunk.type[at.at]!;
      const declared = type > 0 ? trace.eventTypes[type - 1] : undefined;
      return declared === undefined ? [] : [{ label: "Type", value: declared.name }];
    }
    case "sched":
      return schedFacts(trace, row, index, ts);
    case "thread_state":
      return threadStateFacts(trace, row, index, ts);
    case "counter": {
      const at = placeOf(row, index)!;
      const unit = trace.tracks[row.track]?.unit;
      const value = at.chunk.value[at.at]!;
      const before = placeOf(row, index - 1);
      const facts: Facts = [{ label: "Value", value: formatValue(value, unit) }];
      if (before !== undefined) {
        const change = value - before.chunk.value[before.at]!;
        facts.push({
          label: "Change",
          value: `${change > 0 ? "+" : ""}${formatValue(change, unit)}`,
        });
      }
      return facts;
    }
    case "sample": {
      const at = placeOf(row, index)!;
      const cpu = at.chunk.cpu[at.at]!;
      const weight: Facts = [
        { label: "Stands for", value: `${formatNs(at.chunk.weight[at.at]!)} CPU` },
      ];
      return cpu < 0 ? weight : [{ label: "CPU", value: String(cpu) }, ...weight];
    }
  }
}

/** What the slice's thread did meanwhile: time by state, longest first. */
function stateFacts(trace: Trace, track: TrackId, from: number, to: number): Facts {
  const states = filledRow(trace, track, "thread_state");
  if (states === undefined || to <= from) return [];
  if (indexAt(states, to) - indexAt(states, from) > MAX_STATE_SCAN) return [];
  const sums = stateSums(trace, states, from, to);
  return [...sums]
    .sort(([, a], [, b]) => b - a)
    .map(([state, ns]) => ({
      label: state,
      value: `${formatNs(ns)} (${Math.round((100 * ns) / (to - from))} %)`,
    }));
}
/**
 * The track's row of a kind that has events. A growing trace derives thread states anew: rows of before stay in the
 * list, empty.
 */
function filledRow<Kind extends "thread_state" | "sched">(
  trace: Trace,
  track: TrackId,
  kind: Kind,
): Row<Kind> | undefined {
  return trace.rowsOf(track).find((row) => row.kind === kind && row.length > 0) as
    | Row<Kind>
    | undefined;
}

/** Time by state (in words) of one thread in [from, to]. */
export function stateSums(
  trace: Trace,
  row: Row<"thread_state">,
  from: number,
  to: number,
): Map<string, number> {
  const byKey = new Map<number, number>();
  forEachIn(row, from, to, trace.toNs, (chunk, at) => {
    const ns = Math.min(to, endAt(chunk, at, trace.toNs)) - Math.max(from, chunk.ts[at]!);
    if (ns > 0) byKey.set(chunk.key[at]!, (byKey.get(chunk.key[at]!) ?? 0) + ns);
  });
  const sums = new Map<string, number>();
  for (const [key, ns] of byKey) {
    const title = stateTitle(trace.strings.get(key as StringId));
    sums.set(title, (sums.get(title) ?? 0) + ns);
  }
  return sums;
}

function schedFacts(trace: Trace, row: Row<"sched">, index: number, ts: number): Facts {
  const { chunk, at } = placeOf(row, index)!;
  const thread = chunk.key[at]! as TrackId;
  const facts: Facts = [];
  const states = filledRow(trace, thread, "thread_state");
  const ref = states === undefined ? undefined : refAt(trace, states, ts);
  const path = trackPath(trace, thread).join(" › ");
  facts.push({ label: "Thread", value: path, ...(ref && { ref }) });
  const cpu = trace.tracks[row.track]?.cpu;
  if (cpu !== undefined) facts.push({ label: "CPU", value: String(cpu) });
  facts.push({ label: "Priority", value: String(chunk.priority[at]!) });
  const left = trace.strings.get(chunk.endState[at]! as StringId);
  facts.push({
    label: "Then",
    value: left === "" ? "still running" : stateTitle(left === "R" ? "R+" : left),
  });
  if (states !== undefined && ref !== undefined) {
    const before = placeOf(states, ref.index - 1);
    if (before !== undefined && isWaiting(trace, before))
      facts.push({
        label: "Waited for a CPU",
        value: formatNs(endAt(before.chunk, before.at, trace.toNs) - before.chunk.ts[before.at]!),
        ref: { row: states.id, index: ref.index - 1 },
      });
  }
  return facts;
}
function isWaiting(trace: Trace, { chunk, at }: Place): boolean {
  const state = stateClass(trace.strings.get(chunk.key[at]! as StringId));
  return state === "runnable" || state === "preempted";
}

function threadStateFacts(
  trace: Trace,
  row: Row<"thread_state">,
  index: number,
  ts: number,
): Facts {
  const { chunk, at } = placeOf(row, index)!;
  const facts: Facts = [];
  const letter = trace.strings.get(chunk.key[at]! as StringId);
  facts.push({ label: "State", value: `${stateTitle(letter)} (${letter})` });
  const cpu = chunk.cpu[at]!;
  if (cpu >= 0) {
    const ref = cpuRef(trace, cpu, ts, row.track);
    facts.push({ label: "CPU", value: String(cpu), ...(ref && { ref }) });
  }
  if (isWaitState(letter)) {
    const wait = syscallAt(trace, row.track, ts);
    if (wait)
      facts.push({ label: "In", value: wait.name, ref: { row: wait.row, index: wait.index } });
  }
  const waker = chunk.waker[at]!;
  if (waker >= 0) facts.push(wokenBy(trace, "Woken by", waker as TrackId, ts));
  // What ended a sleep is known by the runnable state after it.
  const after = placeOf(row, index + 1);
  const ender = after === undefined ? -1 : after.chunk.waker[after.at]!;
  const kind = stateClass(letter);
  if (waker < 0 && ender >= 0 && (kind === "sleeping" || kind === "uninterruptible"))
    facts.push(wokenBy(trace, "Ended by", ender as TrackId, after!.chunk.ts[after!.at]!));
  return facts;
}
function wokenBy(trace: Trace, label: string, waker: TrackId, ts: number): Facts[number] {
  const states = filledRow(trace, waker, "thread_state");
  const ref = states === undefined ? undefined : refAt(trace, states, ts);
  return { label, value: trackPath(trace, waker).join(" › "), ...(ref && { ref }) };
}
function refAt(trace: Trace, row: AnyRow, ts: number): EventRef | undefined {
  const index = covering(row, ts, trace.toNs);
  return index < 0 ? undefined : { row: row.id, index };
}
/** The run of `thread` on a CPU: on the host whose CPU has it. */
function cpuRef(trace: Trace, cpu: number, ts: number, thread: TrackId): EventRef | undefined {
  for (const [id, info] of trace.tracks.entries()) {
    if (info.kind !== "cpu" || info.cpu !== cpu) continue;
    const row = filledRow(trace, id as TrackId, "sched");
    const ref = row === undefined ? undefined : refAt(trace, row, ts);
    const place = ref === undefined ? undefined : placeOf(row as Row<"sched">, ref.index);
    if (place !== undefined && place.chunk.key[place.at] === thread) return ref;
  }
  return undefined;
}

/** The lane below, for walking to a child; re-exported for the engine's `step`. */
export { childRow };
