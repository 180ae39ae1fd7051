/**
 * An Arrow IPC stream: the schema, then a record batch for each 64 K rows, so results of any size pass.
 *
 * BOOLEAN, integers, FLOAT, DOUBLE, VARCHAR, BLOB, DATE and TIMESTAMP keep their types; HUGEINT (what sum() gives) is
 * decimal128(38, 0) as in DuckDB's own Arrow export, DECIMAL is decimal128 too; everything else is utf8, as DuckDB writes it.
 */
import type { DuckDBType, DuckDBValue } from "@duckdb/node-api";
import * as arrow from "apache-arrow";
import type { QueryStream } from "../database.ts";
import { distinct } from "./json.ts";

/** Rows gathered for one batch: 2048 would cost as much in headers as in rows. */
const BATCH_ROWS = 65_536;

export async function* arrowStream(stream: QueryStream): AsyncGenerator<Uint8Array> {
  const kinds = stream.columns.map(({ type }) => kindOf(type));
  const schema = new arrow.Schema(
    distinct(stream.columns.map(({ name }) => name)).map(
      (name, i) => new arrow.Field(name, kinds[i]!.type, true),
    ),
  );
  const encoder = new Encoder(schema);
  let values: DuckDBValue[][] = kinds.map(() => []);
  const flush = (): Uint8Array => {
    const rows = values[0]?.length ?? 0;
    const children = kinds.map((kind, i) => columnData(kind, values[i]!));
    values = kinds.map(() => []);
    return encoder.batch(children, rows);
  };
  yield encoder.take();
  for await (const chunk of stream.chunks) {
    values.forEach((column, i) => {
      const vector = chunk.getColumnVector(i);
      for (let row = 0; row < chunk.rowCount; row++) column.push(vector.getItem(row));
    });
    if ((values[0]?.length ?? 0) >= BATCH_ROWS) yield flush();
  }
  if ((values[0]?.length ?? 0) > 0) yield flush();
  yield encoder.end();
}

