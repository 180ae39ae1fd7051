/** Scalar functions that look into the trace's own columns: arg, arg_int, arg_real, self_time. */
import type duckdb from "@duckdb/node-bindings";
import { type ArgColumns, findLeaf, leafText, leafType } from "./arg-columns.ts";
import type { Nesting } from "./nesting.ts";
import type { Bindings } from "./scan.ts";
import type { TraceView } from "./trace-tables.ts";

const BIGINT = 5;
const DOUBLE = 11;
const VARCHAR = 17;

export function registerFunctions(
  bindings: Bindings,
  connection: duckdb.Connection,
  view: () => TraceView,
): void {
  const argument = (
    name: string,
    type: number,
    write: (output: Output, at: number, args: ArgColumns, leaf: number) => void,
  ): void =>
    register(bindings, connection, name, [BIGINT, VARCHAR], type, (input, output) => {
      const { args } = view();
      const set = input.bigints(0);
      const key = input.texts(1);
      let lastKey: string | undefined;
      let keyIndex = -1;
      for (let i = 0; i < input.rows; i++) {
        const name = key(i);
        if (name !== lastKey) {
          keyIndex = name === undefined ? -1 : (args.keyIndex(name) ?? -1);
          lastKey = name;
        }
        const id = keyIndex < 0 ? undefined : set(i);
        const leaf = id === undefined ? -1 : findLeaf(args, id, keyIndex);
        if (leaf < 0) output.setNull(i);
        else write(output, i, args, leaf);
      }
    });
  argument("arg", VARCHAR, (output, at, args, leaf) => output.setText(at, leafText(args, leaf)));
  argument("arg_int", BIGINT, (output, at, args, leaf) => {
    const exact = args.bigints.get(leaf);
    const number = args.number[leaf]!;
    // A real is no integer; text and bytes are NaN here.
    if (exact !== undefined && BigInt.asIntN(64, exact) === exact) output.int64[at] = exact;
    else if (Number.isSafeInteger(number)) output.int64[at] = BigInt(number);
    else output.setNull(at);
  });
  argument("arg_real", DOUBLE, (output, at, args, leaf) => {
    const type = leafType(args, leaf);
    if (type === "text" || type === "bytes") output.setNull(at);
    else output.float64[at] = args.number[leaf]!;
  });
  const ofSlice = (name: string, get: (nesting: Nesting, slice: number) => number): void =>
    register(bindings, connection, name, [BIGINT], BIGINT, (input, output) => {
      const { slices } = view();
      const id = input.bigints(0);
      for (let i = 0; i < input.rows; i++) {
        const event = id(i);
        const slice = event === undefined ? -1 : slices.find(event);
        if (slice < 0) output.setNull(i);
        else output.int64[i] = BigInt(get(slices.nesting, slice));
      }
    });
  ofSlice("self_time", (nesting, slice) => nesting.selfNs[slice]!);
  ofSlice("__slice_pre", (nesting, slice) => nesting.pre[slice]!);
  ofSlice("__slice_last", (nesting, slice) => nesting.last[slice]!);
}

class Input {
  readonly rows: number;
  readonly #bindings: Bindings;
  readonly #chunk: duckdb.DataChunk;
  constructor(bindings: Bindings, chunk: duckdb.DataChunk) {
    this.#bindings = bindings;
    this.#chunk = chunk;
    this.rows = bindings.data_chunk_get_size(chunk);
  }
  /** Reads row i of a BIGINT column as a number; undefined for NULL. */
  bigints(column: number): (row: number) => number | undefined {
    const vector = this.#bindings.data_chunk_get_vector(this.#chunk, column);
    const bytes = this.#bindings.vector_get_data(vector, this.rows * 8);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const valid = this.#validity(vector);
    return (row) =>
      valid(row)
        ? view.getInt32(row * 8 + 4, true) * 2 ** 32 + view.getUint32(row * 8, true)
        : undefined;
  }
  /** Reads row i of a VARCHAR column. A row with the same 16 bytes as the row before has the same text. */
  texts(column: number): (row: number) => string | undefined {
    const vector = this.#bindings.data_chunk_get_vector(this.#chunk, column);
    const bytes = this.#bindings.vector_get_data(vector, this.rows * 16);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const valid = this.#validity(vector);
    let read = -1;
    let text = "";
    return (row) => {
      if (!valid(row)) return undefined;
      if (read < 0 || !sameSlot(view, read * 16, row * 16)) text = this.#string(view, row * 16);
      read = row;
      return text;
    };
  }
  /** DuckDB's string layout: length, then up to 12 bytes in place or 4 bytes of prefix and a pointer. */
  #string(view: DataView, offset: number): string {
    const length = view.getUint32(offset, true);
    const at = view.byteOffset + offset;
    if (length <= 12) return decoder.decode(new Uint8Array(view.buffer, at + 4, length));
    return decoder.decode(
      this.#bindings.get_data_from_pointer(view.buffer as ArrayBuffer, at + 8, length),
    );
  }
  #validity(vector: duckdb.Vector): (row: number) => boolean {
    const words = this.#bindings.vector_get_validity(vector, Math.ceil(this.rows / 64) * 8);
    // No mask: all valid.
    if (words === null || words === undefined || words.length === 0) return () => true;
    return (row) => (words[row >> 3]! & (1 << (row & 7))) !== 0;
  }
}

