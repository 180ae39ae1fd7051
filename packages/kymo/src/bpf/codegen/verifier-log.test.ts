import { expect, test } from "vitest";
import { loadLibc } from "../../linux/libc.ts";
import { testNeeding } from "../../testing/capability.ts";
import type { Block, Expr, Handler, MapSpec, Statement } from "../ir.ts";
import { u8, u64 } from "../ir.ts";
import { BpfError } from "../kernel/bpf.ts";
import type { ProbeError, Program } from "../program.ts";
import { compile } from "./index.ts";
import { KernelRun } from "./testing/kernel-run.ts";
import { explainRefusal } from "./verifier-log.ts";

const hash: MapSpec = { kind: "hash", name: "h", keyBytes: 8, valueBytes: 16, max: 8 };
const ring: MapSpec = { kind: "ring", name: "r", keyBytes: 0, valueBytes: 0, max: 4096 };
const losses: MapSpec = { kind: "array", name: "l", keyBytes: 4, valueBytes: 8, max: 1 };
const value: Expr = { op: "local", local: 0 };
const key: Expr = { op: "slot", slot: 0, offset: 0 };
const lookup: Expr = { op: "call", helper: 1, args: [{ op: "map", map: 0 }, key] };

/** A handler of which each statement is on a line of its own: `at` is the line's index. */
function handlerOf(...body: Statement[]): Handler {
  const lines = body.map((_, i) => `statement ${i + 1};\n`);
  return {
    name: "refused",
    files: [{ path: "refused.probe.ts", text: lines.join("") }],
    maps: [hash, ring, losses],
    slots: [{ bytes: 8, name: "key" }],
    localCount: 4,
    body: body.map((statement, i) => ({
      ...statement,
      at: { file: 0, offset: lines.slice(0, i).join("").length },
    })),
    result: 0n,
  };
}

const cleared: Statement = { op: "zero", to: key, offset: 0, bytes: 8 };
const found: Statement = { op: "assign", local: 0, value: lookup };
const load = (from: Expr, offset: number): Expr => ({
  op: "load",
  type: u64,
  memory: "direct",
  from,
  offset,
});
const context: Expr = { op: "context" };
const isThere: Expr = value;
const give = (result: Expr): Statement => ({ op: "return", value: result });
const deepLoop = (most: number, body: Block): Statement => ({
  op: "for",
  local: 1,
  from: { op: "const", value: 0n },
  to: { op: "const", value: BigInt(most) },
  step: 1n,
  signed: false,
  most,
  body,
});
/** Two ways through each round that never look alike to the verifier. */
const fork: Statement = {
  op: "if",
  condition: {
    op: "binary",
    operator: "&",
    signed: false,
    left: load(context, 0),
    right: { op: "const", value: 1n },
  },
  then: [
    {
      op: "assign",
      local: 2,
      value: {
        op: "binary",
        operator: "+",
        signed: false,
        left: { op: "local", local: 2 },
        right: { op: "local", local: 1 },
      },
    },
  ],
  else: [],
};

