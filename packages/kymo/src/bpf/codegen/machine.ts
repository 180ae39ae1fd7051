/**
 * eBPF as the compiler sees it before registers are chosen: blocks of three-address instructions.
 *
 *     lower.ts  Handler ─► Code ─► flow.ts, dead.ts tidy ─► allocate.ts: registers, spills ─► encode.ts: bytes
 *
 * Registers 0 … 10 are the machine's (r10: the frame); from `firstVirtual` on they are the compiler's own. Arguments and
 * results of calls are explicit moves to and from r1 … r5 and r0.
 *
 * @see https://docs.kernel.org/bpf/standardization/instruction-set.html (RFC 9669)
 */
import type { CompareOperator, IntType, SourceAt } from "../ir.ts";

export type Reg = number;
export const frameRegister: Reg = 10;
export const resultRegister: Reg = 0;
export const contextRegister: Reg = 1;
export const firstVirtual: Reg = 16;
/** r0 … r9: everything but the frame. */
export const allocatable = 10;
/** r0 … r5 are not the same after a call. */
export const clobbered = 6;

/** A 32-bit constant, extended by its sign to 64. */
export interface Immediate {
  readonly imm: number;
}
export type Operand = Reg | Immediate;

/** Index into `Code.stack`. */
export type StackPlace = number;
export type Address =
  | { readonly base: Reg; readonly offset: number }
  | { readonly place: StackPlace; readonly offset: number };

export type AluOperator =
  | "+"
  | "-"
  | "*"
  | "/"
  | "%"
  | "s/"
  | "s%"
  | "&"
  | "|"
  | "^"
  | "<<"
  | ">>"
  | "s>>";

export type Instruction = (
  | { readonly op: "move"; readonly to: Reg; readonly from: Operand }
  | { readonly op: "wide"; readonly to: Reg; readonly value: bigint }
  | { readonly op: "map"; readonly to: Reg; readonly map: number }
  | { readonly op: "mapValue"; readonly to: Reg; readonly map: number; readonly offset: number }
  /** The address of a place on the stack. */
  | { readonly op: "frame"; readonly to: Reg; readonly place: StackPlace; readonly offset: number }
  /** With 32 bits the upper half of the result is 0. */
  | {
      readonly op: "alu";
      readonly operator: AluOperator;
      readonly bits: 32 | 64;
      readonly to: Reg;
      readonly left: Reg;
      readonly right: Operand;
    }
  | { readonly op: "negate"; readonly to: Reg; readonly from: Reg }
  | { readonly op: "extend"; readonly type: IntType; readonly to: Reg; readonly from: Reg }
  /** `isConstant`: it gives the same wherever in the program it is done. */
  | {
      readonly op: "load";
      readonly type: IntType;
      readonly to: Reg;
      readonly address: Address;
      readonly isConstant?: boolean;
    }
  | {
      readonly op: "store";
      readonly bytes: 1 | 2 | 4 | 8;
      readonly address: Address;
      readonly value: Operand;
    }
  | {
      readonly op: "atomicAdd";
      readonly bytes: 4 | 8;
      readonly address: Address;
      readonly value: Reg;
    }
  /** A helper by number or a kernel function by name; takes r1 … r`args`, gives r0. */
  | { readonly op: "call"; readonly callee: number | string; readonly args: number }
) & { readonly at: SourceAt | undefined };

export interface Branch {
  readonly op: "branch";
  /** "&": when any of the bits are set. */
  readonly operator: CompareOperator | "&";
  readonly signed: boolean;
  readonly bits: 32 | 64;
  readonly left: Reg;
  readonly right: Operand;
  readonly yes: Block;
  readonly no: Block;
  readonly at: SourceAt | undefined;
}

export type Terminator =
  | { readonly op: "jump"; readonly to: Block; readonly at: SourceAt | undefined }
  | Branch
  /** r0 is the program's result. */
  | { readonly op: "exit"; readonly at: SourceAt | undefined };

export interface Block {
  readonly id: number;
  instructions: Instruction[];
  end: Terminator;
  /** How many loops it is in: weighs spills. */
  readonly depth: number;
}

export interface Code {
  readonly entry: Block;
  /** What lies on the stack; spills are added. */
  readonly stack: { readonly bytes: number; readonly name: string | undefined }[];
  /** One past the last register in use. */
  registers: number;
}

export function isRegister(operand: Operand): operand is Reg {
  return typeof operand === "number";
}

export function isCommutative(operator: AluOperator): boolean {
  return (
    operator === "+" || operator === "*" || operator === "&" || operator === "|" || operator === "^"
  );
}

/** The register that an instruction writes; a call's clobbers are its caller's matter. */
export function written(instruction: Instruction): Reg | undefined {
  switch (instruction.op) {
    case "store":
    case "atomicAdd":
      return undefined;
    case "call":
      return resultRegister;
    default:
      return instruction.to;
  }
}

export function forEachRead(node: Instruction | Terminator, visit: (reg: Reg) => void): void {
  switch (node.op) {
    case "move":
      readOperand(node.from, visit);
      return;
    case "alu":
    case "branch":
      visit(node.left);
      readOperand(node.right, visit);
      return;
    case "negate":
    case "extend":
      visit(node.from);
      return;
    case "load":
      readAddress(node.address, visit);
      return;
    case "store":
    case "atomicAdd":
      readAddress(node.address, visit);
      readOperand(node.value, visit);
      return;
    case "call":
      for (let i = 1; i <= node.args; i++) visit(i);
      return;
    case "exit":
      visit(resultRegister);
  }
}

function readOperand(value: Operand, visit: (reg: Reg) => void): void {
  if (isRegister(value)) visit(value);
}

function readAddress(at: Address, visit: (reg: Reg) => void): void {
  if ("base" in at) visit(at.base);
}

/** The same with other registers: `read` for what it reads, `write` for what it writes. */
export function withRegisters<T extends Instruction | Terminator>(
  node: T,
  read: (reg: Reg) => Reg,
  write: (reg: Reg) => Reg,
): T {
  return rewritten(node, read, write) as T;
}

function rewritten(
  node: Instruction | Terminator,
  read: (reg: Reg) => Reg,
  write: (reg: Reg) => Reg,
): Instruction | Terminator {
  switch (node.op) {
    case "move":
      return { ...node, from: inOperand(node.from, read), to: write(node.to) };
    case "wide":
    case "map":
    case "mapValue":
    case "frame":
      return { ...node, to: write(node.to) };
    case "alu":
      return {
        ...node,
        left: read(node.left),
        right: inOperand(node.right, read),
        to: write(node.to),
      };
    case "negate":
    case "extend":
      return { ...node, from: read(node.from), to: write(node.to) };
    case "load":
      return { ...node, address: inAddress(node.address, read), to: write(node.to) };
    case "store":
      return {
        ...node,
        address: inAddress(node.address, read),
        value: inOperand(node.value, read),
      };
    case "atomicAdd":
      return { ...node, address: inAddress(node.address, read), value: read(node.value) };
    case "branch":
      return { ...node, left: read(node.left), right: inOperand(node.right, read) };
    case "call":
    case "jump":
    case "exit":
      return node;
  }
}

function inOperand(value: Operand, read: (reg: Reg) => Reg): Operand {
  return isRegister(value) ? read(value) : value;
}

function inAddress(at: Address, read: (reg: Reg) => Reg): Address {
  return "base" in at ? { ...at, base: read(at.base) } : at;
}

export function successors(block: Block): readonly Block[] {
  const { end } = block;
  if (end.op === "jump") return [end.to];
  return end.op === "branch" ? [end.yes, end.no] : [];
}
