/**
 * Nesting of one track's slices: which lane each is drawn in, and how many slices are around it.
 *
 *     ops in order of time            lane 0  ├─ a ───────────┤
 *     begin a, begin b, end,    ──►   lane 1    ├─ b ─┤ ├─ c ─────┤   c outlives a: lane 1, depth 0
 *     begin c, end (of a) …           lane 2              ├─ d ┤
 *
 * A slice is around another when it is active at its start and does not end before it does. The lane is the first
 * free one at or below that depth, so that the events of a row never overlap and nothing is cut.
 */

import { Lanes } from "./lanes.ts";
import type { Pending, PendingBlock } from "./pending.ts";
import { type BuiltRow, enlarged, setDuration } from "./rows.ts";
import type { TrackId } from "./sink.ts";
import { SliceCursor } from "./slice-calls.ts";
import { SortedEnds } from "./sorted-ends.ts";
import type { Target } from "./stream.ts";
import { durationAt } from "./trace.ts";

/** In the `value` column of pending slice events: what it is; ≥ 0 or NaN is the duration of a complete slice. */
export const BEGIN = -1;
export const END = -2;
export const FLOW_ENCLOSING = -3;
export const FLOW_NEXT = -4;

/** Slices in more lanes than this are left out, and counted: nesting so deep is damage, and would take forever. */
export const MAX_LANES = 16_384;

/** What nesting needs from the builder. */
export interface NestHost {
  lane(track: TrackId, lane: number): BuiltRow<"slice">;
  mergeArgs(begin: number, end: number): number;
  bindFlow(flow: number, event: number): void;
  flowTs(flow: number): number;
  unmatchedEnds(track: TrackId, count: number, firstTs: number): void;
  tooDeep(track: TrackId, count: number, firstTs: number): void;
  /** Slices lie in [from, to]. */
  span(from: number, to: number): void;
}

// A trace may have a hundred thousand tracks of a few slices each: their arrays are made when they are needed.
const NO_ENDS = new Float64Array(0);
const NO_INTS = new Int32Array(0);
const NO_FLAGS = new Uint8Array(0);
const FIRST_ACTIVE = 8;

export class Nest implements Target {
  readonly track: TrackId;
  /** Rows by lane. */
  readonly rows: BuiltRow<"slice">[] = [];
  length = 0;
  /** Slices begun but not ended. */
  #openBegins = 0;
  readonly #host: NestHost;
  readonly #laneEnds = new Lanes();
  // The active slices, in the order they started; `#active` of them. One that ended at the current time may still
  // be there. Typed arrays: plain ones, truncated by `length`, made nesting four times slower.
  #active = 0;
  #ends = NO_ENDS;
  #lanes = NO_INTS;
  #ids = NO_INTS;
  #begun = NO_FLAGS;
  /** Some active slice ends after one that is around it: ends are not in order. */
  #tangled = false;
  /** When tangled: the ends of the active slices by time. Those that passed may still be among the slices above. */
  readonly #sorted = new SortedEnds();
  #passed = 0;
  /** Active slices without a known end. */
  #open = 0;
  /** Flow steps that wait for the next slice. */
  readonly #nextFlows: number[] = [];
  readonly #unmatched: { readonly ts: number; readonly args: number }[] = [];
  #leftOut = 0;
  #firstStart = Infinity;
  /** Or last start, for slices that are open. */
  #lastEnd = -Infinity;

  constructor(track: TrackId, host: NestHost) {
    this.track = track;
    this.#host = host;
  }

