/** Removes instructions whose result nobody reads. */
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
