/**
 * perf_event_open: the attribute structure, its constants, and errors that say what to change.
 *
 * @see perf_event_open(2) and the kernel's include/uapi/linux/perf_event.h
 */
import { readFileSync } from "node:fs";
import { errnoName } from "./errno.ts";
import type { Libc } from "./libc.ts";

export const PerfType = { hardware: 0, software: 1, tracepoint: 2, breakpoint: 5 } as const;
export const PerfSoftware = { cpuClock: 0, dummy: 9 } as const;

/** Bits 0, 1, 2, 5, 7, 10 and 16 of `sample_type`. */
export const SampleType = {
  ip: 0x1,
  tid: 0x2,
  time: 0x4,
  callchain: 0x20,
  cpu: 0x80,
  raw: 0x400,
  identifier: 0x1_0000,
} as const;

/** Bit 4 of `read_format`: `read(fd)` also gives how many records of the event were dropped (Linux 6.0). */
export const ReadFormatLost = 0x10;

export const PerfIoctl = {
  enable: 0x2400,
  disable: 0x2401,
  setOutput: 0x2405,
  setFilter: 0x4008_2406,
  setBpf: 0x4004_2408,
  id: 0x8008_2407,
} as const;

const flagCloseOnExec = 8;

/** Bits of the flag word, in the order of the header. */
const flagBit = {
  disabled: 0,
  inherit: 1,
  excludeUser: 4,
  excludeKernel: 5,
  excludeHv: 6,
  excludeIdle: 7,
  mmap: 8,
  comm: 9,
  enableOnExec: 12,
  task: 13,
  watermark: 14,
  sampleIdAll: 18,
  excludeCallchainKernel: 21,
  excludeCallchainUser: 22,
  mmap2: 23,
  commExec: 24,
  useClockid: 25,
  contextSwitch: 26,
  buildId: 34,
} as const;
export type PerfFlag = keyof typeof flagBit;

export interface PerfAttr {
  readonly type: number;
  readonly config: number | bigint;
  /** ns of the clock, or events, between samples. */
  readonly period: number;
  readonly sampleType: number;
  readonly readFormat: number;
  readonly flags: readonly PerfFlag[];
  /** With the flag `watermark`: bytes in the ring before a reader is woken. */
  readonly wakeupBytes?: number;
  /** With the flag `useClockid`. */
  readonly clock?: number;
  /** Of a breakpoint: 1 read, 2 write, 4 execute, or together. */
  readonly breakpointType?: number;
  /** What they mean depends on the type: a breakpoint's address and length, a probe's path and offset. */
  readonly config1?: bigint;
  readonly config2?: bigint;
}

/** 128 bytes: the structure as of Linux 5.13 (PERF_ATTR_SIZE_VER7); older kernels take it when the tail is 0. */
const attrBytes = 128;

export function encodeAttr(attr: PerfAttr): Uint8Array {
  const bytes = new Uint8Array(attrBytes);
  const view = new DataView(bytes.buffer);
  let flags = 0n;
  for (const flag of attr.flags) flags |= 1n << BigInt(flagBit[flag]);
  view.setUint32(0, attr.type, true);
  view.setUint32(4, attrBytes, true);
  view.setBigUint64(8, BigInt(attr.config), true);
  view.setBigUint64(16, BigInt(attr.period), true);
  view.setBigUint64(24, BigInt(attr.sampleType), true);
  view.setBigUint64(32, BigInt(attr.readFormat), true);
  view.setBigUint64(40, flags, true);
  view.setUint32(48, attr.wakeupBytes ?? 0, true);
  view.setUint32(52, attr.breakpointType ?? 0, true);
  view.setBigUint64(56, attr.config1 ?? 0n, true);
  view.setBigUint64(64, attr.config2 ?? 0n, true);
  view.setInt32(92, attr.clock ?? 0, true);
  return bytes;
}

/** @returns a file descriptor, or −errno. The descriptor is not inherited by programs that are started. */
export function openPerfEvent(libc: Libc, attr: PerfAttr, pid: number, cpu: number): number {
  return libc.perfEventOpen(encodeAttr(attr), pid, cpu, -1, flagCloseOnExec);
}

/** The kernel's restriction on users without CAP_PERFMON (−1 none … 3), or undefined where it can't be read. */
export function perfEventParanoid(): number | undefined {
  try {
    return Number(readFileSync("/proc/sys/kernel/perf_event_paranoid", "utf8"));
  } catch {
    return undefined; // no perf events in this kernel, or /proc is not mounted: the open call then says so
  }
}

/**
 * Why opening an event failed and what to change: `perf_event_open(cpu 3): EACCES; set kernel.perf_event_paranoid ≤ 1 (now 2)`.
 * `needs`: the highest perf_event_paranoid under which this event works without privileges.
 */
export function explainPerfError(errno: number, what: string, needs: number): string {
  const head = `perf_event_open(${what}): ${errnoName(errno)}`;
  switch (errnoName(errno)) {
    case "EACCES":
    case "EPERM": {
      const now = perfEventParanoid();
      if (now !== undefined && now > needs)
        return `${head}; set kernel.perf_event_paranoid ≤ ${needs} (now ${now}), or run as root`;
      return `${head}; run as root, or with CAP_PERFMON`;
    }
    case "ENOSYS":
      return `${head}; this kernel was built without perf events, or a container's seccomp filter hides them`;
    case "EMFILE":
      return `${head}; raise the limit of open files (ulimit -n)`;
    case "ESRCH":
      return `${head}; the process is gone`;
    case "ENOENT":
    case "EOPNOTSUPP":
    case "ENOTSUP":
      return `${head}; this machine has no such event`;
    default:
      return head;
  }
}
