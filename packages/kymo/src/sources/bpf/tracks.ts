/** Which track an event goes to: of the thread, the process or the CPU, or one that the probe names. */
import type { StringId, TraceSink, TrackId } from "@kymo/trace";
import { recordAt, type Site, type TrackSelector, type Value } from "../../bpf/site.ts";
import type { RecordBytes } from "../../linux/perf-ring.ts";
import type { CaptureContext } from "../perf/extra.ts";
import type { Task } from "../perf/tasks.ts";
import { type Read, readNumber } from "./fields.ts";
import type { Values } from "./values.ts";

/** Tracks that probes make by key, in all; what has a further key goes to one track for all of them. */
export const keyedTrackLimit = 10_000;
/** Ids below this pack with another into one exact float64 key. */
const idRadix = 2 ** 26;
const tidWord = recordAt.tid / 4;

export class ProbeTracks {
  /** Events whose key was one too many. */
  beyondLimit = 0;
  readonly #sink: TraceSink;
  readonly #context: CaptureContext;
  readonly #values: Values;
  readonly #cpus: readonly TrackId[];
  readonly #counters = new Map<number, TrackId>();
  /** By parent and name; shared by all sites that say the same. */
  readonly #named = new Map<string, TrackId>();
  #keyedCount = 0;
  #idle: TrackId | undefined;

  constructor(context: CaptureContext, values: Values) {
    this.#sink = context.sink;
    this.#context = context;
    this.#values = values;
    const cpus: TrackId[] = [];
    for (const [cpu, track] of context.cpus) cpus[cpu] = track;
    this.#cpus = cpus;
  }

