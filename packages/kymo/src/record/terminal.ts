/**
 * A sink that prints: one line for each event of a probe, when no trace is written.
 *
 *     14:02:11.123456  cat/4711          slow read  5.2 ms  bytes=4096 file=/etc/passwd
 */
import {
  type ArgSetId,
  type ArgsBuilder,
  type FrameId,
  type FrameInfo,
  forward,
  type Problem,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "@kymo/trace";
import { printable } from "../cli/printable.ts";

const whoWidth = 22;

/** Only declarations go on: what names tasks must be known, its events are not to be printed. */
export function declarationsOnly(sink: TraceSink): TraceSink {
  return {
    ...forward(sink),
    begin() {},
    end() {},
    slice() {},
    instant() {},
    typed() {},
    counter() {},
    sample() {},
    switch() {},
    waking() {},
    flow() {},
    log() {},
  };
}

export class TerminalSink implements TraceSink {
  readonly #write: (line: string) => void;
  readonly #onProblem: (problem: Problem) => void;
  readonly #strings: string[] = [""];
  readonly #stringIds = new Map<string, StringId>([["", 0 as StringId]]);
  readonly #tracks: { info: TrackInfo; readonly open: { name: string; ts: number }[] }[] = [];
  readonly #types: string[] = [];
  readonly #frames: string[] = [];
  readonly #stacks: { readonly parent: StackId; readonly frame: FrameId }[] = [];
  /** Argument sets are used by the next call: only the last ones are kept. */
  readonly #sets: string[] = [];
  #set: string[] = [];
  /** Objects and arrays that are being built. */
  readonly #nested: { key: StringId; outer: string[]; isArray: boolean }[] = [];
  /** What to add to Ns for ms of wall-clock time. */
  #wallMs = 0;
  #originNs = 0n;

  /** `write` gets each line without its newline. */
  constructor(write: (line: string) => void, onProblem: (problem: Problem) => void) {
    this.#write = write;
    this.#onProblem = onProblem;
  }

  readonly args: ArgsBuilder = {
    int: (key, value) => this.#arg(key, String(value)),
    real: (key, value) => this.#arg(key, String(value)),
    text: (key, value) => this.#arg(key, quoted(this.#strings[value]!)),
    bool: (key, value) => this.#arg(key, String(value)),
    bytes: (key, value) => this.#arg(key, Buffer.from(value).toString("hex")),
    open: (key, kind) => {
      this.#nested.push({ key, outer: this.#set, isArray: kind === "array" });
      this.#set = [];
    },
    close: () => {
      const { key, outer, isArray } = this.#nested.pop()!;
      const inner = this.#set.join(", ");
      this.#set = outer;
      this.#arg(key, isArray ? `[${inner}]` : `{${inner}}`);
    },
    done: () => {
      const id = (this.#sets.length % 64) as ArgSetId;
      this.#sets[id] = this.#set.join(" ");
      this.#set = [];
      return id;
    },
  };

  #arg(key: StringId, value: string): void {
    const inArray = this.#nested.at(-1)?.isArray === true;
    this.#set.push(inArray || key === 0 ? value : `${this.#strings[key]}=${value}`);
  }

  clock: TraceSink["clock"] = ({ originNs }) => {
    this.#originNs = originNs;
  };
  clockSnapshot: TraceSink["clockSnapshot"] = (readings) => {
    const reading = new Map(readings);
    const [monotonic, realtime] = [reading.get("monotonic"), reading.get("realtime")];
    if (monotonic !== undefined && realtime !== undefined)
      this.#wallMs = Number(realtime - monotonic + this.#originNs) / 1e6;
  };
  metadata(): void {}
  string(text: string): StringId {
    let id = this.#stringIds.get(text);
    if (id === undefined) {
      id = (this.#strings.push(text) - 1) as StringId;
      this.#stringIds.set(text, id);
    }
    return id;
  }
  track(info: TrackInfo): TrackId {
    return (this.#tracks.push({ info, open: [] }) - 1) as TrackId;
  }
  eventType: TraceSink["eventType"] = ({ name }) =>
    (this.#types.push(name) - 1) as ReturnType<TraceSink["eventType"]>;
  frame({ name }: FrameInfo): FrameId {
    return (this.#frames.push(name) - 1) as FrameId;
  }
  stack(parent: StackId, frame: FrameId): StackId {
    return (this.#stacks.push({ parent, frame }) - 1) as StackId;
  }

  begin: TraceSink["begin"] = (track, ts, name) =>
    void this.#tracks[track]!.open.push({ name: this.#strings[name]!, ts });
  end: TraceSink["end"] = (track, ts, args) => {
    const begun = this.#tracks[track]!.open.pop();
    if (begun !== undefined)
      this.#line(begun.ts, track, begun.name, durationText(ts - begun.ts), args);
  };
  slice: TraceSink["slice"] = (track, ts, dur, name, _, args) =>
    this.#line(ts, track, this.#strings[name]!, durationText(dur), args);
  instant: TraceSink["instant"] = (track, ts, name, _, args) =>
    this.#line(ts, track, this.#strings[name]!, "", args);
  typed: TraceSink["typed"] = (type, track, ts, args) =>
    this.#line(ts, track, this.#types[type]!, "", args);
  counter: TraceSink["counter"] = (track, ts, value) => {
    const { name, parent, unit } = this.#tracks[track]!.info;
    this.#line(ts, parent ?? track, name, `${value}${unit === undefined ? "" : ` ${unit}`}`);
  };
  sample: TraceSink["sample"] = (thread, ts, stack, _, cpu) => {
    this.#line(ts, thread, "sample", cpu < 0 ? "" : `cpu ${cpu}`);
    // Outermost last, as the innermost is what is looked for.
    for (let id = stack; id >= 0; id = this.#stacks[id]!.parent)
      this.#write(`    ${printable(this.#frames[this.#stacks[id]!.frame]!)}`);
  };
  switch: TraceSink["switch"] = (cpu, ts, previous, state, next) =>
    this.#line(ts, cpu, `${this.#who(previous)} (${this.#strings[state]}) → ${this.#who(next)}`);
  waking: TraceSink["waking"] = (thread, ts, waker, targetCpu) =>
    this.#line(ts, thread, `woken by ${this.#who(waker)}`, `for cpu ${targetCpu}`);
  life: TraceSink["life"] = (track, _, what, detail) => {
    if (what !== "rename") return;
    const of = this.#tracks[track]!;
    of.info = { ...of.info, name: this.#strings[detail]! };
  };
  flow(): void {}
  log(): void {}

  problem(problem: Problem): void {
    this.#onProblem(problem);
  }
  watermark(): void {}
  close(): void {
    for (const [track, { open }] of this.#tracks.entries())
      for (const { name, ts } of open) this.#line(ts, track as TrackId, name, "(did not end)");
  }

  #line(
    ts: number,
    track: TrackId,
    name: string,
    value = "",
    args: ArgSetId = -1 as ArgSetId,
  ): void {
    const words = [
      this.#time(ts),
      printable(this.#who(track)).padEnd(whoWidth),
      printable(name),
      value,
      args < 0 ? "" : printable(this.#sets[args]!),
    ];
    this.#write(words.filter((word) => word !== "").join("  "));
  }

  #who(track: TrackId): string {
    if (track < 0) return "idle";
    const { kind, name, tid, pid, parent } = this.#tracks[track]!.info;
    if (kind === "thread") return `${name}/${tid}`;
    if (kind === "process") return `${name}/${pid}`;
    const of = parent === undefined ? undefined : this.#tracks[parent]!.info;
    return of === undefined || of.kind === "host" ? name : `${this.#who(parent!)} ${name}`;
  }

  /** Local time of day, to the microsecond. */
  #time(ts: number): string {
    const ms = this.#wallMs + ts / 1e6;
    const date = new Date(ms);
    const two = (value: number) => String(value).padStart(2, "0");
    const us = Math.floor((ms - Math.floor(ms / 1000) * 1000) * 1000);
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(us).padStart(6, "0")}`;
  }
}

function quoted(text: string): string {
  return text === "" || /[\s"=]/.test(text) ? JSON.stringify(text) : text;
}

function durationText(ns: number): string {
  if (Number.isNaN(ns)) return "(open)";
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(3)} s`;
  if (ns >= 1e6) return `${(ns / 1e6).toFixed(3)} ms`;
  if (ns >= 1e3) return `${(ns / 1e3).toFixed(1)} µs`;
  return `${ns} ns`;
}
