/**
 * The file being recorded: takes finished pieces of the trace, keeps to the limits, and stays readable whatever happens.
 *
 * Pieces are whole sections of the file. One that doesn't fit any more (disk full, size limit) is not written in part:
 * the file is cut back to the end of the last whole one, and `stopped` says why.
 */
import { closeSync, fchmodSync, ftruncateSync, openSync, statfsSync, writeSync } from "node:fs";
import path from "node:path";

export interface OutputLimits {
  /** Bytes after which the file is not added to; Infinity: no limit. */
  readonly maxBytes: number;
}

/** The file cannot be made or written; the message is for the user. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

export type StopReason = "max-size" | "disk-full" | "write-failed";
export interface OutputStop {
  readonly reason: StopReason;
  readonly message: string;
}

/** Of a file system of this size or more, so much is left free; of smaller ones, 1/20. */
const reserveBytesMax = 64 * 2 ** 20;
const reserveShare = 1 / 20;
/** statfs costs some µs: not asked more often than this. */
const spaceIntervalBytes = 2 ** 20;

export class OutputFile {
  readonly path: string;
  /** Bytes in the file. */
  bytes = 0;
  stopped: OutputStop | undefined;
  readonly #fd: number;
  readonly #limits: OutputLimits;
  #nextSpaceCheck = 0;

  /** Creates or empties the file, readable by its owner only. @throws OutputError when it can't be, in words. */
  constructor(file: string, limits: OutputLimits) {
    this.path = file;
    this.#limits = limits;
    const full = nearlyFull(file, 0);
    if (full !== undefined) throw new OutputError(`${full}: nothing was recorded`);
    try {
      this.#fd = openSync(file, "w", 0o600);
    } catch (error) {
      throw new OutputError(`cannot write ${file}: ${wordsOf(error)}`);
    }
    try {
      fchmodSync(this.#fd, 0o600); // it may have existed with other rights
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error; // /dev/null and the like
    }
  }

  write(piece: Uint8Array): void {
    if (this.stopped !== undefined || piece.byteLength === 0) return;
    if (this.bytes + piece.byteLength > this.#limits.maxBytes) {
      this.stopped = {
        reason: "max-size",
        message: `the file has reached --max-size (${this.#limits.maxBytes} bytes)`,
      };
      return;
    }
    if (this.bytes + piece.byteLength >= this.#nextSpaceCheck) {
      this.#nextSpaceCheck = this.bytes + piece.byteLength + spaceIntervalBytes;
      const full = nearlyFull(this.path, piece.byteLength);
      if (full !== undefined) {
        this.stopped = { reason: "disk-full", message: full };
        return;
      }
    }
    try {
      for (let done = 0; done < piece.byteLength; )
        done += writeSync(this.#fd, piece, done, piece.byteLength - done);
      this.bytes += piece.byteLength;
    } catch (error) {
      this.#fail(error as NodeJS.ErrnoException);
    }
  }

  #fail(error: NodeJS.ErrnoException): void {
    const full = error.code === "ENOSPC" || error.code === "EDQUOT";
    this.stopped = {
      reason: full ? "disk-full" : "write-failed",
      message: full
        ? `no space left for ${this.path}`
        : `cannot write ${this.path}: ${wordsOf(error)}`,
    };
    try {
      ftruncateSync(this.#fd, this.bytes);
    } catch {
      // not a regular file: nothing can be cut back, readers report the last piece as truncated
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** "EACCES: permission denied" of "EACCES: permission denied, open 'x'". */
function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/, \w+( '.*')?$/s, "") : String(error);
}

/** Words, when writing `bytes` more would leave less than the reserve free where `file` is (to be) stored. */
function nearlyFull(file: string, bytes: number): string | undefined {
  let space: { bsize: number; blocks: number; bavail: number; type: number };
  try {
    space = statfsSync(path.dirname(path.resolve(file)));
  } catch {
    return undefined; // the open call will say what is wrong
  }
  const size = space.blocks * space.bsize;
  const free = space.bavail * space.bsize;
  if (size === 0) return undefined; // /dev and other places without a size
  const reserve = Math.min(reserveBytesMax, size * reserveShare);
  return free - bytes < reserve
    ? `the disk of ${file} is nearly full (${Math.floor(free / 2 ** 20)} MiB free)`
    : undefined;
}
