/**
 * The back end: a handler's meaning to instructions.
 *
 *     Handler ─ lower.ts ─► blocks of virtual registers ─ allocate.ts ─► machine registers ─ encode.ts ─► Program
 */
import os from "node:os";
import type { Handler } from "../ir.ts";
import { ProbeError, type Program } from "../program.ts";
import { allocate } from "./allocate.ts";
import { removeDead, removeDeadStores } from "./dead.ts";
import { encode, type Isa, type StackLayout } from "./encode.ts";
import { reachable, tidyBlocks } from "./flow.ts";
import { forwardLocals } from "./forward.ts";
import { lower } from "./lower.ts";
import type { Code, Instruction } from "./machine.ts";
import { hoistConstants, threadJumps } from "./thread.ts";

/** Of a program's own, by the kernel's rule. */
export const stackBytesMax = 512;

export interface CompileOptions {
  /** Instructions to use: 3 runs on every kernel with a BPF ring buffer, 4 on Linux 6.6 and newer. Default: this kernel's. */
  readonly isa?: Isa;
}

/** @throws ProbeError when the handler needs more stack than there is, or is too long. */
export function compile(handler: Handler, options: CompileOptions = {}): Program {
  const isa = options.isa ?? isaOf(os.release());
  const code = lower(forwardLocals(handler), isa);
  tidyBlocks(code);
  threadJumps(code);
  hoistConstants(code);
  tidyBlocks(code);
  removeDeadStores(code);
  removeDead(code);
  tidyBlocks(code);
  allocate(code);
  // Moves that vanished leave empty blocks.
  tidyBlocks(code);
  const { layout, bytes } = placeOnStack(code);
  if (bytes > stackBytesMax) throw tooMuchStack(handler, code, layout, bytes);
  try {
    return { name: handler.name, ...encode(code, layout, isa), stackBytes: bytes };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ProbeError("the probe is too long for the kernel", startOf(handler));
  }
}

/** `release` as uname(2) has it: "6.18.44-…". */
export function isaOf(release: string): Isa {
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  return major > 6 || (major === 6 && minor >= 6) ? 4 : 3;
}

function placeOnStack(code: Code): { layout: StackLayout; bytes: number } {
  const used = new Set<number>();
  const note = (instruction: Instruction) => {
    if (instruction.op === "frame") used.add(instruction.place);
    if ("address" in instruction && "place" in instruction.address)
      used.add(instruction.address.place);
  };
  for (const block of reachable(code)) block.instructions.forEach(note);
  let bytes = 0;
  const layout = code.stack.map((place, i) => {
    if (!used.has(i)) return undefined;
    bytes += (place.bytes + 7) & ~7;
    return bytes;
  });
  return { layout, bytes };
}

function tooMuchStack(
  handler: Handler,
  code: Code,
  layout: StackLayout,
  bytes: number,
): ProbeError {
  const named = code.stack
    .filter((place, i) => layout[i] !== undefined && place.name !== undefined)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 4)
    .map((place) => `${place.name} (${place.bytes} bytes)`);
  const what = named.length === 0 ? "its variables" : `the largest: ${named.join(", ")}`;
  return new ProbeError(
    `the probe needs ${bytes} bytes of stack, the kernel gives ${stackBytesMax}; ${what}`,
    startOf(handler),
    "read shorter strings (str(pointer, 64)), or put them straight into the event instead of a variable",
  );
}

function startOf(handler: Handler): ConstructorParameters<typeof ProbeError>[1] {
  const at = handler.body.find((statement) => statement.at !== undefined)?.at;
  const file = at === undefined ? undefined : handler.files[at.file];
  return at === undefined || file === undefined ? undefined : { file, offset: at.offset };
}
