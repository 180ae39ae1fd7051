/** Sink → EventBatch: records calls in growing arrays. */
import {
  BATCH_VERSION,
  type BatchObject,
  CODE,
  type EventBatch,
  MAX_BIG_WORDS,
} from "./batch-calls.ts";
import {
  type ArgSetId,
  type ArgsBuilder,
  type ClockDomain,
  type ClockInfo,
  type EventTypeId,
  type EventTypeInfo,
  type FlowBind,
  type FlowStep,
  type FrameId,
  type FrameInfo,
  type LifeKind,
  type LogLevel,
  NO_ARGS,
  type Ns,
  type Problem,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "./sink.ts";
import { Frames, Stacks } from "./stacks.ts";
import { StringTable } from "./strings.ts";
import { FLOW_BINDS, FLOW_STEPS, LIFE_KINDS, LOG_LEVELS } from "./words.ts";

/** Records every call until `flush` takes them away. */
export class BatchSink implements TraceSink {
  readonly args: ArgsBuilder;
  readonly #log = new CallLog();
  readonly #strings = new StringTable();
  readonly #frames = new Frames();
  readonly #stacks = new Stacks();
  #tracks = 0;
  #types = 0;

  constructor() {
    this.args = new BatchArgs(this.#log);
  }

  /** Calls recorded since the last flush. */
  get length(): number {
    return this.#log.calls;
  }

  /** What was called since the last flush; its arrays are the caller's. Ids stay valid. */
  flush(): EventBatch {
    return this.#log.take();
  }

  clock(clock: ClockInfo): void {
    this.#log.object(CODE.clock, { ...clock });
  }
  clockSnapshot(readings: readonly (readonly [ClockDomain, bigint])[]): void {
    this.#log.object(
      CODE.clockSnapshot,
      readings.map(([domain, ns]) => [domain, ns] as const),
    );
  }
  metadata(key: string, value: string): void {
    this.#log.call(CODE.metadata);
    this.#log.texts.push(key, value);
  }
  string(text: string): StringId {
    const before = this.#strings.length;
    const id = this.#strings.intern(text);
    if (id === before) {
      this.#log.call(CODE.string);
      this.#log.texts.push(text);
    }
    return id;
  }
  track(info: TrackInfo): TrackId {
    this.#log.object(CODE.track, { ...info });
    return this.#tracks++ as TrackId;
  }
  eventType(info: EventTypeInfo): EventTypeId {
    const fields = info.fields.map((field) => ({ ...field }));
    this.#log.object(CODE.eventType, { name: info.name, fields });
    return this.#types++ as EventTypeId;
  }
  frame(info: FrameInfo): FrameId {
    const before = this.#frames.list.length;
    const id = this.#frames.intern(info);
    if (id === before) this.#log.object(CODE.frame, { ...info });
    return id;
  }
  stack(parent: StackId, frame: FrameId): StackId {
    const before = this.#stacks.length;
    const id = this.#stacks.intern(parent, frame);
    if (id === before) {
      this.#log.call(CODE.stack);
      this.#log.int(parent);
      this.#log.int(frame);
    }
    return id;
  }

  begin(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.#log.at(CODE.begin, ts);
    this.#log.four(track, name, category, args);
  }
  end(track: TrackId, ts: Ns, args: ArgSetId): void {
    this.#log.at(CODE.end, ts);
    this.#log.int(track);
    this.#log.int(args);
  }
  slice(track: TrackId, ts: Ns, dur: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.#log.at(CODE.slice, ts);
    this.#log.float(dur);
    this.#log.four(track, name, category, args);
  }
  instant(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    this.#log.at(CODE.instant, ts);
    this.#log.four(track, name, category, args);
  }
  typed(type: EventTypeId, track: TrackId, ts: Ns, args: ArgSetId): void {
    this.#log.at(CODE.typed, ts);
    this.#log.int(type);
    this.#log.int(track);
    this.#log.int(args);
  }
  /** A bigint is carried as the nearest float64: what counter rows hold. */
  counter(track: TrackId, ts: Ns, value: number | bigint): void {
    this.#log.at(CODE.counter, ts);
    this.#log.float(Number(value));
    this.#log.int(track);
  }
  sample(thread: TrackId, ts: Ns, stack: StackId, weight: number, cpu: number): void {
    this.#log.at(CODE.sample, ts);
    this.#log.float(weight);
    this.#log.int(thread);
    this.#log.int(stack);
    this.#log.int(cpu);
  }
  switch(
    cpu: TrackId,
    ts: Ns,
    previous: TrackId,
    state: StringId,
    next: TrackId,
    priority: number,
  ): void {
    this.#log.at(CODE.switch, ts);
    this.#log.four(cpu, previous, state, next);
    this.#log.int(priority);
  }
  waking(thread: TrackId, ts: Ns, waker: TrackId, targetCpu: number): void {
    this.#log.at(CODE.waking, ts);
    this.#log.int(thread);
    this.#log.int(waker);
    this.#log.int(targetCpu);
  }
  life(thread: TrackId, ts: Ns, what: LifeKind, detail: StringId): void {
    this.#log.at(CODE.life, ts);
    this.#log.int(thread);
    this.#log.int(LIFE_KINDS.indexOf(what));
    this.#log.int(detail);
  }
  flow(id: bigint, track: TrackId, ts: Ns, step: FlowStep, bind: FlowBind): void {
    this.#log.at(CODE.flow, ts);
    this.#log.four(
      Number(id & 0xffff_ffffn),
      Number((id >> 32n) & 0xffff_ffffn),
      track,
      FLOW_STEPS.indexOf(step),
    );
    this.#log.int(FLOW_BINDS.indexOf(bind));
  }
  log(track: TrackId, ts: Ns, level: LogLevel, message: StringId): void {
    this.#log.at(CODE.log, ts);
    this.#log.int(track);
    this.#log.int(LOG_LEVELS.indexOf(level));
    this.#log.int(message);
  }
  problem(problem: Problem): void {
    this.#log.object(CODE.problem, { ...problem });
  }
  watermark(ts: Ns): void {
    this.#log.at(CODE.watermark, ts);
  }
  close(): void {
    this.#log.call(CODE.close);
  }
}

