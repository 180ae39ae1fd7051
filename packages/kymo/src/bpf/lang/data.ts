/** Values laid out in memory by a type of the probe file's: keys and values of maps. */
import type { Expr } from "../ir.ts";
import { i64, u8, u64 } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import { addressBytes, holdAddress } from "./addresses.ts";
import { constant, plus } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { type DataType, describeType, layoutOf, type Placed } from "./data-type.ts";
import { helper, userStack } from "./helpers.ts";
import type { Node } from "./syntax.ts";
import { asText, textBytes, writeText } from "./text.ts";
import { describe, type Value } from "./values.ts";
import { narrow, toWord } from "./words.ts";

/** More than this on the kernel's stack of 512 bytes leaves too little for the rest. */
export const stackLimit = 256;

/** Writes a value, gaps zeroed. @throws ProbeError where it doesn't fit the type */
export function storeData(
  l: Lowering,
  value: Value,
  type: DataType,
  to: Expr,
  node: Node,
  zeroed = false,
): void {
  const layout = layoutOf(type);
  if (layout.gaps && !zeroed)
    l.build.add({ op: "zero", to, offset: 0, bytes: Math.ceil(layout.bytes / 8) * 8 });
  storeAt(l, value, type, to, 0, node);
}

function storeAt(
  l: Lowering,
  value: Value,
  type: DataType,
  to: Expr,
  offset: number,
  node: Node,
): void {
  const { build } = l;
  if (value.kind === "broken") return;
  switch (type.kind) {
    case "int":
      build.store(type.type, to, offset, narrowed(toWord(l, value, node), type.type.bits));
      return;
    case "bool":
      build.store(u8, to, offset, toWord(l, value, node).expr);
      return;
    case "pointer":
      build.store(u64, to, offset, toWord(l, value, node).expr);
      return;
    case "text": {
      const text = asText(l, value);
      if (text === undefined)
        fail(l, node, `expected text (${describeType(type)}), found ${describe(value)}`);
      if (text.kind === "known" && textBytes(text) > type.bytes)
        fail(
          l,
          node,
          `${JSON.stringify(text.value)} takes ${textBytes(text)} bytes, ${describeType(type)} has room for ${type.bytes}`,
          `declare it as cstr<${textBytes(text)}>`,
        );
      writeText(l, text, to, offset, type.bytes);
      return;
    }
    case "address": {
      const address = holdAddress(l, value, type.bytes);
      if (address === undefined || (addressBytes(value) ?? 0) > type.bytes)
        fail(l, node, `expected an address of ${type.bytes} bytes, found ${describe(value)}`);
      address.write(to, offset);
      return;
    }
    case "stack":
      storeStack(l, value, type, to, offset, node);
      return;
    case "struct":
      storeStruct(l, value, layoutOf(type).fields, type, to, offset, node);
  }
}

/** A store keeps the low bits by itself: only constants are cut. */
function narrowed(word: ReturnType<typeof toWord>, bits: 8 | 16 | 32 | 64): Expr {
  return word.expr.op === "const"
    ? narrow(word, { bits, signed: word.type.signed }).expr
    : word.expr;
}

function storeStruct(
  l: Lowering,
  value: Value,
  fields: readonly Placed[],
  type: DataType,
  to: Expr,
  offset: number,
  node: Node,
): void {
  const parts = partsOf(value);
  if (parts === undefined) {
    if (value.kind === "place" && value.type.kind === "struct") {
      const bytes = constant(layoutOf(type).bytes);
      const from = plus(value.base, value.offset);
      l.build.eval(l.build.call(helper.readKernel, plus(to, offset), bytes, from));
      return;
    }
    fail(l, node, `expected ${describeType(type)}, found ${describe(value)}`);
  }
  for (const [name] of parts)
    if (!fields.some((field) => field.name === name)) {
      const near = suggestions(
        name,
        fields.map((field) => field.name),
      )[0];
      const isTuple = value.kind === "tuple";
      fail(
        l,
        node,
        isTuple
          ? `a tuple of ${parts.size} is not ${describeType(type)}`
          : `${describeType(type)} has no field ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
      );
    }
  for (const field of fields) {
    const part = parts.get(field.name);
    if (part === undefined) fail(l, node, `${field.name} of ${describeType(type)} is missing`);
    storeAt(l, part.value, field.type, to, offset + field.offset, part.node ?? node);
  }
}

function partsOf(value: Value): Map<string, { value: Value; node?: Node }> | undefined {
  if (value.kind === "tuple")
    return new Map(value.items.map((item, i) => [String(i), { value: item }]));
  if (value.kind === "object") return new Map(value.fields);
  if (value.kind === "known" && typeof value.value === "object" && value.value !== null)
    return new Map(
      Object.entries(value.value).map(([name, one]) => [
        name,
        { value: { kind: "known", value: one } },
      ]),
    );
  return undefined;
}

/** The byte count at `offset`, the addresses behind it. */
export function storeStack(
  l: Lowering,
  value: Value,
  { space, frames }: { readonly space: "kernel" | "user"; readonly frames: number },
  to: Expr,
  offset: number,
  node: Node,
): void {
  const { build } = l;
  if (value.kind !== "stack" || value.space !== space)
    fail(l, node, `expected a stack (kstack() or ustack()), found ${describe(value)}`);
  if (value.saved !== undefined) {
    const bytes = constant(8 + 8 * Math.min(frames, value.frames));
    build.eval(build.call(helper.readKernel, plus(to, offset), bytes, value.saved));
    return;
  }
  const flags = constant(value.space === "user" ? userStack : 0);
  const call = build.call(
    helper.stack,
    { op: "context" },
    plus(to, offset + 8),
    constant(8 * frames),
    flags,
  );
  build.store(i64, to, offset, call);
}
