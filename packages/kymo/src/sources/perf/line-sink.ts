/** A sink for tests that writes each call as a line: what decoding did, readable in a diff. */
import type {
  ArgSetId,
  ArgsBuilder,
  FrameId,
  FrameInfo,
  Problem,
  StackId,
  StringId,
  TraceSink,
  TrackId,
  TrackInfo,
} from "@kymo/trace";

export class LineSink implements TraceSink {
  readonly lines: string[] = [];
  readonly tracks: TrackInfo[] = [];
  readonly #strings: string[] = [""];
  readonly #frames: FrameInfo[] = [];
  readonly #stacks: string[] = [];
  readonly #sets: string[] = [];
  readonly #types: string[] = [];
  #set: string[] = [];

  readonly args: ArgsBuilder = {
    int: (key, value) => void this.#set.push(`${this.#text(key)}=${value}`),
    real: (key, value) => void this.#set.push(`${this.#text(key)}=${value}`),
    text: (key, value) => void this.#set.push(`${this.#text(key)}=${this.#text(value)}`),
    bool: (key, value) => void this.#set.push(`${this.#text(key)}=${value}`),
    bytes: (key, value) => void this.#set.push(`${this.#text(key)}=${value.byteLength} bytes`),
    open: (key) => void this.#set.push(`${this.#text(key)}=[`),
    close: () => void this.#set.push("]"),
    done: () => {
      const id = this.#sets.push(`{${this.#set.join(",")}}`) - 1;
      this.#set = [];
      return id as ArgSetId;
    },
  };

  clock: TraceSink["clock"] = () => {};
  clockSnapshot: TraceSink["clockSnapshot"] = () => {};
  metadata: TraceSink["metadata"] = () => {};
  eventType: TraceSink["eventType"] = ({ name }) =>
    (this.#types.push(name) - 1) as ReturnType<TraceSink["eventType"]>;
  watermark: TraceSink["watermark"] = () => {};
  close: TraceSink["close"] = () => {};

  string(text: string): StringId {
    const known = this.#strings.indexOf(text);
    return (known >= 0 ? known : this.#strings.push(text) - 1) as StringId;
  }
  track(info: TrackInfo): TrackId {
    return (this.tracks.push(info) - 1) as TrackId;
  }
  frame(info: FrameInfo): FrameId {
    return (this.#frames.push(info) - 1) as FrameId;
  }
  stack(parent: StackId, frame: FrameId): StackId {
    const name = this.#frames[frame]!.name;
    return (this.#stacks.push(parent < 0 ? name : `${this.#stacks[parent]};${name}`) -
      1) as StackId;
  }

  begin: TraceSink["begin"] = (track, ts, name, _, args) =>
    this.#line(`${ts} begin ${this.#track(track)}: ${this.#text(name)}${this.#args(args)}`);
  end: TraceSink["end"] = (track, ts, args) =>
    this.#line(`${ts} end ${this.#track(track)}${this.#args(args)}`);
  slice: TraceSink["slice"] = (track, ts, dur, name, _, args) =>
    this.#line(`${ts} slice ${this.#track(track)}: ${this.#text(name)} ${dur}${this.#args(args)}`);
  instant: TraceSink["instant"] = (track, ts, name, _, args) =>
    this.#line(`${ts} instant ${this.#track(track)}: ${this.#text(name)}${this.#args(args)}`);
  counter: TraceSink["counter"] = (track, ts, value) =>
    this.#line(`${ts} counter ${this.#track(track)} ${value}`);
  sample: TraceSink["sample"] = (thread, ts, stack, weight, cpu) =>
    this.#line(
      `${ts} sample ${this.#track(thread)} ${this.#stacks[stack] ?? "-"} ${weight} cpu ${cpu}`,
    );
  switch: TraceSink["switch"] = (cpu, ts, previous, state, next) =>
    this.#line(
      `${ts} switch ${this.#track(cpu)}: ${this.#track(previous)} ${this.#text(state)} -> ${this.#track(next)}`,
    );
  waking: TraceSink["waking"] = (thread, ts, waker, cpu) =>
    this.#line(`${ts} waking ${this.#track(thread)} by ${this.#track(waker)} on ${cpu}`);
  typed: TraceSink["typed"] = (type, track, ts, args) =>
    this.#line(`${ts} ${this.#types[type]} ${this.#track(track)}${this.#args(args)}`);
  log: TraceSink["log"] = (track, ts, level, message) =>
    this.#line(`${ts} log ${this.#track(track)} ${level}: ${this.#text(message)}`);
  life: TraceSink["life"] = (thread, ts, what, detail) =>
    this.#line(`${ts} life ${this.#track(thread)} ${what} ${this.#text(detail)}`);
  flow: TraceSink["flow"] = (id, track, ts, step, bind) =>
    this.#line(`${ts} flow ${id} ${step} ${bind} on ${this.#track(track)}`);
  problem({ kind, message, cpu, count, from, to }: Problem): void {
    this.#line(`problem ${kind} cpu ${cpu} count ${count} from ${from} to ${to}: ${message}`);
  }

  #line(text: string): void {
    this.lines.push(text);
  }
  #text(id: StringId): string {
    return this.#strings[id]!;
  }
  #track(id: TrackId): string {
    return id < 0 ? "-" : this.tracks[id]!.name;
  }
  #args(id: ArgSetId): string {
    return id < 0 ? "" : ` ${this.#sets[id]}`;
  }
}
