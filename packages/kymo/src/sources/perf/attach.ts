/**
 * Opens the kernel's events for a recording and maps a ring for each CPU.
 *
 * With privileges (root, CAP_PERFMON, perf_event_paranoid −1) every CPU is recorded whole: scheduling of all threads,
 * samples everywhere, system calls of the target tree only. Without, only the target's own threads: when they come and
 * go, and their user-space stacks.
 *
 *     for each CPU:  side band (comm, fork, exit, mmap2; it owns the ring) ◄─ set_output ─ sched, syscalls, samples, …
 */
import { errnoName } from "../../linux/errno.ts";
import type { EventFormat } from "../../linux/event-format.ts";
import { CLOCK_MONOTONIC, type Libc } from "../../linux/libc.ts";
import {
  explainPerfError,
  openPerfEvent,
  type PerfAttr,
  type PerfFlag,
  PerfIoctl,
  PerfSoftware,
  PerfType,
  ReadFormatLost,
  SampleType,
} from "../../linux/perf-event.ts";
import { PerfRing } from "../../linux/perf-ring.ts";
import { findOrMountTracefs, readEventFormat } from "../../linux/tracefs.ts";
import type { EventKind } from "./decode.ts";
import {
  execLayout,
  signalLayout,
  switchLayout,
  syscallEnterLayout,
  syscallExitLayout,
  wakingLayout,
} from "./layout.ts";
import type { PerfOptions } from "./options.ts";
import { commonSampleType } from "./records.ts";

/** Recording is not possible at all; `fix` says what would change that. */
export class AttachError extends Error {
  override readonly name = "AttachError";
  readonly fix: string | undefined;
  constructor(message: string, fix?: string) {
    super(message);
    this.fix = fix;
  }
}

export interface Attached {
  /** "system": all threads' scheduling; "target": only what the target itself does. */
  readonly scope: "system" | "target";
  readonly rings: readonly PerfRing[];
  /** By the low half of the kernel's id. */
  readonly events: ReadonlyMap<number, EventKind>;
  /** What is not recorded, and why, for the user. */
  readonly notes: readonly string[];
  /** Starts all events that don't start with the target's exec. */
  enable(): void;
  disable(): void;
  /** Turns the second report of a CPU's switches on or off; on at first (see idle.ts). Costs the CPU two records a switch. */
  watchIdle(cpu: number, on: boolean): void;
  /** Records lost so far on a CPU, by the kernel's own count; 0 where it doesn't count (before Linux 6.0). */
  lostOn(cpu: number): number;
  /** Unmaps and closes everything. */
  close(): void;
}

/** A wanted event, before it is known whether the kernel gives it. */
interface Wanted {
  readonly what: string;
  readonly kind: EventKind;
  readonly type: number;
  readonly config: number;
  readonly period: number;
  readonly sampleType: number;
  readonly flags: readonly PerfFlag[];
  /** "cpu": everything on the CPU; "target": the target's threads and what they fork. */
  readonly scope: "cpu" | "target";
  /** The highest perf_event_paranoid at which users may have it. */
  readonly paranoid: number;
}

/** Switches as side-band records: who, but neither priority nor state. */
const contextSwitches: Wanted = {
  what: "scheduling",
  kind: { kind: "side-band" },
  type: PerfType.software,
  config: PerfSoftware.dummy,
  period: 1,
  sampleType: 0,
  flags: ["contextSwitch"],
  scope: "cpu",
  paranoid: 0,
};

/** @throws AttachError when nothing can be recorded. */
export function attach(
  libc: Libc,
  options: PerfOptions,
  cpus: readonly number[],
  targetTids: readonly number[],
): Attached {
  const opener = new Opener(libc, options, cpus, targetTids);
  try {
    return opener.attach();
  } catch (error) {
    opener.close();
    throw error;
  }
}

class Opener {
  readonly #libc: Libc;
  readonly #options: PerfOptions;
  readonly #cpus: readonly number[];
  readonly #tids: readonly number[];
  readonly #events = new Map<number, EventKind>();
  readonly #notes: string[] = [];
  readonly #files: { readonly fd: number; readonly cpu: number; readonly onExec: boolean }[] = [];
  #rings: PerfRing[] = [];
  /** By CPU: the file of the event that reports switches once more, in another way. */
  readonly #idleWatches = new Map<number, number>();
  /** The file of each CPU that owns its ring. */
  readonly #owners = new Map<number, number>();
  #readFormat = ReadFormatLost;
  #buildIds = true;

  constructor(libc: Libc, options: PerfOptions, cpus: readonly number[], tids: readonly number[]) {
    this.#libc = libc;
    this.#options = options;
    this.#cpus = cpus;
    this.#tids = tids;
  }

