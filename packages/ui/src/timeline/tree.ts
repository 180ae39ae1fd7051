/**
 * From the engine's flat track list to the tree in the header column.
 *
 *     CPUs ─ CPU 0, CPU 1 …
 *     the recorded command's processes ─ threads ─ counters, async tracks
 *     Other processes ─ …
 *     Other tracks ─ …
 *
 * Busiest first among siblings. A process with one thread is that thread's line too. Threads that did next to
 * nothing beside the busiest one of their process share one closed line, "9 quieter threads": a pool of idle workers
 * must not push the next process off the screen.
 */
import { formatNs, type TrackNode } from "@kymo/trace/engine";
import { cutText } from "../words.ts";

const MOST_TITLE = 500;

export interface TreeNode {
  /** Stable while the trace grows: "t12" for track 12, "q12" for its quieter threads, "cpus", "others", "tracks" for groups. */
  readonly key: string;
  readonly kind: "group" | "process" | "thread" | "cpu" | "track" | "fold";
  readonly title: string;
  readonly idText: string;
  readonly facts: string;
  readonly busyNs: number;
  readonly target: boolean;
  readonly unit: string | undefined;
  /** The process's colour on CPU rows, 0xRRGGBB. */
  readonly fill?: number;
  readonly children: readonly TreeNode[];
  readonly rows: readonly TreeRow[];
  /** Tracks this line stands for itself. */
  readonly tracks: readonly number[];
}
export interface TreeRow {
  readonly id: number;
  readonly kind: TrackNode["rows"][number]["kind"];
  readonly lane: number;
  readonly length: number;
  readonly track: number;
}
export interface Tree {
  readonly roots: readonly TreeNode[];
  readonly byKey: ReadonlyMap<string, TreeNode>;
  readonly parentOf: ReadonlyMap<string, string>;
  /** Which line holds a row. */
  readonly keyOfRow: ReadonlyMap<number, string>;
  readonly nodeOfTrack: ReadonlyMap<number, TrackNode>;
}

/**
 * The order of a tree that is watched while it grows: lines keep the place they were first seen in, new ones come after
 * them, and a thread that stood on its own is not folded away again.
 */
export class SteadyOrder {
  private readonly rankOf = new Map<number, number>();
  private readonly unfolded = new Set<number>();

  see(tracks: readonly TrackNode[]): void {
    for (const { id } of tracks) if (!this.rankOf.has(id)) this.rankOf.set(id, this.rankOf.size);
  }
  rank(track: TrackNode): number {
    return this.rankOf.get(track.id) ?? Infinity;
  }
  staysUnfolded(track: TrackNode): boolean {
    return this.unfolded.has(track.id);
  }
  unfold(tracks: readonly TrackNode[]): void {
    for (const { id } of tracks) this.unfolded.add(id);
  }
  clear(): void {
    this.rankOf.clear();
    this.unfolded.clear();
  }
}

