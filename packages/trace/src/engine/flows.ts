/** Flow neighbours of an event. The links are built on first use and again when flows were added. */
import type { Trace } from "../model/trace.ts";

/** Steps of one flow looked at, at most: a flow id used for millions of events is not a causal chain. */
const MAX_CHAIN = 4096;

export class FlowLinks {
  readonly #trace: Trace;
  #length = -1;
  #steps = new Map<bigint, number[]>();
  #ofEvent = new Map<number, bigint[]>();

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  /** Event ids of the step before (`in`) and after (`out`) the event in each of its flows. */
  of(event: number): { readonly step: "in" | "out"; readonly event: number }[] {
    this.#link();
    const { flows } = this.#trace;
    const found: { step: "in" | "out"; event: number }[] = [];
    for (const id of new Set(this.#ofEvent.get(event) ?? [])) {
      const steps = (this.#steps.get(id) ?? []).slice().sort((a, b) => flows.ts[a]! - flows.ts[b]!);
      for (const [at, step] of steps.entries()) {
        if (flows.event[step] !== event) continue;
        const before = steps[at - 1];
        const after = steps[at + 1];
        if (before !== undefined && flows.event[before] !== event)
          found.push({ step: "in", event: flows.event[before]! });
        if (after !== undefined && flows.event[after] !== event)
          found.push({ step: "out", event: flows.event[after]! });
      }
    }
    return found;
  }

  #link(): void {
    const { flows } = this.#trace;
    if (this.#length === flows.length) return;
    this.#length = flows.length;
    this.#steps = new Map();
    this.#ofEvent = new Map();
    for (let i = 0; i < flows.length; i++) {
      const event = flows.event[i]!;
      if (event < 0) continue;
      const id = flows.id[i]!;
      const steps = this.#steps.get(id);
      if (steps === undefined) this.#steps.set(id, [i]);
      else if (steps.length < MAX_CHAIN) steps.push(i);
      const ids = this.#ofEvent.get(event);
      if (ids === undefined) this.#ofEvent.set(event, [id]);
      else ids.push(id);
    }
  }
}
