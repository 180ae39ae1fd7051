/**
 * Strings of JSON by their bytes: the same bytes are decoded and interned once.
 *
 *     bytes ─ hash ─► slots (open addressing) ─► entry {hash, offset, length, id} ─ compare bytes ─► StringId
 */
import type { StringId } from "../model/sink.ts";
import { decodeString } from "./json-bytes.ts";

/** Longer strings are rarely repeated: they are decoded each time. */
const MAX_CACHED_BYTES = 512;
/** The cache starts over beyond this many bytes of text. */
const MAX_TEXT_BYTES = 16 * 2 ** 20;
const FIRST_SLOTS = 1 << 12;

export class JsonStrings {
  readonly #intern: (text: string) => StringId;
  #mask = FIRST_SLOTS - 1;
  /** Entry + 1; 0 is free. */
  #slots = new Int32Array(FIRST_SLOTS);
  #hash = new Int32Array(FIRST_SLOTS / 2);
  #offset = new Uint32Array(FIRST_SLOTS / 2);
  #length = new Uint32Array(FIRST_SLOTS / 2);
  #id = new Uint32Array(FIRST_SLOTS / 2);
  #count = 0;
  #text = new Uint8Array(1 << 16);
  #textBytes = 0;

  constructor(intern: (text: string) => StringId) {
    this.#intern = intern;
  }

  /**
   * @param from,to  the string's body, without its quotes
   * @param hash     `hash = imul(hash ^ byte, HASH_STEP)` over the body, from HASH_START
   * @param escaped  the body has a backslash
   */
  id(b: Uint8Array, from: number, to: number, hash: number, escaped: boolean): StringId {
    const length = to - from;
    // Low bits of such a hash depend on low bits of the text alone.
    const mixed = hash ^ (hash >>> 15);
    let slot = mixed & this.#mask;
    for (let entry = this.#slots[slot]!; entry !== 0; entry = this.#slots[slot]!) {
      if (this.#hash[entry - 1] === mixed && this.#length[entry - 1] === length) {
        const text = this.#text;
        let at = this.#offset[entry - 1]!;
        let i = from;
        while (i < to && text[at] === b[i]) {
          i++;
          at++;
        }
        if (i === to) return this.#id[entry - 1]! as StringId;
      }
      slot = (slot + 1) & this.#mask;
    }
    const id = this.#intern(decodeString(b, from, to, escaped));
    if (length <= MAX_CACHED_BYTES) this.#add(b, from, to, mixed, id);
    return id;
  }

  #add(b: Uint8Array, from: number, to: number, hash: number, id: StringId): void {
    const length = to - from;
    if (this.#textBytes + length > MAX_TEXT_BYTES) {
      this.#slots.fill(0);
      this.#count = 0;
      this.#textBytes = 0;
    }
    if (this.#count === this.#hash.length) this.#grow();
    if (this.#textBytes + length > this.#text.length)
      this.#text = grown(this.#text, Math.max(this.#text.length * 2, this.#textBytes + length));
    const entry = this.#count++;
    this.#text.set(b.subarray(from, to), this.#textBytes);
    this.#hash[entry] = hash;
    this.#offset[entry] = this.#textBytes;
    this.#length[entry] = length;
    this.#id[entry] = id;
    this.#textBytes += length;
    this.#place(entry);
  }

  #place(entry: number): void {
    let slot = this.#hash[entry]! & this.#mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = entry + 1;
  }

  #grow(): void {
    const slots = this.#slots.length * 2;
    this.#slots = new Int32Array(slots);
    this.#mask = slots - 1;
    this.#hash = grown(this.#hash, slots / 2);
    this.#offset = grown(this.#offset, slots / 2);
    this.#length = grown(this.#length, slots / 2);
    this.#id = grown(this.#id, slots / 2);
    for (let entry = 0; entry < this.#count; entry++) this.#place(entry);
  }
}
/** FNV-1a's constants (signed 32 bit). */
export const HASH_START: number = -2128831035;
export const HASH_STEP = 16777619;

/** Hash of b[from, to): for strings that a scan has not hashed on its way. */
export function hashBytes(b: Uint8Array, from: number, to: number): number {
  let hash = HASH_START;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ b[i]!, HASH_STEP);
  return hash;
}

function grown<T extends Int32Array | Uint32Array | Uint8Array>(column: T, length: number): T {
  const bigger = new (column.constructor as new (length: number) => T)(length);
  bigger.set(column);
  return bigger;
}
