/**
 * Chrome JSON → TraceSink.
 *
 *     bytes ─► JsonTraceStream (grammar) ─► parseEvent (fields) ─► here: tracks, times, phases ─► sink
 */
import {
  type ArgSetId,
  type ClockDomain,
  EMPTY_STRING,
  type FlowStep,
  NO_ARGS,
  NO_STACK,
  type Ns,
  type Problem,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
} from "../../model/sink.ts";
import { ascii, decodeString, QUOTE, spells, wellFormed } from "../../wire/json-bytes.ts";
import { JsonStrings } from "../../wire/json-strings.ts";
import { FormatError, type StreamReader } from "../format.ts";
import { ArgsReader, keyId } from "./args.ts";
import { AsyncEvents, type Lanes } from "./async.ts";
import { OddityCounts } from "./counts.ts";
import { type EventFields, idOf } from "./event.ts";
import { type JsonTraceHandler, JsonTraceStream } from "./stream.ts";
import { type IdKey, JsonTracks, type ProcessEntry, type ThreadEntry } from "./tracks.ts";

const FAR_NS = 2 ** 53;

export class ChromeJsonReader implements StreamReader, JsonTraceHandler {
  readonly #sink: TraceSink;
  readonly #strings: JsonStrings;
  readonly #stream: JsonTraceStream;
  readonly #tracks: JsonTracks;
  readonly #args: ArgsReader;
  readonly #async: AsyncEvents;
  readonly #odd = new OddityCounts();
  #domain: ClockDomain = "unknown";
  /** Whole µs at Ns 0; NaN until the first event with a time. */
  #originUs = Number.NaN;
  /** ns to add to that, < 1000. */
  #originNs = 0;
  #last = Number.NEGATIVE_INFINITY;
  #events = 0;
  #members = 0;
  /** "name[id] key" of a process → its track. */
  readonly #counters = new Map<string, TrackId>();
  /** What kymo's writer said of counters, by "pid name id". */
  readonly #ownCounters = new Map<string, OwnCounter>();
  /** Lanes of async events by process, category and name. */
  readonly #lanes = new Map<string, Lanes>();
  readonly #flowCategories = new Map<StringId, bigint>();
  #globalTrack: TrackId | undefined;
  readonly #samples: HeldSample[] = [];
  readonly #stackKeys = new Map<string, number>();
  #stackFrames: { readonly [id: string]: unknown } | undefined;

  constructor(sink: TraceSink) {
    this.#sink = sink;
    const text = (value: string): StringId => (value === "" ? EMPTY_STRING : sink.string(value));
    this.#strings = new JsonStrings(text);
    this.#stream = new JsonTraceStream(this, this.#strings);
    this.#tracks = new JsonTracks(sink);
    this.#args = new ArgsReader(this.#strings, sink.args, text);
    this.#async = new AsyncEvents(sink);
  }

  push(chunk: Uint8Array): void {
    this.#stream.push(chunk);
  }

