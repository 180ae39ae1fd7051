/**
 * The track tree as the page lists it, in pre-order:
 *
 *     host ─ CPUs (a group of ours, id < −1) ─ CPU 0, CPU 1, …
 *          ─ processes of the recorded command, busiest first ─ threads, busiest first; counters
 *          ─ all others, busiest first
 *
 * Branches without any event are left out, unless they belong to the recorded command.
 */
import type { TrackId, TrackInfo } from "../model/sink.ts";
import type { Trace } from "../model/trace.ts";
import { displayName } from "./names.ts";
import { FILLS } from "./palette.ts";
import { ProcessFills } from "./process-fills.ts";
import type { TrackNode } from "./protocol.ts";
import type { RowTotals } from "./row-totals.ts";
import { targetTracks } from "./targets.ts";
import { formatNs, formatValue, plural } from "./units.ts";

type Row = TrackNode["rows"][number];
interface Draft {
  readonly id: number;
  parent: number | undefined;
  readonly info: TrackInfo;
  readonly name: string;
  readonly rows: readonly Row[];
  readonly children: Draft[];
  readonly target: boolean;
  readonly annotated: boolean;
  /** Of its own rows; `total` with those below. */
  busyNs: number;
  events: number;
  totalBusyNs: number;
  totalEvents: number;
}

export function trackTree(trace: Trace, totals: RowTotals): TrackNode[] {
  const targets = targetTracks(trace);
  const drafts = trace.tracks.map((info, id) => draft(trace, totals, info, id, targets.has(id)));
  const roots: Draft[] = [];
  const groups = new Map<number, Draft>();
  for (const one of drafts) {
    const parent = one.parent === undefined ? undefined : drafts[one.parent];
    if (one.info.kind === "cpu") cpuGroup(groups, roots, parent).children.push(one);
    else if (parent === undefined || isBelow(drafts, parent, one)) roots.push(one);
    else parent.children.push(one);
    if (one.info.kind === "cpu") one.parent = groupId(parent);
  }
  for (const root of roots) sum(root);
  const hasCpus = trace.rows.some((row) => row.kind === "sched" && row.length > 0);
  const fills = new ProcessFills(trace);
  const nodes: TrackNode[] = [];
  const span = Math.max(0, trace.toNs - trace.fromNs);
  const list = (branch: Draft[]): void => {
    for (const one of branch.sort(order)) {
      if (one.totalEvents === 0 && !one.target) continue;
      const fill =
        hasCpus && one.info.kind === "process" ? FILLS[fills.of(one.id as TrackId)] : undefined;
      nodes.push({ ...finish(one, span), ...(fill !== undefined && { fill }) });
      list(one.children);
    }
  };
  list(roots);
  return nodes;
}

function draft(
  trace: Trace,
  totals: RowTotals,
  info: TrackInfo,
  id: number,
  target: boolean,
): Draft {
  let busyNs = 0;
  let events = 0;
  let annotated = false;
  const rows: Row[] = [];
  const ofTrack = trace.rowsOf(id as TrackId);
  const hasSchedule = ofTrack.some((row) => row.kind === "thread_state" || row.kind === "sched");
  for (const row of ofTrack) {
    if (row.length === 0) continue;
    const total = totals.of(row);
    events += row.length;
    annotated ||= total.annotated;
    if (row.kind === "thread_state" || row.kind === "sched") busyNs += total.busyNs;
    else if (!hasSchedule && row.kind === "slice" && row.lane === 0) busyNs += total.busyNs;
    const { kind, lane, length } = row;
    rows.push(
      kind === "counter" && total.min <= total.max
        ? { id: row.id, kind, lane, length, min: total.min, max: total.max }
        : { id: row.id, kind, lane, length },
    );
  }
  const name = displayName(trace, id as TrackId);
  const parent: number | undefined =
    info.parent !== undefined && info.parent >= 0 ? info.parent : undefined;
  return {
    id,
    parent,
    info,
    name,
    rows,
    children: [],
    target,
    annotated,
    busyNs,
    events,
    totalBusyNs: 0,
    totalEvents: 0,
  };
}

/** True when `parent` hangs below `one`: a track made its own ancestor by a damaged file becomes a root. */
function isBelow(drafts: readonly Draft[], parent: Draft, one: Draft): boolean {
  let at: Draft | undefined = parent;
  for (let steps = 0; at !== undefined; steps++) {
    if (at === one || steps > drafts.length) {
      one.parent = undefined;
      return true;
    }
    at = at.parent === undefined ? undefined : drafts[at.parent];
  }
  return false;
}

