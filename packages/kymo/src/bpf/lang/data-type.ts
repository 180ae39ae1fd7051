/**
 * Types as probe files write them: keys and values of maps, and what handlers' parameters are. Read from the syntax, for
 * nothing is left of them when the module runs.
 */
import type { IntType } from "../ir.ts";
import { i8, i16, i32, i64, u8, u16, u32, u64 } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import { ProbeError } from "../program.ts";
import type { Field } from "../site.ts";
import { importedName, type ParsedModule, probeModule } from "./instrument.ts";
import type { Modules } from "./modules.ts";
import type { Node } from "./syntax.ts";

type ShownName = Extract<Field, { readonly type: "name" }>["of"];

export type DataType =
  /** `shown`: what its name is, where it is printed. */
  | { readonly kind: "int"; readonly type: IntType; readonly shown?: ShownName }
  /** IPv4 or IPv6, in network order. */
  | { readonly kind: "address"; readonly bytes: 4 | 16 }
  | { readonly kind: "bool" }
  /** NUL-terminated in so many bytes. */
  | { readonly kind: "text"; readonly bytes: number }
  /** Return addresses: i64 byte count, then so many u64. */
  | { readonly kind: "stack"; readonly space: "kernel" | "user"; readonly frames: number }
  | { readonly kind: "struct"; readonly fields: readonly { name: string; type: DataType }[] }
  /** Kernel struct by name, or undefined: anything. */
  | { readonly kind: "pointer"; readonly to: string | undefined };

export const ints: Readonly<Record<string, IntType>> = { i8, i16, i32, i64, u8, u16, u32, u64 };
export const defaultTextBytes = 64;
const defaultFrames = 32;
/** Of a text, anywhere. */
export const textLimit = 4096;
const depthLimit = 16;

export interface Placed {
  readonly name: string;
  readonly type: DataType;
  readonly offset: number;
}
export interface Layout {
  readonly bytes: number;
  readonly align: number;
  readonly fields: readonly Placed[];
  /** Bytes that belong to no field, or to a text's unused end. */
  readonly gaps: boolean;
}

/** As C lays it out: natural alignment, the end padded to it. */
export function layoutOf(type: DataType): Layout {
  if (type.kind !== "struct") {
    const [bytes, align] = sizeOf(type);
    const gaps = type.kind === "text" || type.kind === "stack";
    return { bytes, align, fields: [{ name: "", type, offset: 0 }], gaps };
  }
  let end = 0;
  let align = 1;
  let used = 0;
  let gaps = false;
  const fields: Placed[] = [];
  for (const field of type.fields) {
    const inner = layoutOf(field.type);
    const offset = Math.ceil(end / inner.align) * inner.align;
    fields.push({ ...field, offset });
    end = offset + inner.bytes;
    used += inner.bytes;
    align = Math.max(align, inner.align);
    gaps ||= inner.gaps;
  }
  const bytes = Math.ceil(end / align) * align;
  return { bytes, align, fields, gaps: gaps || bytes !== used };
}

function sizeOf(type: Exclude<DataType, { kind: "struct" }>): [bytes: number, align: number] {
  switch (type.kind) {
    case "int":
      return [type.type.bits / 8, type.type.bits / 8];
    case "bool":
      return [1, 1];
    case "text":
      return [type.bytes, 1];
    case "address":
      return [type.bytes, type.bytes === 16 ? 8 : 4];
    case "stack":
      return [8 + 8 * type.frames, 8];
    case "pointer":
      return [8, 8];
  }
}

/** Resolves type nodes of one session's modules. */
export class Types {
  readonly #modules: Modules;
  constructor(modules: Modules) {
    this.#modules = modules;
  }

  /** @throws ProbeError for a type that has no layout, at its place */
  resolve(node: Node, module: ParsedModule, depth = 0): DataType {
    const fail = (message: string, fix?: string): never => {
      throw new ProbeError(message, { file: module.source, offset: node.start }, fix);
    };
    if (depth > depthLimit) return fail("this type contains itself");
    const inner = (type: Node) => this.resolve(type, module, depth + 1);
    switch (node.type) {
      case "TSNumberKeyword":
      case "TSBigIntKeyword":
        return { kind: "int", type: i64 };
      case "TSBooleanKeyword":
        return { kind: "bool" };
      case "TSStringKeyword":
        return { kind: "text", bytes: defaultTextBytes };
      case "TSParenthesizedType":
        return inner(node.typeAnnotation);
      case "TSTypeOperator":
        if (node.operator === "readonly") return inner(node.typeAnnotation);
        break;
      case "TSNamedTupleMember":
        return inner(node.elementType);
      case "TSTupleType":
        return {
          kind: "struct",
          fields: node.elementTypes.map((type, i) => ({ name: String(i), type: inner(type) })),
        };
      case "TSTypeLiteral":
        return { kind: "struct", fields: this.#members(node.members, module, depth) };
      case "TSUnionType": {
        const kinds = node.types.filter(
          ({ type }) => type !== "TSUndefinedKeyword" && type !== "TSNullKeyword",
        );
        if (kinds.length === 1) return inner(kinds[0]!);
        if (kinds.every(isNumberLiteral)) return { kind: "int", type: i64 };
        return fail(
          "a union has no fixed layout",
          "use a number, or a struct with a field for each",
        );
      }
      case "TSLiteralType":
        if (isNumberLiteral(node)) return { kind: "int", type: i64 };
        break;
      case "TSTypeReference":
        return this.#reference(node, module, depth);
    }
    return fail("this type has no layout in the kernel", supportedTypes);
  }

  #members(members: readonly Node[], module: ParsedModule, depth: number) {
    return members.map((member) => {
      const place = { file: module.source, offset: member.start };
      if (member.type !== "TSPropertySignature" || member.typeAnnotation === null)
        throw new ProbeError("only fields with a type have a place in memory", place);
      const name =
        member.key.type === "Identifier"
          ? member.key.name
          : member.key.type === "Literal"
            ? String(member.key.value)
            : undefined;
      if (name === undefined) throw new ProbeError("a computed name has no place in memory", place);
      return { name, type: this.resolve(member.typeAnnotation.typeAnnotation, module, depth + 1) };
    });
  }