  /** The track of an event of `site`. */
  of(selector: TrackSelector, site: Site): Read<TrackId> {
    switch (selector.kind) {
      case "thread":
        return selector.tid === undefined
          ? this.#currentThread(site)
          : this.thread(readNumber(selector.tid), undefined);
      case "process":
        return this.#process(
          selector.pid === undefined ? this.pid(site) : readNumber(selector.pid),
        );
      case "cpu":
        return this.cpu(selector.cpu ?? site.cpu);
      case "named":
        return this.#namedTrack(selector, site);
    }
  }

  /** The current process's id. */
  pid(site: Site): Read<number> {
    const known = site.pid === undefined ? undefined : readNumber(site.pid);
    const { tasks } = this.#context;
    return (
      known ??
      (({ u32 }, at) => {
        const tid = u32[(at >> 2) + tidWord]!;
        return tid === 0 ? 0 : tasks.task(tid).process.pid;
      })
    );
  }

  /** The task that the event happened in; undefined for the idle task. */
  task(site: Site): Read<Task | undefined> {
    const { tasks } = this.#context;
    const pid = site.pid === undefined ? undefined : readNumber(site.pid);
    return (bytes, at) => {
      const tid = bytes.u32[(at >> 2) + tidWord]!;
      return tasks.known(tid) ?? (tid === 0 ? undefined : tasks.task(tid, pid?.(bytes, at)));
    };
  }

  cpu(field: Site["cpu"]): Read<TrackId> {
    const { host } = this.#context;
    if (field === undefined) return () => host;
    const cpu = readNumber(field);
    const tracks = this.#cpus;
    return (bytes, at) => tracks[cpu(bytes, at)] ?? host;
  }

  #currentThread(site: Site): Read<TrackId> {
    const cpu = site.cpu === undefined ? undefined : this.cpu(site.cpu);
    const pid = site.pid === undefined ? undefined : readNumber(site.pid);
    const tid: Read<number> = ({ u32 }, at) => u32[(at >> 2) + tidWord]!;
    return this.thread(tid, pid, cpu);
  }

  /** Of the thread with that id; of the CPU, or of idle time, for id 0. */
  thread(
    tidOf: Read<number>,
    pidOf: Read<number> | undefined,
    idle?: Read<TrackId>,
  ): Read<TrackId> {
    const { tasks } = this.#context;
    return (bytes, at) => {
      const tid = tidOf(bytes, at);
      const task = tasks.known(tid);
      if (task !== undefined) return task.track;
      if (tid > 0) return tasks.task(tid, pidOf?.(bytes, at)).track;
      return idle === undefined ? this.#idleTrack() : idle(bytes, at);
    };
  }

  #process(pidOf: Read<number>): Read<TrackId> {
    const { tasks } = this.#context;
    return (bytes, at) => {
      const pid = pidOf(bytes, at);
      const known = tasks.process(pid);
      if (known !== undefined) return known.track;
      return pid > 0 ? tasks.task(pid, pid).process.track : this.#idleTrack();
    };
  }

  /** Each CPU has a task 0 that runs when no other does; interrupts happen in it. */
  #idleTrack(): TrackId {
    this.#idle ??= this.#declare("idle (task 0)", this.#context.host);
    return this.#idle;
  }

  #namedTrack(
    selector: Extract<TrackSelector, { readonly kind: "named" }>,
    site: Site,
  ): Read<TrackId> {
    const { host } = this.#context;
    const { name, under } = selector;
    const parent: Read<TrackId> =
      under === "host" ? () => host : this.of({ kind: under } as TrackSelector, site);
    const key = selector.key ?? [];
    const texts = key.map((value) => this.#values.text(value, this.pid(site)));
    const track = (bytes: RecordBytes, at: number, on: TrackId): TrackId =>
      texts.length === 0
        ? this.#find(name, on)
        : this.#keyed(name, texts.map((text) => text(bytes, at)).join(" "), on);
    const number = onlyNumber(key);
    if (texts.length === 0 && under === "host") {
      let only: TrackId | undefined;
      return () => {
        only ??= this.#find(name, host);
        return only;
      };
    }
    if (texts.length > 0 && number === undefined)
      return (bytes, at) => track(bytes, at, parent(bytes, at));
    // One number as the key, or none: found again without making a text.
    const known = new Map<number, TrackId>();
    return (bytes, at) => {
      const on = parent(bytes, at);
      const value = number === undefined ? 0 : number(bytes, at);
      const packed = value * idRadix + on;
      let found = known.get(packed);
      if (found === undefined) {
        found = track(bytes, at, on);
        if (Number.isSafeInteger(packed) && known.size < 2 * keyedTrackLimit)
          known.set(packed, found);
      }
      return found;
    };
  }

  #keyed(name: string, key: string, parent: TrackId): TrackId {
    const full = `${name} ${key}`;
    const known = this.#named.get(`${parent} ${full}`);
    if (known !== undefined) return known;
    if (this.#keyedCount >= keyedTrackLimit) {
      this.beyondLimit++;
      return this.#find(`${name} (others)`, this.#context.host);
    }
    this.#keyedCount++;
    return this.#find(full, parent);
  }

  #find(name: string, parent: TrackId): TrackId {
    const key = `${parent} ${name}`;
    let track = this.#named.get(key);
    if (track === undefined) {
      track = this.#declare(name, parent);
      this.#named.set(key, track);
    }
    return track;
  }

  #declare(name: string, parent: TrackId): TrackId {
    return this.#sink.track({ kind: "custom", name, parent });
  }

  /** The counter of that name on a track, made by `text` when it is new. */
  counter(parent: TrackId, name: StringId, text: () => string, unit: string | undefined): TrackId {
    const key = parent * idRadix + name;
    let track = this.#counters.get(key);
    if (track === undefined) {
      const info = { kind: "counter", name: text(), parent } as const;
      track = this.#sink.track(unit === undefined ? info : { ...info, unit });
      this.#counters.set(key, track);
    }
    return track;
  }
}

/** A key of one number. */
function onlyNumber(key: readonly Value[]): Read<number> | undefined {
  const [value, ...more] = key;
  return more.length === 0 && (value?.type === "int" || value?.type === "uint")
    ? readNumber(value)
    : undefined;
}
