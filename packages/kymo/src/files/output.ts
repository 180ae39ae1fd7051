/**
 * A file being written: whole or not at all.
 *
 *     write(bytes) ─► [gzip] ─► .NAME.kymo-….tmp (mode 0600) ── finish ─► fsync, rename to NAME
 *                                                            └─ abort ─► removed
 *
 * Bytes are taken at once; `drain` is awaited between reads, so little waits in memory. Standard output, pipes and devices
 * are written as they are: they cannot be renamed into place.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { close, createWriteStream, fsync, open } from "node:fs";
import { realpath, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import { createGzip } from "node:zlib";
import type { ByteSink } from "@kymo/trace";
import { UserError } from "../cli/command.ts";

// By number: a FileHandle does not close while a stream holds it.
const openFile = promisify(open);
const syncFile = promisify(fsync);
const closeFile = promisify(close);

export interface OutputOptions {
  readonly gzip: boolean;
}

export class OutputFile {
  readonly #path: string;
  readonly #head: Writable;
  readonly #done: Promise<void>;
  /** Undefined for standard output, and once it is closed. */
  #fd: number | undefined;
  readonly #temporary: string | undefined;
  #failure: unknown;
  /** Bytes taken, before compression. */
  bytes = 0;

  /**
   * @param path  "-" is standard output
   * @throws UserError when it cannot be written there
   */
  static async create(path: string, options: OutputOptions): Promise<OutputFile> {
    if (path === "-") return new OutputFile(path, options, process.stdout, undefined, undefined);
    try {
      const target = await targetOf(path);
      const fd = await openFile(target.file, target.isNew ? "wx" : "w", 0o600);
      const stream = createWriteStream(target.file, {
        fd,
        autoClose: false,
        highWaterMark: 1 << 20,
      });
      const temporary = target.isNew ? target.file : undefined;
      return new OutputFile(target.path, options, stream, fd, temporary);
    } catch (error) {
      throw inWords(error, path);
    }
  }

  private constructor(
    path: string,
    { gzip }: OutputOptions,
    target: Writable,
    fd: number | undefined,
    temporary: string | undefined,
  ) {
    this.#path = path;
    this.#fd = fd;
    this.#temporary = temporary;
    this.#head = gzip ? createGzip() : target;
    if (gzip) this.#head.pipe(target, { end: target !== process.stdout });
    // Standard output stays open: its end is the end of what is fed into it.
    const last = target === process.stdout ? (gzip ? this.#head : undefined) : target;
    const event = last === this.#head && gzip ? "end" : "finish";
    this.#done = new Promise((resolve, reject) => {
      last?.once(event, resolve);
      target.once("error", reject);
      this.#head.once("error", reject);
    });
    this.#done.catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Takes a copy: a writer's bytes are its own again at once. */
  readonly write: ByteSink = (bytes) => {
    this.bytes += bytes.length;
    if (this.#failure === undefined) this.#head.write(bytes.slice());
  };

  /** Resolves when more may be written. @throws UserError when writing failed */
  async drain(): Promise<void> {
    if (this.#failure === undefined && this.#head.writableNeedDrain)
      await Promise.race([once(this.#head, "drain"), this.#done.then(() => {})]).catch(
        (error: unknown) => {
          this.#failure = error;
        },
      );
    if (this.#failure !== undefined) throw inWords(this.#failure, this.#path);
  }

  /** All is on disk and in place when this resolves. @throws UserError */
  async finish(): Promise<void> {
    try {
      await this.drain();
      if (this.#path === "-" && this.#head === process.stdout) {
        // An empty write's callback comes after everything before it has gone out.
        await new Promise<void>((resolve, reject) =>
          this.#head.write("", (error) => (error ? reject(error) : resolve())),
        );
        return;
      }
      this.#head.end();
      await this.#done;
      if (this.#fd !== undefined && this.#temporary !== undefined) await syncFile(this.#fd);
      await this.#close();
      if (this.#temporary !== undefined) await rename(this.#temporary, this.#path);
    } catch (error) {
      await this.abort();
      throw inWords(error, this.#path);
    }
  }

  /** Gives up: nothing is left behind, and what was at the path before is untouched. */
  async abort(): Promise<void> {
    if (this.#head !== process.stdout) this.#head.destroy();
    await this.#close().catch(() => {}); // fails as the write did, which is being reported
    if (this.#temporary !== undefined) await rm(this.#temporary, { force: true });
  }

  async #close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) await closeFile(fd);
  }
}

interface Target {
  /** Where the result is in the end. */
  readonly path: string;
  /** What is written to. */
  readonly file: string;
  readonly isNew: boolean;
}

/**
 * The file that a result for `given` is renamed to: links keep pointing where they do. Undefined for devices and pipes,
 * which are written as they are: renaming onto /dev/null would replace it.
 * @throws UserError for a directory
 */
export async function renameTarget(given: string): Promise<string | undefined> {
  const found = await stat(given).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found?.isDirectory())
    throw new UserError(`${given} is a directory; a file to write was expected`);
  if (found === undefined) return given;
  return found.isFile() ? realpath(given) : undefined;
}

async function targetOf(given: string): Promise<Target> {
  const file = await renameTarget(given);
  if (file === undefined) return { path: given, file: given, isNew: false };
  const name = `.${path.basename(file)}.kymo-${randomBytes(4).toString("hex")}.tmp`;
  return { path: file, file: path.join(path.dirname(file), name), isNew: true };
}

/** A failure of writing `path` as a UserError; any other error as it is. */
export function inWords(error: unknown, path: string): unknown {
  const shown = path === "-" ? "standard output" : path;
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
    case "ENOTDIR":
      return new UserError(`${shown}: its directory does not exist`);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new UserError(`${shown}: you may not write there`);
    case "ENOSPC":
    case "EDQUOT":
      return new UserError(
        `${shown}: the disk is full; nothing was left behind`,
        "free some space, or write to another disk",
      );
    case "EFBIG":
      return new UserError(`${shown}: the file would be larger than is allowed here`, "ulimit -f");
    default:
      return error;
  }
}
