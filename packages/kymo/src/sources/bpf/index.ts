/**
 * The bpf source: events of probes. Compiled, loaded and attached elsewhere (record/probes.ts); here their ring is drained
 * beside perf's, whose records say which tasks there are and what they have mapped.
 */
import type { Ns, TraceSink } from "@kymo/trace";
import { Features } from "../../bpf/kernel/features.ts";
import { kernelTypes } from "../../bpf/kernel/vmlinux.ts";
import { loadLibc } from "../../linux/libc.ts";
import type { Availability, Source } from "../../source.ts";
import { type PerfCapture, type PerfHooks, source as perf } from "../perf/index.ts";
import type { PerfOptions } from "../perf/options.ts";
import { BpfInput, type InputOptions } from "./input.ts";
import type { ProbeCost, ProbeRequest } from "./request.ts";

export interface BpfOptions {
  /** What perf records beside; at least tasks and mappings. */
  readonly perf: PerfOptions;
  /** A loaded session; it is attached when the capture runs. */
  readonly probes: ProbeRequest;
  /** Aggregations become counters on the timeline, printed lines its log. */
  readonly drawn: boolean;
  /** Somebody watches: what has happened must show soon. */
  readonly live: boolean;
}
export interface BpfHooks extends PerfHooks, Pick<InputOptions, "onPrint" | "onReport"> {}

export interface BpfCapture extends PerfCapture {
  /** Told what the programs have cost so far: counters, and metadata. */
  cost(ts: Ns, costs: readonly ProbeCost[]): void;
}

export const source: Source<BpfOptions> & {
  start(options: BpfOptions, sink: TraceSink, hooks?: BpfHooks): Promise<BpfCapture>;
} = {
  name: "bpf",
  title: "Probes: TypeScript functions in the kernel",
  options: {
    perf: { help: "what perf events record beside the probes" },
    probes: { help: "the loaded probes" },
    drawn: { help: "draw aggregations as counters", default: true },
    live: { help: "somebody watches the recording", default: false },
  },
  available,
  start,
};

async function available(): Promise<Availability> {
  try {
    const libc = await loadLibc();
    const { programs } = new Features(libc, kernelTypes()?.btf);
    if (programs.ok) return { ok: true };
    return { ok: false, reason: programs.reason, fix: programs.fix ?? "run as root" };
  } catch (error) {
    return { ok: false, reason: (error as Error).message, fix: "record on Linux, x64 or arm64" };
  }
}

/** Slices longer than this are put in their place later, and counted as late. */
const longestSliceNs = 10_000_000_000;
const longestSliceNsLive = 400_000_000;

/** Slices of probes are recorded at their end. */
function holdBackOf({ sites, foreign }: ProbeRequest, live: boolean): number {
  const slices = foreign?.duration !== undefined || sites.some(({ kind }) => kind === "slice");
  if (!slices) return 0;
  return live ? longestSliceNsLive : longestSliceNs;
}

async function start(
  { perf: perfOptions, probes, drawn, live }: BpfOptions,
  sink: TraceSink,
  hooks: BpfHooks = {},
): Promise<BpfCapture> {
  const capture = await perf.start(perfOptions, sink, {
    ...hooks,
    holdBackNs: holdBackOf(probes, live),
  });
  const input = capture.inputs.add(
    (context) =>
      new BpfInput(context, probes, { ...hooks, arch: process.arch, drawn, logged: drawn }),
  );
  return {
    ended: capture.ended,
    notes: capture.notes,
    inputs: capture.inputs,
    get stats() {
      return capture.stats;
    },
    stop: () => capture.stop(),
    cost: (ts, costs) => input.cost(ts, costs),
  };
}
