/** Statistics of an area selection: slices by name, thread states, counters. A job: yields often. */
import type { AnyRow, Row, Trace } from "../model/trace.ts";
import { stateSums } from "./details.ts";
import { ownerEnd } from "./lifetimes.ts";
import { chunkBefore, endAt, lowerBound, rangesIn } from "./locate.ts";
import { displayName, eventName } from "./names.ts";
import { childRow } from "./nesting.ts";
import { SYSCALL_CATEGORY } from "./palette.ts";
import type { EngineMessage } from "./protocol.ts";

/** Names in one answer: those with the most time. */
export const MAX_NAMES = 1000;
type Answer = Extract<EngineMessage, { type: "area" }>;
export interface AreaRequest {
  readonly id: number;
  readonly from: number;
  readonly to: number;
  readonly rows: readonly number[];
}
interface Sum {
  readonly name: string;
  readonly syscall?: true;
  count: number;
  totalNs: number;
  selfNs: number;
  maxNs: number;
}

export function* area(trace: Trace, request: AreaRequest): Generator<void, Answer> {
  const { id, from, to } = request;
  const names = new Map<string, Sum>();
  const states = new Map<string, number>();
  const counters: Answer["counters"][number][] = [];
  for (const rowId of new Set(request.rows)) {
    const row = trace.rows[rowId];
    if (row === undefined || !(to > from)) continue;
    if (row.kind === "thread_state")
      for (const [state, ns] of stateSums(trace, row, from, to))
        states.set(state, (states.get(state) ?? 0) + ns);
    else if (row.kind === "counter") counters.push(...counterStats(trace, row, from, to));
    else if (row.kind !== "sample") yield* addNames(trace, row, from, to, names);
    yield;
  }
  return {
    type: "area",
    id,
    names: [...names.values()]
      .sort((a, b) => b.totalNs - a.totalNs || b.count - a.count || (a.name < b.name ? -1 : 1))
      .slice(0, MAX_NAMES),
    states: [...states]
      .map(([state, totalNs]) => ({ state, totalNs }))
      .sort((a, b) => b.totalNs - a.totalNs),
    counters,
  };
}

function* addNames(
  trace: Trace,
  row: Row<"slice"> | Row<"instant"> | Row<"sched">,
  from: number,
  to: number,
  names: Map<string, Sum>,
): Generator<void, void> {
  // By key first: one string look-up a name, not one an event.
  const byKey = new Map<number, Sum>();
  const calls = row.kind === "slice" ? trace.strings.find(SYSCALL_CATEGORY) : undefined;
  const sumOf = (key: number, category?: number): Sum => {
    let sum = byKey.get(key);
    if (sum === undefined) {
      sum = {
        name: eventName(trace, row.kind, key),
        ...(calls !== undefined && category === calls && { syscall: true as const }),
        count: 0,
        totalNs: 0,
        selfNs: 0,
        maxNs: 0,
      };
      byKey.set(key, sum);
    }
    return sum;
  };
  for (const range of rangesIn(row as Row, from, to, trace.toNs)) {
    const { chunk } = range;
    const { ts, key } = chunk;
    const category = "category" in chunk ? chunk.category : undefined;
    for (let at = range.from; at < range.to; at++) {
      const start = ts[at]!;
      const end = endAt(chunk, at, trace.toNs);
      const sum = sumOf(key[at]!, category?.[at]);
      const clipped = Math.max(0, Math.min(to, end) - Math.max(from, start));
      sum.count++;
      sum.totalNs += clipped;
      sum.selfNs += clipped;
      sum.maxNs = Math.max(sum.maxNs, end - start);
    }
    yield;
  }
  if (row.kind === "slice") yield* subtractChildren(trace, row, from, to, sumOf);
  for (const sum of byKey.values()) {
    const known = names.get(sum.name);
    if (known === undefined) names.set(sum.name, sum);
    else {
      known.count += sum.count;
      known.totalNs += sum.totalNs;
      known.selfNs += sum.selfNs;
      known.maxNs = Math.max(known.maxNs, sum.maxNs);
    }
  }
}

/** Merges the lane with the one below: what children cover is not self time. */
function* subtractChildren(
  trace: Trace,
  row: Row<"slice">,
  from: number,
  to: number,
  sumOf: (key: number) => Sum,
): Generator<void, void> {
  const below = childRow(trace, row);
  if (below === undefined) return;
  let c = chunkBefore(row as AnyRow, from);
  let at = row.chunks[c] === undefined ? 0 : Math.max(0, lowerBound(row.chunks[c]!, from) - 1);
  for (const { chunk, from: begin, to: end } of rangesIn(below, from, to, trace.toNs)) {
    for (let child = begin; child < end; child++) {
      const ts = chunk.ts[child]!;
      // Forward to the last slice of this lane that starts at or before the child.
      for (;;) {
        const here = row.chunks[c];
        if (here === undefined) return;
        const next =
          at + 1 < here.length ? here.ts[at + 1]! : (row.chunks[c + 1]?.ts[0] ?? Infinity);
        if (next > ts) break;
        if (at + 1 < here.length) at++;
        else {
          c++;
          at = 0;
        }
      }
      const parent = row.chunks[c]!;
      if (at >= parent.length || parent.depth[at]! + 1 !== chunk.depth[child]) continue;
      if (parent.ts[at]! > ts || endAt(parent, at, trace.toNs) <= ts) continue;
      const covered = Math.min(to, endAt(chunk, child, trace.toNs)) - Math.max(from, ts);
      const sum = sumOf(parent.key[at]!);
      sum.selfNs = Math.max(0, sum.selfNs - Math.max(0, covered));
    }
    yield;
  }
}

/** Smallest, largest and mean (weighted by how long each value held) in the window. */
function counterStats(
  trace: Trace,
  row: Row<"counter">,
  from: number,
  to: number,
): Answer["counters"][number][] {
  let min = Infinity;
  let max = -Infinity;
  let weighted = 0;
  let held = 0;
  let value = NaN;
  let since = from;
  const hold = (until: number): void => {
    if (Number.isNaN(value)) return;
    min = Math.min(min, value);
    max = Math.max(max, value);
    weighted += value * (until - since);
    held += until - since;
  };
  let c = chunkBefore(row as AnyRow, from);
  let at = row.chunks[c] === undefined ? 0 : Math.max(0, lowerBound(row.chunks[c]!, from) - 1);
  for (; c < row.chunks.length; c++, at = 0) {
    const chunk = row.chunks[c]!;
    for (; at < chunk.length && chunk.ts[at]! <= to; at++) {
      const ts = Math.max(from, chunk.ts[at]!);
      if (ts > since) hold(ts);
      value = chunk.value[at]!;
      since = ts;
    }
    if (at < chunk.length) break;
  }
  hold(Math.min(to, Math.max(since, Math.min(trace.toNs, ownerEnd(trace, row.track)))));
  if (min > max) return [];
  const mean = held > 0 ? weighted / held : value;
  const { unit, parent } = trace.tracks[row.track] ?? {};
  const name = displayName(trace, row.track);
  const owner = parent === undefined || parent < 0 ? undefined : trace.tracks[parent];
  const of = owner === undefined || owner.kind === "host" ? "" : displayName(trace, parent!);
  return [{ name: of === "" ? name : `${of}: ${name}`, min, max, mean, ...(unit && { unit }) }];
}
