/** `a.b`, `a[i]`, `a?.b`: of events, kernel structs, maps, and of what was captured. */
import type { Expression } from "oxc-parser";
import type { Expr } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import { compare, constant, zero } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { elementOf, eventField, memberOf, readPlace } from "./memory.ts";
import { AggregationHandle, MapHandle } from "./session.ts";
import type { Node } from "./syntax.ts";
import { broken, describe, known, type Value, word } from "./values.ts";
import { knownInteger, toWord } from "./words.ts";

/** `a.b`, `a[i]`, `a?.b`: memory stays memory, so that it can be assigned. */
export function member(l: Lowering, node: Extract<Node, { type: "MemberExpression" }>): Value {
  const object = objectOf(l, node.object as Expression);
  if (object.kind === "broken") return broken;
  if (node.computed) return elementAt(l, object, l.expression(node.property as Expression), node);
  if (node.property.type === "PrivateIdentifier")
    return fail(l, node, "private names have no meaning here");
  const { name } = node.property;
  if (node.optional) return throughNull(l, object, (inner) => property(l, inner, name, node));
  return property(l, object, name, node);
}

function objectOf(l: Lowering, node: Expression): Value {
  if (node.type === "MemberExpression") return member(l, node);
  if (node.type === "ChainExpression" && node.expression.type === "MemberExpression")
    return member(l, node.expression);
  return l.expression(node);
}

/** `p?.x`: undefined when p is null or undefined. */
function throughNull(l: Lowering, object: Value, then: (inner: Value) => Value): Value {
  const value = object.kind === "place" ? readPlace(l, object) : object;
  if (value.kind === "optional") {
    const inner = then(value.value);
    const read = inner.kind === "place" ? readPlace(l, inner) : inner;
    return presentOrZero(value.present, read, value.decays);
  }
  if (value.kind === "known" && (value.value === undefined || value.value === null))
    return known(undefined);
  if (value.kind !== "pointer") return then(value);
  const kept = { ...value, expr: l.build.keep(value.expr) };
  const inner = then(kept);
  const read = inner.kind === "place" ? readPlace(l, inner) : inner;
  const present = compare("!=", kept.expr, zero);
  if (read.kind === "optional")
    return { ...read, present: { op: "and", left: present, right: read.present } };
  return { kind: "optional", present, value: read, decays: true };
}

export function property(l: Lowering, object: Value, name: string, node: Node): Value {
  const at = node.type === "MemberExpression" ? (node.property as Node) : node;
  switch (object.kind) {
    case "event":
      return eventField(l, object, name, at);
    case "pointer":
      return memberOf(l, object, name, at);
    case "place": {
      if (object.type.kind === "pointer") {
        const read = readPlace(l, object);
        return read.kind === "pointer" ? memberOf(l, read, name, at) : read;
      }
      if (name === "length" && object.type.kind === "array") return known(object.type.length);
      if (object.type.kind === "chars") break;
      return memberOf(l, object, name, at);
    }
    case "optional": {
      if (!object.decays)
        return fail(
          l,
          node.type === "MemberExpression" ? node.object : node,
          "this may be undefined: the map need not have the key",
          `check it first (if (x === undefined) return), or write ?.${name}`,
        );
      const inner = property(l, object.value, name, node);
      const read = inner.kind === "place" ? readPlace(l, inner) : inner;
      return { ...object, value: read };
    }
    case "object": {
      const field = object.fields.get(name);
      if (field !== undefined) return field.value;
      return missing(l, "this object", name, [...object.fields.keys()], at);
    }
    case "tuple":
      if (name === "length") return known(object.items.length);
      break;
    case "known":
      return ofKnown(l, object.value, name, at);
    case "text":
    case "choice":
    case "either":
      return { kind: "method", of: object, name, node: at };
  }
  if (object.kind === "place") return { kind: "method", of: readPlace(l, object), name, node: at };
  return fail(l, at, `${describe(object)} has no ${name}`);
}

function ofKnown(l: Lowering, value: unknown, name: string, node: Node): Value {
  if (value instanceof MapHandle || value instanceof AggregationHandle)
    return { kind: "method", of: known(value), name, node };
  if (typeof value === "string" && name !== "length")
    return { kind: "method", of: known(value), name, node };
  if (typeof value === "function") return callable(l, value, name, node);
  if (value === undefined || value === null)
    return fail(l, node, `${String(value)} has no ${name}`);
  const from = value as Record<string, unknown>;
  if (typeof value !== "object" || name in from) return known(from[name]);
  return missing(
    l,
    Array.isArray(value) ? "this array" : "this object",
    name,
    Object.keys(from),
    node,
  );
}

