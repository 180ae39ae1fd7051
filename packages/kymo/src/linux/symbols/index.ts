/**
 * Addresses of a running system into functions.
 *
 *     const symbolizer = new Symbolizer();
 *     symbolizer.map(pid, { start: 0x5581_0000_0000n, length: 0x4000, offset: 0x1000, path: "/usr/bin/true" });
 *     symbolizer.frame(pid, 0x5581_0000_0123n, false)  // { name: "main", module: "/usr/bin/true", address: 0x1120n, … }
 *
 * A frame stands for a function, not for an address: `address` is the function's first one, and every address inside
 * gives the same object, so callers cache by identity. Where there is no symbol, unwind tables still say where
 * functions start (`libfoo.so+0x1a40`); without those, one frame stands for the whole file (`[libfoo.so]`).
 *
 * For a return address (any frame but the innermost) ask for `ip - 1n`: a call may be its function's last instruction.
 *
 * Made for a capture's hot loop: a repeated `frame` is one Map lookup (40 to 100 ns; symbolizer.test.ts prints it). A file is read at its first frame.
 * Everything read is untrusted: whatever is wrong with a file costs its names, nothing else.
 */
import type { FrameInfo, Problem } from "@kymo/trace";
import { AddressSpace, type Mapping, parseMaps } from "./address-space.ts";
import { type KernelSymbols, readKernelSymbols } from "./kallsyms.ts";
import { readLiteral } from "./literals.ts";
import { Module } from "./module.ts";
import { PerfMap } from "./perf-map.ts";
import {
  type FoundFile,
  findFile,
  identityOf,
  openFile,
  readMapsText,
  readOwnVdso,
} from "./process-files.ts";

export interface MappingInfo {
  readonly start: bigint | number;
  /** Bytes. */
  readonly length: number;
  /** Of `start` in the file, bytes. */
  readonly offset: number;
  /** As the kernel says it: "/usr/bin/true", "//anon", "[vdso]", "/tmp/x (deleted)". */
  readonly path: string;
  /** Hex; when given and the file has another one, the file is not believed. */
  readonly buildId?: string;
}

export interface SymbolizerOptions {
  /** Told once for each thing that costs names: hidden kernel symbols, a replaced file. */
  readonly onProblem?: (problem: Problem) => void;
  /** Where procfs and sysfs are mounted. */
  readonly proc?: string;
  readonly sys?: string;
}

interface Process {
  space: AddressSpace;
  parent: number;
  exited: boolean;
  /** Runs a program of its own since `exec`: what an ancestor has mapped says nothing about it. */
  complete: boolean;
  nextMapsMs: number;
  readonly frames: Map<bigint, FrameInfo>;
  jit: PerfMap | undefined;
  /** What it was before `exec`. */
  readonly before: Process | undefined;
}

/** Addresses remembered for each process; past it the memory starts afresh. */
const frameLimit = 1 << 18;
/** Processes remembered after their end: samples still on their way find them. */
const exitedLimit = 1024;
/** Symbol tables in memory; past it further files stay without names. */
const tableBytesLimit = 1024 ** 3;
const mapsIntervalMs = 1000;
/** Parents asked in place of a process that is gone. */
const ancestorLimit = 8;

export class Symbolizer {
  readonly #proc: string;
  readonly #sys: string;
  readonly #onProblem: (problem: Problem) => void;
  readonly #processes: Map<number, Process> = new Map();
  readonly #exited: number[] = [];
  /** By what the file is, so that all processes share it. */
  readonly #modules: Map<string, Module | undefined> = new Map();
  #modulesOf: WeakMap<Mapping, Module | "none"> = new WeakMap();
  readonly #names: Map<string, FrameInfo> = new Map();
  #tableBytes = 0;
  #kernel: KernelSymbols | undefined;
  #hiddenTold = false;
  readonly #kernelFrames: Map<bigint, FrameInfo> = new Map();
  #vdso: Module | "none" | undefined;

  constructor(options: SymbolizerOptions = {}) {
    this.#proc = options.proc ?? "/proc";
    this.#sys = options.sys ?? "/sys";
    this.#onProblem = options.onProblem ?? (() => {});
  }

  /** Loads the kernel's symbols now (about 0.1 s) and not at the first kernel frame. Call it before recording. */
  prepare(): void {
    this.#kernelSymbols();
  }

  /** A file, or anonymous memory, was mapped executable. */
  map(pid: number, info: MappingInfo): void {
    const process = this.#process(pid);
    const start = Number(info.start);
    if (!(info.length > 0) || !Number.isSafeInteger(start + info.length)) return;
    process.space.add({
      start,
      end: start + info.length,
      offset: info.offset,
      path: info.path,
      buildId: info.buildId,
    });
    process.frames.clear();
  }

