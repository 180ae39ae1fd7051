/** The tables with a row for each event: slice, instant, counter, sched, thread_state, sample, and the declared types. */
import {
  type Chunk,
  durationAt,
  EMPTY_STRING,
  type EventId,
  type EventTypeInfo,
  type Row,
  type RowKind,
  type StringId,
  type Trace,
} from "@kymo/trace";
import { type ArgColumns, findLeaf, leafText, leafType } from "./arg-columns.ts";
import {
  type Column,
  type ColumnType,
  constant,
  duration,
  float64,
  int32,
  negative,
  ordinal,
  snapshot,
  type TableSnapshot,
  textByCode,
  time,
  uint32,
  wholeNumbers,
} from "./column.ts";
import { type Nesting, nestSlices, type SlicePart, slicePartsOf } from "./nesting.ts";
import type { TrackIds } from "./track-ids.ts";

/** A chunk of a row, as long as it was at one moment. */
export interface Part<Kind extends RowKind> {
  readonly chunk: Row<Kind>["chunks"][number];
  readonly length: number;
  readonly track: number;
  /** Number of its first event in the table. */
  readonly base: number;
}

export function partsOf<Kind extends RowKind>(trace: Trace, kind: Kind): Part<Kind>[] {
  const rows = (trace.rows as readonly Row[])
    .filter((row) => row.kind === kind)
    .sort((a, b) => a.track - b.track || a.lane - b.lane);
  const parts: Part<Kind>[] = [];
  let base = 0;
  for (const { chunks, track } of rows)
    for (const chunk of chunks as Row<Kind>["chunks"]) {
      if (chunk.length === 0) continue;
      parts.push({ chunk, length: chunk.length, track, base });
      base += chunk.length;
    }
  return parts;
}

/** The strings of a trace as text codes. */
function stringsOf(trace: Trace): { readonly length: number; get(code: number): string } {
  return {
    length: trace.strings.length,
    get: (code: number) => trace.strings.get(code as StringId),
  };
}

type AnyPart = { readonly track: number; readonly length: number };
const lengthOf = (part: { readonly length: number }): number => part.length;
const trackId: Column<AnyPart> = constant("track_id", (part) => part.track);
const utidOf = (ids: TrackIds): Column<AnyPart> =>
  constant("utid", (part) => ids.threadOf(part.track));
const upidOf = (ids: TrackIds): Column<AnyPart> =>
  constant("upid", (part) => ids.processOf(part.track));

/** All slices with what relates them, computed when a query first asks for it. */
export class Slices {
  readonly parts: readonly SlicePart[];
  readonly columns: readonly Column<SlicePart>[];
  readonly length: number;
  #nesting: Nesting | undefined;
  #eventIds: Uint32Array | undefined;
  readonly #trace: Trace;
  /** Number of a slice row's first slice, by row id. */
  readonly #firstOfRow = new Map<number, number>();

  constructor(trace: Trace, ids: TrackIds) {
    this.#trace = trace;
    this.parts = slicePartsOf(trace);
    for (const { row, base } of this.parts)
      if (!this.#firstOfRow.has(row)) this.#firstOfRow.set(row, base);
    this.length = this.parts.reduce((sum, part) => sum + part.length, 0);
    const strings = stringsOf(trace);
    const derived = (of: (nesting: Nesting) => Int32Array) => (part: SlicePart) =>
      of(this.nesting).subarray(part.base);
    this.columns = [
      uint32("id", (part) => part.chunk.id),
      time("ts", trace.clock.originNs, (part) => part.chunk.ts),
      duration("dur", (part) => part.chunk),
      trackId,
      textByCode("name", strings, (part) => part.chunk.key),
      textByCode("category", strings, (part) => part.chunk.category),
      int32("depth", (part) => part.chunk.depth),
      this.#parentColumn(),
      int32("arg_set_id", (part) => part.chunk.args, negative),
      wholeNumbers("self_dur", (part) => this.nesting.selfNs.subarray(part.base)),
      utidOf(ids),
      upidOf(ids),
      int32(
        "pre",
        derived((nesting) => nesting.pre),
      ),
      int32(
        "last",
        derived((nesting) => nesting.last),
      ),
    ];
  }

  get nesting(): Nesting {
    this.#nesting ??= nestSlices(this.parts);
    return this.#nesting;
  }

  table(): TableSnapshot<SlicePart> {
    return snapshot(this.columns, this.parts, lengthOf);
  }

  /** Number of the slice with this event id, −1 when there is none. */
  find(event: number): number {
    const place = this.#trace.locate(event as EventId);
    const base = place === undefined ? undefined : this.#firstOfRow.get(place.row);
    if (place === undefined || base === undefined) return -1;
    return base + place.index < this.length ? base + place.index : -1;
  }

  /** Event id by slice number. */
  get eventIds(): Uint32Array {
    if (this.#eventIds === undefined) {
      this.#eventIds = new Uint32Array(this.length);
      for (const { chunk, length, base } of this.parts)
        this.#eventIds.set(chunk.id.subarray(0, length), base);
    }
    return this.#eventIds;
  }

  #parentColumn(): Column<SlicePart> {
    return {
      name: "parent_id",
      type: "bigint",
      fill: (out, part, from, count, at) => {
        const { parent } = this.nesting;
        const ids = this.eventIds;
        for (let i = 0; i < count; i++) {
          const mother = parent[part.base + from + i]!;
          if (mother < 0) out.setNull(at + i);
          else out.setBigint(at + i, ids[mother]!);
        }
      },
    };
  }
}

