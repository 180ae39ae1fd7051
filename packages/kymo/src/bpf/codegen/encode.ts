/** Blocks with machine registers to bytes: order, jump distances, stack offsets, references, lines. */
import type { SourceAt } from "../ir.ts";
import type { Program } from "../program.ts";
import { layout } from "./flow.ts";
import {
  type Address,
  type AluOperator,
  type Block,
  type Branch,
  type Code,
  frameRegister,
  type Instruction,
  isCommutative,
  isRegister,
  type Operand,
  type Reg,
} from "./machine.ts";
import { Alu, Class, fromRegister, Jump, loadImmediate64, Mode, Pseudo, Size } from "./opcodes.ts";

/** Versions of the instruction set: 4 came with Linux 6.6. */
export type Isa = 3 | 4;

/** Bytes from r10 down to each place on the stack; undefined when nothing uses it. */
export type StackLayout = readonly (number | undefined)[];

type Encoded = Omit<Program, "name" | "stackBytes">;

/** @throws RangeError when a jump is longer than 16 bits. */
export function encode(code: Code, stack: StackLayout, isa: Isa): Encoded {
  const encoder = new Encoder(stack, isa);
  const order = layout(code);
  for (const [i, block] of order.entries()) encoder.block(block, order[i + 1]);
  return encoder.finish();
}

class Encoder {
  readonly #stack: StackLayout;
  readonly #isa: Isa;
  readonly #words: { opcode: number; to: number; from: number; offset: number; imm: number }[] = [];
  readonly #starts = new Map<Block, number>();
  readonly #jumps: { readonly instruction: number; readonly to: Block }[] = [];
  readonly #maps: { instruction: number; map: number }[] = [];
  readonly #kfuncs: { instruction: number; name: string }[] = [];
  readonly #lines: { instruction: number; at: SourceAt }[] = [];

  constructor(stack: StackLayout, isa: Isa) {
    this.#stack = stack;
    this.#isa = isa;
  }

  block(block: Block, next: Block | undefined): void {
    this.#starts.set(block, this.#words.length);
    for (const instruction of block.instructions) {
      this.#line(instruction.at);
      this.#instruction(instruction);
    }
    const { end } = block;
    this.#line(end.at);
    if (end.op === "exit") this.#put(Class.jump | Jump.exit);
    else if (end.op === "branch") this.#branch(end, next);
    else if (end.to !== next) this.#jump(end.to);
  }

  finish(): Encoded {
    for (const { instruction, to } of this.#jumps) {
      const distance = this.#starts.get(to)! - instruction - 1;
      if (distance !== (distance << 16) >> 16) throw new RangeError("a jump is too long");
      this.#words[instruction]!.offset = distance;
    }
    const instructions = new Uint8Array(this.#words.length * 8);
    const view = new DataView(instructions.buffer);
    for (const [i, { opcode, to, from, offset, imm }] of this.#words.entries()) {
      view.setUint8(i * 8, opcode);
      view.setUint8(i * 8 + 1, (from << 4) | to);
      view.setInt16(i * 8 + 2, offset, true);
      view.setInt32(i * 8 + 4, imm, true);
    }
    return {
      instructions,
      mapReferences: this.#maps,
      kfuncReferences: this.#kfuncs,
      lines: this.#lines,
    };
  }

  #put(opcode: number, to = 0, from = 0, offset = 0, imm = 0): void {
    this.#words.push({ opcode, to, from, offset, imm });
  }

