/** The line of facts under a track's name. */
import type { TraceSummary } from "@kymo/trace/engine";
import { formatShare } from "../words.ts";
import type { TreeNode } from "./tree.ts";

/** "5 threads · 946 ms CPU" → 946 ms CPU, 59 % of one CPU, 5 threads: where room is short, the last ones go. */
export function factsParts(facts: string, kind: string, share: number): string[] {
  const parts = facts.split(" · ").filter((part) => part !== "");
  const cpu = parts.find((part) => / CPU$/.test(part));
  if (cpu === undefined || (kind !== "process" && kind !== "thread") || facts.includes("%"))
    return parts;
  return [cpu, `${formatShare(share)} of one CPU`, ...parts.filter((part) => part !== cpu)];
}

/** CPU or busy time over the trace's length: 1 is one CPU's worth. */
export function shareOf(node: TreeNode, { fromNs, toNs }: TraceSummary): number {
  return toNs > fromNs && node.kind !== "track" ? node.busyNs / (toNs - fromNs) : 0;
}
