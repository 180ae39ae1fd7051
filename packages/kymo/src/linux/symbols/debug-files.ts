/**
 * Separate debug files, where distributions put the symbol table of stripped programs.
 * By build id, then by debug link, as gdb looks for them; below the root of the traced process, then below ours.
 *
 * @see https://sourceware.org/gdb/current/onlinedocs/gdb.html/Separate-Debug-Files.html
 */
import path from "node:path";
import { type ByteSource, fileSource } from "./byte-source.ts";
import { type Elf, readDebugLink, readElf } from "./elf.ts";
import { hasFullSymbols } from "./elf-symbols.ts";

const crcLimit = 256 * 1024 * 1024;

/**
 * The debug file of `elf`, opened; the caller closes its source.
 *
 * @param file   path of `elf` as its process sees it
 * @param roots  directories that stand for "/", tried in order: "/proc/PID/root", ""
 */
export function openDebugFile(elf: Elf, file: string, roots: readonly string[]): Elf | undefined {
  const link = readDebugLink(elf);
  for (const root of roots) {
    if (elf.buildId !== undefined && elf.buildId.length > 2) {
      const name = `${root}/usr/lib/debug/.build-id/${elf.buildId.slice(0, 2)}/${elf.buildId.slice(2)}.debug`;
      const found = tryOpen(name, (debug) => debug.buildId === elf.buildId);
      if (found !== undefined) return found;
    }
    if (link === undefined) continue;
    const directory = path.dirname(file);
    for (const name of [
      `${directory}/${link.name}`,
      `${directory}/.debug/${link.name}`,
      `/usr/lib/debug${directory}/${link.name}`,
    ]) {
      if (name === file) continue;
      const found = tryOpen(root + name, (debug) =>
        elf.buildId !== undefined && debug.buildId !== undefined
          ? elf.buildId === debug.buildId
          : crcOf(debug.source) === link.crc,
      );
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function tryOpen(name: string, isRight: (debug: Elf) => boolean): Elf | undefined {
  let source: ByteSource | undefined;
  try {
    source = fileSource(name);
    const debug = readElf(source);
    if (hasFullSymbols(debug) && isRight(debug)) return debug;
  } catch {
    // Not there, unreadable or not ELF: the next place is tried.
  }
  source?.close();
  return undefined;
}

/** CRC-32 of a whole file, as in zip; undefined past `crcLimit`: reading it would take seconds. */
function crcOf(source: ByteSource): number | undefined {
  if (source.size > crcLimit) return undefined;
  let crc = 0xffffffff;
  for (let at = 0; at < source.size; ) {
    const bytes = source.read(at, 1024 * 1024);
    if (bytes.length === 0) return undefined;
    for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255]! ^ (crc >>> 8);
    at += bytes.length;
  }
  return ~crc >>> 0;
}
const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
