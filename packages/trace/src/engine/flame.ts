/**
 * Where time went in a window, as a tree merged by name: from CPU samples, or, where there are none, from slices by
 * their own time. A job: yields often.
 */
import type { StringId } from "../model/sink.ts";
import type { Row, Trace } from "../model/trace.ts";
import { covering, endAt, placeOf, rangesIn } from "./locate.ts";
import type { EngineMessage, FlameNode } from "./protocol.ts";

/** Nodes in one answer; the smallest subtrees go first. */
export const MAX_NODES = 20_000;
const MAX_DEPTH = 2_000;
type Answer = Extract<EngineMessage, { type: "flame" }>;
export interface FlameRequest {
  readonly id: number;
  readonly from: number;
  readonly to: number;
  readonly tracks?: readonly number[];
}

interface Node {
  readonly name: string;
  readonly module: string;
  readonly children: Map<string, Node>;
  totalNs: number;
  selfNs: number;
  samples: number;
}
function node(name: string, module: string): Node {
  return { name, module, children: new Map(), totalNs: 0, selfNs: 0, samples: 0 };
}
function child(parent: Node, name: string, module: string): Node {
  let found = parent.children.get(name);
  if (found === undefined) {
    found = node(name, module);
    parent.children.set(name, found);
  }
  return found;
}

export function* flame(trace: Trace, request: FlameRequest): Generator<void, Answer> {
  const wanted = request.tracks === undefined ? undefined : withDescendants(trace, request.tracks);
  const root = node("", "");
  const samples = yield* addSamples(trace, request, wanted, root);
  if (samples === 0) yield* addSlices(trace, request, wanted, root);
  sumUp(root);
  return {
    type: "flame",
    id: request.id,
    nodes: list(root),
    samples,
    totalNs: root.totalNs,
  };
}

/** The given tracks and everything below them (a process means its threads). */
export function withDescendants(trace: Trace, tracks: readonly number[]): ReadonlySet<number> {
  const wanted = new Set(tracks);
  for (const [id, info] of trace.tracks.entries()) {
    let at: number | undefined = info.parent;
    for (let steps = 0; at !== undefined && at >= 0 && steps < 16; steps++) {
      if (wanted.has(at)) wanted.add(id);
      at = trace.tracks[at]?.parent;
    }
  }
  return wanted;
}

function* addSamples(
  trace: Trace,
  { from, to }: FlameRequest,
  wanted: ReadonlySet<number> | undefined,
  root: Node,
): Generator<void, number> {
  const { stacks, frames } = trace;
  // By stack (0: none): first all weights, then each distinct stack is walked once.
  const weights = new Float64Array(stacks.length + 1);
  const counts = new Uint32Array(stacks.length + 1);
  let samples = 0;
  for (const row of trace.rows) {
    if (row.kind !== "sample" || (wanted !== undefined && !wanted.has(row.track))) continue;
    for (const range of rangesIn(row, from, to, trace.toNs)) {
      const { key, weight } = range.chunk;
      for (let at = range.from; at < range.to; at++) {
        const stack = Math.min(key[at]!, stacks.length);
        weights[stack]! += weight[at]!;
        counts[stack]!++;
      }
      samples += range.to - range.from;
      yield;
    }
  }
  const nodes = new Map<number, Node>();
  for (let stack = 0; stack < counts.length; stack++) {
    if (counts[stack] === 0) continue;
    const leaf = stack === 0 ? child(root, "(no stack)", "") : nodeOf(stack - 1);
    leaf.selfNs += weights[stack]!;
    leaf.samples += counts[stack]!;
    if ((stack & 1023) === 0) yield;
  }
  return samples;

  function nodeOf(stack: number): Node {
    const path: number[] = [];
    let at = stack;
    let start: Node | undefined;
    for (; at >= 0 && path.length < MAX_DEPTH; at = stacks.parent[at]!) {
      start = nodes.get(at);
      if (start !== undefined) break;
      path.push(at);
    }
    let current = start ?? root;
    for (const step of path.reverse()) {
      const frame = frames[stacks.frame[step]!];
      current = child(current, frame?.name ?? "(unknown)", frame?.module ?? "");
      nodes.set(step, current);
    }
    return current;
  }
}

