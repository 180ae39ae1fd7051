/**
 * Compiled probes of earlier runs: what makes the next start of the same files on the same kernel quick.
 *
 *     $XDG_CACHE_HOME/kymo/probes/KEY   SHA-256 of the rest · imports with their digests, set, programs (v8.serialize)
 *
 * The key is made of this build of kymo, the kernel's build, its modules, the files' paths and texts, and their arguments. Only files
 * that see nothing else are kept (`repeatable`), and only probes of the kernel's: where a function of a program is depends on that
 * program. The directory is the user's own and nobody else's, or it is not used; what doesn't fit is not there.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { deserialize, serialize } from "node:v8";
import type { ProbeSet, Program } from "../bpf/program.ts";

/** What probes were compiled from, beside the machine. */
export interface Sources {
  readonly files: readonly string[] | { readonly code: string };
  readonly argv: readonly string[];
  /** Of kymo: where it can't be told, nothing is kept. Default: the one that runs. */
  readonly build?: string | undefined;
}
export interface CompiledProbes {
  /** Without the bodies of handlers. */
  readonly set: ProbeSet;
  /** One for each probe of the set. */
  readonly programs: readonly Program[];
}
interface Kept extends CompiledProbes {
  readonly imports: readonly { readonly path: string; readonly digest: string }[];
}

const digestBytes = 32;
const entriesMost = 64;
/** A file that is larger was not written by us. */
const entryBytesMost = 16 * 2 ** 20;

/** @returns undefined when there is nothing that is certainly the same. */
export function cachedProbes(sources: Sources): CompiledProbes | undefined {
  try {
    const key = keyOf(sources);
    const directory = key === undefined ? undefined : ownDirectory(false);
    if (key === undefined || directory === undefined) return undefined;
    const kept = readEntry(path.join(directory, key));
    const isSame = kept?.imports.every(
      ({ path, digest }) => digestOf(readFileSync(path)) === digest,
    );
    return isSame === true ? kept : undefined;
  } catch {
    return undefined; // gone, cut short, of another version of Node: it is compiled anew
  }
}

/** Keeps them for the next time, where that is right. A cache that can't be written is none. */
export function keepProbes(sources: Sources, { set, programs }: CompiledProbes): void {
  if (!isKept(set)) return;
  try {
    const key = keyOf(sources);
    const directory = key === undefined ? undefined : ownDirectory(true);
    if (key === undefined || directory === undefined) return;
    const own = new Set(
      "code" in sources.files ? [] : sources.files.map((file) => path.resolve(file)),
    );
    const imports = set.files
      .filter((file) => path.isAbsolute(file.path) && !own.has(file.path))
      .map((file) => ({ path: file.path, digest: digestOf(file.text) }));
    const probes = set.probes.map((probe) => ({
      ...probe,
      handler: { ...probe.handler, body: [] },
    }));
    const payload = serialize({ imports, set: { ...set, probes }, programs } satisfies Kept);
    const file = path.join(directory, key);
    const unfinished = `${file}.${process.pid}`;
    writeFileSync(unfinished, Buffer.concat([sha256(payload), payload]), {
      mode: 0o600,
      flag: "wx",
    });
    renameSync(unfinished, file);
    removeOldest(directory);
  } catch {
    // a full or read-only disk: the next start compiles again
  }
}

/** What was kept for these is of no use. */
export function forgetProbes(sources: Sources): void {
  try {
    const key = keyOf(sources);
    const directory = key === undefined ? undefined : ownDirectory(false);
    if (key !== undefined && directory !== undefined)
      rmSync(path.join(directory, key), { force: true });
  } catch {
    // it is replaced when it is written again
  }
}

/** Places that are the same on every kernel of this build. */
const kernelKinds = new Set([
  "tracepoint",
  "raw-tracepoint",
  "profile",
  "interval",
  "begin",
  "end",
]);

function isKept({ repeatable, notes, probes, foreign }: ProbeSet): boolean {
  return (
    repeatable === true &&
    foreign === undefined &&
    notes.length === 0 &&
    probes.every(({ target }) => kernelKinds.has(target.kind))
  );
}

/** The bundler names a file by what is in it, and in all that it imports. */
const thisBuild = /-[A-Z0-9]{8}\.js$/.exec(import.meta.url)?.[0];

/** undefined where this build of kymo can't be told from another one. */
function keyOf({ files, argv, build = thisBuild }: Sources): string | undefined {
  if (build === undefined) return undefined;
  const hash = createHash("sha256");
  const add = (part: string | Uint8Array): void => {
    hash.update(`${part.length}:`).update(part);
  };
  for (const part of [build, process.version, process.arch, process.cwd()]) add(part);
  add(readFileSync("/sys/kernel/notes"));
  for (const module of loadedModules()) {
    const [name = "", bytes = "", , , , address = ""] = module.split(" ");
    add(`${name} ${bytes} ${address}`);
  }
  add(JSON.stringify(argv));
  if ("code" in files) add(files.code);
  else for (const file of files) for (const part of [file, readFileSync(file)]) add(part);
  return hash.digest("hex");
}

function loadedModules(): readonly string[] {
  try {
    return readFileSync("/proc/modules", "latin1").split("\n");
  } catch {
    return []; // this kernel has all that it has in itself
  }
}

/** @throws where there is none */
function ownDirectory(make: boolean): string | undefined {
  const base = process.env["XDG_CACHE_HOME"];
  const cache = base !== undefined && path.isAbsolute(base) ? base : path.join(homedir(), ".cache");
  const directory = path.join(cache, "kymo", "probes");
  if (make) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const isOwn = [path.dirname(directory), directory].every((one) => {
    const found = lstatSync(one);
    return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o022) === 0;
  });
  return isOwn ? directory : undefined;
}

function readEntry(file: string): Kept | undefined {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const found = fstatSync(fd);
    const isOurs = found.isFile() && found.uid === process.geteuid?.();
    if (!isOurs || found.size > entryBytesMost) return undefined;
    const bytes = readFileSync(fd);
    const payload = bytes.subarray(digestBytes);
    if (!sha256(payload).equals(bytes.subarray(0, digestBytes))) return undefined;
    return deserialize(payload) as Kept;
  } finally {
    closeSync(fd);
  }
}

function removeOldest(directory: string): void {
  const entries = readdirSync(directory).map((name) => path.join(directory, name));
  if (entries.length <= entriesMost) return;
  const byAge = entries
    .map((file) => ({ file, at: lstatSync(file).mtimeMs }))
    .sort((a, b) => a.at - b.at);
  for (const { file } of byAge.slice(0, entries.length - entriesMost))
    rmSync(file, { force: true });
}

function sha256(bytes: string | Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
function digestOf(bytes: string | Uint8Array): string {
  return sha256(bytes).toString("hex");
}
