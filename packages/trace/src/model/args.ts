/**
 * Arguments as sorted entity–attribute–value columns: no object per set.
 *
 *     set 7 ─ starts[7]…starts[8] ─► leaf   node  type  value
 *                                     41    http.method        text   StringId
 *                                     42    http.headers[0]    int    12
 *
 * A node is one step of a path (a key or an array index under its parent), stored once for the whole trace, so
 * a key that contains a dot is never taken for nesting.
 */

import { enlarged } from "./rows.ts";
import { type ArgSetId, type ArgsBuilder, EMPTY_STRING, NO_ARGS, type StringId } from "./sink.ts";
import type { StringTable } from "./strings.ts";
import type { ArgLeaf, ArgTable, ArgValue } from "./trace.ts";

const Type = {
  int: 0,
  real: 1,
  text: 2,
  bool: 3,
  bytes: 4,
  /** An integer that a float64 can't hold: `value` is its index in `bigs`. */
  big: 5,
  emptyObject: 6,
  emptyArray: 7,
} as const;
const NAMES = ["int", "real", "text", "bool", "bytes", "int"] as const;

/** Deeper nesting than this is left out (and reported through `onTooDeep`). */
export const MAX_ARG_DEPTH = 64;
/** Sets of at most this many leaves share storage with an equal, recent set. */
const SHARED_LEAVES = 6;
const SHARED_SLOTS = 4096;
const ROOT = -1;

interface PathNode {
  readonly parent: number;
  /** StringId of a key, or the index in an array. */
  readonly key: number;
  readonly inArray: boolean;
  children: Map<number, number> | undefined;
  elements: number[] | undefined;
}

interface OpenContainer {
  readonly node: number;
  readonly array: boolean;
  members: number;
}

export class Args implements ArgTable, ArgsBuilder {
  readonly #strings: StringTable;
  readonly #onTooDeep: () => void;
  #sets = 0;
  #starts = new Uint32Array(64);
  #leaves = 0;
  #node = new Uint32Array(128);
  #type = new Uint8Array(128);
  #value = new Float64Array(128);
  readonly #bigs: bigint[] = [];
  readonly #bytes: Uint8Array[] = [];
  readonly #nodes: PathNode[] = [];
  readonly #topLevel = new Map<number, number>();
  readonly #open: OpenContainer[] = [];
  /** Containers opened below MAX_ARG_DEPTH: their content is dropped. */
  #skipped = 0;
  readonly #recent = new Int32Array(SHARED_SLOTS).fill(-1);
  readonly #bits = new Float64Array(1);
  readonly #halves = new Uint32Array(this.#bits.buffer);

  constructor(strings: StringTable, onTooDeep: () => void) {
    this.#strings = strings;
    this.#onTooDeep = onTooDeep;
  }

  get length(): number {
    return this.#sets;
  }

  // --- building ---

  int(key: StringId, value: number | bigint): void {
    if (typeof value === "bigint") {
      const number = Number(value);
      if (Number.isSafeInteger(number)) this.#leaf(key, Type.int, number);
      else this.#leaf(key, Type.big, this.#bigs.push(value) - 1);
    } else if (Number.isSafeInteger(value)) this.#leaf(key, Type.int, value);
    else if (Number.isInteger(value)) this.#leaf(key, Type.big, this.#bigs.push(BigInt(value)) - 1);
    else this.#leaf(key, Type.real, value);
  }
  real(key: StringId, value: number): void {
    this.#leaf(key, Type.real, value);
  }
  text(key: StringId, value: StringId): void {
    this.#leaf(key, Type.text, value);
  }
  bool(key: StringId, value: boolean): void {
    this.#leaf(key, Type.bool, value ? 1 : 0);
  }
  /** The bytes are copied. */
  bytes(key: StringId, value: Uint8Array): void {
    this.#leaf(key, Type.bytes, this.#bytes.push(value.slice()) - 1);
  }

  open(key: StringId, kind: "object" | "array"): void {
    if (this.#skipped > 0 || this.#open.length >= MAX_ARG_DEPTH) {
      if (this.#skipped === 0) this.#onTooDeep();
      this.#skipped++;
      return;
    }
    this.#open.push({ node: this.#child(key), array: kind === "array", members: 0 });
  }

  close(): void {
    if (this.#skipped > 0) {
      this.#skipped--;
      return;
    }
    const container = this.#open.pop();
    if (container === undefined) throw new Error("args.close() without args.open()");
    if (container.members === 0)
      this.#push(container.node, container.array ? Type.emptyArray : Type.emptyObject, 0);
  }

  done(): ArgSetId {
    if (this.#open.length > 0)
      throw new Error(`args.done() with ${this.#open.length} objects or arrays still open`);
    return this.#finish();
  }

  #leaf(key: StringId, type: number, value: number): void {
    if (this.#skipped > 0) return;
    this.#push(this.#child(key), type, value);
  }

  #push(node: number, type: number, value: number): void {
    const i = this.#leaves++;
    if (i === this.#node.length) {
      this.#node = enlarged(this.#node);
      this.#type = enlarged(this.#type);
      this.#value = enlarged(this.#value);
    }
    this.#node[i] = node;
    this.#type[i] = type;
    this.#value[i] = value;
  }

  #child(key: StringId): number {
    const container = this.#open.at(-1);
    if (container === undefined) {
      let node = this.#topLevel.get(key);
      if (node === undefined) {
        node = this.#newNode(ROOT, key, false);
        this.#topLevel.set(key, node);
      }
      return node;
    }
    const index = container.members++;
    const parent = this.#nodes[container.node]!;
    if (container.array) {
      parent.elements ??= [];
      parent.elements[index] ??= this.#newNode(container.node, index, true);
      return parent.elements[index];
    }
    parent.children ??= new Map();
    let node = parent.children.get(key);
    if (node === undefined) {
      node = this.#newNode(container.node, key, false);
      parent.children.set(key, node);
    }
    return node;
  }

