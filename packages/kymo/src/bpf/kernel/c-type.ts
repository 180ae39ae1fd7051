/** C types as the text of tracefs `format` files spells them: `unsigned long`, `struct page *`, `char[16]`. */
import type { IntType } from "../ir.ts";
import type { CType } from "../schema.ts";
import { BtfKind } from "./btf.ts";
import { type BtfTypes, intType } from "./btf-types.ts";

/**
 * The type of a field.
 *
 * @param text   without the field's name; an array's brackets at its end
 * @param bytes  of the field: decides for scalars whose name says nothing
 * @param types  of the kernel, where it describes them: then `struct`, `enum` and typedef names mean something
 */
export function cType(
  text: string,
  bytes: number,
  signed: boolean,
  types: BtfTypes | undefined,
): CType {
  const plain = text
    .replace(/\b(const|volatile|__user|__rcu|__seg_gs|__percpu)\b/g, " ")
    .replace(/\s+/g, " ")
    .trim();
  const array = /^(.*?) ?\[[^\]]*\]$/.exec(plain);
  if (array !== null) return arrayOf(array[1]!, bytes, signed, types);
  if (plain.endsWith("*")) return pointerTo(plain.slice(0, -1).trim(), types);
  return scalar(plain, bytes, signed, types);
}

function arrayOf(of: string, bytes: number, signed: boolean, types: BtfTypes | undefined): CType {
  if (of === "char") return { kind: "chars", bytes };
  const pointer = of.endsWith("*");
  const known = pointer ? { bits: 64 as const, signed: false } : intNamed(of, types);
  const elementBytes = known === undefined ? 1 : known.bits / 8;
  return {
    kind: "array",
    of: cType(of, elementBytes, known?.signed ?? signed, types),
    length: Math.floor(bytes / elementBytes),
    elementBytes,
  };
}

function pointerTo(to: string, types: BtfTypes | undefined): CType {
  if (to === "char") return { kind: "pointer", to: { kind: "chars" } };
  if (to.endsWith("*")) return { kind: "pointer", to: pointerTo(to.slice(0, -1).trim(), types) };
  const int = intNamed(to, undefined);
  if (int !== undefined) return { kind: "pointer", to: { kind: "int", type: int, name: to } };
  const known = typeNamed(to, types);
  return { kind: "pointer", to: known ?? { kind: "opaque", name: to } };
}

function scalar(text: string, bytes: number, signed: boolean, types: BtfTypes | undefined): CType {
  if (text === "bool" && bytes === 1) return { kind: "bool" };
  if (/^(enum|struct|union) /.test(text)) {
    const known = typeNamed(text, types);
    if (known !== undefined && (known.kind !== "enum" || known.type.bits === 8 * bytes))
      return known;
  }
  const type = intType(bytes, signed);
  return type === undefined ? { kind: "opaque", name: text } : { kind: "int", type, name: text };
}

/** `struct x`, `union x`, `enum x` or a typedef's name. */
export function typeNamed(text: string, types: BtfTypes | undefined): CType | undefined {
  if (types === undefined) return undefined;
  const [, tag, name] = /^(?:(struct|union|enum) )?(\w+)$/.exec(text) ?? [];
  if (name === undefined) return undefined;
  const kinds =
    tag === "struct"
      ? [BtfKind.struct]
      : tag === "union"
        ? [BtfKind.union]
        : tag === "enum"
          ? [BtfKind.enum, BtfKind.enum64]
          : [BtfKind.typedef, BtfKind.int];
  const id = types.btf.find(name, ...kinds);
  return id === 0 ? undefined : types.type(id);
}

/** Of the names that C itself gives integers; on every 64-bit Linux. */
const words: { readonly [word: string]: 8 | 16 | 32 | 64 } = { char: 8, short: 16, long: 64 };

/** Width and sign by the type's name alone: `unsigned int`, `size_t`. Undefined for what is no integer. */
export function intNamed(text: string, types: BtfTypes | undefined): IntType | undefined {
  const parts = text.split(" ");
  if (parts.every((part) => /^(signed|unsigned|char|short|int|long)$/.test(part))) {
    const bits = parts.map((part) => words[part]).find((width) => width !== undefined) ?? 32;
    return { bits, signed: !parts.includes("unsigned") };
  }
  const fixed = /^_*([us]|int|uint)(8|16|32|64)(_t)?$/.exec(text);
  if (fixed !== null)
    return { bits: Number(fixed[2]) as IntType["bits"], signed: !fixed[1]!.startsWith("u") };
  const known = typeNamed(text, types);
  if (known === undefined) return undefined;
  if (known.kind === "bool") return { bits: 8, signed: false };
  return known.kind === "int" || known.kind === "enum" ? known.type : undefined;
}
