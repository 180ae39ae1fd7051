/**
 * The probes of a recording, which may be replaced while it runs: the next version is attached before the one before it is
 * detached, so that each event is seen by one of them, or by both.
 *
 *     next   load ─► drained by the worker ─► attach ─────────────────────────►
 *     last   ────────────────────────────────────────► detach ─► drained empty ─► close
 */
import type { ProbeCost, ProbeRequest } from "../sources/bpf/request.ts";
import type { ProbeSession } from "./probes.ts";

/** What the capture worker does for it; a session is known there by its version. */
export interface ProbeDrain {
  /** Its ring is drained from now on. @throws UserError when it can't be. */
  add(version: number, request: ProbeRequest): Promise<void>;
  /** What its ring still holds is drained, its aggregations are reported, and it is forgotten. */
  retire(version: number): Promise<void>;
  /** As if it had never been. */
  discard(version: number): Promise<void>;
  costs(costs: readonly ProbeCost[]): void;
}

export class RunningProbes {
  readonly #drain: ProbeDrain;
  /** What versions that are detached have cost, by label. */
  readonly #past = new Map<string, ProbeCost>();
  /** Those that are not closed; the last one runs, or is about to. */
  readonly #open: ProbeSession[];
  /** Attached ones. */
  readonly #begun = new Set<ProbeSession>();
  /** What runs, and the latest that was tried. */
  #running = 0;
  #latest = 0;
  #ended = false;

  /** The first version's ring is drained by then: it was a part of the worker's request. */
  constructor(first: ProbeSession, drain: ProbeDrain) {
    this.#open = [first];
    this.#drain = drain;
  }

  /** @throws UserError */
  begin(): void {
    this.#begin(this.#open[0]!);
  }

  /** Detaches all. @returns what all of it has cost. */
  end(): readonly ProbeCost[] {
    this.#ended = true;
    for (const session of this.#begun) this.#end(session);
    return [...this.#past.values()];
  }

  close(): void {
    this.#ended = true;
    for (const session of this.#open.splice(0)) session.close();
  }

  /**
   * `next` takes over, or is closed. One replacement at a time. `taken` is called when it runs and the last one doesn't any more.
   * @returns when the last one is gone; whether `next` runs: not when the recording has ended meanwhile
   * @throws UserError when it can't be attached; what ran before still does
   */
  async replace(next: ProbeSession, taken: () => void = () => {}): Promise<boolean> {
    if (this.#ended) {
      next.close();
      return false;
    }
    const last = this.#open.at(-1)!;
    const version = ++this.#latest;
    this.#open.push(next);
    try {
      await this.#drain.add(version, next.request);
      if (this.#ended) return false;
      this.#begin(next);
    } catch (error) {
      await this.#drain.discard(version);
      this.#close(next);
      throw error;
    }
    this.#end(last);
    taken();
    const retired = this.#running;
    this.#running = version;
    await this.#drain.retire(retired);
    this.#close(last);
    return true;
  }

  #begin(session: ProbeSession): void {
    session.begin((costs) => this.#drain.costs(costs.map((cost) => this.#withPast(cost))));
    this.#begun.add(session);
  }

  #end(session: ProbeSession): void {
    this.#begun.delete(session);
    for (const cost of session.end()) this.#past.set(cost.label, this.#withPast(cost));
  }

  #withPast(cost: ProbeCost): ProbeCost {
    const past = this.#past.get(cost.label);
    if (past === undefined) return cost;
    return { label: cost.label, runs: past.runs + cost.runs, ns: past.ns + cost.ns };
  }

  #close(session: ProbeSession): void {
    const at = this.#open.indexOf(session);
    if (at < 0) return; // all were closed meanwhile
    this.#open.splice(at, 1);
    session.close();
  }
}