  end(): void {
    const isCut = this.#stream.end();
    if (this.#events === 0 && this.#members === 0 && (isCut || this.#odd.count("garbage") > 0))
      throw new FormatError(
        "chrome-json",
        this.#stream.byteOffset,
        "no whole trace event was found; is it another kind of JSON, or cut short?",
      );
    this.#async.flush((begin) => this.#argsOfBytes(begin));
    if (Number.isNaN(this.#originUs)) this.#startClock(0);
    this.#tracks.declareRest();
    this.#giveSamples();
    this.#odd.report(this.#sink);
    if (isCut)
      this.#sink.problem({
        kind: "truncated",
        message: "the file ends before its JSON does; what was whole has been read",
        byteOffset: this.#stream.byteOffset,
      });
    if (this.#last > Number.NEGATIVE_INFINITY) this.#sink.watermark(this.#last as Ns);
  }

  // --- what the stream finds ---

  event(b: Uint8Array, e: EventFields): void {
    this.#events++;
    switch (e.phase) {
      case 0x58: // X
        this.#complete(b, e);
        break;
      case 0x42: // B
        this.#begin(b, e);
        break;
      case 0x45: // E
        this.#end(b, e);
        break;
      case 0x69: // i
      case 0x49: // I
      case 0x52: // R
        this.#instant(b, e);
        break;
      case 0x43: // C
        this.#counter(b, e);
        break;
      case 0x4d: // M
        this.#metadata(b, e);
        break;
      case 0x73: // s
        this.#flow(b, e, "start");
        break;
      case 0x74: // t
        this.#flow(b, e, "step");
        break;
      case 0x66: // f
        this.#flow(b, e, "end");
        break;
      case 0x62: // b
      case 0x53: // S
        this.#asyncBegin(b, e);
        break;
      case 0x65: // e
      case 0x46: // F
        this.#asyncEnd(b, e);
        break;
      case 0x6e: // n
      case 0x54: // T
      case 0x70: // p
        this.#asyncInstant(b, e);
        break;
      case 0x50: // P
        this.#sample(b, e);
        break;
      case 0:
        this.#odd.add("noPhase", this.#stream.byteOffset);
        break;
      default:
        this.#odd.addPhase(e.phase, this.#stream.byteOffset);
    }
  }

  sampleEvent(b: Uint8Array, e: EventFields): void {
    this.#events++;
    this.#sample(b, e);
  }

  member(key: string, b: Uint8Array, from: number, to: number): void {
    this.#members++;
    if (key === "displayTimeUnit") return; // times are µs whatever it says
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder().decode(b.subarray(from, to)));
    } catch {
      this.#odd.add("badMember", this.#stream.byteOffset);
      return;
    }
    if (key === "stackFrames" && isRecord(value)) this.#stackFrames = value;
    else if ((key === "otherData" || key === "metadata") && isRecord(value))
      for (const [name, each] of Object.entries(value)) this.#fact(name, each);
    else this.#fact(key, value);
  }

  garbage(byteOffset: number): void {
    this.#odd.add("garbage", byteOffset);
  }
  tooLong(_what: string, byteOffset: number): void {
    this.#odd.add("tooLong", byteOffset);
  }

  // --- phases ---

  #complete(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    const track = thread.track ?? this.#tracks.threadTrack(thread);
    const args = this.#argsOf(b, e, false);
    let dur = e.dur;
    if (!(dur >= 0)) {
      if (dur < 0) {
        this.#odd.add("negativeDuration", this.#stream.byteOffset);
        dur = 0;
      } else this.#odd.add("noDuration", this.#stream.byteOffset);
    } else if (ts + dur > this.#last) this.#last = ts + dur;
    this.#sink.slice(track, ts, dur as Ns, e.name, e.category, args);
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  #begin(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    const track = this.#tracks.threadTrack(thread);
    if (e.extraCount > 0 && this.#takeMark(b, e)) {
      const args = this.#argsOf(b, e, false);
      this.#sink.slice(track, ts, Number.NaN as Ns, e.name, e.category, args);
      return;
    }
    this.#sink.begin(track, ts, e.name, e.category, this.#argsOf(b, e, false));
    if (thread.openNames.length < MAX_OPEN_NAMES) thread.openNames.push(e.name);
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  /** Whether kymo's writer marked this begin as open for good (writer.ts); the mark is taken off. */
  #takeMark(b: Uint8Array, e: EventFields): boolean {
    const last = 4 * (e.extraCount - 1);
    const isMarked = spells(b, e.extras[last]!, e.extras[last + 1]!, "kymo_open");
    if (isMarked) e.extraCount--;
    return isMarked;
  }

