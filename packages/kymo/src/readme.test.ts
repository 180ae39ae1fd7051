/** README.md: its example prints what it says it prints, its command lines are ones that kymo takes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import * as kymo from "./index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const block = (language: string): string =>
  new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(text)![1]!;

test("the example prints what follows it", async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), "kymo-readme-"));
  const file = path.join(dir, "shop.json");
  const events = [
    { ph: "X", name: "checkout", pid: 1, tid: 1, ts: 10, dur: 5.5 },
    { ph: "X", name: "price", pid: 1, tid: 1, ts: 11, dur: 2 },
  ];
  writeFileSync(file, JSON.stringify(events));
  const code = block("js")
    .replace(/import (\{[^}]+\}) from "kymo";/, "const $1 = kymo;")
    .replace('"shop.json"', JSON.stringify(file));
  expect(code).not.toContain("import");
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  const lines: string[] = [];
  const console = { log: (...parts: unknown[]) => lines.push(parts.join(" ")) };
  try {
    await new AsyncFunction("kymo", "console", code)(kymo, console);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  expect(lines).toEqual(block("text").trim().split("\n"));
});

test("the command lines name every command, and none that is not there", async () => {
  const { commandNames } = await import("./cli/main.ts");
  const named = [...text.matchAll(/^\$ npx kymo (\w+)/gm)].map(([, name]) => name!);
  expect([...new Set(named)].sort()).toEqual([...commandNames].sort());
});