function missing(
  l: Lowering,
  what: string,
  name: string,
  names: readonly string[],
  node: Node,
): never {
  const near = suggestions(name, names)[0];
  return fail(
    l,
    node,
    `${what} has no ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
    names.length === 0 || names.length > 20 ? undefined : `it has ${names.join(", ")}`,
  );
}

/** `object[index]` */
export function elementAt(l: Lowering, object: Value, index: Value, node: Node): Value {
  if (object.kind === "broken" || index.kind === "broken") return broken;
  const at = node.type === "MemberExpression" ? (node.property as Node) : node;
  if (index.kind === "known" && typeof index.value === "string")
    return property(l, object, index.value, node);
  const integer = knownInteger(index);
  if (integer !== undefined && (object.kind === "tuple" || object.kind === "known")) {
    const items = object.kind === "tuple" ? object.items : undefined;
    if (items !== undefined)
      return items[Number(integer)] ?? fail(l, node, `this tuple has ${items.length} parts`);
    const array = (object as { value: unknown }).value;
    if (typeof array === "object" && array !== null)
      return known((array as Record<string, unknown>)[String(integer)]);
  }
  if (object.kind === "known" && Array.isArray(object.value))
    return fromArray(l, object.value, index, node);
  const target =
    object.kind === "place" && object.type.kind === "pointer" ? readPlace(l, object) : object;
  if (integer !== undefined && target.kind === "place" && target.type.kind === "struct")
    return memberOf(l, target, String(integer), at);
  if (target.kind === "optional" && target.decays) {
    const inner = indexed(l, target.value, index, node);
    return { ...target, value: inner.kind === "place" ? readPlace(l, inner) : inner };
  }
  return indexed(l, target, index, node);
}

function indexed(l: Lowering, target: Value, index: Value, node: Node): Value {
  const integer = knownInteger(index);
  if (target.kind !== "place" && target.kind !== "pointer")
    return fail(l, node, `${describe(target)} can't be indexed`);
  if (integer !== undefined) return elementOf(l, target, { known: integer }, node);
  const at = toWord(l, index, node);
  return elementOf(l, target, { expr: at.expr, signed: at.type.signed }, node);
}

/** More captured elements than this are too many to choose from. */
const choiceLimit = 256;

/** An element of a captured array, by an index that only the kernel knows. Outside of it: `??`, or else 0 and no text. */
function fromArray(l: Lowering, array: readonly unknown[], index: Value, node: Node): Value {
  if (array.length === 0 || array.length > choiceLimit)
    return fail(
      l,
      node,
      `this array has ${array.length} elements; an index that varies needs 1 … ${choiceLimit}`,
      "put the values into an array map",
    );
  const at = l.build.keep(toWord(l, index, node).expr);
  const orNothing = (value: Value): Value => ({
    kind: "optional",
    present: compare("<", at, constant(array.length)),
    value,
    decays: true,
  });
  if (array.every((one) => typeof one === "string"))
    return orNothing({ kind: "choice", texts: array, index: at });
  const numbers = array.map((one) => knownInteger(known(one)));
  if (numbers.some((one) => one === undefined) || array.length > 64)
    return fail(
      l,
      node,
      "an index that varies needs an array of up to 64 whole numbers, or of texts",
    );
  const expr = numbers.reduceRight<Expr>(
    (rest, one, i) => ({
      op: "select",
      condition: compare("==", at, constant(i)),
      then: constant(one!),
      else: rest,
    }),
    zero,
  );
  const signed = numbers.some((one) => one! < 0n);
  return orNothing(word(l.build.keep(expr), { bits: 64, signed }));
}

/** Functions may have members that are functions, made by the module: Math.min. */
function callable(l: Lowering, value: object, name: string, node: Node): Value {
  const inner = (value as Record<string, unknown>)[name];
  if (inner !== undefined) return known(inner);
  return fail(l, node, `this function has no ${name}`);
}

/** What a map gave is only read where it is there: the verifier wants to see that. */
function presentOrZero(present: Expr, value: Value, decays: boolean): Value {
  if (decays || (value.kind !== "word" && value.kind !== "pointer"))
    return { kind: "optional", present, value, decays };
  const expr: Expr = { op: "select", condition: present, then: value.expr, else: zero };
  return { kind: "optional", present, value: { ...value, expr }, decays: true };
}
