/** Random programs: compiled, loaded, run; the kernel and the interpreter must agree. */
import type { Libc } from "../../../linux/libc.ts";
import { interpret } from "../../ir/interpret.ts";
import { MapModel } from "../../ir/memory.ts";
import { maps, randomProgram } from "../../ir/random.ts";
import { BpfError } from "../../kernel/bpf.ts";
import { ProbeError } from "../../program.ts";
import { compile } from "../index.ts";
import { explainRefusal } from "../verifier-log.ts";
import { difference, KernelRun } from "./kernel-run.ts";

export type Outcome =
  | { readonly kind: "agree"; readonly instructions: number }
  /** The kernel, or the compiler (stack), does not take it. */
  | { readonly kind: "refused"; readonly error: ProbeError; readonly log: string }
  | { readonly kind: "differ"; readonly what: string };

export class Fuzzer {
  readonly #kernel: KernelRun;

  constructor(libc: Libc) {
    this.#kernel = new KernelRun(libc, Object.values(maps));
  }

  try(seed: number): Outcome {
    const { handler, context } = randomProgram(seed);
    const kernel = this.#kernel;
    // Both instruction sets, in turn.
    const isa = seed % 2 === 0 ? 4 : 3;
    let program: ReturnType<typeof compile>;
    try {
      program = compile(handler, { isa });
    } catch (error) {
      if (error instanceof ProbeError) return { kind: "refused", error, log: "" };
      throw error;
    }
    let fd: number;
    try {
      fd = kernel.load(program, handler);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      const explained = explainRefusal(error.log, program, handler);
      return { kind: "refused", error: explained, log: error.log };
    }
    kernel.reset();
    const result = kernel.run(fd, context.slice());
    kernel.close(fd);
    const models = new Map(Object.values(maps).map((spec) => [spec, new MapModel(spec)]));
    const expected = interpret(handler, { context, maps: models });
    const what =
      result === Number(BigInt.asUintN(32, expected))
        ? difference(kernel, models)
        : `the kernel returns ${result}, the interpreter ${BigInt.asUintN(32, expected)}`;
    if (what !== undefined) return { kind: "differ", what };
    return { kind: "agree", instructions: program.instructions.length / 8 };
  }
}
