/** The checks as text: a heading for each group, a line for each check, what to do about it below. */
import type { Check } from "./check.ts";

const mark = (ok: boolean | undefined): string => (ok === undefined ? "·" : ok ? "✓" : "✗");

export function reportText(checks: readonly Check[], columns: number): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const indent = width + 6;
  const lines: string[] = [];
  let group = "";
  for (const check of checks) {
    if (check.group !== group) {
      lines.push(...(lines.length > 0 ? [""] : []), check.group);
      group = check.group;
    }
    const [first, ...rest] = wrap(check.detail, columns - indent);
    lines.push(`  ${mark(check.ok)} ${check.name.padEnd(width)}  ${first}`);
    for (const more of rest) lines.push(" ".repeat(indent) + more);
    if (check.ok === false && check.fix !== undefined)
      wrap(check.fix, columns - indent - 5).forEach((more, i) => {
        lines.push(`${" ".repeat(indent)}${i === 0 ? "fix: " : "     "}${more}`);
      });
  }
  return lines.join("\n");
}

/** Breaks at spaces; a longer word stays whole. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > Math.max(20, columns)) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
