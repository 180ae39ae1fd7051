/** `x = …`, `x += …`, `x++`: of variables, and of fields of map values. */
import type { Expression } from "oxc-parser";
import type { Expr, IntType } from "../ir.ts";
import { compare, plus, zero } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { storeData } from "./data.ts";
import type { DataType } from "./data-type.ts";
import { member } from "./members.ts";
import { readPlace } from "./memory.ts";
import type { Node } from "./syntax.ts";
import { bool, broken, known, type Place, type Value, word } from "./values.ts";
import { binary, narrow, toWord } from "./words.ts";

type Assignment = Extract<Node, { type: "AssignmentExpression" } | { type: "UpdateExpression" }>;

export function assigned(l: Lowering, node: Assignment): Value {
  const target = bare(node.type === "UpdateExpression" ? node.argument : node.left);
  if (target.type === "Identifier") return toVariable(l, target, node);
  if (target.type !== "MemberExpression")
    return fail(l, target, "only variables and fields can be assigned");
  const place = member(l, target);
  if (place.kind === "broken") return broken;
  if (place.kind !== "place" || !place.writable)
    return fail(
      l,
      target,
      "this can't be assigned: only variables, and fields of what a map gives, can",
      "the kernel's own memory is only read",
    );
  return toPlace(l, place, node, target);
}

function bare(node: Node): Node {
  switch (node.type) {
    case "TSAsExpression":
    case "TSNonNullExpression":
    case "TSSatisfiesExpression":
      return bare(node.expression);
    case "ParenthesizedExpression":
      return bare(node.expression);
    default:
      return node;
  }
}

/** What is assigned, from what was there. */
function newValue(l: Lowering, before: () => Value, node: Assignment): Value {
  if (node.type === "UpdateExpression") {
    const operator = node.operator === "++" ? "+" : "-";
    return binary(l, operator, before(), known(1), node, [node.argument, node]);
  }
  const { operator } = node;
  if (operator === "=") return l.expression(node.right);
  if (operator === "&&=" || operator === "||=" || operator === "??=")
    return fail(l, node, `${operator} can't run in the kernel`, "write it out with if");
  const right = l.expression(node.right);
  if (right.kind === "broken") return broken;
  return binary(l, operator.slice(0, -1), before(), right, node, [node.left as Node, node.right]);
}

function toVariable(
  l: Lowering,
  target: Extract<Node, { type: "Identifier" }>,
  node: Assignment,
): Value {
  const binding = l.scope.find(target.name);
  if (binding === undefined)
    return fail(
      l,
      target,
      `${target.name} is a variable of the module: in the kernel it is a constant`,
      `keep it in a map: const ${target.name} = array<u64>(1)`,
    );
  const { assign } = binding;
  if (binding.value.kind === "broken") return broken;
  if (assign === undefined)
    return fail(
      l,
      target,
      `${target.name} can't be assigned`,
      "declare it with let, as a number or bool",
    );
  const current = (): Value => {
    const expr: Expr = { op: "local", local: assign.local };
    return assign.bool ? bool(expr) : word(expr, assign.type);
  };
  const wantsOld = node.type === "UpdateExpression" && !node.prefix && !isStatement(l, node);
  const old = wantsOld
    ? word(l.build.keep(toWord(l, current(), node).expr), assign.type)
    : undefined;
  const value = newValue(l, current, node);
  if (value.kind === "broken") return broken;
  const given = toWord(l, value, node);
  l.build.assign(assign.local, (assign.bool ? truthOf(given) : narrow(given, assign.type)).expr);
  return old ?? current();
}

/** As a statement of its own the value of x++ is not wanted. */
function isStatement(l: Lowering, node: Node): boolean {
  return l.statement === node;
}

function truthOf(given: { expr: Expr; type: IntType; bool?: true }): { expr: Expr } {
  return given.bool === true ? given : { expr: compare("!=", given.expr, zero) };
}

function toPlace(l: Lowering, place: Place, node: Assignment, target: Expression): Value {
  const type = dataTypeOf(place);
  if (type === undefined) return fail(l, target, "this field can't be assigned as a whole");
  const before = () => readPlace(l, place);
  const value = newValue(l, before, node);
  if (value.kind === "broken") return broken;
  if (type.kind === "int")
    l.build.store(type.type, place.base, place.offset, toWord(l, value, node).expr);
  else storeData(l, value, type, plus(place.base, place.offset), node);
  return value;
}

function dataTypeOf({ type }: Place): DataType | undefined {
  switch (type.kind) {
    case "int":
      return { kind: "int", type: type.type };
    case "bool":
      return { kind: "bool" };
    case "chars":
      return type.bytes === undefined ? undefined : { kind: "text", bytes: type.bytes };
    case "pointer":
      return { kind: "pointer", to: undefined };
    case "stack":
      return type;
    default:
      return undefined;
  }
}
