/**
 * An icicle out of the engine's pre-order nodes: outermost on top, widths by total time.
 *
 *     depth 0  [ main                    ]
 *     depth 1  [ parse     ][ render   ]      children left to right, in the order given
 */
import type { FlameNode } from "@kymo/trace/engine";

export interface FlameBox {
  readonly node: number;
  readonly depth: number;
  /** In ns from the left edge of the whole graph. */
  readonly start: number;
  readonly width: number;
  /** Index of the enclosing box's node, −1 for the outermost. */
  readonly parent: number;
}

export function flameBoxes(nodes: readonly FlameNode[]): FlameBox[] {
  const boxes: FlameBox[] = [];
  /** Per depth: where the next child starts, and the open node. */
  const next: number[] = [0];
  const open: number[] = [];
  for (let i = 0; i < nodes.length; i++) {
    const { depth, totalNs } = nodes[i]!;
    const at = Math.min(depth, open.length);
    const start = next[at] ?? 0;
    boxes.push({ node: i, depth: at, start, width: totalNs, parent: at > 0 ? open[at - 1]! : -1 });
    next[at] = start + totalNs;
    next[at + 1] = start;
    open[at] = i;
    open.length = at + 1;
  }
  return boxes;
}

export function flameDepth(boxes: readonly FlameBox[]): number {
  return boxes.reduce((most, { depth }) => Math.max(most, depth + 1), 0);
}
