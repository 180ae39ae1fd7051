/**
 * Scheduling events become two kinds of rows.
 *
 *     switch, waking, exit, by time ──► CPU track:    sched         ├ make ┤   ├ cc1 ┤      (idle: a gap)
 *                                   ──► thread track: thread_state  ├ S ┤├ R ┤├ Running ┤├ R+ ┤
 *
 * What a thread did before its first event is unknown and has no entry. Where switches were lost, a thread that is
 * seen leaving or entering elsewhere stops being Running; nothing is invented for the time between.
 */
import { Pending, type PendingBlock } from "./pending.ts";
import { type BuiltRow, type OpenChunk, setDuration } from "./rows.ts";
import { EMPTY_STRING, NO_TRACK, type StringId, type TrackId } from "./sink.ts";
import type { Target } from "./stream.ts";
import type { StringTable } from "./strings.ts";

/** In the `d` column of pending events; ≥ 0 is a switch and the StringId of the state. */
export const WAKING = -1;
export const THREAD_START = -2;
export const THREAD_EXIT = -3;

export interface SchedHost {
  schedRow(cpu: TrackId): BuiltRow<"sched">;
  stateRow(thread: TrackId): BuiltRow<"thread_state">;
  /** The CPU's number, −1 when the track does not say. */
  cpuNumber(cpu: TrackId): number;
  span(from: number, to: number): void;
}

interface Cpu {
  readonly row: BuiltRow<"sched">;
  readonly number: number;
  running: TrackId;
}
interface Thread {
  readonly row: BuiltRow<"thread_state">;
  /** 0: unknown or dead. */
  state: StringId;
  cpu: Cpu | undefined;
}

export class Sched implements Target {
  length = 0;
  readonly #host: SchedHost;
  readonly #cpus: (Cpu | undefined)[] = [];
  readonly #threads: (Thread | undefined)[] = [];
  readonly #exited = new Set<TrackId>();
  /** Every event taken, for when late ones come: rows alone don't say who woke a thread that was awake. */
  #journal = new Pending();
  readonly #running: StringId;
  readonly #runnable: StringId;
  readonly #preempted: StringId;

  constructor(host: SchedHost, strings: StringTable) {
    this.#host = host;
    this.#running = strings.intern("Running");
    this.#runnable = strings.intern("R");
    this.#preempted = strings.intern("R+");
  }

  unbuild(into: Pending): void {
    this.#journal.copyTo(into);
  }

  /** Every call so far, by time. */
  get calls(): Pending {
    return this.#journal;
  }

  restart(): void {
    this.length = 0;
    this.#journal = new Pending();
    this.#exited.clear();
    for (const cpu of this.#cpus) {
      if (cpu === undefined) continue;
      cpu.row.restart();
      cpu.running = NO_TRACK;
    }
    for (const thread of this.#threads) {
      if (thread === undefined) continue;
      thread.row.restart();
      thread.state = EMPTY_STRING;
      thread.cpu = undefined;
    }
  }

  take(block: PendingBlock, order: Uint32Array | undefined, from: number, to: number): void {
    const { ts, value, a, b, c, d } = block;
    this.length += to - from;
    for (let at = from; at < to; at++) {
      const i = order === undefined ? at : order[at]!;
      const what = d[i]!;
      this.#journal.append(ts[i]!, value[i]!, a[i]!, b[i]!, c[i]!, what, false);
      if (what >= 0)
        this.#switch(
          a[i] as TrackId,
          ts[i]!,
          b[i] as TrackId,
          what as StringId,
          c[i] as TrackId,
          value[i]!,
        );
      else if (what === WAKING) this.#waking(this.#thread(a[i] as TrackId), ts[i]!, b[i]!);
      else if (what === THREAD_EXIT) this.#exit(a[i] as TrackId, ts[i]!);
      else this.#exited.delete(a[i] as TrackId);
    }
  }

  #switch(
    cpuTrack: TrackId,
    ts: number,
    previous: TrackId,
    state: StringId,
    next: TrackId,
    priority: number,
  ): void {
    this.#host.span(ts, ts);
    const cpu = this.#cpu(cpuTrack);
    if (cpu.running !== NO_TRACK) {
      const chunk = cpu.row.last;
      closeLast(chunk, ts);
      if (cpu.running === previous) chunk.endState[chunk.length - 1] = state;
      else {
        const lost = this.#thread(cpu.running);
        if (lost.cpu === cpu) this.#leave(lost, ts);
      }
      cpu.running = NO_TRACK;
    }
    if (previous !== NO_TRACK) {
      const thread = this.#thread(previous);
      this.#leave(thread, ts);
      if (!this.#exited.has(previous) && state !== EMPTY_STRING)
        this.#enter(thread, ts, state === this.#runnable ? this.#preempted : state, undefined, -1);
    }
    if (next !== NO_TRACK) {
      const thread = this.#thread(next);
      this.#leave(thread, ts);
      this.#exited.delete(next);
      this.#enter(thread, ts, this.#running, cpu, -1);
      cpu.running = next;
      const chunk = cpu.row.room();
      const i = chunk.length++;
      chunk.ts[i] = ts;
      setDuration(chunk, i, NaN);
      chunk.key[i] = next;
      chunk.endState[i] = EMPTY_STRING;
      chunk.priority[i] = priority;
    }
  }

  /** Already runnable or running: the wake-up changes nothing. */
  #waking(thread: Thread, ts: number, waker: number): void {
    const { state } = thread;
    if (state === this.#running || state === this.#runnable || state === this.#preempted) return;
    this.#host.span(ts, ts);
    this.#leave(thread, ts);
    this.#enter(thread, ts, this.#runnable, undefined, waker);
  }

  /** A thread exits while it runs, and is switched out a little later: until then it is Running. */
  #exit(track: TrackId, ts: number): void {
    this.#exited.add(track);
    const thread = this.#threads[track];
    if (thread !== undefined && thread.state !== this.#running) this.#leave(thread, ts);
  }

  #leave(thread: Thread, ts: number): void {
    if (thread.state === EMPTY_STRING) return;
    closeLast(thread.row.last, ts);
    thread.state = EMPTY_STRING;
    thread.cpu = undefined;
  }

  #enter(thread: Thread, ts: number, state: StringId, cpu: Cpu | undefined, waker: number): void {
    thread.state = state;
    thread.cpu = cpu;
    const chunk = thread.row.room();
    const i = chunk.length++;
    chunk.ts[i] = ts;
    setDuration(chunk, i, NaN);
    chunk.key[i] = state;
    chunk.cpu[i] = cpu === undefined ? -1 : cpu.number;
    chunk.waker[i] = waker;
  }

  #cpu(track: TrackId): Cpu {
    const known = this.#cpus[track];
    if (known !== undefined) return known;
    const row = this.#host.schedRow(track);
    const cpu: Cpu = { row, number: this.#host.cpuNumber(track), running: NO_TRACK };
    this.#cpus[track] = cpu;
    return cpu;
  }

  #thread(track: TrackId): Thread {
    const known = this.#threads[track];
    if (known !== undefined) return known;
    const row = this.#host.stateRow(track);
    const thread: Thread = { row, state: EMPTY_STRING, cpu: undefined };
    this.#threads[track] = thread;
    return thread;
  }
}

function closeLast(chunk: OpenChunk<"sched"> | OpenChunk<"thread_state">, ts: number): void {
  const i = chunk.length - 1;
  setDuration(chunk, i, ts - chunk.ts[i]!);
}
