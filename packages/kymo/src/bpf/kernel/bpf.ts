/**
 * bpf(2): maps, programs and links. Everything made here is a file descriptor, gone when it is closed or kymo ends.
 *
 * @see bpf(2) and the kernel's include/uapi/linux/bpf.h: `union bpf_attr`
 */
import { constants } from "node:os";
import { errnoName } from "../../linux/errno.ts";
import type { Libc } from "../../linux/libc.ts";
import { possibleCpus } from "../../linux/proc.ts";

const Command = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapNextKey: 4,
  programLoad: 5,
  programTestRun: 10,
  programGetNextId: 11,
  objectInfoByFd: 15,
  rawTracepointOpen: 17,
  btfLoad: 18,
  mapFreeze: 22,
  mapLookupBatch: 24,
  linkCreate: 28,
  enableStats: 32,
} as const;

export const MapType = {
  hash: 1,
  array: 2,
  percpuHash: 5,
  percpuArray: 6,
  stackTrace: 7,
  lruHash: 9,
  lruPercpuHash: 10,
  ring: 27,
} as const;

export const ProgramType = {
  socketFilter: 1,
  kprobe: 2,
  tracepoint: 5,
  perfEvent: 7,
  rawTracepoint: 17,
  tracing: 26,
  syscall: 31,
} as const;

export const AttachType = {
  traceRawTp: 23,
  traceFentry: 24,
  traceFexit: 25,
  perfEvent: 41,
  kprobeMulti: 42,
  uprobeMulti: 48,
  uprobeSession: 57,
} as const;

/** Bit of `flags` of a map that programs only read. */
export const mapReadOnlyProgram = 128;

/** Bit of `flags` of a program that may sleep. */
export const programSleepable = 16;

/** A call of bpf(2) that the kernel refused. */
export class BpfError extends Error {
  override readonly name = "BpfError";
  readonly errno: number;
  /** The verifier's words; "" when there are none. */
  readonly log: string;
  constructor(what: string, errno: number, log = "") {
    super(`${what}: ${errno === 524 ? "ENOTSUPP" : errnoName(errno)}`);
    this.errno = errno;
    this.log = log;
  }
}

export interface MapDefinition {
  readonly type: number;
  readonly name: string;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly max: number;
  readonly flags?: number;
}

export interface ProgramDefinition {
  readonly type: number;
  readonly name: string;
  /** 8 bytes each, ready for the kernel. */
  readonly instructions: Uint8Array;
  readonly attachType?: number;
  /** BTF id of what it is attached to. */
  readonly attachBtfId?: number;
  readonly flags?: number;
  /** BTF that was loaded, and pairs of u32: a function's first instruction and its id there. */
  readonly btf?: number;
  readonly functions?: Uint32Array;
}

export interface TestRun {
  readonly result: number;
  /** ns of one run, as the kernel measured it; 0 where it does not. */
  readonly ns: number;
}

const logBytes = 1 << 20;
/** Enough for every field used here; kernels take a longer structure when the rest is 0. */
const attrBytes = 152;

interface MapSizes {
  readonly keyBytes: number;
  readonly valueBytes: number;
}
/** `struct bpf_map_info` as far as it is read here. */
const mapInfoBytes = 24;
const perCpuTypes: ReadonlySet<number> = new Set([
  MapType.percpuHash,
  MapType.percpuArray,
  MapType.lruPercpuHash,
]);

/** @throws RangeError */
function needRoom(what: string, bytes: Uint8Array | undefined, needed: number): void {
  if (bytes !== undefined && bytes.byteLength < needed)
    throw new RangeError(
      `a map's ${what}: it takes ${needed} bytes; there are ${bytes.byteLength}`,
    );
}

export class Bpf {
  readonly #libc: Libc;
  readonly #sizesByMap = new Map<number, MapSizes>();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** @throws BpfError */
  createMap(map: MapDefinition): number {
    const attr = new Attributes();
    attr.u32(0, map.type).u32(4, map.keyBytes).u32(8, map.valueBytes).u32(12, map.max);
    attr.u32(16, map.flags ?? 0).name(28, map.name);
    return this.#call(Command.mapCreate, attr, `bpf(make the map ${map.name})`);
  }

  /** @returns false when the key isn't there. */
  lookup(map: number, key: Uint8Array, into: Uint8Array): boolean {
    return this.#element(Command.mapLookup, map, key, into, 0);
  }

