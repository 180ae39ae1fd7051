/**
 * The viewer's end of a live feed: batches become a trace that engines show while it grows.
 *
 * Batches are replayed a few ms at a time, so that pages are answered meanwhile; each is given back as taken once it
 * is in the trace. When the trace has reached the memory it may have, the view ends there; the recording does not.
 */
import { OpenTrace } from "../engine/open-trace.ts";
import { BatchReplayer } from "../model/batch-replayer.ts";
import { TraceBuilder } from "../model/builder.ts";
import type { FeedMessage, ViewMessage } from "./feed.ts";

export interface LiveViewOptions {
  readonly name: string;
  /** To the feed. */
  post(message: ViewMessage): void;
  /** Memory in use now, bytes; asked a few times a second. */
  memoryBytes?(): number;
  /** What `memoryBytes` may reach. */
  readonly maxBytes?: number;
  readonly defer?: (task: () => void) => void;
}

/** A piece of work is shorter than a frame. */
const WORK_MS = 10;
const MEMORY_CHECK_MS = 250;

export class LiveView {
  readonly open: OpenTrace;
  readonly #options: LiveViewOptions;
  readonly #builder = new TraceBuilder({ live: true });
  readonly #replayer = new BatchReplayer(this.#builder);
  readonly #defer: (task: () => void) => void;
  #queue: FeedMessage[] = [];
  #working = false;
  #feedEnded = false;
  #checkedAt = 0;

  constructor(options: LiveViewOptions) {
    this.#options = options;
    this.#defer = options.defer ?? ((task) => void setTimeout(task, 0));
    this.open = new OpenTrace({
      trace: this.#builder.trace,
      name: options.name,
      live: true,
      ...(options.defer && { defer: options.defer }),
    });
  }

  take(message: FeedMessage): void {
    if (!this.open.live) return;
    this.#queue.push(message);
    this.#workLater();
  }

  /** The feed is gone, closed or not: what came is all there is. */
  end(): void {
    this.#feedEnded = true;
    this.#workLater();
  }

  #workLater(): void {
    if (this.#working) return;
    this.#working = true;
    this.#defer(() => this.#work());
  }

  #work(): void {
    const deadline = performance.now() + WORK_MS;
    let done = 0;
    while (done < this.#queue.length && performance.now() < deadline)
      this.#replay(this.#queue[done++]!);
    this.#queue.splice(0, done);
    this.#working = false;
    if (!this.open.live) {
      this.#queue = [];
      return;
    }
    this.open.grow();
    if (this.#queue.length > 0) this.#workLater();
    else if (this.#feedEnded) this.#finish();
    else if (this.#isFull()) this.#stopFull();
  }

  #replay({ batch, bytes, leftOut }: FeedMessage): void {
    if (leftOut !== undefined) this.open.leaveOut(leftOut);
    this.#replayer.replay(batch);
    this.#options.post({ type: "taken", bytes });
  }

  #isFull(): boolean {
    const { memoryBytes, maxBytes } = this.#options;
    const now = performance.now();
    if (memoryBytes === undefined || maxBytes === undefined) return false;
    if (now - this.#checkedAt < MEMORY_CHECK_MS) return false;
    this.#checkedAt = now;
    return memoryBytes() > maxBytes;
  }

  #stopFull(): void {
    this.#options.post({ type: "full" });
    this.#builder.problem({
      kind: "truncated",
      message: `the live view ends here: it may not take more than ${Math.round(this.#options.maxBytes! / 2 ** 20)} MiB. The recording goes on, and its file has everything`,
      from: this.open.trace.toNs,
    });
    this.#finish();
  }

  #finish(): void {
    this.#builder.close();
    this.open.finish();
  }
}