  #line(at: SourceAt | undefined): void {
    const last = this.#lines.at(-1);
    if (at === undefined || (last?.at.file === at.file && last.at.offset === at.offset)) return;
    const instruction = this.#words.length;
    if (last?.instruction === instruction) last.at = at;
    else this.#lines.push({ instruction, at });
  }

  #jump(to: Block): void {
    this.#jumps.push({ instruction: this.#words.length, to });
    this.#put(Class.jump | Jump.always);
  }

  #branch(end: Branch, next: Block | undefined): void {
    const { left, right } = end;
    const inverse = end.operator === "&" ? undefined : inverses[end.operator];
    const isInverted = end.yes === next && inverse !== undefined;
    const operator = isInverted ? inverse : end.operator;
    const code = end.signed ? signedJumps[operator] : unsignedJumps[operator];
    const kind = end.bits === 32 ? Class.jump32 : Class.jump;
    this.#jumps.push({ instruction: this.#words.length, to: isInverted ? end.no : end.yes });
    if (isRegister(right)) this.#put(kind | code | fromRegister, left, right);
    else this.#put(kind | code, left, 0, 0, right.imm);
    if (!isInverted && end.no !== next) this.#jump(end.no);
  }

  #instruction(instruction: Instruction): void {
    switch (instruction.op) {
      case "move":
        this.#move(instruction.to, instruction.from);
        return;
      case "wide":
        this.#wide(instruction.to, instruction.value);
        return;
      case "map":
        this.#maps.push({ instruction: this.#words.length, map: instruction.map });
        this.#pair(instruction.to, Pseudo.map, 0, 0);
        return;
      case "mapValue":
        this.#maps.push({ instruction: this.#words.length, map: instruction.map });
        this.#pair(instruction.to, Pseudo.mapValue, 0, instruction.offset);
        return;
      case "frame":
        this.#move(instruction.to, frameRegister);
        this.#alu("+", 64, instruction.to, { imm: this.#stackOffset(instruction) });
        return;
      case "alu":
        this.#threeAddress(instruction);
        return;
      case "negate":
        this.#move(instruction.to, instruction.from);
        this.#put(Class.alu64 | Alu.negate, instruction.to);
        return;
      case "extend":
        this.#extend(instruction);
        return;
      case "load": {
        const { type } = instruction;
        const { base, offset } = this.#address(instruction.address);
        const size = Size[(type.bits / 8) as 1 | 2 | 4 | 8];
        const isSigned = type.signed && type.bits < 64;
        const mode = isSigned && this.#isa >= 4 ? Mode.memorySigned : Mode.memory;
        this.#put(Class.loadx | size | mode, instruction.to, base, offset);
        if (isSigned && this.#isa < 4) this.#extendByShifts(instruction.to, type.bits);
        return;
      }
      case "store": {
        const { base, offset } = this.#address(instruction.address);
        const size = Size[instruction.bytes] | Mode.memory;
        const { value } = instruction;
        if (isRegister(value)) this.#put(Class.storex | size, base, value, offset);
        else this.#put(Class.store | size, base, 0, offset, value.imm);
        return;
      }
      case "atomicAdd": {
        const { base, offset } = this.#address(instruction.address);
        const opcode = Class.storex | Size[instruction.bytes] | Mode.atomic;
        this.#put(opcode, base, instruction.value, offset, Alu.add);
        return;
      }
      case "call":
        if (typeof instruction.callee === "number") {
          this.#put(Class.jump | Jump.call, 0, 0, 0, instruction.callee);
          return;
        }
        this.#kfuncs.push({ instruction: this.#words.length, name: instruction.callee });
        this.#put(Class.jump | Jump.call, 0, Pseudo.kfunc);
        return;
    }
  }

  #address(address: Address): { base: Reg; offset: number } {
    if ("base" in address) return address;
    return { base: frameRegister, offset: this.#stackOffset(address) };
  }

  #stackOffset({ place, offset }: { readonly place: number; readonly offset: number }): number {
    return offset - (this.#stack[place] ?? 0);
  }

  #pair(to: Reg, pseudo: number, low: number, high: number): void {
    this.#put(loadImmediate64, to, pseudo, 0, low);
    this.#put(0, 0, 0, 0, high);
  }

  #wide(to: Reg, value: bigint): void {
    const low = Number(BigInt.asIntN(32, value));
    const high = Number(BigInt.asIntN(32, value >> 32n));
    if (high === 0) this.#put(Class.alu32 | Alu.move, to, 0, 0, low);
    else this.#pair(to, 0, low, high);
  }

  #move(to: Reg, from: Operand): void {
    if (!isRegister(from)) this.#put(Class.alu64 | Alu.move, to, 0, 0, from.imm);
    else if (to !== from) this.#put(Class.alu64 | Alu.move | fromRegister, to, from);
  }

  #threeAddress(instruction: Instruction & { readonly op: "alu" }): void {
    const { to, left, right, operator, bits } = instruction;
    if (isRegister(right) && right === to && left !== to) {
      if (!isCommutative(operator)) throw new Error("r1 = r2 ∘ r1 must not be");
      this.#alu(operator, bits, to, left);
      return;
    }
    this.#move(to, left);
    this.#alu(operator, bits, to, right);
  }

  #alu(operator: AluOperator, bits: 32 | 64, to: Reg, right: Operand): void {
    const isSignedDivision = operator === "s/" || operator === "s%";
    const opcode = (bits === 32 ? Class.alu32 : Class.alu64) | aluCodes[operator];
    const offset = isSignedDivision ? 1 : 0;
    if (isRegister(right)) this.#put(opcode | fromRegister, to, right, offset);
    else this.#put(opcode, to, 0, offset, right.imm);
  }

  #extend({ type, to, from }: Instruction & { readonly op: "extend" }): void {
    if (!type.signed) {
      this.#put(Class.alu32 | Alu.move | fromRegister, to, from);
      return;
    }
    if (this.#isa >= 4) {
      this.#put(Class.alu64 | Alu.move | fromRegister, to, from, type.bits);
      return;
    }
    this.#move(to, from);
    this.#extendByShifts(to, type.bits);
  }

  #extendByShifts(to: Reg, bits: number): void {
    this.#alu("<<", 64, to, { imm: 64 - bits });
    this.#alu("s>>", 64, to, { imm: 64 - bits });
  }
}

const aluCodes: { readonly [operator in AluOperator]: number } = {
  "+": Alu.add,
  "-": Alu.subtract,
  "*": Alu.multiply,
  "/": Alu.divide,
  "s/": Alu.divide,
  "%": Alu.modulo,
  "s%": Alu.modulo,
  "&": Alu.and,
  "|": Alu.or,
  "^": Alu.xor,
  "<<": Alu.shiftLeft,
  ">>": Alu.shiftRight,
  "s>>": Alu.shiftRightSigned,
};

const unsignedJumps: { readonly [operator in Branch["operator"]]: number } = {
  "==": Jump.equal,
  "!=": Jump.notEqual,
  "<": Jump.less,
  "<=": Jump.lessEqual,
  ">": Jump.greater,
  ">=": Jump.greaterEqual,
  "&": Jump.anySet,
};

const signedJumps: { readonly [operator in Branch["operator"]]: number } = {
  ...unsignedJumps,
  "<": Jump.lessSigned,
  "<=": Jump.lessEqualSigned,
  ">": Jump.greaterSigned,
  ">=": Jump.greaterEqualSigned,
};

const inverses = { "==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">" } as const;
