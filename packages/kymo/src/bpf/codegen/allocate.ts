/**
 * Chooses a machine register for each virtual one: colouring of the interference graph (Chaitin, Briggs), with moves
 * coalesced where that can't make it harder, and choices that make the remaining moves vanish preferred.
 * What does not fit goes to the stack (spill.ts), and all is tried again.
 *
 * @see Briggs, Cooper, Torczon: Improvements to graph coloring register allocation, TOPLAS 16(3), 1994
 */
import { forEachBackwards, liveness, RegisterSet, reachable } from "./flow.ts";
import {
  allocatable,
  type Block,
  type Code,
  clobbered,
  firstVirtual,
  forEachRead,
  isCommutative,
  isRegister,
  type Reg,
  withRegisters,
  written,
} from "./machine.ts";
import { Spills } from "./spill.ts";

/** Afterwards every register in the code is the machine's. */
export function allocate(code: Code): void {
  const spills = new Spills(code);
  for (;;) {
    const blocks = reachable(code);
    const graph = new Interference(code, blocks, spills);
    graph.coalesce();
    const { colors, failed } = graph.color();
    if (failed.length === 0) {
      const assigned = (reg: Reg) => (reg < firstVirtual ? reg : (colors[graph.find(reg)] ?? 0));
      for (const block of blocks) {
        block.instructions = block.instructions
          .map((instruction) => withRegisters(instruction, assigned, assigned))
          .filter((written) => !(written.op === "move" && written.from === written.to));
        block.end = withRegisters(block.end, assigned, assigned);
      }
      return;
    }
    spills.spill(blocks, failed, (reg) => graph.find(reg));
  }
}

class Interference {
  readonly #neighbors: Set<Reg>[];
  readonly #alias: Int32Array;
  readonly #cost: Float64Array;
  readonly #moves: { readonly a: Reg; readonly b: Reg; readonly weight: number }[] = [];
  readonly #used: Reg[] = [];

  constructor(code: Code, blocks: readonly Block[], spills: Spills) {
    this.#neighbors = Array.from({ length: code.registers }, () => new Set());
    this.#alias = Int32Array.from({ length: code.registers }, (_, reg) => reg);
    this.#cost = new Float64Array(code.registers);
    const seen = new RegisterSet(code.registers);
    const liveAtEnd = liveness(code, blocks);
    for (const block of blocks) {
      const weight = 10 ** Math.min(block.depth, 6);
      const count = (reg: Reg) => {
        if (reg < firstVirtual) return;
        seen.add(reg);
        this.#cost[reg]! += weight;
      };
      const live = new RegisterSet(code.registers);
      live.set(liveAtEnd.get(block)!);
      forEachRead(block.end, count);
      forEachBackwards(block, live, (i) => {
        const instruction = block.instructions[i]!;
        forEachRead(instruction, count);
        const to = written(instruction);
        if (to === undefined) return;
        count(to);
        const source =
          instruction.op === "move" && isRegister(instruction.from) ? instruction.from : undefined;
        live.forEach((reg) => {
          if (reg !== source) this.#interfere(to, reg);
          if (instruction.op === "call")
            for (let lost = 1; lost < clobbered; lost++) this.#interfere(lost, reg);
        });
        if (source !== undefined) this.#moves.push({ a: to, b: source, weight });
        if (instruction.op === "alu") {
          const { left, right, operator } = instruction;
          // Made of a move and `to ∘= right`: unless swapped, `right` must outlive the move.
          if (isRegister(right) && right !== to && !isCommutative(operator))
            this.#interfere(to, right);
          if (left !== to) this.#moves.push({ a: to, b: left, weight });
        } else if (instruction.op === "negate") {
          if (instruction.from !== to) this.#moves.push({ a: to, b: instruction.from, weight });
        }
      });
    }
    seen.forEach((reg) => {
      this.#used.push(reg);
    });
    for (const reg of this.#used) this.#cost[reg]! *= spills.costFactor(reg);
    this.#moves.sort((x, y) => y.weight - x.weight);
  }

  #interfere(a: Reg, b: Reg): void {
    if (a === b || a === allocatable || b === allocatable) return;
    this.#neighbors[a]!.add(b);
    this.#neighbors[b]!.add(a);
  }

