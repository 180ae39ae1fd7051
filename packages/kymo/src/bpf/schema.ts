/**
 * What the kernel says about its types and events, as the compiler asks for it. `kernel/` answers from BTF, tracefs and
 * ELF files of this machine; tests answer from a table.
 */
import type { IntType, MemoryKind } from "./ir.ts";
import type { AttachTarget } from "./program.ts";

/** A C type, resolved as far as it has been looked at (members on demand). */
export type CType =
  | { readonly kind: "int"; readonly type: IntType; readonly name: string }
  | { readonly kind: "bool" }
  | {
      readonly kind: "enum";
      readonly type: IntType;
      readonly name: string;
      readonly members: ReadonlyMap<string, bigint>;
    }
  | { readonly kind: "pointer"; readonly to: CType }
  | {
      readonly kind: "array";
      readonly of: CType;
      readonly length: number;
      readonly elementBytes: number;
    }
  /** A struct or union. */
  | {
      readonly kind: "struct";
      readonly name: string;
      readonly bytes: number;
      /** Anonymous inner structs are looked through. */
      member(name: string): Member | undefined;
      /** Names of all members, for "did you mean". */
      readonly members: () => readonly string[];
    }
  /** Pointed-to only: no size, nothing to read. */
  | { readonly kind: "opaque"; readonly name: string }
  /** char[], or what a char * points at: NUL-terminated text. `bytes` undefined: of unknown length. */
  | { readonly kind: "chars"; readonly bytes?: number };

export interface Member {
  readonly type: CType;
  /** From the start of the struct. */
  readonly bitOffset: number;
  /** Of a bit field, else undefined. */
  readonly bitSize?: number;
}

export type FieldAccess =
  | { readonly how: "load"; readonly offset: number; readonly type: IntType }
  /** The field lies in the context itself (char[16]). */
  | { readonly how: "inline"; readonly offset: number }
  /** __data_loc: u32 at `offset`, low half the text's offset in the context, high half its length. */
  | { readonly how: "dataLocation"; readonly offset: number; readonly relative: boolean }
  /**
   * load(load(context + offset) + displacement): arguments of a system call behind struct pt_regs (`memory` is "direct" where
   * the target has BTF, else "kernel"), arguments of a static probe in the program's memory ("user").
   */
  | {
      readonly how: "indirect";
      readonly offset: number;
      readonly displacement: number;
      readonly type: IntType;
      readonly memory: MemoryKind;
    }
  /** Always this: an argument of a static probe that the compiler knew. */
  | { readonly how: "constant"; readonly value: bigint }
  /** Each place of a static probe has its own: bpf_get_attach_cookie is the index. */
  | { readonly how: "byCookie"; readonly access: readonly FieldAccess[] };

/** A field of an event, or an argument of a function. */
export interface EventField {
  readonly name: string;
  readonly type: CType;
  /** How to get at the value, from the context pointer. */
  readonly access: FieldAccess;
  /** Where pointers of this field point: how what is behind them is read. */
  readonly pointee: MemoryKind;
}

/** What a handler's parameter is, and where its program goes. */
export interface EventSchema {
  /** As the user names it. */
  readonly label: string;
  readonly target: AttachTarget;
  /** Fields of the event (`e.next_comm`); for functions, also by position. */
  readonly fields: readonly EventField[];
  /** The program is for every system call: run the handler only when this argument has this value. */
  readonly only?: { readonly field: EventField; readonly equals: bigint };
  /** The value that a function or system call returned, on return probes. */
  readonly result?: EventField;
  readonly notes: readonly string[];
}

/** Absence with a reason: the words go to the user, at the place in the user's file. */
export interface Missing {
  readonly missing: string;
  readonly fix?: string;
  /** Names that are near. */
  readonly suggestions?: readonly string[];
}

export interface Kernel {
  /** For messages. */
  readonly release: string;
  readonly arch: "x64" | "arm64";
  /** A struct, union, enum or typedef by name (`task_struct`), from BTF. */
  type(name: string): CType | Missing;
  tracepoint(category: string, event: string): EventSchema | Missing;
  rawTracepoint(event: string): EventSchema | Missing;
  syscall(name: string, at: "enter" | "exit"): EventSchema | Missing;
  /** All system calls: fields `id` and (exit) `ret`. */
  anySyscall(at: "enter" | "exit"): EventSchema | Missing;
  kprobe(symbol: string, at: "entry" | "return"): EventSchema | Missing;
  fentry(name: string, at: "entry" | "return"): EventSchema | Missing;
  /**
   * A function of a program or library. `where`: symbol (mangled or demangled), glob, `0xoffset`, or `file:line`.
   * Arguments are by position and typed by the handler's own annotations: fields named "0" … "5" (the ABI's
   * integer argument registers), type i64.
   */
  uprobe(
    path: string,
    where: string,
    at: "entry" | "return" | "session",
    pid?: number,
  ): EventSchema | Missing;
  /** A static probe: arguments as its note says, fields "0" … "11". */
  usdt(path: string, provider: string, name: string, pid?: number): EventSchema | Missing;
  /** A named perf event (`page-faults`, `cycles`, …) to be counted to a period. */
  perfEvent(name: string): { readonly type: number; readonly config: number } | Missing;
  /** A variable of a running process: `counter`, `libfoo:counter`. */
  variable?(pid: number, name: string): Variable | Missing;
  /** Whether the kernel has a function of this name for programs to call: `bpf_copy_from_user_str` (Linux 6.12). */
  callable?(name: string): boolean;
}

/** Where a process has a variable. */
export interface Variable {
  readonly address: bigint;
  /** 0 when its symbol does not say. */
  readonly bytes: number;
}

export function isMissing(answer: object): answer is Missing {
  return "missing" in answer;
}
