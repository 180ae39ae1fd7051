/** Expressions that are known when the probe is compiled, and operations with one such operand. */
import { binary, castTo, compare, wordOf } from "../ir/arithmetic.ts";
import type { Expr, LocalId } from "../ir.ts";
import type { AluOperator } from "./machine.ts";

/** The value of an expression that is the same in every run; `locals` are those that never have another value. */
export function constantOf(expr: Expr, locals: ReadonlyMap<LocalId, bigint>): bigint | undefined {
  switch (expr.op) {
    case "const":
      return wordOf(expr.value);
    case "local":
      return locals.get(expr.local);
    case "cast":
    case "negate":
    case "invert":
    case "not": {
      const value = constantOf(expr.value, locals);
      if (value === undefined) return undefined;
      if (expr.op === "cast") return castTo(expr.type, value);
      if (expr.op === "not") return BigInt(value === 0n);
      return wordOf(expr.op === "negate" ? -value : ~value);
    }
    case "binary":
    case "compare": {
      const left = constantOf(expr.left, locals);
      const right = left === undefined ? undefined : constantOf(expr.right, locals);
      if (left === undefined || right === undefined) return undefined;
      return expr.op === "binary"
        ? binary(expr.operator, expr.signed, left, right)
        : BigInt(compare(expr.operator, expr.signed, left, right));
    }
    case "and":
    case "or": {
      const left = constantOf(expr.left, locals);
      if (left === undefined) return undefined;
      if ((left !== 0n) === (expr.op === "or")) return BigInt(expr.op === "or");
      const right = constantOf(expr.right, locals);
      return right === undefined ? undefined : BigInt(right !== 0n);
    }
    case "select": {
      const condition = constantOf(expr.condition, locals);
      if (condition === undefined) return undefined;
      return constantOf(condition !== 0n ? expr.then : expr.else, locals);
    }
    default:
      return undefined;
  }
}

export function fitsImmediate(value: bigint): boolean {
  return value === BigInt.asIntN(32, value);
}

export function machineOperator(expr: Expr & { readonly op: "binary" }): AluOperator {
  const { operator, signed } = expr;
  if (!signed) return operator;
  return operator === "/" ? "s/" : operator === "%" ? "s%" : operator === ">>" ? "s>>" : operator;
}

/** What is left to do of `x ∘ constant`. */
export type Simple =
  /** 0, whatever x is. */
  | { readonly op: "give" }
  | { readonly op: "same" | "negate" }
  /** The low 32 bits of x. */
  | { readonly op: "extend" }
  | {
      readonly op: "alu";
      readonly operator: AluOperator;
      readonly bits: 32 | 64;
      readonly value: bigint;
    };

/**
 * Powers of two become shifts and masks, neutral elements nothing.
 * @param bits of the operation; of 32, the upper half of the result is 0
 * @param isUnsigned x divides as an unsigned number does
 */
export function withConstant(
  operator: AluOperator,
  constant: bigint,
  bits: 32 | 64,
  isUnsigned: boolean,
): Simple {
  const c = BigInt.asIntN(bits, constant);
  const same: Simple = { op: "same" };
  const give: Simple = { op: "give" };
  const alu = (operator: AluOperator, value: bigint): Simple => ({
    op: "alu",
    operator,
    bits,
    value,
  });
  const power = c > 0n ? log2(c) : undefined;
  switch (operator) {
    case "+":
    case "|":
    case "^":
      return c === 0n ? same : alu(operator, c);
    case "-":
      return c === 0n ? same : alu("+", BigInt.asIntN(bits, -c));
    case "*":
      if (c === 0n || c === 1n) return c === 0n ? give : same;
      return power === undefined ? alu("*", c) : alu("<<", power);
    case "/":
    case "s/":
      if (c === 0n || c === 1n) return c === 0n ? give : same;
      if (c === -1n && operator === "s/") return { op: "negate" };
      return power !== undefined && isUnsigned ? alu(">>", power) : alu(operator, c);
    case "%":
    case "s%":
      if (c === 0n) return same;
      if (c === 1n || (c === -1n && operator === "s%")) return give;
      return power !== undefined && isUnsigned ? masked(c - 1n) : alu(operator, c);
    case "&":
      return c === 0n ? give : c === -1n ? same : masked(bits === 32 ? BigInt.asUintN(32, c) : c);
    case "<<":
    case ">>":
    case "s>>": {
      const count = BigInt.asUintN(6, constant);
      return count === 0n ? same : alu(operator, count);
    }
  }
}

function masked(mask: bigint): Simple {
  if (mask === 0xffff_ffffn) return { op: "extend" };
  const isLow = mask > 0n && mask < 1n << 32n && !fitsImmediate(mask);
  return isLow
    ? { op: "alu", operator: "&", bits: 32, value: BigInt.asIntN(32, mask) }
    : { op: "alu", operator: "&", bits: 64, value: mask };
}

function log2(value: bigint): bigint | undefined {
  return (value & (value - 1n)) === 0n ? BigInt(value.toString(2).length - 1) : undefined;
}
