/**
 * Programs and libraries by the short names people use: `libc`, `c`, `libssl.so.3`, `node`.
 * The loader's cache knows where libraries are; without one, the usual directories do.
 *
 * @see ld.so(8); the layout of /etc/ld.so.cache is glibc's sysdeps/generic/dl-cache.h
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

/**
 * @param name  a path, or a name without a slash
 * @param pid   the process it is for: what it has mapped comes first, and paths are as it sees them
 */
export function findBinary(name: string, pid?: number): string | undefined {
  if (name.includes("/")) return pid === undefined ? existing(name) : seenBy(pid, name);
  if (pid !== undefined) {
    const mapped = mappedFiles(pid).find((file) => isNamed(path.basename(file), name));
    if (mapped !== undefined) return seenBy(pid, mapped);
  }
  return cachedLibrary(name) ?? programOnPath(name) ?? libraryInDirectories(name) ?? existing(name);
}

/** Names of libraries that the loader's cache lists, for suggestions. */
export function libraryNames(): string[] {
  return [...cacheEntries()].map(([name]) => name);
}

/** `libc.so.6` is called libc.so.6, libc.so, libc and c; `node` is called node. */
function isNamed(file: string, name: string): boolean {
  if (file === name) return true;
  const library = /^(?:lib)?(.+?)\.so(?:\.[\d.]+)?$/;
  const [, stem] = library.exec(file) ?? [];
  if (stem === undefined) return false;
  if (name === stem || name === `lib${stem}`) return true;
  return /\.so$/.test(name) && file.startsWith(`${name}.`);
}

function existing(file: string): string | undefined {
  try {
    return statSync(file).isFile() ? file : undefined;
  } catch {
    return undefined; // not there
  }
}

/** A file of another process: the same path when both see the same file there, else the one through its root. */
function seenBy(pid: number, file: string): string | undefined {
  const theirs = `/proc/${pid}/root${path.resolve("/", file)}`;
  try {
    const [a, b] = [statSync(file), statSync(theirs)];
    if (a.dev === b.dev && a.ino === b.ino) return file;
  } catch {
    // One of them does not exist, or is not ours to see: the next line finds out which.
  }
  return existing(theirs) ?? existing(file);
}

function mappedFiles(pid: number): string[] {
  try {
    const files = new Set<string>();
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const at = line.indexOf("/");
      if (at > 0 && line.slice(0, at).includes("x")) files.add(line.slice(at));
    }
    return [...files];
  } catch {
    return []; // gone
  }
}

const cacheMagic = "glibc-ld.so.cache1.1";
/** Libraries of this architecture and word size: FLAG_X8664_LIB64, FLAG_AARCH64_LIB64, each an ELF for libc 6. */
const cacheFlags: { readonly [arch: string]: number } = { x64: 0x303, arm64: 0xa03 };

function* cacheEntries(): Generator<readonly [name: string, file: string]> {
  let bytes: Buffer;
  try {
    bytes = readFileSync("/etc/ld.so.cache");
  } catch {
    return; // another C library
  }
  const start = bytes.indexOf(cacheMagic);
  if (start < 0 || start + 48 > bytes.length) return;
  const text = (offset: number): string => {
    const end = bytes.indexOf(0, start + offset);
    return end < 0 ? "" : bytes.toString("utf8", start + offset, end);
  };
  const count = bytes.readUInt32LE(start + 20);
  for (let i = 0; i < count; i++) {
    const at = start + 48 + 24 * i;
    if (at + 24 > bytes.length) return;
    if (bytes.readInt32LE(at) === cacheFlags[process.arch])
      yield [text(bytes.readUInt32LE(at + 4)), text(bytes.readUInt32LE(at + 8))];
  }
}

function cachedLibrary(name: string): string | undefined {
  for (const [soname, file] of cacheEntries())
    if (isNamed(soname, name) && existsSync(file)) return file;
  return undefined;
}

function programOnPath(name: string): string | undefined {
  for (const directory of (process.env["PATH"] ?? "").split(path.delimiter)) {
    const found = directory === "" ? undefined : existing(path.join(directory, name));
    if (found !== undefined) return found;
  }
  return undefined;
}

const triplets: { readonly [arch: string]: string } = {
  x64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};

function libraryInDirectories(name: string): string | undefined {
  const triplet = triplets[process.arch] ?? "";
  for (const directory of ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"])
    for (const below of [directory, `${directory}/${triplet}`]) {
      let files: string[];
      try {
        files = readdirSync(below);
      } catch {
        continue; // no such directory
      }
      const found = files.find((file) => isNamed(file, name));
      if (found !== undefined) return path.join(below, found);
    }
  return undefined;
}