/** The library's writer, with its bytes taken as they are made. */
class Encoder extends arrow.RecordBatchStreamWriter {
  readonly #schema: arrow.Schema;
  #pieces: Uint8Array[] = [];
  constructor(schema: arrow.Schema) {
    super({ autoDestroy: false });
    this.#schema = schema;
    this.reset(undefined, schema);
  }
  batch(children: arrow.Data[], rows: number): Uint8Array {
    const type = new arrow.Struct(this.#schema.fields);
    const data = arrow.makeData({ type, length: rows, nullCount: 0, children });
    this.write(new arrow.RecordBatch(this.#schema, data));
    return this.take();
  }
  end(): Uint8Array {
    this.finish();
    return this.take();
  }
  take(): Uint8Array {
    const bytes = Buffer.concat(this.#pieces);
    this.#pieces = [];
    return bytes;
  }
  protected override _write(chunk: ArrayBufferView | ArrayBufferLike): this {
    const bytes = ArrayBuffer.isView(chunk)
      ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      : new Uint8Array(chunk);
    if (bytes.byteLength > 0) this.#pieces.push(bytes);
    return this;
  }
}

interface Kind {
  readonly type: arrow.DataType;
  /** Fixed-width types: an array for n values, and how value i is put in it. Absent: text or bytes. */
  readonly create?: (length: number) => FixedArray;
  readonly set?: (array: FixedArray, at: number, value: DuckDBValue) => void;
}
type FixedArray =
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

function kindOf(type: DuckDBType): Kind {
  const plain = (arrowType: arrow.DataType, Type: new (length: number) => FixedArray): Kind => ({
    type: arrowType,
    create: (length) => new Type(length),
    set: (array, at, value) => {
      array[at] = value as never;
    },
  });
  const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(type.toString());
  if (decimal !== null) return decimal128(Number(decimal[1]), Number(decimal[2]));
  switch (type.toString()) {
    case "TINYINT":
      return plain(new arrow.Int8(), Int8Array);
    case "SMALLINT":
      return plain(new arrow.Int16(), Int16Array);
    case "INTEGER":
      return plain(new arrow.Int32(), Int32Array);
    case "BIGINT":
      return plain(new arrow.Int64(), BigInt64Array);
    case "UTINYINT":
      return plain(new arrow.Uint8(), Uint8Array);
    case "USMALLINT":
      return plain(new arrow.Uint16(), Uint16Array);
    case "UINTEGER":
      return plain(new arrow.Uint32(), Uint32Array);
    case "UBIGINT":
      return plain(new arrow.Uint64(), BigUint64Array);
    case "FLOAT":
      return plain(new arrow.Float32(), Float32Array);
    case "DOUBLE":
      return plain(new arrow.Float64(), Float64Array);
    case "BOOLEAN":
      return {
        type: new arrow.Bool(),
        create: (length) => new Uint8Array(Math.ceil(length / 64) * 8),
        set: (array, at, value) => {
          if (value === true) (array as Uint8Array)[at >> 3]! |= 1 << (at & 7);
        },
      };
    case "HUGEINT":
      return decimal128(38, 0);
    case "DATE":
      return { ...plain(new arrow.DateDay(), Int32Array), set: setMember("days") };
    case "TIMESTAMP":
      return {
        ...plain(new arrow.TimestampMicrosecond(), BigInt64Array),
        set: setMember("micros"),
      };
    case "TIMESTAMP WITH TIME ZONE":
      return {
        ...plain(new arrow.TimestampMicrosecond("UTC"), BigInt64Array),
        set: setMember("micros"),
      };
    case "TIMESTAMP_NS":
      return { ...plain(new arrow.TimestampNanosecond(), BigInt64Array), set: setMember("nanos") };
    case "BLOB":
      return { type: new arrow.Binary() };
    default:
      return { type: new arrow.Utf8() };
  }
}

function decimal128(precision: number, scale: number): Kind {
  return {
    type: new arrow.Decimal(scale, precision, 128),
    create: (length) => new Uint32Array(4 * length),
    set: (array, at, value) => {
      const whole = typeof value === "bigint" ? value : (value as { readonly value: bigint }).value;
      const bits = BigInt.asUintN(128, whole);
      for (let word = 0; word < 4; word++)
        array[4 * at + word] = Number((bits >> BigInt(32 * word)) & 0xffff_ffffn);
    },
  };
}

function setMember(name: string): NonNullable<Kind["set"]> {
  return (array, at, value) => {
    array[at] = (value as unknown as { readonly [name: string]: never })[name]!;
  };
}

function columnData(kind: Kind, values: readonly DuckDBValue[]): arrow.Data {
  const { type } = kind;
  const length = values.length;
  const nullBitmap = new Uint8Array(Math.ceil(length / 64) * 8);
  let nullCount = 0;
  values.forEach((value, i) => {
    if (value === null) nullCount++;
    else nullBitmap[i >> 3]! |= 1 << (i & 7);
  });
  const common = { type, length, nullCount, nullBitmap: nullCount === 0 ? null : nullBitmap };
  if (kind.create !== undefined) {
    const data = kind.create(length);
    values.forEach((value, i) => {
      if (value !== null) kind.set!(data, i, value);
    });
    return arrow.makeData({ ...common, data } as never);
  }
  const pieces = values.map((value) => (value === null ? nothing : bytesOf(value)));
  const valueOffsets = new Int32Array(length + 1);
  pieces.forEach((piece, i) => {
    valueOffsets[i + 1] = valueOffsets[i]! + piece.length;
  });
  return arrow.makeData({ ...common, data: Buffer.concat(pieces), valueOffsets } as never);
}
const nothing = new Uint8Array(0);
function bytesOf(value: Exclude<DuckDBValue, null>): Uint8Array {
  if (typeof value === "object" && "bytes" in value) return value.bytes;
  return Buffer.from(String(value));
}