export function instantTable(trace: Trace, ids: TrackIds): TableSnapshot<Part<"instant">> {
  const strings = stringsOf(trace);
  return snapshot<Part<"instant">>(
    [
      uint32("id", (part) => part.chunk.id),
      time("ts", trace.clock.originNs, (part) => part.chunk.ts),
      trackId,
      textByCode("name", strings, (part) => part.chunk.key),
      textByCode("category", strings, (part) => part.chunk.category),
      int32("arg_set_id", (part) => part.chunk.args, negative),
      utidOf(ids),
      upidOf(ids),
    ],
    partsOf(trace, "instant"),
    lengthOf,
  );
}

export function counterTable(trace: Trace): TableSnapshot<Part<"counter">> {
  return snapshot<Part<"counter">>(
    [
      ordinal("id", (part) => part.base),
      time("ts", trace.clock.originNs, (part) => part.chunk.ts),
      trackId,
      float64("value", (part) => part.chunk.value),
    ],
    partsOf(trace, "counter"),
    lengthOf,
  );
}

export function schedTable(trace: Trace): TableSnapshot<Part<"sched">> {
  return snapshot<Part<"sched">>(
    [
      ordinal("id", (part) => part.base),
      time("ts", trace.clock.originNs, (part) => part.chunk.ts),
      duration("dur", (part) => part.chunk),
      constant("cpu", (part) => trace.tracks[part.track]?.cpu),
      int32("utid", (part) => part.chunk.key),
      textByCode("end_state", stringsOf(trace), (part) => part.chunk.endState, 0),
      int32("priority", (part) => part.chunk.priority),
      trackId,
    ],
    partsOf(trace, "sched"),
    lengthOf,
  );
}

export function threadStateTable(trace: Trace, ids: TrackIds): TableSnapshot<Part<"thread_state">> {
  return snapshot<Part<"thread_state">>(
    [
      ordinal("id", (part) => part.base),
      time("ts", trace.clock.originNs, (part) => part.chunk.ts),
      duration("dur", (part) => part.chunk),
      int32("cpu", (part) => part.chunk.cpu, negative),
      utidOf(ids),
      textByCode("state", stringsOf(trace), (part) => part.chunk.key),
      int32("waker_utid", (part) => part.chunk.waker, negative),
    ],
    partsOf(trace, "thread_state"),
    lengthOf,
  );
}

export function sampleTable(trace: Trace, ids: TrackIds): TableSnapshot<Part<"sample">> {
  return snapshot<Part<"sample">>(
    [
      ordinal("id", (part) => part.base),
      time("ts", trace.clock.originNs, (part) => part.chunk.ts),
      utidOf(ids),
      int32("cpu", (part) => part.chunk.cpu, negative),
      {
        name: "callsite_id",
        type: "integer",
        fill: (out, part, from, count, at) => {
          const { key } = part.chunk;
          for (let i = 0; i < count; i++) {
            const stack = key[from + i]!;
            if (stack === 0) out.setNull(at + i);
            else out.int32[at + i] = stack - 1;
          }
        },
      },
      float64("weight", (part) => part.chunk.weight),
    ],
    partsOf(trace, "sample"),
    lengthOf,
  );
}

/** A name from a trace as DuckDB can hold it: text without control characters or lone surrogates, never empty. */
export function sqlName(name: string, ifEmpty: string): string {
  return name === "" ? ifEmpty : name.replace(/[\p{Cc}\p{Surrogate}]/gu, "_");
}

/** The table's name for each field: DuckDB compares names without case, and ours come first. */
function fieldNames(type: EventTypeInfo): string[] {
  const taken = new Set(["id", "ts", "dur", "track_id", "utid", "upid"]);
  return type.fields.map((field) => {
    let name = sqlName(field.name, "field");
    while (taken.has(name.toLowerCase())) name = `${name}_`;
    taken.add(name.toLowerCase());
    return name;
  });
}
const fieldTypes = {
  int: "bigint",
  real: "double",
  text: "text",
  bool: "boolean",
  bytes: "blob",
} as const;

