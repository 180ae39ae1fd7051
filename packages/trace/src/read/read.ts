/**
 * Bytes of any trace file → events: finds the format by content, opens gzip and zstd through, and drives the
 * reader with bounded memory.
 *
 *     input chunks ─► (expander) ─► head of 64 KiB: detect ─► reader.push(≤ 256 KiB) ─► sink
 *                                                              └ await drain(), yield to the event loop
 */
import { type Format, FormatError, type StreamReader } from "../formats/format.ts";
import { formats as registry } from "../formats/registry.gen.ts";
import { TraceLimitError } from "../model/builder.ts";
import type { TraceSink } from "../model/sink.ts";
import { describeHead, detectFormat, HEAD_BYTES } from "./detect.ts";
import {
  type Compression,
  checkExpansion,
  compressionOf,
  type Expander,
  type ExpansionLimits,
  expanderFor,
  PIECE_BYTES,
} from "./expand.ts";

export interface ReadProgress {
  /** Of the input, as it came (compressed). */
  readonly bytesRead: number;
  readonly bytesExpanded: number;
}
export interface ReadOptions extends ExpansionLimits {
  readonly signal?: AbortSignal | undefined;
  /** Called at most every 256 KiB. */
  readonly onProgress?: (progress: ReadProgress) => void;
  /** Awaited between pushes: return the promise of the output that must go out first. */
  readonly drain?: () => void | Promise<void>;
  /** Formats to choose from. Default: all. */
  readonly formats?: readonly Format[];
}
export interface ReadResult extends ReadProgress {
  /** `Format.name`. */
  readonly format: string;
  readonly compression: Compression;
}

/** Expanded bytes that a reader is given at once, at most. */
const PUSH_BYTES = 256 * 1024;
/** The event loop gets a turn when this long has passed without one. */
const YIELD_MS = 12;

/**
 * Reads one trace to its end, then closes the sink. What is damaged or cut short behind a readable start is a
 * problem of the trace, not an error: what was read so far stays.
 *
 * @param input  chunks of any size; each is the caller's again when the next is asked for
 * @param name   shown in messages; its extension breaks ties between formats
 * @throws FormatError when the input is empty, of no known format, or expands beyond the limits. The sink is not closed then.
 * @throws the signal's reason when it aborts
 */
export async function readTrace(
  input: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
  name: string,
  sink: TraceSink,
  options: ReadOptions = {},
): Promise<ReadResult> {
  const drive = new Drive(name, sink, options);
  const chunks = untilAborted(chunksOf(input), options.signal);
  for await (const chunk of chunks) if (!(await drive.input(chunk))) break;
  options.signal?.throwIfAborted();
  return drive.end();
}

class Drive {
  readonly #name: string;
  readonly #sink: TraceSink;
  readonly #options: ReadOptions;
  #bytesRead = 0;
  #bytesExpanded = 0;
  #compression: Compression | undefined;
  #expander: Expander | undefined;
  /** First bytes of the input, until the compression is known: at most 4. */
  #start: Uint8Array = new Uint8Array(0);
  /** First expanded bytes, until the format is known. */
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headBytes = 0;
  #format: Format | undefined;
  #reader: StreamReader | undefined;
  #damage: string | undefined;
  #lastYield = performance.now();
  #lastProgress = 0;

  constructor(name: string, sink: TraceSink, options: ReadOptions) {
    this.#name = name;
    this.#sink = sink;
    this.#options = options;
  }

  /** @returns false when no more input is wanted: it is damaged from here on. */
  async input(chunk: Uint8Array): Promise<boolean> {
    let bytes = chunk;
    if (this.#compression === undefined) {
      bytes = concat(this.#start, chunk);
      if (bytes.length < 4) {
        this.#start = bytes;
        return true;
      }
      this.#compression = compressionOf(bytes);
      if (this.#compression !== "none") this.#expander = expanderFor(this.#compression);
    }
    if (this.#expander === undefined) {
      this.#bytesRead += bytes.length;
      await this.#expanded(bytes);
      return true;
    }
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      this.#bytesRead += piece.length;
      const pieces: Uint8Array[] = [];
      let total = this.#bytesExpanded;
      try {
        this.#expander.push(piece, (expanded) => {
          // At once: 8 KiB of zstd can hold 256 MiB.
          total += expanded.length;
          checkExpansion(this.#name, this.#bytesRead, total, this.#options);
          pieces.push(expanded);
        });
      } catch (error) {
        if (error instanceof FormatError) throw error;
        for (const expanded of pieces) await this.#expanded(expanded);
        this.#damaged(error as Error);
        return false;
      }
      for (const expanded of pieces) await this.#expanded(expanded);
    }
    return true;
  }