const decoder = new TextDecoder();
function sameSlot(view: DataView, a: number, b: number): boolean {
  return (
    view.getUint32(a, true) === view.getUint32(b, true) &&
    view.getUint32(a + 4, true) === view.getUint32(b + 4, true) &&
    view.getUint32(a + 8, true) === view.getUint32(b + 8, true) &&
    view.getUint32(a + 12, true) === view.getUint32(b + 12, true)
  );
}

class Output {
  readonly #memory: ArrayBuffer;
  readonly int64: BigInt64Array;
  readonly float64: Float64Array;
  readonly #valid: Uint8Array;
  readonly #texts: (string | undefined)[] = [];
  #hasNulls = false;
  constructor(rows: number) {
    this.#memory = new ArrayBuffer(rows * 8);
    this.int64 = new BigInt64Array(this.#memory);
    this.float64 = new Float64Array(this.#memory);
    this.#valid = new Uint8Array(Math.ceil(rows / 64) * 8).fill(0xff);
  }
  setNull(at: number): void {
    this.#hasNulls = true;
    this.#valid[at >> 3]! &= ~(1 << (at & 7));
  }
  setText(at: number, text: string): void {
    this.#texts[at] = text;
  }
  write(bindings: Bindings, vector: duckdb.Vector, type: number): void {
    if (type === VARCHAR) {
      const encoder = new TextEncoder();
      this.#texts.forEach((text, at) => {
        if (text?.includes("\0"))
          bindings.vector_assign_string_element_len(vector, at, encoder.encode(text));
        else if (text !== undefined) bindings.vector_assign_string_element(vector, at, text);
      });
    } else bindings.copy_data_to_vector(vector, 0, this.#memory, 0, this.#memory.byteLength);
    if (!this.#hasNulls) return;
    bindings.vector_ensure_validity_writable(vector);
    const { buffer, byteLength } = this.#valid;
    bindings.copy_data_to_vector_validity(vector, 0, buffer as ArrayBuffer, 0, byteLength);
  }
}

function register(
  bindings: Bindings,
  connection: duckdb.Connection,
  name: string,
  parameters: readonly number[],
  type: number,
  run: (input: Input, output: Output) => void,
): void {
  const scalar = bindings.create_scalar_function();
  bindings.scalar_function_set_name(scalar, name);
  for (const parameter of parameters)
    bindings.scalar_function_add_parameter(scalar, bindings.create_logical_type(parameter));
  bindings.scalar_function_set_return_type(scalar, bindings.create_logical_type(type));
  // NULL arguments come to us: the answer is NULL, and rows without arguments must not stop the others.
  bindings.scalar_function_set_special_handling(scalar);
  bindings.scalar_function_set_function(scalar, (info, chunk, vector) => {
    try {
      const input = new Input(bindings, chunk);
      const output = new Output(input.rows);
      run(input, output);
      output.write(bindings, vector, type);
    } catch (error) {
      bindings.scalar_function_set_error(
        info,
        error instanceof Error ? error.message : String(error),
      );
    }
  });
  bindings.register_scalar_function(connection, scalar);
}
