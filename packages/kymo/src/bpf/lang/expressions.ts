/** Expressions of handlers. */
import type { Expression } from "oxc-parser";
import type { Expr } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import { assigned } from "./assignments.ts";
import { call, tagged } from "./calls.ts";
import { compareValues, conditional, hold, logical, negated, spilled } from "./conditions.ts";
import { type Binding, fail, type Lowering, moduleOf } from "./context.ts";
import { ints } from "./data-type.ts";
import { member } from "./members.ts";
import { readPlace } from "./memory.ts";
import { isFunction, type Node } from "./syntax.ts";
import {
  bool,
  broken,
  describe,
  known,
  nothing,
  type ObjectValue,
  type Value,
  word,
} from "./values.ts";
import { binary, isComparison, knownInteger, narrow, toWord } from "./words.ts";

/** A whole number beyond 2⁵³ as it is written, which JavaScript's own is not. */
function exactly(value: number, written: string): number | bigint {
  const digits = written.replaceAll("_", "");
  const isWhole = /^(0x[\da-f]+|0o[0-7]+|0b[01]+|\d+)$/i.test(digits);
  return Number.isSafeInteger(value) || !isWhole ? value : BigInt(digits);
}

export function lowerExpression(l: Lowering, node: Expression): Value {
  l.build.at = { file: moduleOf(l).file, offset: node.start };
  switch (node.type) {
    case "Literal":
      if ("regex" in node) break;
      return known(
        typeof node.value === "number" ? exactly(node.value, node.raw ?? "") : node.value,
      );
    case "Identifier":
      return variable(l, node.name, node);
    case "ParenthesizedExpression":
    case "TSNonNullExpression":
    case "TSSatisfiesExpression":
    case "TSInstantiationExpression": {
      const inner = l.expression(node.expression);
      return node.type === "TSNonNullExpression" && inner.kind === "optional" ? inner.value : inner;
    }
    case "TSAsExpression":
    case "TSTypeAssertion":
      return converted(l, l.expression(node.expression), node.typeAnnotation, node);
    case "ChainExpression":
      return l.expression(node.expression as Expression);
    case "TemplateLiteral":
      return template(l, node);
    case "UnaryExpression":
      return unary(l, node);
    case "BinaryExpression":
      return binaryExpression(l, node);
    case "LogicalExpression":
      return logical(l, node);
    case "ConditionalExpression":
      return conditional(l, node);
    case "MemberExpression": {
      const value = member(l, node);
      return value.kind === "place" ? readPlace(l, value) : value;
    }
    case "CallExpression":
      return call(l, node);
    case "TaggedTemplateExpression":
      return tagged(l, node);
    case "AssignmentExpression":
    case "UpdateExpression":
      return assigned(l, node);
    case "ObjectExpression":
      return object(l, node);
    case "ArrayExpression":
      return {
        kind: "tuple",
        items: node.elements.map((element) => {
          if (element === null || element.type === "SpreadElement")
            return fail(l, element ?? node, "a tuple's parts are written out, one by one");
          return hold(l, l.expression(element));
        }),
      };
    case "SequenceExpression":
      return node.expressions.map((one) => l.expression(one)).at(-1)!;
    case "ArrowFunctionExpression":
    case "FunctionExpression":
      return {
        kind: "function",
        record: { module: moduleOf(l), node, scope: l.frame.record.scope },
        scope: l.scope,
      };
  }
  return fail(l, node, `${inWords(node.type)} can't run in the kernel`, kernelLanguage);
}

const kernelLanguage =
  "handlers have const, let, if, ?:, ||, &&, ??, arithmetic, bounded loops, and calls of your own functions";

const wordsOf: Readonly<Record<string, string>> = {
  AwaitExpression: "await",
  NewExpression: "new",
  ThisExpression: "this",
  ClassExpression: "a class",
  YieldExpression: "yield",
  ImportExpression: "import()",
  Literal: "a regular expression",
  Super: "super",
};
export function inWords(type: string): string {
  return wordsOf[type] ?? type.replace(/(Expression|Statement|Declaration)$/, "").toLowerCase();
}

function variable(l: Lowering, name: string, node: Node): Value {
  const binding = l.scope.find(name);
  if (binding !== undefined) return valueOfBinding(l, binding);
  return captured(l, name, node);
}

function valueOfBinding(l: Lowering, binding: Binding): Value {
  const fact = l.facts.get(binding);
  if (fact !== undefined) return fact;
  const { assign } = binding;
  if (assign === undefined) return binding.value;
  const expr: Expr = { op: "local", local: assign.local };
  return assign.bool ? bool(expr) : word(expr, assign.type);
}

