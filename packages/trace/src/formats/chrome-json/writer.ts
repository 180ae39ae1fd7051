/**
 * TraceSink → Chrome JSON, one event a line, as the calls come:
 *
 *     {"displayTimeUnit":"ns","traceEvents":[
 *     {"ph":"M","name":"process_name","pid":7,"tid":7,"args":{"name":"server"}},
 *     {"ph":"X","name":"read","cat":"io","pid":7,"tid":8,"ts":12.345,"dur":2,"args":{"bytes":512}}
 *     ],
 *     "stackFrames":{…},"otherData":{…}}
 *
 * Times are absolute µs on the trace's clock, exact to the ns. What the format has no event for is written as the nearest it
 * has (README.md says what), and what only kymo reads back stands in "M" events named kymo_….
 */
import {
  type ArgSetId,
  type ArgsBuilder,
  type ClockDomain,
  type ClockInfo,
  EMPTY_STRING,
  type EventTypeId,
  type EventTypeInfo,
  type FlowBind,
  type FlowStep,
  type FrameId,
  type FrameInfo,
  type LifeKind,
  type LogLevel,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  type Problem,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "../../model/sink.ts";
import { JsonBuffer, jsonBytes, jsonText } from "../../wire/json-writer.ts";
import type { ByteSink } from "../format.ts";
import { JsonArgsBuilder } from "./write-args.ts";
import { JsonRows, type Row } from "./write-rows.ts";

/** Bytes collected before they are given out. */
const FLUSH_BYTES = 1 << 18;
/** Problems written into the file, at most. */
const MAX_PROBLEMS = 1000;

const text = (json: string): Uint8Array => jsonBytes(json);
const HEADER = text('{"displayTimeUnit":"ns","traceEvents":[');
const FIRST_LINE = text('\n{"ph":"');
const NEXT_LINE = text(',\n{"ph":"');
const NAME = text('","name":');
const CATEGORY = text(',"cat":');
const TS = text(',"ts":');
const DUR = text(',"dur":');
const OPEN = text(',"kymo_open":true');
const ARGS = text(',"args":');
const SCHED = text('"sched"');
const LOG = text('"log"');
const WAKING = text('"waking"');

const Phase = { X: 88, B: 66, E: 69, i: 105, C: 67, M: 77, b: 98, e: 101, n: 110, P: 80 } as const;

/** What runs on a CPU since `ts`. */
interface Running {
  readonly ts: Ns;
  readonly thread: TrackId;
  readonly priority: number;
}

export class ChromeJsonWriter implements TraceSink {
  readonly args: ArgsBuilder;
  readonly #args: JsonArgsBuilder;
  readonly #out: ByteSink;
  readonly #b = new JsonBuffer();
  readonly #rows: JsonRows;
  readonly #ids = new Map<string, StringId>();
  readonly #texts: Uint8Array[] = [];
  readonly #names: string[] = [];
  readonly #types: StringId[] = [];
  readonly #frames: FrameInfo[] = [];
  readonly #stackIds = new Map<number, StackId>();
  readonly #stackParents: StackId[] = [];
  readonly #stackFrames: FrameId[] = [];
  readonly #metadata = new Map<string, string>();
  readonly #snapshots: (readonly (readonly [ClockDomain, string])[])[] = [];
  readonly #problems: Problem[] = [];
  #problemsLeftOut = 0;
  readonly #running = new Map<TrackId, Running>();
  #schedOutOfOrder = 0;
  #originUs = 0;
  #originNs = 0;
  #lines = 0;
  #asyncIds = 0;

  constructor(out: ByteSink) {
    this.#out = out;
    this.#args = new JsonArgsBuilder((id) => this.#texts[id]!);
    this.args = this.#args;
    this.string("");
    this.#rows = new JsonRows((name, pid, tid, args) => {
      this.#start(Phase.M, jsonText(name), EMPTY_STRING);
      this.#b.ascii(`,"pid":${pid},"tid":${tid ?? pid},"args":`);
      this.#b.raw(jsonBytes(JSON.stringify(args)));
      this.#finish();
    });
  }

  // --- declarations ---

  clock(clock: ClockInfo): void {
    const us = clock.originNs / 1000n - (clock.originNs % 1000n < 0n ? 1n : 0n);
    this.#originUs = Number(us);
    this.#originNs = Number(clock.originNs - us * 1000n);
    this.#start(Phase.M, jsonText("kymo_clock"), EMPTY_STRING);
    const args = { domain: clock.domain, origin_ns: String(clock.originNs) };
    this.#b.ascii(`,"pid":0,"tid":0,"args":${JSON.stringify(args)}`);
    this.#finish();
  }
  clockSnapshot(readings: readonly (readonly [ClockDomain, bigint])[]): void {
    this.#snapshots.push(readings.map(([domain, ns]) => [domain, String(ns)] as const));
  }
  metadata(key: string, value: string): void {
    this.#metadata.set(key, value);
  }
  string(value: string): StringId {
    let id = this.#ids.get(value);
    if (id === undefined) {
      id = (this.#texts.push(jsonText(value)) - 1) as StringId;
      this.#names.push(value);
      this.#ids.set(value, id);
    }
    return id;
  }
  track(info: TrackInfo): TrackId {
    return this.#rows.declare(info);
  }
  eventType(info: EventTypeInfo): EventTypeId {
    return (this.#types.push(this.string(info.name)) - 1) as EventTypeId;
  }
  frame(info: FrameInfo): FrameId {
    return (this.#frames.push(info) - 1) as FrameId;
  }
  stack(parent: StackId, frame: FrameId): StackId {
    const key = (parent + 1) * 2 ** 26 + frame;
    let id = this.#stackIds.get(key);
    if (id === undefined) {
      id = (this.#stackParents.push(parent) - 1) as StackId;
      this.#stackFrames.push(frame);
      this.#stackIds.set(key, id);
    }
    return id;
  }

  // --- events ---

  begin(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    const row = this.#rows.thread(track);
    row.open.push(name, category);
    this.#event(Phase.B, row, ts, name, category);
    this.#finish(args);
  }
  end(track: TrackId, ts: Ns, args: ArgSetId): void {
    const row = this.#rows.thread(track);
    const category = row.open.pop() ?? EMPTY_STRING;
    this.#event(Phase.E, row, ts, row.open.pop() ?? EMPTY_STRING, category);
    this.#finish(args);
  }
  slice(track: TrackId, ts: Ns, dur: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    const row = this.#rows.thread(track);
    if (row.info.kind === "async") {
      this.#asyncSlice(row, ts, dur, name, category, args);
      return;
    }
    const isOpen = Number.isNaN(dur);
    this.#event(isOpen ? Phase.B : Phase.X, row, ts, name, category);
    // The mark keeps the end of another slice from ending this one when kymo reads it back.
    if (isOpen) this.#b.raw(OPEN);
    else this.#duration(dur);
    this.#finish(args);
  }
  instant(track: TrackId, ts: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    const { kind } = this.#rows.get(track).info;
    const isProcess = kind === "process";
    const row = isProcess ? this.#rows.get(track) : this.#rows.thread(track);
    if (kind === "async") {
      this.#event(Phase.n, row, ts, name, category);
      this.#b.ascii(`,"id":"0x${(++this.#asyncIds).toString(16)}"`);
    } else {
      this.#event(Phase.i, row, ts, name, category);
      this.#b.ascii(isProcess ? ',"s":"p"' : ',"s":"t"');
    }
    this.#finish(args);
  }
  typed(type: EventTypeId, track: TrackId, ts: Ns, args: ArgSetId): void {
    this.instant(track, ts, this.#types[type]!, EMPTY_STRING, args);
  }
  counter(track: TrackId, ts: Ns, value: number | bigint): void {
    const row = this.#rows.get(track);
    this.#event(Phase.C, row, ts, this.string(row.info.name), EMPTY_STRING);
    if (row.id !== undefined) this.#b.ascii(`,"id":"${row.id}"`);
    const isJson = typeof value === "bigint" || Number.isFinite(value);
    const json = !isJson ? `"${value}"` : Object.is(value, -0) ? "-0.0" : value;
    this.#b.ascii(`,"args":{"value":${json}}`);
    this.#finish();
  }
  sample(thread: TrackId, ts: Ns, stack: StackId, weight: number, cpu: number): void {
    this.#start(Phase.P, SAMPLE_NAME, EMPTY_STRING);
    this.#b.raw(this.#rows.thread(thread).place);
    this.#time(ts);
    this.#b.ascii(`,"weight":${weight}`);
    if (cpu >= 0) this.#b.ascii(`,"cpu":${cpu}`);
    if (stack !== NO_STACK) this.#b.ascii(`,"sf":"${stack}"`);
    this.#finish();
  }
  /** A slice on the CPU's row for the time that a thread ran: written when it leaves. */
  switch(
    cpu: TrackId,
    ts: Ns,
    previous: TrackId,
    state: StringId,
    next: TrackId,
    priority: number,
  ): void {
    const running = this.#running.get(cpu);
    if (running !== undefined && running.thread !== NO_TRACK) {
      // Another was there before this one came: a switch was lost, and why the first stopped with it.
      const ended = running.thread === previous ? state : EMPTY_STRING;
      if (ts >= running.ts) this.#schedSlice(cpu, running, ts, ended);
      else this.#schedOutOfOrder++;
    }
    this.#running.set(cpu, { ts, thread: next, priority });
  }
  waking(thread: TrackId, ts: Ns, waker: TrackId, targetCpu: number): void {
    this.#start(Phase.i, WAKING, EMPTY_STRING);
    this.#b.raw(CATEGORY);
    this.#b.raw(SCHED);
    this.#b.raw(this.#rows.thread(thread).place);
    this.#time(ts);
    this.#b.ascii(`,"s":"t","args":{"target_cpu":${targetCpu}`);
    const tid = waker === NO_TRACK ? undefined : this.#rows.get(waker).info.tid;
    if (tid !== undefined) this.#b.ascii(`,"waker_tid":${tid}`);
    this.#b.byte(0x7d);
    this.#finish();
  }
  /** The last name given is the thread's name everywhere: the format has one for each. */
  life(thread: TrackId, _ts: Ns, what: LifeKind, detail: StringId): void {
    const name = this.#names[detail]!;
    if (what === "exit" || name === "") return;
    const row = this.#rows.get(thread);
    const isProcess = row.info.kind === "process";
    this.#start(Phase.M, isProcess ? PROCESS_NAME : THREAD_NAME, EMPTY_STRING);
    this.#b.raw(row.place);
    // The path of an exec'd file names the program by its last part.
    const shown = what === "exec" ? name.slice(name.lastIndexOf("/") + 1) : name;
    this.#b.ascii(',"args":{"name":');
    this.#b.raw(jsonText(shown));
    this.#b.byte(0x7d);
    this.#finish();
  }
  flow(id: bigint, track: TrackId, ts: Ns, step: FlowStep, bind: FlowBind): void {
    const row = this.#rows.thread(track);
    this.#b.raw(this.#nextLine());
    this.#b.ascii(step === "start" ? "s" : step === "step" ? "t" : "f");
    this.#b.ascii('","name":"flow","cat":"flow"');
    this.#b.raw(row.place);
    this.#time(ts);
    this.#b.ascii(`,"id":"0x${BigInt.asUintN(64, id).toString(16)}"`);
    if (bind !== "next") this.#b.ascii(',"bp":"e"');
    this.#finish();
  }
  log(track: TrackId, ts: Ns, level: LogLevel, message: StringId): void {
    this.#start(Phase.i, this.#texts[message]!, EMPTY_STRING);
    this.#b.raw(CATEGORY);
    this.#b.raw(LOG);
    this.#b.raw(this.#rows.thread(track).place);
    this.#time(ts);
    this.#b.ascii(`,"s":"t","args":{"level":"${level}"}`);
    this.#finish();
  }

  problem(problem: Problem): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(problem);
    else this.#problemsLeftOut++;
  }
  watermark(): void {
    this.#flush();
  }
  close(): void {
    for (const [cpu, running] of this.#running)
      if (running.thread !== NO_TRACK) this.#schedSlice(cpu, running, undefined, EMPTY_STRING);
    if (this.#lines === 0) this.#b.raw(HEADER);
    this.#b.ascii("\n]");
    if (this.#stackParents.length > 0) this.#writeStackFrames();
    this.#writeOtherData();
    this.#b.ascii("}\n");
    this.#flush();
  }

  // --- lines ---

  #asyncSlice(row: Row, ts: Ns, dur: Ns, name: StringId, category: StringId, args: ArgSetId): void {
    // An id of its own for each: slices of an async track may overlap.
    const id = `,"id":"0x${(++this.#asyncIds).toString(16)}"`;
    this.#event(Phase.b, row, ts, name, category);
    this.#b.ascii(id);
    this.#finish(args);
    if (Number.isNaN(dur)) return;
    this.#event(Phase.e, row, (ts + dur) as Ns, name, category);
    this.#b.ascii(id);
    this.#finish();
  }

  #schedSlice(cpu: TrackId, running: Running, to: Ns | undefined, state: StringId): void {
    const row = this.#rows.get(running.thread);
    const { name, tid, pid } = row.info;
    this.#start(to === undefined ? Phase.B : Phase.X, jsonText(name), EMPTY_STRING);
    this.#b.raw(CATEGORY);
    this.#b.raw(SCHED);
    this.#b.raw(this.#rows.thread(cpu).place);
    this.#time(running.ts);
    if (to === undefined) this.#b.raw(OPEN);
    else this.#duration((to - running.ts) as Ns);
    this.#b.ascii(`,"args":{"priority":${running.priority}`);
    if (pid !== undefined) this.#b.ascii(`,"pid":${pid}`);
    if (tid !== undefined) this.#b.ascii(`,"tid":${tid}`);
    if (state !== EMPTY_STRING) {
      this.#b.ascii(',"end_state":');
      this.#b.raw(this.#texts[state]!);
    }
    this.#b.byte(0x7d);
    this.#finish();
  }

  #event(phase: number, row: Row, ts: Ns, name: StringId, category: StringId): void {
    this.#start(phase, this.#texts[name]!, category);
    this.#b.raw(row.place);
    this.#time(ts);
  }

  #start(phase: number, name: Uint8Array, category: StringId): void {
    const b = this.#b;
    b.raw(this.#nextLine());
    b.byte(phase);
    b.raw(NAME);
    b.raw(name);
    if (category === EMPTY_STRING) return;
    b.raw(CATEGORY);
    b.raw(this.#texts[category]!);
  }

  #nextLine(): Uint8Array {
    if (this.#lines++ > 0) return NEXT_LINE;
    this.#b.raw(HEADER);
    return FIRST_LINE;
  }

  #time(ts: Ns): void {
    // Times of a float with a fraction of a ns are rounded: the format has three digits.
    const ns = this.#originNs + Math.round(ts);
    const us = Math.floor(ns / 1000);
    this.#b.raw(TS);
    this.#b.micros(this.#originUs + us, ns - us * 1000);
  }

  #duration(dur: Ns): void {
    const ns = Math.round(dur);
    const us = Math.floor(ns / 1000);
    this.#b.raw(DUR);
    this.#b.micros(us, ns - us * 1000);
  }

  #finish(args: ArgSetId = NO_ARGS): void {
    const json = this.#args.take(args);
    if (json !== undefined) {
      this.#b.raw(ARGS);
      this.#b.raw(json);
    }
    this.#b.byte(0x7d);
    if (this.#b.length >= FLUSH_BYTES) this.#flush();
  }

  #flush(): void {
    if (this.#b.length === 0) return;
    void this.#out(this.#b.bytes);
    this.#b.clear();
  }

  // --- what stands beside the events ---

  #writeStackFrames(): void {
    this.#b.ascii(',\n"stackFrames":{');
    for (let id = 0; id < this.#stackParents.length; id++) {
      const { name, module, file, line, address, buildId, inlined } =
        this.#frames[this.#stackFrames[id]!]!;
      const parent = this.#stackParents[id]!;
      const frame = {
        name,
        ...(module !== undefined && { category: module }),
        ...(parent !== NO_STACK && { parent: String(parent) }),
        ...(file !== undefined && { file }),
        ...(line !== undefined && { line }),
        ...(address !== undefined && { address: `0x${address.toString(16)}` }),
        ...(buildId !== undefined && { build_id: buildId }),
        ...(inlined !== undefined && { inlined }),
      };
      this.#b.ascii(`${id === 0 ? "" : ","}\n"${id}":`);
      this.#b.raw(jsonBytes(JSON.stringify(frame)));
      if (this.#b.length >= FLUSH_BYTES) this.#flush();
    }
    this.#b.byte(0x7d);
  }

  #writeOtherData(): void {
    this.#countOwnLosses();
    const facts: { [name: string]: unknown } = Object.fromEntries(this.#metadata);
    const own = {
      ...(this.#snapshots.length > 0 && { "kymo.clock_snapshots": this.#snapshots }),
      ...(this.#problems.length > 0 && { "kymo.problems": this.#problems }),
    };
    if (this.#metadata.size + Object.keys(own).length === 0) return;
    this.#b.ascii(',\n"otherData":');
    this.#b.raw(jsonBytes(JSON.stringify({ ...facts, ...own })));
  }

  #countOwnLosses(): void {
    const own: (readonly [number, string])[] = [
      [this.#problemsLeftOut, `problems beyond the first ${MAX_PROBLEMS} were left out`],
      [this.#args.expired, "events lost arguments that were made too long before them"],
      [this.#schedOutOfOrder, "context switches out of order in time were left out"],
    ];
    for (const [count, message] of own)
      if (count > 0) this.#problems.push({ kind: "unsupported", message, count });
  }
}

const SAMPLE_NAME = text('"sample"');
const PROCESS_NAME = text('"process_name"');
const THREAD_NAME = text('"thread_name"');
