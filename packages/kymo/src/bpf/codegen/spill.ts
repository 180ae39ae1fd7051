/** Moves registers that found no place to the stack; what can be made again with one instruction is made again instead. */

import { u64 } from "../ir.ts";
import {
  type Block,
  type Code,
  forEachRead,
  type Instruction,
  isRegister,
  type Reg,
  type StackPlace,
  withRegisters,
  written,
} from "./machine.ts";

/** A value's second life: temporaries that live from a reload to the next call, then only for one instruction. */
const softFactor = 100;

export class Spills {
  readonly #code: Code;
  /** Temporaries of earlier spills. Hard ones live for one instruction and can't be spilled again. */
  readonly #temporaries = new Map<Reg, "soft" | "hard">();

  constructor(code: Code) {
    this.#code = code;
  }

  costFactor(reg: Reg): number {
    const kind = this.#temporaries.get(reg);
    return kind === undefined ? 1 : kind === "soft" ? softFactor : Number.POSITIVE_INFINITY;
  }

  /** `failed` are representatives; registers with the same one share a place. */
  spill(blocks: readonly Block[], failed: readonly Reg[], find: (reg: Reg) => Reg): void {
    const wanted = new Set(failed);
    const groups = new Map<Reg, Group>();
    for (const block of blocks) {
      for (const instruction of block.instructions) {
        const to = written(instruction);
        if (to === undefined || !wanted.has(find(to))) continue;
        const group = groups.get(find(to)) ?? { definitions: [], isHard: false, place: undefined };
        const isOwnMove =
          instruction.op === "move" &&
          isRegister(instruction.from) &&
          find(instruction.from) === find(to);
        if (!isOwnMove) group.definitions.push(instruction);
        group.isHard ||= this.#temporaries.has(to);
        groups.set(find(to), group);
      }
    }
    for (const group of groups.values())
      if (!canBeMadeAgain(group, (reg) => !wanted.has(find(reg))))
        group.place = this.#code.stack.push({ bytes: 8, name: undefined }) - 1;
    const groupOf = (reg: Reg) => groups.get(find(reg));
    for (const block of blocks) this.#rewrite(block, groupOf);
  }

  #rewrite(block: Block, groupOf: (reg: Reg) => Group | undefined): void {
    const result: Instruction[] = [];
    let held = new Map<Group, Reg>();
    const fresh = (group: Group): Reg => {
      const reg = this.#code.registers++;
      this.#temporaries.set(reg, group.isHard ? "hard" : "soft");
      return reg;
    };
    const reload = (reg: Reg, at: Instruction["at"], now: Map<Group, Reg>): Reg => {
      const group = groupOf(reg);
      if (group === undefined) return reg;
      const known = held.get(group) ?? now.get(group);
      if (known !== undefined) return known;
      const to = fresh(group);
      now.set(group, to);
      if (!group.isHard) held.set(group, to);
      result.push(
        group.place === undefined
          ? withRegisters({ ...group.definitions[0]!, at }, same, () => to)
          : { op: "load", type: u64, to, address: { place: group.place, offset: 0 }, at },
      );
      return to;
    };
    for (const instruction of block.instructions) {
      const target = written(instruction);
      const group = target === undefined ? undefined : groupOf(target);
      if (group !== undefined && group.place === undefined) continue;
      const isOwnMove =
        instruction.op === "move" &&
        isRegister(instruction.from) &&
        group !== undefined &&
        groupOf(instruction.from) === group;
      if (isOwnMove) continue;
      const now = new Map<Group, Reg>();
      const read = withRegisters(instruction, (reg) => reload(reg, instruction.at, now), same);
      if (instruction.op === "call") held = new Map();
      if (group === undefined) {
        result.push(read);
        continue;
      }
      const to = fresh(group);
      if (group.isHard) held.delete(group);
      else held.set(group, to);
      result.push(withRegisters(read, same, () => to));
      const address = { place: group.place!, offset: 0 };
      result.push({ op: "store", bytes: 8, address, value: to, at: instruction.at });
    }
    const now = new Map<Group, Reg>();
    forEachRead(block.end, (reg) => reload(reg, block.end.at, now));
    block.end = withRegisters(
      block.end,
      (reg) => {
        const group = groupOf(reg);
        return group === undefined ? reg : (held.get(group) ?? now.get(group) ?? reg);
      },
      same,
    );
    block.instructions = result;
  }
}

interface Group {
  readonly definitions: Instruction[];
  isHard: boolean;
  /** Undefined: made again at each use. */
  place: StackPlace | undefined;
}

function canBeMadeAgain({ definitions }: Group, stays: (reg: Reg) => boolean): boolean {
  const [only] = definitions;
  if (only === undefined || definitions.length > 1) return false;
  if (only.op === "move") return !isRegister(only.from);
  if (only.op === "load")
    return only.isConstant === true && "base" in only.address && stays(only.address.base);
  return only.op === "wide" || only.op === "map" || only.op === "mapValue" || only.op === "frame";
}

function same(reg: Reg): Reg {
  return reg;
}
