/**
 * Finds the bytes behind a mapping of another process: through its root (containers), its executable and its
 * mapped files (deleted or replaced ones), and our own memory for the vDSO.
 */
import { closeSync, openSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import type { Mapping } from "./address-space.ts";
import { type ByteSource, fileSource, memorySource } from "./byte-source.ts";

/** `stat` of the file: equal keys are the same bytes. */
export interface FoundFile {
  readonly key: string;
  /** Where to open it. */
  readonly path: string;
}

/**
 * A readable path to the file of `mapping`.
 *
 * @param proc  "/proc"
 * @param pids  the process, then its ancestors: when it is gone theirs is the root it most likely had
 */
export function findFile(
  proc: string,
  pids: readonly number[],
  mapping: Mapping,
): FoundFile | undefined {
  const deleted = mapping.path.endsWith(" (deleted)");
  const path = deleted ? mapping.path.slice(0, -" (deleted)".length) : mapping.path;
  for (const pid of pids) {
    if (!deleted) {
      const found = stat(`${proc}/${pid}/root${path}`);
      if (found !== undefined) return found;
      continue;
    }
    const range = `${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
    const mapped = stat(`${proc}/${pid}/map_files/${range}`);
    if (mapped !== undefined) return mapped;
    const exe = `${proc}/${pid}/exe`;
    if (link(exe) === mapping.path) {
      const found = stat(exe);
      if (found !== undefined) return found;
    }
  }
  return deleted ? undefined : stat(path);
}

function stat(path: string): FoundFile | undefined {
  try {
    const found = statSync(path);
    if (!found.isFile()) return undefined;
    return { path, key: `${found.dev}:${found.ino}:${found.size}:${found.mtimeMs}` };
  } catch {
    return undefined; // gone, or not ours to see: the next place is tried
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // the process is gone
  }
}

export function openFile(found: FoundFile): ByteSource {
  return fileSource(found.path);
}

/** Executable mappings of a living process, or undefined. */
export function readMapsText(proc: string, pid: number): string | undefined {
  try {
    return readFileSync(`${proc}/${pid}/maps`, "utf8");
  } catch {
    return undefined; // gone, or not ours to see
  }
}

/** The vDSO is the same for all 64-bit processes: ours is read from our own memory. */
export function readOwnVdso(): ByteSource | undefined {
  const line = readMapsText("/proc", process.pid)
    ?.split("\n")
    .find((one) => one.endsWith("[vdso]"));
  const match = line === undefined ? null : /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
  if (match === null) return undefined;
  const start = Number.parseInt(match[1]!, 16);
  const size = Number.parseInt(match[2]!, 16) - start;
  if (size <= 0 || size > 1024 * 1024) return undefined;
  try {
    const fd = openSync("/proc/self/mem", "r");
    try {
      const bytes = new Uint8Array(size);
      return memorySource(bytes.subarray(0, readSync(fd, bytes, 0, size, start)));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // /proc may be restricted: the vDSO stays unnamed
  }
}

/** Pid of `pid` inside its own pid namespace, and the uid it runs as; undefined when it is gone. */
export function identityOf(
  proc: string,
  pid: number,
): { readonly innerPid: number; readonly uid: number } | undefined {
  try {
    const status = readFileSync(`${proc}/${pid}/status`, "utf8");
    const inner = /^NSpid:.*?(\d+)$/m.exec(status);
    const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status);
    return {
      innerPid: inner === null ? pid : Number(inner[1]),
      uid: uid === null ? 0 : Number(uid[1]),
    };
  } catch {
    return undefined; // gone
  }
}
