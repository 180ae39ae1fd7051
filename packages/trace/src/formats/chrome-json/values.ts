/** Small values of the rare events (metadata, ids, what stands beside the events), where speed does not matter. */
import { decodeString, QUOTE } from "../../wire/json-bytes.ts";
import type { EventFields } from "./event.ts";

export type JsonRecord = { readonly [name: string]: unknown };

/** The JSON value b[from, to); undefined when it is none. */
export function jsonOf(b: Uint8Array, from: number, to: number): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(b.subarray(from, to)));
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function nameText(b: Uint8Array, e: EventFields): string {
  return decodeString(b, e.nameFrom, e.nameTo, true);
}

/** Text of an id: without its quotes, if it has them. */
export function idText(b: Uint8Array, from: number, to: number): string {
  return b[from] === QUOTE
    ? decodeString(b, from + 1, to - 1, true)
    : decodeString(b, from, to, false);
}
