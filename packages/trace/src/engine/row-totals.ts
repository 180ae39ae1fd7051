/** Busy time of each row (and the range of counters), summed once a sealed chunk and again for the open one. */
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
  chunks: number;
  busyNs: number;
  min: number;
  max: number;
  annotated: boolean;
  /** The total as of `length` events, so that an unchanged row costs nothing. */
  length: number;
  total: RowTotal;
}
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
        chunks: 0,
        busyNs: 0,
        min: Infinity,
        max: -Infinity,
        annotated: false,
        length: -1,
        total: none,
      };
      this.#memos[row.id] = memo;
    }
    const openEnd = this.#trace.toNs;
    const last = row.chunks.at(-1);
    const growing =
      last !== undefined && last.length > 0 && spanAt(last, last.length - 1) === Infinity;
    if (memo.length === row.length && !growing) return memo.total;
    memo.length = row.length;
    const sum = { busyNs: memo.busyNs, min: memo.min, max: memo.max, annotated: memo.annotated };
    const chunks: readonly Chunk[] = row.chunks;
    for (let c = memo.chunks; c < chunks.length; c++) {
      const chunk = chunks[c]!;
      if (row.kind === "counter") addValues(sum, chunk as CounterChunk);
      else if (row.kind === "thread_state") sum.busyNs += this.#runningNs(chunk, openEnd);
      else if (row.kind === "slice" || row.kind === "sched")
        sum.busyNs += coveredNs(chunk, openEnd);
      if (row.kind === "slice") sum.annotated ||= this.#hasOtherThanSyscalls(chunk as SliceChunk);
      if (!chunk.sealed || c !== memo.chunks) continue;
      memo.chunks++;
      Object.assign(memo, sum);
    }
    memo.total = sum;
    return sum;
  }

  #hasOtherThanSyscalls({ category, length }: SliceChunk): boolean {
    for (let i = 0; i < length; i++) {
      const id = category[i]!;
      this.#syscalls[id] ??= this.#trace.strings.get(id as never) === "syscall" ? 1 : 2;
      if (this.#syscalls[id] === 2) return true;
    }
    return false;
  }

  #runningNs(chunk: Chunk, openEnd: number): number {
    let sum = 0;
    const { ts, key: keys, length } = chunk;
    for (let i = 0; i < length; i++) {
      const key = keys[i]!;
      this.#running[key] ??=
        stateClass(this.#trace.strings.get(key as never)) === "running" ? 1 : 2;
      if (this.#running[key] === 1) sum += endAt(chunk, i, openEnd) - ts[i]!;
    }
    return sum;
  }
}

function coveredNs(chunk: Chunk, openEnd: number): number {
  const { dur, ts, length } = chunk;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const ns = dur[i]!;
    sum += ns === DUR_ESCAPE ? endAt(chunk, i, openEnd) - ts[i]! : ns;
  }
  return sum;
}
function addValues(sum: { min: number; max: number }, chunk: CounterChunk): void {
  for (let i = 0; i < chunk.length; i++) {
    const value = chunk.value[i]!;
    if (value < sum.min) sum.min = value;
    if (value > sum.max) sum.max = value;
  }
}
