/**
 * Tracks → the pids and tids that Chrome JSON has instead.
 *
 *     process, thread        as they are
 *     cpu, async, custom     a thread of their process, or of a process made to hold them ("CPUs", "Tracks")
 *     counter                no thread: its name in its process
 *
 * What a pid and tid cannot say stands in metadata events of kymo's own ("kymo_process", "kymo_thread",
 * "kymo_counter"), which other viewers pass over.
 */
import type { StringId, TrackId, TrackInfo } from "../../model/sink.ts";
import { jsonBytes } from "../../wire/json-writer.ts";

/** Above any pid and tid of an operating system, within 32 bits. */
const FIRST_MADE_ID = 4_000_000_000;

/** Where a track's events are written. */
export interface Row {
  readonly info: TrackInfo;
  readonly pid: number;
  /** Undefined for processes, counters and hosts, until something needs a thread there. */
  tid: number | undefined;
  /** `,"pid":1,"tid":2` */
  place: Uint8Array;
  /** Counters: what tells two of the same name in one process apart. */
  readonly id: string | undefined;
  /** Names and categories of the open begins, in turn: Speedscope wants an end to name what it ends. */
  readonly open: StringId[];
}

/** Writes one metadata event. */
export type WriteMetadata = (
  name: string,
  pid: number,
  tid: number | undefined,
  args: { readonly [name: string]: unknown },
) => void;

export class JsonRows {
  readonly #write: WriteMetadata;
  readonly #rows: Row[] = [];
  readonly #pids = new Set<number>();
  /** "pid tid" and "pid counter name" in use. */
  readonly #taken = new Set<string>();
  readonly #holders = new Map<string, number>();
  #made = FIRST_MADE_ID;

  constructor(write: WriteMetadata) {
    this.#write = write;
  }

  get(track: TrackId): Row {
    return this.#rows[track]!;
  }

  /** The row, made a thread if it is none yet: slices, samples and flows need one. */
  thread(track: TrackId): Row {
    const row = this.#rows[track]!;
    if (row.tid !== undefined) return row;
    const tid = this.#make();
    row.tid = tid;
    row.place = placeOf(row.pid, tid);
    const { kind, name } = row.info;
    this.#write("thread_name", row.pid, tid, { name: name === "" ? kind : name });
    this.#write("kymo_thread", row.pid, tid, { kind: kind === "process" ? kind : "custom" });
    return row;
  }

  declare(info: TrackInfo): TrackId {
    const row =
      info.kind === "process"
        ? this.#process(info)
        : info.kind === "counter"
          ? this.#counter(info)
          : info.kind === "host"
            ? this.#row(info, this.#holder("Tracks"), undefined)
            : this.#thread(info);
    return (this.#rows.push(row) - 1) as TrackId;
  }

  #process(info: TrackInfo): Row {
    const { name, pid: given, parentPid, sortIndex } = info;
    const isFree = given !== undefined && isPlainId(given) && !this.#pids.has(given);
    const pid = isFree ? given : this.#make();
    this.#pids.add(pid);
    this.#write("process_name", pid, undefined, { name });
    if (sortIndex !== undefined)
      this.#write("process_sort_index", pid, undefined, { sort_index: sortIndex });
    if (!isFree || parentPid !== undefined)
      this.#write("kymo_process", pid, undefined, {
        ...(!isFree && { pid: given ?? null }),
        ...(parentPid !== undefined && { parent_pid: parentPid }),
      });
    return this.#row(info, pid, undefined);
  }

  #thread(info: TrackInfo): Row {
    const { kind, name, tid: given, cpu, sortIndex } = info;
    const process = this.#processOf(info);
    const isChild =
      process !== undefined && info.parent !== undefined && process === this.#rows[info.parent];
    const pid = process?.pid ?? this.#holder(kind === "cpu" ? "CPUs" : "Tracks");
    const wanted = kind === "cpu" ? cpu : given;
    const isFree =
      wanted !== undefined && isPlainId(wanted) && !this.#taken.has(`${pid} ${wanted}`);
    const tid = isFree ? wanted : this.#make();
    this.#taken.add(`${pid} ${tid}`);
    this.#write("thread_name", pid, tid, { name });
    if (sortIndex !== undefined)
      this.#write("thread_sort_index", pid, tid, { sort_index: sortIndex });
    const isPlain = kind === "thread" && isFree && isChild && info.pid === process.info.pid;
    if (!isPlain)
      this.#write("kymo_thread", pid, tid, {
        kind,
        ...(given !== undefined && { tid: given }),
        ...(info.pid !== undefined && { pid: info.pid }),
        ...(cpu !== undefined && { cpu }),
      });
    return this.#row(info, pid, tid);
  }

  #counter(info: TrackInfo): Row {
    const process = this.#processOf(info);
    const pid = process?.pid ?? this.#holder("Tracks");
    const name = `${pid} counter ${info.name}`;
    const id = this.#taken.has(name) ? String(this.#make()) : undefined;
    this.#taken.add(name);
    const parent = info.parent === undefined ? undefined : this.#rows[info.parent];
    const parentTid = parent === process ? undefined : parent?.tid;
    if (id !== undefined || info.unit !== undefined || parentTid !== undefined)
      this.#write("kymo_counter", pid, undefined, {
        name: info.name,
        ...(parentTid !== undefined && { tid: parentTid }),
        ...(id !== undefined && { id }),
        ...(info.unit !== undefined && { unit: info.unit }),
      });
    return this.#row(info, pid, undefined, id);
  }

  /** The nearest process around a track. */
  #processOf(info: TrackInfo): Row | undefined {
    let at = info.parent;
    while (at !== undefined) {
      const row: Row = this.#rows[at]!;
      if (row.info.kind === "process") return row;
      at = row.info.parent;
    }
    return undefined;
  }

  #holder(name: string): number {
    let pid = this.#holders.get(name);
    if (pid === undefined) {
      pid = this.#make();
      this.#holders.set(name, pid);
      this.#pids.add(pid);
      this.#write("process_name", pid, undefined, { name });
      this.#write("kymo_process", pid, undefined, { holder: true });
    }
    return pid;
  }

  #make(): number {
    while (this.#pids.has(this.#made)) this.#made++;
    return this.#made++;
  }

  #row(info: TrackInfo, pid: number, tid: number | undefined, id?: string): Row {
    return { info, pid, tid, id, place: placeOf(pid, tid ?? pid), open: [] };
  }
}

const isPlainId = (id: number): boolean => Number.isSafeInteger(id) && id >= 0;

function placeOf(pid: number, tid: number): Uint8Array {
  return jsonBytes(`,"pid":${pid},"tid":${tid}`);
}
