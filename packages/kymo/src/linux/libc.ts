/**
 * The few system calls that Node lacks, through koffi (prebuilt: nothing is compiled at install).
 * Only capture calls `loadLibc`; importing this file does not load koffi, so that the rest of kymo runs anywhere.
 * A call costs about 0.15 µs.
 */
import { SyscallError } from "./errno.ts";

/** Address of mapped memory. */
export type Pointer = bigint;

export interface Libc {
  readonly pageBytes: number;
  /** Of the calling thread. */
  threadId(): number;
  /** @returns a file descriptor, or −errno. */
  perfEventOpen(attr: Uint8Array, pid: number, cpu: number, group: number, flags: number): number;
  /** bpf(2). @returns what the call returned, or −errno. */
  bpf(command: number, attributes: Uint8Array): number;
  /** Address of the bytes, as other memory of a call points at them: they must not be moved or freed until it has returned. */
  addressOf(bytes: Uint8Array): Pointer;
  /** @returns what the call returned, or −errno. */
  ioctl(fd: number, request: number, argument: number): number;
  /** An ioctl whose argument is memory that it reads or writes. @returns ≥ 0, or −errno. */
  ioctlBytes(fd: number, request: number, memory: Uint8Array): number;
  /** `offset` is a multiple of the page size. @returns the address, or −errno as a number. */
  mmap(
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset?: number,
  ): Pointer | number;
  munmap(at: Pointer, length: number): void;
  /** Memory at `at`, without a copy. Using it after `munmap` crashes the process. */
  view(at: Pointer, length: number): ArrayBuffer;
  /** @returns bytes read, or −errno. */
  read(fd: number, into: Uint8Array): number;
  close(fd: number): void;
  /** Lifts a limit of this process (RLIMIT_…) altogether. @returns 0, or −errno. */
  unlimit(resource: number): number;
  /** @returns 0, or −errno. */
  mount(source: string, target: string, type: string): number;
  /** Reading of a clock in ns. @throws SyscallError when the kernel has no such clock. */
  clockNs(clock: number): bigint;
}

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_BOOTTIME = 7;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;

export const RLIMIT_MEMLOCK = 8;

const perfEventOpenNumber: { readonly [arch: string]: number } = { x64: 298, arm64: 241 };
const bpfNumber: { readonly [arch: string]: number } = { x64: 321, arm64: 280 };
const gettidNumber: { readonly [arch: string]: number } = { x64: 186, arm64: 178 };
const mapFailed = 0xffff_ffff_ffff_ffffn;
const unlimited = 0xffff_ffff_ffff_ffffn;

let loaded: Promise<Libc> | undefined;

/** @throws Error in words where the FFI cannot be loaded or the machine is not one that capture knows. */
export function loadLibc(): Promise<Libc> {
  loaded ??= open();
  return loaded;
}

async function open(): Promise<Libc> {
  if (process.platform !== "linux")
    throw new Error(`recording needs Linux; this is ${process.platform}`);
  const number = perfEventOpenNumber[process.arch];
  if (number === undefined)
    throw new Error(`recording knows x64 and arm64 machines; this is ${process.arch}`);
  const koffi = await import("koffi").then(
    (module) => module.default,
    (error: unknown) => {
      throw new Error(
        `the FFI library koffi does not load: ${error instanceof Error ? error.message : error}`,
      );
    },
  );
  const libc = koffi.load(null);
  const syscall = libc.func("syscall", "long", [
    "long",
    "void *",
    "int",
    "int",
    "int",
    "unsigned long",
  ]);
  const bpf = libc.func("syscall", "long", ["long", "int", "void *", "unsigned int"]);
  const ioctl = libc.func("ioctl", "int", ["int", "unsigned long", "unsigned long"]);
  const ioctlPointer = libc.func("ioctl", "int", ["int", "unsigned long", "void *"]);
  const mmap = libc.func("mmap", "void *", ["size_t", "size_t", "int", "int", "int", "long"]);
  const munmap = libc.func("munmap", "int", ["void *", "size_t"]);
  const read = libc.func("read", "long", ["int", "void *", "size_t"]);
  const close = libc.func("close", "int", ["int"]);
  const mount = libc.func("mount", "int", ["str", "str", "str", "unsigned long", "void *"]);
  const setrlimit = libc.func("setrlimit", "int", ["int", "void *"]);
  const clockGettime = libc.func("clock_gettime", "int", ["int", "void *"]);
  const getpagesize = libc.func("getpagesize", "int", []);
  const timespec = new BigInt64Array(2);
  const orErrno = (result: number): number => (result < 0 ? -koffi.errno() : result);
  return {
    pageBytes: getpagesize(),
    threadId: () => Number(syscall(gettidNumber[process.arch]!, null, 0, 0, 0, 0)),
    perfEventOpen: (attr, pid, cpu, group, flags) =>
      orErrno(Number(syscall(number, attr, pid, cpu, group, flags))),
    bpf: (command, attributes) =>
      orErrno(Number(bpf(bpfNumber[process.arch]!, command, attributes, attributes.byteLength))),
    addressOf: (bytes) => BigInt(koffi.address(bytes)),
    ioctl: (fd, request, argument) => orErrno(ioctl(fd, request, argument)),
    ioctlBytes: (fd, request, memory) => orErrno(ioctlPointer(fd, request, memory)),
    mmap: (length, protection, flags, fd, offset = 0) => {
      const at = BigInt(mmap(0, length, protection, flags, fd, offset));
      return at === mapFailed ? -koffi.errno() : at;
    },
    munmap: (at, length) => void munmap(at, length),
    view: (at, length) => koffi.view(at, length),
    read: (fd, into) => orErrno(Number(read(fd, into, into.byteLength))),
    close: (fd) => void close(fd),
    unlimit: (resource) => orErrno(setrlimit(resource, new BigUint64Array(2).fill(unlimited))),
    mount: (source, target, type) => orErrno(mount(source, target, type, 0, null)),
    clockNs: (clock) => {
      const result = orErrno(clockGettime(clock, timespec));
      if (result < 0) throw new SyscallError(`clock_gettime(${clock})`, -result);
      return timespec[0]! * 1_000_000_000n + timespec[1]!;
    },
  };
}
