/** BTF as the compiler's C types: decoded on demand, each once, so that types that refer to each other end. */
import type { IntType } from "../ir.ts";
import type { CType, Member } from "../schema.ts";
import { type Btf, BtfKind } from "./btf.ts";

/** Typedefs in a row. */
const chainLimit = 32;

export class BtfTypes {
  readonly btf: Btf;
  readonly #types: Map<number, CType> = new Map();

  constructor(btf: Btf) {
    this.btf = btf;
  }

  /** The type with this id; opaque where there is nothing to read. */
  type(id: number): CType {
    const known = this.#types.get(id);
    if (known !== undefined) return known;
    const type = this.#decode(id);
    this.#types.set(id, type);
    return type;
  }

  #decode(id: number): CType {
    const { btf } = this;
    const at = btf.resolve(id);
    const bytes = btf.bytes(at);
    switch (btf.kind(at)) {
      case BtfKind.int: {
        const { signed, bool } = btf.int(at);
        if (bool) return { kind: "bool" };
        const type = intType(bytes, signed);
        return type === undefined
          ? { kind: "opaque", name: btf.name(at) }
          : { kind: "int", type, name: this.#nameOf(id, at) };
      }
      case BtfKind.enum:
      case BtfKind.enum64: {
        const type = intType(bytes, btf.isSignedEnum(at));
        if (type === undefined) return { kind: "opaque", name: btf.name(at) };
        let members: ReadonlyMap<string, bigint> | undefined;
        return {
          kind: "enum",
          type,
          name: this.#nameOf(id, at),
          get members() {
            members ??= btf.enumerators(at);
            return members;
          },
        };
      }
      case BtfKind.pointer:
        return this.#pointer(at);
      case BtfKind.array: {
        const { of, length } = btf.array(at);
        if (this.#isChar(of)) return { kind: "chars", bytes: length };
        const type = (): CType => this.type(of);
        return {
          kind: "array",
          get of() {
            return type();
          },
          length,
          elementBytes: btf.bytes(of),
        };
      }
      case BtfKind.struct:
      case BtfKind.union:
        return {
          kind: "struct",
          name: this.#nameOf(id, at),
          bytes,
          member: (name) => this.#member(at, name, new Set()),
          members: () => [...this.#memberNames(at, new Set())],
        };
      case BtfKind.prototype:
        return { kind: "opaque", name: "function" };
      default:
        return { kind: "opaque", name: btf.name(at) || "void" };
    }
  }

  #pointer(at: number): CType {
    const target = this.btf.target(at);
    if (this.#isChar(target)) return { kind: "pointer", to: { kind: "chars" } };
    const type = (): CType => this.type(target);
    return {
      kind: "pointer",
      get to() {
        return type();
      },
    };
  }

  /** `char`, but not the bytes that are spelled `unsigned char`. */
  #isChar(id: number): boolean {
    const at = this.btf.resolve(id);
    return this.btf.kind(at) === BtfKind.int && this.btf.name(at) === "char";
  }

  /** Its own name, or that of the nearest typedef above. */
  #nameOf(id: number, resolved: number): string {
    const own = this.btf.name(resolved);
    if (own !== "") return own;
    let at = id;
    for (let i = 0; i < chainLimit && at !== resolved; i++) {
      if (this.btf.kind(at) === BtfKind.typedef) return this.btf.name(at);
      at = this.btf.target(at);
    }
    return "";
  }

  /** `seen`: in C no anonymous type is twice in a struct, as their members would have the same names. */
  #member(struct: number, name: string, seen: Set<number>): Member | undefined {
    seen.add(struct);
    for (const member of this.btf.members(struct)) {
      const { type, bitOffset, bitSize } = member;
      if (member.name === name)
        return {
          type: this.type(type),
          bitOffset,
          ...(bitSize === undefined ? {} : { bitSize }),
        };
      const anonymous = this.btf.resolve(type);
      if (member.name !== "" || seen.has(anonymous) || !this.#isStruct(type)) continue;
      const inner = this.#member(anonymous, name, seen);
      if (inner !== undefined) return { ...inner, bitOffset: inner.bitOffset + bitOffset };
    }
    return undefined;
  }

  *#memberNames(struct: number, seen: Set<number>): Generator<string> {
    seen.add(struct);
    for (const { name, type } of this.btf.members(struct)) {
      if (name !== "") yield name;
      else if (this.#isStruct(type) && !seen.has(this.btf.resolve(type)))
        yield* this.#memberNames(this.btf.resolve(type), seen);
    }
  }

  #isStruct(id: number): boolean {
    const kind = this.btf.kind(this.btf.resolve(id));
    return kind === BtfKind.struct || kind === BtfKind.union;
  }
}

/** The integer of so many bytes; undefined for those that are no register's (128 bits). */
export function intType(bytes: number, signed: boolean): IntType | undefined {
  if (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8)
    return { bits: (8 * bytes) as IntType["bits"], signed };
  return undefined;
}
