/**
 * A table of the trace as a DuckDB table function: DuckDB asks for a block of 2048 rows, we copy them from the
 * trace's own arrays. Measured on 10 M slices (bench/query.bench.mjs): 12–40 ns a row for a whole query, against
 * 110–180 ns to first build a DuckDB table. Blocks are handed to two DuckDB threads at once, so a table has no
 * order of its own: use ORDER BY. Tables below `ORDERED_ROWS` are handed to one thread and keep theirs.
 *
 * Text comes as DuckDB ENUMs, codes into the distinct strings of the column; views cast them to VARCHAR.
 */
import { createRequire } from "node:module";
import type duckdb from "@duckdb/node-bindings";
import {
  BLOCK_ROWS,
  BlockColumn,
  type Column,
  type ColumnType,
  type TableSnapshot,
} from "./column.ts";

export type Bindings = typeof duckdb;

/** Below this, a scan keeps the table's order: one thread is fast enough. */
const ORDERED_ROWS = 1_000_000;
/** Distinct texts above this are written one by one: an ENUM of 10⁶ members takes 1.2 s to declare. */
const MAX_MEMBERS = 200_000;

/** @throws when this platform has no DuckDB binary */
export function loadBindings(): Bindings {
  return createRequire(import.meta.url)("@duckdb/node-bindings") as Bindings;
}

export interface TableSource {
  readonly name: string;
  /** Positional parameters, all BIGINT (ids and times). */
  readonly parameters?: number;
  /** The table as it is now. Its columns are the same at every call. */
  take(parameters: readonly (bigint | null)[]): TableSnapshot;
}

interface Bound {
  readonly snapshot: TableSnapshot;
  readonly text: readonly (TextCodes | undefined)[];
}
interface Scan extends Bound {
  readonly projected: readonly number[];
  readonly blocks: readonly BlockColumn[];
  piece: number;
  /** Rows of the piece handed out. */
  used: number;
}

/** Registers `source` as the table function `__NAME`. */
export function registerScan(
  bindings: Bindings,
  connection: duckdb.Connection,
  source: TableSource,
  texts: TextTypes,
): void {
  const types = new Map<ColumnType, duckdb.LogicalType>();
  const typeOf = (type: ColumnType): duckdb.LogicalType => {
    const known = types.get(type) ?? bindings.create_logical_type(typeIds[type]);
    types.set(type, known);
    return known;
  };
  const table = bindings.create_table_function();
  bindings.table_function_set_name(table, `__${source.name}`);
  for (let i = 0; i < (source.parameters ?? 0); i++)
    bindings.table_function_add_parameter(table, typeOf("bigint"));

  bindings.table_function_set_bind(table, (info) =>
    guard(
      (message) => bindings.bind_set_error(info, message),
      () => {
        const parameters = Array.from({ length: source.parameters ?? 0 }, (_, i) => {
          const value = bindings.bind_get_parameter(info, i);
          return bindings.is_null_value(value) ? null : bindings.get_int64(value);
        });
        const snapshot = source.take(parameters);
        if (texts.declaring) {
          for (const { name, type } of snapshot.columns)
            bindings.bind_add_result_column(info, name, typeOf(type));
          return;
        }
        const text = snapshot.columns.map((column) =>
          column.codes === undefined ? undefined : texts.of(snapshot, column),
        );
        snapshot.columns.forEach((column, i) => {
          bindings.bind_add_result_column(info, column.name, text[i]?.type ?? typeOf(column.type));
        });
        bindings.bind_set_cardinality(info, snapshot.rows, true);
        const bound: Bound = { snapshot, text };
        bindings.bind_set_bind_data(info, bound);
      },
    ),
  );
  bindings.table_function_set_init(table, (info) =>
    guard(
      (message) => bindings.init_set_error(info, message),
      () => {
        const bound = bindings.init_get_bind_data(info) as Bound;
        const count = bindings.init_get_column_count(info);
        const projected = Array.from({ length: count }, (_, i) =>
          bindings.init_get_column_index(info, i),
        );
        const scan: Scan = {
          ...bound,
          projected,
          blocks: projected.map(() => new BlockColumn()),
          piece: 0,
          used: 0,
        };
        bindings.init_set_max_threads(info, bound.snapshot.rows < ORDERED_ROWS ? 1 : 2);
        bindings.init_set_init_data(info, scan);
      },
    ),
  );
  bindings.table_function_set_function(table, (info, output) =>
    guard(
      (message) => bindings.function_set_error(info, message),
      () => {
        const scan = bindings.function_get_init_data(info) as Scan;
        const rows = fillBlock(scan);
        for (let i = 0; i < scan.projected.length && rows > 0; i++) {
          const index = scan.projected[i]!;
          const column = scan.snapshot.columns[index];
          // DuckDB asks for a column past the last one when a query needs none (COUNT(*)).
          if (column === undefined) continue;
          const vector = bindings.data_chunk_get_vector(output, i);
          writeVector(bindings, vector, column, scan.text[index], scan.blocks[i]!, rows);
        }
        bindings.data_chunk_set_size(output, rows);
      },
    ),
  );
  bindings.table_function_supports_projection_pushdown(table, true);
  bindings.register_table_function(connection, table);
}

