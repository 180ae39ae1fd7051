/** Long answers as generators that yield often: run a few ms at a time, first come first served, cancelled by key. */
const SLICE_MS = 8;

interface Job {
  readonly key: string;
  readonly steps: Generator<void, void>;
  readonly failed: (error: unknown) => void;
}

export class Jobs {
  readonly #defer: (task: () => void) => void;
  #queue: Job[] = [];
  #running = false;

  constructor(defer: (task: () => void) => void) {
    this.#defer = defer;
  }

  /** Queues a job; an unfinished one with the same key is dropped. */
  start(key: string, steps: Generator<void, void>, failed: (error: unknown) => void): void {
    this.#queue = this.#queue.filter((job) => job.key !== key);
    this.#queue.push({ key, steps, failed });
    if (this.#running) return;
    this.#running = true;
    this.#defer(() => this.#run());
  }
  clear(): void {
    this.#queue = [];
  }

  #run(): void {
    const deadline = performance.now() + SLICE_MS;
    while (this.#queue.length > 0 && performance.now() < deadline) {
      const job = this.#queue[0]!;
      try {
        if (!job.steps.next().done) continue;
      } catch (error) {
        job.failed(error);
      }
      this.#queue = this.#queue.filter((other) => other !== job);
    }
    this.#running = this.#queue.length > 0;
    if (this.#running) this.#defer(() => this.#run());
  }
}
