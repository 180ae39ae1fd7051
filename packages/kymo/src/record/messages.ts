/** What the command line and its capture worker say to each other. */
import type { MessagePort } from "node:worker_threads";
import type { ProbeCost, ProbeRequest } from "../sources/bpf/request.ts";
import type { PerfOptions } from "../sources/perf/options.ts";

/** All that the worker needs to know. */
export interface CaptureRequest {
  /** undefined: no trace is written, the probes' events are printed. */
  readonly file: string | undefined;
  readonly maxBytes: number;
  /** Recording stops by itself after this many seconds; Infinity: it doesn't. */
  readonly seconds: number;
  readonly perf: PerfOptions;
  /** Written into the trace as it is. */
  readonly metadata: readonly (readonly [string, string])[];
  /** A loaded probe session, about to be attached. */
  readonly probes?: ProbeRequest;
  /** Other versions of them may follow. */
  readonly replaceable: boolean;
  /** Lines that probes print, and their aggregations, go to standard output. */
  readonly printing: boolean;
  /** To a live view (live/serve-live.ts), which sees what is written. */
  readonly feed?: MessagePort;
}

export interface Progress {
  readonly events: number;
  readonly lost: number;
  readonly bytes: number;
  readonly elapsedNs: number;
  /** CPU time that kymo itself has used. */
  readonly ownCpuNs: number;
}

export type FromWorker =
  /** Nothing can be missed from here on. */
  | { readonly type: "ready"; readonly notes: readonly string[] }
  | ({ readonly type: "progress" } & Progress)
  /** What was asked for a version of the probes is done; `refused` says why not. */
  | { readonly type: "version"; readonly version: number; readonly refused?: string }
  /** The recording is about to end: the probes are to be detached now, and `detached` to be answered. */
  | { readonly type: "stopping" }
  /** The worker has stopped by itself or was told to; the file is closed. `message` says why, if it isn't plain. */
  | ({ readonly type: "stopped"; readonly reason: StoppedBy; readonly message?: string } & Progress)
  | { readonly type: "failed"; readonly message: string; readonly fix?: string };

export type StoppedBy =
  | "asked"
  | "target-ended"
  | "duration"
  | "max-size"
  | "disk-full"
  | "write-failed";

export type ToWorker =
  /** The worker has loaded its modules meanwhile. */
  | { readonly type: "start"; readonly request: CaptureRequest }
  /** There will be no recording, or it is of no use any more: end. */
  | { readonly type: "leave" }
  /** Stop, drain and close the file. */
  | { readonly type: "stop"; readonly reason: "asked" | "target-ended" }
  /** Another version of the probes, about to be attached. The first one, of the request, is version 0. */
  | { readonly type: "add"; readonly version: number; readonly probes: ProbeRequest }
  /** That version is detached: drain what it has left. Or it never ran. */
  | { readonly type: "retire" | "discard"; readonly version: number }
  /** For the trace and who watches it. */
  | { readonly type: "tell"; readonly message: string }
  /** What the probes have cost so far. */
  | { readonly type: "costs"; readonly costs: readonly ProbeCost[] }
  /** No probe runs any more. */
  | { readonly type: "detached"; readonly costs: readonly ProbeCost[] };
