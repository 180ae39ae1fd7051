/**
 * System calls by name. Programs go to the raw tracepoints of all system calls, the cheapest there are: the handler runs
 * when the number matches, and arguments are read from the registers of the program that called.
 *
 *     sys_enter(regs, id)      arguments: regs->di, si, dx, r10, r8, r9 (x86-64) · orig_x0, x1 … x5 (arm64)
 *     sys_exit(regs, ret)      the number and the arguments are still in regs
 *
 * Names and types of the arguments come from the kernel's own `syscalls/sys_enter_…` formats.
 */
import { readFileSync } from "node:fs";
import { parseEventFormat } from "../../linux/event-format.ts";
import { syscallNames, syscallNumber } from "../../linux/syscall-names.ts";
import { type IntType, i32, i64, u64 } from "../ir.ts";
import type { CType, EventField, EventSchema, Missing } from "../schema.ts";
import type { BtfTypes } from "./btf-types.ts";
import { cType, intNamed } from "./c-type.ts";
import { type Arch, type Registers, registersOf } from "./registers.ts";
import { suggestions } from "./suggest.ts";

export interface SyscallMachine {
  readonly arch: Arch;
  /** Where tracefs is mounted; without it arguments have no names. */
  readonly tracefs: string | undefined;
  readonly types: BtfTypes | undefined;
}

export interface SyscallArgument {
  readonly name: string;
  readonly type: CType;
}

/** Where names of the tracepoints differ from those of the calls. */
const tracepointNames: { readonly [syscall: string]: string } = {
  stat: "newstat",
  fstat: "newfstat",
  lstat: "newlstat",
  uname: "newuname",
  umount2: "umount",
  sendfile: "sendfile64",
};

/** What took the place of calls that newer machines don't have. */
const successors: { readonly [syscall: string]: string } = {
  open: "openat",
  creat: "openat",
  access: "faccessat",
  stat: "newfstatat",
  lstat: "newfstatat",
  fstatat: "newfstatat",
  mkdir: "mkdirat",
  rmdir: "unlinkat",
  unlink: "unlinkat",
  rename: "renameat",
  link: "linkat",
  symlink: "symlinkat",
  readlink: "readlinkat",
  chmod: "fchmodat",
  chown: "fchownat",
  pipe: "pipe2",
  dup2: "dup3",
  poll: "ppoll",
  select: "pselect6",
  epoll_wait: "epoll_pwait",
  epoll_create: "epoll_create1",
  eventfd: "eventfd2",
  inotify_init: "inotify_init1",
  getdents: "getdents64",
  fork: "clone",
  vfork: "clone",
  utime: "utimensat",
  umount: "umount2",
  pread: "pread64",
  pwrite: "pwrite64",
  fadvise: "fadvise64",
  send: "sendto",
  recv: "recvfrom",
  wait: "wait4",
  waitpid: "wait4",
  sigaction: "rt_sigaction",
  sigprocmask: "rt_sigprocmask",
};

export function syscallSchema(
  name: string,
  at: "enter" | "exit",
  machine: SyscallMachine,
): EventSchema | Missing {
  const number = syscallNumber(machine.arch, name);
  if (number === undefined) return missingSyscall(name, machine.arch);
  const every = anySyscallSchema(at, machine);
  const id = every.fields.find((field) => field.name === "id")!;
  const known = syscallArguments(name, machine);
  const registers = registersOf(machine.arch);
  const memory = machine.types === undefined ? "kernel" : "direct";
  const notes =
    known === undefined
      ? [`names of the arguments of ${name} are not known here: they are arg0 … arg5`]
      : [];
  return {
    label: `syscall${at === "exit" ? ".exit" : ""}:${name}`,
    target: every.target,
    fields: [
      ...every.fields.filter((field) => !/^arg\d$/.test(field.name)),
      ...(known ?? unnamedArguments).map((argument, index) =>
        argumentField(argument, registers.syscallArguments[index]!, memory),
      ),
    ],
    only: { field: id, equals: BigInt(number) },
    ...(every.result === undefined ? {} : { result: every.result }),
    notes,
  };
}

