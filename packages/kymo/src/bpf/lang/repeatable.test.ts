import { expect, test } from "vitest";
import { parsedModule } from "./instrument.ts";
import { isRepeatable } from "./repeatable.ts";
import { parse } from "./syntax.ts";

function repeatable(text: string): boolean {
  const source = { path: "/probe.ts", text };
  return isRepeatable([parsedModule(0, source, parse(source))]);
}

test.each([
  `import { syscall, instant, process, type u32 } from "kymo/probe";
   import { names } from "./names.ts";
   interface Key { Date: u32 }
   for (const name of names.map((one) => one.trim()))
     syscall(name, () => instant({ name, track: process(), args: { fetch: 1 } }));`,
  "const limit = Math.max(1, Number(process.argv[2] ?? 100)); export default limit;",
  'import type { Stats } from "node:fs"; const table = new Map<string, Stats>();',
  "const o = { fetch: 2, Date: 3 }; o.Date;",
  'import { process } from "kymo/probe"; process.argv;',
])("what sees only itself and its arguments is the same again: %s", (text) => {
  expect(repeatable(text)).toBe(true);
});

test.each([
  'import { readFileSync } from "node:fs";',
  'import { thing } from "package";',
  'import words from "./words.json" with { type: "json" };',
  "const started = Date.now();",
  "const seed = Math.random();",
  'const seed = Math["random"]();',
  "const home = process.env.HOME;",
  "const { env } = process;",
  'import { process } from "kymo/probe"; process.env;',
  'import { process } from "kymo/probe"; const { env } = process;',
  "const one = globalThis;",
  "const one = performance.now();",
  'const one = await import("./one.ts");',
  "const one = import.meta.dirname;",
  "console.log(1);",
])("what may see something else is not: %s", (text) => {
  expect(repeatable(text)).toBe(false);
});
