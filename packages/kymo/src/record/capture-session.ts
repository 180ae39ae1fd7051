/** The capture worker (capture.worker.ts), as promises. */
import { Worker } from "node:worker_threads";
import { UserError } from "../cli/command.ts";
import type { ProbeCost, ProbeRequest } from "../sources/bpf/request.ts";
import type { CaptureRequest, FromWorker, ToWorker } from "./messages.ts";
import { ProgressLine } from "./progress.ts";
import type { ProbeDrain } from "./running-probes.ts";

export type Stopped = Extract<FromWorker, { type: "stopped" }>;

export class CaptureSession implements ProbeDrain {
  /** Resolves with the notes once nothing can be missed. */
  readonly ready: Promise<readonly string[]>;
  readonly stopped: Promise<Stopped>;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  /** Who waits for what was asked for a version of the probes; resolved with words when it can't be done. */
  readonly #asked = new Map<number, (refused: string | undefined) => void>();
  #ended = false;
  /** Detaches the probes. @returns what they have cost. */
  #detach: () => readonly ProbeCost[] = () => [];

  /** Without a `file` there is no progress to show. */
  constructor({ quiet, file }: { readonly quiet: boolean; readonly file: string | undefined }) {
    const line = new ProgressLine(process.stderr, quiet || file === undefined);
    this.#worker = new Worker(new URL("./capture.worker.js", import.meta.url));
    let onReady: (notes: readonly string[]) => void = () => {};
    let onStopped: (end: Stopped) => void = () => {};
    let onFailure: (error: Error) => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      onFailure = reject;
    });
    const ready = new Promise<readonly string[]>((resolve) => {
      onReady = resolve;
    });
    const stopped = new Promise<Stopped>((resolve) => {
      onStopped = resolve;
    });
    this.ready = Promise.race([ready, failed]);
    this.stopped = Promise.race([stopped, failed]);
    // One fails first, then nobody waits for the other; before the start, for neither.
    this.ready.catch(() => {});
    this.stopped.catch(() => {});
    this.#worker.on("message", (message: FromWorker) => {
      if (message.type === "ready") onReady(message.notes);
      else if (message.type === "progress") line.update(message);
      else if (message.type === "version") this.#answer(message.version, message.refused);
      else {
        line.clear();
        if (message.type === "stopped") {
          this.#end();
          onStopped(message);
        } else if (message.type === "failed")
          onFailure(new UserError(message.message, message.fix));
        else this.#post({ type: "detached", costs: this.#detach() });
      }
    });
    this.#worker.once("error", onFailure);
    this.#exited = new Promise((resolve) => this.#worker.once("exit", () => resolve()));
    void this.#exited.then(() => {
      this.#end();
      onFailure(new Error("the capture worker ended by itself"));
    });
  }

  start(request: CaptureRequest, detach: () => readonly ProbeCost[]): void {
    this.#detach = detach;
    this.#worker.postMessage(
      { type: "start", request } satisfies ToWorker,
      request.feed === undefined ? [] : [request.feed],
    );
  }

  stop(reason: "asked" | "target-ended"): void {
    this.#post({ type: "stop", reason });
  }

  costs(costs: readonly ProbeCost[]): void {
    this.#post({ type: "costs", costs });
  }

  async add(version: number, probes: ProbeRequest): Promise<void> {
    const refused = await this.#ask({ type: "add", version, probes });
    if (refused !== undefined) throw new UserError(refused);
  }

  async retire(version: number): Promise<void> {
    await this.#ask({ type: "retire", version });
  }

  async discard(version: number): Promise<void> {
    await this.#ask({ type: "discard", version });
  }

  /** For the trace and who watches it. */
  tell(message: string): void {
    this.#post({ type: "tell", message });
  }

  #ask(message: Extract<ToWorker, { readonly version: number }>): Promise<string | undefined> {
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#asked.set(message.version, resolve);
      this.#post(message);
    });
  }

  #answer(version: number, refused: string | undefined): void {
    this.#asked.get(version)?.(refused);
    this.#asked.delete(version);
  }

  /** Nobody answers any more. */
  #end(): void {
    this.#ended = true;
    for (const version of this.#asked.keys()) this.#answer(version, undefined);
  }

  /**
   * Ends a worker that has not been started, too. It leaves by itself, between two jobs: to be ended while it loads native
   * code, or is in it, would abort the whole process.
   */
  async close(): Promise<void> {
    this.#post({ type: "leave" });
    await this.#exited;
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