  async end(): Promise<ReadResult> {
    if (this.#compression === undefined) {
      // Fewer than 4 bytes in all: no compression.
      this.#compression = "none";
      this.#bytesRead = this.#start.length;
      await this.#expanded(this.#start);
    }
    let wrong: string | undefined;
    if (this.#expander !== undefined && this.#damage === undefined) {
      const pieces: Uint8Array[] = [];
      try {
        wrong = this.#expander.end((expanded) => pieces.push(expanded));
      } catch (error) {
        wrong = `the ${this.#compression} data is damaged (${(error as Error).message})`;
      }
      for (const expanded of pieces) await this.#expanded(expanded);
    }
    if (this.#bytesExpanded === 0) throw this.#nothing(wrong);
    if (this.#reader === undefined) await this.#choose();
    this.#within(() => this.#reader!.end());
    const message = this.#damage ?? wrong;
    if (message !== undefined)
      this.#sink.problem({
        kind: this.#damage === undefined ? "truncated" : "malformed",
        message,
        byteOffset: this.#bytesRead,
      });
    this.#sink.close();
    await this.#options.drain?.();
    const progress = { bytesRead: this.#bytesRead, bytesExpanded: this.#bytesExpanded };
    this.#options.onProgress?.(progress);
    return { format: this.#format!.name, compression: this.#compression, ...progress };
  }

  /** Expanded bytes on their way to the reader, or to the head while there is none. */
  async #expanded(bytes: Uint8Array): Promise<void> {
    this.#bytesExpanded += bytes.length;
    if (this.#expander !== undefined)
      checkExpansion(this.#name, this.#bytesRead, this.#bytesExpanded, this.#options);
    let from = 0;
    if (this.#reader === undefined) {
      from = Math.min(bytes.length, HEAD_BYTES - this.#headBytes);
      this.#head.set(bytes.subarray(0, from), this.#headBytes);
      this.#headBytes += from;
      if (this.#headBytes < HEAD_BYTES) return;
      await this.#choose();
    }
    for (let at = from; at < bytes.length; at += PUSH_BYTES)
      await this.#push(bytes.subarray(at, at + PUSH_BYTES));
  }

  /** The head is complete (or the input at its end): chooses the format and gives its reader the head. */
  async #choose(): Promise<void> {
    const head = this.#head.subarray(0, this.#headBytes);
    const formats = this.#options.formats ?? registry;
    const format = detectFormat(head, this.#name, formats);
    if (format?.stream === undefined) {
      const known = formats.filter((each) => each.stream !== undefined).map((each) => each.title);
      throw new FormatError(
        this.#name,
        0,
        `no known trace format: ${describeHead(head)}. Read are ${known.join(", ")}, each also as .gz or .zst`,
      );
    }
    this.#format = format;
    this.#reader = await format.stream(this.#sink);
    await this.#push(head);
  }

  async #push(bytes: Uint8Array): Promise<void> {
    this.#within(() => this.#reader!.push(bytes));
    await this.#options.drain?.();
    if (this.#options.onProgress && this.#bytesRead - this.#lastProgress >= PUSH_BYTES) {
      this.#lastProgress = this.#bytesRead;
      this.#options.onProgress({ bytesRead: this.#bytesRead, bytesExpanded: this.#bytesExpanded });
    }
    if (performance.now() - this.#lastYield < YIELD_MS) return;
    await nextTurn();
    this.#lastYield = performance.now();
    this.#options.signal?.throwIfAborted();
  }

  /** What the sink can't hold, with the place in the file. */
  #within(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof TraceLimitError)) throw error;
      throw new FormatError(this.#name, this.#bytesExpanded, error.message);
    }
  }

  /** Reported at the end, so that what was read before comes first. */
  #damaged(error: Error): void {
    const message = `the ${this.#compression} data is damaged (${error.message})`;
    if (this.#bytesExpanded === 0) throw new FormatError(this.#name, this.#bytesRead, message);
    this.#damage = `${message}; what came before it was read`;
  }

  #nothing(wrong: string | undefined): FormatError {
    const found =
      this.#bytesRead === 0
        ? "the file is empty; a trace was expected"
        : (wrong ?? `the ${this.#compression} data holds nothing; a trace was expected`);
    return new FormatError(this.#name, this.#bytesRead, found);
  }
}

/** The same chunks; aborting ends the wait for one that may never come (a pipe, a network). */
async function* untilAborted(
  chunks: AsyncGenerator<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (signal === undefined) {
    yield* chunks;
    return;
  }
  let giveUp: (reason: unknown) => void = () => {};
  const onAbort = (): void => giveUp(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        giveUp = reject;
        chunks.next().then(resolve, reject);
      });
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not awaited: it ends when the read that is under way does.
    chunks.return(undefined).catch(() => {});
  }
}

async function* chunksOf(
  input: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (Symbol.asyncIterator in input) {
    yield* input as AsyncIterable<Uint8Array>;
    return;
  }
  // Browsers without ReadableStream iteration.
  const reader = (input as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

/** One turn of the event loop, so that timers, sockets and paints are served. */
function nextTurn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (done: () => void) => void };
  if (setImmediate !== undefined) return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(undefined);
  });
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
