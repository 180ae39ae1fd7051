/**
 * Keys of aggregations: the type of the first one that is added, where its parts lie in the map's key, how they are shown.
 *
 *     key:  its parts, as C lays them out · process u32, where a part means nothing without · bucket u32 of a histogram
 */
import { u64 } from "../ir.ts";
import type { Field } from "../site.ts";
import { addressBytes } from "./addresses.ts";
import type { Lowering } from "./context.ts";
import { type DataType, layoutOf } from "./data-type.ts";
import { asText, textBytes } from "./text.ts";
import type { Value } from "./values.ts";

/** Room for texts that are written in the probe. */
const ownTextBytes = 32;

/** The type that a value has as a key. undefined: it can't be one. */
export function keyTypeOf(l: Lowering, value: Value): DataType | undefined {
  switch (value.kind) {
    case "word":
      return value.bool === true ? { kind: "bool" } : { kind: "int", type: value.type };
    case "pointer":
      if (value.to.kind !== "chars") return { kind: "int", type: u64 };
      break;
    case "named": {
      const { bits, signed } = value.word.type;
      const type = { bits: bits === 64 ? 64 : 32, signed } as const;
      return { kind: "int", type, shown: value.of };
    }
    case "stack":
      return { kind: "stack", space: value.space, frames: value.frames };
    case "optional":
      return value.decays ? keyTypeOf(l, value.value) : undefined;
    case "unit":
      return keyTypeOf(l, value.value);
    case "tuple":
      return struct(value.items.map((item, i) => [String(i), keyTypeOf(l, item)] as const));
    case "object":
      return struct(
        [...value.fields].map(([name, field]) => [name, keyTypeOf(l, field.value)] as const),
      );
    case "known":
      if (typeof value.value === "number" || typeof value.value === "bigint")
        return { kind: "int", type: { bits: 64, signed: true } };
      if (typeof value.value === "boolean") return { kind: "bool" };
      break;
  }
  const address = addressBytes(value);
  if (address !== undefined) return { kind: "address", bytes: address };
  const text = asText(l, value);
  if (text === undefined) return undefined;
  // The next handler may have a longer one.
  const bytes = text.kind === "text" ? 0 : ownTextBytes;
  return { kind: "text", bytes: Math.max(bytes, textBytes(text)) };
}

function struct(
  fields: readonly (readonly [name: string, type: DataType | undefined])[],
): DataType | undefined {
  const typed = fields.flatMap(([name, type]) => (type === undefined ? [] : [{ name, type }]));
  return typed.length === fields.length && typed.length > 0
    ? { kind: "struct", fields: typed }
    : undefined;
}

/** The type that was written down, shown as the value that is added is. */
export function shownAs(written: DataType, added: DataType | undefined): DataType {
  if (written.kind === "int" && added?.kind === "int" && added.shown !== undefined)
    return written.type.bits >= 32 ? { ...written, shown: added.shown } : written;
  if (written.kind !== "struct" || added?.kind !== "struct") return written;
  return {
    kind: "struct",
    fields: written.fields.map(({ name, type }) => ({
      name,
      type: shownAs(type, added.fields.find((field) => field.name === name)?.type),
    })),
  };
}

export interface KeyLayout {
  /** Of the whole key. */
  readonly bytes: number;
  /** The parts, those of structs one by one. */
  readonly fields: readonly Field[];
  /** Of the process that addresses of user space are of. */
  readonly pidAt: number | undefined;
  readonly bucketAt: number | undefined;
}

/** @param key undefined: an array map, which has nothing but the bucket, or one entry */
export function keyLayout(key: DataType | undefined, hasBuckets: boolean): KeyLayout {
  if (key === undefined)
    return { bytes: 4, fields: [], pidAt: undefined, bucketAt: hasBuckets ? 0 : undefined };
  const fields = fieldsOf(key, 0);
  let bytes = Math.ceil(layoutOf(key).bytes / 4) * 4;
  const word = (wanted: boolean): number | undefined => {
    if (!wanted) return undefined;
    bytes += 4;
    return bytes - 4;
  };
  const pidAt = word(fields.some(isOfProcess));
  const bucketAt = word(hasBuckets);
  return { bytes, fields, pidAt, bucketAt };
}

function isOfProcess(field: Field): boolean {
  return field.type === "user-stack" || (field.type === "name" && field.of === "symbol");
}

/** How a reader finds the parts. */
function fieldsOf(type: DataType, offset: number): Field[] {
  switch (type.kind) {
    case "int": {
      const bytes = (type.type.bits / 8) as 1 | 2 | 4 | 8;
      if (type.shown !== undefined && bytes >= 4)
        return [{ type: "name", of: type.shown, offset, bytes: bytes as 4 | 8 }];
      return [{ type: type.type.signed ? "int" : "uint", offset, bytes }];
    }
    case "bool":
      return [{ type: "bool", offset, bytes: 1 }];
    case "text":
      return [{ type: "text", offset, bytes: type.bytes }];
    case "address":
      return [{ type: "address", offset, bytes: type.bytes }];
    case "stack":
      return [{ type: `${type.space}-stack`, offset, bytes: 8 + 8 * type.frames }];
    case "pointer":
      return [{ type: "uint", offset, bytes: 8 }];
    case "struct":
      return layoutOf(type).fields.flatMap((field) => fieldsOf(field.type, offset + field.offset));
  }
}
