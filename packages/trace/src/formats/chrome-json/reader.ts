/**
 * Chrome JSON → TraceSink.
 *
 *     bytes ─► JsonTraceStream (grammar) ─► parseEvent (fields) ─► here: times, tracks, phases ─► sink
 */
import {
  type ClockDomain,
  EMPTY_STRING,
  type FlowStep,
  type Ns,
  type StringId,
  type TraceSink,
  type TrackId,
} from "../../model/sink.ts";
import { wellFormed } from "../../wire/json-bytes.ts";
import { JsonStrings } from "../../wire/json-strings.ts";
import { FormatError, type StreamReader } from "../format.ts";
import { AsyncReader } from "./async-reader.ts";
import { CounterTracks } from "./counters.ts";
import { type Oddity, OddityCounts } from "./counts.ts";
import { type EventFields, idOf } from "./event.ts";
import { EventArgs } from "./event-args.ts";
import {
  chromeClocks,
  describeProcess,
  describeThread,
  ownClock,
  ownProblems,
  ownSnapshots,
} from "./own-metadata.ts";
import { HeldSamples } from "./samples.ts";
import { type JsonTraceHandler, JsonTraceStream } from "./stream.ts";
import { type IdKey, JsonTracks, type ProcessEntry, type ThreadEntry } from "./tracks.ts";
import { idText, isRecord, type JsonRecord, jsonOf, nameText } from "./values.ts";

/** Beyond this many ns from the origin a float64 is coarser than 1 ns. */
const FAR_NS = 2 ** 53;
/** Names of open slices kept for each thread, to notice ends that name another. */
const MAX_OPEN_NAMES = 1024;

const char = (text: string): number => text.charCodeAt(0);
const Phase = {
  begin: char("B"),
  end: char("E"),
  complete: char("X"),
  instant: char("i"),
  oldInstant: char("I"),
  mark: char("R"),
  counter: char("C"),
  metadata: char("M"),
  flowStart: char("s"),
  flowStep: char("t"),
  flowEnd: char("f"),
  asyncBegin: char("b"),
  asyncEnd: char("e"),
  asyncInstant: char("n"),
  oldAsyncBegin: char("S"),
  oldAsyncEnd: char("F"),
  oldAsyncStepInto: char("T"),
  oldAsyncStepPast: char("p"),
  sample: char("P"),
} as const;
const GLOBAL = char("g");
const PROCESS = char("p");
const ENCLOSING = char("e");

export class ChromeJsonReader implements StreamReader, JsonTraceHandler {
  readonly #sink: TraceSink;
  readonly #stream: JsonTraceStream;
  readonly #tracks: JsonTracks;
  readonly #args: EventArgs;
  readonly #async: AsyncReader;
  readonly #counters: CounterTracks;
  readonly #samples: HeldSamples;
  readonly #odd = new OddityCounts();
  #domain: ClockDomain = "unknown";
  /** Whole µs at Ns 0, and the ns after them; NaN until the first event with a time. */
  #originUs: number = Number.NaN;
  #originNs = 0;
  #last: number = Number.NEGATIVE_INFINITY;
  /** kymo wrote it: its ends name what came before them in the file, which need not be the order of time. */
  #isOwn = false;
  #events = 0;
  #members = 0;
  readonly #flowCategories = new Map<StringId, bigint>();
  #globalTrack: TrackId | undefined;