export function buildTree(tracks: readonly TrackNode[], steady?: SteadyOrder): Tree {
  steady?.see(tracks);
  const inOrder = (a: TrackNode, b: TrackNode) => compare(a, b, steady);
  const nodeOfTrack = new Map(tracks.map((track) => [track.id, track]));
  const childrenOf = new Map<number, TrackNode[]>();
  const roots: TrackNode[] = [];
  for (const track of tracks) {
    const parent = track.parent === undefined ? undefined : nodeOfTrack.get(track.parent);
    if (parent === undefined || parent.info.kind === "host") {
      if (track.info.kind !== "host" || track.rows.length > 0) roots.push(track);
    } else {
      const siblings = childrenOf.get(parent.id);
      if (siblings) siblings.push(track);
      else childrenOf.set(parent.id, [track]);
    }
  }

  /** Its process's first, and called the same: the name would say nothing new. */
  const isMainThread = ({ info, name, parent }: TrackNode): boolean => {
    const owner = parent === undefined ? undefined : nodeOfTrack.get(parent);
    return (
      info.kind === "thread" &&
      owner?.info.kind === "process" &&
      owner.name === name &&
      info.tid !== undefined &&
      info.tid === owner.info.pid
    );
  };
  const isCpuGroup = (track: TrackNode): boolean =>
    track.id < 0 && childrenOf.get(track.id)?.[0]?.info.kind === "cpu";
  const lineOf = (track: TrackNode): TreeNode => {
    const children = (childrenOf.get(track.id) ?? []).slice().sort(inOrder);
    if (isCpuGroup(track))
      return { ...groupLine("cpus", track.name, children.map(lineOf)), facts: track.facts };
    const threads = children.filter((each) => each.info.kind === "thread");
    const only = threads[0];
    if (track.info.kind === "process" && track.rows.length === 0 && threads.length === 1 && only) {
      const rest = [
        ...children.filter((each) => each !== only),
        ...(childrenOf.get(only.id) ?? []),
      ];
      return {
        ...plainLine(track, rest.map(lineOf)),
        facts: track.facts || only.facts,
        rows: rowsOf(only),
        tracks: [track.id, only.id],
      };
    }
    if (track.info.kind === "process")
      return foldQuiet(track, children, childrenOf, lineOf, steady);
    const line = plainLine(track, children.map(lineOf));
    return isMainThread(track) ? { ...line, title: "main thread" } : line;
  };

  const cpuGroup = roots.find(isCpuGroup);
  const cpus = roots.filter((track) => track.info.kind === "cpu").sort(inOrder);
  const processes = roots.filter((track) => isProcess(track)).sort(inOrder);
  const rest = roots
    .filter((track) => track !== cpuGroup && track.info.kind !== "cpu" && !isProcess(track))
    .sort(inOrder);
  const anyTarget = processes.some((track) => track.target);
  const main = anyTarget ? processes.filter((track) => track.target) : processes;
  const others = anyTarget ? processes.filter((track) => !track.target) : [];

  const lines: TreeNode[] = [];
  if (cpuGroup) lines.push(lineOf(cpuGroup));
  if (cpus.length > 0) lines.push(groupLine("cpus", "CPUs", cpus.map(lineOf)));
  lines.push(...main.map(lineOf));
  if (rest.length > 0)
    if (processes.length === 0) lines.push(...rest.map(lineOf));
    else lines.push(groupLine("tracks", "Other tracks", rest.map(lineOf)));
  if (others.length > 0) lines.push(groupLine("others", "Other processes", others.map(lineOf)));
  return { ...indexLines(lines), nodeOfTrack };
}

/** What is open at first: CPUs (up to 16), the target's processes, or the busiest when there is no target. */
export function expandedAtFirst(tree: Tree): Set<string> {
  const open = new Set<string>();
  const anyTarget = tree.roots.some((node) => node.target);
  let processes = 0;
  for (const node of tree.roots) {
    if (node.key === "cpus" ? node.children.length <= 16 : node.key === "tracks")
      open.add(node.key);
    if (node.kind !== "process" && node.kind !== "track") continue;
    if (anyTarget ? node.target : processes++ < 12) openAll(node, open);
  }
  return open;
}

/** Lines whose name or id has the text, with what is above and below them; the whole tree for "". */
export function filterTree(tree: Tree, text: string): Tree {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return tree;
  const keep = (node: TreeNode): TreeNode | undefined => {
    if (`${node.title} ${node.idText}`.toLowerCase().includes(wanted)) return node;
    const children = node.children
      .flatMap((each) => (each.kind === "fold" ? each.children : each))
      .map(keep)
      .filter((each) => each !== undefined);
    return children.length > 0 ? { ...node, children, rows: [] } : undefined;
  };
  const roots = tree.roots.map(keep).filter((each) => each !== undefined);
  return { ...indexLines(roots), nodeOfTrack: tree.nodeOfTrack };
}

/** Rows of a line and everything under it, busiest lines first. */
export function rowsUnder(node: TreeNode): TreeRow[] {
  return [...node.rows, ...node.children.flatMap(rowsUnder)];
}
export function tracksUnder(node: TreeNode): number[] {
  return [...node.tracks, ...node.children.flatMap(tracksUnder)];
}

/** Quieter than this part of its process's busiest thread: folded. */
const QUIET_SHARE = 0.1;
/** Fewer than this are shown: a line that says "1 quieter thread" saves nothing. */
const LEAST_FOLDED = 2;

