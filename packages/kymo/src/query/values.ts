/** DuckDB's values as plain ones. */
import type { DuckDBValue } from "@duckdb/node-api";

/** A value as JSON knows it, but for bigint (past 2⁵³), Uint8Array (BLOB) and NaN, ±Infinity. */
export type PlainValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };

/**
 * Integers come as numbers when a float64 holds them exactly, as bigint otherwise; BLOB as bytes; LIST and ARRAY as
 * arrays, STRUCT as an object, MAP as a list of {key, value}, UNION and VARIANT as what they hold; dates, times,
 * intervals, UUIDs as DuckDB writes them.
 */
export function plainValue(value: DuckDBValue): PlainValue {
  if (value === null || typeof value !== "object")
    return typeof value === "bigint" ? plainInteger(value) : value;
  if ("bytes" in value) return value.bytes;
  if ("items" in value) return value.items.map(plainValue);
  if ("entries" in value) {
    const { entries } = value;
    if (Array.isArray(entries))
      return entries.map((entry) => ({
        key: plainValue(entry.key),
        value: plainValue(entry.value),
      }));
    return Object.fromEntries(
      Object.entries(entries).map(([key, member]) => [key, plainValue(member)]),
    );
  }
  if ("scale" in value) {
    const digits = value.value < 0n ? -value.value : value.value;
    return digits < 10n ** 15n ? Number(value.toString()) : value.toString();
  }
  if ("value" in value && typeof value.value !== "function") return plainValue(value.value);
  return value.toString();
}

function plainInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
