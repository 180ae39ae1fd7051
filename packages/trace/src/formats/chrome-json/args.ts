/**
 * An event's arguments: bytes of a JSON value → ArgsBuilder.
 *
 * One pass makes tokens, a second gives them to the builder: only the end of an object tells which of two equal keys counts
 * (the last). Numbers without "." or exponent are integers, exact to 64 bits; null becomes the text "null".
 */
import { type ArgSetId, type ArgsBuilder, EMPTY_STRING, type StringId } from "../../model/sink.ts";
import { ascii, BAD, QUOTE, skipBlanks, skipLiteral, spells } from "../../wire/json-bytes.ts";
import { HASH_START, HASH_STEP, hashBytes, type JsonStrings } from "../../wire/json-strings.ts";

/** Deeper nesting is not kept. */
const MAX_DEPTH = 64;
/** Values in one set of arguments, at most. */
const MAX_TOKENS = 1 << 17;

const Kind = { dead: 0, int: 1, big: 2, real: 3, text: 4, bool: 5, object: 6, array: 7 } as const;

const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 44;

export class ArgsReader {
  readonly #strings: JsonStrings;
  readonly #builder: ArgsBuilder;
  readonly #null: () => StringId;
  #kind = new Uint8Array(256);
  #key = new Uint32Array(256);
  #value = new Float64Array(256);
  /** Index after the token and all within it. */
  #next = new Uint32Array(256);
  #from = new Uint32Array(256);
  #to = new Uint32Array(256);
  readonly #bigs: bigint[] = [];
  #count = 0;
  #b: Uint8Array = new Uint8Array(0);
  #end = 0;
  #depth = 0;

  constructor(strings: JsonStrings, builder: ArgsBuilder, text: (text: string) => StringId) {
    this.#strings = strings;
    this.#builder = builder;
    this.#null = () => text("null");
  }

