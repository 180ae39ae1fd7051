/** Trace files on disk (or on standard input) → events. Any size: streamed through two fixed buffers. */
import { type FileHandle, open, stat } from "node:fs/promises";
import {
  type ReadOptions,
  type ReadResult,
  readTrace,
  type Trace,
  TraceBuilder,
  type TraceSink,
} from "@kymo/trace";
import { UserError } from "../cli/command.ts";

/** Bytes asked of the system at once. Two such buffers: one is read into while the other is parsed. */
const CHUNK_BYTES = 256 * 1024;

export type ReadFileOptions = ReadOptions;

/** The whole trace at `path`, in memory as columns. Errors as `readTraceFile`. */
export async function openTraceFile(path: string, options: ReadFileOptions = {}): Promise<Trace> {
  const builder = new TraceBuilder();
  await readTraceFile(path, builder, options);
  return builder.trace;
}

/**
 * Reads the trace at `path` ("-": standard input) into `sink` and closes it.
 * @throws UserError when it cannot be opened or read; FormatError when it is no trace
 */
export async function readTraceFile(
  path: string,
  sink: TraceSink,
  options: ReadFileOptions = {},
): Promise<ReadResult> {
  if (path === "-") return readStandardInput(sink, options);
  const handle = await openForReading(path);
  try {
    return await readTrace(chunksOf(handle, path), path, sink, options);
  } finally {
    await handle.close();
  }
}

async function readStandardInput(sink: TraceSink, options: ReadFileOptions): Promise<ReadResult> {
  if (process.stdin.isTTY)
    throw new UserError(
      "standard input is a terminal; a trace was expected",
      "give a file, or pipe one in: zcat t.json.gz | kymo … -",
    );
  try {
    const input: AsyncIterable<Uint8Array> = process.stdin;
    return await readTrace(input, "standard input", sink, options);
  } finally {
    // An open pipe would keep the process alive.
    process.stdin.destroy();
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    // Looked at before it is opened: opening a device can block or have effects.
    const stats = await stat(path);
    if (stats.isDirectory())
      throw new UserError(`${path} is a directory; a trace file was expected`);
    if (!stats.isFile() && !stats.isFIFO())
      throw new UserError(
        `${path} is ${stats.isSocket() ? "a socket" : "a device"}; a trace file or a pipe was expected`,
      );
    return await open(path, "r");
  } catch (error) {
    throw inWords(error, path);
  }
}

async function* chunksOf(handle: FileHandle, path: string): AsyncGenerator<Uint8Array> {
  const buffers = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)];
  const read = (index: number): Promise<{ bytesRead: number }> =>
    handle.read(buffers[index]!, 0, CHUNK_BYTES, null);
  let ahead = read(0);
  try {
    for (let index = 0; ; index = 1 - index) {
      const { bytesRead } = await ahead;
      if (bytesRead === 0) return;
      ahead = read(1 - index);
      // A failure of the read ahead is thrown when its turn comes, above.
      ahead.catch(() => {});
      yield buffers[index]!.subarray(0, bytesRead);
    }
  } catch (error) {
    throw inWords(error, path);
  } finally {
    // The reader may stop early: the buffer must not be written, nor the file closed, under a running read.
    await ahead.catch(() => {});
  }
}

function inWords(error: unknown, path: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return new UserError(`${path}: no such file`);
    case "ENOTDIR":
      return new UserError(`${path}: a part of this path is not a directory`);
    case "EACCES":
    case "EPERM":
      return new UserError(
        `${path}: you may not read this file`,
        "recordings are readable by their owner only; copy it, or run as that user",
      );
    case "EMFILE":
    case "ENFILE":
      return new UserError(`${path}: too many open files`, "ulimit -n 4096");
    case "EIO":
      return new UserError(`${path}: the disk could not be read (EIO)`);
    default:
      return error;
  }
}
