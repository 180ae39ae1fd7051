/** Writes instructions into blocks, one block at a time. */
import type { SourceAt } from "../ir.ts";
import {
  type Block,
  type Branch,
  type Code,
  firstVirtual,
  type Instruction,
  type Reg,
  type StackPlace,
  type Terminator,
} from "./machine.ts";

type WithoutPlace<T> = T extends unknown ? Omit<T, "at"> : never;

export class Builder {
  readonly code: Code;
  /** Where in the source what is written next comes from. */
  at: SourceAt | undefined;
  #block: Block;
  #ended = false;
  #blocks = 0;
  #depth = 0;
  #scratch: StackPlace | undefined;

  constructor() {
    this.#block = this.block();
    this.code = { entry: this.#block, stack: [], registers: firstVirtual };
  }

  reg(): Reg {
    return this.code.registers++;
  }

  block(): Block {
    return {
      id: this.#blocks++,
      instructions: [],
      end: { op: "exit", at: undefined },
      depth: this.#depth,
    };
  }

  /** Everything that `write` starts is inside one more loop. */
  inLoop(write: () => void): void {
    this.#depth++;
    write();
    this.#depth--;
  }

  write(instruction: WithoutPlace<Instruction>): void {
    if (!this.#ended) this.#block.instructions.push({ ...instruction, at: this.at } as Instruction);
  }

  jump(to: Block): void {
    this.#end({ op: "jump", to, at: this.at });
  }
  exit(): void {
    this.#end({ op: "exit", at: this.at });
  }
  branch(branch: Omit<Branch, "op" | "at">): void {
    this.#end({ op: "branch", ...branch, at: this.at });
  }

  /** What is written from now on goes here. What was written before and not ended falls through to it. */
  start(block: Block): void {
    if (!this.#ended) this.jump(block);
    this.#block = block;
    this.#ended = false;
  }

  /** Nothing that would be written now can be reached. */
  get ended(): boolean {
    return this.#ended;
  }

  place(bytes: number, name: string | undefined): StackPlace {
    return this.code.stack.push({ bytes, name }) - 1;
  }

  /** 8 bytes for what is read back at once. */
  scratch(): StackPlace {
    this.#scratch ??= this.place(8, undefined);
    return this.#scratch;
  }

  #end(terminator: Terminator): void {
    if (!this.#ended) this.#block.end = terminator;
    this.#ended = true;
  }
}
