/**
 * Where `struct pt_regs` keeps the registers that carry arguments and results, in bytes from its start.
 * Part of the kernel's ABI: perf, gdb and BPF programs of years ago read the same offsets.
 *
 * @see the kernel's arch/x86/include/uapi/asm/ptrace.h, arch/arm64/include/asm/ptrace.h; the System V and AAPCS64 ABIs
 */
export type Arch = "x64" | "arm64";

export interface Registers {
  /** Integer arguments of a function, in order. */
  readonly arguments: readonly number[];
  readonly result: number;
  /** Arguments of a system call, in order. */
  readonly syscallArguments: readonly number[];
  /** The system call's number: valid at its exit too. */
  readonly syscallNumber: { readonly offset: number; readonly bytes: 4 | 8 };
  /** By the name that assemblers give a register, or a part of it. */
  named(name: string): { readonly offset: number; readonly bytes: number } | undefined;
}

const x64Order =
  "r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss".split(" ");
const x64At = (name: string): number => 8 * x64Order.indexOf(name);

const x64: Registers = {
  arguments: ["di", "si", "dx", "cx", "r8", "r9"].map(x64At),
  result: x64At("ax"),
  syscallArguments: ["di", "si", "dx", "r10", "r8", "r9"].map(x64At),
  syscallNumber: { offset: x64At("orig_ax"), bytes: 8 },
  named: (name) => {
    const numbered = /^(r(?:8|9|1[0-5]))([dwb]?)$/.exec(name);
    if (numbered !== null)
      return { offset: x64At(numbered[1]!), bytes: { d: 4, w: 2, b: 1 }[numbered[2]!] ?? 8 };
    const old = /^([re]?)([abcd]x|[sd]i|[sb]p|ip)$/.exec(name);
    if (old !== null)
      return { offset: x64At(old[2]!), bytes: old[1] === "r" ? 8 : old[1] === "e" ? 4 : 2 };
    const low = /^([abcd])([lh])$/.exec(name);
    if (low !== null) return { offset: x64At(`${low[1]}x`) + (low[2] === "h" ? 1 : 0), bytes: 1 };
    const lowPointer = /^([sd]i|[sb]p)l$/.exec(name);
    return lowPointer === null ? undefined : { offset: x64At(lowPointer[1]!), bytes: 1 };
  },
};

/** regs[31], sp, pc, pstate, orig_x0, syscallno. */
const arm64: Registers = {
  arguments: [0, 1, 2, 3, 4, 5].map((index) => 8 * index),
  result: 0,
  // The first is overwritten by the result: the kernel keeps it in orig_x0.
  syscallArguments: [272, 8, 16, 24, 32, 40],
  syscallNumber: { offset: 280, bytes: 4 },
  named: (name) => {
    if (name === "sp") return { offset: 248, bytes: 8 };
    const [, width, number] = /^([xw])(\d+)$/.exec(name) ?? [];
    if (number === undefined || Number(number) > 30) return undefined;
    return { offset: 8 * Number(number), bytes: width === "x" ? 8 : 4 };
  },
};

export function registersOf(arch: Arch): Registers {
  return arch === "x64" ? x64 : arm64;
}
