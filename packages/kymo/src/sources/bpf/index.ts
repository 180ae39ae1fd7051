/**
 * The bpf source: events of probes. Compiled, loaded and attached elsewhere (record/probes.ts); here their ring is drained
 * beside perf's, whose records say which tasks there are and what they have mapped.
 */
import type { Ns, TraceSink } from "@kymo/trace";
import { Features } from "../../bpf/kernel/features.ts";
import { kernelTypes } from "../../bpf/kernel/vmlinux.ts";
import { loadLibc } from "../../linux/libc.ts";
import type { Availability, Source } from "../../source.ts";
import type { CaptureContext } from "../perf/extra.ts";
import { type PerfCapture, type PerfHooks, source as perf } from "../perf/index.ts";
import type { PerfOptions } from "../perf/options.ts";
import { Declarations } from "./declarations.ts";
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
  /** Other versions of the probes may follow. */
  readonly replaceable?: boolean;
}
export interface BpfHooks extends PerfHooks, Pick<InputOptions, "onPrint" | "onReport"> {}

export interface BpfCapture extends PerfCapture {
  /** Drains another session, too. @throws AttachError */
  add(version: number, probes: ProbeRequest): void;
  /** A session that is detached: what it has left is drained, then it ends. The first one is version 0. */
  retire(version: number): Promise<void>;
  /** A session that never ran, or could not be added. */
  discard(version: number): void;
  /** Something that the user has to know, at its time. */
  tell(ts: Ns, message: string): void;
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
    replaceable: { help: "other versions of the probes may follow", default: false },
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
function holdBackOf({ probes, live, replaceable }: BpfOptions): number {
  const { sites, foreign } = probes;
  const slices =
    replaceable || foreign?.duration !== undefined || sites.some(({ kind }) => kind === "slice");
  if (!slices) return 0;
  return live ? longestSliceNsLive : longestSliceNs;
}

async function start(
  options: BpfOptions,
  sink: TraceSink,
  hooks: BpfHooks = {},
): Promise<BpfCapture> {
  const { drawn } = options;
  const capture = await perf.start(options.perf, sink, {
    ...hooks,
    holdBackNs: holdBackOf(options),
  });
  const inputOptions: InputOptions = { ...hooks, arch: process.arch, drawn, logged: drawn };
  const versions = new Map<number, BpfInput>();
  const declarations = new Declarations();
  const shared = (context: CaptureContext): CaptureContext => ({
    ...context,
    sink: declarations.forVersion(context.sink),
  });
  const add = (version: number, probes: ProbeRequest): void => {
    const make = (context: CaptureContext): BpfInput =>
      new BpfInput(options.replaceable ? shared(context) : context, probes, inputOptions);
    versions.set(version, capture.inputs.add(make));
  };
  const taken = (version: number): BpfInput | undefined => {
    const input = versions.get(version);
    versions.delete(version);
    return input;
  };
  add(0, options.probes);
  return {
    ended: capture.ended,
    notes: capture.notes,
    inputs: capture.inputs,
    get stats() {
      return capture.stats;
    },
    stop: () => capture.stop(),
    add,
    retire: async (version) => {
      const input = taken(version);
      if (input !== undefined) await capture.inputs.retire(input);
    },
    discard: (version) => {
      const input = taken(version);
      if (input !== undefined) capture.inputs.discard(input);
    },
    tell: (ts, message) =>
      (hooks.inputSink ?? sink).problem({ kind: "unsupported", message, from: ts, to: ts }),
    cost: (ts, costs) => [...versions.values()].at(-1)?.cost(ts, costs),
  };
}
