/** RFC 4180, but for line ends: \n, as tools on Unix expect. A header line, then rows. */
import type { QueryStream } from "../database.ts";
import { valueText } from "./text.ts";

/** NULL is an empty field, an empty text is "". */
export async function* csvText(stream: QueryStream): AsyncGenerator<string> {
  const { columns, chunks } = stream;
  yield `${columns.map(({ name }) => field(name)).join(",")}\n`;
  for await (const chunk of chunks) {
    const vectors = columns.map((_, i) => chunk.getColumnVector(i));
    let text = "";
    for (let row = 0; row < chunk.rowCount; row++) {
      // A row of one empty field would be an empty line, which readers skip.
      const fields = vectors.map((vector) => field(valueText(vector.getItem(row))));
      text += `${fields.join(",")}\n`;
    }
    yield text;
  }
}

function field(text: string | undefined): string {
  if (text === undefined) return "";
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
