/**
 * Numbers. Everything is computed in 64 bits and wraps. A narrower value is extended by its own sign first; a result is
 * signed when either side is. Whole numbers ≥ 0 that are written out, or captured, take the other side's sign.
 * A value given to something narrower (a parameter, `x as u8`, a map's u32) keeps its low bits.
 */
import type { BinaryOperator, CompareOperator, Expr, IntType } from "../ir.ts";
import { i64, u64 } from "../ir.ts";
import { constant } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { readPlace } from "./memory.ts";
import type { Node } from "./syntax.ts";
import { bool, describe, known, type Value, type Word, word } from "./values.ts";

/** The whole number that a captured value is; undefined when it is none. */
export function knownInteger(value: Value): bigint | undefined {
  if (value.kind === "unit") return knownInteger(value.value);
  if (value.kind !== "known") return undefined;
  const it = value.value;
  if (typeof it === "bigint") return it;
  if (typeof it === "boolean") return it ? 1n : 0n;
  return typeof it === "number" && Number.isInteger(it) ? BigInt(it) : undefined;
}

/** @throws ProbeError when the value isn't a number, a bool or a pointer */
export function toWord(l: Lowering, value: Value, node: Node): Word {
  switch (value.kind) {
    case "word":
      return value;
    case "known": {
      const integer = knownInteger(value);
      if (integer === undefined) break;
      if (integer < -(2n ** 63n) || integer >= 2n ** 64n)
        return fail(l, node, `${integer} does not fit into 64 bits`);
      if (typeof value.value === "boolean") return bool(constant(integer));
      return word(constant(integer), integer < 0n ? i64 : u64);
    }
    case "pointer":
      return word(value.expr, u64);
    case "place": {
      const read = readPlace(l, value);
      if (read.kind !== "place") return toWord(l, read, node);
      break;
    }
    case "optional":
      if (value.decays) return toWord(l, value.value, node);
      return fail(
        l,
        node,
        "this may be undefined: the map need not have the key",
        "check it first (if (x === undefined) return), or give a default (x ?? 0)",
      );
    case "either": {
      const then = toWord(l, value.then, node);
      const otherwise = toWord(l, value.else, node);
      const type = then.type.signed ? then.type : otherwise.type;
      return word(
        { op: "select", condition: value.condition, then: then.expr, else: otherwise.expr },
        then.type.bits === 64 ? then.type : type,
      );
    }
    case "named":
      return value.word;
    case "unit":
      return toWord(l, value.value, node);
    case "broken":
      return word(constant(0), u64);
  }
  if (value.kind === "known" && typeof value.value === "number")
    return fail(l, node, `${value.value} is not a whole number`, "in the kernel numbers are whole");
  return fail(l, node, `expected a number, found ${describe(value)}`);
}

/** The value in so many bits. */
export function narrow(value: Word, type: IntType): Word {
  if (value.expr.op === "const") {
    const bits = type.bits;
    const wrapped = type.signed
      ? BigInt.asIntN(bits, value.expr.value)
      : BigInt.asUintN(bits, value.expr.value);
    return word(constant(wrapped), type);
  }
  return word(fits(value.type, type) ? value.expr : { op: "cast", type, value: value.expr }, type);
}

/** Whether extending by the first type's sign is also extending by the second's. */
function fits(from: IntType, to: IntType): boolean {
  if (to.bits === 64) return true;
  if (from.signed === to.signed) return from.bits <= to.bits;
  return !from.signed && from.bits < to.bits;
}

const arithmetic: Readonly<Record<string, BinaryOperator>> = {
  "+": "+",
  "-": "-",
  "*": "*",
  "/": "/",
  "%": "%",
  "&": "&",
  "|": "|",
  "^": "^",
  "<<": "<<",
  ">>": ">>",
  ">>>": ">>",
};
const comparison: Readonly<Record<string, CompareOperator>> = {
  "===": "==",
  "!==": "!=",
  "==": "==",
  "!=": "!=",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
};

