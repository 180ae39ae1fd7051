/**
 * BTF: the types of a kernel (/sys/kernel/btf/vmlinux, 5 MB), of a module, or of a `.bpf.o`.
 *
 *     header │ types: 12 bytes + what its kind adds, one after the other; ids count from 1 │ strings, by byte offset
 *
 * Parsing walks the types once to learn where each starts (milliseconds for 150,000); everything else is decoded when
 * it is asked for. The BTF of a module is split: its ids and string offsets go on where those of its base end.
 * The bytes are untrusted: ids and offsets are checked where they are used, and chains have limits.
 *
 * @see https://docs.kernel.org/bpf/btf.html
 */
import { FormatError } from "@kymo/trace/format";

export const BtfKind = {
  void: 0,
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  prototype: 13,
  variable: 14,
  section: 15,
  float: 16,
  declarationTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

export interface BtfMember {
  /** "" for an anonymous struct or union. */
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** Of a bit field, else undefined. */
  readonly bitSize: number | undefined;
}
export interface BtfParameter {
  /** "" where the compiler kept no name: in pointers to functions. */
  readonly name: string;
  readonly type: number;
}
export interface BtfInt {
  readonly signed: boolean;
  readonly bool: boolean;
  /** Bits in use, and where they start in the bytes that hold them (both old bit fields' matter). */
  readonly bits: number;
  readonly bitOffset: number;
}
const headerBytes = 24;
const magic = 0xeb9f;
const nameLimit = 4096;
/** Searches before names are indexed. */
const scansLimit = 64;
/** Typedefs and qualifiers in a row; arrays in arrays; anonymous structs in structs. */
const chainLimit = 32;

export class Btf {
  /** The first id of its own; those below belong to `base`. */
  readonly firstId: number;
  /** One past the last id. */
  readonly endId: number;
  readonly #base: Btf | undefined;
  /** The type section. */
  readonly #words: Uint32Array;
  /** Where in `#words` a type starts, by id − firstId. */
  readonly #starts: Uint32Array;
  readonly #strings: Buffer;
  /** Answers of `find`. */
  readonly #found: Map<string, number> = new Map();
  #index: Map<string, number[]> | undefined;
  /** String offsets below this are the base's. */
  readonly #firstString: number;

  /**
   * @param bytes  kept, not copied
   * @param base   what a split BTF goes on from
   * @throws FormatError when it is not BTF, or of a future kind
   */
  constructor(bytes: Uint8Array, base?: Btf) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < headerBytes || view.getUint16(0, true) !== magic)
      throw new FormatError("btf", 0, "expected BTF of this byte order (eb9f)");
    const header = view.getUint32(4, true);
    const section = (at: number): { readonly from: number; readonly to: number } => {
      const from = header + view.getUint32(at, true);
      const to = from + view.getUint32(at + 4, true);
      if (to > bytes.length)
        throw new FormatError("btf", at, `a section ends at ${to}, the data at ${bytes.length}`);
      return { from, to };
    };
    const types = section(8);
    const strings = section(16);
    this.#base = base;
    this.#words = wordsOf(bytes, types.from, types.to);
    this.#strings = Buffer.from(
      bytes.buffer,
      bytes.byteOffset + strings.from,
      strings.to - strings.from,
    );
    this.#firstString = base === undefined ? 0 : base.#firstString + base.#strings.length;
    this.firstId = base === undefined ? 1 : base.endId;
    this.#starts = startsOf(this.#words, types.from);
    this.endId = this.firstId + this.#starts.length;
  }

  /** The text at an offset of the strings: sections beside BTF refer to it. */
  text(offset: number): string {
    return this.#string(offset);
  }

  /** `BtfKind`; void for ids that don't exist. */
  kind(id: number): number {
    return (this.#word(id, 1) >>> 24) & 0x1f;
  }
  name(id: number): string {
    return this.#string(this.#word(id, 0));
  }
  /** The type that a pointer, typedef, qualifier, tag, function (its prototype) or prototype (its result) names. */
  target(id: number): number {
    return this.#word(id, 2);
  }

  /** Through typedefs, qualifiers and type tags. */
  resolve(id: number): number {
    let at = id;
    for (let i = 0; i < chainLimit; i++) {
      switch (this.kind(at)) {
        case BtfKind.typedef:
        case BtfKind.volatile:
        case BtfKind.const:
        case BtfKind.restrict:
        case BtfKind.typeTag:
          at = this.target(at);
          break;
        default:
          return at;
      }
    }
    return 0;
  }

  /** sizeof; 0 for what has no size. */
  bytes(id: number, depth = 0): number {
    const at = this.resolve(id);
    switch (this.kind(at)) {
      case BtfKind.pointer:
        return 8;
      case BtfKind.array: {
        if (depth > chainLimit) return 0;
        const { of, length } = this.array(at);
        const bytes = this.bytes(of, depth + 1) * length;
        return bytes < 2 ** 32 ? bytes : 0;
      }
      case BtfKind.int:
      case BtfKind.struct:
      case BtfKind.union:
      case BtfKind.enum:
      case BtfKind.enum64:
      case BtfKind.float:
      case BtfKind.section:
        return this.#word(at, 2);
      default:
        return 0;
    }
  }

  int(id: number): BtfInt {
    const word = this.#word(id, 3);
    const encoding = (word >>> 24) & 0xf;
    return {
      signed: (encoding & 1) !== 0,
      bool: (encoding & 4) !== 0,
      bits: word & 0xff,
      bitOffset: (word >>> 16) & 0xff,
    };
  }

  array(id: number): { readonly of: number; readonly length: number } {
    return { of: this.#word(id, 3), length: this.#word(id, 5) };
  }

  /** Members of a struct or union, as they are declared; of bit fields of both encodings. */
  *members(id: number): Generator<BtfMember> {
    const isSized = this.#flag(id);
    const count = this.#count(id);
    for (let i = 0; i < count; i++) {
      const type = this.#word(id, 4 + 3 * i);
      const place = this.#word(id, 5 + 3 * i);
      const name = this.#string(this.#word(id, 3 + 3 * i));
      if (isSized) {
        const bitSize = place >>> 24;
        yield {
          name,
          type,
          bitOffset: place & 0xff_ffff,
          bitSize: bitSize === 0 ? undefined : bitSize,
        };
        continue;
      }
      const real = this.resolve(type);
      const int = this.kind(real) === BtfKind.int ? this.int(real) : undefined;
      const isField = int !== undefined && int.bits !== 0 && int.bits < 8 * this.bytes(real);
      yield {
        name,
        type,
        bitOffset: place + (isField ? int.bitOffset : 0),
        bitSize: isField ? int.bits : undefined,
      };
    }
  }

  enumerators(id: number): Map<string, bigint> {
    const all = new Map<string, bigint>();
    const count = this.#count(id);
    const isSigned = this.#flag(id);
    const isWide = this.kind(id) === BtfKind.enum64;
    const words = isWide ? 3 : 2;
    const bits = isWide ? 64 : 32;
    for (let i = 0; i < count; i++) {
      const low = BigInt(this.#word(id, 4 + words * i));
      const value = isWide ? (BigInt(this.#word(id, 5 + words * i)) << 32n) | low : low;
      const name = this.#string(this.#word(id, 3 + words * i));
      all.set(name, isSigned ? BigInt.asIntN(bits, value) : value);
    }
    return all;
  }
  /** Whether an enum's values are signed. */
  isSignedEnum(id: number): boolean {
    return this.#flag(id);
  }

  /** Of a prototype; a last one without name and type stands for `...` and is left out. */
  parameters(id: number): BtfParameter[] {
    const all: BtfParameter[] = [];
    const count = this.#count(id);
    for (let i = 0; i < count; i++) {
      const type = this.#word(id, 4 + 2 * i);
      const name = this.#word(id, 3 + 2 * i);
      if (type !== 0 || name !== 0) all.push({ name: this.#string(name), type });
    }
    return all;
  }

  /** The first type of that name and one of these kinds; 0 when there is none. Own types come before the base's. */
  find(name: string, ...kinds: readonly number[]): number {
    const key = `${name} ${kinds.join()}`;
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const id = this.#found.size < scansLimit ? this.#scan(name, kinds) : this.#indexed(name, kinds);
    this.#found.set(key, id);
    return id;
  }

  #scan(name: string, kinds: readonly number[]): number {
    const offsets = this.#stringOffsets(name);
    if (offsets.size > 0) {
      const words = this.#words;
      for (let i = 0; i < this.#starts.length; i++) {
        const at = this.#starts[i]!;
        if (offsets.has(words[at]!) && kinds.includes((words[at + 1]! >>> 24) & 0x1f))
          return this.firstId + i;
      }
    }
    return this.#base?.find(name, ...kinds) ?? 0;
  }

  /** Who asks often gets an index of all names: it costs as much as so many searches (40 ms). */
  #indexed(name: string, kinds: readonly number[]): number {
    if (this.#index === undefined) {
      this.#index = new Map();
      for (let i = 0; i < this.#starts.length; i++) {
        const text = this.#string(this.#words[this.#starts[i]!]!);
        if (text === "") continue;
        const ids = this.#index.get(text);
        if (ids === undefined) this.#index.set(text, [this.firstId + i]);
        else ids.push(this.firstId + i);
      }
    }
    const own = this.#index.get(name)?.find((id) => kinds.includes(this.kind(id)));
    return own ?? this.#base?.find(name, ...kinds) ?? 0;
  }

  /** Every named type of these kinds, the base's first: for lists and suggestions. */
  *named(...kinds: readonly number[]): Generator<{ readonly id: number; readonly name: string }> {
    if (this.#base !== undefined) yield* this.#base.named(...kinds);
    for (let i = 0; i < this.#starts.length; i++) {
      const at = this.#starts[i]!;
      if (this.#words[at] !== 0 && kinds.includes((this.#words[at + 1]! >>> 24) & 0x1f))
        yield { id: this.firstId + i, name: this.#string(this.#words[at]!) };
    }
  }

  /** Where in the string section a name stands. Comparing bytes once beats decoding 150,000 names. */
  #stringOffsets(name: string): Set<number> {
    const offsets = new Set<number>();
    if (name === "") return offsets;
    for (const own of this.#occurrences(name)) offsets.add(this.#firstString + own);
    // A split BTF names things by the base's strings too.
    for (let base = this.#base; base !== undefined; base = base.#base)
      for (const theirs of base.#occurrences(name)) offsets.add(base.#firstString + theirs);
    return offsets;
  }
  *#occurrences(name: string): Generator<number> {
    const wanted = Buffer.from(`${name}\0`);
    for (
      let at = this.#strings.indexOf(wanted);
      at >= 0;
      at = this.#strings.indexOf(wanted, at + 1)
    )
      yield at;
  }

  #count(id: number): number {
    return this.#word(id, 1) & 0xffff;
  }
  #flag(id: number): boolean {
    return this.#word(id, 1) >>> 31 === 1;
  }
  /** A word of a type; 0 outside. */
  #word(id: number, index: number): number {
    if (id < this.firstId) return this.#base === undefined ? 0 : this.#base.#word(id, index);
    const start = this.#starts[id - this.firstId];
    return start === undefined ? 0 : (this.#words[start + index] ?? 0);
  }
  #string(offset: number): string {
    if (offset < this.#firstString)
      return this.#base === undefined ? "" : this.#base.#string(offset);
    const from = offset - this.#firstString;
    const end = this.#strings.indexOf(0, from);
    const to = Math.min(end < 0 ? this.#strings.length : end, from + nameLimit);
    return from < to ? this.#strings.toString("latin1", from, to) : "";
  }
}

function wordsOf(bytes: Uint8Array, from: number, to: number): Uint32Array {
  const count = (to - from) >>> 2;
  const start = bytes.byteOffset + from;
  if (start % 4 === 0) return new Uint32Array(bytes.buffer, start, count);
  return new Uint32Array(bytes.slice(from, from + 4 * count).buffer);
}

/** Words that a kind adds to the three each type has: some once, some for each of its `count` parts. */
const tailWords: readonly (readonly [once: number, each: number])[] = [
  [0, 0], // void
  [1, 0],
  [0, 0],
  [3, 0], // array
  [0, 3],
  [0, 3],
  [0, 2], // enum
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0], // function
  [0, 2],
  [1, 0],
  [0, 3], // section
  [0, 0],
  [1, 0],
  [0, 0],
  [0, 3], // enum64
];

function startsOf(words: Uint32Array, typesAt: number): Uint32Array {
  const starts = new Uint32Array(Math.floor(words.length / 3));
  let count = 0;
  for (let at = 0; at < words.length; ) {
    const info = words[at + 1] ?? 0;
    const tail = tailWords[(info >>> 24) & 0x1f];
    if (tail === undefined)
      throw new FormatError("btf", typesAt + 4 * at, `unknown kind ${(info >>> 24) & 0x1f}`);
    const next = at + 3 + tail[0] + tail[1] * (info & 0xffff);
    if (next > words.length)
      throw new FormatError("btf", typesAt + 4 * at, "a type is cut short by the section's end");
    starts[count++] = at;
    at = next;
  }
  return starts.subarray(0, count);
}
