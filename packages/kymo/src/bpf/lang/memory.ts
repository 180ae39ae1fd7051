/** Memory: fields of events and structs, what pointers point at, elements of arrays. */
import type { Expr, IntType, MemoryKind } from "../ir.ts";
import { u32, u64 } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import type { CType, EventField, FieldAccess } from "../schema.ts";
import { compare, compute, constant, context, plus, sum } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { type DataType, defaultTextBytes, layoutOf } from "./data-type.ts";
import { helper } from "./helpers.ts";
import type { Node } from "./syntax.ts";
import {
  bool,
  describe,
  describeType,
  type Event,
  known,
  type MemoryType,
  type Place,
  type Pointer,
  type Value,
  word,
} from "./values.ts";

/** The value that is there: numbers are loaded, texts and structs stay where they are. */
export function readPlace(l: Lowering, place: Place): Value {
  const { type, memory, base, offset } = place;
  switch (type.kind) {
    case "int":
    case "enum":
      if (place.bits !== undefined) return word(loadBits(l, place, type.type), type.type);
      return word(l.build.load(type.type, memory, base, offset), type.type);
    case "bool":
      if (place.bits !== undefined) return bool(loadBits(l, place, { bits: 8, signed: false }));
      return bool(l.build.load({ bits: 8, signed: false }, memory, base, offset));
    case "pointer":
      return {
        kind: "pointer",
        expr: l.build.load(u64, memory, base, offset),
        to: type.to,
        // What a map's value points at is no longer known to the verifier.
        memory: place.indexable ? "kernel" : memory,
      };
    case "chars":
      return {
        kind: "text",
        from: { memory, address: plus(base, offset) },
        bytes: type.bytes ?? defaultTextBytes,
      };
    case "stack":
      return { kind: "stack", space: type.space, frames: type.frames, saved: plus(base, offset) };
    default:
      return place;
  }
}

/** A bit field: the smallest aligned word around it, shifted and masked. */
function loadBits(l: Lowering, place: Place, type: IntType): Expr {
  const { offset: bit, size } = place.bits!;
  for (const bits of [8, 16, 32, 64] as const) {
    const start = Math.floor(bit / bits) * bits;
    if (bit + size > start + bits) continue;
    const from = place.offset + start / 8;
    const loaded = l.build.load({ bits, signed: false }, place.memory, place.base, from);
    if (type.signed) {
      const up = constant(64 - size - (bit - start));
      const left: Expr = { op: "binary", operator: "<<", signed: true, left: loaded, right: up };
      return { op: "binary", operator: ">>", signed: true, left, right: constant(64 - size) };
    }
    const shifted: Expr = bit === start ? loaded : compute(">>", loaded, constant(bit - start));
    if (bit + size === start + bits) return shifted;
    const mask = constant((1n << BigInt(size)) - 1n);
    return compute("&", shifted, mask);
  }
  throw new Error(`a bit field of ${size} bits at bit ${bit} lies in no word`);
}

