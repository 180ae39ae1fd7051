/**
 * A sink that can be shut: while it is, events are counted and left out, but everything that later events build on
 * still passes: declarations, the lives of threads, problems, watermarks, and the end of each slice that has begun.
 */
import { forward } from "../filters/forward.ts";
import { type ArgsBuilder, NO_ARGS, type Ns, type TraceSink, type TrackId } from "../model/sink.ts";

/** Events that were left out, and when they happened. */
export interface LeftOut {
  readonly count: number;
  readonly from: Ns;
  readonly to: Ns;
}

export class Gate {
  readonly sink: TraceSink;
  #shut = false;
  #count = 0;
  #from = Infinity;
  #to = -Infinity;
  /** By track: the open `begin` calls, outermost first; true when it was left out. */
  readonly #begun: boolean[][] = [];

  constructor(sink: TraceSink) {
    this.sink = this.#gated(sink);
  }

  get isShut(): boolean {
    return this.#shut;
  }
  /** Between events, never between the arguments of one. */
  shut(): void {
    this.#shut = true;
  }
  open(): void {
    this.#shut = false;
  }

  /** What was left out since the last call; undefined when nothing was. */
  takeLeftOut(): LeftOut | undefined {
    if (this.#count === 0) return undefined;
    const leftOut = { count: this.#count, from: this.#from as Ns, to: this.#to as Ns };
    this.#count = 0;
    this.#from = Infinity;
    this.#to = -Infinity;
    return leftOut;
  }

  /** @returns true when the event at `ts` is to be left out, which is counted */
  #leavesOut(ts: number): boolean {
    if (!this.#shut) return false;
    this.#count++;
    if (ts < this.#from) this.#from = ts;
    if (ts > this.#to) this.#to = ts;
    return true;
  }

  #gated(sink: TraceSink): TraceSink {
    const begunOn = (track: TrackId): boolean[] => {
      this.#begun[track] ??= [];
      return this.#begun[track];
    };
    return {
      ...forward(sink),
      args: this.#gatedArgs(sink.args),
      begin: (track, ts, name, category, args) => {
        const leftOut = this.#leavesOut(ts);
        begunOn(track).push(leftOut);
        if (!leftOut) sink.begin(track, ts, name, category, args);
      },
      end: (track, ts, args) => {
        if (!begunOn(track).pop()) sink.end(track, ts, args);
      },
      slice: (track, ts, dur, name, category, args) => {
        if (!this.#leavesOut(ts)) sink.slice(track, ts, dur, name, category, args);
      },
      instant: (track, ts, name, category, args) => {
        if (!this.#leavesOut(ts)) sink.instant(track, ts, name, category, args);
      },
      typed: (type, track, ts, args) => {
        if (!this.#leavesOut(ts)) sink.typed(type, track, ts, args);
      },
      counter: (track, ts, value) => {
        if (!this.#leavesOut(ts)) sink.counter(track, ts, value);
      },
      sample: (thread, ts, stack, weight, cpu) => {
        if (!this.#leavesOut(ts)) sink.sample(thread, ts, stack, weight, cpu);
      },
      switch: (cpu, ts, previous, state, next, priority) => {
        if (!this.#leavesOut(ts)) sink.switch(cpu, ts, previous, state, next, priority);
      },
      waking: (thread, ts, waker, targetCpu) => {
        if (!this.#leavesOut(ts)) sink.waking(thread, ts, waker, targetCpu);
      },
      // A step bound to an event that was left out would be bound to a wrong one.
      flow: (id, track, ts, step, bind) => {
        if (!this.#shut) sink.flow(id, track, ts, step, bind);
      },
      log: (track, ts, level, message) => {
        if (!this.#leavesOut(ts)) sink.log(track, ts, level, message);
      },
    };
  }

  #gatedArgs(args: ArgsBuilder): ArgsBuilder {
    return {
      int: (key, value) => {
        if (!this.#shut) args.int(key, value);
      },
      real: (key, value) => {
        if (!this.#shut) args.real(key, value);
      },
      text: (key, value) => {
        if (!this.#shut) args.text(key, value);
      },
      bool: (key, value) => {
        if (!this.#shut) args.bool(key, value);
      },
      bytes: (key, value) => {
        if (!this.#shut) args.bytes(key, value);
      },
      open: (key, kind) => {
        if (!this.#shut) args.open(key, kind);
      },
      close: () => {
        if (!this.#shut) args.close();
      },
      done: () => (this.#shut ? NO_ARGS : args.done()),
    };
  }
}
