import { appendFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { jitFrame, PerfMap } from "./perf-map.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "kymo-perf-map-"));
});
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;
const newFile = (text: string): string => {
  const file = path.join(directory, `perf-${++files}.map`);
  writeFileSync(file, text);
  return file;
};
const own = process.getuid?.() ?? 0;

test("functions are found by any address inside; one frame for each name", () => {
  const file = newFile(
    "1000 20 first\n0x2000 0x10 second one\nnot a line\n3000 zz no\n1010 4 newer\n",
  );
  const map = new PerfMap([path.join(directory, "missing"), file], [own]);
  expect(map.frame(0x1000)).toEqual({ name: "first", module: "[jit]" });
  expect(map.frame(0x101f)).toBe(map.frame(0x1000));
  expect(map.frame(0x1012)?.name).toBe("newer"); // written later: the memory was used again
  expect(map.frame(0x2005)?.name).toBe("second one");
  expect(map.frame(0x2010)).toBeUndefined();
});

test("what is added later is found, read at most every 250 ms", () => {
  let now = 0;
  const file = newFile("1000 10 early\n2000 10 la");
  const map = new PerfMap([file], [own], () => now);
  expect(map.frame(0x1000)?.name).toBe("early");
  appendFileSync(file, "te\n3000 10 latest\n");
  expect(map.frame(0x2000)).toBeUndefined();
  now = 300;
  expect(map.frame(0x2000)?.name).toBe("late");
  expect(map.frame(0x3000)?.name).toBe("latest");
});

test("a file written anew replaces what was known", () => {
  let now = 0;
  const file = newFile("1000 10 old_function_of_another_process\n");
  const map = new PerfMap([file], [own], () => now);
  expect(map.frame(0x1000)?.name).toBe("old_function_of_another_process");
  writeFileSync(file, "2000 10 new\n");
  now = 300;
  expect(map.frame(0x2000)?.name).toBe("new");
  expect(map.frame(0x1000)).toBeUndefined();
});

test("somebody else's file, a symbolic link and a directory are not read", () => {
  const file = newFile("1000 10 planted\n");
  expect(new PerfMap([file], [own + 1]).frame(0x1000)).toBeUndefined();
  const link = path.join(directory, "link.map");
  symlinkSync(file, link);
  expect(new PerfMap([link], [own]).frame(0x1000)).toBeUndefined();
  expect(new PerfMap([directory], [own]).frame(0x1000)).toBeUndefined();
});

test.each([
  ["JS:*parse /srv/app.js:10:3", { name: "parse", file: "/srv/app.js", line: 10, module: "[jit]" }],
  [
    "LazyCompile:~ /srv/a b.js:7:1",
    { name: "(anonymous)", file: "/srv/a b.js", line: 7, module: "[jit]" },
  ],
  ["Builtin:ArrayMap", { name: "Builtin:ArrayMap", module: "[jit]" }],
  ["RegExp:a(b)", { name: "RegExp:a(b)", module: "[jit]" }],
  ["_ZN1A1fEv", { name: "A::f", module: "[jit]" }],
])("%s", (text, frame) => {
  expect(jitFrame(text)).toEqual(frame);
});

test("any bytes are read without an error", () => {
  const line = fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f]{1,18} [0-9a-f]{1,10} .{0,9}$/));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), fc.nat(), (lines, address) => {
      new PerfMap([newFile(lines.join("\n"))], [own]).frame(address);
    }),
    { numRuns: 300 },
  );
});
