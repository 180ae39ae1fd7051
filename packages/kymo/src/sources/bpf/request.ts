/** What the capture worker is given of a probe session: plain data. File descriptors are the process's, not a thread's. */
import type { MapSpec } from "../../bpf/ir.ts";
import type { Aggregation, ProbeSet } from "../../bpf/program.ts";
import type { ForeignRecord, Site } from "../../bpf/site.ts";

/** The descriptor of each map. Sites and aggregations of the same message name maps by the same objects. */
export type MapDescriptors = ReadonlyMap<MapSpec, number>;

export interface ProbeRequest {
  readonly sites: readonly Site[];
  readonly eventTypes: ProbeSet["eventTypes"];
  readonly aggregations: readonly Aggregation[];
  readonly ringFd: number;
  readonly ringBytes: number;
  /** Array map of one value: a u64 for each site. */
  readonly lossesFd: number;
  readonly maps: MapDescriptors;
  /** Instead of sites: every record is of this struct. */
  readonly foreign?: ForeignRecord;
}

/** What the programs of one probe have cost, by the kernel's own count. */
export interface ProbeCost {
  readonly label: string;
  readonly runs: number;
  /** Time in the programs, ns. */
  readonly ns: number;
}

/** Metadata keys of what probes have cost; the label follows, the value is JSON of `runs` and `ns`. */
export const probeCostPrefix = "kymo.probe.";