interface TypedPart extends AnyPart {
  readonly chunk: Chunk & {
    readonly id: Uint32Array;
    readonly category: Uint32Array;
    readonly args: Int32Array;
  };
  /** Only slices have one. */
  readonly hasDuration: boolean;
  /** Indexes in the chunk of the events of this type. */
  readonly at: Uint32Array;
}

/**
 * The table of a declared event type: where and when each happened, then its fields. Slices and instants of the category
 * of that name are of the type, too.
 */
export function typedTable(
  trace: Trace,
  ids: TrackIds,
  index: number,
  args: () => ArgColumns,
): TableSnapshot<TypedPart> {
  const info = trace.eventTypes[index]!;
  const parts = typedParts(trace, index);
  const names = fieldNames(info);
  const pick = <Value extends Float64Array | Uint32Array>(
    of: (part: TypedPart) => Value,
  ): ((part: TypedPart) => Value) => {
    const picked = new WeakMap<TypedPart, Value>();
    return (part) => {
      let values = picked.get(part);
      if (values === undefined) {
        const all = of(part);
        values = all.slice(0, part.length) as Value;
        for (let i = 0; i < part.length; i++) values[i] = all[part.at[i]!]!;
        picked.set(part, values);
      }
      return values;
    };
  };
  return snapshot<TypedPart>(
    [
      uint32(
        "id",
        pick((part) => part.chunk.id),
      ),
      time(
        "ts",
        trace.clock.originNs,
        pick((part) => part.chunk.ts),
      ),
      typedDuration,
      trackId,
      utidOf(ids),
      upidOf(ids),
      ...info.fields.map((field, i) =>
        fieldColumn(names[i]!, fieldTypes[field.type], field.name, args),
      ),
    ],
    parts,
    lengthOf,
  );
}

function typedParts(trace: Trace, index: number): TypedPart[] {
  const category = trace.strings.find(trace.eventTypes[index]!.name);
  const hasCategory = (chunk: TypedPart["chunk"], i: number): boolean =>
    category !== undefined && category !== EMPTY_STRING && chunk.category[i] === category;
  const chosen = <P extends Part<"slice"> | Part<"instant">>(
    part: P,
    hasDuration: boolean,
    is: (chunk: P["chunk"], i: number) => boolean,
  ): TypedPart => {
    const { chunk, track } = part;
    const at: number[] = [];
    for (let i = 0; i < part.length; i++) if (is(chunk, i)) at.push(i);
    return { chunk, track, length: at.length, at: Uint32Array.from(at), hasDuration };
  };
  const instants = partsOf(trace, "instant").map((part) =>
    chosen(
      part,
      false,
      (chunk, i) => chunk.type[i] === index + 1 || (chunk.type[i] === 0 && hasCategory(chunk, i)),
    ),
  );
  const slices = partsOf(trace, "slice").map((part) => chosen(part, true, hasCategory));
  return [...slices, ...instants].filter((part) => part.length > 0);
}

/** NULL for what has none. */
const typedDuration: Column<TypedPart> = {
  name: "dur",
  type: "bigint",
  fill: (out, part, from, count, at) => {
    for (let i = 0; i < count; i++) {
      const ns = part.hasDuration ? durationAt(part.chunk, part.at[from + i]!) : undefined;
      if (ns === undefined) out.setNull(at + i);
      else out.setBigint(at + i, Number.isNaN(ns) ? -1 : ns);
    }
  },
};

/** A field of a declared event, from its arguments; NULL where it was not given or is of another kind. */
function fieldColumn(
  name: string,
  type: ColumnType,
  key: string,
  args: () => ArgColumns,
): Column<TypedPart> {
  return {
    name,
    type,
    fill: (out, part, from, count, at) => {
      const table = args();
      const keyIndex = table.keyIndex(key) ?? -1;
      for (let i = 0; i < count; i++) {
        const leaf = findLeaf(table, part.chunk.args[part.at[from + i]!]!, keyIndex);
        if (leaf < 0) {
          out.setNull(at + i);
          continue;
        }
        const kind = leafType(table, leaf);
        const exact = table.bigints.get(leaf);
        const number = table.number[leaf]!;
        if (type === "text") out.texts[at + i] = leafText(table, leaf);
        else if (type === "blob" && kind === "bytes") out.blobs[at + i] = table.blobs.get(leaf)!;
        else if (kind === "text" || kind === "bytes" || type === "blob") out.setNull(at + i);
        else if (type === "double") out.float64[at + i] = number;
        else if (type === "boolean") out.uint8[at + i] = number === 0 ? 0 : 1;
        else if (exact === undefined && Number.isSafeInteger(number)) out.setBigint(at + i, number);
        else if (exact !== undefined && BigInt.asIntN(64, exact) === exact)
          out.int64[at + i] = exact;
        else out.setNull(at + i);
      }
    },
  };
}