const unnamedArguments: readonly SyscallArgument[] = [0, 1, 2, 3, 4, 5].map((index) => ({
  name: `arg${index}`,
  type: { kind: "int", type: u64, name: "u64" },
}));

/** Every system call: fields `id`, `arg0` … `arg5` and, at the exit, `ret`. */
export function anySyscallSchema(at: "enter" | "exit", machine: SyscallMachine): EventSchema {
  const btf = machine.types !== undefined;
  const memory = btf ? "direct" : "kernel";
  const registers = registersOf(machine.arch);
  const ret: EventField = {
    name: "ret",
    type: { kind: "int", type: i64, name: "long" },
    access: { how: "load", offset: 8, type: i64 },
    pointee: "user",
  };
  return {
    label: `syscall${at === "exit" ? ".exit" : ""}:*`,
    target: { kind: "raw-tracepoint", event: at === "enter" ? "sys_enter" : "sys_exit", btf },
    fields: [
      idField(at, registers, memory),
      ...(at === "exit" ? [ret] : []),
      ...unnamedArguments.map((argument, index) =>
        argumentField(argument, registers.syscallArguments[index]!, memory),
      ),
    ],
    ...(at === "exit" ? { result: ret } : {}),
    notes: [],
  };
}

/** At the entry the number is an argument of the tracepoint; at the exit it is where the kernel keeps it. */
function idField(
  at: "enter" | "exit",
  { syscallNumber: kept }: Registers,
  memory: "direct" | "kernel",
): EventField {
  const type: CType = { kind: "int", type: i64, name: "long" };
  if (at === "enter")
    return {
      name: "id",
      type,
      access: { how: "load", offset: 8, type: i64 },
      pointee: "direct",
    };
  return {
    name: "id",
    type,
    access: {
      how: "indirect",
      offset: 0,
      displacement: kept.offset,
      type: kept.bytes === 4 ? i32 : i64,
      memory,
    },
    pointee: "direct",
  };
}

function argumentField(
  { name, type }: SyscallArgument,
  register: number,
  memory: "direct" | "kernel",
): EventField {
  return {
    name,
    type,
    access: { how: "indirect", offset: 0, displacement: register, type: wordOf(type), memory },
    pointee: "user",
  };
}

/** An int fills half a register: what the caller left in the other half is not part of it. */
function wordOf(type: CType): IntType {
  return type.kind === "int" || type.kind === "enum" ? type.type : u64;
}

/** Names and types of the arguments; undefined where this kernel doesn't say. */
export function syscallArguments(
  name: string,
  { tracefs, types }: SyscallMachine,
): SyscallArgument[] | undefined {
  if (tracefs === undefined) return undefined;
  for (const known of [name, tracepointNames[name] ?? name]) {
    let text: string;
    try {
      text = readFileSync(`${tracefs}/events/syscalls/sys_enter_${known}/format`, "utf8");
    } catch {
      continue; // not traced under this name
    }
    const format = parseEventFormat(text);
    if (format === undefined) return undefined;
    return [...format.fields.values()]
      .filter((field) => !/^common_|^__syscall_nr$/.test(field.name))
      .slice(0, 6)
      .map((field) => ({ name: field.name, type: argumentType(field.type, types) }));
  }
  return undefined;
}

function argumentType(text: string, types: BtfTypes | undefined): CType {
  const int = intNamed(text.replace(/\bconst /, ""), types);
  return int === undefined ? cType(text, 8, false, types) : { kind: "int", type: int, name: text };
}

function missingSyscall(name: string, arch: Arch): Missing {
  const stripped = name.replace(/^(sys_enter_|sys_exit_|__x64_sys_|__arm64_sys_|sys_)/, "");
  const names = syscallNames(arch).filter((one) => one !== undefined);
  const successor = successors[stripped];
  const near = [
    ...(names.includes(stripped) ? [stripped] : []),
    ...(successor !== undefined && names.includes(successor) ? [successor] : []),
    ...suggestions(stripped, names),
  ];
  return {
    missing: `${arch === "x64" ? "x86-64" : "arm64"} has no system call ${name}`,
    suggestions: [...new Set(near)].slice(0, 5),
  };
}
