/**
 * A probe session on its way into the kernel:
 *
 *     lang/      probe files ─► ProbeSet: what the user wrote, resolved, typed, lowered
 *     codegen/   Handler ─► Program: instructions, with maps still by name
 *     kernel/    makes the maps, loads the programs, attaches them; closing a file descriptor undoes each
 *     sources/bpf/  drains the ring in the capture worker: records + sites ─► TraceSink; reads aggregations
 */
import type { Handler, MapSpec, SourceAt, SourceFile } from "./ir.ts";
import type { Field, ForeignRecord, Site } from "./site.ts";

/** Where a program is attached; one for each attach kind. Everything a user could get wrong was checked before. */
export type AttachTarget =
  | { readonly kind: "tracepoint"; readonly category: string; readonly event: string }
  /** BTF-typed raw tracepoint where the kernel has BTF (programs of type tracing), plain otherwise. */
  | { readonly kind: "raw-tracepoint"; readonly event: string; readonly btf: boolean }
  | {
      readonly kind: "uprobe";
      readonly path: string;
      /** File offsets of the places. */
      readonly offsets: readonly bigint[];
      /** "session": one program for entry and return (bpf_session_is_return tells which). */
      readonly at: "entry" | "return" | "session";
      /** Only this process. */
      readonly pid?: number;
      /** USDT: file offset of each place's semaphore, 0n for none. */
      readonly semaphores?: readonly bigint[];
      /** One for each offset, read with bpf_get_attach_cookie. */
      readonly cookies?: readonly bigint[];
      /** May fault pages in: bpf_copy_from_user works. */
      readonly sleepable?: boolean;
    }
  | { readonly kind: "kprobe"; readonly symbol: string; readonly at: "entry" | "return" }
  | { readonly kind: "fentry"; readonly function: string; readonly at: "entry" | "return" }
  /** CPU-clock samples on every CPU, `hz` times a second, or an event of perf counted to `period`. */
  | { readonly kind: "profile"; readonly hz: number }
  | {
      readonly kind: "perf-event";
      readonly type: number;
      readonly config: number;
      readonly period: number;
    }
  /** Once every so many ns, on one CPU. */
  | { readonly kind: "interval"; readonly ns: number }
  | {
      readonly kind: "watchpoint";
      readonly pid: number;
      readonly address: bigint;
      readonly bytes: 1 | 2 | 4 | 8;
      readonly access: "write" | "read-write" | "execute";
    }
  /** Run once by kymo itself with BPF_PROG_TEST_RUN: before everything else is attached, or after it is detached. */
  | { readonly kind: "begin" }
  | { readonly kind: "end" };

/** A handler and where it goes. */
export interface Probe {
  /** As the user would name it: `tracepoint:sched:sched_switch`. */
  readonly label: string;
  readonly target: AttachTarget;
  readonly handler: Handler;
  readonly at?: SourceAt;
}

/** How a map's contents are read out and shown; what its keys and values mean is in aggregation.ts. */
export interface Aggregation {
  readonly map: MapSpec;
  readonly name: string;
  readonly kind: "count" | "sum" | "avg" | "min" | "max" | "hist" | "lhist" | "quantize";
  /**
   * Parts of the key, in order; empty: a single value, in an array map. Offsets are in the key's bytes. The bucket of
   * hist, lhist and quantize is none of them.
   */
  readonly key: readonly Field[];
  /** In the key: the process whose stacks and symbols are among its parts. */
  readonly pid?: Field;
  /** What the key's parts are called, one for each, where the user said it. */
  readonly keyNames?: readonly string[];
  /** lhist: from, to, width of a bucket. */
  readonly buckets?: { readonly from: bigint; readonly to: bigint; readonly width: bigint };
  readonly unit?: string;
  /** ns between read-outs that become counter values on the timeline. */
  readonly everyNs: number;
  /** The counter values are those of a period, not totals, and each period is told when it ends. */
  readonly periods?: true;
}

export interface ProbeSet {
  readonly files: readonly SourceFile[];
  readonly probes: readonly Probe[];
  readonly sites: readonly Site[];
  readonly eventTypes: readonly {
    readonly name: string;
    readonly fields: readonly {
      readonly name: string;
      readonly type: "int" | "real" | "text" | "bool" | "bytes";
      readonly unit?: string;
    }[];
  }[];
  readonly aggregations: readonly Aggregation[];
  /** Every map that a handler uses, the ring and the losses among them. */
  readonly maps: readonly MapSpec[];
  readonly ring: MapSpec;
  readonly losses: MapSpec;
  /** What could not be had here and was left out, for the user. */
  readonly notes: readonly string[];
  /** The same files and arguments give the same set again, as far as it is the kernel's that are probed. */
  readonly repeatable?: boolean;
  /** Instead of sites: all records of the ring are of this struct (objects of other compilers). */
  readonly foreign?: ForeignRecord;
}

/** Instructions as the kernel takes them, but for file descriptors of maps and BTF ids of kernel functions. */
export interface Program {
  readonly name: string;
  /** 8 bytes each. */
  readonly instructions: Uint8Array;
  /** Instructions whose immediate is the file descriptor of a map (index into `Handler.maps`). */
  readonly mapReferences: readonly { readonly instruction: number; readonly map: number }[];
  readonly kfuncReferences: readonly { readonly instruction: number; readonly name: string }[];
  /** Ascending: from this instruction on, until the next entry. */
  readonly lines: readonly { readonly instruction: number; readonly at: SourceAt }[];
  readonly stackBytes: number;
  /** Where each function begins, ascending from 0, of a program of several: the kernel wants to know which may be called back. */
  readonly functions?: readonly { readonly instruction: number; readonly name: string }[];
}

/** An error of the user's, at a place in the user's file. */
export class ProbeError extends Error {
  override readonly name = "ProbeError";
  readonly file: string | undefined;
  /** 1-based. */
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly fix: string | undefined;
  /** `message` without the place; `toString()` gives `file:line:column: message`. */
  constructor(
    message: string,
    place?: { readonly file: SourceFile; readonly offset: number },
    fix?: string,
  ) {
    super(message);
    this.fix = fix;
    if (place === undefined) return;
    this.file = place.file.path;
    const before = place.file.text.slice(0, place.offset);
    this.line = before.split("\n").length;
    this.column = place.offset - (before.lastIndexOf("\n") + 1) + 1;
  }
  override toString(): string {
    return this.file === undefined
      ? this.message
      : `${this.file}:${this.line}:${this.column}: ${this.message}`;
  }
}