  /**
   * Adds the members of the object b[from, to), or what is no object under `otherKey`, to the builder.
   * @returns false when it is no JSON, too deep or too long; the builder has got nothing then.
   */
  addMembers(b: Uint8Array, from: number, to: number, otherKey: StringId): boolean {
    if (!this.#start(b, from, to, otherKey)) return false;
    if (this.#kind[0] === Kind.object) this.#emit(1, this.#next[0]!);
    else this.#emit(0, this.#count);
    return true;
  }

  /**
   * Visits the members of the object b[from, to) as numbers; NaN for what is none (text that spells a number is one).
   * @returns false when it is no JSON object
   */
  numbers(
    b: Uint8Array,
    from: number,
    to: number,
    visit: (key: StringId, value: number | bigint, isNumber: boolean) => void,
  ): boolean {
    if (!this.#start(b, from, to, EMPTY_STRING) || this.#kind[0] !== Kind.object) return false;
    for (let i = 1; i < this.#count; i = this.#next[i]!) {
      const key = this.#key[i]! as StringId;
      const kind = this.#kind[i]!;
      const value = this.#value[i]!;
      if (kind === Kind.big) visit(key, this.#bigs[value]!, true);
      else if (kind === Kind.text) {
        const text = ascii(b, this.#from[i]! + 1, this.#to[i]! - 1).trim();
        const number =
          text === "" || this.#to[i]! - this.#from[i]! > 64 ? Number.NaN : Number(text);
        visit(key, number, !Number.isNaN(number) || text === "NaN");
      } else if (kind === Kind.object || kind === Kind.array) visit(key, Number.NaN, false);
      else if (kind !== Kind.dead) visit(key, value, true);
    }
    return true;
  }

  #start(b: Uint8Array, from: number, to: number, key: StringId): boolean {
    this.#b = b;
    this.#end = to;
    this.#count = 0;
    this.#bigs.length = 0;
    this.#depth = 0;
    return this.#read(from, key) === to;
  }

  done(): ArgSetId {
    return this.#builder.done();
  }

  /** Reads the value at `at`. @returns the position after it, or BAD. */
  #read(at: number, key: StringId): number {
    if (this.#count >= MAX_TOKENS || at >= this.#end) return BAD;
    const b = this.#b;
    const token = this.#count++;
    if (token === this.#kind.length) this.#grow();
    this.#key[token] = key;
    let p = at;
    const first = b[p]!;
    if (first === OPEN || first === OPEN_ARRAY) {
      if (++this.#depth > MAX_DEPTH) return BAD;
      this.#kind[token] = first === OPEN ? Kind.object : Kind.array;
      p = first === OPEN ? this.#members(p + 1, token) : this.#elements(p + 1);
      this.#depth--;
    } else if (first === QUOTE) {
      p = this.#text(p + 1);
      this.#kind[token] = Kind.text;
      this.#value[token] = this.#lastText;
    } else p = this.#literal(p, token);
    this.#next[token] = this.#count;
    this.#from[token] = at;
    this.#to[token] = Math.max(0, p);
    return p;
  }

  #members(at: number, object: number): number {
    const b = this.#b;
    let p = at;
    let members = 0;
    for (;;) {
      p = skipBlanks(b, p);
      while (b[p] === COMMA) p = skipBlanks(b, p + 1);
      if (b[p] === CLOSE) break;
      if (b[p] !== QUOTE || p >= this.#end) return BAD;
      p = skipBlanks(b, this.#text(p + 1));
      const key = this.#lastText as StringId;
      if (b[p] !== 58) return BAD;
      p = this.#read(skipBlanks(b, p + 1), key);
      if (p < 0) return BAD;
      members++;
    }
    if (members > 1) this.#dropOverridden(object + 1, members);
    return p + 1;
  }

  #elements(at: number): number {
    const b = this.#b;
    let p = at;
    for (;;) {
      p = skipBlanks(b, p);
      while (b[p] === COMMA) p = skipBlanks(b, p + 1);
      if (b[p] === CLOSE_ARRAY) return p + 1;
      p = this.#read(p, EMPTY_STRING);
      if (p < 0) return BAD;
    }
  }

  /** Of the members of one object that have the same key, only the last stays. */
  #dropOverridden(first: number, members: number): void {
    if (members <= 8) {
      for (let i = first; i < this.#count; i = this.#next[i]!)
        for (let j = this.#next[i]!; j < this.#count; j = this.#next[j]!)
          if (this.#key[i] === this.#key[j]) this.#kind[i] = Kind.dead;
      return;
    }
    const last = new Map<number, number>();
    for (let i = first; i < this.#count; i = this.#next[i]!) {
      const before = last.get(this.#key[i]!);
      if (before !== undefined) this.#kind[before] = Kind.dead;
      last.set(this.#key[i]!, i);
    }
  }

  #lastText = 0;
  /** Reads the string whose body is at `at` into #lastText. @returns the position after its quote. */
  #text(at: number): number {
    const b = this.#b;
    let hash = HASH_START;
    let escaped = false;
    let p = at;
    let c = b[p]!;
    while (c !== QUOTE) {
      if (c === 92) {
        escaped = true;
        hash = Math.imul(hash ^ c, HASH_STEP);
        c = b[++p]!;
      }
      hash = Math.imul(hash ^ c, HASH_STEP);
      c = b[++p]!;
    }
    this.#lastText = this.#strings.id(b, at, p, hash, escaped);
    return p + 1;
  }

  #literal(at: number, token: number): number {
    const b = this.#b;
    let p = at;
    let c = b[p]!;
    const negative = c === 45;
    if (negative) c = b[++p]!;
    const digits = p;
    let value = 0;
    while (c >= 48 && c <= 57) {
      value = value * 10 + (c - 48);
      c = b[++p]!;
    }
    if (p - digits > 0 && p - digits <= 15 && isEnd(c)) {
      this.#kind[token] = negative && value === 0 ? Kind.real : Kind.int;
      this.#value[token] = negative ? -value : value;
      return p;
    }
    const after = skipLiteral(b, at, this.#end + 1);
    if (after < 0) return BAD;
    return this.#word(token, at, after) ? after : BAD;
  }

  #word(token: number, from: number, to: number): boolean {
    const b = this.#b;
    if (spells(b, from, to, "true") || spells(b, from, to, "false")) {
      this.#kind[token] = Kind.bool;
      this.#value[token] = b[from] === 0x74 ? 1 : 0;
    } else if (spells(b, from, to, "null")) {
      this.#kind[token] = Kind.text;
      this.#value[token] = this.#null();
    } else {
      const text = ascii(b, from, Math.min(to, from + 1100));
      if (/^-?\d{1,20}$/.test(text) && fits64(BigInt(text))) {
        this.#kind[token] = Kind.big;
        this.#value[token] = this.#bigs.push(BigInt(text)) - 1;
      } else {
        const value = Number(text);
        if (Number.isNaN(value) && !/^-?NaN$/.test(text)) return false;
        this.#kind[token] = Kind.real;
        this.#value[token] = value;
      }
    }
    return true;
  }

  #emit(from: number, to: number): void {
    const builder = this.#builder;
    for (let i = from; i < to; i = this.#next[i]!) {
      const key = this.#key[i]! as StringId;
      const value = this.#value[i]!;
      switch (this.#kind[i]!) {
        case Kind.int:
          builder.int(key, value);
          break;
        case Kind.big:
          builder.int(key, this.#bigs[value]!);
          break;
        case Kind.real:
          builder.real(key, value);
          break;
        case Kind.text:
          builder.text(key, value as StringId);
          break;
        case Kind.bool:
          builder.bool(key, value === 1);
          break;
        case Kind.object:
        case Kind.array:
          builder.open(key, this.#kind[i] === Kind.object ? "object" : "array");
          this.#emit(i + 1, this.#next[i]!);
          builder.close();
          break;
        default: // overridden by a later member of the same key
      }
    }
  }

  #grow(): void {
    const length = this.#kind.length * 2;
    const enlarge = <T extends Uint8Array | Uint32Array | Float64Array>(column: T): T => {
      const bigger = new (column.constructor as new (length: number) => T)(length);
      bigger.set(column);
      return bigger;
    };
    this.#kind = enlarge(this.#kind);
    this.#key = enlarge(this.#key);
    this.#value = enlarge(this.#value);
    this.#next = enlarge(this.#next);
    this.#from = enlarge(this.#from);
    this.#to = enlarge(this.#to);
  }
}

/** Interns the key b[from, to). */
export function keyId(strings: JsonStrings, b: Uint8Array, from: number, to: number): StringId {
  const escaped = b.subarray(from, to).includes(92);
  return strings.id(b, from, to, hashBytes(b, from, to), escaped);
}

const isEnd = (c: number): boolean =>
  c <= 32 || c === COMMA || c === CLOSE || c === CLOSE_ARRAY || c === QUOTE;
const fits64 = (value: bigint): boolean => value >= -(2n ** 63n) && value < 2n ** 64n;
