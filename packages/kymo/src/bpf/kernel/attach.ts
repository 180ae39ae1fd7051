/**
 * Where programs go: for each attach kind the ways this kernel offers, the best first. A way says how the program is
 * loaded (its type and what it is bound to) and attaches it; what it returns are file descriptors, and closing them
 * detaches. Nothing is pinned, so nothing outlives the process.
 *
 * @see https://docs.kernel.org/bpf/libbpf/program_types.html, perf_event_open(2)
 */
import { readFileSync } from "node:fs";
import { errnoName } from "../../linux/errno.ts";
import type { Libc } from "../../linux/libc.ts";
import {
  explainPerfError,
  openPerfEvent,
  type PerfAttr,
  PerfIoctl,
  PerfSoftware,
  PerfType,
} from "../../linux/perf-event.ts";
import { onlineCpus, threadsOf } from "../../linux/proc.ts";
import { findOrMountTracefs } from "../../linux/tracefs.ts";
import type { AttachTarget } from "../program.ts";
import { AttachType, type Bpf, cString, ProgramType, programSleepable } from "./bpf.ts";
import { type Btf, BtfKind } from "./btf.ts";
import { type Features, kprobeType, uprobeType } from "./features.ts";
import { rawTracepointType } from "./tracepoints.ts";

/** How a program is loaded for its target, and attached once it is. */
export interface Way {
  readonly type: number;
  readonly attachType?: number;
  readonly attachBtfId?: number;
  readonly flags?: number;
  /** Adds each descriptor to `fds` as soon as it is open. @throws Error in words */
  attach(program: number, fds: number[]): void;
}

/** What decides between ways. */
export type AttachFeatures = Pick<
  Features,
  "uprobeMulti" | "uprobeSession" | "uprobe" | "kprobe" | "kprobeMulti"
>;

export interface AttachContext {
  readonly libc: Libc;
  readonly bpf: Bpf;
  readonly btf: Btf | undefined;
  readonly features: AttachFeatures;
}

/** @throws Error in words when this kernel has no way to attach there. */
export function wayTo(target: AttachTarget, context: AttachContext): Way {
  const { bpf, btf } = context;
  switch (target.kind) {
    case "tracepoint":
      return {
        type: ProgramType.tracepoint,
        attach: (program, fds) => {
          const config = tracepointId(context.libc, target.category, target.event);
          const attr = { ...event, type: PerfType.tracepoint, config };
          const what = `${target.category}:${target.event}`;
          attachToEvent(context.libc, program, attr, { pid: -1, cpu: firstCpu() }, what, fds);
        },
      };
    case "raw-tracepoint": {
      if (!target.btf)
        return {
          type: ProgramType.rawTracepoint,
          attach: (program, fds) => void fds.push(bpf.openRawTracepoint(program, target.event)),
        };
      const id = btf === undefined ? 0 : rawTracepointType(btf, target.event);
      return {
        ...tracing(AttachType.traceRawTp, id, target.event),
        attach: (program, fds) => void fds.push(bpf.openRawTracepoint(program)),
      };
    }
    case "fentry": {
      const id = btf?.find(target.function, BtfKind.function) ?? 0;
      const attachType = target.at === "entry" ? AttachType.traceFentry : AttachType.traceFexit;
      return {
        ...tracing(attachType, id, target.function),
        attach: (program, fds) => void fds.push(bpf.openRawTracepoint(program)),
      };
    }
    case "kprobe":
      return kprobe(target, context);
    case "uprobe":
      return uprobe(target, context);
    case "profile":
      return perfEvent(context, "cpu-clock", {
        ...event,
        type: PerfType.software,
        config: PerfSoftware.cpuClock,
        period: Math.max(1, Math.round(1e9 / target.hz)),
      });
    case "perf-event": {
      const { type, config, period } = target;
      return perfEvent(context, `event ${type}:${config}`, { ...event, type, config, period });
    }
    case "interval":
      return {
        type: ProgramType.perfEvent,
        attach: (program, fds) => {
          const attr = {
            ...event,
            type: PerfType.software,
            config: PerfSoftware.cpuClock,
            period: target.ns,
          };
          const place = { pid: -1, cpu: firstCpu() };
          attachToEvent(context.libc, program, attr, place, "interval", fds);
        },
      };
    case "watchpoint":
      return watchpoint(target, context);
    case "begin":
    case "end":
      return { type: ProgramType.rawTracepoint, attach: () => {} };
  }
}