  #newNode(parent: number, key: number, inArray: boolean): number {
    return this.#nodes.push({ parent, key, inArray, children: undefined, elements: undefined }) - 1;
  }

  /** Makes the leaves since the last set a set, or finds an equal one. */
  #finish(): ArgSetId {
    const start = this.#sets === 0 ? 0 : this.#starts[this.#sets]!;
    const count = this.#leaves - start;
    if (count === 0) return NO_ARGS;
    if (count <= SHARED_LEAVES) {
      const slot = this.#hash(start, count) & (SHARED_SLOTS - 1);
      const recent = this.#recent[slot]!;
      if (recent >= 0 && this.#equal(recent, start, count)) {
        this.#leaves = start;
        return recent as ArgSetId;
      }
      this.#recent[slot] = this.#sets;
    }
    const set = this.#sets++;
    if (this.#sets === this.#starts.length) this.#starts = enlarged(this.#starts);
    this.#starts[this.#sets] = this.#leaves;
    return set as ArgSetId;
  }

  #hash(start: number, count: number): number {
    let h = count;
    for (let i = start; i < start + count; i++) {
      this.#bits[0] = this.#value[i]!;
      h = Math.imul(h ^ this.#node[i]! ^ (this.#type[i]! << 24), 0x9e3779b1);
      h = Math.imul((h >>> 15) ^ h ^ this.#halves[0]!, 0x85ebca6b);
      h = Math.imul((h >>> 13) ^ h ^ this.#halves[1]!, 0x2c1b3c6d);
    }
    return h ^ (h >>> 16);
  }

  #equal(set: number, start: number, count: number): boolean {
    const other = this.#starts[set]!;
    if (this.#starts[set + 1]! - other !== count) return false;
    for (let i = 0; i < count; i++) {
      if (this.#node[other + i] !== this.#node[start + i]) return false;
      if (this.#type[other + i] !== this.#type[start + i]) return false;
      // Object.is: −0 and NaN are values of their own.
      if (!Object.is(this.#value[other + i], this.#value[start + i])) return false;
    }
    return true;
  }

  /** A set with the leaves of both; what `second` has too replaces what `first` had at top level. */
  merge(first: ArgSetId, second: ArgSetId): ArgSetId {
    if (first < 0 || first === second) return second;
    if (second < 0) return first;
    this.#assertSet(first);
    this.#assertSet(second);
    const replaced = new Set<number>();
    for (let i = this.#starts[second]!; i < this.#starts[second + 1]!; i++)
      replaced.add(this.#topOf(this.#node[i]!));
    this.#copy(first, replaced);
    this.#copy(second, undefined);
    return this.#finish();
  }

  #copy(set: number, without: ReadonlySet<number> | undefined): void {
    for (let i = this.#starts[set]!; i < this.#starts[set + 1]!; i++)
      if (!without?.has(this.#topOf(this.#node[i]!)))
        this.#push(this.#node[i]!, this.#type[i]!, this.#value[i]!);
  }

  #topOf(node: number): number {
    let top = node;
    while (this.#nodes[top]!.parent !== ROOT) top = this.#nodes[top]!.parent;
    return top;
  }

  // --- reading ---

  leaves(set: ArgSetId): ArgLeaf[] {
    if (set === NO_ARGS) return [];
    this.#assertSet(set);
    const leaves: ArgLeaf[] = [];
    for (let i = this.#starts[set]!; i < this.#starts[set + 1]!; i++) {
      const type = NAMES[this.#type[i]!];
      if (type === undefined) continue; // an empty object or array has no leaf
      leaves.push({ key: this.#path(this.#node[i]!), type, value: this.#valueAt(i) as never });
    }
    return leaves;
  }

  object(set: ArgSetId): { readonly [key: string]: ArgValue } {
    const root: Container = new Map();
    if (set === NO_ARGS) return {};
    this.#assertSet(set);
    const open = new Map<number, Container>();
    for (let i = this.#starts[set]!; i < this.#starts[set + 1]!; i++) {
      const node = this.#nodes[this.#node[i]!]!;
      const parent = node.parent === ROOT ? root : this.#container(node.parent, open, root);
      parent.set(this.#keyOf(node), this.#valueAt(i));
    }
    return plain(root) as { readonly [key: string]: ArgValue };
  }

  /**
   * Feeds a set's values, in order, to another builder.
   *
   * @param string  the other builder's id of one of our strings
   */
  replay(set: ArgSetId, to: ArgsBuilder, string: (id: StringId) => StringId): ArgSetId {
    if (set === NO_ARGS) return NO_ARGS;
    this.#assertSet(set);
    const open: number[] = [];
    for (let i = this.#starts[set]!; i < this.#starts[set + 1]!; i++) {
      const type = this.#type[i]!;
      const empty = type === Type.emptyObject || type === Type.emptyArray;
      const path = this.#ancestors(this.#node[i]!);
      let shared = 0;
      while (shared < open.length && open[shared] === path[shared]) shared++;
      for (; open.length > shared; open.pop()) to.close();
      for (let step = shared; step < path.length; step++) {
        const next = step + 1 < path.length ? path[step + 1]! : this.#node[i]!;
        to.open(
          this.#openKey(path[step]!, string),
          this.#nodes[next]!.inArray ? "array" : "object",
        );
        open.push(path[step]!);
      }
      const key = this.#openKey(this.#node[i]!, string);
      if (empty) {
        to.open(key, type === Type.emptyArray ? "array" : "object");
        to.close();
      } else this.#replayLeaf(i, key, to, string);
    }
    for (; open.length > 0; open.pop()) to.close();
    return to.done();
  }

  #replayLeaf(i: number, key: StringId, to: ArgsBuilder, string: (id: StringId) => StringId) {
    const value = this.#value[i]!;
    const type = this.#type[i]!;
    if (type === Type.int) to.int(key, value);
    else if (type === Type.real) to.real(key, value);
    else if (type === Type.text) to.text(key, string(value as StringId));
    else if (type === Type.bool) to.bool(key, value !== 0);
    else if (type === Type.bytes) to.bytes(key, this.#bytes[value]!);
    else to.int(key, this.#bigs[value]!);
  }

  #openKey(node: number, string: (id: StringId) => StringId): StringId {
    const { key, inArray } = this.#nodes[node]!;
    return inArray ? EMPTY_STRING : string(key as StringId);
  }

  /** Nodes around `node`, outermost first. */
  #ancestors(node: number): number[] {
    const path: number[] = [];
    for (let at = this.#nodes[node]!.parent; at !== ROOT; at = this.#nodes[at]!.parent)
      path.push(at);
    return path.reverse();
  }

  #container(node: number, open: Map<number, Container>, root: Container): Container {
    const known = open.get(node);
    if (known !== undefined) return known;
    const { parent } = this.#nodes[node]!;
    const container: Container = new Map();
    open.set(node, container);
    const around = parent === ROOT ? root : this.#container(parent, open, root);
    around.set(this.#keyOf(this.#nodes[node]!), container);
    return container;
  }

  #keyOf(node: PathNode): string | number {
    return node.inArray ? node.key : this.#strings.get(node.key as StringId);
  }

  #path(node: number): string {
    const { parent, key, inArray } = this.#nodes[node]!;
    const before = parent === ROOT ? "" : this.#path(parent);
    if (inArray) return `${before}[${key}]`;
    const name = this.#strings.get(key as StringId);
    return before === "" ? name : `${before}.${name}`;
  }

  #valueAt(i: number): number | bigint | boolean | string | Uint8Array | Container {
    const value = this.#value[i]!;
    switch (this.#type[i]!) {
      case Type.text:
        return this.#strings.get(value as StringId);
      case Type.bool:
        return value !== 0;
      case Type.bytes:
        return this.#bytes[value]!;
      case Type.big:
        return this.#bigs[value]!;
      case Type.emptyObject:
        return new Map();
      case Type.emptyArray:
        return EMPTY_ARRAY;
      default:
        return value;
    }
  }

  #assertSet(set: number): void {
    if (!(set >= 0 && set < this.#sets))
      throw new RangeError(`argument set ${set} of ${this.#sets}`);
  }
}

type Container = Map<string | number, number | bigint | boolean | string | Uint8Array | Container>;
const EMPTY_ARRAY: Container = new Map();

/** Maps with number keys become arrays, others objects (own properties, so "__proto__" is a key like any other). */
function plain(container: Container): ArgValue {
  if (container === EMPTY_ARRAY || typeof container.keys().next().value === "number")
    return [...container.values()].map(plainValue);
  return Object.fromEntries([...container].map(([key, value]) => [key, plainValue(value)]));
}
function plainValue(value: number | bigint | boolean | string | Uint8Array | Container): ArgValue {
  return value instanceof Map ? plain(value) : value;
}
