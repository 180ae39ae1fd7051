/**
 * Texts by their bytes. Most events carry one of a few names: finding it again must not make a string each time.
 */
import type { StringId, TraceSink } from "@kymo/trace";

/** Bytes of remembered texts, past which the memory starts afresh: the sink keeps its own table. */
const memoryLimit = 2 ** 24;

interface Entry {
  readonly bytes: Uint8Array;
  readonly id: StringId;
  readonly next: Entry | undefined;
}

export class TextTable {
  readonly #sink: TraceSink;
  readonly #decoder = new TextDecoder();
  /** By hash. */
  readonly #entries = new Map<number, Entry>();
  #memory = 0;

  constructor(sink: TraceSink) {
    this.#sink = sink;
  }

  /** The UTF-8 text that starts at `at` and ends with a NUL or after `most` bytes. What is no UTF-8 shows as U+FFFD. */
  text(u8: Uint8Array, at: number, most: number): StringId {
    // FNV-1a, 32 bits.
    let hash = 0x811c_9dc5;
    let end = at;
    for (const limit = at + most; end < limit; end++) {
      const byte = u8[end]!;
      if (byte === 0) break;
      hash = Math.imul(hash ^ byte, 0x0100_0193);
    }
    const known = this.#entries.get(hash);
    for (let entry = known; entry !== undefined; entry = entry.next)
      if (sameBytes(entry.bytes, u8, at, end)) return entry.id;
    return this.#remember(hash, u8.slice(at, end), known);
  }

  #remember(hash: number, bytes: Uint8Array, next: Entry | undefined): StringId {
    const id = this.#sink.string(this.#decoder.decode(bytes));
    this.#memory += bytes.byteLength + 100;
    if (this.#memory > memoryLimit) {
      this.#memory = 0;
      this.#entries.clear();
      return id;
    }
    this.#entries.set(hash, { bytes, id, next });
    return id;
  }
}

function sameBytes(known: Uint8Array, u8: Uint8Array, at: number, end: number): boolean {
  if (known.byteLength !== end - at) return false;
  for (let i = 0; i < known.byteLength; i++) if (known[i] !== u8[at + i]) return false;
  return true;
}
