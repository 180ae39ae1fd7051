/**
 * EventBatch → calls of a sink. Batches may come from another process: every operand, id and object is checked
 * before it is used, so a damaged batch ends in a BatchError and never in a hang or a wild allocation.
 */
import {
  BATCH_CALLS,
  BATCH_VERSION,
  type BatchCall,
  type BatchObject,
  type EventBatch,
  MAX_BIG_WORDS,
  OPERANDS,
} from "./batch-calls.ts";
import {
  clockInfo,
  clockReadings,
  eventTypeInfo,
  frameInfo,
  problem,
  trackInfo,
} from "./batch-objects.ts";
import {
  type ArgSetId,
  type EventTypeId,
  type FrameId,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  RECENT_ARG_SETS,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
} from "./sink.ts";
import { FLOW_BINDS, FLOW_STEPS, LIFE_KINDS, LOG_LEVELS } from "./words.ts";

/** The batch is damaged, or not the next one of its sink. */
export class BatchError extends Error {
  override readonly name = "BatchError";
}

/** Calls its sink as the BatchSink was called. One replayer takes all batches of one BatchSink, in order. */
export class BatchReplayer {
  readonly #replay: Replay;
  #failed = false;

  constructor(sink: TraceSink) {
    this.#replay = new Replay(sink);
  }

  /**
   * @throws BatchError when the batch is damaged; calls before the damage have been made, and no further batch is taken
   */
  replay(batch: EventBatch): void {
    if (this.#failed) throw new BatchError("a batch before this one was damaged");
    this.#failed = true;
    this.#replay.run(checkedArrays(batch));
    this.#failed = false;
  }
}

function checkedArrays(batch: EventBatch): EventBatch {
  if (batch.version !== BATCH_VERSION)
    throw new BatchError(
      `a batch of version ${batch.version}; this reads version ${BATCH_VERSION}`,
    );
  const { codes, ints, floats, bytes, texts, objects } = batch;
  const whole =
    codes instanceof Uint8Array &&
    ints instanceof Int32Array &&
    floats instanceof Float64Array &&
    bytes instanceof Uint8Array &&
    Array.isArray(texts) &&
    Array.isArray(objects);
  if (!whole) throw new BatchError("a batch without its arrays");
  return batch;
}

/** What each call takes, by code. */
const NEEDS = BATCH_CALLS.map((call) => OPERANDS[call]);

/** Reads operands of the current batch; knows the sink's ids by the batch's. */
class Replay {
  readonly #sink: TraceSink;
  readonly #strings: StringId[];
  readonly #tracks: TrackId[] = [];
  readonly #types: EventTypeId[] = [];
  readonly #frames: FrameId[] = [];
  readonly #stacks: StackId[] = [];
  /** The newest sets, by id modulo RECENT_ARG_SETS. */
  readonly #sets: ArgSetId[] = [];
  #setCount = 0;
  readonly #calls: readonly (() => void)[];
  #argDepth = 0;
  #closed = false;
  #batch: EventBatch = EMPTY;
  #call = 0;
  #ints = 0;
  #floats = 0;
  #bytes = 0;
  #texts = 0;
  #objects = 0;

  constructor(sink: TraceSink) {
    this.#sink = sink;
    this.#strings = [sink.string("")];
    const byName = this.#handlers();
    this.#calls = BATCH_CALLS.map((call) => byName[call]);
  }