  constructor(sink: TraceSink) {
    this.#sink = sink;
    const text = (value: string): StringId => (value === "" ? EMPTY_STRING : sink.string(value));
    const strings = new JsonStrings(text);
    this.#stream = new JsonTraceStream(this, strings);
    this.#tracks = new JsonTracks(sink);
    this.#args = new EventArgs(strings, sink.args, text, () => this.#count("badArgs"));
    this.#async = new AsyncReader(sink, this.#tracks, this.#args, this.#odd);
    this.#counters = new CounterTracks(sink, this.#tracks, this.#args.reader, strings);
    this.#samples = new HeldSamples(sink, this.#odd);
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
    if (Number.isNaN(this.#originUs)) this.#startClock(0);
    this.#async.flush();
    this.#tracks.declareRest();
    this.#samples.give(this.#stream.byteOffset);
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
    const { phase } = e;
    if (phase === Phase.metadata) {
      this.#metadata(b, e);
      return;
    }
    if (!isRead[phase]) {
      if (phase === 0) this.#count("noPhase");
      else this.#odd.addPhase(phase, this.#stream.byteOffset);
      return;
    }
    const ts = this.#time(e);
    if (Number.isNaN(ts)) return;
    const thread = this.#thread(b, e);
    const { byteOffset } = this.#stream;
    switch (phase) {
      case Phase.complete:
        this.#complete(b, e, thread, ts);
        break;
      case Phase.begin:
        this.#begin(b, e, thread, ts);
        break;
      case Phase.end:
        this.#end(b, e, thread, ts);
        break;
      case Phase.instant:
      case Phase.oldInstant:
      case Phase.mark:
        this.#instant(b, e, thread, ts);
        break;
      case Phase.counter:
        this.#count("badCounter", this.#counters.add(b, e, thread.process, ts));
        break;
      case Phase.flowStart:
        this.#flow(b, e, thread, ts, "start");
        break;
      case Phase.flowStep:
        this.#flow(b, e, thread, ts, "step");
        break;
      case Phase.flowEnd:
        this.#flow(b, e, thread, ts, "end");
        break;
      case Phase.asyncBegin:
      case Phase.oldAsyncBegin:
        this.#async.begin(b, e, thread, ts, byteOffset);
        break;
      case Phase.asyncEnd:
      case Phase.oldAsyncEnd:
        this.#async.end(b, e, thread, ts, byteOffset);
        break;
      case Phase.sample:
        this.#samples.hold(b, e, this.#tracks.threadTrack(thread), ts);
        break;
      default:
        this.#async.instant(b, e, thread, ts, byteOffset);
    }
  }

  sampleEvent(b: Uint8Array, e: EventFields): void {
    e.phase = Phase.sample;
    this.event(b, e);
  }

  member(key: string, b: Uint8Array, from: number, to: number): void {
    this.#members++;
    if (key === "displayTimeUnit") return; // times are µs whatever it says
    const value = jsonOf(b, from, to);
    if (value === undefined) this.#count("badMember");
    else if (key === "stackFrames" && isRecord(value)) this.#samples.frames = value;
    else if ((key === "otherData" || key === "metadata") && isRecord(value))
      for (const [name, each] of Object.entries(value)) this.#fact(name, each);
    else this.#fact(key, value);
  }

  garbage(byteOffset: number): void {
    this.#odd.add("garbage", byteOffset);
  }
  tooLong(byteOffset: number): void {
    this.#odd.add("tooLong", byteOffset);
  }

  // --- phases ---

  #complete(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns): void {
    const track = thread.track ?? this.#tracks.threadTrack(thread);
    const args = this.#args.of(b, e, false);
    let { dur } = e;
    if (dur >= 0) {
      if (ts + dur > this.#last) this.#last = ts + dur;
    } else if (dur < 0) {
      this.#count("negativeDuration");
      dur = 0;
    } else this.#count("noDuration");
    this.#sink.slice(track, ts, dur as Ns, e.name, e.category, args);
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  #begin(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns): void {
    const track = this.#tracks.threadTrack(thread);
    // kymo's writer marks what is open for good, so that the end of another slice does not end it.
    if (e.takeLastExtra(b, "kymo_open")) {
      const args = this.#args.of(b, e, false);
      this.#sink.slice(track, ts, Number.NaN as Ns, e.name, e.category, args);
    } else {
      this.#sink.begin(track, ts, e.name, e.category, this.#args.of(b, e, false));
      if (thread.openNames.length < MAX_OPEN_NAMES) thread.openNames.push(e.name);
    }
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  #end(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns): void {
    const track = this.#tracks.threadTrack(thread);
    const open = thread.openNames.pop();
    if (open !== undefined && e.name !== EMPTY_STRING && e.name !== open && !this.#isOwn)
      this.#count("endName");
    e.dropEndTimes(b);
    this.#sink.end(track, ts, this.#args.of(b, e, false));
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  #instant(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns): void {
    let track: TrackId;
    if (e.scope === GLOBAL) {
      this.#globalTrack ??= this.#sink.track({ kind: "custom", name: "Global instants" });
      track = this.#globalTrack;
    } else if (e.scope === PROCESS) track = this.#tracks.processTrack(thread.process);
    else track = this.#tracks.threadTrack(thread);
    this.#sink.instant(track, ts, e.name, e.category, this.#args.of(b, e, false));
    if (e.bindIdTo !== 0) this.#boundFlow(b, e, track, ts);
  }

  #flow(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns, step: FlowStep): void {
    const track = this.#tracks.threadTrack(thread);
    const [from, to] = e.idTo !== 0 ? [e.idFrom, e.idTo] : [e.bindIdFrom, e.bindIdTo];
    if (to === 0) {
      this.#count("flowId");
      return;
    }
    const id = BigInt.asUintN(64, idOf(b, from, to) ^ this.#flowSpace(e.category));
    const bind = step === "end" && e.bindPoint !== ENCLOSING ? "next" : "enclosing";
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

  // --- metadata ---

  #metadata(b: Uint8Array, e: EventFields): void {
    const name = nameText(b, e);
    const value = jsonOf(b, e.argsFrom, e.argsTo);
    if (!isRecord(value)) {
      this.#count("badMetadata");
      return;
    }
    const pid = this.#idKey(b, e.pid, e.pidFrom, e.pidTo);
    const process = this.#tracks.process(pid);
    const thread = (): ThreadEntry =>
      this.#tracks.thread(pid, this.#idKey(b, e.tid, e.tidFrom, e.tidTo));
    switch (name) {
      case "process_name":
        this.#rename(process, value);
        break;
      case "thread_name":
        this.#rename(thread(), value);
        break;
      case "process_sort_index":
        this.#sort(process, value);
        break;
      case "thread_sort_index":
        this.#sort(thread(), value);
        break;
      case "kymo_clock":
        this.#ownClock(value);
        break;
      case "kymo_process":
        describeProcess(process, value);
        break;
      case "kymo_thread":
        describeThread(thread(), value);
        break;
      case "kymo_counter":
        this.#counters.describe(process, value);
        break;
      default: {
        const values = Object.values(value);
        const fact = values.length === 1 ? values[0] : value;
        this.#fact(e.pidTo === 0 ? name : `${name}[${pid}]`, fact);
      }
    }
  }

  #rename(entry: ProcessEntry | ThreadEntry, { name }: JsonRecord): void {
    if (typeof name === "string") this.#tracks.rename(entry, wellFormed(name));
    else this.#count("badMetadata");
  }

  #sort(entry: ProcessEntry | ThreadEntry, { sort_index: given }: JsonRecord): void {
    const index = Number(given);
    if (!Number.isFinite(index)) this.#count("badMetadata");
    else if (entry.track !== undefined && entry.sortIndex !== index) this.#count("lateSort");
    else {
      entry.sortIndex = index;
      entry.isNamed = true;
    }
  }

  #ownClock(value: JsonRecord): void {
    const clock = ownClock(value);
    if (clock === undefined || !Number.isNaN(this.#originUs)) {
      this.#count("badMetadata");
      return;
    }
    this.#isOwn = true;
    const { originNs } = clock;
    const us = originNs / 1000n - (originNs % 1000n < 0n ? 1n : 0n);
    this.#originUs = Number(us);
    this.#originNs = Number(originNs - us * 1000n);
    this.#sink.clock(clock);
  }

  #fact(name: string, value: unknown): void {
    if (name === "kymo.clock_snapshots") {
      for (const readings of ownSnapshots(value)) this.#sink.clockSnapshot(readings);
      return;
    }
    if (name === "kymo.problems") {
      for (const problem of ownProblems(value)) this.#sink.problem(problem);
      return;
    }
    // Of use when it stands before the events.
    if (name === "clock-domain") this.#domain = chromeClocks[String(value)] ?? this.#domain;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    this.#sink.metadata(wellFormed(name), wellFormed(text));
  }

  // --- what every event has ---

  /** ns since the origin, NaN (and counted) when the event has no time. The first time starts the clock. */
  #time(e: EventFields): Ns {
    const us = e.tsUs;
    if (Number.isNaN(us)) {
      this.#count("noTime");
      return us as Ns;
    }
    if (Number.isNaN(this.#originUs)) this.#startClock(us);
    const ts = (us - this.#originUs) * 1000 + (e.tsNs - this.#originNs);
    if (ts > this.#last) this.#last = ts;
    if (ts > FAR_NS || ts < -FAR_NS) this.#count("farTime");
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

  #count(oddity: Oddity, times = 1): void {
    for (let i = 0; i < times; i++) this.#odd.add(oddity, this.#stream.byteOffset);
  }
}

/** By phase: whether its events are read. */
const isRead: readonly boolean[] = Array.from({ length: 256 }, (_, phase) =>
  Object.values(Phase).includes(phase),
);