  unbuild(into: Pending): void {
    for (const { ts, args } of this.#unmatched) into.append(ts, END, 0, 0, 0, args, false);
    const cursor = new SliceCursor(this.rows, 0);
    while (cursor.ts < Infinity)
      cursor.call(
        (chunk, i, begun) => {
          const { ts, id, key, category, args } = chunk;
          const what = begun ? BEGIN : durationAt(chunk, i);
          into.append(ts[i]!, what, id[i]!, key[i]!, category[i]!, args[i]!, !begun);
        },
        (ts) => into.append(ts, END, 0, 0, 0, -1, false),
      );
    for (const flow of this.#nextFlows)
      into.append(this.#host.flowTs(flow), FLOW_NEXT, flow, 0, 0, 0, true);
  }

  restart(): void {
    for (const row of this.rows) row.restart();
    this.length = 0;
    this.#openBegins = 0;
    this.#laneEnds.clear();
    this.#active = 0;
    this.#tangled = false;
    this.#passed = 0;
    this.#open = 0;
    this.#nextFlows.length = 0;
    if (this.#unmatched.length > 0) this.#host.unmatchedEnds(this.track, 0, NaN);
    this.#unmatched.length = 0;
    this.#leftOut = 0;
  }

  /** The trace is over: what is still open outlives everything that ended. */
  finish(): void {
    if (this.#tangled) {
      this.#sorted.removeBefore(Infinity);
      this.#dropPassed(Infinity);
    }
    this.#laneEnds.clear();
    this.#active = 0;
    this.#ends = NO_ENDS;
    this.#lanes = this.#ids = NO_INTS;
    this.#begun = NO_FLAGS;
  }

  take(block: PendingBlock, order: Uint32Array | undefined, from: number, to: number): void {
    const { ts, value, a, b, c, d } = block;
    for (let at = from; at < to; at++) {
      const i = order === undefined ? at : order[at]!;
      const what = value[i]!;
      if (what === BEGIN) this.#start(ts[i]!, NaN, a[i]!, b[i]!, c[i]!, d[i]!, true);
      else if (what === END) this.#end(ts[i]!, d[i]!);
      else if (what === FLOW_ENCLOSING) this.#host.bindFlow(a[i]!, this.#innermost(ts[i]!));
      else if (what === FLOW_NEXT) this.#nextFlows.push(a[i]!);
      else this.#start(ts[i]!, what, a[i]!, b[i]!, c[i]!, d[i]!, false);
    }
    this.#host.span(this.#firstStart, this.#lastEnd);
  }

  #start(
    ts: number,
    dur: number,
    id: number,
    name: number,
    category: number,
    args: number,
    begun: boolean,
  ): void {
    this.#expire(ts);
    const end = dur >= 0 ? ts + dur : Infinity;
    if (ts < this.#firstStart) this.#firstStart = ts;
    const known = end < Infinity ? end : ts;
    if (known > this.#lastEnd) this.#lastEnd = known;
    const depth = this.#countAround(ts, end);
    let lane = this.#laneEnds.firstFree(depth, ts);
    if (lane < MAX_LANES) {
      this.#laneEnds.set(lane, end);
      let row = this.rows[lane];
      if (row === undefined) row = this.#newRow(lane);
      const chunk = row.room();
      const i = chunk.length++;
      chunk.ts[i] = ts;
      setDuration(chunk, i, dur);
      chunk.key[i] = name;
      chunk.id[i] = id;
      chunk.category[i] = category;
      chunk.args[i] = args;
      chunk.depth[i] = depth;
      chunk.begun[i] = begun ? 1 : 0;
      this.length++;
    } else {
      this.#host.tooDeep(this.track, ++this.#leftOut, ts);
      if (!begun) return;
      lane = -1;
    }
    if (begun) this.#openBegins++;
    const top = this.#active;
    if (top === this.#ends.length) this.#growActive();
    if (end === Infinity) this.#open++;
    if (this.#tangled) this.#sorted.add(end);
    this.#ends[top] = end;
    this.#lanes[top] = lane;
    this.#ids[top] = id;
    this.#begun[top] = begun ? 1 : 0;
    this.#active = top + 1;
    if (!this.#tangled && top > 0 && this.#ends[top - 1]! < end) this.#tangle();
    if (this.#nextFlows.length > 0) {
      for (const flow of this.#nextFlows) this.#host.bindFlow(flow, id);
      this.#nextFlows.length = 0;
    }
  }

  #newRow(lane: number): BuiltRow<"slice"> {
    for (let l = this.rows.length; l <= lane; l++) this.rows.push(this.#host.lane(this.track, l));
    return this.rows[lane]!;
  }

  #end(ts: number, args: number): void {
    if (this.#openBegins === 0) {
      const n = this.#unmatched.push({ ts, args });
      this.#host.unmatchedEnds(this.track, n, this.#unmatched[0]!.ts);
      return;
    }
    this.#expire(ts);
    if (ts > this.#lastEnd) this.#lastEnd = ts;
    const ends = this.#ends;
    let i = this.#active - 1;
    while (!(this.#begun[i]! && ends[i] === Infinity)) i--;
    ends[i] = ts;
    this.#openBegins--;
    this.#open--;
    const lane = this.#lanes[i]!;
    if (lane >= 0) {
      const chunk = this.rows[lane]!.last;
      const at = chunk.length - 1;
      setDuration(chunk, at, ts - chunk.ts[at]!);
      if (args >= 0) chunk.args[at] = this.#host.mergeArgs(chunk.args[at]!, args);
      this.#laneEnds.set(lane, ts);
    }
    if (i === this.#active - 1 && !this.#tangled) return;
    // Complete slices inside it that last longer are not inside it after all.
    for (let above = i + 1; above < this.#active; above++)
      if (ends[above]! > ts) this.#surface(above);
    if (this.#tangled) {
      this.#sorted.removeOpen();
      this.#sorted.add(ts);
    } else this.#untangle();
  }

  /** Drops the active slices that ended before `ts`, or at it when nothing depends on them any more. */
  #expire(ts: number): void {
    if (this.#tangled) {
      this.#passed += this.#sorted.removeBefore(ts);
      // Only what is open can be affected by what passed; without it, slices are dropped by the dozen.
      if (this.#passed > (this.#open > 0 ? 0 : 16 + this.#active / 2)) this.#dropPassed(ts);
      if (this.#tangled) return;
    }
    let n = this.#active;
    while (n > 0 && this.#ends[n - 1]! <= ts) n--;
    this.#active = n;
  }

  #dropPassed(ts: number): void {
    const ends = this.#ends;
    let kept = 0;
    for (let i = 0; i < this.#active; i++) {
      const end = ends[i]!;
      if (end < ts) {
        // Whatever is still open inside it outlives it. (Ending a pair has seen to that already.)
        if (!this.#begun[i]! && this.#open > 0)
          for (let above = i + 1; above < this.#active; above++)
            if (ends[above] === Infinity && this.#startOf(above) < end) this.#surface(above);
        continue;
      }
      ends[kept] = end;
      this.#lanes[kept] = this.#lanes[i]!;
      this.#ids[kept] = this.#ids[i]!;
      this.#begun[kept] = this.#begun[i]!;
      kept++;
    }
    this.#active = kept;
    this.#passed = 0;
    this.#untangle();
  }

  /** Active slice `i` lost one of those around it. */
  #surface(i: number): void {
    const lane = this.#lanes[i]!;
    if (lane < 0) return;
    const chunk = this.rows[lane]!.last;
    const at = chunk.length - 1;
    if (chunk.depth[at]! > 0) chunk.depth[at]!--;
  }

  #startOf(i: number): number {
    const lane = this.#lanes[i]!;
    if (lane < 0) return Infinity;
    const chunk = this.rows[lane]!.last;
    return chunk.ts[chunk.length - 1]!;
  }

  #growActive(): void {
    if (this.#ends.length === 0) {
      this.#ends = new Float64Array(FIRST_ACTIVE);
      this.#lanes = new Int32Array(FIRST_ACTIVE);
      this.#ids = new Int32Array(FIRST_ACTIVE);
      this.#begun = new Uint8Array(FIRST_ACTIVE);
      return;
    }
    this.#ends = enlarged(this.#ends);
    this.#lanes = enlarged(this.#lanes);
    this.#ids = enlarged(this.#ids);
    this.#begun = enlarged(this.#begun);
  }

  #tangle(): void {
    this.#tangled = true;
    this.#passed = 0;
    this.#sorted.set(this.#ends.subarray(0, this.#active));
  }

  /** Ends may be in order, or out of it, again. */
  #untangle(): void {
    const was = this.#tangled;
    this.#tangled = false;
    for (let i = 1; i < this.#active && !this.#tangled; i++)
      if (this.#ends[i]! > this.#ends[i - 1]!) this.#tangled = true;
    if (this.#tangled && !was) this.#tangle();
  }

  /** Active slices that contain [ts, end]. An open slice is taken to nest until its end is known. */
  #countAround(ts: number, end: number): number {
    if (this.#tangled)
      return end === Infinity || end <= ts
        ? this.#sorted.countAbove(ts)
        : this.#sorted.countAtLeast(end);
    let n = this.#active;
    if (end < Infinity) while (n > 0 && this.#ends[n - 1]! < end) n--;
    return n;
  }

  /** The slice that started last of those active at `ts`; −1: none. */
  #innermost(ts: number): number {
    const ends = this.#ends;
    for (let i = this.#active - 1; i >= 0; i--) if (ends[i]! > ts) return this.#ids[i]!;
    // One that just ended, or has no duration.
    for (let i = this.#active - 1; i >= 0; i--) if (ends[i] === ts) return this.#ids[i]!;
    return -1;
  }
}

/**
 * Order of events with equal ts: flows to the next slice first; begins and ends as they arrived; between two of
 * those, complete slices by duration, longest first, then flows to the slice around them.
 */
export function orderSliceTies(
  block: PendingBlock,
  order: Uint32Array,
  from: number,
  to: number,
): void {
  const rank = (i: number): number => {
    const what = block.value[i]!;
    if (what === FLOW_ENCLOSING) return 1;
    return what >= 0 ? -what : -Infinity;
  };
  const all = [...order.subarray(from, to)];
  const sorted = all.filter((i) => block.value[i] === FLOW_NEXT);
  let run: number[] = [];
  const flush = () => {
    sorted.push(...run.sort((x, y) => compare(rank(x), rank(y))));
    run = [];
  };
  for (const i of all) {
    const what = block.value[i]!;
    if (what === FLOW_NEXT) continue;
    if (what === BEGIN || what === END) {
      flush();
      sorted.push(i);
    } else run.push(i);
  }
  flush();
  order.set(sorted, from);
}

function compare(x: number, y: number): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
