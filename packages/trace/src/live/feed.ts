/**
 * The capture's end of a live view: what its sink is called with goes to the viewer as batches.
 *
 *     source ─► tee ─┬─► file
 *                    └─► LiveFeed.sink ─► gate ─► BatchSink ── batch ──► viewer (live/view.ts)
 *                                          ▲                               │
 *                                          └────────── bytes taken ────────┘
 *
 * The capture never waits: a viewer that has too much before it makes the gate shut, and whole batches are left out of
 * the view, counted, until it has caught up.
 */
import { type EventBatch, transferList } from "../model/batch-calls.ts";
import { BatchSink } from "../model/batch-sink.ts";
import type { TraceSink } from "../model/sink.ts";
import { Gate, type LeftOut } from "./gate.ts";

/** Feed → viewer. */
export interface FeedMessage {
  readonly type: "batch";
  readonly batch: EventBatch;
  /** About so much memory: what the viewer gives back as `taken`. */
  readonly bytes: number;
  /** Before this batch's events. */
  readonly leftOut?: LeftOut;
}
/** Viewer → feed. `full`: the viewer's memory is; it takes no more events. */
export type ViewMessage =
  | { readonly type: "taken"; readonly bytes: number }
  | { readonly type: "full" };

export interface FeedLimits {
  /** Sent and not yet taken; above it the gate shuts, at half of it it opens again. */
  readonly waitingBytes: number;
  /** A batch is sent at the first watermark that is so much later than the last batch… */
  readonly batchMs: number;
  /** …or at the first one with so many calls to send. */
  readonly batchCalls: number;
}
/** 12 MiB are about 400,000 events: at the rates that a viewer can take, one that has them waiting is a second behind. */
const defaultLimits: FeedLimits = {
  waitingBytes: 12 * 2 ** 20,
  batchMs: 40,
  batchCalls: 32_768,
};

export class LiveFeed {
  /** Closing it sends what is left. */
  readonly sink: TraceSink;
  readonly #send: (message: FeedMessage, transfer: ArrayBuffer[]) => void;
  readonly #limits: FeedLimits;
  readonly #batches = new BatchSink();
  readonly #gate: Gate;
  #waitingBytes = 0;
  #full = false;
  #sentAt = -Infinity;

  constructor(
    send: (message: FeedMessage, transfer: ArrayBuffer[]) => void,
    limits: Partial<FeedLimits> = {},
  ) {
    this.#send = send;
    this.#limits = { ...defaultLimits, ...limits };
    this.#gate = new Gate(this.#batches);
    const { sink } = this.#gate;
    this.sink = {
      ...sink,
      watermark: (ts) => {
        sink.watermark(ts);
        const { batchMs, batchCalls } = this.#limits;
        const due = performance.now() - this.#sentAt >= batchMs;
        if (due || this.#batches.length >= batchCalls) this.#flush();
      },
      close: () => {
        sink.close();
        this.#flush();
      },
    };
  }

  /** What the viewer answers. */
  take(message: ViewMessage): void {
    if (message.type === "full") this.#full = true;
    else this.#waitingBytes -= message.bytes;
  }

  #flush(): void {
    this.#sentAt = performance.now();
    const batch = this.#batches.flush();
    const bytes = sizeOf(batch);
    const leftOut = this.#gate.takeLeftOut();
    this.#waitingBytes += bytes;
    this.#send({ type: "batch", batch, bytes, ...(leftOut && { leftOut }) }, transferList(batch));
    const { waitingBytes } = this.#limits;
    if (this.#full || this.#waitingBytes > waitingBytes) this.#gate.shut();
    else if (this.#waitingBytes <= waitingBytes / 2) this.#gate.open();
  }
}

/** Texts and objects are guessed: they are few. */
function sizeOf({ codes, ints, floats, bytes, texts, objects }: EventBatch): number {
  return (
    codes.byteLength +
    ints.byteLength +
    floats.byteLength +
    bytes.byteLength +
    64 * texts.length +
    256 * objects.length
  );
}
