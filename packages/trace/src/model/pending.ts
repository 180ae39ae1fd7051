/**
 * Events that wait for the watermark: raw columns in the order of arrival.
 *
 *     blocks[]  8, 16, … 16 Ki events each       one event = ts, value, a, b, c, d  (32 bytes)
 *
 * What the six columns mean is up to the table that owns it. Blocks are dropped as they are drained, so a
 * whole file's worth of events is never held twice.
 */
import { sortedOrder } from "./sort.ts";

const FIRST_BLOCK = 8;
const LAST_BLOCK = 16_384;
/** A drained block of up to so many events is filled again: a live trace drains many times a second. */
const REUSED_BLOCK = 4096;

export class PendingBlock {
  length = 0;
  readonly capacity: number;
  readonly ts: Float64Array;
  readonly value: Float64Array;
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly c: Int32Array;
  readonly d: Int32Array;
  constructor(capacity: number) {
    this.capacity = capacity;
    this.ts = new Float64Array(capacity);
    this.value = new Float64Array(capacity);
    this.a = new Int32Array(capacity);
    this.b = new Int32Array(capacity);
    this.c = new Int32Array(capacity);
    this.d = new Int32Array(capacity);
  }
}

/** Puts right the order of events with equal times: `order[from, to)` all have the same ts. */
export type TieOrder = (block: PendingBlock, order: Uint32Array, from: number, to: number) => void;

export class Pending {
  #blocks: PendingBlock[] = [];
  #last: PendingBlock | undefined;
  #lastTs = -Infinity;
  #ordered = true;
  readonly #tieOrder: TieOrder | undefined;
  length = 0;

  constructor(tieOrder?: TieOrder) {
    this.#tieOrder = tieOrder;
  }

  /** @param mayTie  false when the event's place among events of equal ts is where it arrives */
  append(
    ts: number,
    value: number,
    a: number,
    b: number,
    c: number,
    d: number,
    mayTie: boolean,
  ): void {
    let block = this.#last;
    if (block === undefined || block.length === block.capacity) block = this.#grow();
    const i = block.length++;
    block.ts[i] = ts;
    block.value[i] = value;
    block.a[i] = a;
    block.b[i] = b;
    block.c[i] = c;
    block.d[i] = d;
    this.length++;
    if (ts <= this.#lastTs && (mayTie || ts < this.#lastTs)) this.#ordered = false;
    else this.#lastTs = ts;
  }

  #grow(): PendingBlock {
    const capacity = this.#last ? Math.min(this.#last.capacity * 2, LAST_BLOCK) : FIRST_BLOCK;
    this.#last = new PendingBlock(capacity);
    this.#blocks.push(this.#last);
    return this.#last;
  }

