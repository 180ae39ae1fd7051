/** Loops. Each has an end that is known beforehand: the kernel takes no other. */
import type { Expression } from "oxc-parser";
import type { Expr } from "../ir.ts";
import { constant } from "./builder.ts";
import { type Flow, fail, type Lowering, Scope } from "./context.ts";
import { children, isFunction, type Node } from "./syntax.ts";
import { describe, known, type Value, type Word, word } from "./values.ts";
import { knownInteger, toWord } from "./words.ts";

const roundsLimit = 65_536n;
/** A loop of so few rounds is written out. */
const unrolledRounds = 8n;
/** A captured array has at most so many elements to go over. */
const elementsLimit = 64;

interface Range {
  readonly from: Value;
  readonly to: Value;
  /** ≠ 0 */
  readonly step: bigint;
  /** `to` is a round as well. */
  readonly inclusive: boolean;
}

export function lowerFor(l: Lowering, node: Extract<Node, { type: "ForStatement" }>): Flow {
  const { init, test, update } = node;
  const noEnd = (at: Node): never =>
    fail(
      l,
      at,
      "kymo can't see an end to this loop",
      "loops count: for (let i = 0; i < 16; i++); with a bound that varies: i < Math.min(n, 16)",
    );
  const variable = init?.type === "VariableDeclaration" ? init.declarations[0] : undefined;
  if (
    variable?.id.type !== "Identifier" ||
    variable.init === null ||
    test === null ||
    update === null
  )
    return noEnd(node);
  const { name } = variable.id;
  if (test.type !== "BinaryExpression" || !isName(test.left as Node, name)) return noEnd(test);
  const step = stepOf(l, update, name);
  if (step === undefined || step === 0n) return noEnd(update);
  const { operator } = test;
  const up = operator === "<" || operator === "<=" || operator === "!==";
  if (up !== step > 0n || !["<", "<=", ">", ">=", "!=="].includes(operator)) return noEnd(test);
  const range: Range = {
    from: l.expression(variable.init),
    to: l.expression(test.right),
    step,
    inclusive: operator === "<=" || operator === ">=",
  };
  if (assigns(node.body, name))
    return fail(l, node.body, `${name} counts the rounds: it can't be assigned in the loop`);
  return lowerRange(l, range, name, node.body, test);
}

function isName(node: Node, name: string): boolean {
  return node.type === "Identifier" && node.name === name;
}

function stepOf(l: Lowering, update: Expression, name: string): bigint | undefined {
  if (update.type === "UpdateExpression" && isName(update.argument, name))
    return update.operator === "++" ? 1n : -1n;
  if (update.type !== "AssignmentExpression" || !isName(update.left as Node, name))
    return undefined;
  const by = knownInteger(l.expression(update.right));
  if (by === undefined) return undefined;
  return update.operator === "+=" ? by : update.operator === "-=" ? -by : undefined;
}

/** Whether something in the body assigns the variable. */
function assigns(node: Node, name: string): boolean {
  if (node.type === "AssignmentExpression" && isName(node.left as Node, name)) return true;
  if (node.type === "UpdateExpression" && isName(node.argument, name)) return true;
  return children(node).some((child) => assigns(child, name));
}

/** break, continue or return that would leave the body, but not the switch that they are in. */
function jumps(node: Node, inSwitch = false): boolean {
  if (isFunction(node)) return false;
  if (node.type === "BreakStatement") return !inSwitch;
  if (node.type === "ContinueStatement" || node.type === "ReturnStatement") return true;
  const within = inSwitch || node.type === "SwitchStatement";
  return children(node).some((child) => jumps(child, within));
}

function returns(node: Node): boolean {
  return !isFunction(node) && (node.type === "ReturnStatement" || children(node).some(returns));
}

export function lowerForOf(l: Lowering, node: Extract<Node, { type: "ForOfStatement" }>): Flow {
  const { left, right, body } = node;
  const id = left.type === "VariableDeclaration" ? left.declarations[0]?.id : undefined;
  if (id?.type !== "Identifier")
    return fail(l, left, "the variable of a loop is declared in it: for (const x of …)");
  if (right.type === "CallExpression") {
    const callee = l.expression(right.callee);
    if (callee.kind === "known" && l.session.builtins.get(callee.value) === "range")
      return lowerRange(l, rangeOf(l, right), id.name, body, right);
  }
  const over = l.expression(right);
  if (over.kind === "broken") return "on";
  const items: readonly Value[] | undefined =
    over.kind === "tuple"
      ? over.items
      : over.kind === "known" && Array.isArray(over.value)
        ? over.value.map(known)
        : undefined;
  if (items === undefined) {
    if (over.kind === "place" && over.type.kind === "array") {
      const bounds = { from: known(0), to: known(over.type.length), step: 1n, inclusive: false };
      return lowerRange(l, bounds, id.name, body, right, (index) => l.element(over, index, right));
    }
    return fail(
      l,
      right,
      `${describe(over)} can't be gone over`,
      "for … of takes captured arrays, arrays in structs, and range(from, to)",
    );
  }
  if (items.length > elementsLimit)
    return fail(
      l,
      right,
      `this array has ${items.length} elements; a loop takes at most ${elementsLimit}`,
    );
  if (!jumps(body)) {
    for (const item of items) bodyWith(l, id.name, item, body);
    return "on";
  }
  if (over.kind !== "known") return fail(l, body, "a loop over a tuple can't be left early");
  const bounds = { from: known(0), to: known(items.length), step: 1n, inclusive: false };
  return lowerRange(
    l,
    bounds,
    id.name,
    body,
    right,
    (index) => l.element(over, index, right),
    false,
  );
}