function tracing(
  attachType: number,
  id: number,
  name: string,
): { readonly type: number; readonly attachType: number; readonly attachBtfId: number } {
  if (id === 0) throw new Error(`the kernel's BTF has no ${name}`);
  return { type: ProgramType.tracing, attachType, attachBtfId: id };
}

/** Starts disabled: a program is there before the first event. */
const event: PerfAttr = {
  type: PerfType.software,
  config: 0,
  period: 1,
  sampleType: 0,
  readFormat: 0,
  flags: ["disabled"],
};

interface Place {
  readonly pid: number;
  readonly cpu: number;
}

/**
 * A tracepoint's or probe's program is called on every CPU, whichever one the event is opened on; samples and
 * breakpoints are for the CPU or thread alone.
 */
function attachToEvent(
  libc: Libc,
  program: number,
  attr: PerfAttr,
  { pid, cpu }: Place,
  what: string,
  fds: number[],
): void {
  const fd = openPerfEvent(libc, attr, pid, cpu);
  if (fd < 0) throw new Error(explainPerfError(-fd, what, -1));
  fds.push(fd);
  const set = libc.ioctl(fd, PerfIoctl.setBpf, program);
  if (set < 0 && errnoName(-set) === "E2BIG")
    throw new Error(
      `the kernel has no room for another program at ${what}: 64 are the most; use one handler for several, or a raw tracepoint`,
    );
  check(set, `ioctl(set the program of ${what})`);
  check(libc.ioctl(fd, PerfIoctl.enable, 0), `ioctl(enable ${what})`);
}

function check(result: number, what: string): void {
  if (result < 0) throw new Error(`${what}: ${errnoName(-result)}`);
}

function firstCpu(): number {
  return onlineCpus()[0] ?? 0;
}

function tracepointId(libc: Libc, category: string, name: string): number {
  const tracefs = findOrMountTracefs(libc);
  if (!tracefs.ok) throw new Error(`${tracefs.reason}; ${tracefs.fix}`);
  return Number(readFileSync(`${tracefs.path}/events/${category}/${name}/id`, "utf8"));
}

function perfEvent(context: AttachContext, what: string, attr: PerfAttr): Way {
  return {
    type: ProgramType.perfEvent,
    attach: (program, fds) => {
      for (const cpu of onlineCpus())
        attachToEvent(context.libc, program, attr, { pid: -1, cpu }, `${what}, cpu ${cpu}`, fds);
    },
  };
}

type UprobeTarget = Extract<AttachTarget, { readonly kind: "uprobe" }>;

function uprobe(target: UprobeTarget, context: AttachContext): Way {
  const { features } = context;
  const flags = target.sleepable === true ? programSleepable : 0;
  if (target.at === "session") {
    const feature = features.uprobeSession;
    if (!feature.ok) throw new Error(feature.reason);
    return {
      type: ProgramType.kprobe,
      attachType: AttachType.uprobeSession,
      flags,
      attach: (program, fds) =>
        linkUprobes(context, program, target, AttachType.uprobeSession, fds),
    };
  }
  if (features.uprobeMulti.ok)
    return {
      type: ProgramType.kprobe,
      attachType: AttachType.uprobeMulti,
      flags,
      attach: (program, fds) => linkUprobes(context, program, target, AttachType.uprobeMulti, fds),
    };
  if (!features.uprobe.ok) throw new Error(features.uprobe.reason);
  if (target.cookies !== undefined && !target.cookies.every((one) => one === target.cookies![0]))
    throw new Error("probes whose places differ need uprobe_multi links (Linux 6.6)");
  return {
    type: ProgramType.kprobe,
    flags,
    attach: (program, fds) => perfUprobes(context, program, target, fds),
  };
}

