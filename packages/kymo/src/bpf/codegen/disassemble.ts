/**
 * A program as text, one instruction a line, as the kernel's own listings have it:
 *
 *     3: r1 = map started
 *     5: r2 = r10
 *     6: r2 += -8
 *     7: call 1
 *     8: if r0 == 0 goto 12
 *
 * Numbers count 8-byte units, as in the verifier's log; jumps name the instruction they lead to.
 */
import type { Handler } from "../ir.ts";
import type { Program } from "../program.ts";
import { Alu, Class, fromRegister, Jump, loadImmediate64, Mode, Pseudo } from "./opcodes.ts";

/** `handler` names the maps and gives the source lines that the instructions come from. */
export function disassemble(program: Program, handler?: Handler): string {
  const view = new DataView(
    program.instructions.buffer,
    program.instructions.byteOffset,
    program.instructions.byteLength,
  );
  const maps = new Map(program.mapReferences.map((use) => [use.instruction, use.map]));
  const kfuncs = new Map(program.kfuncReferences.map((use) => [use.instruction, use.name]));
  const lines = new Map(program.lines.map((line) => [line.instruction, line.at]));
  const text: string[] = [];
  let lastSource: string | undefined;
  for (let i = 0; i < view.byteLength / 8; i++) {
    const at = lines.get(i);
    const source = at === undefined ? undefined : handler?.files[at.file];
    if (at !== undefined && source !== undefined) {
      const line = sourceLine(source.text, at.offset);
      if (line !== lastSource) text.push(`; ${line}`);
      lastSource = line;
    }
    const registers = view.getUint8(i * 8 + 1);
    const instruction: Fields = {
      opcode: view.getUint8(i * 8),
      to: `r${registers & 15}`,
      from: `r${registers >> 4}`,
      pseudo: registers >> 4,
      offset: view.getInt16(i * 8 + 2, true),
      imm: view.getInt32(i * 8 + 4, true),
    };
    if (instruction.opcode !== loadImmediate64) {
      text.push(`${i}: ${one(instruction, i, kfuncs.get(i))}`);
      continue;
    }
    const high = view.getInt32(i * 8 + 12, true);
    const map = maps.get(i);
    const name = map === undefined ? undefined : (handler?.maps[map]?.name ?? `#${map}`);
    text.push(`${i}: ${instruction.to} = ${wide(instruction, high, name)}`);
    i++;
  }
  return text.join("\n");
}

interface Fields {
  readonly opcode: number;
  readonly to: string;
  readonly from: string;
  readonly pseudo: number;
  readonly offset: number;
  readonly imm: number;
}

function wide({ pseudo, imm }: Fields, high: number, map: string | undefined): string {
  if (map !== undefined) return pseudo === Pseudo.map ? `map ${map}` : `value of ${map} + ${high}`;
  return `0x${((BigInt(high >>> 0) << 32n) | BigInt(imm >>> 0)).toString(16)}`;
}

function one(fields: Fields, index: number, kfunc: string | undefined): string {
  const { opcode, to, from, offset, imm } = fields;
  switch (opcode & 7) {
    case Class.alu32:
    case Class.alu64:
      return alu(fields);
    case Class.jump:
    case Class.jump32:
      return jump(fields, index, kfunc);
    case Class.loadx: {
      const sign = (opcode & 0xe0) === Mode.memorySigned ? "s" : "u";
      return `${to} = ${memory(`${sign}${bitsOf(opcode)}`, from, offset)}`;
    }
    case Class.store:
      return `${memory(`u${bitsOf(opcode)}`, to, offset)} = ${imm}`;
    default:
      return (opcode & 0xe0) === Mode.atomic
        ? `lock ${memory(`u${bitsOf(opcode)}`, to, offset)} += ${from}`
        : `${memory(`u${bitsOf(opcode)}`, to, offset)} = ${from}`;
  }
}

function memory(type: string, base: string, offset: number): string {
  return `*(${type} *)(${base} ${signedText(offset)})`;
}

function signedText(value: number): string {
  return value < 0 ? `${value}` : `+${value}`;
}

function bitsOf(opcode: number): number {
  return [32, 16, 8, 64][(opcode >> 3) & 3]!;
}

const aluText: { readonly [code: number]: string } = {
  [Alu.add]: "+=",
  [Alu.subtract]: "-=",
  [Alu.multiply]: "*=",
  [Alu.divide]: "/=",
  [Alu.or]: "|=",
  [Alu.and]: "&=",
  [Alu.shiftLeft]: "<<=",
  [Alu.shiftRight]: ">>=",
  [Alu.modulo]: "%=",
  [Alu.xor]: "^=",
  [Alu.move]: "=",
  [Alu.shiftRightSigned]: "s>>=",
};

function alu({ opcode, to, from, offset, imm }: Fields): string {
  const code = opcode & 0xf0;
  const named = (register: string) =>
    (opcode & 7) === Class.alu32 ? register.replace("r", "w") : register;
  if (code === Alu.negate) return `${named(to)} = -${named(to)}`;
  const isRegister = (opcode & fromRegister) !== 0;
  const right = isRegister ? named(from) : `${imm}`;
  if (code === Alu.move && offset !== 0) return `${named(to)} = (s${offset})${right}`;
  const isDivision = code === Alu.divide || code === Alu.modulo;
  return `${named(to)} ${isDivision && offset === 1 ? "s" : ""}${aluText[code]} ${right}`;
}

const jumpText: { readonly [code: number]: string } = {
  [Jump.equal]: "==",
  [Jump.greater]: ">",
  [Jump.greaterEqual]: ">=",
  [Jump.anySet]: "&",
  [Jump.notEqual]: "!=",
  [Jump.greaterSigned]: "s>",
  [Jump.greaterEqualSigned]: "s>=",
  [Jump.less]: "<",
  [Jump.lessEqual]: "<=",
  [Jump.lessSigned]: "s<",
  [Jump.lessEqualSigned]: "s<=",
};

function jump(fields: Fields, index: number, kfunc: string | undefined): string {
  const { opcode, to, from, offset, imm } = fields;
  const code = opcode & 0xf0;
  const target = `goto ${index + 1 + offset}`;
  if (code === Jump.always) return target;
  if (code === Jump.exit) return "exit";
  if (code === Jump.call) return `call ${kfunc ?? imm}`;
  const named = (register: string) =>
    (opcode & 7) === Class.jump32 ? register.replace("r", "w") : register;
  const right = (opcode & fromRegister) !== 0 ? named(from) : `${imm}`;
  return `if ${named(to)} ${jumpText[code]} ${right} ${target}`;
}

function sourceLine(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset);
  return text.slice(start, end < 0 ? undefined : end).trim();
}
