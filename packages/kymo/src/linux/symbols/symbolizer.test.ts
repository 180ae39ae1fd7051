import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Problem } from "@kymo/trace";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { skipHere, testNeeding } from "../../testing/capability.ts";
import { AddressSpace, parseMaps } from "./address-space.ts";
import { Symbolizer } from "./index.ts";

const shapes = fileURLToPath(new URL("fixtures/shapes.so", import.meta.url));
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "kymo-symbolizer-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("with a /proc that knows nobody", () => {
  const mapping = { start: 0x7f00_0000_0000n, length: 0x1000, offset: 0, path: shapes };
  const at = (address: number): bigint => mapping.start + BigInt(address);
  const symbolizer = (problems: Problem[] = []): Symbolizer =>
    new Symbolizer({
      proc: path.join(directory, "no-proc"),
      onProblem: (problem) => problems.push(problem),
    });

  test("every address of a function gives the same frame, in all processes that map the file", () => {
    const one = symbolizer();
    one.map(10, mapping);
    one.map(11, { ...mapping, start: 0x5500_0000_0000 });
    const frame = one.frame(10, at(0x424), false);
    expect(frame).toEqual({
      name: "first",
      module: shapes,
      buildId: "0123456789abcdef0123456789abcdef01234567",
      address: 0x423n,
    });
    expect(one.frame(10, at(0x42e), false)).toBe(frame);
    expect(one.frame(11, 0x5500_0000_0424n, false)).toBe(frame);
    expect(one.frame(10, at(0x42f), false).name).toBe("second");
  });

  test("a child has what its parent had, until exec; a late sample of the dead is answered", () => {
    const one = symbolizer();
    one.map(10, mapping);
    one.fork(10, 11);
    one.fork(11, 12);
    one.map(11, { start: 0x1000, length: 0x1000, offset: 0, path: "//anon" });
    expect(one.frame(12, at(0x424), false).name).toBe("first");
    expect(one.frame(12, 0x1000n, false).name).toBe("[unknown]");
    expect(one.frame(11, 0x1000n, false).name).toBe("[anon]");
    one.exec(12);
    expect(one.frame(12, at(0x424), false).name).toBe("[unknown]");
    expect(one.frameBefore(12, at(0x424))?.name).toBe("first");
    expect(one.frameBefore(12, 0x1000n)).toBeUndefined();
    one.exit(11);
    expect(one.frame(11, at(0x424), false).name).toBe("first");
  });

  test("a new mapping covers the old one where they overlap", () => {
    const one = symbolizer();
    one.map(10, mapping);
    one.map(10, { start: at(0x42f), length: 0x10, offset: 0, path: "[heap]" });
    expect(one.frame(10, at(0x424), false).name).toBe("first");
    expect(one.frame(10, at(0x430), false).name).toBe("[heap]");
    expect(one.frame(10, at(0x440), false).name).toBe("calls_outside");
  });

  test("a file that is gone, no ELF file or of another build has one frame and, where it matters, a problem", () => {
    const problems: Problem[] = [];
    const one = symbolizer(problems);
    const script = path.join(directory, "script.sh");
    writeFileSync(script, "#!/bin/sh\n");
    one.map(10, { start: 0x1000, length: 0x1000, offset: 0, path: "/gone/lib.so" });
    one.map(10, { start: 0x3000, length: 0x1000, offset: 0, path: script });
    one.map(10, { ...mapping, buildId: "ff" });
    expect(one.frame(10, 0x1001n, false)).toEqual({ name: "[lib.so]", module: "/gone/lib.so" });
    expect(one.frame(10, 0x1fffn, false)).toBe(one.frame(10, 0x1001n, false));
    expect(one.frame(10, 0x3001n, false).name).toBe("[script.sh]");
    expect(problems).toEqual([]);
    expect(one.frame(10, at(0x424), false).name).toBe("[shapes.so]");
    expect(problems.map(({ message }) => message)).toEqual([
      `${shapes} has changed since it was mapped (build id 0123456789abcdef0123456789abcdef01234567, mapped ff): its functions have no names`,
    ]);
  });

  test("hidden kernel symbols are one frame and one problem", () => {
    const problems: Problem[] = [];
    const one = symbolizer(problems);
    one.prepare(); // says nothing yet: a recording of user space alone misses nothing
    expect(problems).toEqual([]);
    const frame = one.frame(10, 0xffffffff81000000n, true);
    expect(frame.name).toBe("[kernel]");
    expect(one.frame(11, 0xffffffff81234567n, true)).toBe(frame);
    expect(problems).toHaveLength(1);
    expect(problems[0]!.message).toContain("kernel functions have no names");
  });

  test("odd input: no length, beyond all memory, unknown processes", () => {
    const one = symbolizer();
    for (const length of [0, -5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])
      one.map(1, { start: 0x1000, length, offset: 0, path: "/x" });
    one.map(1, { start: 2n ** 64n - 1n, length: 10, offset: 0, path: "/x" });
    for (const ip of [0n, 0x1000n, 2n ** 63n, 2n ** 64n - 1n, -1n])
      expect(one.frame(1, ip, false).name).toBe("[unknown]");
    one.exit(77);
    one.exec(78);
    one.fork(79, 79);
    expect(one.frame(79, 5n, false).name).toBe("[unknown]");
  });

  test("pids are used again and thousands of processes come and go", () => {
    const one = symbolizer();
    one.map(1, mapping);
    for (let round = 0; round < 5000; round++) {
      const pid = 2 + (round % 1500);
      one.fork(1, pid);
      expect(one.frame(pid, at(0x424), false).name).toBe("first");
      one.exec(pid);
      one.exit(pid);
    }
    expect(one.frame(1, at(0x424), false).name).toBe("first");
  });
});