  /**
   * Hands over, in order, every event earlier than `limit` and forgets it.
   * `take(block, order, from, to)`: the events block[order[from]] … block[order[to − 1]]; without `order`,
   * block[from] … block[to − 1].
   */
  drain(
    limit: number,
    take: (block: PendingBlock, order: Uint32Array | undefined, from: number, to: number) => void,
  ): void {
    if (this.length === 0) return;
    if (this.#ordered) this.#drainOrdered(limit, take);
    else this.#drainSorted(limit, take);
  }

  /** What is waiting, in the order of arrival. */
  blocks(): PendingBlock[] {
    return [...this.#blocks];
  }

  /** Appends every event to another list, in the order of arrival. */
  copyTo(other: Pending): void {
    for (const { length, ts, value, a, b, c, d } of this.#blocks)
      for (let i = 0; i < length; i++)
        other.append(ts[i]!, value[i]!, a[i]!, b[i]!, c[i]!, d[i]!, false);
  }

  #drainOrdered(
    limit: number,
    take: (block: PendingBlock, order: undefined, from: number, to: number) => void,
  ): void {
    const blocks = this.#blocks;
    let rest: PendingBlock[] = [];
    for (let b = 0; b < blocks.length; b++) {
      const block = blocks[b]!;
      const end = firstAtLeast(block.ts, block.length, limit);
      if (end > 0) take(block, undefined, 0, end);
      blocks[b] = EMPTY_BLOCK;
      this.length -= end;
      if (this.length === 0 && block.capacity <= REUSED_BLOCK) {
        block.length = 0;
        rest = [block];
        this.#lastTs = -Infinity;
        break;
      }
      if (end === block.length) continue;
      if (end > 0) keepFrom(block, end);
      rest = [block, ...blocks.slice(b + 1)];
      break;
    }
    this.#keep(rest);
  }

  #drainSorted(
    limit: number,
    take: (block: PendingBlock, order: Uint32Array, from: number, to: number) => void,
  ): void {
    const all = this.#flatten();
    const order = sortedOrder(all.ts, all.length);
    if (this.#tieOrder) orderTies(all, order, this.#tieOrder);
    let end = 0;
    let after = all.length;
    while (end < after) {
      const middle = (end + after) >>> 1;
      if (all.ts[order[middle]!]! < limit) end = middle + 1;
      else after = middle;
    }
    if (end > 0) take(all, order, 0, end);
    const rest = new PendingBlock(Math.max(FIRST_BLOCK, all.length - end));
    copyEvents(all, order.subarray(end), rest);
    this.length = rest.length;
    this.#keep(rest.length > 0 ? [rest] : []);
    // The rest is in order, but a later arrival may still tie with it: let it be checked again.
    this.#ordered = rest.length === 0;
  }

  #keep(blocks: PendingBlock[]): void {
    this.#blocks = blocks;
    this.#last = blocks.at(-1);
    if (this.#last === undefined) {
      this.#lastTs = -Infinity;
      this.#ordered = true;
    }
  }

  #flatten(): PendingBlock {
    const all = new PendingBlock(this.length);
    for (let b = 0; b < this.#blocks.length; b++) {
      const block = this.#blocks[b]!;
      this.#blocks[b] = EMPTY_BLOCK;
      all.ts.set(block.ts.subarray(0, block.length), all.length);
      all.value.set(block.value.subarray(0, block.length), all.length);
      all.a.set(block.a.subarray(0, block.length), all.length);
      all.b.set(block.b.subarray(0, block.length), all.length);
      all.c.set(block.c.subarray(0, block.length), all.length);
      all.d.set(block.d.subarray(0, block.length), all.length);
      all.length += block.length;
    }
    return all;
  }
}

const EMPTY_BLOCK = new PendingBlock(0);

function orderTies(block: PendingBlock, order: Uint32Array, tieOrder: TieOrder): void {
  const n = order.length;
  for (let from = 0; from < n; ) {
    const ts = block.ts[order[from]!]!;
    let to = from + 1;
    while (to < n && block.ts[order[to]!]! === ts) to++;
    if (to - from > 1) tieOrder(block, order, from, to);
    from = to;
  }
}

function keepFrom(block: PendingBlock, from: number): void {
  for (const column of [block.ts, block.value, block.a, block.b, block.c, block.d])
    column.copyWithin(0, from, block.length);
  block.length -= from;
}

function copyEvents(from: PendingBlock, order: Uint32Array, to: PendingBlock): void {
  for (let i = 0; i < order.length; i++) {
    const at = order[i]!;
    to.ts[i] = from.ts[at]!;
    to.value[i] = from.value[at]!;
    to.a[i] = from.a[at]!;
    to.b[i] = from.b[at]!;
    to.c[i] = from.c[at]!;
    to.d[i] = from.d[at]!;
  }
  to.length = order.length;
}

/** Index of the first of n ascending times that is ≥ limit. */
export function firstAtLeast(ts: Float64Array, n: number, limit: number): number {
  let low = 0;
  let high = n;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ts[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
