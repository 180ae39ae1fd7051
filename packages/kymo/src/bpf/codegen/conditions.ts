/** Expressions that choose: comparisons and the branches they are made with, `and`, `or`, `not`, `select`. */
import type { Expr } from "../ir.ts";
import { u32 } from "../ir.ts";
import type { Builder } from "./builder.ts";
import { fitsImmediate } from "./constants.ts";
import type { Known } from "./known.ts";
import type { Block, Branch, Operand, Reg } from "./machine.ts";
import { isWithin, type Ranges, rangeOfType } from "./range.ts";

/** The other expressions, and what is known where they are written. */
export interface Values {
  known: Known;
  constant(expr: Expr): bigint | undefined;
  reg(expr: Expr): Reg;
  value(expr: Expr): Operand;
  into(expr: Expr, to: Reg): void;
  withoutCasts(expr: Expr, bits: number): Expr;
}

/** What is known at the start of each arm. */
interface Arms {
  readonly yes: Known;
  readonly no: Known;
}

export class Conditions {
  readonly #builder: Builder;
  readonly #values: Values;
  readonly #ranges: Ranges;

  constructor(builder: Builder, values: Values, ranges: Ranges) {
    this.#builder = builder;
    this.#values = values;
    this.#ranges = ranges;
  }

  /** 0 or 1. */
  truth(expr: Expr, to: Reg): void {
    const builder = this.#builder;
    const result = builder.reg();
    const [yes, no, after] = [builder.block(), builder.block(), builder.block()];
    const known = this.condition(expr, yes, no);
    builder.start(yes);
    builder.write({ op: "move", to: result, from: { imm: 1 } });
    builder.jump(after);
    builder.start(no);
    builder.write({ op: "move", to: result, from: { imm: 0 } });
    builder.start(after);
    builder.write({ op: "move", to, from: result });
    known.yes.intersect(known.no);
    this.#values.known = known.yes;
  }

  select(expr: Expr & { readonly op: "select" }, to: Reg): void {
    const builder = this.#builder;
    const constant = this.#values.constant(expr.condition);
    if (constant !== undefined) {
      this.#values.into(constant !== 0n ? expr.then : expr.else, to);
      return;
    }
    const result = builder.reg();
    const [yes, no, after] = [builder.block(), builder.block(), builder.block()];
    const known = this.condition(expr.condition, yes, no);
    builder.start(yes);
    this.#values.known = known.yes;
    this.#values.into(expr.then, result);
    builder.jump(after);
    builder.start(no);
    const afterThen = this.#values.known;
    this.#values.known = known.no;
    this.#values.into(expr.else, result);
    this.#values.known.intersect(afterThen);
    builder.start(after);
    builder.write({ op: "move", to, from: result });
  }

  /** Goes to `yes` when the value isn't 0. @returns what is known at the start of each. */
  condition(expr: Expr, yes: Block, no: Block): Arms {
    const builder = this.#builder;
    const outer = builder.at;
    builder.at = expr.at ?? outer;
    const known = this.#condition(expr, yes, no);
    builder.at = outer;
    return known;
  }

  #condition(expr: Expr, yes: Block, no: Block): Arms {
    const builder = this.#builder;
    const constant = this.#values.constant(expr);
    if (constant !== undefined) {
      builder.jump(constant !== 0n ? yes : no);
    } else if (expr.op === "not") {
      const inner = this.condition(expr.value, no, yes);
      return { yes: inner.no, no: inner.yes };
    } else if (expr.op === "and" || expr.op === "or") {
      const isAnd = expr.op === "and";
      const next = builder.block();
      const left = isAnd
        ? this.condition(expr.left, next, no)
        : this.condition(expr.left, yes, next);
      builder.start(next);
      this.#values.known = isAnd ? left.yes : left.no;
      const right = this.condition(expr.right, yes, no);
      if (isAnd) right.no.intersect(left.no);
      else right.yes.intersect(left.yes);
      return { yes: right.yes, no: right.no };
    } else if (expr.op === "compare") {
      return this.#compare(expr, yes, no);
    } else if (expr.op === "binary" && expr.operator === "&") {
      const left = this.#values.reg(expr.left);
      const right = this.#values.value(expr.right);
      builder.branch({ operator: "&", signed: false, bits: 64, left, right, yes, no });
    } else {
      const left = this.#values.reg(expr);
      const right = { imm: 0 };
      builder.branch({ operator: "!=", signed: false, bits: 64, left, right, yes, no });
    }
    return { yes: this.#values.known.copy(), no: this.#values.known.copy() };
  }

  #compare(expr: Expr & { readonly op: "compare" }, yes: Block, no: Block): Arms {
    let { left, right, operator } = expr;
    if (this.#values.constant(left) !== undefined) {
      [left, right] = [right, left];
      operator = mirrored[operator];
    }
    const constant = this.#values.constant(right);
    const isEquality = operator === "==" || operator === "!=";
    if (constant === 0n && isEquality && isTruth(left)) {
      const inner =
        operator === "!=" ? this.condition(left, yes, no) : this.condition(left, no, yes);
      return operator === "!=" ? { ...inner } : { yes: inner.no, no: inner.yes };
    }
    const common = { operator, signed: expr.signed, yes, no } satisfies Partial<Branch>;
    const low = constant === undefined ? undefined : this.#low32(left, constant);
    if (low !== undefined) {
      const signed = low.signed ? expr.signed : false;
      this.#builder.branch({
        ...common,
        signed,
        bits: 32,
        left: this.#values.reg(low.value),
        right: { imm: Number(constant) | 0 },
      });
    } else {
      const leftReg = this.#values.reg(left);
      this.#builder.branch({
        ...common,
        bits: 64,
        left: leftReg,
        right: this.#values.value(right),
      });
    }
    return { yes: this.#values.known.copy(), no: this.#values.known.copy() };
  }

  /** A comparison that 32 bits decide: of a cast that then needn't be made, or with a constant that else wouldn't fit. */
  #low32(left: Expr, constant: bigint): { value: Expr; signed: boolean } | undefined {
    const isU32 = constant >= 0n && constant < 1n << 32n;
    if (left.op === "cast" && left.type.bits === 32) {
      const { signed } = left.type;
      if (!(signed ? fitsImmediate(constant) : isU32)) return undefined;
      if (isWithin(this.#ranges.of(left.value), rangeOfType(left.type))) return undefined;
      const value = this.#values.withoutCasts(left, 32);
      // A load of this width comes extended as it is wanted.
      return value.op === "load" && value.memory === "direct" ? undefined : { value, signed };
    }
    if (fitsImmediate(constant) || !isU32) return undefined;
    const isLow = isWithin(this.#ranges.of(left), rangeOfType(u32));
    return isLow ? { value: left, signed: false } : undefined;
  }
}

function isTruth(expr: Expr): boolean {
  return (
    ["compare", "not", "and", "or"].includes(expr.op) ||
    (expr.op === "binary" && expr.operator === "&")
  );
}

const mirrored = { "==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=" } as const;
