/** What is true, and choices between values: && || ?? ?: === of whatever isn't a number. */
import type { Expression } from "oxc-parser";
import type { Block, Expr } from "../ir.ts";
import { compare, constant, isZero, zero } from "./builder.ts";
import { type Binding, fail, type Lowering } from "./context.ts";
import { narrowing, optionalOf } from "./narrowing.ts";
import type { Node } from "./syntax.ts";
import { asText, compareTexts, isEmpty } from "./text.ts";
import { bool, broken, describe, known, nothing, type Value, word } from "./values.ts";
import { binary, knownInteger, toWord } from "./words.ts";

/** Evaluated here: later changes of variables and maps don't reach it. */
export function hold(l: Lowering, value: Value): Value {
  switch (value.kind) {
    case "word":
      return { ...value, expr: l.build.keep(value.expr) };
    case "pointer":
      return { ...value, expr: l.build.keep(value.expr) };
    case "optional":
      return { ...value, value: hold(l, value.value) };
    default:
      return value;
  }
}

/** 0 or not 0, as JavaScript has it: undefined is false. */
function truth(l: Lowering, value: Value, node: Node): Expr {
  switch (value.kind) {
    case "known":
      return constant(value.value ? 1 : 0);
    case "optional": {
      if (value.value.kind === "word" || value.value.kind === "pointer")
        return { op: "and", left: value.present, right: truth(l, value.value, node) };
      return value.present;
    }
    case "place":
      if (value.type.kind === "struct" || value.type.kind === "array") return constant(1);
      break;
    case "object":
    case "tuple":
      return constant(1);
    case "nothing":
      return zero;
  }
  const text = value.kind === "pointer" ? undefined : asText(l, value);
  if (text !== undefined) return isZero(isEmpty(l, text, node));
  return toWord(l, value, node).expr;
}

/** Comparisons of other things than numbers: undefined, texts, whatever is known. */
export function compareValues(
  l: Lowering,
  operator: string,
  left: Value,
  right: Value,
  node: Extract<Node, { type: "BinaryExpression" }>,
): Value | undefined {
  const equality = operator === "===" || operator === "==";
  if (!equality && operator !== "!==" && operator !== "!=") return undefined;
  const result = (equal: Expr): Value => bool(equality ? equal : isZero(equal));
  const absent = (value: Value) =>
    value.kind === "known" && (value.value === undefined || value.value === null);
  for (const [one, other] of [
    [left, right],
    [right, left],
  ] as const) {
    if (!absent(other)) continue;
    const optional = optionalOf(one);
    if (optional !== undefined) return result(isZero(optional.present));
    if (one.kind === "pointer") return result(compare("==", one.expr, zero));
    if (one.kind === "known") return known(absent(one) === equality);
    return known(!equality);
  }
  for (const [one, other] of [
    [left, right],
    [right, left],
  ] as const) {
    // A number that need not be there: without it, it equals none.
    if (one.kind !== "optional" || one.decays || !isNumeric(one.value) || !isNumeric(other))
      continue;
    const same = binary(l, "===", one.value, other, node, [node.left as Node, node.right]);
    return result({ op: "and", left: one.present, right: truth(l, same, node) });
  }
  if (left.kind === "known" && right.kind === "known" && knownInteger(left) === undefined)
    return known((left.value === right.value) === equality);
  if (left.kind === "pointer" && right.kind === "pointer") return undefined;
  const [a, b] = [asText(l, left), asText(l, right)];
  if (a === undefined && b === undefined) return undefined;
  if (a === undefined || b === undefined) {
    const other = a === undefined ? left : right;
    return fail(
      l,
      a === undefined ? (node.left as Node) : node.right,
      `${describe(other)} is never equal to text`,
      other.kind === "word" || other.kind === "pointer" ? "read it first: str(p)" : undefined,
    );
  }
  const compared = compareTexts(l, a, b, node);
  if (compared.kind === "known") return known(Boolean(compared.value) === equality);
  return compared.kind === "word" ? result(compared.expr) : compared;
}

