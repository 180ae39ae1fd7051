/** What a packet sequence has said so far: interned data, defaults, the legacy default thread. */
import type { FrameId, StackId, StringId } from "../../model/sink.ts";
import { ProtoReader as Cursor, type ProtoReader } from "../../wire/protobuf-reader.ts";
import { hex } from "./args.ts";
import { CATEGORY, CATEGORY_IID } from "./kymo.ts";
import {
  Callstack,
  Frame,
  InternedData,
  InternedText,
  Mapping,
  PerfCounter,
  PerfSampleDefaults,
  Timebase,
  TracePacketDefaults,
  TrackEventDefaults,
} from "./records.ts";

/** Entries a sequence may intern before the rest is left out: a file says how many, memory says how few. */
const MAX_INTERNED = 1 << 21;

/** The sink's StringId of an interned text, or NO_TEXT where nothing was defined. */
export type TextId = StringId | typeof NO_TEXT;
export const NO_TEXT = -1;

export interface InternedMapping {
  readonly buildId: number;
  readonly path: readonly number[];
}
export interface InternedFrame {
  readonly name: number;
  readonly mapping: number;
  readonly address: bigint | undefined;
  readonly file: number;
  readonly line: number | undefined;
  readonly kind: string;
  id: FrameId | -1;
}
export interface InternedStack {
  readonly frames: readonly number[];
  /** The sink's; undefined until it is needed. */
  id: StackId | undefined;
}

/** iids count up from 1 in nearly every file: an array finds them several times faster than a map. */
const MAX_DENSE = 1 << 16;

export class IidMap<Value> {
  private readonly dense: (Value | undefined)[] = [];
  private readonly sparse: Map<number, Value> = new Map();

  get(iid: number): Value | undefined {
    return iid < MAX_DENSE ? this.dense[iid] : this.sparse.get(iid);
  }
  set(iid: number, value: Value): void {
    if (iid >= MAX_DENSE) this.sparse.set(iid, value);
    else {
      while (this.dense.length < iid) this.dense.push(undefined);
      this.dense[iid] = value;
    }
  }
  has(iid: number): boolean {
    return this.get(iid) !== undefined;
  }
  clear(): void {
    this.dense.length = 0;
    this.sparse.clear();
  }
}

/**
 * Interned texts by iid, as ids of the sink. Numbers in one array: a file with many sequences has
 * hundreds of thousands of names, and an object each would miss the cache at every event.
 */
export class TextTable {
  /** StringId + 1; 0 is none. */
  private dense: Uint32Array = new Uint32Array(0);
  private readonly sparse: Map<number, StringId> = new Map();

  get(iid: number): TextId {
    if (iid >= MAX_DENSE) return this.sparse.get(iid) ?? NO_TEXT;
    return (iid < this.dense.length ? this.dense[iid]! - 1 : NO_TEXT) as TextId;
  }
  set(iid: number, id: StringId): void {
    if (iid >= MAX_DENSE) {
      this.sparse.set(iid, id);
      return;
    }
    if (iid >= this.dense.length) {
      const grown = new Uint32Array(Math.max(64, 2 ** Math.ceil(Math.log2(iid + 1))));
      grown.set(this.dense);
      this.dense = grown;
    }
    this.dense[iid] = id + 1;
  }
  clear(): void {
    this.dense.fill(0);
    this.sparse.clear();
  }
}

export class Sequence {
  readonly id: number;
  /** Whether incremental state can be trusted: cleared, and nothing lost since. */
  valid = false;
  seen = false;
  /** Written by kymo: its first interned category says so. */
  isKymo = false;
  readonly categories: TextTable = new TextTable();
  readonly names: TextTable = new TextTable();
  readonly argNames: TextTable = new TextTable();
  readonly argTexts: TextTable = new TextTable();
  readonly functionNames: TextTable = new TextTable();
  readonly mappingPaths: TextTable = new TextTable();
  readonly sourcePaths: TextTable = new TextTable();
  readonly buildIds: IidMap<string> = new IidMap();
  readonly logTexts: TextTable = new TextTable();
  readonly mappings: IidMap<InternedMapping> = new IidMap();
  readonly frames: IidMap<InternedFrame> = new IidMap();
  readonly stacks: IidMap<InternedStack> = new IidMap();
  /** Which declared event type a name stands for, in a kymo sequence. */
  readonly types: IidMap<number> = new IidMap();
  private interned = 0;
  /** Over one interned entry; most packets of a fresh sequence have some. */
  private readonly entry = new Cursor();

  clock = 0;
  trackHigh = 0;
  trackLow = 0;
  hasTrack = false;
  extraCounters: bigint[] = [];
  extraDoubleCounters: bigint[] = [];
  /** ns of CPU time a sample stands for; 0 when the file does not say. */
  sampleWeight = 0;
  /** Legacy default thread. */
  pid = -1;
  tid = -1;
  /** Legacy delta timestamps, µs on the monotonic clock. */
  referenceUs = 0;

  private readonly string: (text: string) => StringId;

  /** @param string gives texts to the sink */
  constructor(id: number, string: (text: string) => StringId) {
    this.id = id;
    this.string = string;
  }

  clear(): void {
    this.valid = true;
    this.isKymo = false;
    this.interned = 0;
    for (const table of [
      this.categories,
      this.names,
      this.argNames,
      this.argTexts,
      this.functionNames,
      this.mappingPaths,
      this.sourcePaths,
      this.buildIds,
      this.logTexts,
      this.mappings,
      this.frames,
      this.stacks,
      this.types,
    ])
      table.clear();
    this.clock = 0;
    this.hasTrack = false;
    this.extraCounters = [];
    this.extraDoubleCounters = [];
    this.sampleWeight = 0;
    this.pid = -1;
    this.tid = -1;
  }

