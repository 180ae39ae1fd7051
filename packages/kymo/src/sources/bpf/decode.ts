/**
 * Records of the probes' ring → calls of the sink. Each site has a layout of its own, so each gets a function of its own,
 * put together once from smaller ones that know their offsets.
 *
 *     record ─ site ─► handle(bytes, at, ts) ─► track · name · args ─► sink.slice(…)
 */
import {
  type EventTypeId,
  type FlowBind,
  NO_ARGS,
  NO_TRACK,
  type Ns,
  type StringId,
  type TraceSink,
} from "@kymo/trace";
import {
  type Field,
  type ForeignRecord,
  recordAt,
  recordHeaderBytes,
  type Site,
  type SiteArg,
} from "../../bpf/site.ts";
import { printable } from "../../cli/printable.ts";
import type { RecordBytes, RecordSource } from "../../linux/perf-ring.ts";
import type { CaptureContext } from "../perf/extra.ts";
import type { Task } from "../perf/tasks.ts";
import { type Read, readBig, readExact, readNumber, readTime } from "./fields.ts";
import { type LateTextSources, LateTexts, processMemory } from "./late-text.ts";
import { parseMark } from "./mark-text.ts";
import { OpenCalls } from "./open-calls.ts";
import type { ProbeRequest } from "./request.ts";
import { isStackField, StackReader } from "./stack-reader.ts";
import { isDead, stateLetter } from "./task-states.ts";
import { ProbeTracks } from "./tracks.ts";
import { Values } from "./values.ts";

export interface DecoderOptions {
  /** As in `process.arch`. */
  readonly arch: string;
  /** Printed lines go to the sink's log, too; they do without this. */
  readonly logged?: boolean;
  /** Memory of another process; for tests. */
  memory?: LateTextSources["memory"];
  /** A line that a probe prints. */
  onPrint?(ts: Ns, text: string): void;
}

interface DecodedSite {
  /** A record is at least so long. */
  readonly bytes: number;
  readonly handle: Handle;
}
type Handle = (bytes: RecordBytes, at: number, ts: Ns) => void;
type SiteOf<Kind extends Site["kind"]> = Extract<Site, { readonly kind: Kind }>;
type PointSite = SiteOf<"instant" | "begin" | "end">;

/** Ids of flows are the user's numbers; kymo's own of fork and child are small ones. "kymo" in the high half keeps them apart. */
const flowSpace = 0x6b79_6d6f_0000_0000n;
const flowId = (id: bigint): bigint => BigInt.asUintN(64, id ^ flowSpace);
const markCategory = "mark";
const timeWord = recordAt.time / 4;

export class BpfDecoder {
  /** Records handled. */
  events = 0;
  malformed = 0;
  /** Texts that begin like a mark and are none; the first of them. */
  unknownMarks = 0;
  unknownMark = "";
  readonly #late: LateTexts;
  readonly #sink: TraceSink;
  readonly #context: CaptureContext;
  readonly #options: DecoderOptions;
  readonly #tracks: ProbeTracks;
  readonly values: Values;
  /** Of addresses that were seen some time ago: the process may have replaced its program since. */
  readonly pastValues: Values;
  readonly #stacks: StackReader;
  readonly #types = new Map<string, EventTypeId>();
  readonly #sites: DecodedSite[] = [];
  readonly #calls = new OpenCalls();
  /** Records have no header, and are all of this kind. */
  readonly #foreign: DecodedSite | undefined;
  readonly #timeOf: Read<number> | undefined;
  /** Of the last round: the time of records that have none. */
  #roundNs = 0 as Ns;

