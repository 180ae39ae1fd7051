import { expect, test } from "vitest";
import { sourceLine } from "./source-line.ts";

test("the line, and a caret under the column", () => {
  expect(sourceLine("a\n\tfoo(bar)\nb", 2, 6)).toBe("  2 | \tfoo(bar)\n    | \t    ^");
  expect(sourceLine("a", 2, 1)).toBeUndefined();
});

test("of a long line what is around the place", () => {
  const text = `${"a".repeat(10_000)}X${"b".repeat(10_000)}`;
  const [shown, caret] = sourceLine(text, 1, 10_001)!.split("\n") as [string, string];
  expect(shown.length).toBeLessThan(180);
  expect(shown[caret.indexOf("^")]).toBe("X");
  const [start, under] = sourceLine(text, 1, 1)!.split("\n") as [string, string];
  expect(start[under.indexOf("^")]).toBe("a");
  expect(start).toMatch(/^ {2}1 \| a+…$/);
});

test("no control character of the file reaches the terminal", () => {
  expect(sourceLine("\u001b]0;owned\u0007x\r", 1, 1)).not.toMatch(/[^\P{Cc}\n]/u);
});