test("AddressSpace keeps what a new mapping leaves over of an old one", () => {
  const space = new AddressSpace();
  const add = (start: number, end: number, path: string) =>
    space.add({ start, end, offset: start, path, buildId: undefined });
  add(100, 200, "a");
  add(140, 160, "b");
  add(50, 110, "c");
  add(190, 300, "d");
  const seen = [60, 109, 110, 139, 140, 159, 160, 189, 190, 299, 300].map(
    (address) => space.find(address)?.path,
  );
  expect(seen).toEqual(["c", "c", "a", "a", "b", "b", "a", "a", "d", "d", undefined]);
  expect(space.find(170)).toEqual({
    start: 160,
    end: 190,
    offset: 160,
    path: "a",
    buildId: undefined,
  });
});

test("only executable mappings of /proc/PID/maps count", () => {
  const text = [
    "55d0c0a00000-55d0c0a01000 r--p 00000000 fe:00 12 /usr/bin/true",
    "55d0c0a01000-55d0c0a05000 r-xp 00001000 fe:00 12 /usr/bin/with space (deleted)",
    "7f39ea954000-7f39ea956000 r-xp 00000000 00:00 0                          [vdso]",
    "7f39ea960000-7f39ea961000 rwxp 00000000 00:00 0 ",
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
    "",
  ].join("\n");
  expect(parseMaps(text).map(({ path, start }) => [path, start])).toEqual([
    ["/usr/bin/with space (deleted)", 0x55d0c0a01000],
    ["[vdso]", 0x7f39ea954000],
    ["//anon", 0x7f39ea960000],
  ]);
});

/** Prints the addresses of two of its functions, then waits. */
const program = `
#include <stdio.h>
#include <unistd.h>
__attribute__((noinline)) int work(int x) { return x * 7; }
static __attribute__((noinline)) int helper(int x) { return work(x) + 1; }
int main(void) {
  printf("%p %p\\n", (void *)work, (void *)helper);
  fflush(stdout);
  getchar();
  return helper(3);
}`;

/** Starts a program and reads its two addresses. */
async function start(
  command: string,
  args: readonly string[] = [],
): Promise<{ child: ChildProcess; work: bigint; helper: bigint }> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  const [work, helper] = line.split(" ").map((text) => BigInt(text));
  return { child, work: work!, helper: helper! };
}
async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.stdin!.end();
  await exited;
}

