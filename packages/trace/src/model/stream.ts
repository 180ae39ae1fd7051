/** Events of one kind on their way into rows: waiting for the watermark, or come after it. */

import type { PendingBlock } from "./pending.ts";
import { Pending, type TieOrder } from "./pending.ts";

/** Where events go once their order is known. */
export interface Target {
  /** Events taken so far. */
  readonly length: number;
  /** Takes block[order[from]] … block[order[to − 1]], ascending in time. */
  take(block: PendingBlock, order: Uint32Array | undefined, from: number, to: number): void;
  /** Appends what was taken to `into`, as events that would build the same again. */
  unbuild(into: Pending): void;
  /** Forgets all events; rows keep their identity, their generation goes up. */
  restart(): void;
}

/** A target larger than this is rebuilt only when late events are a fair share of it, or at the end. */
const CHEAP_TO_REBUILD = 65_536;
const FAIR_SHARE = 1 / 32;

export class Stream {
  readonly pending: Pending;
  readonly target: Target;
  /** Already in the builder's list of streams to drain. */
  waiting = false;
  readonly #tieOrder: TieOrder | undefined;
  #late: Pending | undefined;

  constructor(target: Target, tieOrder: TieOrder | undefined) {
    this.target = target;
    this.#tieOrder = tieOrder;
    this.pending = new Pending(tieOrder);
  }

  /** Where events go that came after the watermark had passed them. */
  get late(): Pending {
    this.#late ??= new Pending(this.#tieOrder);
    return this.#late;
  }

  get isEmpty(): boolean {
    return this.pending.length === 0 && (this.#late?.length ?? 0) === 0;
  }

  /**
   * Moves every event earlier than `limit` to the target.
   *
   * @param final  the trace is over: late events too, whatever it costs
   * @returns      how many
   */
  drain(limit: number, final: boolean): number {
    const { target } = this;
    const waiting = this.pending.length;
    const take = target.take.bind(target);
    this.pending.drain(limit, take);
    const late = this.#late;
    const moved = waiting - this.pending.length;
    if (late === undefined || late.length === 0) return moved;
    const wait = target.length > CHEAP_TO_REBUILD && late.length < target.length * FAIR_SHARE;
    if (wait && !final) return moved;
    const found = late.length;
    this.#late = undefined;
    const all = new Pending(this.#tieOrder);
    target.unbuild(all);
    late.drain(Infinity, (block, order, from, to) => {
      for (let at = from; at < to; at++) {
        const i = order === undefined ? at : order[at]!;
        const { ts, value, a, b, c, d } = block;
        all.append(ts[i]!, value[i]!, a[i]!, b[i]!, c[i]!, d[i]!, true);
      }
    });
    target.restart();
    all.drain(Infinity, take);
    return moved + found;
  }
}
