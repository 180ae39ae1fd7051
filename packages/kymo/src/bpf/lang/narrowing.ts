/** What a condition says about variables: after `if (t === undefined) return`, t is there. */
import type { Expr } from "../ir.ts";
import { constant } from "./builder.ts";
import type { Binding, Lowering } from "./context.ts";
import type { Node } from "./syntax.ts";
import { known, type Optional, type Value } from "./values.ts";

interface Facts {
  readonly whenTrue: ReadonlyMap<Binding, Value>;
  readonly whenFalse: ReadonlyMap<Binding, Value>;
}
const none: ReadonlyMap<Binding, Value> = new Map();

/** The value as one that may be undefined; undefined when it always is there. */
export function optionalOf(value: Value): Optional | undefined {
  if (value.kind === "optional") return value;
  if (value.kind === "either") {
    // `c ? m.get(a) : undefined`
    const [then, otherwise] = [optionalOf(value.then), optionalOf(value.else)];
    if (then === undefined && otherwise === undefined) return undefined;
    const one: Expr = constant(1);
    return {
      kind: "optional",
      present: {
        op: "select",
        condition: value.condition,
        then: then?.present ?? one,
        else: otherwise?.present ?? one,
      },
      value: {
        ...value,
        then: then?.value ?? value.then,
        else: otherwise?.value ?? value.else,
      },
      decays: false,
    };
  }
  if (value.kind === "known" && (value.value === undefined || value.value === null))
    return { kind: "optional", present: constant(0), value: known(0), decays: false };
  return undefined;
}

export function narrowing(l: Lowering, node: Node): Facts {
  switch (node.type) {
    case "ParenthesizedExpression":
      return narrowing(l, node.expression);
    case "UnaryExpression": {
      if (node.operator !== "!") break;
      const { whenTrue, whenFalse } = narrowing(l, node.argument);
      return { whenTrue: whenFalse, whenFalse: whenTrue };
    }
    case "Identifier":
      return { whenTrue: present(l, node), whenFalse: none };
    case "LogicalExpression": {
      const left = narrowing(l, node.left);
      const right = narrowing(l, node.right);
      if (node.operator === "&&")
        return { whenTrue: new Map([...left.whenTrue, ...right.whenTrue]), whenFalse: none };
      if (node.operator === "||")
        return { whenTrue: none, whenFalse: new Map([...left.whenFalse, ...right.whenFalse]) };
      break;
    }
    case "BinaryExpression": {
      const [a, b] = [node.left, node.right];
      const tested = isAbsent(b) ? a : isAbsent(a as Node) ? b : undefined;
      if (tested === undefined) break;
      const found = present(l, tested as Node);
      if (node.operator === "===" || node.operator === "==")
        return { whenTrue: none, whenFalse: found };
      if (node.operator === "!==" || node.operator === "!=")
        return { whenTrue: found, whenFalse: none };
    }
  }
  return { whenTrue: none, whenFalse: none };
}

function isAbsent(node: Node): boolean {
  return (
    (node.type === "Identifier" && node.name === "undefined") ||
    (node.type === "Literal" && node.value === null)
  );
}

/** Only of variables that are never assigned: they stay what they were found to be. */
function present(l: Lowering, node: Node): ReadonlyMap<Binding, Value> {
  if (node.type !== "Identifier") return none;
  const binding = l.scope.find(node.name);
  if (binding === undefined || binding.assign !== undefined) return none;
  const optional = optionalOf(l.facts.get(binding) ?? binding.value);
  return optional === undefined ? none : new Map([[binding, optional.value]]);
}