function rangeOf(l: Lowering, call: Extract<Node, { type: "CallExpression" }>): Range {
  const [a, b, c] = call.arguments.map((argument) => l.expression(argument as Expression));
  if (a === undefined) return fail(l, call, "range takes its end, or from and to: range(0, 16)");
  const step = c === undefined ? 1n : knownInteger(c);
  if (step === undefined || step < 1n)
    return fail(l, call, "the step of a range is a known number ≥ 1");
  return b === undefined
    ? { from: known(0), to: a, step, inclusive: false }
    : { from: a, to: b, step, inclusive: false };
}

function bodyWith(l: Lowering, name: string, value: Value, body: Node): Flow {
  const outer = l.scope;
  const facts = l.facts;
  l.scope = new Scope(outer);
  l.scope.declare({ name, value });
  try {
    return l.statements(body.type === "BlockStatement" ? body.body : [body]);
  } finally {
    l.scope = outer;
    l.facts = facts;
  }
}

/** @param itemOf what the variable is in a round, from the index */
function lowerRange(
  l: Lowering,
  { from, to, step, inclusive }: Range,
  name: string,
  body: Node,
  at: Node,
  itemOf: (index: Value) => Value = (index) => index,
  unroll = true,
): Flow {
  const [first, last] = [knownInteger(from), knownInteger(to)];
  const size = step < 0n ? -step : step;
  const extra = inclusive ? 1n : 0n;
  if (first !== undefined && last !== undefined) {
    const distance = (step > 0n ? last - first : first - last) + extra;
    const rounds = distance <= 0n ? 0n : (distance + size - 1n) / size;
    if (rounds > roundsLimit)
      return fail(l, at, `this loop has ${rounds} rounds; at most ${roundsLimit} are possible`);
    if (unroll && rounds <= unrolledRounds && !jumps(body)) {
      for (let i = 0n; i < rounds; i++) bodyWith(l, name, itemOf(known(first + i * step)), body);
      return "on";
    }
  }
  const start = toWord(l, from, at);
  const end = toWord(l, to, at);
  const most = mostRounds(first, last ?? boundOf(end), step, extra);
  if (most === undefined)
    return fail(
      l,
      at,
      "kymo can't see an end to this loop: its bound is not known beforehand",
      "say how far it can go: i < Math.min(n, 16)",
    );
  if (most > roundsLimit)
    return fail(l, at, `this loop may have ${most} rounds; at most ${roundsLimit} are possible`);
  const local = l.build.local();
  const index: Expr = { op: "local", local };
  const signed = start.type.signed || end.type.signed || (first ?? 0n) < 0n;
  const type = { bits: 64 as const, signed };
  const count: Expr =
    step > 0n
      ? plusExtra(end.expr, extra)
      : plusExtra(
          { op: "binary", operator: "-", signed, left: start.expr, right: end.expr },
          extra,
        );
  const held = step > 0n ? undefined : l.build.keep(start.expr);
  l.loops++;
  const block = l.build.inBlock(() => {
    const value =
      held === undefined
        ? word(index, type)
        : word(
            l.build.keep({ op: "binary", operator: "-", signed, left: held, right: index }),
            type,
          );
    bodyWith(l, name, itemOf(value), body);
  });
  l.loops--;
  l.build.add({
    op: "for",
    local,
    from: step > 0n ? start.expr : constant(0),
    to: count,
    step: size,
    signed: step > 0n ? signed : true,
    most: Number(most),
    body: block,
  });
  // A return inside has left the loop; who comes behind must ask.
  return !l.frame.returns.ends && returns(body) ? "maybe" : "on";
}

function plusExtra(value: Expr, extra: bigint): Expr {
  if (extra === 0n) return value;
  if (value.op === "const") return constant(value.value + extra);
  return { op: "binary", operator: "+", signed: true, left: value, right: constant(extra) };
}

/** The largest that a value can be, where its type or what made it says so. */
function boundOf(value: Word): bigint | undefined {
  const { bits, signed } = value.type;
  const byType = bits <= 16 ? 2n ** BigInt(signed ? bits - 1 : bits) - 1n : undefined;
  if (value.most === undefined) return byType;
  return byType !== undefined && byType < value.most ? byType : value.most;
}

function mostRounds(
  first: bigint | undefined,
  last: bigint | undefined,
  step: bigint,
  extra: bigint,
): bigint | undefined {
  if (last === undefined || (first === undefined && step < 0n)) return undefined;
  const size = step < 0n ? -step : step;
  const distance = (step > 0n ? last - (first ?? 0n) : first! - last) + extra;
  return distance <= 0n ? 0n : (distance + size - 1n) / size;
}