/** Fills the scan's blocks from where it stands. @returns rows filled; 0 at the end */
function fillBlock(scan: Scan): number {
  const { pieces, columns } = scan.snapshot;
  for (const block of scan.blocks) block.start();
  let at = 0;
  while (at < BLOCK_ROWS && scan.piece < pieces.length) {
    const piece = pieces[scan.piece]!;
    const from = piece.from + scan.used;
    const count = Math.min(BLOCK_ROWS - at, piece.to - from);
    for (let i = 0; i < scan.projected.length; i++)
      columns[scan.projected[i]!]?.fill(scan.blocks[i]!, piece.part, from, count, at);
    at += count;
    scan.used += count;
    if (from + count === piece.to) {
      scan.piece++;
      scan.used = 0;
    }
  }
  return at;
}

function writeVector(
  bindings: Bindings,
  vector: duckdb.Vector,
  column: Column<unknown>,
  text: TextCodes | undefined,
  block: BlockColumn,
  rows: number,
): void {
  if (column.codes !== undefined && text !== undefined) {
    writeCodes(bindings, vector, column.codes, text, block, rows);
  } else if (column.type === "text") {
    for (let i = 0; i < rows; i++)
      if (isValid(block, i)) assignText(bindings, vector, i, block.texts[i]!);
  } else if (column.type === "blob") {
    for (let i = 0; i < rows; i++)
      if (isValid(block, i)) bindings.vector_assign_string_element_len(vector, i, block.blobs[i]!);
  } else {
    bindings.copy_data_to_vector(vector, 0, block.memory, 0, rows * byteSizes[column.type]);
  }
  if (!block.hasNulls) return;
  bindings.vector_ensure_validity_writable(vector);
  bindings.copy_data_to_vector_validity(
    vector,
    0,
    block.valid.buffer as ArrayBuffer,
    0,
    Math.ceil(rows / 64) * 8,
  );
}

function writeCodes(
  bindings: Bindings,
  vector: duckdb.Vector,
  codes: NonNullable<Column<unknown>["codes"]>,
  text: TextCodes,
  block: BlockColumn,
  rows: number,
): void {
  const { words } = block;
  if (codes.nullCode >= 0)
    for (let i = 0; i < rows; i++) if (words[i] === codes.nullCode) block.setNull(i);
  if (text.type === undefined) {
    for (let i = 0; i < rows; i++)
      if (isValid(block, i)) assignText(bindings, vector, i, codes.source.get(words[i]!));
    return;
  }
  // In place: a narrower code is written at or before the word it is read from.
  const narrow = text.width === 1 ? block.uint8 : text.width === 2 ? block.uint16 : words;
  for (let i = 0; i < rows; i++) narrow[i] = text.memberOf[words[i]!]!;
  bindings.copy_data_to_vector(vector, 0, block.memory, 0, rows * text.width);
}