export function isComparison(operator: string): boolean {
  return operator in comparison;
}

/** @param operator as in TypeScript; >>> shifts in zeroes whatever the type */
export function binary(
  l: Lowering,
  operator: string,
  left: Value,
  right: Value,
  node: Node,
  sides: readonly [Node, Node],
): Value {
  const leftInteger = knownInteger(left);
  const rightInteger = knownInteger(right);
  if (leftInteger !== undefined && rightInteger !== undefined) {
    const folded = fold(operator, leftInteger, rightInteger);
    if (folded !== undefined) return known(folded);
  }
  const a = toWord(l, left, sides[0]);
  const b = toWord(l, right, sides[1]);
  const compared = comparison[operator];
  // A constant adapts to the other side.
  const signed =
    leftInteger !== undefined
      ? b.type.signed || leftInteger < 0n
      : rightInteger !== undefined
        ? a.type.signed || rightInteger < 0n
        : a.type.signed || b.type.signed;
  if (compared !== undefined)
    return bool({ op: "compare", operator: compared, signed, left: a.expr, right: b.expr });
  const arithmetical = arithmetic[operator];
  if (arithmetical === undefined) {
    const fix = operator === "**" ? "multiply" : undefined;
    return fail(l, node, `the operator ${operator} does not exist in the kernel`, fix);
  }
  const shift = arithmetical === "<<" || arithmetical === ">>";
  const resultSigned = shift ? a.type.signed && operator !== ">>>" : signed;
  const expr: Expr = {
    op: "binary",
    operator: arithmetical,
    signed: resultSigned,
    left: a.expr,
    right: b.expr,
    at: l.build.at!,
  };
  const result = word(expr, resultType(operator, a, b, resultSigned, rightInteger));
  if (rightInteger === undefined || rightInteger < 0n) return result;
  if (operator === "&") return { ...result, most: rightInteger };
  return operator === "%" && !resultSigned ? { ...result, most: rightInteger - 1n } : result;
}

/** Of masks and right shifts the result is known to be narrow. */
function resultType(
  operator: string,
  a: Word,
  b: Word,
  signed: boolean,
  right: bigint | undefined,
): IntType {
  if (operator === "&" && right !== undefined && right >= 0n) {
    if (right < 2n ** 8n) return { bits: 8, signed: false };
    if (right < 2n ** 16n) return { bits: 16, signed: false };
    if (right < 2n ** 32n) return { bits: 32, signed: false };
  }
  if ((operator === ">>" || operator === ">>>") && !a.type.signed) return a.type;
  if (!a.type.signed && !b.type.signed && "/%&|^".includes(operator))
    return right !== undefined && operator !== "/" && operator !== "%"
      ? { bits: 64, signed: false }
      : a.type.bits >= b.type.bits
        ? a.type
        : operator === "/" || operator === "%" || operator === "&"
          ? a.type
          : b.type;
  return { bits: 64, signed };
}

function fold(operator: string, a: bigint, b: bigint): bigint | boolean | undefined {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return b === 0n ? 0n : a / b;
    case "%":
      return b === 0n ? a : a % b;
    case "&":
      return a & b;
    case "|":
      return a | b;
    case "^":
      return a ^ b;
    case "<<":
      return BigInt.asIntN(64, a << (b & 63n)) < 0n && a >= 0n
        ? BigInt.asUintN(64, a << (b & 63n))
        : BigInt.asIntN(64, a << (b & 63n));
    case ">>":
      return a >> (b & 63n);
    case ">>>":
      return BigInt.asUintN(64, a) >> (b & 63n);
    case "**":
      return b >= 0n && b < 64n ? a ** b : undefined;
    case "===":
    case "==":
      return a === b;
    case "!==":
    case "!=":
      return a !== b;
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    default:
      return undefined;
  }
}
