import { expect } from "vitest";
import { loadLibc } from "../../linux/libc.ts";
import { testNeeding } from "../../testing/capability.ts";
import { interpret } from "../ir/interpret.ts";
import { MapModel } from "../ir/memory.ts";
import { maps, randomProgram } from "../ir/random.ts";
import type { Handler } from "../ir.ts";
import { u64 } from "../ir.ts";
import { compile } from "./index.ts";
import { Fuzzer } from "./testing/fuzz.ts";
import { difference, KernelRun } from "./testing/kernel-run.ts";

const leastPrograms = 500;
/** CI goes on with the seeds after them for so long; `npm run fuzz` takes as many as it is given. */
const moreMs = process.env["CI"] === "true" ? 60_000 : 0;

testNeeding("bpf")(
  "random programs do in the kernel what the interpreter says",
  { timeout: 60_000 + 2 * moreMs },
  async () => {
    const fuzzer = new Fuzzer(await loadLibc());
    const until = performance.now() + moreMs;
    let [seed, refused] = [0, 0];
    while (seed < leastPrograms || performance.now() < until) {
      const outcome = fuzzer.try(++seed);
      if (outcome.kind === "differ") expect.fail(`seed ${seed}: ${outcome.what}`);
      if (outcome.kind !== "refused") continue;
      refused++;
      expect(outcome.error.line, `seed ${seed}: ${outcome.error.message}`).toBeDefined();
    }
    expect(refused / seed).toBeLessThanOrEqual(0.05);
  },
);

testNeeding("bpf")("a wrong word in a map or in the ring is noticed", async () => {
  const kernel = new KernelRun(await loadLibc(), Object.values(maps));
  const { context } = randomProgram(1);
  const ran = storing(1n, 2n);
  const fd = kernel.load(compile(ran), ran);
  const against = (expected: Handler) => {
    kernel.reset();
    kernel.run(fd, context);
    const models = new Map(Object.values(maps).map((spec) => [spec, new MapModel(spec)]));
    interpret(expected, { context, maps: models });
    return difference(kernel, models);
  };
  expect(against(storing(1n, 2n))).toBeUndefined();
  expect(against(storing(3n, 2n))).toMatch(/^out: the kernel has 00000000: 0100000000000000/);
  expect(against(storing(1n, 3n))).toBe(
    "ring: the kernel has 0200000000000000, the interpreter 0300000000000000",
  );
  kernel.close(fd);
});

/** Stores one word in the map `out`, and emits another. */
function storing(word: bigint, emitted: bigint): Handler {
  const [out, ring, losses] = [maps.out, maps.ring, maps.losses];
  return {
    name: "storing",
    files: [],
    maps: [out, ring, losses],
    slots: [],
    localCount: 0,
    body: [
      {
        op: "store",
        type: u64,
        to: { op: "mapValue", map: 0, offset: 0 },
        offset: 0,
        value: { op: "const", value: word },
      },
      {
        op: "emit",
        ring: 1,
        losses: 2,
        site: 0,
        bytes: 8,
        body: [
          {
            op: "store",
            type: u64,
            to: { op: "record" },
            offset: 0,
            value: { op: "const", value: emitted },
          },
        ],
      },
    ],
    result: 0n,
  };
}
