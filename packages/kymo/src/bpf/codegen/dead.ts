/** Removes instructions whose result nobody reads, and stores to the stack that are overwritten at once. */
import { forEachBackwards, liveness, RegisterSet, reachable } from "./flow.ts";
import { type Code, type Instruction, written } from "./machine.ts";

export function removeDead(code: Code): void {
  for (let changed = true; changed; ) {
    changed = false;
    const blocks = reachable(code);
    const liveAtEnd = liveness(code, blocks);
    for (const block of blocks) {
      const live = new RegisterSet(code.registers);
      live.set(liveAtEnd.get(block)!);
      const dead = new Set<Instruction>();
      forEachBackwards(block, live, (i) => {
        const instruction = block.instructions[i]!;
        const to = written(instruction);
        if (to !== undefined && instruction.op !== "call" && !live.has(to)) dead.add(instruction);
      });
      if (dead.size === 0) continue;
      block.instructions = block.instructions.filter((instruction) => !dead.has(instruction));
      changed = true;
    }
  }
}

/** Within a block, and only what nothing can have read in between: keys are zeroed whole, then filled. */
export function removeDeadStores(code: Code): void {
  for (const block of reachable(code)) {
    const dead = new Set<Instruction>();
    /** Bytes of a place on the stack that are written before anyone reads them. */
    const overwritten = new Map<number, Set<number>>();
    for (const instruction of block.instructions.toReversed()) {
      if (instruction.op === "store" && "place" in instruction.address) {
        const { place, offset } = instruction.address;
        const bytes = Array.from({ length: instruction.bytes }, (_, i) => offset + i);
        const covered = overwritten.get(place) ?? new Set();
        if (bytes.every((byte) => covered.has(byte))) dead.add(instruction);
        overwritten.set(place, new Set([...covered, ...bytes]));
      } else if (instruction.op === "call" || instruction.op === "atomicAdd") {
        overwritten.clear();
      } else if (instruction.op === "load" && instruction.isConstant !== true) {
        // Through any pointer: it may lead to the stack. What comes from the context does not.
        overwritten.clear();
      }
    }
    if (dead.size > 0)
      block.instructions = block.instructions.filter((instruction) => !dead.has(instruction));
  }
}
