/**
 * Zstandard frames, one after the other (RFC 8878).
 *
 *     frame = magic, header, block…, [checksum]      skippable frame = magic, size, bytes
 *     block = 3-byte header {last, type, size} + bytes
 *
 * The framing is walked here, so that a window or block size is checked before the decoder allocates for it and
 * each step decodes one block (≤ 128 KiB of output). fzstd decodes; checksums are not verified.
 */
import { Decompress } from "fzstd";
import type { Expander, TakeBytes } from "./expand.ts";

/** What `zstd -d` accepts without --long: larger windows cost their size in memory. */
const MAX_WINDOW_BYTES = 128 * 2 ** 20;
/** RFC 8878 §3.1.1.2.4. */
const MAX_BLOCK_BYTES = 128 * 1024;
/** Magic, descriptor, window, dictionary id and content size at their longest. */
const MAX_HEADER_BYTES = 18;

type State = "frame" | "block" | "checksum" | "skip";

export class ZstdExpander implements Expander {
  #pending = new Uint8Array(MAX_BLOCK_BYTES + 64);
  #from = 0;
  #to = 0;
  #state: State = "frame";
  #skip = 0;
  #hasChecksum = false;
  #decoder: Decompress | undefined;
  #header: Uint8Array | undefined;
  #take: TakeBytes = () => {};

  push(piece: Uint8Array, take: TakeBytes): void {
    this.#take = take;
    this.#append(piece);
    while (this.#step(false));
  }

  end(take: TakeBytes): string | undefined {
    this.#take = take;
    while (this.#step(true));
    if (this.#state === "frame" && this.#from === this.#to) return undefined;
    return "the zstd data is cut short";
  }

  /** Does one frame header, block, checksum or skip. @returns false when more bytes are needed. */
  #step(last: boolean): boolean {
    const available = this.#to - this.#from;
    if (available === 0) return false;
    if (this.#state === "skip" || this.#state === "checksum") {
      const bytes = Math.min(available, this.#skip);
      this.#from += bytes;
      this.#skip -= bytes;
      if (this.#skip === 0) this.#state = "frame";
      return bytes > 0 || this.#skip === 0;
    }
    if (this.#state === "frame") return this.#frame(available, last);
    return this.#block(available);
  }

  #frame(available: number, last: boolean): boolean {
    if (available < (last ? 8 : MAX_HEADER_BYTES) && !(available >= 8 && this.#isSkippable()))
      return false;
    const view = new DataView(this.#pending.buffer, this.#from, available);
    const magic = view.getUint32(0, true);
    if (this.#isSkippable()) {
      this.#skip = view.getUint32(4, true);
      this.#from += 8;
      this.#state = this.#skip === 0 ? "frame" : "skip";
      return true;
    }
    if (magic !== 0xfd2fb528) throw new Error("no frame starts here");
    const descriptor = view.getUint8(4);
    const single = (descriptor & 0x20) !== 0;
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
    const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
    const headerBytes = 5 + (single ? 0 : 1) + dictionaryBytes + sizeBytes;
    if (available < headerBytes) return false;
    if (descriptor & 8) throw new Error("a reserved header bit is set");
    let at = 5;
    let window = 0;
    if (!single) {
      const exponent = view.getUint8(at) >> 3;
      window = 2 ** (10 + exponent) * (1 + (view.getUint8(at++) & 7) / 8);
    }
    for (let i = 0; i < dictionaryBytes; i++)
      if (view.getUint8(at++) !== 0)
        throw new Error("it needs a dictionary, which kymo cannot have");
    let size = 0;
    for (let i = sizeBytes - 1; i >= 0; i--) size = size * 256 + view.getUint8(at + i);
    if (sizeBytes === 2) size += 256;
    if (single) window = size;
    if (window > MAX_WINDOW_BYTES)
      throw new Error(
        `it asks for a window of ${(window / 2 ** 20).toFixed(0)} MiB, more than ${MAX_WINDOW_BYTES / 2 ** 20}; decompress it first (zstd -d --long=31)`,
      );
    this.#hasChecksum = (descriptor & 4) !== 0;
    this.#decoder = new Decompress((bytes) => {
      if (bytes.length > 0) this.#take(bytes);
    });
    // The header goes to the decoder with the first block, and without its checksum bit: checksums stay here.
    this.#header = this.#pending.slice(this.#from, this.#from + headerBytes);
    this.#header[4] = descriptor & ~4;
    this.#from += headerBytes;
    this.#state = "block";
    return true;
  }

  #block(available: number): boolean {
    if (available < 3) return false;
    const header =
      this.#pending[this.#from]! |
      (this.#pending[this.#from + 1]! << 8) |
      (this.#pending[this.#from + 2]! << 16);
    const isLast = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === 3 || size > MAX_BLOCK_BYTES) throw new Error("a block header is damaged");
    const bytes = 3 + (type === 1 ? 1 : size);
    if (available < bytes) return false;
    const head = this.#header ?? new Uint8Array(0);
    this.#header = undefined;
    const piece = new Uint8Array(head.length + bytes);
    piece.set(head);
    piece.set(this.#pending.subarray(this.#from, this.#from + bytes), head.length);
    this.#from += bytes;
    this.#decoder?.push(piece, isLast);
    if (isLast) {
      this.#decoder = undefined;
      this.#skip = this.#hasChecksum ? 4 : 0;
      this.#state = this.#hasChecksum ? "checksum" : "frame";
    }
    return true;
  }

  #isSkippable(): boolean {
    const p = this.#pending;
    const at = this.#from;
    return (
      (p[at]! & 0xf0) === 0x50 && p[at + 1] === 0x2a && p[at + 2] === 0x4d && p[at + 3] === 0x18
    );
  }

  #append(piece: Uint8Array): void {
    if (this.#to + piece.length > this.#pending.length) {
      this.#pending.copyWithin(0, this.#from, this.#to);
      this.#to -= this.#from;
      this.#from = 0;
      if (this.#to + piece.length > this.#pending.length) {
        const grown = new Uint8Array(this.#to + piece.length + MAX_BLOCK_BYTES);
        grown.set(this.#pending.subarray(0, this.#to));
        this.#pending = grown;
      }
    }
    this.#pending.set(piece, this.#to);
    this.#to += piece.length;
  }
}
