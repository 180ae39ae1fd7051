/** Messages from a page, checked before use: over a socket they may be anything. */
import type { RowKind } from "../model/trace.ts";
import type { PageMessage } from "./protocol.ts";

export const MAX_ROWS = 8192;
export const MAX_WIDTH = 16_384;
/** Pixels of a strip: 64 MiB. */
export const MAX_PIXELS: number = 16 * 1024 * 1024;
const MAX_TEXT = 4096;
/** Names are as long as their traces made them. */
const MAX_NAME = 16 * 1024 * 1024;
const MAX_SQL = 1024 * 1024;
const MAX_LIMIT = 10_000;
const MAX_LIST = 1_000_000;

/** The message was not of the protocol. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

type Fields = { readonly [key: string]: unknown };

/** @returns the same message, its fields in bounds. @throws ProtocolError in words */
export function checkPageMessage(message: unknown): PageMessage {
  if (typeof message !== "object" || message === null)
    throw new ProtocolError("a message must be an object");
  const fields = message as Fields;
  const { type } = fields as { type?: unknown };
  switch (type) {
    case "hello":
      return { type, version: integer(fields, "version", 0, 1e6) };
    case "open":
      return checkOpen(fields);
    case "stop":
      return { type };
    case "viewport": {
      const rows = integers(fields, "rows", MAX_ROWS);
      const width = integer(fields, "width", 1, MAX_WIDTH);
      if (rows.length * width > MAX_PIXELS)
        throw new ProtocolError(`a strip of ${rows.length} × ${width} px is too large`);
      const from = time(fields, "from");
      const to = time(fields, "to");
      if (!(to > from)) throw new ProtocolError("to must be later than from");
      const { theme } = fields as { theme?: unknown };
      if (theme !== "light" && theme !== "dark")
        throw new ProtocolError('theme must be "light" or "dark"');
      return {
        type,
        id: id(fields),
        rows,
        from,
        to,
        width,
        theme,
        highlight: text(fields, "highlight", MAX_TEXT),
        labelMinPx: number(fields, "labelMinPx", 0, 1e9),
        ...emphasisOf(fields),
      };
    }
    case "minimap":
      return { type, id: id(fields), width: integer(fields, "width", 1, MAX_WIDTH) };
    case "at":
      return {
        type,
        id: id(fields),
        row: integer(fields, "row", 0, 2 ** 32),
        ts: time(fields, "ts"),
        toleranceNs: number(fields, "toleranceNs", 0, 1e18),
      };
    case "details":
      return { type, id: id(fields), ...ref(fields) };
    case "step": {
      const { move } = fields as { move?: unknown };
      if (move !== "next" && move !== "previous" && move !== "parent" && move !== "child")
        throw new ProtocolError('move must be "next", "previous", "parent" or "child"');
      return { type, id: id(fields), ...ref(fields), move };
    }
    case "search":
      return {
        type,
        id: id(fields),
        text: text(fields, "text", MAX_TEXT),
        limit: integer(fields, "limit", 0, MAX_LIMIT),
      };
    case "flame": {
      const window = { id: id(fields), from: time(fields, "from"), to: time(fields, "to") };
      return (fields as { tracks?: unknown }).tracks === undefined
        ? { type, ...window }
        : { type, ...window, tracks: integers(fields, "tracks", MAX_LIST) };
    }
    case "area":
      return {
        type,
        id: id(fields),
        from: time(fields, "from"),
        to: time(fields, "to"),
        rows: integers(fields, "rows", MAX_LIST),
      };
    case "sql":
      return { type, id: id(fields), sql: text(fields, "sql", MAX_SQL) };
    default:
      throw new ProtocolError(`unknown message type ${JSON.stringify(type)?.slice(0, 60)}`);
  }
}

const rowKinds = ["slice", "instant", "counter", "sched", "thread_state", "sample"] as const;
function emphasisOf(fields: Fields): { emphasis?: { kind: RowKind; name: string } } {
  const { emphasis } = fields as { emphasis?: unknown };
  if (emphasis === undefined || emphasis === null) return {};
  if (typeof emphasis !== "object") throw new ProtocolError("emphasis must be an object");
  const { kind } = emphasis as { kind?: unknown };
  const known = rowKinds.find((each) => each === kind);
  if (known === undefined)
    throw new ProtocolError(`emphasis: kind must be one of ${rowKinds.join(", ")}`);
  return { emphasis: { kind: known, name: text(emphasis as Fields, "name", MAX_NAME) } };
}

function checkOpen(fields: Fields): PageMessage {
  const { bytes, url, file } = fields as { bytes?: unknown; url?: unknown; file?: unknown };
  const name = text(fields, "name", MAX_TEXT);
  if (bytes instanceof Uint8Array) return { type: "open", name, bytes };
  if (typeof Blob !== "undefined" && file instanceof Blob) return { type: "open", name, file };
  if (typeof url === "string" && url.length <= 16_384) return { type: "open", name, url };
  throw new ProtocolError("open needs bytes, a file or a url");
}

function id(fields: Fields): number {
  return integer(fields, "id", 0, Number.MAX_SAFE_INTEGER);
}
function ref(fields: Fields): { row: number; index: number } {
  return {
    row: integer(fields, "row", 0, 2 ** 32),
    index: integer(fields, "index", 0, Number.MAX_SAFE_INTEGER),
  };
}
function time(fields: Fields, key: string): number {
  return number(fields, key, -1e18, 1e18);
}
function number(fields: Fields, key: string, min: number, max: number): number {
  const value = fields[key];
  if (typeof value !== "number" || !(value >= min && value <= max))
    throw new ProtocolError(`${key} must be a number from ${min} to ${max}`);
  return value;
}
function integer(fields: Fields, key: string, min: number, max: number): number {
  const value = number(fields, key, min, max);
  if (!Number.isInteger(value)) throw new ProtocolError(`${key} must be a whole number`);
  return value;
}
function integers(fields: Fields, key: string, most: number): readonly number[] {
  const value = fields[key];
  if (!Array.isArray(value) || value.length > most)
    throw new ProtocolError(`${key} must be a list of at most ${most} numbers`);
  for (const each of value)
    if (!Number.isInteger(each) || Math.abs(each) > Number.MAX_SAFE_INTEGER)
      throw new ProtocolError(`${key} must be a list of whole numbers`);
  return value as readonly number[];
}
function text(fields: Fields, key: string, most: number): string {
  const value = fields[key];
  if (typeof value !== "string" || value.length > most)
    throw new ProtocolError(`${key} must be a text of at most ${most} characters`);
  return value;
}