  /** Takes TracePacketDefaults; they replace the ones before. */
  defaults(message: ProtoReader): void {
    this.clock = 0;
    this.hasTrack = false;
    this.extraCounters = [];
    this.extraDoubleCounters = [];
    while (message.next())
      if (message.field === TracePacketDefaults.timestampClockId) this.clock = message.number();
      else if (message.field === TracePacketDefaults.trackEventDefaults) {
        const track = new Cursor().into(message);
        while (track.next())
          if (track.field === TrackEventDefaults.trackUuid) {
            this.hasTrack = true;
            this.trackHigh = track.high;
            this.trackLow = track.low;
          } else if (track.field === TrackEventDefaults.extraCounterTrackUuids)
            this.extraCounters.push(track.unsigned());
          else if (track.field === TrackEventDefaults.extraDoubleCounterTrackUuids)
            this.extraDoubleCounters.push(track.unsigned());
      } else if (message.field === TracePacketDefaults.perfSampleDefaults) {
        const samples = new Cursor().into(message);
        while (samples.next())
          if (samples.field === PerfSampleDefaults.timebase)
            this.sampleWeight = weightOf(new Cursor().into(samples));
      }
  }

  /** Takes InternedData. @returns how many entries were left out because there are too many */
  intern(message: ProtoReader): number {
    const { entry } = this;
    let left = 0;
    while (message.next()) {
      const { field } = message;
      if (this.interned >= MAX_INTERNED) {
        left++;
        continue;
      }
      this.interned++;
      const texts = this.textTable(field);
      if (texts !== undefined) {
        entry.into(message);
        let iid = 0;
        let text = "";
        while (entry.next())
          if (entry.field === InternedText.iid) iid = entry.number();
          else if (entry.field === InternedText.text) text = entry.text();
        texts.set(iid, this.string(text));
        if (field === InternedData.eventCategories && iid === CATEGORY_IID && text === CATEGORY)
          this.isKymo = true;
      } else if (field === InternedData.buildIds) {
        entry.into(message);
        let iid = 0;
        let text = "";
        while (entry.next())
          if (entry.field === InternedText.iid) iid = entry.number();
          else if (entry.field === InternedText.text) text = hex(entry.blob().subarray(0, 64));
        this.buildIds.set(iid, text);
      } else if (field === InternedData.mappings) this.internMapping(entry.into(message));
      else if (field === InternedData.frames) this.internFrame(entry.into(message));
      else if (field === InternedData.callstacks) this.internStack(entry.into(message));
    }
    return left;
  }

  private textTable(field: number): TextTable | undefined {
    switch (field) {
      case InternedData.eventNames:
        return this.names;
      case InternedData.eventCategories:
        return this.categories;
      case InternedData.debugAnnotationNames:
        return this.argNames;
      case InternedData.debugAnnotationStringValues:
        return this.argTexts;
      case InternedData.functionNames:
        return this.functionNames;
      case InternedData.mappingPaths:
        return this.mappingPaths;
      case InternedData.sourcePaths:
        return this.sourcePaths;
      case InternedData.logMessageBody:
        return this.logTexts;
      default:
        return undefined;
    }
  }

  internMapping(entry: ProtoReader): void {
    let iid = 0;
    let buildId = 0;
    const path: number[] = [];
    while (entry.next())
      if (entry.field === Mapping.iid) iid = entry.number();
      else if (entry.field === Mapping.buildId) buildId = entry.number();
      else if (entry.field === Mapping.pathStringIds) path.push(entry.number());
    this.mappings.set(iid, { buildId, path });
  }

  internFrame(entry: ProtoReader): void {
    let iid = 0;
    let name = 0;
    let mapping = 0;
    let address: bigint | undefined;
    let file = 0;
    let line: number | undefined;
    let kind = "";
    while (entry.next())
      switch (entry.field) {
        case Frame.iid:
          iid = entry.number();
          break;
        case Frame.functionNameId:
          name = entry.number();
          break;
        case Frame.mappingId:
          mapping = entry.number();
          break;
        case Frame.relPc:
          address = entry.unsigned();
          break;
        case Frame.sourcePathIid:
          file = entry.number();
          break;
        case Frame.lineNumber:
          line = entry.number();
          break;
        case Frame.kindText:
          kind = entry.text();
          break;
      }
    this.frames.set(iid, { name, mapping, address, file, line, kind, id: -1 });
  }

  internStack(entry: ProtoReader): void {
    let iid = 0;
    const frames: number[] = [];
    while (entry.next())
      if (entry.field === Callstack.iid) iid = entry.number();
      else if (entry.field === Callstack.frameIds) frames.push(entry.number());
    this.stacks.set(iid, { frames, id: undefined });
  }
}

/** ns of CPU time between two samples of a timebase; 0 when that can't be known. */
function weightOf(timebase: ProtoReader): number {
  let period = 0;
  let frequency = 0;
  let counter = 0;
  while (timebase.next())
    if (timebase.field === Timebase.period) period = timebase.number();
    else if (timebase.field === Timebase.frequency) frequency = timebase.number();
    else if (timebase.field === Timebase.counter) counter = timebase.number();
  const countsNs = counter === PerfCounter.cpuClock || counter === PerfCounter.taskClock;
  if (countsNs && period > 0) return period;
  return frequency > 0 ? 1e9 / frequency : 0;
}
