/**
 * A symbol table ready to be asked: which function covers an address.
 *
 *     raw symbols (any order, aliases, nested labels)          SymbolTable
 *     ─ sort by address, keep one of each set of aliases ─►    starts  0x10  0x40  0x80 …   ascending
 *     ─ flatten: the innermost symbol wins ─►                  owners     0     1    −1 …   symbol, or none
 *
 * Columns are typed arrays and names stay bytes until somebody asks: node's own 110,000 symbols take tens of
 * milliseconds and no garbage (module.test.ts prints it).
 */

/** Columns of symbols as they came out of the file; each `count` long. */
export interface RawSymbols {
  readonly count: number;
  /** Below 2^53. */
  readonly addresses: Float64Array;
  /** Bytes; 0 when the table does not say. */
  readonly sizes: Float64Array;
  /** Byte offset of the name in `strings`. */
  readonly names: Uint32Array;
  /** Lower is better among symbols of one address: see `rank`. */
  readonly ranks: Uint8Array;
}

/** Parts of `RawSymbols.ranks`. A boundary is no function: it only ends the unsized symbol before it. */
export const rank = { local: 1, unsized: 2, label: 4, boundary: 8 } as const;

export interface SymbolTableOptions {
  /** Bytes that hold the names. Kept. */
  readonly strings: Uint8Array;
  /** A name ends before the first byte below this: 1 for NUL-ended (ELF), 0x21 for words on a line (kallsyms). */
  readonly nameEnd: number;
  /** Where an unsized symbol ends at the latest (the end of its section); Infinity when unknown. */
  readonly endOf: (address: number) => number;
}

const nameLimit = 64 * 1024;
/** Aliases compared at one address: a hostile table could give all its symbols the same one. */
const aliasLimit = 64;
/** Bytes of two aliases compared. */
const comparedLimit = 256;

export class SymbolTable {
  /** Functions that can be found. */
  readonly count: number;
  /** Bytes of memory held. */
  readonly byteLength: number;
  readonly #starts: Float64Array;
  readonly #owners: Int32Array;
  readonly #addresses: Float64Array;
  readonly #names: Uint32Array;
  readonly #strings: Uint8Array;
  readonly #nameEnd: number;

  constructor(raw: RawSymbols, options: SymbolTableOptions) {
    this.#strings = options.strings;
    this.#nameEnd = options.nameEnd;
    this.#addresses = raw.addresses;
    this.#names = raw.names;
    const order = sortByAddress(raw.addresses, raw.count);
    const kept = this.#dropAliases(raw, order);
    this.count = kept.count;
    const flat = flatten(raw, kept, options.endOf);
    this.#starts = flat.starts;
    this.#owners = flat.owners;
    this.byteLength =
      raw.addresses.byteLength +
      raw.names.byteLength +
      flat.starts.byteLength +
      flat.owners.byteLength +
      options.strings.byteLength;
  }

