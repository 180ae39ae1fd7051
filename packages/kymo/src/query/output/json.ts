/** An array of objects, one a row, one line each; written as rows come. */
import type { QueryStream } from "../database.ts";
import { type PlainValue, plainValue } from "../values.ts";

/**
 * Integers past 2⁵³ are decimal strings, BLOBs base64 strings, NaN and ±Infinity null. Columns of one name get
 * `:1`, `:2`… after the first.
 */
export async function* jsonText(stream: QueryStream): AsyncGenerator<string> {
  const { columns, chunks } = stream;
  const keys = distinct(columns.map(({ name }) => name)).map((name) => JSON.stringify(name));
  let separator = "[\n";
  for await (const chunk of chunks) {
    const vectors = columns.map((_, i) => chunk.getColumnVector(i));
    let text = "";
    for (let row = 0; row < chunk.rowCount; row++) {
      const members = vectors.map((vector, i) => {
        return `${keys[i]}:${jsonValue(plainValue(vector.getItem(row)))}`;
      });
      text += `${separator}{${members.join(",")}}`;
      separator = ",\n";
    }
    yield text;
  }
  yield separator === "[\n" ? "[]\n" : "\n]\n";
}

export function jsonValue(value: PlainValue): string {
  return JSON.stringify(jsonable(value));
}
function jsonable(value: PlainValue): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(jsonable);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, jsonable(member)]));
}

export function distinct(names: readonly string[]): string[] {
  const used = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let i = 1; used.has(free); i++) free = `${name}:${i}`;
    used.add(free);
    return free;
  });
}
