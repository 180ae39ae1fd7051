/**
 * Opens compressed streams through, piece by piece, with a limit on what they may grow to.
 *
 *     compressed chunks ─► pieces ≤ 8 KiB ─► Expander.push ─► expanded bytes
 *
 * Deflate expands at most 1032 times, so a piece gives at most 8.4 MB. Zstd has no such bound (4 bytes may stand for
 * 128 KiB): whoever takes the bytes checks the limits with each of them.
 */
import { Gunzip } from "fflate";
import { FormatError } from "../formats/format.ts";
import { ZstdExpander } from "./zstd.ts";

export type Compression = "none" | "gzip" | "zstd";

/** Compressed bytes given to an expander at once, at most. */
export const PIECE_BYTES = 8192;

/** Takes finished expanded bytes, which are the taker's to keep. */
export type TakeBytes = (bytes: Uint8Array) => void;

export interface Expander {
  /** @throws Error (any) when the data is damaged; what was expanded before has been taken. */
  push(piece: Uint8Array, take: TakeBytes): void;
  /** @returns undefined when the stream ended where it should, else what is wrong, in words. */
  end(take: TakeBytes): string | undefined;
}

export interface ExpansionLimits {
  /** Expanded bytes, in all. Default: no limit (memory is bounded by streaming, not by this). */
  readonly maxExpandedBytes?: number;
  /** Expanded bytes for each compressed byte, looked at from 64 MiB of output on. Default 250. */
  readonly maxExpansion?: number;
}

/** Below this much output no ratio is suspicious: small files of blanks expand 1000 times. */
const RATIO_FROM_BYTES = 64 * 2 ** 20;
/**
 * Traces compress 5–30 times, very repetitive ones about 100 (identical events a fixed step apart);
 * deflate's limit, what bombs are made of, is 1032.
 */
const DEFAULT_MAX_EXPANSION = 250;

export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b && head[2] === 8) return "gzip";
  const zstd = head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd && head[0] === 0x28;
  const skippable =
    (head[0]! & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
  return zstd || skippable ? "zstd" : "none";
}

export function expanderFor(compression: "gzip" | "zstd"): Expander {
  return compression === "gzip" ? new GzipExpander() : new ZstdExpander();
}

/** @throws FormatError when `expanded` bytes out of `compressed` break the limits. */
export function checkExpansion(
  name: string,
  compressed: number,
  expanded: number,
  limits: ExpansionLimits,
): void {
  const maxBytes = limits.maxExpandedBytes ?? Number.POSITIVE_INFINITY;
  const maxRatio = limits.maxExpansion ?? DEFAULT_MAX_EXPANSION;
  const mib = (expanded / 2 ** 20).toFixed(0);
  if (expanded > maxBytes)
    throw new FormatError(
      name,
      compressed,
      `expands to more than ${(maxBytes / 2 ** 20).toFixed(0)} MiB, the limit given; decompress it first if you trust it`,
    );
  if (expanded > RATIO_FROM_BYTES && expanded > compressed * maxRatio)
    throw new FormatError(
      name,
      compressed,
      `${compressed} compressed bytes have grown to ${mib} MiB (× ${Math.floor(expanded / compressed)}; traces compress 5 to 100 times): ` +
        `it looks made to fill the memory, so reading stopped; decompress it first (gzip -d, zstd -d) if you trust it`,
    );
}

/** Any number of gzip members, one after the other (RFC 1952). The size in the last trailer is checked, the CRC is not. */
class GzipExpander implements Expander {
  #gunzip: Gunzip;
  #take: TakeBytes = () => {};
  /** The last 8 bytes of input: the trailer, when the stream is whole. */
  readonly #tail = new Uint8Array(8);
  #memberBytes = 0;
  #trailing = false;

  constructor() {
    this.#gunzip = new Gunzip((bytes) => {
      this.#memberBytes += bytes.length;
      if (bytes.length > 0) this.#take(bytes);
    });
    this.#gunzip.onmember = () => {
      this.#memberBytes = 0;
    };
  }

  push(piece: Uint8Array, take: TakeBytes): void {
    if (this.#trailing) return;
    this.#take = take;
    const before = this.#tail.slice();
    this.#keepTail(piece);
    try {
      this.#gunzip.push(piece);
    } catch (error) {
      // Padding or anything else after a whole member: gzip ignores it too, and so do we, with a word.
      if ((error as { code?: number }).code !== NOT_A_MEMBER) throw error;
      this.#tail.set(before);
      this.#trailing = true;
    }
  }

  end(take: TakeBytes): string | undefined {
    if (this.#trailing) return "bytes after the end of the gzip data were ignored";
    this.#take = take;
    try {
      this.#gunzip.push(new Uint8Array(0), true);
    } catch (error) {
      return `the gzip data is cut short (${(error as Error).message})`;
    }
    const size = new DataView(this.#tail.buffer).getUint32(4, true);
    if (size !== this.#memberBytes % 2 ** 32)
      return `the gzip data is cut short: its last part gave ${this.#memberBytes} bytes`;
    return undefined;
  }

  #keepTail(piece: Uint8Array): void {
    const kept = Math.max(0, 8 - piece.length);
    this.#tail.copyWithin(0, 8 - kept);
    this.#tail.set(piece.subarray(-Math.min(8, piece.length)), kept);
  }
}
/** fflate's code for a gzip header that is none (FlateErrorCode.InvalidHeader). */
const NOT_A_MEMBER = 6;