  /**
   * Entries of a hash or array map, of which as many as fit are written to `keys` and `values`; per-CPU maps have one value
   * for each possible CPU. `position` (4 bytes, zeroed for the first call) says where the next call goes on.
   * @throws BpfError, as on kernels before 5.6, and ENOSPC when a hash bucket has more entries than there is room for.
   */
  lookupBatch(
    map: number,
    position: Uint8Array,
    first: boolean,
    keys: Uint8Array,
    values: Uint8Array,
    room: number,
  ): { readonly count: number; readonly end: boolean } {
    const { keyBytes, valueBytes } = this.#sizes(map);
    needRoom("keys", keys, room * keyBytes);
    needRoom("values", values, room * valueBytes);
    const attr = new Attributes();
    if (!first) attr.pointer(0, this.#libc, position);
    attr.pointer(8, this.#libc, position);
    attr.pointer(16, this.#libc, keys).pointer(24, this.#libc, values);
    attr.u32(32, room).u32(36, map);
    const result = this.#libc.bpf(Command.mapLookupBatch, attr.bytes);
    const end = result < 0 && errnoName(-result) === "ENOENT";
    if (result < 0 && !end) throw new BpfError("bpf(read the map)", -result);
    return { count: attr.view.getUint32(32, true), end };
  }

  /** @throws BpfError, as when the map is full. */
  update(map: number, key: Uint8Array, value: Uint8Array): void {
    this.#element(Command.mapUpdate, map, key, value, 0);
  }

  /** @returns false when the key wasn't there. */
  delete(map: number, key: Uint8Array): boolean {
    return this.#element(Command.mapDelete, map, key, undefined, 0);
  }

  /** The key after `key` (of the first one, without) into `next`. @returns false at the end. */
  nextKey(map: number, key: Uint8Array | undefined, next: Uint8Array): boolean {
    return this.#element(Command.mapNextKey, map, key, next, 0);
  }

  /**
   * Loads without a log, and once more with one when the verifier refuses.
   * @throws BpfError with the log.
   */
  load(program: ProgramDefinition): number {
    const what = `bpf(load the program ${program.name})`;
    let first = this.#load(program, undefined);
    // The verifier gives up when a signal comes for this thread; libbpf tries five times too.
    for (let tries = 1; tries < 5 && first === -constants.errno.EAGAIN; tries++)
      first = this.#load(program, undefined);
    if (first >= 0) return first;
    const log = new Uint8Array(logBytes);
    const second = this.#load(program, log);
    if (second >= 0) return second;
    const end = log.indexOf(0);
    throw new BpfError(what, -second, Buffer.from(log.subarray(0, Math.max(0, end))).toString());
  }

  #load(program: ProgramDefinition, log: Uint8Array | undefined): number {
    const attr = new Attributes();
    attr.u32(0, program.type).u32(4, program.instructions.byteLength / 8);
    attr.pointer(8, this.#libc, program.instructions);
    attr.pointer(16, this.#libc, license);
    if (log !== undefined) attr.u32(24, 1).u32(28, log.byteLength).pointer(32, this.#libc, log);
    attr.u32(44, program.flags ?? 0).name(48, program.name);
    attr.u32(68, program.attachType ?? 0).u32(108, program.attachBtfId ?? 0);
    if (program.btf !== undefined && program.functions !== undefined) {
      const { buffer, byteOffset, byteLength, length } = program.functions;
      attr
        .u32(72, program.btf)
        .u32(76, 8)
        .u32(88, length / 2);
      attr.pointer(80, this.#libc, new Uint8Array(buffer, byteOffset, byteLength));
    }
    return this.#libc.bpf(Command.programLoad, attr.bytes);
  }

  /** Hands types to the kernel, for programs to be described by. @returns a descriptor. */
  loadBtf(btf: Uint8Array): number {
    const attr = new Attributes();
    attr.pointer(0, this.#libc, btf).u32(16, btf.byteLength);
    return this.#call(Command.btfLoad, attr, "bpf(load BTF)");
  }

  /** Attaches a raw tracepoint program; without a name, a BTF-typed one (its BTF id says where). @returns the link. */
  openRawTracepoint(program: number, name?: string): number {
    const attr = new Attributes();
    if (name !== undefined) attr.pointer(0, this.#libc, cString(name));
    attr.u32(8, program);
    return this.#call(Command.rawTracepointOpen, attr, `bpf(attach to ${name ?? "its function"})`);
  }

  /** `fill` writes the fields of the attach type, from byte 16 on. @returns the link. */
  createLink(
    program: number,
    target: number,
    attachType: number,
    what: string,
    fill?: (attr: Attributes, libc: Libc) => void,
  ): number {
    const attr = new Attributes();
    attr.u32(0, program).u32(4, target).u32(8, attachType);
    fill?.(attr, this.#libc);
    return this.#call(Command.linkCreate, attr, `bpf(attach ${what})`);
  }

  /** Runs a program once; `context` is what it gets where its type takes one, `data` the packet of a socket filter. */
  testRun(
    program: number,
    given: { readonly context?: Uint8Array; readonly data?: Uint8Array } = {},
  ): TestRun {
    const attr = new Attributes();
    attr.u32(0, program);
    if (given.data !== undefined)
      attr.u32(8, given.data.byteLength).pointer(16, this.#libc, given.data);
    if (given.context !== undefined)
      attr.u32(40, given.context.byteLength).pointer(48, this.#libc, given.context);
    this.#call(Command.programTestRun, attr, "bpf(run the program)");
    return { result: attr.view.getUint32(4, true), ns: attr.view.getUint32(36, true) };
  }

  /** From now on nobody writes to the map but programs, and those only where its flags let them. */
  freeze(map: number): void {
    const attr = new Attributes();
    attr.u32(0, map);
    this.#call(Command.mapFreeze, attr, "bpf(freeze the map)");
  }

  /** The kernel's `bpf_prog_info`, `bpf_map_info` or `bpf_link_info`, into `info`. */
  info(fd: number, info: Uint8Array): void {
    const attr = new Attributes();
    attr.u32(0, fd).u32(4, info.byteLength).pointer(8, this.#libc, info);
    this.#call(Command.objectInfoByFd, attr, "bpf(object info)");
  }

  /** From now on the kernel measures how often and how long programs run; until the descriptor is closed. */
  enableStats(): number {
    return this.#call(Command.enableStats, new Attributes(), "bpf(enable statistics)");
  }

  close(fd: number): void {
    this.#sizesByMap.delete(fd);
    this.#libc.close(fd);
  }

  /**
   * Bytes of a key and of what is read or written as a value. The kernel copies so many whatever it is given: a buffer that
   * is too short would be overrun.
   */
  #sizes(map: number): MapSizes {
    const known = this.#sizesByMap.get(map);
    if (known !== undefined) return known;
    const info = new Uint8Array(mapInfoBytes);
    this.info(map, info);
    const view = new DataView(info.buffer);
    const one = view.getUint32(12, true);
    const sizes = {
      keyBytes: view.getUint32(8, true),
      valueBytes: perCpuTypes.has(view.getUint32(0, true))
        ? Math.ceil(one / 8) * 8 * possibleCpus()
        : one,
    };
    this.#sizesByMap.set(map, sizes);
    return sizes;
  }

  #element(
    command: number,
    map: number,
    key: Uint8Array | undefined,
    value: Uint8Array | undefined,
    flags: number,
  ): boolean {
    const { keyBytes, valueBytes } = this.#sizes(map);
    needRoom("key", key, keyBytes);
    needRoom("value", value, command === Command.mapNextKey ? keyBytes : valueBytes);
    const attr = new Attributes();
    attr.u32(0, map);
    if (key !== undefined) attr.pointer(8, this.#libc, key);
    if (value !== undefined) attr.pointer(16, this.#libc, value);
    attr.u64(24, BigInt(flags));
    const result = this.#libc.bpf(command, attr.bytes);
    if (result >= 0) return true;
    if (errnoName(-result) === "ENOENT") return false;
    throw new BpfError(`bpf(map element, command ${command})`, -result);
  }

  #call(command: number, attr: Attributes, what: string): number {
    const result = this.#libc.bpf(command, attr.bytes);
    if (result < 0) throw new BpfError(what, -result);
    return result;
  }
}

/** `union bpf_attr`, by byte offset; keeps what it points at alive. */
export class Attributes {
  readonly bytes: Uint8Array = new Uint8Array(attrBytes);
  readonly view: DataView = new DataView(this.bytes.buffer, this.bytes.byteOffset, attrBytes);
  readonly #kept: Uint8Array[] = [];

  u32(at: number, value: number): this {
    this.view.setUint32(at, value >>> 0, true);
    return this;
  }
  u64(at: number, value: bigint): this {
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
    return this;
  }
  pointer(at: number, libc: Libc, bytes: Uint8Array): this {
    this.#kept.push(bytes);
    return this.u64(at, libc.addressOf(bytes));
  }
  /** An object name: 15 characters of letters, digits, `_` and `.`. */
  name(at: number, name: string): this {
    const clean = name.replace(/[^\w.]/g, "_").slice(0, 15);
    this.bytes.set(Buffer.from(clean, "latin1"), at);
    return this;
  }
}

export function cString(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(`${text}\0`));
}

/** Many helpers are only for programs under the GPL; the word is about the program, which is the user's. */
const license = cString("GPL");
