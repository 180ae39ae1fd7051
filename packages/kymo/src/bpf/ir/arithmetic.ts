/** The arithmetic of the IR on words: a word is a bigint in −2⁶³ … 2⁶³ − 1, whatever its sign means. */
import type { BinaryOperator, CompareOperator, IntType } from "../ir.ts";

export function wordOf(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

/** The low bits, extended by the type's sign. */
export function castTo(type: IntType, word: bigint): bigint {
  return wordOf(type.signed ? BigInt.asIntN(type.bits, word) : BigInt.asUintN(type.bits, word));
}

export function binary(
  operator: BinaryOperator,
  signed: boolean,
  left: bigint,
  right: bigint,
): bigint {
  const unsigned = (word: bigint) => (signed ? word : BigInt.asUintN(64, word));
  const count = BigInt.asUintN(6, right);
  switch (operator) {
    case "+":
      return wordOf(left + right);
    case "-":
      return wordOf(left - right);
    case "*":
      return wordOf(left * right);
    case "/":
      return right === 0n ? 0n : wordOf(unsigned(left) / unsigned(right));
    case "%":
      return right === 0n ? left : wordOf(unsigned(left) % unsigned(right));
    case "&":
      return left & right;
    case "|":
      return left | right;
    case "^":
      return left ^ right;
    case "<<":
      return wordOf(left << count);
    case ">>":
      return wordOf(unsigned(left) >> count);
  }
}

export function compare(
  operator: CompareOperator,
  signed: boolean,
  left: bigint,
  right: bigint,
): boolean {
  const a = signed ? left : BigInt.asUintN(64, left);
  const b = signed ? right : BigInt.asUintN(64, right);
  switch (operator) {
    case "==":
      return a === b;
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
  }
}
