import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { skipHere, testNeeding } from "../../testing/capability.ts";
import { fileSource } from "./byte-source.ts";
import { Module } from "./module.ts";
import { armSlots } from "./plt.ts";

const fixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
function openModule(file: string, roots: readonly string[] = [""], seenAs = file): Module {
  const source = fileSource(file);
  try {
    return new Module(source, seenAs, roots);
  } finally {
    source.close();
  }
}
const names = (module: Module, addresses: readonly number[]): string[] =>
  addresses.map((address) => module.frameAt(address).name);

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "kymo-symbols-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("shapes.so", () => {
  test("functions, static ones, labels and stubs have names; aliases have one", () => {
    const module = openModule(fixture("shapes.so"));
    expect(names(module, [0x420, 0x422, 0x423, 0x42e, 0x42f, 0x43b])).toEqual([
      "bare_label",
      "bare_label",
      "first",
      "first",
      "second",
      "calls_outside",
    ]);
    expect(names(module, [0x400, 0x404, 0x40f, 0x410, 0x41f])).toEqual([
      "outside@plt",
      "outside@plt",
      "outside@plt",
      "first@plt",
      "first@plt",
    ]);
    expect(module.buildId).toBe("0123456789abcdef0123456789abcdef01234567");
  });

  test("stripped, what is exported keeps its name and the rest its place, from unwind tables", () => {
    const module = openModule(fixture("shapes-stripped.so"), []);
    expect(names(module, [0x420, 0x423, 0x42f, 0x431, 0x43b])).toEqual([
      "bare_label",
      "first",
      "shapes-stripped.so+0x42f",
      "shapes-stripped.so+0x42f",
      "calls_outside",
    ]);
    expect(module.frameAt(0x431)).toBe(module.frameAt(0x42f));
    expect(module.frameAt(0x431).address).toBe(0x42fn);
  });

  test.each([
    ["beside it, by debug link", "lib/shapes.debug"],
    ["in .debug, by debug link", "lib/.debug/shapes.debug"],
    ["below /usr/lib/debug, by debug link", "usr/lib/debug/lib/shapes.debug"],
    ["by build id", "usr/lib/debug/.build-id/01/23456789abcdef0123456789abcdef01234567.debug"],
  ])("a debug file is found %s", (_, place) => {
    const root = mkdtempSync(path.join(directory, "root-"));
    mkdirSync(path.join(root, "lib"), { recursive: true });
    mkdirSync(path.dirname(path.join(root, place)), { recursive: true });
    copyFileSync(fixture("shapes-stripped.so"), path.join(root, "lib/shapes.so"));
    copyFileSync(fixture("shapes.debug"), path.join(root, place));
    const module = openModule(path.join(root, "lib/shapes.so"), [root], "/lib/shapes.so");
    expect(names(module, [0x42f, 0x423])).toEqual(["second", "first"]);
    expect(module.frameAt(0x42f).module).toBe("/lib/shapes.so");
  });

  test("a debug file of another build is not believed", () => {
    const root = mkdtempSync(path.join(directory, "root-"));
    const place = path.join(root, "usr/lib/debug/.build-id/01");
    mkdirSync(place, { recursive: true });
    mkdirSync(path.join(root, "lib"));
    copyFileSync(fixture("shapes-stripped.so"), path.join(root, "lib/shapes.so"));
    const wrong = Buffer.from(execFileSync("cat", [fixture("shapes.debug")]));
    const at = wrong.indexOf(Buffer.from("0123456789abcdef", "hex"));
    wrong[at] = 0xff;
    writeFileSync(path.join(place, "23456789abcdef0123456789abcdef01234567.debug"), wrong);
    writeFileSync(path.join(root, "lib/shapes.debug"), wrong);
    const module = openModule(path.join(root, "lib/shapes.so"), [root], "/lib/shapes.so");
    expect(names(module, [0x42f])).toEqual(["shapes.so+0x42f"]);
  });
});

