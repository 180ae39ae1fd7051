/** One value as a line of text: what tables and CSV print. */
import type { DuckDBValue } from "@duckdb/node-api";

/** As DuckDB writes it; NULL is undefined. A BLOB is \x.. escapes and printable ASCII. */
export function valueText(value: DuckDBValue): string | undefined {
  if (value === null) return undefined;
  return typeof value === "string" ? value : String(value);
}
