/** Tracks by uuid: what their descriptors said, and the sink's track once it is needed. */
import type { TrackId, TrackInfo } from "../../model/sink.ts";
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import type { ReaderContext } from "./context.ts";
import { applyExtras } from "./kymo.ts";
import type { Machine } from "./machine.ts";
import {
  COUNTER_UNITS,
  CounterDescriptor,
  ProcessDescriptor,
  ThreadDescriptor,
  TrackDescriptor,
} from "./records.ts";
import type { Sequence } from "./sequence.ts";

/** Events kept for tracks whose descriptor has not come yet. */
const MAX_WAITING = 1 << 16;
const MAX_TRACKS = 1 << 22;
const MAX_PARENTS = 64;

interface Descriptor {
  readonly info: TrackInfo;
  readonly parent: bigint | undefined;
  readonly machine: Machine;
  readonly isKymo: boolean;
}

export class TrackEntry {
  readonly uuid: bigint;
  descriptor: Descriptor | undefined;
  track: TrackId | undefined;
  /** Counters: values are multiplied, and added up when they are increments. */
  multiplier = 1;
  isIncremental = false;
  value = 0;
  /** What was recorded before the descriptor came. */
  waiting: ((track: TrackId) => void)[] | undefined;

  constructor(uuid: bigint) {
    this.uuid = uuid;
  }
}

export class TrackTable {
  private readonly context: ReaderContext;
  private readonly entries = new Map<bigint, TrackEntry>();
  private last: TrackEntry | undefined;
  private overflow: TrackEntry | undefined;
  private lastHigh = -1;
  private lastLow = -1;
  private waiting = 0;
  /** Of the file's end: nothing more is waited for. */
  private ended = false;

  constructor(context: ReaderContext) {
    this.context = context;
  }

  /** The entry of a uuid, given as halves. */
  entry(high: number, low: number): TrackEntry {
    if (high === this.lastHigh && low === this.lastLow) return this.last!;
    const entry = this.of((BigInt(high) << 32n) | BigInt(low));
    this.last = entry;
    this.lastHigh = high;
    this.lastLow = low;
    return entry;
  }

  of(uuid: bigint): TrackEntry {
    let entry = this.entries.get(uuid);
    if (entry === undefined) {
      if (this.entries.size >= MAX_TRACKS) {
        this.context.count("malformed", "tracks beyond the first 4 million are one");
        this.overflow ??= new TrackEntry(uuid);
        return this.overflow;
      }
      entry = new TrackEntry(uuid);
      this.entries.set(uuid, entry);
    }
    return entry;
  }

  /** Calls `record` with the track, now or when its descriptor has come. */
  use(entry: TrackEntry, record: (track: TrackId) => void): void {
    const track = entry.track ?? this.declare(entry, 0);
    if (track !== undefined) {
      record(track);
      return;
    }
    if (this.waiting >= MAX_WAITING || this.ended) {
      record(this.without(entry));
      return;
    }
    this.waiting++;
    entry.waiting ??= [];
    entry.waiting.push(record);
  }

  /** The sink's track, whether its descriptor has come or not. */
  now(entry: TrackEntry): TrackId {
    return entry.track ?? this.declare(entry, 0) ?? this.without(entry);
  }
  known(entry: TrackEntry): TrackId | undefined {
    return entry.track ?? this.declare(entry, 0);
  }

  /** Takes a TrackDescriptor. @returns its entry, or undefined when it has no uuid */
  describe(message: ProtoReader, sequence: Sequence, machine: Machine): TrackEntry | undefined {
    let uuid: bigint | undefined;
    let parent: bigint | undefined;
    let name = "";
    let description = "";
    let rank: number | undefined;
    let process: TrackInfo | undefined;
    let thread: TrackInfo | undefined;
    let unit: string | undefined;
    let isCounter = false;
    let isIncremental = false;
    let multiplier = 1;
    const inner = new ProtoReader();
    while (message.next())
      switch (message.field) {
        case TrackDescriptor.uuid:
          uuid = message.unsigned();
          break;
        case TrackDescriptor.parentUuid:
          parent = message.unsigned();
          break;
        case TrackDescriptor.name:
        case TrackDescriptor.staticName:
        case TrackDescriptor.atraceName:
          name = message.text();
          break;
        case TrackDescriptor.description:
          description = message.text();
          break;
        case TrackDescriptor.siblingOrderRank:
          rank = message.int32();
          break;
        case TrackDescriptor.process:
          process = processInfo(inner.into(message));
          break;
        case TrackDescriptor.thread:
          thread = threadInfo(inner.into(message));
          break;
        case TrackDescriptor.counter: {
          isCounter = true;
          inner.into(message);
          while (inner.next())
            if (inner.field === CounterDescriptor.unit) unit = COUNTER_UNITS[inner.number()];
            else if (inner.field === CounterDescriptor.unitName) unit ??= inner.text();
            else if (inner.field === CounterDescriptor.unitMultiplier)
              multiplier = inner.signed() || 1;
            else if (inner.field === CounterDescriptor.isIncremental) isIncremental = inner.bool();
          break;
        }
      }
    if (uuid === undefined) {
      this.context.count("malformed", "track descriptors without a uuid");
      return undefined;
    }
    const entry = this.of(uuid);
    let info: TrackInfo;
    if (thread !== undefined) info = thread.name === "" ? { ...thread, name } : thread;
    else if (process !== undefined) info = process.name === "" ? { ...process, name } : process;
    else {
      info = { kind: isCounter ? "counter" : "custom", name };
      if (unit !== undefined) info = { ...info, unit };
      if (rank !== undefined) info = { ...info, sortIndex: rank };
    }
    entry.multiplier = multiplier;
    entry.isIncremental = isIncremental;
    this.take(entry, info, description, parent, sequence.isKymo, machine);
    return entry;
  }

