import type { TraceSink } from "../model/sink.ts";

/** Takes finished bytes; resolves when more may come. `bytes` is the writer's own buffer: copy it if you keep it. */
export type ByteSink = (bytes: Uint8Array) => void | Promise<void>;

/** A push parser for one stream: no I/O of its own. The driver awaits the output between pushes. */
export interface StreamReader {
  /** Chunks of any size, cut anywhere; `chunk` is the caller's again (and overwritten) when this returns. @throws FormatError when the input cannot be this format. */
  push(chunk: Uint8Array): void;
  /** A record cut short here is a `truncated` problem, not an error. Calls `watermark`, never `close`. */
  end(): void;
}

/** Named pieces that can be read anywhere: a directory (CTF), an archive, a file with an index (perf.data, Parquet). */
export interface Blobs {
  readonly names: readonly string[];
  size(name: string): number;
  read(name: string, offset: number, length: number): Promise<Uint8Array>;
}

/** What a folder under formats/ exports as `format`. `detect` loads at once, readers and writers on first use. */
export interface Format {
  readonly name: string;
  readonly title: string;
  readonly extensions: readonly string[];
  readonly spec: string;
  /** How sure, from the first ≤ 64 KiB: 0 no … 100 certain. The highest wins; extensions only break ties. */
  detect(head: Uint8Array, fileName: string): number;
  stream?(sink: TraceSink): Promise<StreamReader>;
  blobs?(blobs: Blobs, sink: TraceSink): Promise<void>;
  writer?(out: ByteSink): Promise<TraceSink>;
}

/** The input cannot be what it claims to be. Shown to the user as it is: says what was expected, found, and where. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  readonly format: string;
  readonly byteOffset: number;
  constructor(format: string, byteOffset: number, message: string) {
    super(`${format}: ${message} (at byte ${byteOffset})`);
    this.format = format;
    this.byteOffset = byteOffset;
  }
}
