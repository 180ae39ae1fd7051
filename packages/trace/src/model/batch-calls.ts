/** The shape of an EventBatch: which calls there are, and what each takes. */
import type {
  ClockDomain,
  ClockInfo,
  EventTypeInfo,
  FrameInfo,
  Problem,
  TrackInfo,
} from "./sink.ts";

export const BATCH_VERSION = 1;

/** Structured-clonable; `transferList` names what can be moved instead of copied. */
export interface EventBatch {
  readonly version: number;
  readonly codes: Uint8Array;
  readonly ints: Int32Array;
  readonly floats: Float64Array;
  readonly bytes: Uint8Array;
  readonly texts: readonly string[];
  readonly objects: readonly BatchObject[];
}
export type BatchObject =
  | ClockInfo
  | TrackInfo
  | EventTypeInfo
  | FrameInfo
  | Problem
  | readonly (readonly [ClockDomain, bigint])[];

export type BatchCall =
  | "clock"
  | "clockSnapshot"
  | "metadata"
  | "string"
  | "track"
  | "eventType"
  | "frame"
  | "stack"
  | "argInt"
  | "argBig"
  | "argReal"
  | "argText"
  | "argBool"
  | "argBytes"
  | "argObject"
  | "argArray"
  | "argClose"
  | "argsDone"
  | "begin"
  | "end"
  | "slice"
  | "instant"
  | "typed"
  | "counter"
  | "sample"
  | "switch"
  | "waking"
  | "life"
  | "flow"
  | "log"
  | "problem"
  | "watermark"
  | "close";

/** [ints, floats, texts, objects] that a call takes. */
type Operands = readonly [ints: number, floats: number, texts: number, objects: number];

/** Big integers and bytes take as many more as they say. */
export const OPERANDS: { readonly [Call in BatchCall]: Operands } = {
  clock: [0, 0, 0, 1],
  clockSnapshot: [0, 0, 0, 1],
  metadata: [0, 0, 2, 0],
  string: [0, 0, 1, 0],
  track: [0, 0, 0, 1],
  eventType: [0, 0, 0, 1],
  frame: [0, 0, 0, 1],
  stack: [2, 0, 0, 0],
  argInt: [1, 1, 0, 0],
  /** key, sign, number of 32-bit words, then those, least significant first. */
  argBig: [3, 0, 0, 0],
  argReal: [1, 1, 0, 0],
  argText: [2, 0, 0, 0],
  argBool: [2, 0, 0, 0],
  /** key, number of bytes. */
  argBytes: [2, 0, 0, 0],
  argObject: [1, 0, 0, 0],
  argArray: [1, 0, 0, 0],
  argClose: [0, 0, 0, 0],
  argsDone: [0, 0, 0, 0],
  begin: [4, 1, 0, 0],
  end: [2, 1, 0, 0],
  slice: [4, 2, 0, 0],
  instant: [4, 1, 0, 0],
  typed: [3, 1, 0, 0],
  counter: [1, 2, 0, 0],
  sample: [3, 2, 0, 0],
  switch: [5, 1, 0, 0],
  waking: [3, 1, 0, 0],
  life: [3, 1, 0, 0],
  /** id low, id high, track, step, bind. */
  flow: [5, 1, 0, 0],
  log: [3, 1, 0, 0],
  problem: [0, 0, 0, 1],
  watermark: [0, 1, 0, 0],
  close: [0, 0, 0, 0],
};

export const BATCH_CALLS: readonly BatchCall[] = Object.keys(OPERANDS) as BatchCall[];
export const CODE: { readonly [Call in BatchCall]: number } = Object.fromEntries(
  BATCH_CALLS.map((call, code) => [call, code]),
) as { [Call in BatchCall]: number };

/** A longer integer (1024 bits) is kept as a real. */
export const MAX_BIG_WORDS = 32;

/** What `postMessage(batch, transferList(batch))` moves without copying. The batch is empty afterwards. */
export function transferList(batch: EventBatch): ArrayBuffer[] {
  return [batch.codes, batch.ints, batch.floats, batch.bytes].map(
    ({ buffer }) => buffer as ArrayBuffer,
  );
}
