/** What of a recording the shipped probes do, beside those that the user gave. */
import { availableParallelism } from "node:os";
import type { PerfOptions } from "../sources/perf/options.ts";
import {
  loadProbeSession,
  type ProbeInput,
  type ProbeSession,
  ringBytes,
  whyNoProbes,
} from "./probes.ts";
import { shippedProbe } from "./shipped.ts";

type PerfChoice = Omit<PerfOptions, "pid" | "launched">;

export interface Wanted {
  readonly perf: PerfChoice;
  /** Events that programs mark themselves (the shipped probe marks.ts). */
  readonly marks?: boolean;
  /** Requests to disks (the shipped probe biosnoop.ts). */
  readonly block?: boolean;
  readonly probes?: ProbeInput | undefined;
  /** The process that is recorded, with its descendants. */
  readonly target: number | undefined;
}

export interface Prepared {
  readonly session: ProbeSession | undefined;
  /** What is left for perf events to record. */
  readonly perf: PerfChoice;
  readonly notes: readonly string[];
}

/**
 * Scheduling is recorded by the shipped probe where the kernel lets us: it costs the recorded program about half of what
 * perf's tracepoints do. Where it doesn't, perf's tracepoints give the same events. Nothing takes the place of marks and disks.
 */
export async function prepareProbes(wanted: Wanted): Promise<Prepared> {
  const { probes, perf, marks, block, target } = wanted;
  const theirs = async (notes: readonly string[] = []): Promise<Prepared> => ({
    session: probes === undefined ? undefined : await loadProbeSession(probes),
    perf,
    notes,
  });
  const sched = perf.sched ? shippedProbe("sched") : undefined;
  const marked = marks === true ? shippedProbe("marks") : undefined;
  const disks = block === true ? shippedProbe("biosnoop") : undefined;
  const own = [sched, marked, disks].filter((file) => file !== undefined);
  // Code of the command line is a file of its own; its session stays alone.
  if (own.length === 0 || (probes !== undefined && "code" in probes.files)) return theirs();
  const without = (reason: string): string[] => {
    const lost = [
      ...(marked === undefined ? [] : ["what programs mark"]),
      ...(disks === undefined ? [] : ["requests to disks"]),
    ];
    return lost.length === 0 ? [] : [`not recorded: ${lost.join(", ")}: ${reason}`];
  };
  const reason = await whyNoProbes();
  if (reason !== undefined) return theirs(without(reason));
  const files = [...own, ...((probes?.files as readonly string[] | undefined) ?? [])];
  try {
    const session = await loadProbeSession({
      ringBytes: ringBytes(perf.bufferMb * availableParallelism()),
      measure: false,
      ...probes,
      files,
      target: perf.all ? undefined : target,
    });
    const { sched: bySwitches } = perf;
    return {
      session,
      perf: { ...perf, sched: bySwitches && sched === undefined, marks: marked !== undefined },
      notes: [],
    };
  } catch (error) {
    // The user's files are told apart from ours: theirs alone fail in their own words.
    const prepared = await theirs();
    const words = error instanceof Error ? error.message.split("\n", 1)[0]! : String(error);
    return {
      ...prepared,
      notes: [
        ...(sched === undefined
          ? []
          : [`scheduling is recorded by perf events; the probe did not load: ${words}`]),
        ...without(words),
      ],
    };
  }
}
