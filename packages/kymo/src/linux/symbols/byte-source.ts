/** Random access to bytes: a file read piece by piece, or memory (the vDSO, tests). */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";

export interface ByteSource {
  /** Bytes there are. Nothing past it is ever asked for. */
  readonly size: number;
  /** Bytes at `offset`; fewer than `length` at the end of the file. The caller owns them. */
  read(offset: number, length: number): Uint8Array;
  close(): void;
}

/** Memory as a source. `bytes` is not copied. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, Math.min(bytes.length, offset + length)),
    close: () => {},
  };
}

/**
 * Opens a regular file for reading. Never blocks (a FIFO under the path of a mapping) and never opens a device.
 * @throws the errno error of `open`, or an Error when `path` is not a regular file.
 */
export function fileSource(path: string): ByteSource & { readonly stat: Stats } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    throw new Error(`${path} is not a regular file`);
  }
  return {
    stat,
    size: stat.size,
    read: (offset, length) => readAt(fd, offset, Math.max(0, Math.min(length, stat.size - offset))),
    close: () => closeSync(fd),
  };
}

function readAt(fd: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, offset + filled);
    if (count === 0) break; // the file shrank
    filled += count;
  }
  return filled === length ? bytes : bytes.subarray(0, filled);
}

/**
 * Reads a file of /proc, which has no size of its own.
 * @returns at most `limit` bytes
 * @throws the errno error of `open` or `read`
 */
export function readUnsized(path: string, limit: number): Uint8Array {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    let bytes = new Uint8Array(64 * 1024);
    let filled = 0;
    for (;;) {
      const count = readSync(fd, bytes, filled, Math.min(bytes.length, limit) - filled, null);
      if (count === 0) return bytes.subarray(0, filled);
      filled += count;
      if (filled === limit) return bytes.subarray(0, filled);
      if (filled === bytes.length) {
        const grown = new Uint8Array(bytes.length * 2);
        grown.set(bytes);
        bytes = grown;
      }
    }
  } finally {
    closeSync(fd);
  }
}
