/** Types of the kernel in the words of `kymo/probe`: what an editor completes. */
import { type Btf, BtfKind } from "../kernel/btf.ts";
import type { BtfTypes } from "../kernel/btf-types.ts";
import type { CType } from "../schema.ts";

/** `i32`, `cstr`, `ptr<"task_struct">`, `readonly u8[]`: types that `kymo/probe` exports. */
export function tsType(type: CType): string {
  switch (type.kind) {
    case "int":
    case "enum":
      return `${type.type.signed ? "i" : "u"}${type.type.bits}`;
    case "bool":
      return "bool";
    case "chars":
      return "text";
    case "pointer":
      if (type.to.kind === "chars") return "cstr";
      return type.to.kind === "struct" && type.to.name !== ""
        ? `ptr<${JSON.stringify(type.to.name)}>`
        : "ptr";
    case "array":
      return `readonly ${tsType(type.of)}[]`;
    case "struct":
      return type.name === "" ? "unknown" : `Struct<${JSON.stringify(type.name)}>`;
    case "opaque":
      return "unknown";
  }
}

/** As a key of an interface or object type: quoted where it has to be. */
export function tsKey(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

/** A struct's members as the body of an interface; anonymous ones are its own, as in C. */
export class StructWriter {
  readonly #types: BtfTypes;
  readonly #btf: Btf;

  constructor(types: BtfTypes) {
    this.#types = types;
    this.#btf = types.btf;
  }

  /** `{ … }`, each member on a line of its own. */
  body(id: number, indent: string): string {
    return `{\n${this.#members(this.#btf.resolve(id), `${indent}  `, new Set()).join("")}${indent}}`;
  }

  /** Structs that the members hold, and those they point at: by name. */
  uses(id: number): { readonly held: string[]; readonly pointedAt: string[] } {
    const held: string[] = [];
    const pointedAt: string[] = [];
    const visit = (struct: number, seen: Set<number>): void => {
      seen.add(struct);
      for (const { type } of this.#btf.members(struct)) {
        const [inner, isPointer] = this.#innermost(type);
        if (!this.#isStruct(inner)) continue;
        const name = this.#structName(inner, type);
        if (name !== "") (isPointer ? pointedAt : held).push(name);
        else if (!isPointer && !seen.has(inner)) visit(inner, seen);
      }
    };
    visit(this.#btf.resolve(id), new Set());
    return { held, pointedAt };
  }

  #members(struct: number, indent: string, seen: Set<number>): string[] {
    seen.add(struct);
    const lines: string[] = [];
    for (const { name, type, bitSize } of this.#btf.members(struct)) {
      const real = this.#btf.resolve(type);
      if (name === "") {
        if (this.#isStruct(real) && !seen.has(real))
          lines.push(...this.#members(real, indent, seen));
        continue;
      }
      const bits = bitSize === undefined ? "" : `/** ${bitSize} bits */ `;
      lines.push(`${indent}${bits}readonly ${tsKey(name)}: ${this.#type(type, indent, seen)};\n`);
    }
    return lines;
  }

  #type(id: number, indent: string, seen: Set<number>): string {
    const [inner, isPointer] = this.#innermost(id);
    // A struct without a name is written out where it is; one that holds itself can't be.
    const isNameless = this.#isStruct(inner) && this.#structName(inner, id) === "";
    if (!isNameless || isPointer || seen.has(inner)) return tsType(this.#types.type(id));
    const body = `{\n${this.#members(inner, `${indent}  `, new Set(seen)).join("")}${indent}}`;
    return this.#btf.kind(this.#btf.resolve(id)) === BtfKind.array ? `readonly ${body}[]` : body;
  }

  /** Through arrays, and one pointer. */
  #innermost(id: number): readonly [id: number, isPointer: boolean] {
    let at = this.#btf.resolve(id);
    let isPointer = false;
    for (let i = 0; i < 16; i++) {
      const kind = this.#btf.kind(at);
      if (kind === BtfKind.array) at = this.#btf.resolve(this.#btf.array(at).of);
      else if (kind === BtfKind.pointer && !isPointer) {
        at = this.#btf.resolve(this.#btf.target(at));
        isPointer = true;
      } else break;
    }
    return [at, isPointer];
  }

  #structName(struct: number, from: number): string {
    const own = this.#btf.name(struct);
    if (own !== "") return own;
    const type = this.#types.type(from);
    return type.kind === "struct" ? type.name : "";
  }

  #isStruct(id: number): boolean {
    const kind = this.#btf.kind(id);
    return kind === BtfKind.struct || kind === BtfKind.union;
  }
}
