import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { skipHere, testNeeding } from "../../testing/capability.ts";
import { parseKallsyms, readKernelSymbols } from "./kallsyms.ts";

const text = (lines: readonly string[]): Uint8Array => Buffer.from(`${lines.join("\n")}\n`);
const sample = [
  "ffffffff81000000 T _text",
  "ffffffff81000000 T startup_64",
  "ffffffff81000100 t local_one",
  "ffffffff81000100 T __alias",
  "ffffffff81000200 T __pfx_do_work",
  "ffffffff81000210 T do_work",
  "ffffffff81000300 D some_data",
  "ffffffff81000400 W weak_function",
  "ffffffff81000500 T _etext",
  "ffffffffc0100000 t mod_init\t[my_mod]",
  "ffffffffc0100040 t bpf_prog_6deef7357e7b4530\t[bpf]",
];

test("functions of the kernel and of modules, by any address inside", () => {
  const kernel = parseKallsyms(text(sample), (module) =>
    module === undefined ? "aa" : module === "my_mod" ? "bb" : undefined,
  );
  const frame = (ip: bigint) => kernel.frame(ip);
  expect(frame(0xffffffff81000000n)).toEqual({
    name: "startup_64",
    module: "[kernel.kallsyms]",
    buildId: "aa",
    address: 0xffffffff81000000n,
  });
  expect(frame(0xffffffff810001ffn).name).toBe("__alias");
  expect(frame(0xffffffff810002ffn)).toMatchObject({
    name: "do_work",
    address: 0xffffffff81000210n,
  });
  expect(frame(0xffffffff81000205n).name).toBe("__alias"); // padding belongs to what stands before it
  expect(frame(0xffffffff81000300n).name).toBe("[kernel]"); // data is no function
  expect(frame(0xffffffff81000420n).name).toBe("weak_function");
  expect(frame(0xffffffff81000500n).name).toBe("[kernel]");
  expect(frame(0xffffffffc0100020n)).toMatchObject({
    name: "mod_init",
    module: "[my_mod]",
    buildId: "bb",
  });
  expect(frame(0xffffffffc0100041n)).toEqual({
    name: "bpf_prog_6deef7357e7b4530",
    module: "[bpf]",
    address: 0xffffffffc0100040n,
  });
  expect(frame(0xffffffffc0100001n)).toBe(frame(0xffffffffc0100002n));
  expect(frame(0n).name).toBe("[kernel]");
  expect(kernel.hidden).toBeUndefined();
});

test("addresses of zero say that they are hidden, why, and how to see them", () => {
  const hidden = text(sample.map((line) => line.replace(/^\w+/, "0000000000000000")));
  const kernel = parseKallsyms(
    hidden,
    () => undefined,
    () => "kernel.kptr_restrict is 2",
  );
  expect(kernel.hidden?.reason).toBe("kernel addresses are hidden (kernel.kptr_restrict is 2)");
  expect(kernel.hidden?.fix).toContain("kernel.kptr_restrict=0");
  expect(kernel.frame(0xffffffff81000000n)).toEqual({
    name: "[kernel]",
    module: "[kernel.kallsyms]",
  });
});

test.each([
  ["nothing", ""],
  ["no lines", "\n\n\n"],
  ["another text", "kernel functions: none today\nffff T\nffffffff81000000 T"],
  ["too many digits", "ffffffffffffffffffffffff T f\n"],
])("%s is words, not an error", (_, content) => {
  expect(parseKallsyms(Buffer.from(content)).hidden?.reason).toContain("lists no functions");
});

test("a missing /proc/kallsyms is words", () => {
  expect(readKernelSymbols("/nonexistent", "/nonexistent").hidden?.reason).toBe(
    "/nonexistent/kallsyms: ENOENT",
  );
});

testNeeding("linux", "root")(
  "this kernel: all its functions are found under one of their names",
  (context) => {
    const start = performance.now();
    const kernel = readKernelSymbols("/proc", "/sys");
    const loadMs = performance.now() - start;
    if (kernel.hidden !== undefined) return skipHere(context, kernel.hidden.reason);
    const byAddress = new Map<string, Set<string>>();
    for (const line of readFileSync("/proc/kallsyms", "utf8").split("\n")) {
      const match = /^([0-9a-f]+) [tTwW] (\S+)(?:\s+\[(\S+)\])?/.exec(line);
      // Programs and trampolines come and go, of whoever probes this machine just now.
      if (match === null || match[3] === "bpf" || match[3]?.startsWith("__builtin__")) continue;
      byAddress.set(match[1]!, (byAddress.get(match[1]!) ?? new Set()).add(match[2]!));
    }
    let wrong = 0;
    for (const [address, names] of byAddress) {
      const frame = kernel.frame(BigInt(`0x${address}`));
      const special = /^(?:__pfx_|__cfi_|_etext$|_einittext$|_sinittext$|_s?text$)/;
      if (!names.has(frame.name) && ![...names].every((name) => special.test(name))) wrong++;
    }
    console.log(`${kernel.count} kernel functions in ${loadMs.toFixed(0)} ms`);
    expect(wrong).toBe(0);
    expect(kernel.frame(BigInt(`0x${[...byAddress.keys()][0]}`)).buildId).toMatch(/^[0-9a-f]{40}$/);
  },
);