describe("with living processes", () => {
  const compile = (name: string, flags: readonly string[]): string => {
    const file = path.join(directory, name);
    writeFileSync(`${file}.c`, program);
    execFileSync("cc", ["-O1", ...flags, "-o", file, `${file}.c`], { stdio: "pipe" });
    return file;
  };

  testNeeding("linux", "cc").each([
    ["pie", ["-pie", "-fPIE"]],
    ["fixed", ["-no-pie"]],
    ["static", ["-static"]],
  ] as const)(
    "a %s program nobody reported is found through /proc/PID/maps",
    async (name, flags) => {
      const file = compile(name, flags);
      const { child, work, helper } = await start(file);
      const symbolizer = new Symbolizer();
      expect(symbolizer.frame(child.pid!, work, false)).toMatchObject({
        name: "work",
        module: file,
      });
      expect(symbolizer.frame(child.pid!, helper + 1n, false).name).toBe("helper");
      symbolizer.fork(child.pid!, 999_999_999);
      expect(symbolizer.frame(999_999_999, work, false).name).toBe("work");
      await stop(child);
    },
  );

  testNeeding(
    "linux",
    "cc",
    "root",
  )("a deleted or replaced program is read from what is still mapped", async () => {
    const file = compile("deleted", ["-pie", "-fPIE"]);
    const { child, work } = await start(file);
    renameSync(compile("other", ["-static"]), file); // as a compiler does while the old program runs
    const symbolizer = new Symbolizer();
    expect(symbolizer.frame(child.pid!, work, false).name).toBe("work");
    await stop(child);
  });

  testNeeding(
    "linux",
    "cc",
    "root",
    "chroot",
  )("a program in another root is read there", async () => {
    const root = path.join(directory, "jail");
    mkdirSync(path.join(root, "opt"), { recursive: true });
    copyFileSync(compile("inner", ["-static"]), path.join(root, "opt/inner"));
    const { child, work } = await start("chroot", [root, "/opt/inner"]);
    const symbolizer = new Symbolizer();
    expect(symbolizer.frame(child.pid!, work, false)).toMatchObject({ name: "work" });
    // As capture reports it: the path the process itself uses.
    const line = readFileSync(`/proc/${child.pid}/maps`, "utf8")
      .split("\n")
      .find((one) => / r-xp /.test(one))!;
    const [start0, end0, offset] = /^(\w+)-(\w+) \S+ (\w+)/
      .exec(line)!
      .slice(1)
      .map((hex) => Number.parseInt(hex, 16));
    const told = new Symbolizer();
    told.exec(child.pid!);
    told.map(child.pid!, {
      start: start0!,
      length: end0! - start0!,
      offset: offset!,
      path: "/opt/inner",
    });
    expect(told.frame(child.pid!, work, false)).toMatchObject({
      name: "work",
      module: "/opt/inner",
    });
    await stop(child);
  });

  testNeeding("linux")("this process: node, its libraries and the vDSO", (context) => {
    const symbolizer = new Symbolizer();
    const maps = parseMaps(readFileSync("/proc/self/maps", "utf8"));
    const vdso = maps.find((one) => one.path === "[vdso]");
    if (vdso === undefined) return skipHere(context, "no vDSO here");
    const names = new Set<string>();
    for (let address = vdso.start; address < vdso.end; address += 16)
      names.add(symbolizer.frame(process.pid, BigInt(address), false).name);
    expect([...names].some((name) => /clock_gettime/.test(name))).toBe(true);
    const libc = maps.find((one) => /libc\.so|ld-musl/.test(one.path));
    if (libc !== undefined)
      expect(symbolizer.frame(process.pid, BigInt(libc.start + 0x1000), false).module).toBe(
        libc.path,
      );
  });

  testNeeding("linux")("JavaScript has names when node writes them", async () => {
    const script = path.join(directory, "spin.js");
    writeFileSync(
      script,
      'function busyLoop() { let x = 0; for (let i = 0; i < 1e6; i++) x += i; return x; }\nfor (let i = 0; i < 200; i++) busyLoop();\nconsole.log("0x0 0x0"); process.stdin.resume();\n',
    );
    const { child } = await start(process.execPath, ["--perf-basic-prof", script]);
    const map = `/tmp/perf-${child.pid}.map`;
    try {
      const line = readFileSync(map, "utf8")
        .split("\n")
        .findLast((one) => one.includes("*busyLoop "))!;
      const symbolizer = new Symbolizer();
      const frame = symbolizer.frame(child.pid!, BigInt(`0x${line.split(" ")[0]}`) + 4n, false);
      expect(frame).toEqual({ name: "busyLoop", file: script, line: 1, module: "[jit]" });
    } finally {
      child.kill();
      await once(child, "exit");
      rmSync(map, { force: true });
    }
  });
});

testNeeding("linux")("a repeated frame costs one look into a map", () => {
  const symbolizer = new Symbolizer();
  const maps = parseMaps(readFileSync("/proc/self/maps", "utf8")).filter(
    (one) => one.path === process.execPath,
  );
  const ips = Array.from({ length: 2000 }, (_, i) =>
    BigInt(maps[0]!.start + ((i * 7919) % (maps[0]!.end - maps[0]!.start))),
  );
  const time = (): number => {
    const start = performance.now();
    for (const ip of ips) symbolizer.frame(process.pid, ip, false);
    return ((performance.now() - start) * 1e6) / ips.length;
  };
  const firstNs = time();
  const repeats = Array.from({ length: 50 }, time).sort((a, b) => a - b);
  console.log(
    `frame(): first ${firstNs.toFixed(0)} ns (with loading), again ${repeats[25]!.toFixed(0)} ns`,
  );
  expect(repeats[25]).toBeLessThan(2000);
});