/** A name from outside of the handler: its value now, after the module has run. */
function captured(l: Lowering, name: string, node: Node): Value {
  if (name === "undefined") return known(undefined);
  const { scope } = l.frame.record;
  const thunk = Object.hasOwn(scope, name) ? scope[name] : undefined;
  try {
    if (thunk !== undefined) return known(thunk());
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
  }
  const near = suggestions(name, [
    ...l.scope.names(),
    ...moduleOf(l).probeNames.keys(),
    ...Object.keys(l.session.values),
  ])[0];
  const isProbe = Object.hasOwn(l.session.values, name);
  return fail(
    l,
    node,
    `${name} is not defined here${near === undefined || near === name ? "" : `; did you mean ${near}?`}`,
    isProbe ? `import { ${name} } from "kymo/probe"` : undefined,
  );
}

/** `x as u8` keeps the low bits, as a C cast does. */
export function converted(l: Lowering, value: Value, type: Node, node: Node): Value {
  if (type.type !== "TSTypeReference" || type.typeName.type !== "Identifier") return value;
  const name = moduleOf(l).probeNames.get(type.typeName.name) ?? type.typeName.name;
  const int = ints[name];
  if (int === undefined || value.kind === "optional") return value;
  const integer = knownInteger(value);
  if (integer !== undefined)
    return known(int.signed ? BigInt.asIntN(int.bits, integer) : BigInt.asUintN(int.bits, integer));
  return narrow(toWord(l, value, node), int);
}

function template(l: Lowering, node: Extract<Node, { type: "TemplateLiteral" }>): Value {
  let text = node.quasis[0]!.value.cooked ?? "";
  for (const [i, expression] of node.expressions.entries()) {
    const value = l.expression(expression);
    if (value.kind !== "known" || typeof value.value === "object")
      return fail(
        l,
        expression,
        `${describe(value)} is not known beforehand: texts can't be put together in the kernel`,
        "give it as an arg of its own, or use print`…`",
      );
    text += String(value.value) + (node.quasis[i + 1]!.value.cooked ?? "");
  }
  return known(text);
}

function unary(l: Lowering, node: Extract<Node, { type: "UnaryExpression" }>): Value {
  if (node.operator === "!") return negated(l, node);
  const value = l.expression(node.argument);
  const integer = knownInteger(value);
  if (integer !== undefined && node.operator === "-") return known(-integer);
  if (integer !== undefined && node.operator === "~") return known(~integer);
  switch (node.operator) {
    case "+":
      return toWord(l, value, node.argument);
    case "-":
    case "~": {
      const given = toWord(l, value, node.argument);
      const signed = node.operator === "-" || given.type.signed;
      const op = node.operator === "-" ? "negate" : "invert";
      return word({ op, value: given.expr }, { bits: 64, signed });
    }
    case "void":
      return nothing;
  }
  return fail(l, node, `${node.operator} can't run in the kernel`, kernelLanguage);
}

function binaryExpression(l: Lowering, node: Extract<Node, { type: "BinaryExpression" }>): Value {
  if (node.left.type === "PrivateIdentifier")
    return fail(l, node, "private names have no meaning here");
  const left = l.expression(node.left);
  const start = l.build.length;
  const right = l.expression(node.right);
  l.build.at = { file: moduleOf(l).file, offset: node.start };
  if (left.kind === "broken" || right.kind === "broken") return broken;
  const first = spilled(l, left, start);
  if (isComparison(node.operator)) {
    const compared = compareValues(l, node.operator, first, right, node);
    if (compared !== undefined) return compared;
  }
  if (node.operator === "+") {
    const [a, b] = [first, right].map((one) => (one.kind === "known" ? one.value : undefined));
    if (typeof a === "string" && b !== undefined) return known(a + String(b));
    if (typeof b === "string" && a !== undefined) return known(String(a) + b);
  }
  return binary(l, node.operator, first, right, node, [node.left, node.right]);
}

function object(l: Lowering, node: Extract<Node, { type: "ObjectExpression" }>): ObjectValue {
  const fields = new Map<string, { node: Node; value: Value }>();
  for (const one of node.properties) {
    if (one.type === "SpreadElement") {
      const value = l.expression(one.argument);
      if (value.kind === "object")
        for (const [name, field] of value.fields) fields.set(name, field);
      else if (value.kind === "known" && typeof value.value === "object" && value.value !== null)
        for (const [name, inner] of Object.entries(value.value))
          fields.set(name, { node: one, value: known(inner) });
      else return fail(l, one, `${describe(value)} can't be spread`);
      continue;
    }
    const name = keyName(l, one);
    const value = isFunction(one.value as Node)
      ? lowerExpression(l, one.value)
      : hold(l, l.expression(one.value));
    fields.set(name, { node: one.value, value });
  }
  return { kind: "object", fields };
}

function keyName(l: Lowering, node: Extract<Node, { type: "Property" }>): string {
  const { key } = node;
  if (!node.computed && key.type === "Identifier") return key.name;
  const value = l.expression(key as Expression);
  if (value.kind === "known") return String(value.value);
  return fail(l, key, "the names of fields are known beforehand");
}