/** @param asked only whether it is true is wanted; else `a || b` is a or b, as JavaScript has it */
export function logical(
  l: Lowering,
  node: Extract<Node, { type: "LogicalExpression" }>,
  asked = false,
): Value {
  const evaluated = asked ? ofCondition(l, node.left) : l.expression(node.left);
  if (evaluated.kind === "broken") return broken;
  if (node.operator === "??") return orElse(l, evaluated, node);
  const and = node.operator === "&&";
  if (evaluated.kind === "known")
    return Boolean(evaluated.value) === and ? l.expression(node.right) : evaluated;
  const left = asked ? evaluated : hold(l, evaluated);
  const condition = truth(l, left, node.left);
  const facts = narrowing(l, node.left);
  let right: Value = nothing;
  let test: Expr = zero;
  let isTest = true;
  const outer = l.facts;
  l.facts = new Map([...outer, ...(and ? facts.whenTrue : facts.whenFalse)]);
  const block = l.build.inBlock(() => {
    right = asked ? ofCondition(l, node.right) : l.expression(node.right);
    isTest = asked || !isWanted(l, left, right);
    if (isTest && right.kind !== "nothing" && right.kind !== "broken")
      test = truth(l, right, node.right);
  });
  l.facts = outer;
  const done = right as Value;
  if (done.kind === "broken") return broken;
  const replay = () => {
    for (const statement of block) l.build.append(statement);
  };
  if (done.kind === "nothing") {
    // `ready && instant(…)`
    l.build.add({
      op: "if",
      condition: and ? condition : isZero(condition),
      then: block,
      else: [],
    });
    return nothing;
  }
  if (!isTest) {
    const second = () => {
      replay();
      return done;
    };
    // When it decides, a value that may be undefined is there, or as good as 0.
    const first = () => (left.kind === "optional" ? left.value : left);
    return and
      ? chosen(l, condition, second, first, node)
      : chosen(l, condition, first, second, node);
  }
  if (block.length === 0) return bool({ op: and ? "and" : "or", left: condition, right: test });
  const local = l.build.local();
  const assign = (value: Expr) => l.build.assign(local, value);
  const more = l.build.inBlock(() => {
    replay();
    assign(done.kind === "word" && done.bool === true ? test : isZero(isZero(test)));
  });
  const other = l.build.inBlock(() => assign(constant(and ? 0 : 1)));
  l.build.add({
    op: "if",
    condition,
    then: and ? more : other,
    else: and ? other : more,
  });
  return bool(l.build.fix(local));
}

/** Whether it matters which of the two it is: numbers and texts, not bools. */
function isWanted(l: Lowering, left: Value, right: Value): boolean {
  if (right.kind === "nothing" || right.kind === "broken") return false;
  if (isNumber(left) || isNumber(right)) return true;
  return left.kind !== "pointer" && asText(l, left) !== undefined && asText(l, right) !== undefined;
}

function isNumber(value: Value): boolean {
  if (value.kind === "optional") return isNumber(value.value);
  if (value.kind === "word") return value.bool !== true;
  return value.kind === "known" && typeof value.value !== "boolean" && isNumeric(value);
}

function orElse(
  l: Lowering,
  left: Value,
  node: Extract<Node, { type: "LogicalExpression" }>,
): Value {
  if (left.kind === "known")
    return left.value === undefined || left.value === null ? l.expression(node.right) : left;
  const optional = optionalOf(left);
  if (optional === undefined) return left;
  return chosen(
    l,
    optional.present,
    () => optional.value,
    () => l.expression(node.right),
    node,
  );
}

export function conditional(
  l: Lowering,
  node: Extract<Node, { type: "ConditionalExpression" }>,
): Value {
  const test = l.expression(node.test);
  if (test.kind === "known") return l.expression(test.value ? node.consequent : node.alternate);
  if (test.kind === "broken") return broken;
  const condition = truth(l, test, node.test);
  const facts = narrowing(l, node.test);
  const outer = l.facts;
  const arm = (known: ReadonlyMap<Binding, Value>, expression: Expression) => () => {
    l.facts = new Map([...outer, ...known]);
    const value = l.expression(expression);
    l.facts = outer;
    return value;
  };
  return chosen(
    l,
    condition,
    arm(facts.whenTrue, node.consequent),
    arm(facts.whenFalse, node.alternate),
    node,
  );
}

