/**
 * What a record in the ring means. Each place in a handler that emits has one fixed layout, made by the compiler,
 * read by the decoder. Plain data: it crosses to the worker that drains the ring.
 *
 *     record:  site u32 @0 · tid u32 @4 · time u64 @8 (CLOCK_MONOTONIC) · fields …        (headerBytes 16, 8-aligned)
 *
 * The header's tid is that of the current thread (low half of bpf_get_current_pid_tgid); sites whose track or args need
 * the process too have a field for it.
 */
import type { MapSpec, SourceAt } from "./ir.ts";

export const recordHeaderBytes = 16;
export const recordAt = { site: 0, tid: 4, time: 8 } as const;

/** Where a value lies in the record, and how to read it. */
export type Field =
  | { readonly type: "int" | "uint"; readonly offset: number; readonly bytes: 1 | 2 | 4 | 8 }
  | { readonly type: "bool"; readonly offset: number; readonly bytes: 1 }
  /**
   * NUL-terminated inside `bytes`, or all of it. `late`: not 0 when the program could not read it, because its page was not in
   * memory: where it is in that of the current process, for whoever decodes to read.
   */
  | {
      readonly type: "text";
      readonly offset: number;
      readonly bytes: number;
      readonly late?: Field;
    }
  /** Raw bytes of fixed length. */
  | { readonly type: "bytes"; readonly offset: number; readonly bytes: number }
  /**
   * Return addresses as bpf_get_stack gives them: i64 byte count (< 0: −errno) at `offset`, then u64 addresses, innermost
   * first. `bytes` is the whole field.
   */
  | {
      readonly type: "kernel-stack" | "user-stack";
      readonly offset: number;
      readonly bytes: number;
    }
  /** Shown by name: a syscall number, an errno, a signal, a member of an enum. */
  | {
      readonly type: "name";
      readonly of: "syscall" | "errno" | "signal" | "symbol";
      readonly offset: number;
      readonly bytes: 4 | 8;
    }
  /** One of these texts, by its index: a choice between strings that were known beforehand. Past the last: empty. */
  | {
      readonly type: "choice";
      readonly offset: number;
      readonly bytes: 1 | 2;
      readonly texts: readonly string[];
    }
  /** What bpf_get_stackid gave: a key of the stack-trace map (a map of the ProbeSet), or −errno. */
  | {
      readonly type: "stack-id";
      readonly stack: "kernel" | "user";
      readonly offset: number;
      readonly bytes: 4 | 8;
      readonly map: MapSpec;
    }
  /** IPv4/IPv6 address, 4 or 16 bytes in network order; an IPv4 address may come mapped into 16 (::ffff:a.b.c.d). */
  | { readonly type: "address"; readonly offset: number; readonly bytes: 4 | 16 };

/** A value known when the probe was compiled, or a field. */
export type Value =
  | { readonly type: "const-text"; readonly value: string }
  | { readonly type: "const-int"; readonly value: bigint }
  | Field;

/** `thread`, `process` and `cpu` without a field mean the current one. */
export type TrackSelector =
  | { readonly kind: "thread"; readonly tid?: Field }
  | { readonly kind: "process"; readonly pid?: Field }
  | { readonly kind: "cpu"; readonly cpu?: Field }
  /** A track of its own name; with a key, one for each key: `name key`. `under`: where it hangs. */
  | {
      readonly kind: "named";
      readonly name: string;
      readonly key?: readonly Value[];
      readonly under: "host" | "process" | "thread";
    };

export interface SiteArg {
  readonly key: string;
  readonly value: Value;
  readonly unit?: string;
}

interface SiteBase {
  readonly id: number;
  readonly bytes: number;
  /** For losses and messages: the probe's name. */
  readonly label: string;
  readonly at?: SourceAt;
  /** The current process id (tgid), always present where `thread` or `process` is used. */
  readonly pid?: Field;
  /** The current CPU, where it is needed. */
  readonly cpu?: Field;
}

export type Site = SiteBase &
  (
    | {
        readonly kind: "instant" | "begin" | "end";
        readonly track: TrackSelector;
        /** Not for "end". */
        readonly name: Value;
        readonly category: string;
        readonly args: readonly SiteArg[];
        readonly flow?: { readonly id: Field; readonly step: "start" | "step" | "end" };
        /** Begin and end of a function's span: the same number. What is open inside of it ends with it. */
        readonly call?: number;
      }
    /** From `start` (ns, absolute monotonic) to the record's time, or for `duration` ns. */
    | {
        readonly kind: "slice";
        readonly track: TrackSelector;
        readonly name: Value;
        readonly category: string;
        readonly start: Field;
        readonly duration?: Field;
        readonly args: readonly SiteArg[];
        readonly flow?: { readonly id: Field; readonly step: "start" | "step" | "end" };
      }
    | {
        readonly kind: "counter";
        readonly track: TrackSelector;
        readonly name: Value;
        readonly unit?: string;
        readonly value: Field;
      }
    /** Binds a flow to the innermost slice that is open on the track. */
    | {
        readonly kind: "flow";
        readonly track: TrackSelector;
        readonly flow: { readonly id: Field; readonly step: "start" | "step" | "end" };
      }
    /** An event in words, on the current thread: `kymo:start:NAME` (sources/bpf/mark-text.ts). Any other text is none. */
    | {
        readonly kind: "mark";
        readonly text: Value;
      }
    /** A stack of the current thread: drawn as its CPU samples are. `weight` in ns. */
    | {
        readonly kind: "sample";
        readonly stacks: readonly Field[];
        readonly weight: number;
      }
    /** Scheduling, as TraceSink.switch and waking. */
    | {
        readonly kind: "switch";
        readonly previous: Field;
        readonly previousPid: Field;
        readonly previousName?: Field;
        /** Bits of the kernel's task state; 0: preempted. */
        readonly state: Field;
        readonly next: Field;
        readonly nextPid: Field;
        readonly nextName?: Field;
        readonly priority: Field;
      }
    | {
        readonly kind: "waking";
        readonly thread: Field;
        readonly targetCpu: Field;
        /** Woken from an interrupt: there is no waker. */
        readonly interrupt: Field;
      }
    /** A row of a declared event type's table. */
    | {
        readonly kind: "typed";
        readonly eventType: string;
        readonly track: TrackSelector;
        readonly args: readonly SiteArg[];
      }
    /** A line on the terminal: values between the pieces of the template; also a log event of the trace. */
    | {
        readonly kind: "print";
        readonly pieces: readonly string[];
        readonly values: readonly Value[];
      }
  );

/**
 * What the ring holds when another compiler made the program: one struct, without our header. A record without a time has
 * that of its draining; without a thread it is on a track of the struct's name.
 */
export interface ForeignRecord {
  readonly name: string;
  readonly bytes: number;
  /** ns of CLOCK_MONOTONIC; with `duration` (ns), the start of a slice. */
  readonly time?: Field;
  readonly duration?: Field;
  readonly thread?: Field;
  readonly process?: Field;
  /** Names the event, in place of the struct's name. */
  readonly label?: Field;
  readonly args: readonly SiteArg[];
}
