/** Async phases: which chain an event belongs to, and which lanes a chain goes to. */
import { EMPTY_STRING, type Ns, type TraceSink } from "../../model/sink.ts";
import { AsyncEvents, type Lanes } from "./async.ts";
import type { OddityCounts } from "./counts.ts";
import { type EventFields, idOf } from "./event.ts";
import type { EventArgs } from "./event-args.ts";
import type { JsonTracks, ThreadEntry } from "./tracks.ts";
import { isRecord, type JsonRecord, jsonOf, nameText } from "./values.ts";

export class AsyncReader {
  readonly #sink: TraceSink;
  readonly #tracks: JsonTracks;
  readonly #args: EventArgs;
  readonly #odd: OddityCounts;
  readonly #events: AsyncEvents;
  /** By process, category and name. */
  readonly #lanes = new Map<string, Lanes>();

  constructor(sink: TraceSink, tracks: JsonTracks, args: EventArgs, odd: OddityCounts) {
    this.#sink = sink;
    this.#tracks = tracks;
    this.#args = args;
    this.#odd = odd;
    this.#events = new AsyncEvents(sink);
  }

  begin(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns, byteOffset: number): void {
    const key = this.#key(b, e, thread, byteOffset);
    if (key === undefined) return;
    const isPlain = e.argsTo - e.argsFrom <= 2 && e.extraCount === 0;
    const args = isPlain ? undefined : this.#args.joined(b, e, true, undefined);
    const { name, category } = e;
    this.#events.begin(key, () => this.#lanesOf(b, e, thread), { ts, name, category, args });
  }

  end(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns, byteOffset: number): void {
    const key = this.#key(b, e, thread, byteOffset);
    if (key === undefined) return;
    const open = this.#events.innermost(key);
    if (open === undefined) {
      this.#odd.add("asyncEnd", byteOffset);
      return;
    }
    if (e.name !== EMPTY_STRING && e.name !== open) this.#odd.add("asyncEndName", byteOffset);
    e.dropEndTimes(b);
    this.#events.end(key, ts, (begin) =>
      begin === undefined
        ? this.#args.of(b, e, true)
        : this.#args.ofJoined(this.#args.joined(b, e, true, begin)),
    );
  }

  instant(b: Uint8Array, e: EventFields, thread: ThreadEntry, ts: Ns, byteOffset: number): void {
    const key = this.#key(b, e, thread, byteOffset);
    if (key === undefined) return;
    const args = this.#args.of(b, e, true);
    const { name, category } = e;
    this.#events.instant(key, () => this.#lanesOf(b, e, thread), { ts, name, category, args });
  }

  flush(): void {
    this.#events.flush((begin) => this.#args.ofJoined(begin));
  }

  /** Category, scope and id; of the older phases also the name; of a local id also the process. */
  #key(b: Uint8Array, e: EventFields, thread: ThreadEntry, byteOffset: number): string | undefined {
    let id: bigint | undefined;
    let process = "";
    if (e.idTo !== 0) id = idOf(b, e.idFrom, e.idTo);
    else if (e.id2To !== 0) {
      const id2 = jsonOf(b, e.id2From, e.id2To);
      const { local, global } = (isRecord(id2) ? id2 : {}) as JsonRecord;
      const text = new TextEncoder().encode(`"${String(local ?? global)}"`);
      if (local !== undefined || global !== undefined) id = idOf(text, 0, text.length);
      if (local !== undefined) process = `@${thread.process.key}`;
    }
    if (id === undefined) {
      this.#odd.add("asyncId", byteOffset);
      return undefined;
    }
    const isOld = "STpF".includes(String.fromCharCode(e.phase));
    return `${e.category} ${e.idScope} ${id} ${isOld ? e.name : ""}${process}`;
  }

  /** A track that kymo wrote takes all of its events; others go to as many lanes as overlap. */
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
}
