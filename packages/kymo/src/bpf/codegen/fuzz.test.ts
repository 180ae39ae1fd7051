import { expect } from "vitest";
import { loadLibc } from "../../linux/libc.ts";
import { testNeeding } from "../../testing/capability.ts";
import { Fuzzer } from "./testing/fuzz.ts";

const programs = 500;

testNeeding("bpf")("random programs do in the kernel what the interpreter says", async () => {
  const fuzzer = new Fuzzer(await loadLibc());
  let refused = 0;
  for (let seed = 1; seed <= programs; seed++) {
    const outcome = fuzzer.try(seed);
    if (outcome.kind === "differ") expect.fail(`seed ${seed}: ${outcome.what}`);
    if (outcome.kind !== "refused") continue;
    refused++;
    expect(outcome.error.line, `seed ${seed}: ${outcome.error.message}`).toBeDefined();
  }
  expect(refused / programs).toBeLessThanOrEqual(0.05);
});