function* addSlices(
  trace: Trace,
  { from, to }: FlameRequest,
  wanted: ReadonlySet<number> | undefined,
  root: Node,
): Generator<void, void> {
  for (const [track] of trace.tracks.entries()) {
    if (wanted !== undefined && !wanted.has(track)) continue;
    const lanes = trace
      .rowsOf(track as never)
      .filter((row): row is Row<"slice"> => row.kind === "slice" && row.length > 0)
      .sort((a, b) => a.lane - b.lane);
    if (lanes.length === 0) continue;
    // The node of each slice in the window, by lane, from index `first` on: the next lane's slices hang below.
    const ofLane = new Map<number, { readonly first: number; readonly nodes: Node[] }>();
    for (const row of lanes) {
      const above = lanes.find((other) => other.lane === row.lane - 1);
      const aboveNodes = ofLane.get(row.lane - 1);
      const ranges = rangesIn(row, from, to, trace.toNs);
      const nodes: Node[] = [];
      let parent = root;
      let parentEnd = -Infinity;
      for (const { chunk, from: begin, to: end } of ranges) {
        const { ts, key, depth } = chunk;
        for (let at = begin; at < end; at++) {
          const start = ts[at]!;
          if (above !== undefined && start >= parentEnd) {
            const index = covering(above, start, trace.toNs);
            const place = index < 0 ? undefined : placeOf(above, index);
            parentEnd = place === undefined ? -Infinity : endAt(place.chunk, place.at, trace.toNs);
            parent = aboveNodes?.nodes[index - aboveNodes.first] ?? root;
          }
          const around = depth[at]! > 0 ? parent : root;
          const ns = Math.min(to, endAt(chunk, at, trace.toNs)) - Math.max(from, start);
          const mine = child(around, trace.strings.get(key[at]! as StringId), "");
          mine.selfNs += Math.max(0, ns);
          if (around !== root) around.selfNs -= Math.max(0, ns);
          mine.samples++;
          nodes.push(mine);
        }
        yield;
      }
      ofLane.set(row.lane, { first: (ranges[0]?.start ?? 0) + (ranges[0]?.from ?? 0), nodes });
      ofLane.delete(row.lane - 2);
    }
  }
}

/** Totals from self times, without recursion: stacks may be thousands deep. */
function sumUp(root: Node): void {
  const order: [Node, Node | undefined][] = [[root, undefined]];
  for (let i = 0; i < order.length; i++)
    for (const below of order[i]![0].children.values()) order.push([below, order[i]![0]]);
  for (let i = order.length - 1; i >= 0; i--) {
    const [one, parent] = order[i]!;
    one.selfNs = Math.max(0, one.selfNs);
    one.totalNs += one.selfNs;
    if (parent === undefined) continue;
    parent.totalNs += one.totalNs;
  }
}

function list(root: Node): FlameNode[] {
  const nodes: FlameNode[] = [];
  let count = 0;
  const sizes: number[] = [];
  const all: Node[] = [...root.children.values()];
  for (let i = 0; i < all.length; i++) {
    sizes.push(all[i]!.totalNs);
    for (const below of all[i]!.children.values()) all.push(below);
  }
  count = all.length;
  const least = count <= MAX_NODES ? -1 : sizes.sort((a, b) => b - a)[MAX_NODES]!;
  const counts = sampleTotals(root);
  const stack: { readonly one: Node; readonly depth: number }[] = [];
  const push = (parent: Node, depth: number): void => {
    const below = [...parent.children.values()]
      .filter((each) => each.totalNs > least)
      .sort((a, b) => a.totalNs - b.totalNs || (a.name < b.name ? 1 : -1));
    for (const one of below) stack.push({ one, depth });
  };
  push(root, 0);
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { one, depth } = next;
    nodes.push({
      name: one.name,
      module: one.module,
      depth,
      totalNs: one.totalNs,
      selfNs: one.selfNs,
      samples: counts.get(one) ?? one.samples,
    });
    push(one, depth + 1);
  }
  return nodes;
}
/** Samples (or slices) of a node with those below it. */
function sampleTotals(root: Node): Map<Node, number> {
  const order: [Node, Node | undefined][] = [[root, undefined]];
  for (let i = 0; i < order.length; i++)
    for (const below of order[i]![0].children.values()) order.push([below, order[i]![0]]);
  const counts = new Map<Node, number>();
  for (let i = order.length - 1; i >= 0; i--) {
    const [one, parent] = order[i]!;
    const mine = (counts.get(one) ?? 0) + one.samples;
    counts.set(one, mine);
    if (parent !== undefined) counts.set(parent, (counts.get(parent) ?? 0) + mine);
  }
  return counts;
}
