/** The graph of blocks: which are reached, in which order they are written, and what is alive where. */
import {
  allocatable,
  type Block,
  type Branch,
  type Code,
  clobbered,
  forEachRead,
  type Reg,
  successors,
  written,
} from "./machine.ts";

/** Blocks in the order they are written: each one that can follows the one that falls through to it. */
export function layout(code: Code): Block[] {
  const order: Block[] = [];
  const placed = new Set<Block>();
  const waiting: Block[] = [code.entry];
  const forward = incomingForward(code);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    let block: Block | undefined = next;
    while (block !== undefined && !placed.has(block)) {
      placed.add(block);
      order.push(block);
      const candidates: Block[] = successors(block).filter((to) => !placed.has(to));
      // A block that others still lead to comes after them, so that they fall through to it. Else in the source's order.
      const ready: Block[] = candidates
        .filter((to) => isReady(to, placed, forward))
        .sort((a, b) => a.id - b.id);
      // "Any of these bits" is the one test without an inverse: what it doesn't lead to must follow.
      if (block.end.op === "branch" && block.end.operator === "&" && ready[0] === block.end.yes)
        ready.reverse();
      const follow: Block | undefined = ready[0] ?? candidates[0];
      for (const other of candidates) if (other !== follow) waiting.push(other);
      if (follow !== undefined && ready.length === 0 && waiting.length > 0) {
        waiting.unshift(follow);
        block = undefined;
      } else {
        block = follow;
      }
    }
  }
  return order;
}

function isReady(
  block: Block,
  placed: ReadonlySet<Block>,
  forward: ReadonlyMap<Block, readonly Block[]>,
): boolean {
  return (forward.get(block) ?? []).every((from) => placed.has(from));
}

/** Predecessors by edges that do not close a loop. */
function incomingForward(code: Code): Map<Block, Block[]> {
  const incoming = new Map<Block, Block[]>();
  const state = new Map<Block, "open" | "done">([[code.entry, "open"]]);
  const stack: { readonly block: Block; next: number }[] = [{ block: code.entry, next: 0 }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const to = successors(top.block)[top.next++];
    if (to === undefined) {
      state.set(top.block, "done");
      stack.pop();
      continue;
    }
    if (state.get(to) === "open") continue;
    const list = incoming.get(to) ?? [];
    list.push(top.block);
    incoming.set(to, list);
    if (state.has(to)) continue;
    state.set(to, "open");
    stack.push({ block: to, next: 0 });
  }
  return incoming;
}

export function reachable(code: Code): Block[] {
  const seen = new Set<Block>([code.entry]);
  for (const block of seen) for (const to of successors(block)) seen.add(to);
  return [...seen];
}

/** Jumps lead to where they end up; a block that is only ever fallen into becomes part of the one before. */
export function tidyBlocks(code: Code): void {
  const final = (block: Block): Block => {
    let at = block;
    for (let hops = 0; hops < 64; hops++) {
      if (at.instructions.length > 0 || at.end.op !== "jump" || at.end.to === at) return at;
      at = at.end.to;
    }
    return at;
  };
  for (const block of reachable(code)) {
    if (block.end.op === "jump") block.end = { ...block.end, to: final(block.end.to) };
    if (block.end.op !== "branch") continue;
    const end: Branch = { ...block.end, yes: final(block.end.yes), no: final(block.end.no) };
    block.end = end.yes === end.no ? { op: "jump", to: end.yes, at: end.at } : end;
  }
  const incoming = new Map<Block, number>();
  for (const block of reachable(code))
    for (const to of successors(block)) incoming.set(to, (incoming.get(to) ?? 0) + 1);
  for (const block of reachable(code)) {
    while (block.end.op === "jump") {
      const { to } = block.end;
      if (to === block || to === code.entry || incoming.get(to) !== 1) break;
      block.instructions.push(...to.instructions);
      block.end = to.end;
    }
  }
}

/** A set of registers as bits. */
export class RegisterSet {
  readonly words: Uint32Array;
  constructor(registers: number) {
    this.words = new Uint32Array((registers + 31) >>> 5);
  }
  has(reg: Reg): boolean {
    return (this.words[reg >>> 5]! & (1 << (reg & 31))) !== 0;
  }
  add(reg: Reg): void {
    this.words[reg >>> 5]! |= 1 << (reg & 31);
  }
  delete(reg: Reg): void {
    this.words[reg >>> 5]! &= ~(1 << (reg & 31));
  }
  set(other: RegisterSet): void {
    this.words.set(other.words);
  }
  /** @returns whether anything was new. */
  addAll(other: RegisterSet): boolean {
    let grew = false;
    for (let i = 0; i < this.words.length; i++) {
      const before = this.words[i]!;
      const after = (before | other.words[i]!) >>> 0;
      grew ||= after !== before;
      this.words[i] = after;
    }
    return grew;
  }
  forEach(visit: (reg: Reg) => void): void {
    for (let i = 0; i < this.words.length; i++) {
      for (let word = this.words[i]!; word !== 0; word &= word - 1)
        visit((i << 5) + 31 - Math.clz32(word & -word));
    }
  }
}

/** What is alive at the end of each block. */
export function liveness(code: Code, blocks: readonly Block[]): Map<Block, RegisterSet> {
  const atStart = new Map(blocks.map((block) => [block, new RegisterSet(code.registers)]));
  const atEnd = new Map(blocks.map((block) => [block, new RegisterSet(code.registers)]));
  const live = new RegisterSet(code.registers);
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      const end = atEnd.get(block)!;
      for (const to of successors(block)) end.addAll(atStart.get(to)!);
      live.set(end);
      forEachBackwards(block, live, () => {});
      if (atStart.get(block)!.addAll(live)) changed = true;
    }
  }
  return atEnd;
}

/**
 * Walks a block from its end. `visit` gets the index of each instruction with `live` as it is right after it; after the
 * call `live` is as before the instruction.
 */
export function forEachBackwards(
  block: Block,
  live: RegisterSet,
  visit: (index: number) => void,
): void {
  const add = (reg: Reg) => {
    if (reg !== allocatable) live.add(reg);
  };
  forEachRead(block.end, add);
  for (let i = block.instructions.length - 1; i >= 0; i--) {
    visit(i);
    const instruction = block.instructions[i];
    if (instruction === undefined) continue;
    const to = written(instruction);
    if (to !== undefined) live.delete(to);
    if (instruction.op === "call") for (let reg = 0; reg < clobbered; reg++) live.delete(reg);
    forEachRead(instruction, add);
  }
}