  #reference(
    node: Extract<Node, { type: "TSTypeReference" }>,
    module: ParsedModule,
    depth: number,
  ): DataType {
    const place = { file: module.source, offset: node.start };
    const name = referenceName(node.typeName);
    const parameters = node.typeArguments?.params ?? [];
    const declared = this.#declared(name, module);
    if (declared !== undefined) {
      const { node: type, module: home } = declared;
      if (type.type === "TSTypeAliasDeclaration")
        return this.resolve(type.typeAnnotation, home, depth + 1);
      return { kind: "struct", fields: this.#members(type.body.body, home, depth) };
    }
    const probeName = module.probeNames.get(name) ?? name.replace(/^.*\./, "");
    const int = ints[probeName];
    if (int !== undefined) return { kind: "int", type: int };
    const number = (otherwise: number, least: number, most: number): number => {
      const [given] = parameters;
      if (given === undefined) return otherwise;
      const value = given.type === "TSLiteralType" && (given.literal as { value?: unknown }).value;
      if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most)
        return value;
      throw new ProbeError(
        `${probeName}<N>: N is a whole number, ${least} … ${most}`,
        { file: module.source, offset: given.start },
        probeName === "cstr" ? `texts are up to ${textLimit} bytes` : undefined,
      );
    };
    switch (probeName) {
      case "bool":
        return { kind: "bool" };
      case "cstr":
      case "text":
        return { kind: "text", bytes: number(defaultTextBytes, 1, textLimit) };
      case "kstack":
      case "ustack": {
        const space = probeName === "kstack" ? "kernel" : "user";
        return { kind: "stack", space, frames: number(defaultFrames, 1, 127) };
      }
      case "ptr":
      case "Struct": {
        const [to] = parameters;
        const value = to?.type === "TSLiteralType" && (to.literal as { value?: unknown }).value;
        return { kind: "pointer", to: typeof value === "string" ? value : undefined };
      }
      case "Readonly":
        if (parameters[0] !== undefined) return this.resolve(parameters[0], module, depth + 1);
        break;
    }
    const near = suggestions(name, [
      ...Object.keys(ints),
      "bool",
      "cstr",
      "kstack",
      "ustack",
      "ptr",
    ])[0];
    throw new ProbeError(
      `${name} is no type that kymo knows${near === undefined ? "" : `; did you mean ${near}?`}`,
      place,
      supportedTypes,
    );
  }

  /** A type alias or interface of this module, or one that it imports from another probe file. */
  #declared(name: string, module: ParsedModule, exportedOnly = false) {
    for (const statement of module.program.body) {
      const node =
        statement.type === "ExportNamedDeclaration"
          ? (statement.declaration ?? statement)
          : statement;
      if (
        (node.type === "TSTypeAliasDeclaration" || node.type === "TSInterfaceDeclaration") &&
        node.id.name === name
      )
        return { node, module };
    }
    if (exportedOnly) return undefined;
    for (const statement of module.program.body) {
      if (statement.type !== "ImportDeclaration" || statement.source.value === probeModule)
        continue;
      for (const specifier of statement.specifiers) {
        if (specifier.local.name !== name) continue;
        const from = this.#modules.typesOf(module, statement.source.value);
        if (from !== undefined) return this.#exported(importedName(specifier), from);
      }
    }
    return undefined;
  }

  #exported(
    name: string,
    module: ParsedModule,
  ): { node: TypeDeclaration; module: ParsedModule } | undefined {
    return this.#declared(name, module, true);
  }
}

type TypeDeclaration = Extract<
  Node,
  { type: "TSTypeAliasDeclaration" } | { type: "TSInterfaceDeclaration" }
>;

const supportedTypes =
  "i8 … u64, bool, cstr<N>, kstack<N>, ustack<N>, ptr<name>, tuples, and objects or interfaces of these";

function isNumberLiteral(node: Node): boolean {
  return (
    node.type === "TSLiteralType" && typeof (node.literal as { value?: unknown }).value === "number"
  );
}

function referenceName(node: Node): string {
  if (node.type === "Identifier") return node.name;
  return node.type === "TSQualifiedName"
    ? `${referenceName(node.left)}.${node.right.name}`
    : "this";
}

export function describeType(type: DataType): string {
  switch (type.kind) {
    case "int":
      return `${type.type.signed ? "i" : "u"}${type.type.bits}`;
    case "bool":
      return "bool";
    case "text":
      return `cstr<${type.bytes}>`;
    case "stack":
      return `${type.space === "kernel" ? "k" : "u"}stack<${type.frames}>`;
    case "address":
      return "an address";
    case "pointer":
      return type.to === undefined ? "ptr" : `ptr<"${type.to}">`;
    case "struct":
      return type.fields.every(({ name }, i) => name === String(i))
        ? `[${type.fields.map((field) => describeType(field.type)).join(", ")}]`
        : `{ ${type.fields.map((field) => `${field.name}: ${describeType(field.type)}`).join("; ")} }`;
  }
}