/** Fields of bpf_attr.link_create.uprobe_multi. */
function linkUprobes(
  { bpf }: AttachContext,
  program: number,
  target: UprobeTarget,
  attachType: number,
  fds: number[],
): void {
  const { path, offsets, semaphores, cookies, pid } = target;
  const returns = 1;
  const link = bpf.createLink(program, 0, attachType, `to ${path}`, (attr, libc) => {
    attr.pointer(16, libc, cString(path)).pointer(24, libc, words(offsets));
    if (semaphores?.some((one) => one !== 0n)) attr.pointer(32, libc, words(semaphores));
    if (cookies !== undefined) attr.pointer(40, libc, words(cookies));
    attr.u32(48, offsets.length);
    attr.u32(52, target.at === "return" ? returns : 0);
    attr.u32(56, pid ?? 0);
  });
  fds.push(link);
}

function words(values: readonly bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}

function perfUprobes(
  { libc }: AttachContext,
  program: number,
  target: UprobeTarget,
  fds: number[],
): void {
  const type = Number(readFileSync(uprobeType, "utf8"));
  const path = cString(target.path);
  const place =
    target.pid === undefined ? { pid: -1, cpu: firstCpu() } : { pid: target.pid, cpu: -1 };
  for (const [index, offset] of target.offsets.entries()) {
    // Bit 0: at the return; the upper half: where the semaphore is.
    const config = (target.at === "return" ? 1n : 0n) | ((target.semaphores?.[index] ?? 0n) << 32n);
    const attr = { ...event, type, config, config1: libc.addressOf(path), config2: offset };
    const what = `${target.path}+0x${offset.toString(16)}`;
    attachToEvent(libc, program, attr, place, what, fds);
  }
}

type KprobeTarget = Extract<AttachTarget, { readonly kind: "kprobe" }>;

function kprobe(target: KprobeTarget, context: AttachContext): Way {
  const { libc, bpf, features } = context;
  const isReturn = target.at === "return";
  const name = cString(target.symbol);
  if (features.kprobeMulti.ok)
    return {
      type: ProgramType.kprobe,
      attachType: AttachType.kprobeMulti,
      attach: (program, fds) => {
        const names = BigUint64Array.of(libc.addressOf(name));
        const what = `to ${target.symbol}`;
        const link = bpf.createLink(program, 0, AttachType.kprobeMulti, what, (attr) =>
          attr
            .u32(16, isReturn ? 1 : 0)
            .u32(20, 1)
            .pointer(24, libc, new Uint8Array(names.buffer)),
        );
        fds.push(link);
      },
    };
  if (!features.kprobe.ok) throw new Error(features.kprobe.reason);
  return {
    type: ProgramType.kprobe,
    attach: (program, fds) => {
      const type = Number(readFileSync(kprobeType, "utf8"));
      const attr = { ...event, type, config: isReturn ? 1 : 0, config1: libc.addressOf(name) };
      const place = { pid: -1, cpu: firstCpu() };
      attachToEvent(libc, program, attr, place, target.symbol, fds);
    },
  };
}

type WatchpointTarget = Extract<AttachTarget, { readonly kind: "watchpoint" }>;

const breakpointTypes = { write: 2, "read-write": 3, execute: 4 } as const;

/** One breakpoint for each thread of the process; threads it makes later inherit it. */
function watchpoint(target: WatchpointTarget, { libc }: AttachContext): Way {
  return {
    type: ProgramType.perfEvent,
    attach: (program, fds) => {
      const threads = threadsOf(target.pid);
      if (threads.length === 0) throw new Error(`there is no process ${target.pid}`);
      const attr: PerfAttr = {
        ...event,
        type: PerfType.breakpoint,
        flags: ["disabled", "inherit"],
        breakpointType: breakpointTypes[target.access],
        config1: target.address,
        // Code is watched by the word.
        config2: target.access === "execute" ? 8n : BigInt(target.bytes),
      };
      const what = `watchpoint at 0x${target.address.toString(16)}`;
      for (const pid of threads) attachToEvent(libc, program, attr, { pid, cpu: -1 }, what, fds);
    },
  };
}