  private take(
    entry: TrackEntry,
    standard: TrackInfo,
    description: string,
    parent: bigint | undefined,
    isKymo: boolean,
    machine: Machine,
  ): void {
    let info = standard;
    if (isKymo) {
      const parentPid = info.kind === "process" ? machine.parentPids.get(info.pid!) : undefined;
      if (parentPid !== undefined) info = { ...info, parentPid };
      info = applyExtras(info, description);
    }
    const known = entry.track;
    entry.descriptor = { info, parent: parent === 0n ? undefined : parent, machine, isKymo };
    if (isKymo) {
      const track = known ?? this.declare(entry, 0);
      if (track === undefined) return;
      // A descriptor also says whose a tid or CPU number is from here on.
      if (info.kind === "thread" && info.tid !== undefined && info.tid > 0)
        machine.setThread(info.tid, track, info.pid, info.name);
      else if (info.kind === "cpu" && info.cpu !== undefined) machine.setCpu(info.cpu, track);
    } else if (info.kind === "thread" || info.kind === "process") this.declare(entry, 0);
    else if (entry.waiting !== undefined) this.declare(entry, 0);
  }

  /** Declares a described track, after its parents. Undefined while it has no descriptor. */
  private declare(entry: TrackEntry, depth: number): TrackId | undefined {
    const { descriptor } = entry;
    if (descriptor === undefined) return undefined;
    const { info, machine, isKymo } = descriptor;
    let track: TrackId;
    if (!isKymo && info.kind === "process") {
      track = machine.process(info.pid ?? 0, info.name).track;
    } else if (!isKymo && info.kind === "thread") {
      const thread = machine.thread(info.tid ?? 0, Infinity, info.name, info.pid);
      machine.rename(thread, info.name);
      track = thread.track;
    } else if (entry.track !== undefined) return entry.track;
    else {
      let parent: TrackId | undefined;
      if (descriptor.parent !== undefined && depth < MAX_PARENTS) {
        const above = this.of(descriptor.parent);
        if (above !== entry) parent = above.track ?? this.declare(above, depth + 1);
      }
      track = this.context.sink.track(parent === undefined ? info : { ...info, parent });
    }
    entry.track = track;
    const { waiting } = entry;
    if (waiting !== undefined) {
      entry.waiting = undefined;
      this.waiting -= waiting.length;
      for (const record of waiting) record(track);
    }
    return track;
  }

  /** A track that was never described. */
  private without(entry: TrackEntry): TrackId {
    this.context.count("malformed", "tracks used without a descriptor");
    entry.track = this.context.sink.track({
      kind: "custom",
      name: entry.uuid === 0n ? "trace" : `track ${entry.uuid}`,
    });
    return entry.track;
  }

  /** Records what still waits. */
  end(): void {
    this.ended = true;
    for (const entry of this.entries.values()) {
      const { waiting } = entry;
      if (waiting === undefined) continue;
      entry.waiting = undefined;
      const track = this.now(entry);
      for (const record of waiting) record(track);
    }
  }
}

function processInfo(process: ProtoReader): TrackInfo {
  let pid = 0;
  let name = "";
  let command = "";
  let sortIndex: number | undefined;
  while (process.next())
    if (process.field === ProcessDescriptor.pid) pid = process.int32();
    else if (process.field === ProcessDescriptor.processName) name = process.text();
    else if (process.field === ProcessDescriptor.cmdline) command ||= process.text();
    else if (process.field === ProcessDescriptor.legacySortIndex) sortIndex = process.int32();
  const info: TrackInfo = { kind: "process", name: name || command, pid };
  return sortIndex === undefined ? info : { ...info, sortIndex };
}

function threadInfo(thread: ProtoReader): TrackInfo {
  let pid = 0;
  let tid = 0;
  let name = "";
  let sortIndex: number | undefined;
  while (thread.next())
    if (thread.field === ThreadDescriptor.pid) pid = thread.int32();
    else if (thread.field === ThreadDescriptor.tid) tid = thread.signed();
    else if (thread.field === ThreadDescriptor.threadName) name = thread.text();
    else if (thread.field === ThreadDescriptor.legacySortIndex) sortIndex = thread.int32();
  const info: TrackInfo = { kind: "thread", name, pid, tid };
  return sortIndex === undefined ? info : { ...info, sortIndex };
}
