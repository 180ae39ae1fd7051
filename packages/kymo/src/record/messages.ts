/** What the command line and its capture worker say to each other. */
import type { PerfOptions } from "../sources/perf/options.ts";

/** `workerData` of capture.worker.ts. */
export interface CaptureRequest {
  readonly file: string;
  readonly maxBytes: number;
  /** Recording stops by itself after this many seconds; Infinity: it doesn't. */
  readonly seconds: number;
  readonly perf: PerfOptions;
  /** Written into the trace as it is. */
  readonly metadata: readonly (readonly [string, string])[];
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

/** Stop, drain and close the file. */
export interface ToWorker {
  readonly reason: "asked" | "target-ended";
}
