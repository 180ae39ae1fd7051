/**
 * The place of an error as a terminal shows it:
 *
 *     12 |   return slice({ nam: "x" });
 *        |                  ^
 */
import { printable } from "../cli/printable.ts";

/** Of longer lines only what is around the place is shown. */
const widthMost = 160;

/** `line` and `column` from 1; undefined: the text has no such line. */
export function sourceLine(text: string, line: number, column: number): string | undefined {
  const source = text.split("\n", line)[line - 1];
  if (source === undefined) return undefined;
  const from = source.length <= widthMost ? 0 : Math.max(0, column - 1 - widthMost / 2);
  const to = from + widthMost;
  const shown = `${from > 0 ? "…" : ""}${source.slice(from, to)}${to < source.length ? "…" : ""}`;
  const before = shown.slice(0, column - 1 - from + (from > 0 ? 1 : 0));
  const gutter = `  ${line} | `;
  // Tabs stay tabs, so that the caret stands where the terminal puts the column.
  const indent = before.replace(/[^\t]/g, " ");
  return `${gutter}${shown.replace(/[^\t]+/g, printable)}\n${" ".repeat(gutter.length - 2)}| ${indent}^`;
}
