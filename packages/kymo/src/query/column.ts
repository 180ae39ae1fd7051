/**
 * Columns that DuckDB reads in place. A table is a list of parts (a chunk of the trace, or an array of rows);
 * a column copies rows of one part into the block that DuckDB asked for, nothing else is ever stored.
 *
 *     parts   ┌ chunk 0 ┐┌ chunk 1 ┐┌ c 2 ┐          columns: ts, dur, name, …
 *     blocks  └ 2048 ┘└ 2048 ┘└ 2048 ┘└ 900┘         each filled from as many parts as it takes
 */
import { DUR_ESCAPE } from "@kymo/trace";

/** Rows of a DuckDB vector. */
export const BLOCK_ROWS = 2048;

export type ColumnType = "integer" | "bigint" | "double" | "boolean" | "text" | "blob";

/** One column of a block being filled. All views are of the same memory; which one counts depends on the type. */
export class BlockColumn {
  readonly memory: ArrayBuffer = new ArrayBuffer(BLOCK_ROWS * 8);
  readonly int32: Int32Array = new Int32Array(this.memory);
  /** BIGINT by halves: low word at 2 i, high word at 2 i + 1. */
  readonly words: Uint32Array = new Uint32Array(this.memory);
  readonly float64: Float64Array = new Float64Array(this.memory);
  readonly int64: BigInt64Array = new BigInt64Array(this.memory);
  readonly uint8: Uint8Array = new Uint8Array(this.memory);
  readonly uint16: Uint16Array = new Uint16Array(this.memory);
  readonly texts: string[] = [];
  readonly blobs: Uint8Array[] = [];
  /** Bit i is 0 where row i is NULL; counts only when `hasNulls`. */
  readonly valid: Uint8Array = new Uint8Array(BLOCK_ROWS / 8);
  hasNulls = false;

  start(): void {
    if (this.hasNulls || this.valid[0] !== 0xff) this.valid.fill(0xff);
    this.hasNulls = false;
  }
  setNull(at: number): void {
    this.hasNulls = true;
    this.valid[at >> 3]! &= ~(1 << (at & 7));
  }
  /** An integer, exact to 2⁵³ and rounded down; NULL where it does not fit 64 bits. */
  setBigint(at: number, value: number): void {
    const high = Math.floor(value / 2 ** 32);
    if ((high | 0) !== high) this.setNull(at);
    this.words[2 * at] = value - high * 2 ** 32;
    this.words[2 * at + 1] = high;
  }
}

/** What text a column's numbers stand for. */
export interface TextSource {
  /** Codes are below this. */
  readonly length: number;
  get(code: number): string;
}

export interface Column<Part> {
  readonly name: string;
  readonly type: ColumnType;
  /** Copies rows [from, from + count) of `part` to `out`, from position `at` on. */
  // A method, not a property: tables of different parts go into one list.
  fill(out: BlockColumn, part: Part, from: number, count: number, at: number): void;
  /** Text by code: `fill` writes the codes to `words` (one word each); `nullCode` stands for NULL. */
  readonly codes?: {
    readonly source: TextSource;
    readonly nullCode: number;
    /** The codes of a part. */
    of(part: Part): { readonly codes: ArrayLike<number>; readonly length: number };
  };
}