  /** The function that covers `address`, or −1. */
  find(address: number): number {
    const at = lastAtMost(this.#starts, address);
    return at < 0 ? -1 : this.#owners[at]!;
  }

  /** First address of a function `find` gave. */
  address(symbol: number): number {
    return this.#addresses[symbol]!;
  }

  /** Name of a function `find` gave, as the table has it (mangled). */
  name(symbol: number): string {
    const from = this.#names[symbol]!;
    return utf8.decode(this.#strings.subarray(from, this.#endOfName(from)));
  }

  /** The line or string after the name: for what a text table says behind it. */
  nameBytesEnd(symbol: number): number {
    return this.#endOfName(this.#names[symbol]!);
  }

  #endOfName(from: number, atMost = nameLimit): number {
    const strings = this.#strings;
    const limit = Math.min(strings.length, from + atMost);
    let end = from;
    while (end < limit && strings[end]! >= this.#nameEnd) end++;
    return end;
  }

  /** One symbol for each address, in order; `sizes` are the largest among its aliases. */
  #dropAliases(raw: RawSymbols, order: Uint32Array): Kept {
    const symbols = new Uint32Array(order.length);
    const sizes = new Float64Array(order.length);
    let count = 0;
    for (let i = 0; i < order.length; ) {
      let best = order[i]!;
      let size = raw.sizes[best]!;
      const address = raw.addresses[best]!;
      const first = i++;
      for (; i < order.length && raw.addresses[order[i]!] === address; i++) {
        const other = order[i]!;
        if (raw.ranks[other] !== rank.boundary) size = Math.max(size, raw.sizes[other]!);
        if (i - first < aliasLimit && this.#better(raw, other, best)) best = other;
      }
      symbols[count] = best;
      sizes[count] = size;
      count++;
    }
    return { count, symbols, sizes };
  }

  /** Sized before unsized, functions before labels, global before local; then fewer underscores, shorter, A to Z. */
  #better(raw: RawSymbols, a: number, b: number): boolean {
    const byRank = raw.ranks[a]! - raw.ranks[b]!;
    if (byRank !== 0) return byRank < 0;
    const strings = this.#strings;
    const aFrom = raw.names[a]!;
    const bFrom = raw.names[b]!;
    const aLength = this.#endOfName(aFrom, comparedLimit) - aFrom;
    const bLength = this.#endOfName(bFrom, comparedLimit) - bFrom;
    if (aLength === 0 || bLength === 0) return aLength > 0;
    const byUnderscores = underscores(strings, aFrom) - underscores(strings, bFrom);
    if (byUnderscores !== 0) return byUnderscores < 0;
    if (aLength !== bLength) return aLength < bLength;
    for (let i = 0; i < aLength; i++) {
      const difference = strings[aFrom + i]! - strings[bFrom + i]!;
      if (difference !== 0) return difference < 0;
    }
    return false;
  }
}

/** Hostile names are bytes: what is not UTF-8 becomes U+FFFD, never an error. */
const utf8 = new TextDecoder();

interface Kept {
  readonly count: number;
  readonly symbols: Uint32Array;
  readonly sizes: Float64Array;
}

function underscores(strings: Uint8Array, from: number): number {
  let count = 0;
  while (count < 8 && strings[from + count] === 0x5f) count++;
  return count;
}

/**
 * Symbol numbers in order of address; equal addresses in table order.
 * Sorting numbers that carry both (distance × 2^k + number) needs no comparator: 11 ms against 25 ms for 110,000 (module.test.ts prints the whole).
 */
export function sortByAddress(addresses: Float64Array, count: number): Uint32Array {
  let min = Number.POSITIVE_INFINITY;
  let max = 0;
  for (let i = 0; i < count; i++) {
    min = Math.min(min, addresses[i]!);
    max = Math.max(max, addresses[i]!);
  }
  const order = new Uint32Array(count);
  const scale = 2 ** Math.ceil(Math.log2(count + 1));
  if ((max - min + 1) * scale < 2 ** 53) {
    const keys = new Float64Array(count);
    for (let i = 0; i < count; i++) keys[i] = (addresses[i]! - min) * scale + i;
    keys.sort();
    for (let i = 0; i < count; i++) order[i] = keys[i]! - Math.floor(keys[i]! / scale) * scale; // not %: slow on floats
    return order;
  }
  for (let i = 0; i < count; i++) order[i] = i;
  return order.sort((a, b) => addresses[a]! - addresses[b]! || a - b);
}

/**
 * Non-overlapping ranges out of symbols that may nest: the one that started last wins, and when it ends the one
 * around it goes on. Unsized symbols inside a sized one are labels of it and vanish.
 */
function flatten(raw: RawSymbols, kept: Kept, endOf: (address: number) => number): Ranges {
  const starts = new Float64Array(kept.count * 2 + 1);
  const owners = new Int32Array(kept.count * 2 + 1);
  let count = 0;
  const emit = (start: number, owner: number): void => {
    if (count > 0 && starts[count - 1] === start) count--;
    if (count > 0 && owners[count - 1] === owner) return;
    starts[count] = start;
    owners[count] = owner;
    count++;
  };
  const open: number[] = [];
  const ends: number[] = [];
  const closeUntil = (address: number): void => {
    while (ends.length > 0 && ends[ends.length - 1]! <= address) {
      const end = ends.pop()!;
      open.pop();
      while (ends.length > 0 && ends[ends.length - 1]! <= end) {
        ends.pop();
        open.pop();
      }
      emit(end, open.length > 0 ? open[open.length - 1]! : -1);
    }
  };
  for (let i = 0; i < kept.count; i++) {
    const symbol = kept.symbols[i]!;
    const start = raw.addresses[symbol]!;
    const size = kept.sizes[i]!;
    closeUntil(start);
    if (size === 0 && open.length > 0) continue;
    if (raw.ranks[symbol]! >= rank.boundary) continue;
    const next =
      i + 1 < kept.count ? raw.addresses[kept.symbols[i + 1]!]! : Number.POSITIVE_INFINITY;
    const end = size > 0 ? start + size : Math.min(next, endOf(start));
    if (!(end > start)) continue;
    emit(start, symbol);
    if (end === Number.POSITIVE_INFINITY) break;
    open.push(symbol);
    ends.push(end);
  }
  closeUntil(Number.POSITIVE_INFINITY);
  return { starts: starts.slice(0, count), owners: owners.slice(0, count) };
}

interface Ranges {
  readonly starts: Float64Array;
  readonly owners: Int32Array;
}

/** Index of the last element ≤ `value` in ascending `sorted`, or −1. */
export function lastAtMost(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