  find(reg: Reg): Reg {
    let at = reg;
    while (this.#alias[at] !== at) at = this.#alias[at]!;
    return at;
  }

  /** Merges the two ends of moves while what results is no harder to colour than before. */
  coalesce(): void {
    for (let changed = true; changed; ) {
      changed = false;
      for (const move of this.#moves) {
        let a = this.find(move.a);
        let b = this.find(move.b);
        if (a === b || a === allocatable || b === allocatable) continue;
        if (b < firstVirtual) [a, b] = [b, a];
        if (b < firstVirtual || this.#neighbors[a]!.has(b) || !this.#isSafe(a, b)) continue;
        this.#merge(a, b);
        changed = true;
      }
    }
  }

  #isSafe(a: Reg, b: Reg): boolean {
    const isHigh = (reg: Reg) => reg < firstVirtual || this.#neighbors[reg]!.size >= allocatable;
    if (a < firstVirtual) {
      // George: every neighbour of b is one of a's already, or easy.
      for (const reg of this.#neighbors[b]!)
        if (reg !== a && isHigh(reg) && !(reg < firstVirtual) && !this.#neighbors[a]!.has(reg))
          return false;
      return true;
    }
    // Briggs: fewer than all registers' worth of hard neighbours.
    let high = 0;
    for (const reg of this.#neighbors[a]!) if (isHigh(reg)) high++;
    for (const reg of this.#neighbors[b]!) if (isHigh(reg) && !this.#neighbors[a]!.has(reg)) high++;
    return high < allocatable;
  }

  #merge(into: Reg, from: Reg): void {
    this.#alias[from] = into;
    this.#cost[into]! += this.#cost[from]!;
    for (const reg of this.#neighbors[from]!) {
      this.#neighbors[reg]!.delete(from);
      this.#interfere(into, reg);
    }
    this.#neighbors[from]!.clear();
  }

  /** @returns for each representative its register, or those that found none. */
  color(): { readonly colors: (Reg | undefined)[]; readonly failed: Reg[] } {
    const colors: (Reg | undefined)[] = [];
    for (let reg = 0; reg < allocatable; reg++) colors[reg] = reg;
    const partners = this.#partners();
    const failed: Reg[] = [];
    for (const reg of this.#removalOrder().reverse()) {
      const taken = new Set<Reg | undefined>();
      for (const other of this.#neighbors[reg]!) taken.add(colors[other]);
      const free = preference.filter((color) => !taken.has(color));
      if (free.length === 0) {
        failed.push(reg);
        continue;
      }
      const wish = (partners.get(reg) ?? [])
        .map((partner) => colors[this.find(partner)])
        .find((color) => color !== undefined && free.includes(color));
      colors[reg] = wish ?? free[0];
    }
    return { colors, failed };
  }

  /** The other ends of moves, the most frequent first. */
  #partners(): Map<Reg, Reg[]> {
    const partners = new Map<Reg, Reg[]>();
    const add = (reg: Reg, partner: Reg) => {
      const list = partners.get(reg);
      if (list === undefined) partners.set(reg, [partner]);
      else list.push(partner);
    };
    for (const { a, b } of this.#moves) {
      add(this.find(a), b);
      add(this.find(b), a);
    }
    return partners;
  }

  /** Easy ones first; when only hard ones are left, the one that costs least on the stack. */
  #removalOrder(): Reg[] {
    const left = new Set(
      this.#used.map((reg) => this.find(reg)).filter((reg) => reg >= firstVirtual),
    );
    const degree = new Map([...left].map((reg) => [reg, this.#neighbors[reg]!.size]));
    const order: Reg[] = [];
    const easy = [...left].filter((reg) => degree.get(reg)! < allocatable);
    while (left.size > 0) {
      const next = easy.pop() ?? this.#cheapest(left, degree);
      if (!left.delete(next)) continue;
      order.push(next);
      for (const other of this.#neighbors[next]!) {
        const before = degree.get(other);
        if (before === undefined) continue;
        degree.set(other, before - 1);
        if (before === allocatable && left.has(other)) easy.push(other);
      }
    }
    return order;
  }

  #cheapest(left: ReadonlySet<Reg>, degree: ReadonlyMap<Reg, number>): Reg {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const reg of left) {
      const price = this.#cost[reg]! / degree.get(reg)!;
      if (best >= 0 && price >= least) continue;
      best = reg;
      least = price;
    }
    return best;
  }
}

/** Registers that calls spoil first: the others are wanted by what lives across calls. */
const preference: readonly Reg[] = [1, 2, 3, 4, 5, 0, 6, 7, 8, 9];
