/** Rows for people: aligned columns, as wide as they need to be, cut where a value is too long. */
import type { QueryStream } from "../database.ts";
import { valueText } from "./text.ts";

/** Rows shown; the rest is counted. */
const MAX_ROWS = 200;
const MAX_CELL = 100;

/**
 * @example
 * name        sum(dur)
 * ──────────  ────────
 * futex        1234567
 * read            1200
 * (2 rows)
 */
export async function* tableLines(stream: QueryStream): AsyncGenerator<string> {
  const { columns, chunks } = stream;
  const cells: string[][] = [];
  let rows = 0;
  for await (const chunk of chunks) {
    const vectors = columns.map((_, i) => chunk.getColumnVector(i));
    for (let row = 0; row < chunk.rowCount && cells.length < MAX_ROWS; row++)
      cells.push(vectors.map((vector) => cell(valueText(vector.getItem(row)))));
    rows += chunk.rowCount;
  }
  const heads = columns.map(({ name }) => cell(name));
  const widths = heads.map((head, i) =>
    cells.reduce((widest, row) => Math.max(widest, displayWidth(row[i]!)), displayWidth(head)),
  );
  const right = columns.map(({ type }) => /INT|DOUBLE|FLOAT|DECIMAL/.test(type.toString()));
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) => {
        const blanks = " ".repeat(widths[i]! - displayWidth(text));
        return right[i] ? blanks + text : text + blanks;
      })
      .join("  ")
      .trimEnd();
  yield line(heads);
  yield widths.map((width) => "─".repeat(width)).join("  ");
  for (const row of cells) yield line(row);
  yield rows > cells.length
    ? `(${rows} rows, the first ${cells.length} are shown; --format csv prints all)`
    : `(${rows} ${rows === 1 ? "row" : "rows"})`;
}

/** One line, no control characters: they could move the cursor or colour the screen. */
function cell(text: string | undefined): string {
  if (text === undefined) return "NULL";
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, escaped);
  const characters = [...line];
  return characters.length > MAX_CELL ? `${characters.slice(0, MAX_CELL - 1).join("")}…` : line;
}
function escaped(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Columns a text takes on a terminal: East Asian wide characters and emoji two, combining marks none. */
function displayWidth(text: string): number {
  if (/^[ -~…─]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (/\p{Mark}|\u200d|\ufe0f/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}