/** One table at one moment; it stays as it is while the trace grows. `columns` must be had without looking at events. */
export interface TableSnapshot<Part = unknown> {
  readonly columns: readonly Column<Part>[];
  readonly pieces: readonly Piece<Part>[];
  readonly rows: number;
}
/** Rows [from, to) of a part. */
export interface Piece<Part> {
  readonly part: Part;
  readonly from: number;
  readonly to: number;
}
/** A table over whole parts. */
export function snapshot<Part>(
  columns: readonly Column<Part>[],
  parts: readonly Part[],
  lengthOf: (part: Part) => number,
): TableSnapshot<Part> {
  const pieces = parts
    .map((part) => ({ part, from: 0, to: lengthOf(part) }))
    .filter((piece) => piece.to > 0);
  return { columns, pieces, rows: pieces.reduce((sum, piece) => sum + piece.to, 0) };
}
/** A table over one part that is made when the first query reads it. */
export function onePart<Part>(
  columns: readonly Column<Part>[],
  make: () => Part,
  lengthOf: (part: Part) => number,
): TableSnapshot<Part> {
  let made: TableSnapshot<Part> | undefined;
  const table = (): TableSnapshot<Part> => {
    made ??= snapshot(columns, [make()], lengthOf);
    return made;
  };
  return {
    columns,
    get pieces() {
      return table().pieces;
    },
    get rows() {
      return table().rows;
    },
  };
}
/** A table over a plain array of rows, made when the first query reads it. */
export function rowsTable<Row>(
  columns: readonly Column<readonly Row[]>[],
  make: () => readonly Row[],
): TableSnapshot<readonly Row[]> {
  return onePart(columns, make, (rows) => rows.length);
}

// Columns over typed arrays.

/** Unsigned 32-bit numbers as BIGINT. */
export function uint32<Part>(name: string, of: (part: Part) => ArrayLike<number>): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    const values = of(part);
    const { words } = out;
    for (let i = 0; i < count; i++) {
      words[2 * (at + i)] = values[from + i]!;
      words[2 * (at + i) + 1] = 0;
    }
  };
  return { name, type: "bigint", fill };
}

/** 32-bit numbers as INTEGER; what `isNull` says is NULL. */
export function int32<Part>(
  name: string,
  of: (part: Part) => ArrayLike<number>,
  isNull?: (value: number) => boolean,
): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    const values = of(part);
    const target = out.int32;
    for (let i = 0; i < count; i++) target[at + i] = values[from + i]!;
    if (isNull === undefined) return;
    for (let i = 0; i < count; i++) if (isNull(values[from + i]!)) out.setNull(at + i);
  };
  return { name, type: "integer", fill };
}
export const negative = (value: number): boolean => value < 0;

/** Whole numbers up to 2⁵³ in float64 as BIGINT, NULL where `isNull` says so. */
export function wholeNumbers<Part>(
  name: string,
  of: (part: Part) => ArrayLike<number>,
  isNull?: (value: number) => boolean,
): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    const values = of(part);
    for (let i = 0; i < count; i++) {
      const value = values[from + i]!;
      if (isNull?.(value)) out.setNull(at + i);
      else out.setBigint(at + i, value);
    }
  };
  return { name, type: "bigint", fill };
}

/** Times since the origin as absolute BIGINT ns, NULL where that is beyond 64 bits. Over two halves: a BigInt here costs 30 ×. */
export function time<Part>(
  name: string,
  originNs: bigint,
  of: (part: Part) => Float64Array,
): Column<Part> {
  const originLow = Number(BigInt.asUintN(32, originNs));
  const originHigh = Number(originNs >> 32n);
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    const values = of(part);
    const { words } = out;
    for (let i = 0; i < count; i++) {
      const sum = values[from + i]! + originLow;
      const high = Math.floor(sum / 2 ** 32);
      words[2 * (at + i)] = sum - high * 2 ** 32;
      words[2 * (at + i) + 1] = high + originHigh;
      if (((high + originHigh) | 0) !== high + originHigh) out.setNull(at + i);
    }
  };
  return { name, type: "bigint", fill };
}

/** The durations of chunks, −1 while open, NULL beyond 64 bits. */
export function duration<Part>(
  name: string,
  of: (part: Part) => {
    readonly dur: Uint32Array;
    readonly longDur: ReadonlyMap<number, number>;
  },
): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    const { dur, longDur } = of(part);
    const { words } = out;
    for (let i = 0; i < count; i++) {
      const value = dur[from + i]!;
      if (value === DUR_ESCAPE) {
        const long = longDur.get(from + i) ?? Number.NaN;
        out.setBigint(at + i, Number.isNaN(long) ? -1 : long);
      } else {
        words[2 * (at + i)] = value;
        words[2 * (at + i) + 1] = 0;
      }
    }
  };
  return { name, type: "bigint", fill };
}

