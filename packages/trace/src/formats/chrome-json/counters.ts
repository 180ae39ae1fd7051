/** Counter events ("C"): each member of the args is a series, and each series a track named "name[id] key". */
import type { Ns, StringId, TraceSink, TrackId } from "../../model/sink.ts";
import type { JsonStrings } from "../../wire/json-strings.ts";
import { type ArgsReader, keyId } from "./args.ts";
import type { EventFields } from "./event.ts";
import type { JsonTracks, ProcessEntry, ThreadEntry } from "./tracks.ts";
import { idText, isRecord, type JsonRecord, jsonOf, nameText } from "./values.ts";

/** What kymo's own writer says of a counter beside the format. */
interface OwnCounter {
  readonly name: string;
  readonly unit?: string;
  readonly parent?: ThreadEntry;
}

export class CounterTracks {
  readonly #sink: TraceSink;
  readonly #tracks: JsonTracks;
  readonly #args: ArgsReader;
  readonly #strings: JsonStrings;
  /** By process, name, key and id. */
  readonly #series = new Map<string, TrackId>();
  /** By process, name and id. */
  readonly #own = new Map<string, OwnCounter>();

  constructor(sink: TraceSink, tracks: JsonTracks, args: ArgsReader, strings: JsonStrings) {
    this.#sink = sink;
    this.#tracks = tracks;
    this.#args = args;
    this.#strings = strings;
  }

  /** @returns how many values were no numbers and left out; 1 when the args are no object */
  add(b: Uint8Array, e: EventFields, process: ProcessEntry, ts: Ns): number {
    const id = e.idTo === 0 ? "" : idText(b, e.idFrom, e.idTo);
    let wrong = 0;
    const isObject = this.#args.numbers(b, e.argsFrom, e.argsTo, (key, value, isNumber) => {
      if (!isNumber) {
        wrong++;
        return;
      }
      const series = `${process.key} ${e.name} ${key} ${id}`;
      let track = this.#series.get(series);
      if (track === undefined) {
        track = this.#declare(b, e, process, id, key);
        this.#series.set(series, track);
      }
      this.#sink.counter(track, ts, value);
    });
    return isObject ? wrong : 1;
  }

  /** Metadata "kymo_counter" (write-rows.ts). */
  describe(process: ProcessEntry, { name, id, unit, tid }: JsonRecord): void {
    this.#own.set(`${process.key} ${String(name)} ${id === undefined ? "" : String(id)}`, {
      name: String(name),
      ...(typeof unit === "string" && { unit }),
      ...(typeof tid === "number" && { parent: this.#tracks.thread(process.key, tid) }),
    });
  }

  #declare(
    b: Uint8Array,
    e: EventFields,
    process: ProcessEntry,
    id: string,
    key: StringId,
  ): TrackId {
    const own = this.#own.get(`${process.key} ${nameText(b, e)} ${id}`);
    const parent =
      own?.parent !== undefined
        ? this.#tracks.threadTrack(own.parent)
        : process.isHolder
          ? undefined
          : this.#tracks.processTrack(process);
    return this.#sink.track({
      kind: "counter",
      name: own?.name ?? this.#name(b, e, id, key),
      ...(parent !== undefined && { parent }),
      ...(own?.unit !== undefined && { unit: own.unit }),
    });
  }

  /** The key "value" says nothing and is left out. */
  #name(b: Uint8Array, e: EventFields, id: string, key: StringId): string {
    const keyText = this.#keyText(b, e, key);
    return `${nameText(b, e)}${id === "" ? "" : `[${id}]`}${keyText === "value" ? "" : ` ${keyText}`}`;
  }

  /** Found again by its id among the keys of this event: once for each new series. */
  #keyText(b: Uint8Array, e: EventFields, key: StringId): string {
    const args = jsonOf(b, e.argsFrom, e.argsTo);
    if (isRecord(args))
      for (const text of Object.keys(args)) {
        const bytes = new TextEncoder().encode(text);
        if (keyId(this.#strings, bytes, 0, bytes.length) === key) return text;
      }
    return `series ${this.#series.size + 1}`;
  }
}