/** `.name` of memory or of what a pointer points at. */
export function memberOf(l: Lowering, value: Place | Pointer, name: string, node: Node): Value {
  const place = value.kind === "pointer" ? pointedAt(value) : value;
  const { type } = place;
  if (type.kind !== "struct") {
    if (type.kind === "pointer" && value.kind === "pointer")
      return fail(l, node, `this is a pointer to a pointer: it has no ${name}`, "index it: p[0]");
    return fail(l, node, `${described(type)} has no fields`, castHint(type));
  }
  const member = type.member(name);
  if (member === undefined) {
    const near = suggestions(name, type.members())[0];
    return fail(
      l,
      node,
      `${described(type)} has no field ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
    );
  }
  const inner: Place =
    member.bitSize === undefined
      ? { ...place, type: member.type, offset: place.offset + member.bitOffset / 8 }
      : {
          ...place,
          type: member.type,
          bits: { offset: member.bitOffset, size: member.bitSize },
        };
  return inner;
}

function described(type: MemoryType): string {
  return type.kind === "stack" ? "a stack" : describeType(type);
}

function castHint(type: MemoryType): string | undefined {
  return type.kind === "opaque" || type.kind === "int"
    ? 'say what it points at: cast("struct sock", p)'
    : undefined;
}

function pointedAt(pointer: Pointer): Place {
  return {
    kind: "place",
    base: pointer.expr,
    offset: 0,
    type: pointer.to,
    memory: pointer.memory,
    writable: false,
    indexable: false,
  };
}

/** `[index]` of an array in memory, or of what a pointer points at. */
export function elementOf(
  l: Lowering,
  value: Place | Pointer,
  index: { readonly known: bigint } | { readonly expr: Expr; readonly signed: boolean },
  node: Node,
): Value {
  const [place, of, bytes, length] = arrayParts(l, value, node);
  if ("known" in index) {
    if (index.known < 0n || (length !== undefined && index.known >= BigInt(length)))
      return fail(l, node, `the index ${index.known} is outside of the array's ${length} elements`);
    return { ...place, type: of, offset: place.offset + Number(index.known) * bytes };
  }
  // The verifier takes no variable offset from a kernel pointer: read it as any kernel memory is read.
  const memory: MemoryKind =
    place.memory === "direct" && !place.indexable ? "kernel" : place.memory;
  const at = l.build.keep(index.expr);
  const scaled: Expr = bytes === 1 ? at : compute("*", at, constant(bytes));
  if (length === undefined) return { ...place, type: of, memory, base: sum(place.base, scaled) };
  const inside = l.build.keep(compare("<", at, constant(length)));
  const element = (offset: Expr): Value =>
    readPlace(l, { ...place, type: of, memory, base: sum(place.base, offset) });
  const loaded = element(scaled);
  if (loaded.kind === "word" || loaded.kind === "pointer") {
    const value: Expr = { op: "select", condition: inside, then: loaded.expr, else: constant(0) };
    const kept = { ...loaded, expr: l.build.keep(value) };
    return { kind: "optional", present: inside, value: kept, decays: true };
  }
  // Outside of the array, memory of the first element stands in.
  const safe: Expr = { op: "select", condition: inside, then: scaled, else: constant(0) };
  return { kind: "optional", present: inside, value: element(l.build.keep(safe)), decays: true };
}

function arrayParts(
  l: Lowering,
  value: Place | Pointer,
  node: Node,
): [Place, CType, number, number | undefined] {
  if (value.kind === "place" && value.type.kind === "array")
    return [value, value.type.of, value.type.elementBytes, value.type.length];
  if (
    value.kind === "place" &&
    value.type.kind === "struct" &&
    value.type.member("0") !== undefined
  )
    return fail(l, node, "a tuple's parts are of different types: its index must be a constant");
  if (value.kind === "pointer") {
    const bytes = sizeOf(value.to);
    if (bytes !== undefined) return [pointedAt(value), value.to, bytes, undefined];
  }
  return fail(l, node, `${describe(value)} can't be indexed`);
}

/** Bytes of one; undefined where that is not known. */
function sizeOf(type: CType): number | undefined {
  switch (type.kind) {
    case "int":
    case "enum":
      return type.type.bits / 8;
    case "bool":
      return 1;
    case "pointer":
      return 8;
    case "array":
      return type.length * type.elementBytes;
    case "struct":
      return type.bytes;
    case "chars":
      return type.bytes;
    case "opaque":
      return undefined;
  }
}

/** `e.name` of an event. */
export function eventField(l: Lowering, event: Event, name: string, node: Node): Value {
  const { schema } = event;
  if (name === "ret" && schema.result !== undefined && event.fields !== undefined)
    return fieldValue(l, schema.result);
  const field =
    event.fields === "all" ? schema.fields.find((field) => field.name === name) : undefined;
  if (field !== undefined) return fieldValue(l, field);
  const fields = event.fields === "all" ? schema.fields.map((field) => field.name) : [];
  const names = [...new Set(schema.result === undefined ? fields : [...fields, "ret"])];
  const near = suggestions(name, names)[0];
  return fail(
    l,
    node,
    `${schema.label} has no field ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
    names.length === 0 ? undefined : `its fields: ${names.join(", ")}`,
  );
}

export function fieldValue(l: Lowering, field: EventField): Value {
  const { type, access } = field;
  if (access.how === "inline")
    return readPlace(l, {
      kind: "place",
      base: context,
      offset: access.offset,
      type,
      memory: "direct",
      writable: false,
      indexable: false,
    });
  if (access.how === "dataLocation") {
    const location = l.build.keep(l.build.load(u32, "direct", context, access.offset));
    const offset: Expr = compute("&", location, constant(0xffff));
    const start = plus(sum(context, offset), access.relative ? access.offset + 4 : 0);
    return { kind: "text", from: { memory: "kernel", address: start }, bytes: defaultTextBytes };
  }
  if (access.how === "constant" && type.kind === "int") return known(access.value);
  const expr = accessed(l, access);
  switch (type.kind) {
    case "int":
    case "enum":
      return word(expr, type.type);
    case "bool":
      return bool(expr);
    case "pointer":
      return { kind: "pointer", expr, to: type.to, memory: field.pointee };
    default:
      return { kind: "pointer", expr, to: type, memory: field.pointee };
  }
}

function accessed(l: Lowering, access: FieldAccess): Expr {
  switch (access.how) {
    case "load":
      return l.build.load(access.type, "direct", context, access.offset);
    case "indirect": {
      const behind = l.build.load(u64, "direct", context, access.offset);
      return l.build.load(access.type, access.memory, behind, access.displacement);
    }
    case "constant":
      return constant(access.value);
    case "byCookie": {
      const cookie = l.build.keep(l.build.call(helper.attachCookie, context));
      return access.access
        .map((one) => accessed(l, one))
        .reduceRight((rest, one, i) => ({
          op: "select",
          condition: compare("==", cookie, constant(i)),
          then: one,
          else: rest,
        }));
    }
    default:
      return constant(0);
  }
}

/** A probe file's own type, as memory is described. */
export function memoryType(l: Lowering, type: DataType): MemoryType {
  switch (type.kind) {
    case "int":
      return {
        kind: "int",
        type: type.type,
        name: `${type.type.signed ? "i" : "u"}${type.type.bits}`,
      };
    case "bool":
      return { kind: "bool" };
    case "text":
      return { kind: "chars", bytes: type.bytes };
    case "address": {
      const byte = { kind: "int", type: { bits: 8, signed: false }, name: "u8" } as const;
      return { kind: "array", of: byte, length: type.bytes, elementBytes: 1 };
    }
    case "stack":
      return type;
    case "pointer":
      return { kind: "pointer", to: structNamed(l, type.to) };
    case "struct": {
      const layout = layoutOf(type);
      const members = new Map(
        layout.fields.map((field) => [
          field.name,
          // A stack is only read by whoever knows it (readPlace).
          { type: memoryType(l, field.type) as CType, bitOffset: field.offset * 8 },
        ]),
      );
      return {
        kind: "struct",
        name: "",
        bytes: layout.bytes,
        member: (name) => members.get(name),
        members: () => [...members.keys()],
      };
    }
  }
}

export function structNamed(l: Lowering, name: string | undefined): CType {
  if (name === undefined) return { kind: "opaque", name: "void" };
  const found = l.kernel.type(name.replace(/^(struct|union|enum) /, ""));
  return "missing" in found ? { kind: "opaque", name } : found;
}