/** A process's line: its threads, the quiet ones in a line of their own after the others. */
function foldQuiet(
  process: TrackNode,
  children: readonly TrackNode[],
  childrenOf: ReadonlyMap<number, readonly TrackNode[]>,
  lineOf: (track: TrackNode) => TreeNode,
  steady: SteadyOrder | undefined,
): TreeNode {
  const threads = children.filter((each) => each.info.kind === "thread");
  const most = threads.reduce((max, { busyNs }) => Math.max(max, busyNs), 0);
  const isQuiet = (track: TrackNode) =>
    track.busyNs < QUIET_SHARE * most &&
    !track.annotated &&
    !childrenOf.has(track.id) &&
    !steady?.staysUnfolded(track);
  const quiet = threads.filter(isQuiet);
  steady?.unfold(threads.filter((each) => !isQuiet(each)));
  if (quiet.length < LEAST_FOLDED) return plainLine(process, children.map(lineOf));
  const folded = new Set(quiet);
  const rest = children.filter((each) => !folded.has(each)).map(lineOf);
  const shown = threads.length - quiet.length;
  return plainLine(process, [
    ...rest.slice(0, shown),
    foldLine(process, quiet.map(lineOf)),
    ...rest.slice(shown),
  ]);
}

function foldLine(process: TrackNode, children: readonly TreeNode[]): TreeNode {
  const busyNs = children.reduce((sum, each) => sum + each.busyNs, 0);
  return {
    ...groupLine(`q${process.id}`, `${children.length} quieter threads`, children),
    kind: "fold",
    idText: "",
    facts: busyNs > 0 ? `${formatNs(busyNs)} CPU` : "",
    target: process.target,
  };
}

function plainLine(track: TrackNode, children: readonly TreeNode[]): TreeNode {
  const { kind } = track.info;
  return {
    key: `t${track.id}`,
    kind: kind === "process" || kind === "thread" || kind === "cpu" ? kind : "track",
    title: cutText(track.name || track.info.name || "(no name)", MOST_TITLE),
    idText: track.idText,
    facts: track.facts,
    busyNs: track.busyNs,
    target: track.target,
    unit: track.info.unit,
    ...(track.fill !== undefined && { fill: track.fill }),
    children,
    rows: rowsOf(track),
    tracks: [track.id],
  };
}

function groupLine(key: string, title: string, children: readonly TreeNode[]): TreeNode {
  const busyNs = children.reduce((sum, each) => sum + each.busyNs, 0);
  return {
    key,
    kind: "group",
    title,
    idText: String(children.length),
    facts: "",
    busyNs,
    target: false,
    unit: undefined,
    children,
    rows: [],
    tracks: [],
  };
}

function rowsOf(track: TrackNode): TreeRow[] {
  return track.rows.map(({ id, kind, lane, length }) => ({
    id,
    kind,
    lane,
    length,
    track: track.id,
  }));
}

const isProcess = (track: TrackNode) =>
  track.info.kind === "process" || track.info.kind === "thread";

/** CPUs by number, then by sort index, busy time (or when they were first seen), name. */
function compare(a: TrackNode, b: TrackNode, steady: SteadyOrder | undefined): number {
  const steadily = steady === undefined ? 0 : steady.rank(a) - steady.rank(b);
  return (
    (a.info.cpu ?? 0) - (b.info.cpu ?? 0) ||
    Number(b.info.kind === "thread") - Number(a.info.kind === "thread") ||
    (a.info.sortIndex ?? 0) - (b.info.sortIndex ?? 0) ||
    steadily ||
    b.busyNs - a.busyNs ||
    a.name.localeCompare(b.name, "en", { numeric: true }) ||
    a.id - b.id
  );
}

function openAll(node: TreeNode, into: Set<string>): void {
  if (node.kind === "fold") return;
  into.add(node.key);
  for (const child of node.children) openAll(child, into);
}

function indexLines(roots: readonly TreeNode[]): Omit<Tree, "nodeOfTrack"> {
  const byKey = new Map<string, TreeNode>();
  const parentOf = new Map<string, string>();
  const keyOfRow = new Map<number, string>();
  const walk = (node: TreeNode, parent: string | undefined) => {
    byKey.set(node.key, node);
    if (parent !== undefined) parentOf.set(node.key, parent);
    for (const row of node.rows) keyOfRow.set(row.id, node.key);
    for (const child of node.children) walk(child, node.key);
  };
  for (const node of roots) walk(node, undefined);
  return { roots, byKey, parentOf, keyOfRow };
}
