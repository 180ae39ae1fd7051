/**
 * Texts that the program in the kernel could not read, because their page was not in memory: read when the event is decoded,
 * from the process while it lives, else from the file that the page is of. Each (process, address) is read once.
 */
import { closeSync, openSync, readSync } from "node:fs";

/** Answers remembered; past it the memory starts afresh. */
const rememberedLimit = 65_536;

export const unreadableName = "(name unreadable)";

export interface LateTextSources {
  /** What the process has there. */
  memory(pid: number, address: bigint, most: number): Uint8Array | undefined;
  /** What the files mapped around there have. */
  literal(pid: number, address: bigint, most: number): Uint8Array | undefined;
}

export class LateTexts {
  /** Texts that nothing could be read of. */
  unreadable = 0;
  readonly #sources: LateTextSources;
  readonly #known = new Map<string, string | undefined>();
  readonly #decoder = new TextDecoder();

  constructor(sources: LateTextSources) {
    this.#sources = sources;
  }

  /** Up to its NUL, at most `most` bytes; undefined when it can't be read any more. */
  text(pid: number, address: bigint, most: number): string | undefined {
    const key = `${pid} ${address}`;
    if (this.#known.has(key)) return this.#known.get(key);
    const bytes =
      this.#sources.memory(pid, address, most) ?? this.#sources.literal(pid, address, most);
    const end = bytes?.indexOf(0) ?? -1;
    const text = bytes && this.#decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
    if (this.#known.size >= rememberedLimit) this.#known.clear();
    this.#known.set(key, text);
    return text;
  }

  /** As text(); what can't be read says so and is counted. */
  name(pid: number, address: bigint, most: number): string {
    const text = this.text(pid, address, most);
    if (text !== undefined) return text;
    this.unreadable++;
    return unreadableName;
  }
}

/** Bytes of another process, up to the first that is not mapped; undefined when it is gone or not ours to read. */
export function processMemory(pid: number, address: bigint, most: number): Uint8Array | undefined {
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/mem`, "r");
  } catch {
    return undefined; // gone, or of another user
  }
  try {
    const bytes = new Uint8Array(most);
    const read = readSync(fd, bytes, 0, most, address);
    return read > 0 ? bytes.subarray(0, read) : undefined;
  } catch {
    return undefined; // nothing is mapped there any more, or the process has just ended
  } finally {
    closeSync(fd);
  }
}