function groupId(host: Draft | undefined): number {
  return host === undefined ? -2 : -3 - host.id;
}
function cpuGroup(groups: Map<number, Draft>, roots: Draft[], host: Draft | undefined): Draft {
  const id = groupId(host);
  const known = groups.get(id);
  if (known !== undefined) return known;
  const group: Draft = {
    id,
    parent: host?.id,
    info: { kind: "custom", name: "CPUs" },
    name: "CPUs",
    rows: [],
    children: [],
    target: false,
    annotated: false,
    busyNs: 0,
    events: 0,
    totalBusyNs: 0,
    totalEvents: 0,
  };
  groups.set(id, group);
  (host?.children ?? roots).push(group);
  return group;
}

function sum(one: Draft): void {
  one.totalBusyNs = one.busyNs;
  one.totalEvents = one.events;
  for (const child of one.children) {
    sum(child);
    one.totalBusyNs += child.totalBusyNs;
    one.totalEvents += child.totalEvents;
  }
}

const kinds = ["host", "cpu", "custom", "process", "thread", "async", "counter"] as const;
/** CPUs before processes before their parts; the recorded command first; then as the source said; then busiest. */
function order(a: Draft, b: Draft): number {
  const group = Number(b.id < -1) - Number(a.id < -1);
  if (group !== 0) return group;
  if (a.target !== b.target) return a.target ? -1 : 1;
  if (a.info.kind !== b.info.kind) return kinds.indexOf(a.info.kind) - kinds.indexOf(b.info.kind);
  if (a.info.kind === "cpu") return (a.info.cpu ?? 0) - (b.info.cpu ?? 0);
  const sorted = (a.info.sortIndex ?? 0) - (b.info.sortIndex ?? 0);
  if (sorted !== 0) return sorted;
  if (a.totalBusyNs !== b.totalBusyNs) return b.totalBusyNs - a.totalBusyNs;
  if (a.info.kind === "counter" || a.totalEvents === b.totalEvents)
    return a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id;
  return b.totalEvents - a.totalEvents;
}

function finish(one: Draft, spanNs: number): TrackNode {
  const { id, parent, info, name, rows, target } = one;
  return {
    id,
    parent,
    info,
    name,
    idText: idText(info),
    facts: facts(one, spanNs),
    rows,
    busyNs: one.totalBusyNs,
    target,
    ...(one.annotated && { annotated: true }),
  };
}

function idText({ kind, pid, tid }: TrackInfo): string {
  if (kind === "process" && pid !== undefined) return `pid ${pid}`;
  if (kind === "thread" && tid !== undefined) return `tid ${tid}`;
  return "";
}

function facts(one: Draft, spanNs: number): string {
  const { kind } = one.info;
  const share = spanNs > 0 ? `${Math.round((100 * one.totalBusyNs) / spanNs)} %` : "";
  if (one.id < -1) {
    const cpus = one.children.length;
    return spanNs > 0 && cpus > 0
      ? `${plural(cpus, "CPU")} · ${Math.round((100 * one.totalBusyNs) / spanNs / cpus)} % busy`
      : plural(cpus, "CPU");
  }
  if (kind === "cpu") return share === "" ? "" : `${share} busy`;
  if (kind === "host")
    return plural(one.children.filter((c) => c.info.kind === "process").length, "process").replace(
      "processs",
      "processes",
    );
  const scheduled = one.totalBusyNs > 0 && hasStates(one);
  const cpuTime = scheduled ? [`${formatNs(one.totalBusyNs)} CPU`] : [];
  if (kind === "process") {
    const threads = one.children.filter((child) => child.info.kind === "thread").length;
    return [plural(threads, "thread"), ...cpuTime].join(" · ");
  }
  if (kind === "counter") {
    const row = one.rows.find((each) => each.min !== undefined);
    if (row?.min === undefined || row.max === undefined) return "";
    const { unit } = one.info;
    return `${formatValue(row.min, unit)} … ${formatValue(row.max, unit)}`;
  }
  const count = (rowKind: Row["kind"]): number =>
    one.rows.reduce((all, row) => all + (row.kind === rowKind ? row.length : 0), 0);
  const parts = [
    [count("slice"), "slice"],
    [count("sample"), "sample"],
    [count("instant"), "instant"],
  ] as const;
  return [...cpuTime, ...parts.filter(([n]) => n > 0).map(([n, word]) => plural(n, word))]
    .slice(0, 2)
    .join(" · ");
}

function hasStates(one: Draft): boolean {
  return (
    one.rows.some((row) => row.kind === "thread_state") ||
    one.children.some((child) => hasStates(child))
  );
}
