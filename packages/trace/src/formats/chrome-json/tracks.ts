/**
 * pid and tid → tracks. A track is declared when its first event comes, so that the names and sort indices that stand
 * before it (where every writer puts them) are part of the declaration; what comes later renames.
 */
import {
  EMPTY_STRING,
  type Ns,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "../../model/sink.ts";

/** A number, or text for the pids and tids that are none. */
export type IdKey = number | string;

export class ProcessEntry {
  readonly key: IdKey;
  name = "";
  sortIndex: number | undefined;
  /** Written by kymo to hold tracks that belong to no process. */
  isHolder = false;
  /** The real pid, when kymo wrote another; null: none. */
  pid: number | null | undefined;
  parentPid: number | undefined;
  /** Metadata spoke of it: it exists, with or without events. */
  isNamed = false;
  track: TrackId | undefined;
  readonly threads: Map<IdKey, ThreadEntry> = new Map();
  constructor(key: IdKey) {
    this.key = key;
  }
}
export class ThreadEntry {
  readonly process: ProcessEntry;
  readonly key: IdKey;
  name = "";
  sortIndex: number | undefined;
  /** From kymo's own metadata: what the track was, when it was no thread. */
  kind: TrackInfo["kind"] = "thread";
  cpu: number | undefined;
  /** The real pid and tid, when kymo wrote others. */
  pid: number | undefined;
  tid: number | undefined;
  isNamed = false;
  track: TrackId | undefined;
  /** Names of the open "B" events in file order, to notice an "E" that names another. */
  readonly openNames: StringId[] = [];
  constructor(process: ProcessEntry, key: IdKey) {
    this.process = process;
    this.key = key;
  }
}

const CACHE = 256;

export class JsonTracks {
  readonly #sink: TraceSink;
  readonly #processes = new Map<IdKey, ProcessEntry>();
  readonly #cachePid = new Float64Array(CACHE).fill(Number.NaN);
  readonly #cacheTid = new Float64Array(CACHE).fill(Number.NaN);
  readonly #cacheThread: (ThreadEntry | undefined)[] = new Array(CACHE).fill(undefined);

  constructor(sink: TraceSink) {
    this.#sink = sink;
  }

  process(pid: IdKey): ProcessEntry {
    let process = this.#processes.get(pid);
    if (process === undefined) {
      process = new ProcessEntry(pid);
      this.#processes.set(pid, process);
    }
    return process;
  }

  thread(pid: IdKey, tid: IdKey): ThreadEntry {
    if (typeof pid === "string" || typeof tid === "string") return this.#find(pid, tid);
    const slot = (Math.imul(pid, 31) + tid) & (CACHE - 1);
    if (this.#cachePid[slot] === pid && this.#cacheTid[slot] === tid)
      return this.#cacheThread[slot]!;
    const thread = this.#find(pid, tid);
    this.#cachePid[slot] = pid;
    this.#cacheTid[slot] = tid;
    this.#cacheThread[slot] = thread;
    return thread;
  }

  #find(pid: IdKey, tid: IdKey): ThreadEntry {
    const process = this.process(pid);
    let thread = process.threads.get(tid);
    if (thread === undefined) {
      thread = new ThreadEntry(process, tid);
      process.threads.set(tid, thread);
    }
    return thread;
  }

  processTrack(process: ProcessEntry): TrackId {
    if (process.track !== undefined) return process.track;
    const { key, name, sortIndex, parentPid } = process;
    const pid = process.pid === undefined ? key : process.pid;
    process.track = this.#sink.track({
      kind: "process",
      name: name === "" && typeof key === "string" ? key : name,
      ...(typeof pid === "number" && { pid }),
      ...(parentPid !== undefined && { parentPid }),
      ...(sortIndex !== undefined && { sortIndex }),
    });
    return process.track;
  }

  threadTrack(thread: ThreadEntry): TrackId {
    if (thread.track !== undefined) return thread.track;
    const { key, name, sortIndex, process, kind, cpu } = thread;
    if (kind === "process") {
      thread.track = this.processTrack(process);
      return thread.track;
    }
    const parent = process.isHolder ? undefined : this.processTrack(process);
    const pid = kind === "thread" ? (thread.pid ?? process.pid ?? process.key) : undefined;
    const tid = kind === "thread" ? (thread.tid ?? key) : undefined;
    thread.track = this.#sink.track({
      kind,
      name: name === "" && typeof key === "string" ? key : name,
      ...(parent !== undefined && { parent }),
      ...(typeof pid === "number" && (!process.isHolder || thread.pid !== undefined) && { pid }),
      ...(typeof tid === "number" && { tid }),
      ...(cpu !== undefined && { cpu }),
      ...(sortIndex !== undefined && { sortIndex }),
    });
    return thread.track;
  }

  rename(entry: ProcessEntry | ThreadEntry, name: string): void {
    entry.isNamed = true;
    if (entry.name === name) return;
    entry.name = name;
    if (entry.track === undefined) return;
    const id = name === "" ? EMPTY_STRING : this.#sink.string(name);
    this.#sink.life(entry.track, 0 as Ns, "rename", id);
  }

  /** Declares what only metadata spoke of: processes and threads without events. */
  declareRest(): void {
    for (const process of this.#processes.values()) {
      if (process.isNamed && !process.isHolder) this.processTrack(process);
      for (const thread of process.threads.values()) if (thread.isNamed) this.threadTrack(thread);
    }
  }
}