const isValid = (block: BlockColumn, at: number): boolean =>
  !block.hasNulls || (block.valid[at >> 3]! & (1 << (at & 7))) !== 0;

const encoder = new TextEncoder();
function assignText(bindings: Bindings, vector: duckdb.Vector, at: number, value: string): void {
  // The plain call stops at NUL.
  if (value.includes("\0"))
    bindings.vector_assign_string_element_len(vector, at, encoder.encode(value));
  else bindings.vector_assign_string_element(vector, at, value);
}

/** How a text column's codes become members of its ENUM. */
interface TextCodes {
  /** undefined: too many distinct texts (or some with NUL in them), the column is plain VARCHAR. */
  readonly type: duckdb.LogicalType | undefined;
  readonly width: 1 | 2 | 4;
  readonly memberOf: Uint32Array;
}

/** The ENUM types of text columns, made once for each snapshot and column. */
export class TextTypes {
  /** While views are declared, text is VARCHAR and no event is looked at. */
  declaring = false;
  readonly #bindings: Bindings;
  readonly #made = new WeakMap<TableSnapshot["columns"], Map<string, TextCodes>>();
  constructor(bindings: Bindings) {
    this.#bindings = bindings;
  }

  of(snapshot: TableSnapshot, column: Column<unknown>): TextCodes {
    let made = this.#made.get(snapshot.columns);
    if (made === undefined) {
      made = new Map();
      this.#made.set(snapshot.columns, made);
    }
    const known = made.get(column.name);
    if (known !== undefined) return known;
    const codes = this.#make(snapshot, column);
    made.set(column.name, codes);
    return codes;
  }

  #make(snapshot: TableSnapshot, column: Column<unknown>): TextCodes {
    const { source, of, nullCode } = column.codes!;
    const used = new Uint8Array(source.length);
    let last: unknown;
    for (const { part } of snapshot.pieces) {
      if (part === last) continue;
      last = part;
      const { codes, length } = of(part);
      for (let i = 0; i < length; i++) used[codes[i]!] = 1;
    }
    if (nullCode >= 0) used[nullCode] = 0;
    const members: string[] = [];
    const memberOf = new Uint32Array(source.length);
    const indexOf = new Map<string, number>();
    for (let code = 0; code < used.length; code++) {
      if (used[code] === 0) continue;
      // Lone surrogates have no UTF-8; two texts may become the same.
      const text = source.get(code).replace(/\p{Surrogate}/gu, "\ufffd");
      if (members.length >= MAX_MEMBERS || text.includes("\0"))
        return { type: undefined, width: 4, memberOf };
      let member = indexOf.get(text);
      if (member === undefined) {
        member = members.push(text) - 1;
        indexOf.set(text, member);
      }
      memberOf[code] = member;
    }
    if (members.length === 0) members.push("");
    const type = this.#bindings.create_enum_type(members);
    // DuckDB's own choice of width for an ENUM.
    const width = members.length < 2 ** 8 ? 1 : members.length < 2 ** 16 ? 2 : 4;
    return { type, width, memberOf };
  }
}

/** DuckDB calls us from C++: an error must become its error, never an exception. */
function guard(fail: (message: string) => void, work: () => void): void {
  try {
    work();
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}

/** `duckdb_type` numbers of the C API. */
const typeIds: { readonly [Type in ColumnType]: number } = {
  boolean: 1,
  integer: 4,
  bigint: 5,
  double: 11,
  text: 17,
  blob: 18,
};
const byteSizes = { boolean: 1, integer: 4, bigint: 8, double: 8 } as const;