  #end(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    const track = this.#tracks.threadTrack(thread);
    const open = thread.openNames.pop();
    if (open !== undefined && e.nameTo !== 0 && e.name !== EMPTY_STRING && e.name !== open)
      this.#odd.add("endName", this.#stream.byteOffset);
    this.#sink.end(track, ts, this.#argsOf(b, e, false));
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  #instant(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    let track: TrackId;
    if (e.scope === 0x67) {
      this.#globalTrack ??= this.#sink.track({ kind: "custom", name: "Global instants" });
      track = this.#globalTrack;
    } else if (e.scope === 0x70) track = this.#tracks.processTrack(thread.process);
    else track = this.#tracks.threadTrack(thread);
    this.#sink.instant(track, ts, e.name, e.category, this.#argsOf(b, e, false));
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  #counter(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const { process } = this.#thread(b, e);
    const id = e.idTo === 0 ? "" : idText(b, e.idFrom, e.idTo);
    const isObject = this.#args.numbers(b, e.argsFrom, e.argsTo, (key, value, isNumber) => {
      if (!isNumber) {
        this.#odd.add("badCounter", this.#stream.byteOffset);
        return;
      }
      const series = `${process.key} ${e.name} ${key} ${id}`;
      let track = this.#counters.get(series);
      if (track === undefined) {
        track = this.#counterTrack(b, e, process, id, key);
        this.#counters.set(series, track);
      }
      this.#sink.counter(track, ts, value);
    });
    if (!isObject) this.#odd.add("badCounter", this.#stream.byteOffset);
  }

  #counterTrack(
    b: Uint8Array,
    e: EventFields,
    process: ProcessEntry,
    id: string,
    key: StringId,
  ): TrackId {
    const own = this.#ownCounters.get(`${process.key} ${nameText(b, e)} ${id}`);
    const parent =
      own?.parent !== undefined
        ? this.#tracks.threadTrack(own.parent)
        : process.isHolder
          ? undefined
          : this.#tracks.processTrack(process);
    return this.#sink.track({
      kind: "counter",
      name: own?.name ?? this.#counterName(b, e, id, key),
      ...(parent !== undefined && { parent }),
      ...(own?.unit !== undefined && { unit: own.unit }),
    });
  }

  /** "name[id] key"; the key "value" says nothing and is left out. */
  #counterName(b: Uint8Array, e: EventFields, id: string, key: StringId): string {
    const name = nameText(b, e);
    const keyText = this.#keyText(b, e, key);
    return `${name}${id === "" ? "" : `[${id}]`}${keyText === "value" ? "" : ` ${keyText}`}`;
  }

  /** The text of a key of this event's args: found again by its id, once for each new series. */
  #keyText(b: Uint8Array, e: EventFields, key: StringId): string {
    const args = jsonOf(b, e.argsFrom, e.argsTo);
    if (isRecord(args))
      for (const text of Object.keys(args)) {
        const bytes = new TextEncoder().encode(text);
        if (keyId(this.#strings, bytes, 0, bytes.length) === key) return text;
      }
    return "value";
  }

  #flow(b: Uint8Array, e: EventFields, step: FlowStep): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    const track = this.#tracks.threadTrack(thread);
    const [from, to] = e.idTo !== 0 ? [e.idFrom, e.idTo] : [e.bindIdFrom, e.bindIdTo];
    if (to === 0) {
      this.#odd.add("flowId", this.#stream.byteOffset);
      return;
    }
    const id = BigInt.asUintN(64, idOf(b, from, to) ^ this.#flowSpace(e.category));
    const bind = step === "end" && e.bindPoint !== 0x65 ? "next" : "enclosing";
    this.#sink.flow(id, track, ts, step, bind);
  }

  /** Flows are told apart by category and id: the category's number goes into the id's top byte, 0 for the first. */
  #flowSpace(category: StringId): bigint {
    let space = this.#flowCategories.get(category);
    if (space === undefined) {
      space = BigInt(this.#flowCategories.size) << 56n;
      this.#flowCategories.set(category, space);
    }
    return space;
  }

  /** Flows of the second version: "bind_id" with "flow_in" and "flow_out" on the event itself. */
  #boundFlow(b: Uint8Array, e: EventFields, track: TrackId, ts: Ns): void {
    if (!e.flowIn && !e.flowOut) return;
    const id = idOf(b, e.bindIdFrom, e.bindIdTo);
    this.#sink.flow(id, track, ts, e.flowIn ? (e.flowOut ? "step" : "end") : "start", "last");
  }

  #asyncBegin(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    const key = this.#asyncKey(b, e, thread);
    if (key === undefined) return;
    const args = e.argsTo - e.argsFrom > 2 ? b.slice(e.argsFrom, e.argsTo) : undefined;
    const { name, category } = e;
    this.#async.begin(key, () => this.#lanesOf(b, e, thread), { ts, name, category, args });
  }

  #asyncEnd(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const key = this.#asyncKey(b, e, this.#thread(b, e));
    if (key === undefined) return;
    const open = this.#async.innermost(key);
    if (open === undefined) {
      this.#odd.add("asyncEnd", this.#stream.byteOffset);
      return;
    }
    if (e.name !== EMPTY_STRING && e.name !== open)
      this.#odd.add("asyncEndName", this.#stream.byteOffset);
    this.#async.end(key, ts, (begin) => {
      if (begin !== undefined) this.#addArgs(begin, 0, begin.length);
      return this.#argsOf(b, e, true);
    });
  }

  #asyncInstant(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    const key = this.#asyncKey(b, e, thread);
    if (key === undefined) return;
    const args = this.#argsOf(b, e, true);
    const { name, category } = e;
    this.#async.instant(key, () => this.#lanesOf(b, e, thread), { ts, name, category, args });
  }

  /** Category and id; of the older phases also the name; of a local id also the process. */
  #asyncKey(b: Uint8Array, e: EventFields, thread: ThreadEntry): string | undefined {
    let id: bigint | undefined;
    let process = "";
    if (e.idTo !== 0) id = idOf(b, e.idFrom, e.idTo);
    else if (e.id2To !== 0) {
      const id2 = jsonOf(b, e.id2From, e.id2To);
      const { local, global } = isRecord(id2) ? id2 : ({} as Record<string, unknown>);
      const text = new TextEncoder().encode(`"${String(local ?? global)}"`);
      if (local !== undefined || global !== undefined) id = idOf(text, 0, text.length);
      if (local !== undefined) process = `@${thread.process.key}`;
    }
    if (id === undefined) {
      this.#odd.add("asyncId", this.#stream.byteOffset);
      return undefined;
    }
    const isOld = "STpF".includes(String.fromCharCode(e.phase));
    return `${e.category} ${e.idScope} ${id} ${isOld ? e.name : ""}${process}`;
  }

  #lanesOf(b: Uint8Array, e: EventFields, thread: ThreadEntry): Lanes {
    const isDeclared = thread.kind !== "thread";
    const key = isDeclared
      ? `track ${thread.process.key} ${thread.key}`
      : `${thread.process.key} ${e.category} ${e.name}`;
    let lanes = this.#lanes.get(key);
    if (lanes === undefined) {
      const name = nameText(b, e);
      const declare = isDeclared
        ? () => this.#tracks.threadTrack(thread)
        : () =>
            this.#sink.track({
              kind: "async",
              name,
              parent: this.#tracks.processTrack(thread.process),
            });
      lanes = { declare, lanes: [], isShared: isDeclared };
      this.#lanes.set(key, lanes);
    }
    return lanes;
  }

  #sample(b: Uint8Array, e: EventFields): void {
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    let weight = 1;
    let cpu = -1;
    for (let i = 0; i < 4 * e.extraCount; i += 4) {
      const key = decodeString(b, e.extras[i]!, e.extras[i + 1]!, false);
      const value = Number(
        ascii(b, e.extras[i + 2]!, Math.min(e.extras[i + 3]!, e.extras[i + 2]! + 40)),
      );
      if (key === "weight" && !Number.isNaN(value)) weight = value;
      else if (key === "cpu" && !Number.isNaN(value)) cpu = value;
    }
    let stack = -1;
    if (e.stackTo !== 0) {
      const key = idText(b, e.stackFrom, e.stackTo);
      stack = this.#stackKeys.get(key) ?? this.#stackKeys.size;
      this.#stackKeys.set(key, stack);
    }
    this.#samples.push({ thread: this.#tracks.threadTrack(thread), ts, stack, weight, cpu });
  }

  /** "stackFrames" usually follow the samples: they wait for it. */
  #giveSamples(): void {
    if (this.#samples.length === 0) return;
    const frames = this.#stackFrames ?? {};
    const known = new Map<string, StackId>();
    const stacks = [...this.#stackKeys.keys()].map((key) => this.#stack(frames, key, known));
    for (const { thread, ts, stack, weight, cpu } of this.#samples)
      this.#sink.sample(thread, ts, stack < 0 ? NO_STACK : stacks[stack]!, weight, cpu);
  }

  #stack(
    frames: { readonly [id: string]: unknown },
    key: string,
    known: Map<string, StackId>,
  ): StackId {
    // Outermost last: a loop over parents, because a file may nest them without end or in a ring.
    const path: { readonly key: string; readonly frame: { readonly [name: string]: unknown } }[] =
      [];
    const seen = new Set<string>();
    let at: string | undefined = key;
    let stack: StackId | undefined;
    while (at !== undefined && stack === undefined && !seen.has(at)) {
      seen.add(at);
      stack = known.get(at);
      const frame: unknown = Object.hasOwn(frames, at) ? frames[at] : undefined;
      if (stack !== undefined) break;
      if (!isRecord(frame)) {
        this.#odd.add("stacks", this.#stream.byteOffset);
        break;
      }
      path.push({ key: at, frame });
      const { parent } = frame;
      at = typeof parent === "string" || typeof parent === "number" ? String(parent) : undefined;
    }
    let top = stack ?? NO_STACK;
    for (const { key: id, frame } of path.reverse()) {
      const { name, category, file, line, address, build_id: buildId, inlined } = frame;
      top = this.#sink.stack(
        top,
        this.#sink.frame({
          name: String(name ?? ""),
          ...(typeof category === "string" && category !== "" && { module: category }),
          ...(typeof file === "string" && { file }),
          ...(typeof line === "number" && { line }),
          ...(typeof address === "string" &&
            /^0x[\da-f]{1,16}$/.test(address) && { address: BigInt(address) }),
          ...(typeof buildId === "string" && { buildId }),
          ...(typeof inlined === "boolean" && { inlined }),
        }),
      );
      known.set(id, top);
    }
    return top;
  }

  // --- metadata ---

  #metadata(b: Uint8Array, e: EventFields): void {
    const name = nameText(b, e);
    const value = jsonOf(b, e.argsFrom, e.argsTo);
    if (!isRecord(value)) {
      this.#odd.add("badMetadata", this.#stream.byteOffset);
      return;
    }
    const { name: given, sort_index: sortIndex } = value;
    if (name === "kymo_clock") {
      this.#ownClock(value);
      return;
    }
    const pid = this.#idKey(b, e.pid, e.pidFrom, e.pidTo);
    const process = this.#tracks.process(pid);
    if (name === "kymo_process") {
      this.#ownProcess(process, value);
      return;
    }
    const isProcess = name.startsWith("process_");
    const thread = isProcess
      ? undefined
      : this.#tracks.thread(pid, this.#idKey(b, e.tid, e.tidFrom, e.tidTo));
    const entry = thread ?? process;
    if (name === "process_name" || name === "thread_name") {
      if (typeof given === "string") this.#tracks.rename(entry, wellFormed(given));
      else this.#odd.add("badMetadata", this.#stream.byteOffset);
    } else if (name === "process_sort_index" || name === "thread_sort_index") {
      const index = Number(sortIndex);
      if (!Number.isFinite(index)) this.#odd.add("badMetadata", this.#stream.byteOffset);
      else if (entry.track !== undefined && entry.sortIndex !== index)
        this.#odd.add("lateSort", this.#stream.byteOffset);
      else {
        entry.sortIndex = index;
        entry.isNamed = true;
      }
    } else if (name === "kymo_thread") this.#ownThread(thread!, value);
    else if (name === "kymo_counter") this.#ownCounter(process, value);
    else {
      const fact = Object.values(value).length === 1 ? Object.values(value)[0] : value;
      this.#fact(e.pidTo === 0 ? name : `${name}[${pid}]`, fact);
    }
  }

  // What kymo's own writer says beside the format (write-rows.ts).

  #ownClock({ domain, origin_ns: origin }: { readonly [name: string]: unknown }): void {
    if (
      !Number.isNaN(this.#originUs) ||
      typeof origin !== "string" ||
      !/^-?\d{1,19}$/.test(origin)
    ) {
      this.#odd.add("badMetadata", this.#stream.byteOffset);
      return;
    }
    if (isDomain(domain)) this.#domain = domain;
    const originNs = BigInt(origin);
    const us = originNs / 1000n - (originNs % 1000n < 0n ? 1n : 0n);
    this.#originUs = Number(us);
    this.#originNs = Number(originNs - us * 1000n);
    this.#sink.clock({ domain: this.#domain, originNs, errorNs: 0 });
  }

  #ownProcess(process: ProcessEntry, value: { readonly [name: string]: unknown }): void {
    const { pid, parent_pid: parentPid, holder } = value;
    if (pid === null || typeof pid === "number") process.pid = pid;
    if (typeof parentPid === "number") process.parentPid = parentPid;
    process.isHolder = holder === true;
  }

  #ownThread(thread: ThreadEntry, value: { readonly [name: string]: unknown }): void {
    const { kind, cpu, pid, tid } = value;
    if (kind === "cpu" || kind === "async" || kind === "custom" || kind === "process")
      thread.kind = kind;
    if (typeof cpu === "number") thread.cpu = cpu;
    if (typeof pid === "number") thread.pid = pid;
    if (typeof tid === "number") thread.tid = tid;
  }

  #ownCounter(process: ProcessEntry, value: { readonly [name: string]: unknown }): void {
    const { name, id, unit, tid } = value;
    const key = `${process.key} ${String(name)} ${id === undefined ? "" : String(id)}`;
    this.#ownCounters.set(key, {
      name: String(name),
      ...(typeof unit === "string" && { unit }),
      ...(typeof tid === "number" && { parent: this.#tracks.thread(process.key, tid) }),
    });
  }

  #fact(name: string, value: unknown): void {
    if (name === "clock-domain" && typeof value === "string") {
      this.#domain = domains[value] ?? "unknown";
      if (this.#domain !== "unknown") return;
    }
    if (name === "kymo.clock_snapshots" && Array.isArray(value)) {
      for (const readings of value)
        if (isSnapshot(readings))
          this.#sink.clockSnapshot(readings.map(([domain, ns]) => [domain, BigInt(ns)] as const));
      return;
    }
    if (name === "kymo.problems" && Array.isArray(value)) {
      for (const problem of value) if (isProblem(problem)) this.#sink.problem(problem);
      return;
    }
    const text = typeof value === "string" ? value : JSON.stringify(value);
    this.#sink.metadata(wellFormed(name), wellFormed(text));
  }

  // --- what every event has ---

  /** ns since the origin, NaN (and counted) when the event has no time. The first time starts the clock. */
  #time(e: EventFields): Ns {
    const us = e.tsUs;
    if (Number.isNaN(us)) {
      this.#odd.add("noTime", this.#stream.byteOffset);
      return us as Ns;
    }
    if (Number.isNaN(this.#originUs)) this.#startClock(us);
    const ts = (us - this.#originUs) * 1000 + (e.tsNs - this.#originNs);
    if (ts > this.#last) this.#last = ts;
    if (ts > FAR_NS || ts < -FAR_NS) this.#odd.add("farTime", this.#stream.byteOffset);
    return ts as Ns;
  }

  #startClock(us: number): void {
    this.#originUs = us;
    this.#sink.clock({ domain: this.#domain, originNs: BigInt(us) * 1000n, errorNs: 0 });
  }

  #thread(b: Uint8Array, e: EventFields): ThreadEntry {
    const { pid, tid } = e;
    if (!Number.isNaN(pid) && !Number.isNaN(tid)) return this.#tracks.thread(pid, tid);
    return this.#tracks.thread(
      this.#idKey(b, pid, e.pidFrom, e.pidTo),
      this.#idKey(b, tid, e.tidFrom, e.tidTo),
    );
  }

  /** A pid or tid: the number, else its text, else 0 when there is none. */
  #idKey(b: Uint8Array, value: number, from: number, to: number): IdKey {
    if (!Number.isNaN(value)) return value;
    return to === 0 ? 0 : idText(b, from, to);
  }

  /** @param usesId  the event's id is part of what it means, not an argument */
  #argsOf(b: Uint8Array, e: EventFields, usesId: boolean): ArgSetId {
    const isEmpty = e.argsTo - e.argsFrom <= 2;
    if (isEmpty && e.extraCount === 0 && (usesId || e.idTo === 0))
      return usesId ? this.#args.done() : NO_ARGS;
    if (!isEmpty) this.#addArgs(b, e.argsFrom, e.argsTo);
    for (let i = 0; i < 4 * e.extraCount; i += 4) {
      const key = keyId(this.#strings, b, e.extras[i]!, e.extras[i + 1]!);
      if (!this.#args.add(b, e.extras[i + 2]!, e.extras[i + 3]!, key))
        this.#odd.add("badArgs", this.#stream.byteOffset);
    }
    if (!usesId && e.idTo !== 0) {
      const key = keyId(this.#strings, ID_KEY, 0, 2);
      if (!this.#args.add(b, e.idFrom, e.idTo, key))
        this.#odd.add("badArgs", this.#stream.byteOffset);
    }
    return this.#args.done();
  }

  #argsOfBytes(bytes: Uint8Array | undefined): ArgSetId {
    if (bytes === undefined) return NO_ARGS;
    this.#addArgs(bytes, 0, bytes.length);
    return this.#args.done();
  }

  #addArgs(b: Uint8Array, from: number, to: number): void {
    const key = keyId(this.#strings, ARGS_KEY, 0, 4);
    if (!this.#args.addMembers(b, from, to, key)) this.#odd.add("badArgs", this.#stream.byteOffset);
  }
}

interface OwnCounter {
  readonly name: string;
  readonly unit?: string;
  readonly parent?: ThreadEntry;
}
interface HeldSample {
  readonly thread: TrackId;
  readonly ts: Ns;
  /** Index of the stack's key; −1: none. */
  readonly stack: number;
  readonly weight: number;
  readonly cpu: number;
}

/** Names of open slices kept for each thread, to notice ends that name another. */
const MAX_OPEN_NAMES = 1024;
const ARGS_KEY = new TextEncoder().encode("args");
const ID_KEY = new TextEncoder().encode("id");

/** Names of clocks in Chrome's metadata ("clock-domain"). */
const domains: { readonly [name: string]: ClockDomain } = {
  LINUX_CLOCK_MONOTONIC: "monotonic",
  LINUX_CLOCK_BOOTTIME: "boottime",
  LINUX_CLOCK_REALTIME: "realtime",
  TSC: "tsc",
};

const isDomain = (value: unknown): value is ClockDomain =>
  value === "unknown" || Object.values(domains).includes(value as ClockDomain);
function isSnapshot(value: unknown): value is readonly (readonly [ClockDomain, string])[] {
  return (
    Array.isArray(value) &&
    value.every(
      (reading) =>
        Array.isArray(reading) && isDomain(reading[0]) && /^-?\d{1,19}$/.test(String(reading[1])),
    )
  );
}

function nameText(b: Uint8Array, e: EventFields): string {
  return decodeString(b, e.nameFrom, e.nameTo, true);
}
/** Text of an id: without its quotes, if it has them. */
function idText(b: Uint8Array, from: number, to: number): string {
  return b[from] === QUOTE
    ? decodeString(b, from + 1, to - 1, true)
    : decodeString(b, from, to, false);
}
/** The value b[from, to) as an object, for the few events where speed does not matter; undefined when it is no JSON. */
function jsonOf(b: Uint8Array, from: number, to: number): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(b.subarray(from, to)));
  } catch {
    return undefined;
  }
}
function isRecord(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
const problemKinds = new Set<unknown>([
  "lost-events",
  "truncated",
  "malformed",
  "unsupported",
  "unmatched-end",
  "late",
  "clock",
]);
function isProblem(value: unknown): value is Problem & { readonly [name: string]: unknown } {
  if (!isRecord(value)) return false;
  const { kind, message } = value;
  return problemKinds.has(kind) && typeof message === "string";
}
