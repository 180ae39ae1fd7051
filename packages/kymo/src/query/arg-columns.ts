/** The leaves of all argument sets as columns, sorted by set: what the `args` table lists and `arg()` looks into. */
import type { ArgSetId, Trace } from "@kymo/trace";

export type LeafType = "int" | "real" | "text" | "bool" | "bytes";
export const leafTypes: readonly LeafType[] = ["int", "real", "text", "bool", "bytes"];

export interface ArgColumns {
  readonly length: number;
  /** Leaves of set s are [start[s], start[s + 1]). */
  readonly start: Uint32Array;
  readonly set: Int32Array;
  /** Index in `keys`. */
  readonly key: Uint32Array;
  /** Index in `leafTypes`. */
  readonly type: Uint8Array;
  /** int, real and bool as a number; NaN otherwise. An int past 2⁵³ is rounded here, exact in `bigints`. */
  readonly number: Float64Array;
  /** text: index in `texts`; 0 for other types. */
  readonly text: Uint32Array;
  readonly keys: readonly string[];
  /** The first stands for no text. */
  readonly texts: readonly string[];
  /** By leaf. */
  readonly bigints: ReadonlyMap<number, bigint>;
  readonly blobs: ReadonlyMap<number, Uint8Array>;
  keyIndex(key: string): number | undefined;
}

export function argColumns(trace: Trace): ArgColumns {
  const sets = trace.args.length;
  const start = new Uint32Array(sets + 1);
  const set = new Growing(Int32Array);
  const key = new Growing(Uint32Array);
  const type = new Growing(Uint8Array);
  const number = new Growing(Float64Array);
  const text = new Growing(Uint32Array);
  const keys = new Interner();
  const texts = new Interner([""]);
  const bigints = new Map<number, bigint>();
  const blobs = new Map<number, Uint8Array>();
  let length = 0;
  for (let id = 0; id < sets; id++) {
    for (const leaf of trace.args.leaves(id as ArgSetId)) {
      const { value } = leaf;
      set.push(id);
      key.push(keys.of(leaf.key));
      type.push(leafTypes.indexOf(leaf.type));
      number.push(
        typeof value === "string" || typeof value === "object" ? Number.NaN : Number(value),
      );
      text.push(typeof value === "string" ? texts.of(value) : 0);
      if (typeof value === "bigint" && !Number.isSafeInteger(Number(value)))
        bigints.set(length, value);
      if (value instanceof Uint8Array) blobs.set(length, value);
      length++;
    }
    start[id + 1] = length;
  }
  return {
    length,
    start,
    set: set.take(),
    key: key.take(),
    type: type.take(),
    number: number.take(),
    text: text.take(),
    keys: keys.list,
    texts: texts.list,
    bigints,
    blobs,
    keyIndex: (name) => keys.find(name),
  };
}

export function leafType(args: ArgColumns, leaf: number): LeafType {
  return leafTypes[args.type[leaf]!]!;
}

/** The leaf of `set` with key `key` (an index in `keys`), −1 none. */
export function findLeaf(args: ArgColumns, set: number, key: number): number {
  if (set < 0 || set + 1 >= args.start.length) return -1;
  const end = args.start[set + 1]!;
  for (let leaf = args.start[set]!; leaf < end; leaf++) if (args.key[leaf] === key) return leaf;
  return -1;
}

/** A leaf as text, whatever its type: true and false as 1 and 0, bytes as lower-case hex. */
export function leafText(args: ArgColumns, leaf: number): string {
  switch (leafType(args, leaf)) {
    case "text":
      return args.texts[args.text[leaf]!]!;
    case "bytes":
      return Buffer.from(args.blobs.get(leaf)!).toString("hex");
    default:
      return String(args.bigints.get(leaf) ?? args.number[leaf]!);
  }
}

class Interner {
  readonly list: string[];
  readonly #index = new Map<string, number>();
  /** What is `reserved` is never given as the index of a text. */
  constructor(reserved: readonly string[] = []) {
    this.list = [...reserved];
  }
  of(text: string): number {
    const known = this.#index.get(text);
    if (known !== undefined) return known;
    this.#index.set(text, this.list.length);
    return this.list.push(text) - 1;
  }
  find(text: string): number | undefined {
    return this.#index.get(text);
  }
}

type Numbers = Int32Array | Uint32Array | Uint8Array | Float64Array;
class Growing<Array extends Numbers> {
  #array: Array;
  #length = 0;
  readonly #Type: new (
    length: number,
  ) => Array;
  constructor(Type: new (length: number) => Array) {
    this.#Type = Type;
    this.#array = new Type(1024);
  }
  push(value: number): void {
    if (this.#length === this.#array.length) {
      const grown = new this.#Type(this.#length * 2);
      grown.set(this.#array);
      this.#array = grown;
    }
    this.#array[this.#length++] = value;
  }
  /** As long as what was pushed. */
  take(): Array {
    return this.#array.subarray(0, this.#length) as Array;
  }
}
