/** `kymo probe --watch`: saved probe files take over while the recording runs; a version that fails changes nothing. */
import { UserError } from "../cli/command.ts";
import { FileWatch } from "./file-watch.ts";
import { loadProbeSession, type ProbeInput, type ProbeSession } from "./probes.ts";
import type { RunningProbes } from "./running-probes.ts";

export interface WatchHooks {
  /** A version runs; `ms` since it was found saved. */
  replaced(session: ProbeSession, ms: number): void;
  /** A version does not, and why; the one before it still does. */
  failed(error: UserError): void;
  /** A defect of kymo. */
  broken(error: unknown): void;
}

export class ProbeWatch {
  readonly #input: ProbeInput;
  readonly #probes: RunningProbes;
  readonly #hooks: WatchHooks;
  readonly #files: FileWatch;
  #savedAt: number | undefined;
  #busy = false;

  constructor(input: ProbeInput, first: ProbeSession, probes: RunningProbes, hooks: WatchHooks) {
    this.#input = input;
    this.#probes = probes;
    this.#hooks = hooks;
    this.#files = new FileWatch((at) => {
      this.#savedAt = at;
      if (!this.#busy) void this.#follow();
    });
    this.#files.files(first.files);
  }

  close(): void {
    this.#files.close();
  }

  /** Until what runs is what was saved last. */
  async #follow(): Promise<void> {
    this.#busy = true;
    for (;;) {
      const savedAt = this.#savedAt;
      if (savedAt === undefined) break;
      this.#savedAt = undefined;
      try {
        const next = await loadProbeSession(this.#input);
        // Saved again meanwhile: the next turn is for that.
        this.#files.files(next.files);
        this.#files.anyScript = false;
        await this.#probes.replace(next, () =>
          this.#hooks.replaced(next, performance.now() - savedAt),
        );
      } catch (error) {
        // What it lacks may be in a file that nobody watches yet.
        this.#files.anyScript = true;
        if (error instanceof UserError) this.#hooks.failed(error);
        else this.#hooks.broken(error);
      }
    }
    this.#busy = false;
  }
}