  /** `childPid` starts with the mappings of `parentPid`. Not for threads. */
  fork(parentPid: number, childPid: number): void {
    if (parentPid === childPid) return;
    const parent = this.#process(parentPid);
    this.#processes.set(childPid, {
      ...newProcess(parent.space.fork()),
      parent: parentPid,
      complete: parent.complete,
    });
  }

  /** `pid` replaces its program: nothing is mapped until `map` says so. */
  exec(pid: number): void {
    const old = this.#processes.get(pid);
    const before = old && { ...old, exited: true, before: undefined };
    const parent = old?.parent ?? 0;
    this.#processes.set(pid, { ...newProcess(new AddressSpace()), parent, complete: true, before });
  }

  /** The process is gone. Late samples of it are still answered for a while. */
  exit(pid: number): void {
    const process = this.#processes.get(pid);
    if (process === undefined || process.exited) return;
    process.exited = true;
    this.#exited.push(pid);
    if (this.#exited.length <= exitedLimit) return;
    const oldest = this.#exited.shift()!;
    if (this.#processes.get(oldest)?.exited === true) this.#processes.delete(oldest);
  }

  /**
   * The function at `ip`.
   *
   * @param pid     process id (not thread id); ignored when `kernel`
   * @param kernel  `ip` was executed in kernel mode
   */
  frame(pid: number, ip: bigint, kernel: boolean): FrameInfo {
    if (kernel) return this.#kernelFrame(ip);
    const process = this.#processes.get(pid) ?? this.#process(pid);
    const known = process.frames.get(ip);
    if (known !== undefined) return known;
    const { frame, lasting } = this.#userFrame(pid, process, ip);
    if (process.frames.size >= frameLimit) process.frames.clear();
    if (lasting) process.frames.set(ip, frame);
    return frame;
  }

  /** The function that was at `ip` of the program before the last `exec`; undefined where nothing was. */
  frameBefore(pid: number, ip: bigint): FrameInfo | undefined {
    const before = this.#processes.get(pid)?.before;
    return before?.space.find(Number(ip)) && this.#userFrame(pid, before, ip).frame;
  }

  /**
   * What a process has, or had, in memory that nothing may write to: read from the file mapped there, at most `most` bytes.
   * undefined where no file says. Opens the file each time.
   */
  literal(pid: number, address: bigint, most: number): Uint8Array | undefined {
    const process = this.#processes.get(pid);
    const at = Number(address);
    for (const mapping of process?.space.around(at) ?? []) {
      const found = isFile(mapping.path)
        ? findFile(this.#proc, this.#withAncestors(pid), mapping)
        : undefined;
      const bytes = found === undefined ? undefined : literalIn(found, mapping, at, most);
      if (bytes !== undefined) return bytes;
    }
    return undefined;
  }

  #kernelFrame(ip: bigint): FrameInfo {
    const known = this.#kernelFrames.get(ip);
    if (known !== undefined) return known;
    const symbols = this.#kernelSymbols();
    if (symbols.hidden !== undefined && !this.#hiddenTold) {
      this.#hiddenTold = true;
      const { reason, fix } = symbols.hidden;
      const message = `kernel functions have no names: ${reason}; ${fix}`;
      this.#onProblem({ kind: "unsupported", message });
    }
    const frame = symbols.frame(ip);
    if (this.#kernelFrames.size >= frameLimit) this.#kernelFrames.clear();
    this.#kernelFrames.set(ip, frame);
    return frame;
  }

  #kernelSymbols(): KernelSymbols {
    this.#kernel ??= readKernelSymbols(this.#proc, this.#sys);
    return this.#kernel;
  }

  /** @returns `lasting`: the answer stays true, so it may be remembered. Unnamed JIT code may get a name later. */
  #userFrame(pid: number, process: Process, ip: bigint): { frame: FrameInfo; lasting: boolean } {
    const address = Number(ip);
    if (ip < 0n || address >= 2 ** 53) return { frame: this.#named("[unknown]"), lasting: true };
    let mapping = process.space.find(address);
    if (mapping === undefined && this.#readMaps(pid, process))
      mapping = process.space.find(address);
    if (mapping !== undefined) {
      if (mapping.path === "[vdso]")
        return { frame: this.#vdsoFrame(mapping, address), lasting: true };
      if (isFile(mapping.path)) {
        const module = this.#moduleOf(pid, mapping);
        if (module !== undefined)
          return {
            frame: module.frameAtOffset(address - mapping.start + mapping.offset),
            lasting: true,
          };
      }
    }
    const jit = this.#jitFrame(pid, process, address);
    if (jit !== undefined) return { frame: jit, lasting: true };
    if (mapping !== undefined && isFile(mapping.path))
      return { frame: this.#named(`[${baseName(mapping.path)}]`, mapping.path), lasting: true };
    return { frame: this.#named(nameOfMemory(mapping?.path)), lasting: false };
  }

  /** The same frame for the same name and file. */
  #named(name: string, module?: string): FrameInfo {
    const key = module ?? name;
    let frame = this.#names.get(key);
    if (frame === undefined) {
      frame = module === undefined ? { name } : { name, module };
      this.#names.set(key, frame);
    }
    return frame;
  }

  #vdsoFrame(mapping: Mapping, address: number): FrameInfo {
    // 32-bit processes have another vDSO than ours.
    if (this.#vdso === undefined) {
      const source = mapping.start >= 2 ** 32 ? readOwnVdso() : undefined;
      this.#vdso =
        (source === undefined ? undefined : this.#readModule(source, "[vdso]", [])) ?? "none";
    }
    if (this.#vdso === "none" || mapping.start < 2 ** 32) return this.#named("[vdso]");
    return this.#vdso.frameAtOffset(address - mapping.start + mapping.offset);
  }

  #moduleOf(pid: number, mapping: Mapping): Module | undefined {
    let module = this.#modulesOf.get(mapping);
    if (module === undefined) {
      module = this.#loadModule(pid, mapping) ?? "none";
      this.#modulesOf.set(mapping, module);
    }
    return module === "none" ? undefined : module;
  }

  #loadModule(pid: number, mapping: Mapping): Module | undefined {
    const pids = this.#withAncestors(pid);
    const found = findFile(this.#proc, pids, mapping);
    if (found === undefined) return undefined;
    const key = `${found.key} ${mapping.path}`;
    if (!this.#modules.has(key)) {
      const roots = [...pids.map((one) => `${this.#proc}/${one}/root`), ""];
      this.#modules.set(key, this.#openModule(found, mapping.path, roots));
    }
    const module = this.#modules.get(key);
    if (
      module !== undefined &&
      mapping.buildId !== undefined &&
      module.buildId !== mapping.buildId
    ) {
      this.#onProblem({
        kind: "unsupported",
        message: `${mapping.path} has changed since it was mapped (build id ${module.buildId ?? "missing"}, mapped ${mapping.buildId}): its functions have no names`,
      });
      return undefined;
    }
    return module;
  }

  #openModule(
    found: { readonly key: string; readonly path: string },
    path: string,
    roots: readonly string[],
  ): Module | undefined {
    if (this.#tableBytes > tableBytesLimit) return undefined;
    try {
      return this.#readModule(openFile(found), path, roots);
    } catch {
      return undefined; // not readable for us: its functions stay unnamed
    }
  }

  #readModule(
    source: ReturnType<typeof openFile>,
    path: string,
    roots: readonly string[],
  ): Module | undefined {
    try {
      const module = new Module(source, path, roots);
      this.#tableBytes += module.byteLength;
      return module;
    } catch {
      return undefined; // not ELF (a .jar, a data file mapped executable): no functions in it
    } finally {
      source.close();
    }
  }

  #jitFrame(pid: number, process: Process, address: number): FrameInfo | undefined {
    process.jit ??= this.#openPerfMap(pid);
    return process.jit.frame(address);
  }

  #openPerfMap(pid: number): PerfMap {
    const identity = identityOf(this.#proc, pid);
    const inner = identity?.innerPid ?? pid;
    const paths = [`${this.#proc}/${pid}/root/tmp/perf-${inner}.map`, `/tmp/perf-${pid}.map`];
    const own = process.geteuid?.() ?? 0;
    return new PerfMap(paths, identity === undefined ? [own, 0] : [own, 0, identity.uid]);
  }

  #process(pid: number): Process {
    let process = this.#processes.get(pid);
    if (process === undefined) {
      process = newProcess(new AddressSpace());
      this.#processes.set(pid, process);
    }
    return process;
  }

  /** Takes over what /proc/PID/maps has and nobody reported. @returns whether it was read */
  #readMaps(pid: number, process: Process): boolean {
    const now = performance.now();
    if (process.exited || now < process.nextMapsMs) return false;
    process.nextMapsMs = now + mapsIntervalMs;
    for (const one of process.complete ? [pid] : this.#withAncestors(pid)) {
      const text = readMapsText(this.#proc, one);
      if (text === undefined) continue;
      for (const mapping of parseMaps(text))
        if (process.space.find(mapping.start) === undefined) process.space.add(mapping);
      process.frames.clear();
      return true;
    }
    return false;
  }

  #withAncestors(pid: number): number[] {
    const pids = [pid];
    for (let at = pid; pids.length < ancestorLimit; ) {
      at = this.#processes.get(at)?.parent ?? 0;
      if (at === 0 || pids.includes(at)) break;
      pids.push(at);
    }
    return pids;
  }
}

function newProcess(space: AddressSpace): Process {
  return {
    space,
    parent: 0,
    exited: false,
    complete: false,
    nextMapsMs: Number.NEGATIVE_INFINITY,
    frames: new Map(),
    jit: undefined,
    before: undefined,
  };
}

function literalIn(
  found: FoundFile,
  mapping: Mapping,
  address: number,
  most: number,
): Uint8Array | undefined {
  try {
    const source = openFile(found);
    try {
      return readLiteral(source, mapping, address, most);
    } finally {
      source.close();
    }
  } catch {
    return undefined; // not ELF, or not readable for us
  }
}

/** Not "//anon", "/dev/zero (deleted)", "/memfd:…", "/SYSV…": memory that has a path but no ELF file. */
function isFile(path: string): boolean {
  return (
    path.startsWith("/") && !/^\/(?:\/anon|dev\/zero|anon_hugepage|SYSV[0-9a-f]{8})/.test(path)
  );
}

function nameOfMemory(path: string | undefined): string {
  if (path === undefined) return "[unknown]";
  return /^\[[\w:.-]{1,64}\]$/.test(path) ? path : "[anon]";
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
