import type { OptionTable } from "../../source.ts";

export interface PerfOptions {
  /** Scheduling of all CPUs, or of the target's own threads where only that is allowed. */
  readonly sched: boolean;
  /** System calls of the target and its descendants, as slices. */
  readonly syscalls: boolean;
  /** CPU samples with kernel and user stacks. */
  readonly samples: boolean;
  /** Samples a second and CPU. */
  readonly freq: number;
  /** MiB of ring buffer a CPU. */
  readonly bufferMb: number;
  /** Resident memory of the target's processes, ten times a second. */
  readonly counters: boolean;
  /** Signals as they are delivered. */
  readonly signals: boolean;
  /** Samples and signals of every process. */
  readonly all: boolean;
  /** System calls that mark an event (mark-calls.ts) are left out: a probe records what they say. */
  readonly marks?: boolean;
  /** The target: this process and its descendants. 0: none. */
  readonly pid: number;
  /** The target waits to execute its program: its own events start with that. */
  readonly launched: boolean;
}

export const perfOptions: OptionTable<PerfOptions> = {
  sched: { help: "record scheduling: switches and wakeups", default: true },
  syscalls: { help: "record system calls of the target and its descendants", default: true },
  samples: { help: "sample stacks of running threads", default: true },
  freq: { help: "samples a second and CPU", default: 999 },
  bufferMb: { help: "MiB of ring buffer a CPU (a power of two)", default: 16 },
  counters: { help: "record resident memory of the target's processes", default: true },
  signals: { help: "record signals as they are delivered", default: true },
  all: { help: "sample every process, not only the target", default: false },
  marks: { help: "leave out system calls that mark an event", default: false },
  pid: { help: "the process to record, with its descendants", default: 0 },
  launched: { help: "the target waits to execute its program", default: false },
};

/** 16 MiB a CPU, less on machines where that would lock more than 512 MiB. */
export function defaultBufferMb(cpuCount: number): number {
  let megabytes = 16;
  while (megabytes > 1 && megabytes * cpuCount > 512) megabytes /= 2;
  return megabytes;
}