const refused: { name: string; handler: Handler; line: number; message: RegExp }[] = [
  {
    name: "a value that may be absent",
    handler: handlerOf(cleared, found, give(load(value, 0))),
    line: 3,
    message: /may be absent \(null\).*\(the kernel: R\d invalid mem access 'map_value_or_null'\)/,
  },
  {
    name: "past the end of a map's value",
    handler: handlerOf(cleared, found, {
      op: "if",
      condition: isThere,
      then: [give(load(value, 16))],
      else: [],
    }),
    line: 3,
    message: /outside of the memory.*\(the kernel: .*value_size=16 off=16 size=8/,
  },
  {
    name: "an index that nothing bounds",
    handler: handlerOf(cleared, found, {
      op: "if",
      condition: isThere,
      then: [
        give({
          op: "load",
          type: u8,
          memory: "direct",
          from: {
            op: "binary",
            operator: "+",
            signed: false,
            left: value,
            right: load(context, 0),
          },
          offset: 0,
        }),
      ],
      else: [],
    }),
    line: 3,
    message: /outside of the memory/,
  },
  {
    name: "a number used as a pointer",
    handler: handlerOf(cleared, give(load(load(context, 0), 0))),
    line: 2,
    message: /no pointer that the kernel trusts/,
  },
  {
    name: "more rounds than the kernel checks",
    handler: handlerOf(
      cleared,
      { op: "assign", local: 2, value: load(context, 8) },
      deepLoop(400_000, [fork]),
      give({ op: "local", local: 2 }),
    ),
    line: 3,
    message: /more than the kernel is willing to check/,
  },
  {
    name: "a helper that the kernel does not have",
    handler: handlerOf(cleared, { op: "eval", value: { op: "call", helper: 9999, args: [] } }),
    line: 2,
    message: /doesn't have.*\(the kernel: invalid func unknown#9999\)/,
  },
];

const kernelTest = testNeeding("bpf");
for (const { name, handler, line, message } of refused)
  kernelTest(`the kernel refuses ${name}, at its line and in words`, async () => {
    const kernel = new KernelRun(await loadLibc(), handler.maps);
    const error = refusal(kernel, handler);
    expect(error.file).toBe("refused.probe.ts");
    expect(error.toString()).toMatch(message);
    expect(error.line).toBe(line);
  });

function refusal(kernel: KernelRun, handler: Handler): ProbeError {
  const program = compile(handler);
  try {
    kernel.close(kernel.load(program, handler));
  } catch (error) {
    if (error instanceof BpfError) return explainRefusal(error.log, program, handler);
    throw error;
  }
  throw new Error("the kernel took it");
}

const program: Program = {
  name: "p",
  instructions: new Uint8Array(80),
  mapReferences: [],
  kfuncReferences: [],
  lines: [
    { instruction: 0, at: { file: 0, offset: 0 } },
    { instruction: 4, at: { file: 0, offset: 13 } },
  ],
  stackBytes: 0,
};
const twoLines = handlerOf(cleared, found);

test.each([
  [
    "0: R1=ctx() R10=fp0\n5: (85) call bpf_copy_from_user#148\nhelper call might sleep in a non-sleepable prog\nprocessed 6 insns (limit 1000000)\n",
    2,
    /must not/,
  ],
  [
    "3: (85) call bpf_get_stackid#27\nprogram of this type cannot use helper bpf_get_stackid#27\nprocessed 4 insns (limit 1000000)\n",
    1,
    /^bpf_get_stackid is not available in this kind of probe/,
  ],
  [
    "7: (95) exit\nUnreleased reference id=2 alloc_insn=3\nprocessed 8 insns\n",
    2,
    /isn't given back/,
  ],
  ["back-edge from insn 6 to 4\nprocessed 0 insns\n", 2, /can't see that this loop ends/],
  [
    "2: (79) r1 = *(u64 *)(r1 +88)\ninvalid bpf_context access off=88 size=8\nprocessed 3 insns\n",
    1,
    /no readable field at byte 88 \(8 bytes\)/,
  ],
  [
    "5: (7d) if r3 s>= r2 goto pc+2 BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns\n",
    2,
    /more than the kernel is willing to check/,
  ],
  [
    "5: (15) if r0 == 0x0 goto pc+2         ; R0=map_value(map=h)\nBPF program is too large. Processed 1000001 insn\n",
    2,
    /\(the kernel: BPF program is too large\. Processed 1000001 insn\)$/,
  ],
  [
    "1: (b7) r0 = 0\nsomething new\nprocessed 2 insns\n",
    1,
    /^the kernel refuses this .*something new/,
  ],
  ["", 1, /no reason given/],
])("a log ending as %j", (log, line, message) => {
  const error = explainRefusal(log, program, twoLines);
  expect(error.message).toMatch(message);
  expect(error.line).toBe(line);
});