  run(batch: EventBatch): void {
    this.#batch = batch;
    this.#ints = this.#floats = this.#bytes = this.#texts = this.#objects = 0;
    const { codes, ints, floats, texts, objects } = batch;
    for (this.#call = 0; this.#call < codes.length; this.#call++) {
      const code = codes[this.#call]!;
      const needs = NEEDS[code];
      if (needs === undefined) this.#fail(`unknown call ${code}`);
      if (this.#closed) this.#fail("a call after close");
      if (
        this.#ints + needs[0] > ints.length ||
        this.#floats + needs[1] > floats.length ||
        this.#texts + needs[2] > texts.length ||
        this.#objects + needs[3] > objects.length
      )
        this.#fail("operands are missing");
      this.#calls[code]!();
    }
    this.#batch = EMPTY;
  }

  /** One function a call; operands are there (bounds were checked), their values are not trusted. */
  #handlers(): { readonly [Call in BatchCall]: () => void } {
    const sink = this.#sink;
    const { args } = sink;
    return {
      clock: () => sink.clock(this.#object(clockInfo)),
      clockSnapshot: () => sink.clockSnapshot(this.#object(clockReadings)),
      metadata: () => sink.metadata(this.#text(), this.#text()),
      string: () => {
        this.#strings.push(sink.string(this.#text()));
      },
      track: () => {
        const info = this.#object(trackInfo);
        const { parent } = info;
        const mapped = parent === undefined ? info : { ...info, parent: this.#trackOf(parent) };
        this.#tracks.push(sink.track(mapped));
      },
      eventType: () => {
        this.#types.push(sink.eventType(this.#object(eventTypeInfo)));
      },
      frame: () => {
        this.#frames.push(sink.frame(this.#object(frameInfo)));
      },
      stack: () => {
        const parent = this.#stack();
        this.#stacks.push(sink.stack(parent, this.#known(this.#frames, this.#int(), "frame")));
      },
      argInt: () => args.int(this.#string(), this.#float()),
      argBig: () => args.int(this.#string(), this.#big()),
      argReal: () => args.real(this.#string(), this.#float()),
      argText: () => args.text(this.#string(), this.#string()),
      argBool: () => args.bool(this.#string(), this.#int() !== 0),
      argBytes: () => args.bytes(this.#string(), this.#blob()),
      argObject: () => this.#open("object"),
      argArray: () => this.#open("array"),
      argClose: () => {
        if (this.#argDepth-- === 0) this.#fail("an argument object is closed that was not opened");
        args.close();
      },
      argsDone: () => {
        if (this.#argDepth > 0) this.#fail("arguments end inside an object");
        this.#sets[this.#setCount++ % RECENT_ARG_SETS] = args.done();
      },
      begin: () =>
        sink.begin(this.#track(), this.#ns(), this.#string(), this.#string(), this.#set()),
      end: () => sink.end(this.#track(), this.#ns(), this.#set()),
      slice: () => {
        const ts = this.#ns();
        const dur = this.#ns();
        sink.slice(this.#track(), ts, dur, this.#string(), this.#string(), this.#set());
      },
      instant: () =>
        sink.instant(this.#track(), this.#ns(), this.#string(), this.#string(), this.#set()),
      typed: () => {
        const type = this.#known(this.#types, this.#int(), "event type");
        sink.typed(type, this.#track(), this.#ns(), this.#set());
      },
      counter: () => sink.counter(this.#track(), this.#ns(), this.#float()),
      sample: () => {
        const ts = this.#ns();
        const weight = this.#float();
        sink.sample(this.#track(), ts, this.#stack(), weight, this.#int());
      },
      switch: () => {
        const cpu = this.#track();
        const previous = this.#trackOrNone();
        const state = this.#string();
        sink.switch(cpu, this.#ns(), previous, state, this.#trackOrNone(), this.#int());
      },
      waking: () => sink.waking(this.#track(), this.#ns(), this.#trackOrNone(), this.#int()),
      life: () => sink.life(this.#track(), this.#ns(), this.#one(LIFE_KINDS), this.#string()),
      flow: () => {
        const low = BigInt(this.#int() >>> 0);
        const id = (BigInt(this.#int() >>> 0) << 32n) | low;
        const track = this.#track();
        sink.flow(id, track, this.#ns(), this.#one(FLOW_STEPS), this.#one(FLOW_BINDS));
      },
      log: () => sink.log(this.#track(), this.#ns(), this.#one(LOG_LEVELS), this.#string()),
      problem: () => sink.problem(this.#object(problem)),
      watermark: () => sink.watermark(this.#ns()),
      close: () => {
        this.#closed = true;
        sink.close();
      },
    };
  }

  #int(): number {
    return this.#batch.ints[this.#ints++]!;
  }
  #float(): number {
    return this.#batch.floats[this.#floats++]!;
  }
  #ns(): Ns {
    return this.#batch.floats[this.#floats++]! as Ns;
  }

  #text(): string {
    const text: unknown = this.#batch.texts[this.#texts++];
    if (typeof text !== "string") this.#fail(`a text that is ${typeof text}`);
    return text;
  }

  #object<T>(check: (object: BatchObject) => T | undefined): T {
    const object = check(this.#batch.objects[this.#objects++]!);
    if (object === undefined) this.#fail("its description is damaged");
    return object;
  }

  #big(): bigint {
    const negative = this.#int() !== 0;
    const words = this.#int();
    if (words < 0 || words > MAX_BIG_WORDS || this.#ints + words > this.#batch.ints.length)
      this.#fail(`an integer of ${words} words`);
    let value = 0n;
    for (let word = words - 1; word >= 0; word--)
      value = (value << 32n) | BigInt(this.#batch.ints[this.#ints + word]! >>> 0);
    this.#ints += words;
    return negative ? -value : value;
  }

  #blob(): Uint8Array {
    const length = this.#int();
    const end = this.#bytes + length;
    if (length < 0 || end > this.#batch.bytes.length) this.#fail(`an argument of ${length} bytes`);
    const blob = this.#batch.bytes.subarray(this.#bytes, end);
    this.#bytes = end;
    return blob;
  }

  #open(kind: "object" | "array"): void {
    this.#argDepth++;
    this.#sink.args.open(this.#string(), kind);
  }

  #string(): StringId {
    const index = this.#int();
    return this.#strings[index] ?? this.#known(this.#strings, index, "string");
  }
  #track(): TrackId {
    return this.#trackOf(this.#int());
  }
  #trackOf(index: number): TrackId {
    return this.#tracks[index] ?? this.#known(this.#tracks, index, "track");
  }
  #trackOrNone(): TrackId {
    const index = this.#int();
    return index === NO_TRACK ? NO_TRACK : this.#trackOf(index);
  }
  #stack(): StackId {
    const index = this.#int();
    return index === NO_STACK ? NO_STACK : this.#known(this.#stacks, index, "stack");
  }
  #set(): ArgSetId {
    const index = this.#int();
    if (index === NO_ARGS) return NO_ARGS;
    const kept = index < this.#setCount && index >= this.#setCount - RECENT_ARG_SETS;
    if (!kept) this.#fail(`argument set ${index} of ${this.#setCount}`);
    return this.#known(this.#sets, index % RECENT_ARG_SETS, "argument set");
  }
  #one<T>(list: readonly T[]): T {
    return this.#known(list, this.#int(), "choice");
  }

  #known<T>(list: readonly T[], index: number, what: string): T {
    const id = list[index];
    if (id === undefined) this.#fail(`${what} ${index} of ${list.length}`);
    return id;
  }

  #fail(message: string): never {
    const code = this.#batch.codes[this.#call]!;
    throw new BatchError(`call ${this.#call} (${BATCH_CALLS[code] ?? code}): ${message}`);
  }
}

const EMPTY: EventBatch = {
  version: BATCH_VERSION,
  codes: new Uint8Array(0),
  ints: new Int32Array(0),
  floats: new Float64Array(0),
  bytes: new Uint8Array(0),
  texts: [],
  objects: [],
};
