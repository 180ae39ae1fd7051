/**
 * Messages over a WebSocket: JSON, with typed arrays beside it as they are.
 *
 *     "KYMO" u32 │ json bytes u32 │ json, padded to 8 │ array 0, padded to 8 │ array 1 …
 *
 * In the JSON, what JSON cannot say stands as an object with one key: {"$array":["Float32Array",offset,length]} (offset
 * in bytes after the JSON), {"$bigint":"12"}, {"$number":"NaN"}. A key of the message that starts with "$" gets
 * another "$". What is undefined is left out. Numbers are little-endian, as on every machine that runs this.
 */
import { ProtocolError } from "./check.ts";
import type { EngineMessage, PageMessage } from "./protocol.ts";

const MAGIC = 0x4f4d_594b;
const HEAD_BYTES = 8;
/** A message is never larger: what claims to be is refused unread. */
export const MAX_MESSAGE_BYTES: number = 256 * 1024 * 1024;
const MAX_DEPTH = 200;
const MAX_ARRAYS = 100_000;

const arrayTypes = {
  Uint8Array,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
} as const;
type ArrayName = keyof typeof arrayTypes;
type AnyArray = InstanceType<(typeof arrayTypes)[ArrayName]>;

/** @throws ProtocolError for what no message has: functions, files, cycles */
export function encodeMessage(message: PageMessage | EngineMessage): Uint8Array<ArrayBuffer> {
  const arrays: AnyArray[] = [];
  let arrayBytes = 0;
  const json = new TextEncoder().encode(JSON.stringify(plain(message, 0)));
  const start = padded(HEAD_BYTES + json.length);
  const bytes = new Uint8Array(start + arrayBytes);
  const head = new DataView(bytes.buffer);
  head.setUint32(0, MAGIC, true);
  head.setUint32(4, json.length, true);
  bytes.set(json, HEAD_BYTES);
  let at = start;
  for (const array of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at);
    at += padded(array.byteLength);
  }
  return bytes;

  function plain(value: unknown, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new ProtocolError("the message is nested too deeply");
    switch (typeof value) {
      case "string":
      case "boolean":
        return value;
      case "undefined":
        return null; // in a list; members that are undefined are left out
      case "number":
        return Number.isFinite(value) ? value : { $number: String(value) };
      case "bigint":
        return { $bigint: value.toString() };
      case "object":
        break;
      default:
        throw new ProtocolError(`a ${typeof value} cannot be sent`);
    }
    if (value === null) return null;
    if (Array.isArray(value)) return value.map((each) => plain(each, depth + 1));
    if (ArrayBuffer.isView(value)) return arrayRef(value as AnyArray);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null)
      throw new ProtocolError(`a ${value.constructor?.name ?? "special object"} cannot be sent`);
    const members: [string, unknown][] = [];
    for (const [key, member] of Object.entries(value))
      if (member !== undefined)
        members.push([key.startsWith("$") ? `$${key}` : key, plain(member, depth + 1)]);
    return Object.fromEntries(members);
  }

  function arrayRef(array: AnyArray): unknown {
    const name = nameOf(array);
    if (name === undefined) throw new ProtocolError(`a ${array.constructor.name} cannot be sent`);
    const offset = arrayBytes;
    arrays.push(array);
    arrayBytes += padded(array.byteLength);
    return { $array: [name, offset, array.length] };
  }
}

/**
 * The message in `bytes`. Its typed arrays are views of `bytes` where that is aligned, else copies.
 * @throws ProtocolError for anything that `encodeMessage` did not write. The fields of the message are not checked here.
 */
export function decodeMessage(bytes: Uint8Array): PageMessage | EngineMessage {
  if (bytes.length > MAX_MESSAGE_BYTES) throw new ProtocolError("the message is too large");
  if (bytes.length < HEAD_BYTES) throw new ProtocolError("the message is cut short");
  const head = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.getUint32(0, true) !== MAGIC) throw new ProtocolError("not a message of kymo's engine");
  const jsonBytes = head.getUint32(4, true);
  if (jsonBytes > bytes.length - HEAD_BYTES) throw new ProtocolError("the message is cut short");
  let tree: unknown;
  try {
    const json = bytes.subarray(HEAD_BYTES, HEAD_BYTES + jsonBytes);
    tree = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    throw new ProtocolError("the message is not JSON in UTF-8");
  }
  const start = Math.min(bytes.length, padded(HEAD_BYTES + jsonBytes));
  const arrays = bytes.subarray(start);
  let arrayCount = 0;
  const message = whole(tree, 0);
  if (typeof message !== "object" || message === null || Array.isArray(message))
    throw new ProtocolError("a message must be an object");
  return message as PageMessage | EngineMessage;

  function whole(value: unknown, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new ProtocolError("the message is nested too deeply");
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((each) => whole(each, depth + 1));
    const entries = Object.entries(value);
    const [first] = entries;
    if (entries.length === 1 && first![0].startsWith("$") && !first![0].startsWith("$$"))
      return special(first![0], first![1]);
    for (const entry of entries) {
      if (entry[0].startsWith("$$")) entry[0] = entry[0].slice(1);
      else if (entry[0].startsWith("$")) throw new ProtocolError(`unknown member ${entry[0]}`);
      entry[1] = whole(entry[1], depth + 1);
    }
    return Object.fromEntries(entries); // defines members, so "__proto__" is one like any other
  }

  function special(key: string, value: unknown): unknown {
    if (key === "$bigint" && typeof value === "string" && /^-?\d{1,1000}$/.test(value))
      return BigInt(value);
    if (key === "$number" && (value === "NaN" || value === "Infinity" || value === "-Infinity"))
      return Number(value);
    if (key === "$array" && Array.isArray(value) && value.length === 3)
      return arrayAt(value[0], value[1], value[2]);
    throw new ProtocolError(`unknown member ${key.slice(0, 40)}`);
  }

  function arrayAt(name: unknown, offset: unknown, length: unknown): AnyArray {
    if (typeof name !== "string" || !Object.hasOwn(arrayTypes, name))
      throw new ProtocolError("unknown kind of array");
    if (++arrayCount > MAX_ARRAYS) throw new ProtocolError("too many arrays");
    const Type = arrayTypes[name as ArrayName];
    const size = Type.BYTES_PER_ELEMENT;
    if (
      !Number.isInteger(offset) ||
      !Number.isInteger(length) ||
      (offset as number) < 0 ||
      (length as number) < 0 ||
      (offset as number) + (length as number) * size > arrays.length
    )
      throw new ProtocolError("an array lies outside the message");
    const at = arrays.byteOffset + (offset as number);
    const count = length as number;
    const buffer = arrays.buffer as ArrayBuffer;
    return at % size === 0
      ? new Type(buffer, at, count)
      : new Type(buffer.slice(at, at + count * size), 0, count);
  }
}

/** Not by constructor name: a Buffer of Node is a Uint8Array too. */
function nameOf(array: AnyArray): ArrayName | undefined {
  for (const name of Object.keys(arrayTypes) as ArrayName[])
    if (array instanceof arrayTypes[name]) return name;
  return undefined;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