  constructor(context: CaptureContext, request: ProbeRequest, options: DecoderOptions) {
    const { sink, symbols } = context;
    this.#sink = sink;
    this.#context = context;
    this.#options = options;
    this.#stacks = new StackReader(context, request.maps);
    this.#late = new LateTexts({
      memory: options.memory ?? processMemory,
      literal: (...where) => symbols.literal(...where),
    });
    const { arch } = options;
    this.values = new Values({ sink, symbols, stacks: this.#stacks, late: this.#late, arch });
    const past = { ...context, symbols: pastSymbols(symbols) };
    const stacks = new StackReader(past, request.maps);
    this.pastValues = new Values({ ...past, stacks, late: this.#late, arch });
    this.#tracks = new ProbeTracks(context, this.values);
    for (const type of request.eventTypes) this.#types.set(type.name, sink.eventType(type));
    for (const site of request.sites)
      this.#sites[site.id] = { bytes: site.bytes, handle: this.#handlerOf(site) };
    const { foreign } = request;
    if (foreign === undefined) return;
    this.#foreign = { bytes: foreign.bytes, handle: this.#foreignHandler(foreign) };
    this.#timeOf =
      foreign.time === undefined ? undefined : readTime(foreign.time.offset, context.originNs);
  }

  round(ts: Ns): void {
    this.#roundNs = ts;
  }

  /** Names that could be read no more. */
  get unreadableNames(): number {
    return this.#late.unreadable;
  }

  /** Events on tracks that were one too many. */
  get beyondTrackLimit(): number {
    return this.#tracks.beyondLimit;
  }

  /**
   * Time of the source's current record, ns since the origin. −Infinity for one too short to have one: it is found malformed
   * at once; and for one whose kind has none.
   */
  time(source: RecordSource, originHi: number, originLo: number): Ns {
    const foreign = this.#foreign;
    if (foreign !== undefined)
      return source.size < foreign.bytes || this.#timeOf === undefined
        ? (-Infinity as Ns)
        : (this.#timeOf(source.bytes, source.at) as Ns);
    if (source.size < recordHeaderBytes) return -Infinity as Ns;
    const { u32 } = source.bytes;
    const word = (source.at >> 2) + timeWord;
    return ((u32[word + 1]! - originHi) * 2 ** 32 + (u32[word]! - originLo)) as Ns;
  }

  record(source: RecordSource, ts: Ns): void {
    const { bytes, at, size } = source;
    const site =
      this.#foreign ?? (size < recordHeaderBytes ? undefined : this.#sites[bytes.u32[at >> 2]!]);
    if (site === undefined || size < site.bytes) {
      this.malformed++;
      return;
    }
    this.events++;
    site.handle(bytes, at, ts === -Infinity ? this.#roundNs : ts);
  }

  /** Records of another compiler's programs: an instant, or a slice where they say how long it was. */
  #foreignHandler(record: ForeignRecord): Handle {
    const sink = this.#sink;
    const site: Site = {
      id: 0,
      bytes: record.bytes,
      label: record.name,
      kind: "instant",
      track: { kind: "named", name: record.name, under: "host" },
      name: record.label ?? { type: "const-text", value: record.name },
      category: "",
      args: record.args,
      ...(record.process === undefined ? {} : { pid: record.process }),
    };
    const parts = this.#parts(site);
    const { name, category, args } = parts;
    const track =
      record.thread === undefined
        ? parts.track
        : this.#tracks.thread(
            readNumber(record.thread),
            record.process === undefined ? undefined : readNumber(record.process),
          );
    const duration =
      record.time === undefined || record.duration === undefined
        ? undefined
        : readNumber(record.duration);
    if (duration === undefined)
      return (bytes, at, ts) =>
        sink.instant(track(bytes, at), ts, name(bytes, at), category, args(bytes, at));
    return (bytes, at, ts) => {
      const ns = Math.max(0, duration(bytes, at)) as Ns;
      sink.slice(track(bytes, at), ts, ns, name(bytes, at), category, args(bytes, at));
    };
  }

  #handlerOf(site: Site): Handle {
    switch (site.kind) {
      case "instant":
      case "begin":
        return this.#named(site);
      case "end":
        return this.#end(site);
      case "slice":
        return this.#slice(site);
      case "counter":
        return this.#counter(site);
      case "sample":
        return this.#sample(site);
      case "switch":
        return this.#switch(site);
      case "waking":
        return this.#waking(site);
      case "typed":
        return this.#typed(site);
      case "print":
        return this.#print(site);
      case "flow":
        return this.#flow(site.flow, this.#tracks.of(site.track, site), "enclosing");
      case "mark":
        return this.#mark(site);
    }
  }

  #named(site: PointSite): Handle {
    const sink = this.#sink;
    const { track, name, category, args, flow } = this.#parts(site);
    const { call } = site;
    if (site.kind === "begin")
      return (bytes, at, ts) => {
        const on = track(bytes, at);
        if (call !== undefined) this.#calls.begin(on, call);
        sink.begin(on, ts, name(bytes, at), category, args(bytes, at));
        flow?.(bytes, at, ts);
      };
    return (bytes, at, ts) => {
      const on = track(bytes, at);
      sink.instant(on, ts, name(bytes, at), category, args(bytes, at));
      flow?.(bytes, at, ts);
    };
  }

  #end(site: PointSite): Handle {
    const sink = this.#sink;
    const track = this.#tracks.of(site.track, site);
    const args = this.#args(site.args, site);
    const { call } = site;
    if (call === undefined)
      return (bytes, at, ts) => sink.end(track(bytes, at), ts, args(bytes, at));
    return (bytes, at, ts) => {
      const on = track(bytes, at);
      const ending = this.#calls.end(on, call);
      for (let inner = 1; inner < ending; inner++) sink.end(on, ts, NO_ARGS);
      if (ending > 0) sink.end(on, ts, args(bytes, at));
    };
  }

  #slice(site: SiteOf<"slice">): Handle {
    const sink = this.#sink;
    const { track, name, category, args, flow } = this.#parts(site);
    const start = readTime(site.start.offset, this.#context.originNs);
    const duration = site.duration === undefined ? undefined : readNumber(site.duration);
    return (bytes, at, ts) => {
      const from = start(bytes, at);
      const ns = duration === undefined ? ts - from : duration(bytes, at);
      if (!(ns >= 0)) {
        this.malformed++;
        return;
      }
      const on = track(bytes, at);
      sink.slice(on, from as Ns, ns as Ns, name(bytes, at), category, args(bytes, at));
      flow?.(bytes, at, from as Ns);
    };
  }

  /** What an instant, a begin and a slice have in common. */
  #parts(site: PointSite | SiteOf<"slice">) {
    const track = this.#tracks.of(site.track, site);
    const category = this.#sink.string(site.category);
    return {
      track,
      name: this.values.name(site.name, this.#tracks.pid(site)),
      category,
      args: this.#args(site.args, site),
      flow: site.flow === undefined ? undefined : this.#flow(site.flow, track),
    };
  }

  #flow(
    { id: field, step }: { readonly id: Field; readonly step: "start" | "step" | "end" },
    track: ReturnType<ProbeTracks["of"]>,
    bind: FlowBind = "last",
  ): Handle {
    const id = readBig(field);
    return (bytes, at, ts) =>
      this.#sink.flow(flowId(id(bytes, at)), track(bytes, at), ts, step, bind);
  }

  /** What a program says in words: see mark-text.ts. */
  #mark(site: SiteOf<"mark">): Handle {
    const sink = this.#sink;
    const text = this.values.textIfReadable(site.text, this.#tracks.pid(site));
    const taskOf = this.#tracks.task(site);
    const category = sink.string(markCategory);
    return (bytes, at, ts) => {
      const words = text(bytes, at) ?? "";
      const mark = parseMark(words);
      const task = taskOf(bytes, at);
      if (mark === undefined || task === undefined) return;
      const { track } = task;
      // The call that says so is drawn on the same track, and isn't part of what it says.
      if (task.inSyscall) {
        sink.end(track, ts, NO_ARGS);
        task.inSyscall = false;
      }
      switch (mark.kind) {
        case "start":
          return sink.begin(track, ts, sink.string(mark.name), category, NO_ARGS);
        case "stop":
          return sink.end(track, ts, NO_ARGS);
        case "instant":
          return sink.instant(track, ts, sink.string(mark.name), category, NO_ARGS);
        case "counter": {
          const { name } = mark;
          const on = this.#tracks.counter(
            task.process.track,
            sink.string(name),
            () => name,
            undefined,
          );
          return sink.counter(on, ts, mark.value);
        }
        case "flow":
          return sink.flow(flowId(mark.id), track, ts, mark.step, "enclosing");
        case "unknown":
          this.unknownMarks++;
          this.unknownMark ||= words;
      }
    };
  }

  #args(args: readonly SiteArg[], site: Site): Read<ReturnType<TraceSink["args"]["done"]>> {
    const builder = this.#sink.args;
    const pid = this.#tracks.pid(site);
    const [first, second, ...more] = args.map((arg) => this.values.arg(arg, pid));
    // One or two arguments are most of all events: no loop.
    if (first === undefined) return () => NO_ARGS;
    if (second === undefined)
      return (bytes, at) => {
        first(bytes, at);
        return builder.done();
      };
    return (bytes, at) => {
      first(bytes, at);
      second(bytes, at);
      for (const write of more) write(bytes, at);
      return builder.done();
    };
  }

  #counter(site: SiteOf<"counter">): Handle {
    const sink = this.#sink;
    const track = this.#tracks.of(site.track, site);
    const pid = this.#tracks.pid(site);
    const name = this.values.name(site.name, pid);
    const text = this.values.text(site.name, pid);
    const value = readExact(site.value);
    return (bytes, at, ts) => {
      const on = this.#tracks.counter(
        track(bytes, at),
        name(bytes, at),
        () => text(bytes, at),
        site.unit,
      );
      sink.counter(on, ts, value(bytes, at));
    };
  }

  #sample(site: SiteOf<"sample">): Handle {
    this.#context.symbols.prepare();
    const task = this.#tracks.task(site);
    const stack = this.#stacks.stackOf(site.stacks.filter(isStackField), this.#tracks.pid(site));
    const cpu = site.cpu === undefined ? () => -1 : readNumber(site.cpu);
    return (bytes, at, ts) => {
      const sampled = task(bytes, at);
      if (sampled === undefined) return; // the idle task
      this.#sink.sample(sampled.track, ts, stack(bytes, at), site.weight, cpu(bytes, at));
    };
  }

  #switch(site: SiteOf<"switch">): Handle {
    const { tasks } = this.#context;
    const cpu = this.#tracks.cpu(site.cpu);
    const state = readNumber(site.state);
    const priority = readNumber(site.priority);
    const previousTask = this.#taskBy(site.previous, site.previousPid, site.previousName, site);
    const nextTask = this.#taskBy(site.next, site.nextPid, site.nextName, site);
    const letters: StringId[] = [];
    return (bytes, at, ts) => {
      const previous = previousTask(bytes, at);
      const next = nextTask(bytes, at);
      const bits = state(bytes, at);
      letters[bits] ??= this.#sink.string(stateLetter(bits));
      this.#sink.switch(
        cpu(bytes, at),
        ts,
        previous?.track ?? NO_TRACK,
        letters[bits],
        next?.track ?? NO_TRACK,
        priority(bytes, at),
      );
      if (previous?.exited && isDead(bits)) tasks.forget(previous);
    };
  }

  /** The task of a tid in the record; undefined for 0, the idle task. */
  #taskBy(tid: Field, pid: Field, name: Field | undefined, site: Site): Read<Task | undefined> {
    const { tasks } = this.#context;
    const tidOf = readNumber(tid);
    const pidOf = readNumber(pid);
    const nameOf = name === undefined ? undefined : this.values.text(name, this.#tracks.pid(site));
    return (bytes, at) => {
      const of = tidOf(bytes, at);
      if (of === 0) return undefined;
      return tasks.known(of) ?? tasks.task(of, pidOf(bytes, at), nameOf?.(bytes, at));
    };
  }

  #waking(site: SiteOf<"waking">): Handle {
    const { tasks } = this.#context;
    const thread = readNumber(site.thread);
    const interrupt = readNumber(site.interrupt);
    const targetCpu = readNumber(site.targetCpu);
    const waker = this.#tracks.task(site);
    return (bytes, at, ts) => {
      const tid = thread(bytes, at);
      if (tid === 0) return;
      const by = interrupt(bytes, at) !== 0 ? undefined : waker(bytes, at);
      this.#sink.waking(tasks.task(tid).track, ts, by?.track ?? NO_TRACK, targetCpu(bytes, at));
    };
  }

  #typed(site: SiteOf<"typed">): Handle {
    const type = this.#types.get(site.eventType);
    if (type === undefined) throw new RangeError(`no event type ${site.eventType}`);
    const track = this.#tracks.of(site.track, site);
    const args = this.#args(site.args, site);
    return (bytes, at, ts) => this.#sink.typed(type, track(bytes, at), ts, args(bytes, at));
  }

  #print(site: SiteOf<"print">): Handle {
    const pid = this.#tracks.pid(site);
    const track = this.#tracks.of({ kind: "thread" }, site);
    const values = site.values.map((value) => this.values.text(value, pid));
    const { pieces } = site;
    // Lines of stacks stay lines; those of texts from elsewhere are nobody's.
    const shown = site.values.map((value) =>
      isStackField(value) ? (text: string) => text : printable,
    );
    const logged = this.#options.logged !== false;
    return (bytes, at, ts) => {
      let text = pieces[0] ?? "";
      let line = text;
      for (const [i, value] of values.entries()) {
        const word = value(bytes, at);
        const piece = pieces[i + 1] ?? "";
        text += word + piece;
        line += shown[i]!(word) + piece;
      }
      this.#options.onPrint?.(ts, line);
      if (logged) this.#sink.log(track(bytes, at), ts, "info", this.#sink.string(text));
    };
  }
}

function pastSymbols(symbols: CaptureContext["symbols"]): CaptureContext["symbols"] {
  return {
    prepare: () => symbols.prepare(),
    literal: (...where) => symbols.literal(...where),
    frame: (pid, ip, kernel) => {
      const frame = symbols.frame(pid, ip, kernel);
      return frame.name === "[unknown]" && !kernel
        ? (symbols.frameBefore?.(pid, ip) ?? frame)
        : frame;
    },
  };
}