const program = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static __attribute__((noinline)) int collatz(long n) { int steps = 0; while (n != 1) { n = n % 2 ? 3 * n + 1 : n / 2; steps++; } return steps; }
__attribute__((noinline)) int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
__attribute__((constructor)) static void early(void) { setvbuf(stdout, 0, _IONBF, 0); }
int main(int argc, char **argv) {
  int numbers[64]; memset(numbers, 0, sizeof numbers);
  for (int i = 0; i < 64; i++) numbers[i] = collatz(i + argc);
  qsort(numbers, 64, sizeof *numbers, compare);
  printf("%d %s\\n", numbers[63], argv[0]);
  return 0;
}`;

describe("against the peers, on a program just compiled", () => {
  const kinds: readonly (readonly [string, readonly string[]])[] = [
    ["position independent", ["-O1", "-fPIE", "-pie"]],
    ["at a fixed address", ["-O2", "-no-pie"]],
    ["static", ["-O2", "-static"]],
    ["one section a function, no PLT", ["-O2", "-ffunction-sections", "-fno-plt", "-Wl,-z,now"]],
    ["with lazy binding and CET", ["-O1", "-fcf-protection=full", "-Wl,-z,lazy"]],
    ["packed into few segments", ["-O1", "-Wl,-z,noseparate-code", "-Wl,--build-id=md5"]],
  ];
  testNeeding("linux", "cc", "nm", "addr2line", "readelf").each(kinds)("%s", (kind, flags) => {
    const file = path.join(directory, kind.replace(/\W/g, "-"));
    writeFileSync(`${file}.c`, program);
    execFileSync("cc", [...flags, "-o", file, `${file}.c`], { stdio: "pipe" });
    const module = openModule(file, []);
    const run = (command: string, args: readonly string[], input = ""): string =>
      execFileSync(command, args, { encoding: "utf8", input, maxBuffer: 1 << 28 });

    // nm: every function's first and last byte has one of the names that nm gives that address.
    const byAddress = new Map<number, string[]>();
    const functions: { at: number; size: number }[] = [];
    for (const line of run("nm", ["-S", "--defined-only", file]).split("\n")) {
      const match = /^([0-9a-f]+) ([0-9a-f]+) [tTwWiI] (\S+)$/.exec(line);
      if (match === null) continue;
      const at = Number.parseInt(match[1]!, 16);
      const size = Number.parseInt(match[2]!, 16);
      byAddress.set(at, [...(byAddress.get(at) ?? []), match[3]!.replace(/@.*/, "")]);
      if (size > 0) functions.push({ at, size });
    }
    expect(functions.length).toBeGreaterThan(3);
    const wrong = functions.filter(
      ({ at }) => !byAddress.get(at)!.includes(module.frameAt(at).name),
    );
    expect(wrong).toEqual([]);
    expect(byAddress.get(functions[0]!.at)).toContain(
      module.frameAt(functions[0]!.at + functions[0]!.size - 1).name,
    );

    // addr2line -f: the same function for addresses all over .text, where both know one.
    const text = /\.text\s+PROGBITS\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)/.exec(
      run("readelf", ["-SW", file]),
    )!;
    const [start, size] = [Number.parseInt(text[1]!, 16), Number.parseInt(text[2]!, 16)];
    const addresses = Array.from({ length: 400 }, (_, i) => start + Math.floor((i * size) / 400));
    const peer = run(
      "addr2line",
      ["-f", "-e", file],
      addresses.map((a) => a.toString(16)).join("\n"),
    ).split("\n");
    const differing = addresses.filter((address, i) => {
      const theirs = peer[2 * i]!;
      const ours = module.frameAt(address);
      if (theirs === "??" || ours.name.includes("+0x") || ours.address === undefined) return false;
      return ours.name !== theirs && !byAddress.get(Number(ours.address))?.includes(theirs);
    });
    // Padding between functions: addr2line gives it to the one before, we to nobody or to an unsized label.
    expect(differing.length / addresses.length).toBeLessThan(0.01);

    // readelf -n
    const note = /Build ID: ([0-9a-f]+)/.exec(run("readelf", ["-n", file]));
    expect(module.buildId).toBe(note?.[1]);

    // objdump: the calls of main go to stubs of the same names.
    if (!flags.includes("-static") && !flags.includes("-fno-plt")) {
      for (const match of run("objdump", ["-d", file]).matchAll(/^([0-9a-f]+) <(\w+@plt)>:/gm))
        expect(module.frameAt(Number.parseInt(match[1]!, 16)).name).toBe(match[2]);
    }
  });
});

testNeeding("linux")("node's own symbols load fast; the CPU time is printed", (context) => {
  // CPU time: other tests run beside this one.
  const cpuMs = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const times: number[] = [];
  let count = 0;
  let bytes = 0;
  for (let i = 0; i < 5; i++) {
    const start = cpuMs();
    const module = openModule(process.execPath, []);
    times.push(cpuMs() - start);
    count = module.symbolCount;
    bytes = module.byteLength;
  }
  if (count < 10_000) return skipHere(context, "this node is stripped");
  console.log(
    `${count} functions of ${path.basename(process.execPath)}: ${times.map((ms) => ms.toFixed(0)).join(", ")} ms of CPU, ${(bytes / 1e6).toFixed(1)} MB`,
  );
  expect(Math.min(...times)).toBeLessThan(1500);
});

test("AArch64 stubs are read by their instructions", () => {
  // As objdump shows them: 5d4: adrp x16, 10000; ldr x17, [x16, #4088]; add; br x17. Then one behind `bti c`.
  const words = [
    0xa9bf7bf0, 0x90000090, 0xf947fe11, 0x913fe210, 0xd61f0220, 0xd503245f, 0xb0000090, 0xf9400211,
  ];
  const code = new Uint8Array(Uint32Array.from(words).buffer);
  expect([...armSlots(code, 0x5d0, true)]).toEqual([
    [0x5d4, 0x10ff8],
    [0x5e4, 0x11000],
  ]);
});