export function float64<Part>(name: string, of: (part: Part) => Float64Array): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    out.float64.set(of(part).subarray(from, from + count), at);
  };
  return { name, type: "double", fill };
}

/** One number for a whole part; undefined is NULL. */
export function constant<Part>(name: string, of: (part: Part) => number | undefined): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, _from, count, at) => {
    const value = of(part);
    if (value === undefined) for (let i = 0; i < count; i++) out.setNull(at + i);
    else out.int32.fill(value, at, at + count);
  };
  return { name, type: "integer", fill };
}

/** The number of the row in its table: `base` of the part and on. */
export function ordinal<Part>(name: string, base: (part: Part) => number): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    const first = base(part) + from;
    for (let i = 0; i < count; i++) out.setBigint(at + i, first + i);
  };
  return { name, type: "bigint", fill };
}

/** Text by code into `source`. Codes equal to `nullCode` are NULL. */
export function textByCode<Part extends { readonly length: number }>(
  name: string,
  source: TextSource,
  of: (part: Part) => ArrayLike<number>,
  nullCode = -1,
): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    const codes = of(part);
    const { words } = out;
    for (let i = 0; i < count; i++) words[at + i] = codes[from + i]!;
  };
  return {
    name,
    type: "text",
    fill,
    codes: { source, nullCode, of: (part) => ({ codes: of(part), length: part.length }) },
  };
}

// Columns over arrays of rows: for tables of some thousands.

type Get<Row, Value> = (row: Row, index: number) => Value | undefined;

export function integers<Row>(name: string, get: Get<Row, number>): Column<readonly Row[]> {
  return byRow(name, "integer", get, (out, at, value) => {
    out.int32[at] = value;
  });
}
/** NaN and what does not fit 64 bits is NULL. */
export function bigints<Row>(name: string, get: Get<Row, number | bigint>): Column<readonly Row[]> {
  return byRow(name, "bigint", get, (out, at, value) => {
    if (typeof value === "bigint") {
      if (BigInt.asIntN(64, value) === value) out.int64[at] = value;
      else out.setNull(at);
    } else if (Number.isNaN(value) || Math.abs(value) >= 2 ** 63) out.setNull(at);
    else if (Number.isSafeInteger(value)) out.setBigint(at, value);
    else out.int64[at] = BigInt(Math.floor(value));
  });
}
export function doubles<Row>(name: string, get: Get<Row, number>): Column<readonly Row[]> {
  return byRow(name, "double", get, (out, at, value) => {
    out.float64[at] = value;
  });
}
export function booleans<Row>(name: string, get: Get<Row, boolean>): Column<readonly Row[]> {
  return byRow(name, "boolean", get, (out, at, value) => {
    out.uint8[at] = value ? 1 : 0;
  });
}
export function texts<Row>(name: string, get: Get<Row, string>): Column<readonly Row[]> {
  return byRow(name, "text", get, (out, at, value) => {
    out.texts[at] = value;
  });
}
export function blobs<Row>(name: string, get: Get<Row, Uint8Array>): Column<readonly Row[]> {
  return byRow(name, "blob", get, (out, at, value) => {
    out.blobs[at] = value;
  });
}
function byRow<Row, Value>(
  name: string,
  type: ColumnType,
  get: Get<Row, Value>,
  set: (out: BlockColumn, at: number, value: Value) => void,
): Column<readonly Row[]> {
  const fill: Column<readonly Row[]>["fill"] = (out, rows, from, count, at) => {
    for (let i = 0; i < count; i++) {
      const value = get(rows[from + i]!, from + i);
      if (value === undefined) out.setNull(at + i);
      else set(out, at + i, value);
    }
  };
  return { name, type, fill };
}