  attach(): Attached {
    const scope = this.#openSideBand();
    const formats = this.#formats(scope);
    const wanted = [
      ...this.#scheduling(scope, formats),
      ...this.#syscalls(scope, formats),
      ...this.#samples(scope),
    ];
    for (const event of wanted) this.#openAll(event);
    if ([...this.#events.values()].some(({ kind }) => kind === "switch")) this.#openIdleWatches();
    else if (scope === "system" && this.#options.sched) this.#openAll(contextSwitches);
    this.#mapRings();
    this.#redirect();
    return {
      scope,
      rings: this.#rings,
      events: this.#events,
      notes: this.#notes,
      enable: () => this.#ioctlAll(PerfIoctl.enable, (file) => !file.onExec),
      disable: () => this.#ioctlAll(PerfIoctl.disable, () => true),
      watchIdle: (cpu, on) => this.#watchIdle(cpu, on),
      lostOn: (cpu) => this.#lostOn(cpu),
      close: () => this.close(),
    };
  }

  close(): void {
    for (const ring of this.#rings) ring.unmap();
    this.#rings = [];
    for (const { fd } of this.#files) this.#libc.close(fd);
    this.#files.length = 0;
  }

  /** The first event of each CPU. Whether it may see the whole CPU decides the scope of the recording. */
  #openSideBand(): "system" | "target" {
    const flags: readonly PerfFlag[] = ["comm", "commExec", "task", "mmap", "mmap2"];
    const sideBand: Wanted = {
      what: "side band",
      kind: { kind: "side-band" },
      type: PerfType.software,
      config: PerfSoftware.dummy,
      period: 1,
      sampleType: 0,
      flags,
      scope: "cpu",
      paranoid: 0,
    };
    const probe = this.#tryFeatures(sideBand);
    if (probe >= 0) {
      this.#libc.close(probe);
      const needsSwitches = this.#options.sched && !findOrMountTracefs(this.#libc).ok;
      this.#openAll(needsSwitches ? { ...sideBand, flags: [...flags, "contextSwitch"] } : sideBand);
      return "system";
    }
    const refused = explainPerfError(-probe, `cpu ${this.#cpus[0]}`, sideBand.paranoid);
    const code = errnoName(-probe);
    if (code !== "EACCES" && code !== "EPERM") throw new AttachError(refused);
    if (this.#tids.length === 0)
      throw new AttachError(
        refused,
        "run as root to record the whole system, or name a target: kymo record -- COMMAND",
      );
    const own: Wanted = {
      ...sideBand,
      scope: "target",
      paranoid: 2,
      flags: [
        ...flags,
        "excludeKernel",
        ...(this.#options.sched ? (["contextSwitch"] as const) : []),
      ],
    };
    this.#notes.push(`only the target's own threads are recorded: ${refused}`);
    const failure = this.#openAll(own);
    if (failure !== undefined) throw new AttachError(failure, "see docs/permissions.md");
    return "target";
  }

  /** Opened last, so that it is enabled last: each switch it reports should have been a sched_switch before. */
  #openIdleWatches(): void {
    const first = this.#files.length;
    this.#openAll(contextSwitches);
    for (const { cpu, fd } of this.#files.slice(first)) this.#idleWatches.set(cpu, fd);
  }

  /** Off is closed, not disabled: as long as such an event exists anywhere, every switch of the machine costs more. */
  #watchIdle(cpu: number, on: boolean): void {
    const fd = this.#idleWatches.get(cpu);
    if (!on && fd !== undefined) {
      this.#idleWatches.delete(cpu);
      const at = this.#files.findIndex((file) => file.fd === fd);
      if (at >= 0) this.#files.splice(at, 1);
      this.#libc.close(fd);
    }
    if (!on || fd !== undefined) return;
    const reopened = openPerfEvent(this.#libc, this.#attr(contextSwitches), -1, cpu);
    if (reopened < 0) return; // that CPU's way out of idle stays unknown, as it is without a watch
    this.#files.push({ fd: reopened, cpu, onExec: false });
    this.#idleWatches.set(cpu, reopened);
    this.#libc.ioctl(reopened, PerfIoctl.setOutput, this.#owners.get(cpu)!);
    this.#libc.ioctl(reopened, PerfIoctl.enable, 0);
  }

  /** Newer kernels know build ids in mappings and count losses: asks for less where they are not known. */
  #tryFeatures(event: Wanted): number {
    for (;;) {
      const fd = openPerfEvent(this.#libc, this.#attr(event), -1, this.#cpus[0]!);
      if (fd >= 0 || errnoName(-fd) !== "EINVAL") return fd;
      if (this.#readFormat !== 0) this.#readFormat = 0;
      else if (this.#buildIds) this.#buildIds = false;
      else return fd;
    }
  }

  #attr(event: Wanted): PerfAttr {
    const flags: PerfFlag[] = [
      "disabled",
      "sampleIdAll",
      "useClockid",
      "watermark",
      ...event.flags,
    ];
    if (event.scope === "target") flags.push("inherit");
    if (this.#startsOnExec(event)) flags.push("enableOnExec");
    if (event.flags.includes("mmap2") && this.#buildIds) flags.push("buildId");
    return {
      type: event.type,
      config: event.config,
      period: event.period,
      sampleType: commonSampleType | event.sampleType,
      readFormat: this.#readFormat,
      flags,
      wakeupBytes: 0x7fff_ffff, // nobody waits on a ring: they are drained on a timer
      clock: CLOCK_MONOTONIC,
    };
  }

  #startsOnExec(event: Wanted): boolean {
    return event.scope === "target" && this.#options.launched;
  }

  /**
   * Opens an event on every CPU (and, in scope "target", for every thread of the target).
   * @returns the words of the failure when no CPU has it; noted for the user as well, except for the side band.
   */
  #openAll(event: Wanted): string | undefined {
    const attr = this.#attr(event);
    const tids = event.scope === "cpu" ? [-1] : this.#tids;
    let opened = 0;
    let failure: string | undefined;
    for (const cpu of this.#cpus)
      for (const tid of tids) {
        const fd = openPerfEvent(this.#libc, attr, tid, cpu);
        if (fd < 0) {
          if (errnoName(-fd) === "ESRCH" && tids.length > 1) continue; // that thread has ended meanwhile
          failure ??= explainPerfError(-fd, `${event.what}, cpu ${cpu}`, event.paranoid);
          if (errnoName(-fd) === "EMFILE") throw new AttachError(failure);
          continue;
        }
        const id = new BigUint64Array(1);
        const bytes = new Uint8Array(id.buffer);
        this.#files.push({ fd, cpu, onExec: this.#startsOnExec(event) });
        if (!this.#owners.has(cpu)) this.#owners.set(cpu, fd);
        this.#readId(fd, bytes);
        this.#events.set(Number(id[0]! & 0xffff_ffffn), event.kind);
        opened++;
      }
    if (opened > 0) return undefined;
    failure ??= `the target is gone`;
    if (event.kind.kind !== "side-band") this.#notes.push(`no ${event.what}: ${failure}`);
    return failure;
  }

  #readId(fd: number, into: Uint8Array): void {
    const result = this.#libc.ioctlBytes(fd, PerfIoctl.id, into);
    if (result < 0) throw new AttachError(`ioctl(PERF_EVENT_IOC_ID): ${errnoName(-result)}`);
  }

  #formats(scope: "system" | "target"): (event: string) => EventFormat | undefined {
    const tracefs = findOrMountTracefs(this.#libc);
    if (!tracefs.ok) {
      if (scope === "system" || this.#options.syscalls)
        this.#notes.push(
          `no ${scope === "system" ? "wakeups, task states or system calls" : "system calls"}: ${tracefs.reason}; ${tracefs.fix}`,
        );
      return () => undefined;
    }
    if (tracefs.note !== undefined) this.#notes.push(tracefs.note);
    return (event) => readEventFormat(tracefs.path, event);
  }

  #tracepoint(
    what: string,
    format: EventFormat | undefined,
    kindOf: (format: EventFormat) => EventKind,
    scope: Wanted["scope"],
    paranoid = -1,
  ): Wanted[] {
    if (format === undefined) return [];
    let kind: EventKind;
    try {
      kind = kindOf(format);
    } catch (error) {
      this.#notes.push(`no ${what}: ${(error as Error).message}`);
      return [];
    }
    const base = { what, kind, scope, paranoid, type: PerfType.tracepoint, config: format.id };
    return [{ ...base, period: 1, sampleType: SampleType.raw, flags: [] }];
  }

  #scheduling(
    scope: "system" | "target",
    format: (event: string) => EventFormat | undefined,
  ): Wanted[] {
    if (scope === "target") return []; // the side band has the target's switches; tracepoints are root's
    const waking = (f: EventFormat): EventKind => ({ kind: "waking", layout: wakingLayout(f) });
    const events = [
      ...this.#tracepoint(
        "programs started",
        format("sched/sched_process_exec"),
        (f) => ({ kind: "exec", layout: execLayout(f) }),
        "cpu",
      ),
      ...(this.#options.signals
        ? this.#tracepoint(
            "signals",
            format("signal/signal_deliver"),
            (f) => ({ kind: "signal", layout: signalLayout(f) }),
            "cpu",
          )
        : []),
    ];
    if (!this.#options.sched) return events;
    return [
      ...this.#tracepoint(
        "scheduling",
        format("sched/sched_switch"),
        (f) => ({ kind: "switch", layout: switchLayout(f) }),
        "cpu",
      ),
      ...this.#tracepoint("wakeups", format("sched/sched_waking"), waking, "cpu"),
      ...this.#tracepoint(
        "wakeups of new threads",
        format("sched/sched_wakeup_new"),
        waking,
        "cpu",
      ),
      ...events,
    ];
  }

  #syscalls(
    scope: "system" | "target",
    format: (event: string) => EventFormat | undefined,
  ): Wanted[] {
    if (!this.#options.syscalls || this.#tids.length === 0) return [];
    const paranoid = scope === "system" ? -1 : 1;
    return [
      ...this.#tracepoint(
        "system calls",
        format("raw_syscalls/sys_enter"),
        (f) => ({ kind: "syscall-enter", layout: syscallEnterLayout(f) }),
        "target",
        paranoid,
      ),
      ...this.#tracepoint(
        "ends of system calls",
        format("raw_syscalls/sys_exit"),
        (f) => ({ kind: "syscall-exit", layout: syscallExitLayout(f) }),
        "target",
        paranoid,
      ),
    ];
  }

  #samples(scope: "system" | "target"): Wanted[] {
    if (!this.#options.samples) return [];
    const periodNs = Math.round(1e9 / this.#options.freq);
    const event = {
      what: "CPU samples",
      kind: { kind: "sample", periodNs } as const,
      type: PerfType.software,
      config: PerfSoftware.cpuClock,
      period: periodNs,
      sampleType: SampleType.callchain,
    };
    if (scope === "system")
      return [{ ...event, flags: ["excludeIdle"], scope: "cpu", paranoid: 0 }];
    // Kernel frames are a privilege (perf_event_paranoid ≤ 1): where they are refused, user space alone.
    const withKernel: Wanted = { ...event, flags: [], scope: "target", paranoid: 1 };
    const probe = openPerfEvent(this.#libc, this.#attr(withKernel), this.#tids[0]!, this.#cpus[0]!);
    if (probe >= 0) {
      this.#libc.close(probe);
      return [withKernel];
    }
    this.#notes.push(
      `CPU samples show user space only: ${explainPerfError(-probe, "kernel samples", 1)}`,
    );
    return [{ ...withKernel, flags: ["excludeKernel", "excludeCallchainKernel"], paranoid: 2 }];
  }

  /** All rings have one size: what was asked for, or the largest that the user may lock. */
  #mapRings(): void {
    const pageBytes = this.#libc.pageBytes;
    let dataBytes = pageBytes;
    while (dataBytes * 2 <= this.#options.bufferMb * 2 ** 20) dataBytes *= 2;
    const wantedBytes = dataBytes;
    for (;;) {
      let errno = 0;
      for (const [cpu, fd] of this.#owners) {
        const ring = PerfRing.map(this.#libc, fd, cpu, dataBytes);
        if (typeof ring === "number") {
          errno = -ring;
          break;
        }
        this.#rings.push(ring);
      }
      if (errno === 0) break;
      for (const ring of this.#rings) ring.unmap();
      this.#rings = [];
      const code = errnoName(errno);
      if ((code !== "EPERM" && code !== "ENOMEM") || dataBytes <= pageBytes)
        throw new AttachError(
          `mmap(ring buffers of ${dataBytes >> 10} KiB): ${code}`,
          code === "EPERM" ? "raise kernel.perf_event_mlock_kb, or ulimit -l" : undefined,
        );
      dataBytes /= 2;
    }
    if (dataBytes < wantedBytes)
      this.#notes.push(
        `ring buffers of ${dataBytes >> 10} KiB a CPU, not ${wantedBytes >> 10}: more memory may not be locked; raise kernel.perf_event_mlock_kb or ulimit -l`,
      );
  }

  #redirect(): void {
    for (const { fd, cpu } of this.#files) {
      const owner = this.#owners.get(cpu)!;
      if (fd === owner) continue;
      const result = this.#libc.ioctl(fd, PerfIoctl.setOutput, owner);
      if (result < 0)
        throw new AttachError(
          `ioctl(PERF_EVENT_IOC_SET_OUTPUT, cpu ${cpu}): ${errnoName(-result)}`,
        );
    }
  }

  #ioctlAll(request: number, which: (file: { readonly onExec: boolean }) => boolean): void {
    for (const file of this.#files) if (which(file)) this.#libc.ioctl(file.fd, request, 0);
  }

  #lostOn(cpu: number): number {
    if (this.#readFormat === 0) return 0;
    const values = new BigUint64Array(2); // { value, lost }
    const bytes = new Uint8Array(values.buffer);
    let lost = 0;
    for (const file of this.#files)
      if (file.cpu === cpu && this.#libc.read(file.fd, bytes) === 16) lost += Number(values[1]!);
    return lost;
  }
}
