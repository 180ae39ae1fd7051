/** Calls: of kymo/probe's functions, of methods of maps and texts, of the user's own functions. */

import type { Expr } from "../ir.ts";
import { addTo } from "./aggregation-calls.ts";
import { callBuiltin } from "./builtins.ts";
import { chosen, hold } from "./conditions.ts";
import { fail, type Lowering, moduleOf, type Scope } from "./context.ts";
import { emitPrint, emitTyped } from "./emit-events.ts";
import { type Argument, callMap } from "./map-calls.ts";
import { member } from "./members.ts";
import { AggregationHandle, MapHandle } from "./session.ts";
import type { Node } from "./syntax.ts";
import { asText, compareTexts } from "./text.ts";
import { broken, describe, type Method, type Value } from "./values.ts";
import { binary, knownInteger } from "./words.ts";

export function tagged(
  l: Lowering,
  node: Extract<Node, { type: "TaggedTemplateExpression" }>,
): Value {
  const tag = l.expression(node.tag);
  if (tag.kind !== "known" || l.session.builtins.get(tag.value) !== "print")
    return fail(l, node, "only print`…` is a template with a tag here");
  const values = node.quasi.expressions.map((expression) => ({
    value: l.expression(expression),
    node: expression,
  }));
  return emitPrint(
    l,
    node,
    node.quasi.quasis.map(({ value }) => value.cooked ?? value.raw),
    values,
  );
}

export function call(l: Lowering, node: Extract<Node, { type: "CallExpression" }>): Value {
  const callee =
    node.callee.type === "MemberExpression" ? member(l, node.callee) : l.expression(node.callee);
  if (callee.kind === "broken") return broken;
  const args = node.arguments.map((argument): Argument => {
    if (argument.type === "SpreadElement")
      return fail(l, argument, "arguments are written out, one by one");
    return { value: l.expression(argument), node: argument };
  });
  l.build.at = { file: moduleOf(l).file, offset: node.start };
  if (callee.kind === "method") return callMethod(l, callee, args, node);
  if (callee.kind === "function")
    return l.inline(
      callee.record,
      args.map(({ value }) => hold(l, value)),
      node,
      callee.scope as Scope | undefined,
    );
  if (callee.kind !== "known" || typeof callee.value !== "function")
    return fail(l, node.callee, `${describe(callee)} can't be called`);
  const builtin = l.session.builtins.get(callee.value);
  if (builtin !== undefined) return callBuiltin(l, builtin, args, node);
  const event = l.session.eventTypeOf.get(callee.value);
  if (event !== undefined) return emitTyped(l, event, node, args[0]?.value, args[1]?.value);
  if (callee.value === Math.min || callee.value === Math.max)
    return extreme(l, callee.value === Math.min, args, node);
  const record = l.session.functionOf(callee.value);
  if (record !== undefined)
    return l.inline(
      record,
      args.map(({ value }) => hold(l, value)),
      node,
    );
  return fail(
    l,
    node.callee,
    `${nameOf(node.callee)} can't be called in the kernel: it is not a function of a probe file`,
    "its result can be computed outside of the handler, and captured",
  );
}

function nameOf(node: Node): string {
  if (node.type === "Identifier") return `${node.name}()`;
  if (node.type === "MemberExpression" && node.property.type === "Identifier")
    return `${node.property.name}()`;
  return "this";
}

function extreme(l: Lowering, least: boolean, args: readonly Argument[], node: Node): Value {
  if (args.length === 0) return fail(l, node, "Math.min and Math.max need arguments");
  const limits = args.flatMap(({ value }) => knownInteger(value) ?? []);
  const found = args
    .map(({ value, node }) => ({ value: hold(l, value), node }))
    .reduce((a, b) => {
      const compared = binary(l, least ? "<" : ">", a.value, b.value, node, [a.node, b.node]);
      if (compared.kind === "known") return compared.value ? a : b;
      const condition = (compared as { expr: Expr }).expr;
      return {
        value: chosen(
          l,
          condition,
          () => a.value,
          () => b.value,
          node,
        ),
        node,
      };
    }).value;
  if (!least || found.kind !== "word" || limits.length === 0) return found;
  return { ...found, most: limits.reduce((a, b) => (a < b ? a : b)) };
}

function callMethod(
  l: Lowering,
  { of, name, node: at }: Method,
  args: readonly Argument[],
  node: Node,
): Value {
  if (args.some(({ value }) => value.kind === "broken")) return broken;
  if (of.kind === "known" && of.value instanceof MapHandle)
    return callMap(l, of.value, { name, at }, args, node);
  if (of.kind === "known" && of.value instanceof AggregationHandle) {
    if (name === "add") return addTo(l, of.value, args, node);
    return fail(l, at, `${of.value.options.name} has no ${name}`, "aggregations have add");
  }
  const text = asText(l, of);
  const [wanted] = args;
  if (text !== undefined && name === "startsWith" && wanted !== undefined) {
    const other = asText(l, wanted.value);
    if (other !== undefined) return compareTexts(l, text, other, wanted.node, true);
  }
  return fail(
    l,
    at,
    `${describe(of)} has no ${name}() in the kernel`,
    text === undefined ? undefined : "texts have === and startsWith()",
  );
}
