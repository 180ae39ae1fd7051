/**
 * Between which values an expression's word lies, read as a signed number: what needn't be cut to a type again.
 * Locals are looked at as a whole: the widest of everything ever assigned to them.
 */
import type { Block, Expr, Handler, IntType, LocalId } from "../ir.ts";

export interface Range {
  readonly min: bigint;
  readonly max: bigint;
}

const anything: Range = { min: -(1n << 63n), max: (1n << 63n) - 1n };
const bit: Range = { min: 0n, max: 1n };

/** Of the values that a word of the type can have. */
export function rangeOfType(type: IntType): Range {
  if (type.bits === 64) return anything;
  const bits = BigInt(type.bits);
  return type.signed
    ? { min: -(1n << (bits - 1n)), max: (1n << (bits - 1n)) - 1n }
    : { min: 0n, max: (1n << bits) - 1n };
}

export function isWithin(inner: Range, outer: Range): boolean {
  return inner.min >= outer.min && inner.max <= outer.max;
}

export class Ranges {
  readonly #locals = new Map<LocalId, Range>();
  readonly #assigned = new Map<LocalId, Expr[]>();
  readonly #busy = new Set<LocalId>();

  constructor(handler: Handler) {
    this.#collect(handler.body);
  }

  /** How many statements assign the local, loops included. */
  assignments(local: LocalId): number {
    return this.#assigned.get(local)?.length ?? 0;
  }

  of(expr: Expr): Range {
    switch (expr.op) {
      case "const":
        return { min: BigInt.asIntN(64, expr.value), max: BigInt.asIntN(64, expr.value) };
      case "local":
        return this.#ofLocal(expr.local);
      case "compare":
      case "not":
      case "and":
      case "or":
        return bit;
      case "select":
        return union(this.of(expr.then), this.of(expr.else));
      case "load":
        return rangeOfType(expr.type);
      case "cast": {
        const inner = this.of(expr.value);
        const type = rangeOfType(expr.type);
        return isWithin(inner, type) ? inner : type;
      }
      case "negate":
        return negated(this.of(expr.value));
      case "binary":
        return this.#ofBinary(expr);
      default:
        return anything;
    }
  }

  #ofBinary(expr: Expr & { readonly op: "binary" }): Range {
    const left = this.of(expr.left);
    const right = this.of(expr.right);
    const positive = left.min >= 0n && right.min >= 0n;
    switch (expr.operator) {
      case "+":
        return checked({ min: left.min + right.min, max: left.max + right.max });
      case "-":
        return checked({ min: left.min - right.max, max: left.max - right.min });
      case "*":
        return positive
          ? checked({ min: left.min * right.min, max: left.max * right.max })
          : anything;
      case "&": {
        if (left.min >= 0n && right.min >= 0n)
          return { min: 0n, max: left.max < right.max ? left.max : right.max };
        if (right.min >= 0n) return { min: 0n, max: right.max };
        return left.min >= 0n ? { min: 0n, max: left.max } : anything;
      }
      case "|":
      case "^":
        return positive ? { min: 0n, max: allOnes(left.max | right.max) } : anything;
      case "/":
        return positive ? { min: 0n, max: left.max } : anything;
      case "%":
        return positive ? { min: 0n, max: left.max } : anything;
      case "<<":
        return left.min >= 0n && right.min === right.max && right.max >= 0n && right.max < 64n
          ? checked({ min: left.min << right.min, max: left.max << right.min })
          : anything;
      case ">>": {
        const count = right.min === right.max ? BigInt.asUintN(6, right.min) : 0n;
        if (left.min >= 0n) return { min: 0n, max: left.max >> count };
        if (expr.signed) return { min: left.min >> count, max: left.max >> count };
        return count > 0n ? { min: 0n, max: (1n << (64n - count)) - 1n } : anything;
      }
    }
  }

  #ofLocal(local: LocalId): Range {
    const known = this.#locals.get(local);
    if (known !== undefined) return known;
    const values = this.#assigned.get(local);
    if (values === undefined || this.#busy.has(local)) return anything;
    this.#busy.add(local);
    const range = values.map((value) => this.of(value)).reduce(union);
    this.#busy.delete(local);
    // In a cycle of assignments the inner ones saw less than there is, and came out wider: no harm.
    this.#locals.set(local, range);
    return range;
  }

  #assign(local: LocalId, value: Expr): void {
    const values = this.#assigned.get(local);
    if (values === undefined) this.#assigned.set(local, [value]);
    else values.push(value);
  }

  #collect(block: Block): void {
    for (const statement of block) {
      switch (statement.op) {
        case "assign":
          this.#assign(statement.local, statement.value);
          break;
        case "if":
          this.#collect(statement.then);
          this.#collect(statement.else);
          break;
        case "for":
          this.#assign(statement.local, statement.from);
          this.#assign(statement.local, {
            op: "binary",
            operator: "+",
            signed: statement.signed,
            left: { op: "local", local: statement.local },
            right: { op: "const", value: statement.step },
          });
          this.#collect(statement.body);
          break;
        case "emit":
          this.#collect(statement.body);
          break;
      }
    }
  }
}

function checked(range: Range): Range {
  return isWithin(range, anything) ? range : anything;
}

function negated({ min, max }: Range): Range {
  return checked({ min: -max, max: -min });
}

function union(a: Range, b: Range): Range {
  return { min: a.min < b.min ? a.min : b.min, max: a.max > b.max ? a.max : b.max };
}

/** The least 2ⁿ − 1 that isn't less. */
function allOnes(value: bigint): bigint {
  return (1n << BigInt(value.toString(2).length)) - 1n;
}
