/** README.md: its example prints what it says it prints, its table has the formats there are. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as trace from "./index.ts";

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const block = (language: string): string =>
  new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(text)![1]!;

test("the example prints what follows it", async () => {
  const code = block("js").replace(/import (\{[^}]+\}) from "@kymo\/trace";/, "const $1 = kymo;");
  expect(code).not.toContain("import");
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  const lines: string[] = [];
  const console = { log: (...parts: unknown[]) => lines.push(parts.join(" ")) };
  await new AsyncFunction("kymo", "console", code)(trace, console);
  expect(lines).toEqual(block("text").trim().split("\n"));
});

test("every format is listed, with what it can do", () => {
  for (const { name, title, stream, writer } of trace.formats) {
    const row = text.split("\n").find((line) => line.includes(`src/formats/${name}/README.md`));
    expect(row, title).toBeDefined();
    expect(
      row!
        .split("|")
        .slice(2, 4)
        .map((cell) => cell.trim() === "✓"),
    ).toEqual([stream !== undefined, writer !== undefined]);
  }
});
