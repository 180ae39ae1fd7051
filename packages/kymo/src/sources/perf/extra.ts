/**
 * Other sources that record beside perf in one capture: their rings are drained in the same rounds and merged by time, so
 * that tasks have their names and addresses their mappings when an event of theirs is decoded.
 */
import type { FrameInfo, Ns, TraceSink, TrackId } from "@kymo/trace";
import type { Libc } from "../../linux/libc.ts";
import type { RecordSource } from "../../linux/perf-ring.ts";
import type { MergeInput, TimeMerger } from "./merge.ts";
import type { FrameSource } from "./stacks.ts";
import type { Tasks } from "./tasks.ts";

/** What a running capture lends to another source. */
export interface CaptureContext {
  readonly libc: Libc;
  readonly sink: TraceSink;
  /** CLOCK_MONOTONIC at Ns 0. */
  readonly originNs: bigint;
  readonly host: TrackId;
  /** The track of each CPU. */
  readonly cpus: ReadonlyMap<number, TrackId>;
  readonly tasks: Tasks;
  readonly symbols: FrameSource & {
    prepare(): void;
    /** The function that was at `ip` of the program before the last exec. */
    frameBefore?(pid: number, ip: bigint): FrameInfo | undefined;
    /** What a process has, or had, in memory that only its file says. */
    literal(pid: number, address: bigint, most: number): Uint8Array | undefined;
  };
}

/** A ring as the capture sees it between rounds. */
export interface ExtraRing extends RecordSource {
  readonly dataBytes: number;
  readonly fill: number;
  readonly writtenBytes: number;
  /** The next record is still being written: older ones may be behind it. */
  readonly blocked: boolean;
}

export interface ExtraInput extends MergeInput {
  readonly source: ExtraRing;
  /** Records handled so far. */
  readonly events: number;
  /** Records lost so far. */
  readonly lost: number;
  /** After each round of draining. */
  round(ts: Ns): void;
  /** After the last one: nothing is written any more. */
  finish(ts: Ns): void;
  /** Gives the ring back. */
  close(): void;
}

export interface ExtraInputs {
  add<Input extends ExtraInput>(make: (context: CaptureContext) => Input): Input;
  /** Nothing is written to its ring any more: once it is drained, the input is finished and given back. */
  retire(input: ExtraInput): Promise<void>;
  /** Gives it back as it is, without its end. */
  discard(input: ExtraInput): void;
}

/** A program that was running while it was detached may write so much later. */
const straggleNs = 20_000_000;

interface Retiring {
  readonly input: ExtraInput;
  /** Of the first round since. */
  sinceNs: number | undefined;
  readonly done: () => void;
}

export class ExtraInputList implements ExtraInputs {
  readonly #context: CaptureContext;
  readonly #merger: TimeMerger;
  #inputs: ExtraInput[] = [];
  #retiring: Retiring[] = [];
  /** Of inputs that are gone. */
  readonly #gone = { events: 0, lost: 0 };
  #closed = false;

  constructor(context: CaptureContext, merger: TimeMerger) {
    this.#context = context;
    this.#merger = merger;
  }

  add<Input extends ExtraInput>(make: (context: CaptureContext) => Input): Input {
    const input = make(this.#context);
    this.#inputs.push(input);
    this.#merger.add(input);
    return input;
  }

  retire(input: ExtraInput): Promise<void> {
    return new Promise((done) => {
      if (this.#closed || !this.#inputs.includes(input)) done();
      else this.#retiring.push({ input, sinceNs: undefined, done });
    });
  }

  discard(input: ExtraInput): void {
    if (this.#closed || !this.#inputs.includes(input)) return;
    this.#inputs = this.#inputs.filter((other) => other !== input);
    this.#gone.events += input.events;
    this.#gone.lost += input.lost;
    this.#merger.remove(input);
    input.close();
  }

  get rings(): readonly ExtraRing[] {
    return this.#inputs.map(({ source }) => source);
  }
  get events(): number {
    return this.#inputs.reduce((sum, { events }) => sum + events, this.#gone.events);
  }
  get lost(): number {
    return this.#inputs.reduce((sum, { lost }) => sum + lost, this.#gone.lost);
  }
  get blocked(): boolean {
    return this.#inputs.some(({ source }) => source.blocked);
  }

  round(ts: Ns): void {
    for (const input of this.#inputs) input.round(ts);
    if (this.#retiring.length === 0) return;
    const [drained, rest]: [Retiring[], Retiring[]] = [[], []];
    for (const one of this.#retiring) (this.#isDrained(one, ts) ? drained : rest).push(one);
    this.#retiring = rest;
    for (const { input, done } of drained) {
      input.finish(ts);
      this.discard(input);
      done();
    }
  }

  #isDrained(retiring: Retiring, ts: Ns): boolean {
    retiring.sinceNs ??= ts;
    const { source } = retiring.input;
    return ts - retiring.sinceNs >= straggleNs && source.fill === 0;
  }

  finish(ts: Ns): void {
    for (const input of this.#inputs) input.finish(ts);
  }
  /** Gives all rings back; what was counted stays. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const input of this.#inputs) {
      this.#merger.remove(input);
      input.close();
    }
    for (const { done } of this.#retiring.splice(0)) done();
  }
}