/** One value or the other; only the chosen one is evaluated. */
export function chosen(
  l: Lowering,
  condition: Expr,
  then: () => Value,
  otherwise: () => Value,
  node: Node,
): Value {
  const { build } = l;
  let a: Value = nothing as Value;
  let b: Value = nothing as Value;
  const first = build.inBlock(() => {
    a = then();
  });
  const second = build.inBlock(() => {
    b = otherwise();
  });
  if (a.kind === "broken" || b.kind === "broken") return broken;
  if (a.kind === "nothing" && b.kind === "nothing") {
    build.add({ op: "if", condition, then: first, else: second });
    return nothing;
  }
  if (isNumeric(a) && isNumeric(b)) {
    const left = toWord(l, a, node);
    const right = toWord(l, b, node);
    const joined = joinTypes(left, right, a, b);
    const result = (expr: Expr): Value =>
      joined.bool === true ? bool(expr) : word(expr, joined.type);
    if (first.length === 0 && second.length === 0)
      return result({ op: "select", condition, then: left.expr, else: right.expr });
    const local = build.local();
    const arm = (block: Block, value: Expr) =>
      build.inBlock(() => {
        for (const statement of block) build.append(statement);
        build.assign(local, value);
      });
    build.add({
      op: "if",
      condition,
      then: arm(first, left.expr),
      else: arm(second, right.expr),
    });
    return result(build.fix(local));
  }
  const fixed = build.keep(condition);
  if (first.length > 0 || second.length > 0)
    build.add({ op: "if", condition: fixed, then: first, else: second });
  return { kind: "either", condition: fixed, then: a, else: b };
}

function isNumeric(value: Value): boolean {
  if (value.kind === "word") return true;
  if (value.kind === "optional") return value.decays && isNumeric(value.value);
  return knownInteger(value) !== undefined;
}

function joinTypes(
  a: { type: { bits: 8 | 16 | 32 | 64; signed: boolean }; bool?: true },
  b: { type: { bits: 8 | 16 | 32 | 64; signed: boolean }; bool?: true },
  left: Value,
  right: Value,
) {
  if (a.bool === true && b.bool === true) return { type: a.type, bool: true as const };
  const [x, y] = [knownInteger(left), knownInteger(right)];
  const inside = (value: bigint, type: typeof a.type) =>
    type.signed
      ? BigInt.asIntN(type.bits, value) === value
      : BigInt.asUintN(type.bits, value) === value;
  if (x !== undefined && y === undefined && inside(x, b.type)) return { type: b.type };
  if (y !== undefined && x === undefined && inside(y, a.type)) return { type: a.type };
  if (a.type.signed === b.type.signed)
    return { type: a.type.bits >= b.type.bits ? a.type : b.type };
  return { type: { bits: 64 as const, signed: true } };
}

/** The left side is evaluated first: when the right one needed statements, it is kept before them. */
export function spilled(l: Lowering, value: Value, start: number): Value {
  if (value.kind !== "word" || l.build.length === start || l.build.isFixed(value.expr))
    return value;
  const local = l.build.local();
  l.build.addAt(start, { op: "assign", local, value: value.expr });
  return { ...value, expr: l.build.fix(local) };
}

export function negated(l: Lowering, node: Extract<Node, { type: "UnaryExpression" }>): Value {
  const value = l.expression(node.argument);
  if (value.kind === "known") return known(!value.value);
  return bool(isZero(truth(l, value, node.argument)));
}

/** A node as a condition: && and || need no value then. */
export function conditionOf(l: Lowering, node: Expression): Expr {
  if (node.type === "ParenthesizedExpression") return conditionOf(l, node.expression);
  if (node.type === "UnaryExpression" && node.operator === "!")
    return isZero(conditionOf(l, node.argument));
  if (node.type === "LogicalExpression" && node.operator !== "??") {
    const value = logical(l, node, true);
    return truth(l, value, node);
  }
  return truth(l, l.expression(node), node);
}

function ofCondition(l: Lowering, node: Expression): Value {
  return node.type === "LogicalExpression" && node.operator !== "??"
    ? logical(l, node, true)
    : l.expression(node);
}
