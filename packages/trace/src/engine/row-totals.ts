/** Busy time of each row (and the range of counters), summed as it grows: each event once, the last one again. */
import {
  type AnyRow,
  type Chunk,
  type CounterChunk,
  DUR_ESCAPE,
  type SliceChunk,
  type Trace,
} from "../model/trace.ts";
import { endAt, spanAt } from "./locate.ts";
import { stateClass } from "./palette.ts";

export interface RowTotal {
  /** Slices, sched: covered ns. thread_state: ns Running. */
  readonly busyNs: number;
  /** Counters only. */
  readonly min: number;
  readonly max: number;
  /** Slices only: some are not system calls. */
  readonly annotated: boolean;
}
interface Memo {
  readonly generation: number;
  /** Summed for good: all chunks before `chunk`, and its events before `at`. */
  chunk: number;
  at: number;
  busyNs: number;
  min: number;
  max: number;
  annotated: boolean;
  /** The total as of `length` events, so that an unchanged row costs nothing. */
  length: number;
  lastSpan: number;
  total: RowTotal;
}
type Sum = { -readonly [Key in keyof RowTotal]: RowTotal[Key] };
const none: RowTotal = { busyNs: 0, min: Infinity, max: -Infinity, annotated: false };

export class RowTotals {
  readonly #trace: Trace;
  readonly #memos: (Memo | undefined)[] = [];
  /** By StringId: 1 running, 2 not. */
  readonly #running: number[] = [];
  /** By StringId of a category: 1 system calls, 2 others. */
  readonly #syscalls: number[] = [];

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  of(row: AnyRow): RowTotal {
    let memo = this.#memos[row.id];
    if (memo === undefined || memo.generation !== row.generation) {
      memo = {
        generation: row.generation,
        chunk: 0,
        at: 0,
        busyNs: 0,
        min: Infinity,
        max: -Infinity,
        annotated: false,
        length: -1,
        lastSpan: 0,
        total: none,
      };
      this.#memos[row.id] = memo;
    }
    const last = row.chunks.at(-1);
    const lastSpan = last !== undefined && last.length > 0 ? spanAt(last, last.length - 1) : 0;
    const unchanged = memo.length === row.length && memo.lastSpan === lastSpan;
    if (unchanged && lastSpan < Infinity) return memo.total;
    memo.length = row.length;
    memo.lastSpan = lastSpan;
    const chunks: readonly Chunk[] = row.chunks;
    for (; memo.chunk < chunks.length; memo.chunk++, memo.at = 0) {
      const chunk = chunks[memo.chunk]!;
      // The last event of a row may still change: it is summed anew each time.
      const isLast = memo.chunk === chunks.length - 1;
      const settled = isLast ? Math.max(memo.at, chunk.length - 1) : chunk.length;
      this.#add(row, chunk, memo.at, settled, memo);
      memo.at = settled;
      if (isLast) break;
    }
    const { busyNs, min, max, annotated } = memo;
    const total: Sum = { busyNs, min, max, annotated };
    if (last !== undefined && last.length > 0)
      this.#add(row, last, last.length - 1, last.length, total);
    memo.total = total;
    return total;
  }

  #add(row: AnyRow, chunk: Chunk, from: number, to: number, sum: Sum): void {
    const openEnd = this.#trace.toNs;
    if (row.kind === "counter") addValues(sum, chunk as CounterChunk, from, to);
    else if (row.kind === "thread_state") sum.busyNs += this.#runningNs(chunk, from, to, openEnd);
    else if (row.kind === "slice" || row.kind === "sched")
      sum.busyNs += coveredNs(chunk, from, to, openEnd);
    if (row.kind === "slice" && !sum.annotated)
      sum.annotated = this.#hasOtherThanSyscalls(chunk as SliceChunk, from, to);
  }

  #hasOtherThanSyscalls({ category }: SliceChunk, from: number, to: number): boolean {
    for (let i = from; i < to; i++) {
      const id = category[i]!;
      this.#syscalls[id] ??= this.#trace.strings.get(id as never) === "syscall" ? 1 : 2;
      if (this.#syscalls[id] === 2) return true;
    }
    return false;
  }

  #runningNs(chunk: Chunk, from: number, to: number, openEnd: number): number {
    let sum = 0;
    const { ts, key: keys } = chunk;
    for (let i = from; i < to; i++) {
      const key = keys[i]!;
      this.#running[key] ??=
        stateClass(this.#trace.strings.get(key as never)) === "running" ? 1 : 2;
      if (this.#running[key] === 1) sum += endAt(chunk, i, openEnd) - ts[i]!;
    }
    return sum;
  }
}

function coveredNs(chunk: Chunk, from: number, to: number, openEnd: number): number {
  const { dur, ts } = chunk;
  let sum = 0;
  for (let i = from; i < to; i++) {
    const ns = dur[i]!;
    sum += ns === DUR_ESCAPE ? endAt(chunk, i, openEnd) - ts[i]! : ns;
  }
  return sum;
}
function addValues(
  sum: { min: number; max: number },
  chunk: CounterChunk,
  from: number,
  to: number,
): void {
  for (let i = from; i < to; i++) {
    const value = chunk.value[i]!;
    if (value < sum.min) sum.min = value;
    if (value > sum.max) sum.max = value;
  }
}