class BatchArgs implements ArgsBuilder {
  readonly #log: CallLog;
  #sets = 0;
  #empty = true;

  constructor(log: CallLog) {
    this.#log = log;
  }

  int(key: StringId, value: number | bigint): void {
    if (typeof value === "number") {
      this.#one(CODE.argInt, key);
      this.#log.float(value);
      return;
    }
    const words: number[] = [];
    for (let rest = value < 0n ? -value : value; rest > 0n; rest >>= 32n)
      if (words.push(Number(rest & 0xffff_ffffn)) > MAX_BIG_WORDS) {
        this.real(key, Number(value));
        return;
      }
    this.#one(CODE.argBig, key);
    this.#log.int(value < 0n ? 1 : 0);
    this.#log.int(words.length);
    for (const word of words) this.#log.int(word);
  }
  real(key: StringId, value: number): void {
    this.#one(CODE.argReal, key);
    this.#log.float(value);
  }
  text(key: StringId, value: StringId): void {
    this.#one(CODE.argText, key);
    this.#log.int(value);
  }
  bool(key: StringId, value: boolean): void {
    this.#one(CODE.argBool, key);
    this.#log.int(value ? 1 : 0);
  }
  bytes(key: StringId, value: Uint8Array): void {
    this.#one(CODE.argBytes, key);
    this.#log.int(value.length);
    this.#log.addBytes(value);
  }
  open(key: StringId, kind: "object" | "array"): void {
    this.#one(kind === "array" ? CODE.argArray : CODE.argObject, key);
  }
  close(): void {
    this.#log.call(CODE.argClose);
  }
  done(): ArgSetId {
    if (this.#empty) return NO_ARGS;
    this.#empty = true;
    this.#log.call(CODE.argsDone);
    return this.#sets++ as ArgSetId;
  }

  #one(code: number, key: StringId): void {
    this.#empty = false;
    this.#log.call(code);
    this.#log.int(key);
  }
}

/** The growing arrays of the batch being recorded; kept from flush to flush. */
class CallLog {
  calls = 0;
  texts: string[] = [];
  #objects: BatchObject[] = [];
  #codes = new Uint8Array(1024);
  #ints = new Int32Array(4096);
  #intCount = 0;
  #floats = new Float64Array(1024);
  #floatCount = 0;
  #bytes = new Uint8Array(256);
  #byteCount = 0;

  call(code: number): void {
    if (this.calls === this.#codes.length) this.#codes = grown(this.#codes, this.calls + 1);
    this.#codes[this.calls++] = code;
  }
  at(code: number, ts: number): void {
    this.call(code);
    this.float(ts);
  }
  object(code: number, object: BatchObject): void {
    this.call(code);
    this.#objects.push(object);
  }
  int(value: number): void {
    if (this.#intCount === this.#ints.length) this.#ints = grown(this.#ints, this.#intCount + 1);
    this.#ints[this.#intCount++] = value;
  }
  four(a: number, b: number, c: number, d: number): void {
    const n = this.#intCount;
    if (n + 4 > this.#ints.length) this.#ints = grown(this.#ints, n + 4);
    const ints = this.#ints;
    ints[n] = a;
    ints[n + 1] = b;
    ints[n + 2] = c;
    ints[n + 3] = d;
    this.#intCount = n + 4;
  }
  float(value: number): void {
    if (this.#floatCount === this.#floats.length)
      this.#floats = grown(this.#floats, this.#floatCount + 1);
    this.#floats[this.#floatCount++] = value;
  }
  addBytes(value: Uint8Array): void {
    const end = this.#byteCount + value.length;
    if (end > this.#bytes.length) this.#bytes = grown(this.#bytes, end);
    this.#bytes.set(value, this.#byteCount);
    this.#byteCount = end;
  }

  take(): EventBatch {
    const batch: EventBatch = {
      version: BATCH_VERSION,
      codes: this.#codes.slice(0, this.calls),
      ints: this.#ints.slice(0, this.#intCount),
      floats: this.#floats.slice(0, this.#floatCount),
      bytes: this.#bytes.slice(0, this.#byteCount),
      texts: this.texts,
      objects: this.#objects,
    };
    this.calls = this.#intCount = this.#floatCount = this.#byteCount = 0;
    this.texts = [];
    this.#objects = [];
    return batch;
  }
}

function grown<T extends Uint8Array | Int32Array | Float64Array>(array: T, atLeast: number): T {
  const length = Math.max(array.length * 2, atLeast);
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array as never);
  return larger;
}
