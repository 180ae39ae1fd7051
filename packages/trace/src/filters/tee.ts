/**
 * One stream of calls into several sinks: record to a file and watch it live.
 *
 *     source ─► tee ─┬─► writer          the tee's ids ─► ids[0][…] of the first sink
 *                    └─► TraceBuilder                 └─► ids[1][…] of the second
 */
import {
  type ArgSetId,
  type ArgsBuilder,
  type EventTypeId,
  type FrameId,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  RECENT_ARG_SETS,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "../model/sink.ts";
import { Frames, Stacks } from "../model/stacks.ts";
import { StringTable } from "../model/strings.ts";

/** One sink, and its ids by those the tee gave. */
interface Branch {
  readonly sink: TraceSink;
  readonly strings: StringId[];
  readonly tracks: TrackId[];
  readonly types: EventTypeId[];
  readonly frames: FrameId[];
  readonly stacks: StackId[];
  /** The newest sets, by id modulo RECENT_ARG_SETS. */
  readonly args: ArgSetId[];
}

/** Every call goes to every sink, in the order given. An error of one sink stops the call there. */
export function tee(...sinks: readonly TraceSink[]): TraceSink {
  const branches = sinks.map(
    (sink): Branch => ({
      sink,
      strings: [sink.string("")],
      tracks: [],
      types: [],
      frames: [],
      stacks: [],
      args: [],
    }),
  );
  const strings = new StringTable();
  const frames = new Frames();
  const stacks = new Stacks();
  let tracks = 0;
  let types = 0;
  const trackOf = (branch: Branch, track: TrackId) =>
    track === NO_TRACK ? NO_TRACK : branch.tracks[track]!;
  const sets = new TeeArgs(branches);
  const argsOf = (branch: Branch, args: ArgSetId) =>
    args === NO_ARGS ? NO_ARGS : branch.args[sets.place(args)]!;

  return {
    args: sets,
    clock(clock) {
      for (const { sink } of branches) sink.clock(clock);
    },
    clockSnapshot(readings) {
      for (const { sink } of branches) sink.clockSnapshot(readings);
    },
    metadata(key, value) {
      for (const { sink } of branches) sink.metadata(key, value);
    },
    string(text) {
      const before = strings.length;
      const id = strings.intern(text);
      if (id === before)
        for (const branch of branches) branch.strings.push(branch.sink.string(text));
      return id;
    },
    track(info) {
      for (const branch of branches)
        branch.tracks.push(branch.sink.track(reparented(info, branch)));
      return tracks++ as TrackId;
    },
    eventType(info) {
      for (const branch of branches) branch.types.push(branch.sink.eventType(info));
      return types++ as EventTypeId;
    },
    frame(info) {
      const before = frames.list.length;
      const id = frames.intern(info);
      if (id === before) for (const branch of branches) branch.frames.push(branch.sink.frame(info));
      return id;
    },
    stack(parent, frame) {
      const before = stacks.length;
      const id = stacks.intern(parent, frame);
      if (id === before)
        for (const branch of branches) {
          const around = parent === NO_STACK ? NO_STACK : branch.stacks[parent]!;
          branch.stacks.push(branch.sink.stack(around, branch.frames[frame]!));
        }
      return id;
    },
    begin(track, ts, name, category, args) {
      for (const b of branches)
        b.sink.begin(b.tracks[track]!, ts, b.strings[name]!, b.strings[category]!, argsOf(b, args));
    },
    end(track, ts, args) {
      for (const b of branches) b.sink.end(b.tracks[track]!, ts, argsOf(b, args));
    },
    slice(track, ts, dur, name, category, args) {
      for (const b of branches) {
        const set = argsOf(b, args);
        b.sink.slice(b.tracks[track]!, ts, dur, b.strings[name]!, b.strings[category]!, set);
      }
    },
    instant(track, ts, name, category, args) {
      for (const b of branches) {
        const set = argsOf(b, args);
        b.sink.instant(b.tracks[track]!, ts, b.strings[name]!, b.strings[category]!, set);
      }
    },
    typed(type, track, ts, args) {
      for (const b of branches) b.sink.typed(b.types[type]!, b.tracks[track]!, ts, argsOf(b, args));
    },
    counter(track, ts, value) {
      for (const b of branches) b.sink.counter(b.tracks[track]!, ts, value);
    },
    sample(thread, ts, stack, weight, cpu) {
      for (const b of branches) {
        const node = stack === NO_STACK ? NO_STACK : b.stacks[stack]!;
        b.sink.sample(b.tracks[thread]!, ts, node, weight, cpu);
      }
    },
    switch(cpu, ts, previous, state, next, priority) {
      for (const b of branches) {
        const [from, to] = [trackOf(b, previous), trackOf(b, next)];
        b.sink.switch(b.tracks[cpu]!, ts, from, b.strings[state]!, to, priority);
      }
    },
    waking(thread, ts, waker, targetCpu) {
      for (const b of branches) b.sink.waking(b.tracks[thread]!, ts, trackOf(b, waker), targetCpu);
    },
    life(thread, ts, what, detail) {
      for (const b of branches) b.sink.life(b.tracks[thread]!, ts, what, b.strings[detail]!);
    },
    flow(id, track, ts, step, bind) {
      for (const b of branches) b.sink.flow(id, b.tracks[track]!, ts, step, bind);
    },
    log(track, ts, level, message) {
      for (const b of branches) b.sink.log(b.tracks[track]!, ts, level, b.strings[message]!);
    },
    problem(problem) {
      for (const { sink } of branches) sink.problem(problem);
    },
    watermark(ts) {
      for (const { sink } of branches) sink.watermark(ts);
    },
    close() {
      for (const { sink } of branches) sink.close();
    },
  };
}

function reparented(info: TrackInfo, branch: Branch): TrackInfo {
  return info.parent === undefined ? info : { ...info, parent: branch.tracks[info.parent]! };
}

class TeeArgs implements ArgsBuilder {
  readonly #branches: readonly Branch[];
  #sets = 0;
  #empty = true;

  constructor(branches: readonly Branch[]) {
    this.#branches = branches;
  }

  /** Where branches hold a set. @throws RangeError for one that was forgotten or never built */
  place(args: ArgSetId): number {
    if (args >= this.#sets || args < this.#sets - RECENT_ARG_SETS)
      throw new RangeError(`argument set ${args} is not kept; ${this.#sets} were built`);
    return args % RECENT_ARG_SETS;
  }

  int(key: StringId, value: number | bigint): void {
    this.#empty = false;
    for (const { sink, strings } of this.#branches) sink.args.int(strings[key]!, value);
  }
  real(key: StringId, value: number): void {
    this.#empty = false;
    for (const { sink, strings } of this.#branches) sink.args.real(strings[key]!, value);
  }
  text(key: StringId, value: StringId): void {
    this.#empty = false;
    for (const { sink, strings } of this.#branches) sink.args.text(strings[key]!, strings[value]!);
  }
  bool(key: StringId, value: boolean): void {
    this.#empty = false;
    for (const { sink, strings } of this.#branches) sink.args.bool(strings[key]!, value);
  }
  bytes(key: StringId, value: Uint8Array): void {
    this.#empty = false;
    for (const { sink, strings } of this.#branches) sink.args.bytes(strings[key]!, value);
  }
  open(key: StringId, kind: "object" | "array"): void {
    this.#empty = false;
    for (const { sink, strings } of this.#branches) sink.args.open(strings[key]!, kind);
  }
  close(): void {
    for (const { sink } of this.#branches) sink.args.close();
  }
  done(): ArgSetId {
    const ids = this.#branches.map(({ sink }) => sink.args.done());
    if (this.#empty) return NO_ARGS;
    this.#empty = true;
    // Sinks that share equal sets answer with ids they gave before: then so do we.
    const last = this.#sets - 1;
    const isSame = ({ args }: Branch, i: number) => args[last % RECENT_ARG_SETS] === ids[i];
    if (last >= 0 && this.#branches.every(isSame)) return last as ArgSetId;
    for (const [i, { args }] of this.#branches.entries())
      args[this.#sets % RECENT_ARG_SETS] = ids[i]!;
    return this.#sets++ as ArgSetId;
  }
}
