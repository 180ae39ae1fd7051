/** One handler: from its syntax to IR. */
import type { Expression } from "oxc-parser";
import type { Expr, Handler, SourceFile } from "../ir.ts";
import type { ProbeError } from "../program.ts";
import type { EventSchema, Kernel } from "../schema.ts";
import { Builder, constant, zero } from "./builder.ts";
import {
  collecting,
  type Flow,
  type Frame,
  fail,
  type Lowering,
  moduleOf,
  type Returns,
  Scope,
  type SpanPlan,
} from "./context.ts";
import type { Types } from "./data-type.ts";
import { lowerExpression } from "./expressions.ts";
import { elementAt, property } from "./members.ts";
import { readPlace } from "./memory.ts";
import type { FunctionRecord } from "./modules.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";
import { bindPattern, inScope, lowerStatements } from "./statements.ts";
import { children, isFunction, type Node } from "./syntax.ts";
import { asText } from "./text.ts";
import { sleepingTextRead } from "./user-memory.ts";
import { bool, known, nothing, type Value, word } from "./values.ts";
import { knownInteger, toWord } from "./words.ts";

/** What all handlers of a session are lowered with. */
export interface Unit {
  readonly session: Session;
  readonly kernel: Kernel;
  readonly registry: Registry;
  readonly types: Types;
  readonly errors: ProbeError[];
}

export interface HandlerOptions {
  readonly label: string;
  readonly schema?: EventSchema;
  /** Default weight of a sample, ns. */
  readonly weight?: number;
  /** What the program returns. */
  readonly result?: bigint;
  /** Where the program returns something that is known only when it runs. */
  readonly resultOf?: () => Expr;
}

const inlineLimit = 32;

/** Makes the state in which a handler, or a part of one, is lowered. */
export function newLowering(
  unit: Unit,
  record: FunctionRecord,
  options: HandlerOptions,
  spans?: SpanPlan,
): Lowering {
  const build = new Builder();
  const result = options.result ?? 0n;
  let scratch = 0;
  const sleeping = {
    allowed:
      options.schema?.target.kind === "uprobe" && unit.kernel.callable?.(sleepingTextRead) === true,
    used: false,
  };
  const returns: Returns = {
    ends: true,
    return(value) {
      if (value.kind === "word") build.discard(value.expr);
      build.add({ op: "return", value: options.resultOf?.() ?? constant(result) });
    },
    done: () => zero,
  };
  const l: Lowering = {
    ...unit,
    build,
    schema: options.schema,
    label: options.label,
    weight: options.weight ?? 0,
    spans,
    scope: new Scope(),
    frame: { record, outer: undefined, returns },
    facts: new Map(),
    loops: 0,
    result,
    statement: undefined,
    sleeping,
    nextScratch: () => {
      sleeping.allowed = false;
      return scratch++;
    },
    expression: (node) => lowerExpression(l, node),
    statements: (list) => lowerStatements(l, list),
    inline: (record, args, node, scope) => inline(l, record, args, node, scope),
    typeOf: (node) => unit.types.resolve(node, moduleOf(l)),
    property: (value, name, node) => read(l, property(l, value, name, node)),
    element: (value, index, node) => read(l, elementAt(l, value, index, node)),
  };
  return l;
}

function read(l: Lowering, value: Value): Value {
  return value.kind === "place" ? readPlace(l, value) : value;
}

/** Lowers the handler's own body, its parameters bound to `args`. */
export function lowerBody(l: Lowering, args: readonly Value[]): void {
  const { node } = l.frame.record;
  if (isAsync(node)) fail(l, node, notInKernel);
  collecting(l, () => bindParameters(l, node, args), undefined);
  const { body } = node;
  if (body === null) return;
  if (body.type === "BlockStatement") l.statements(body.body);
  else {
    collecting(
      l,
      () => {
        l.statement = body;
        const value = l.expression(body);
        if (value.kind === "word") l.build.discard(value.expr);
      },
      undefined,
    );
  }
}

function bindParameters(l: Lowering, node: FunctionRecord["node"], args: readonly Value[]): void {
  for (const [i, parameter] of node.params.entries()) {
    if (parameter.type === "RestElement" || parameter.type === "TSParameterProperty") {
      fail(l, parameter, "parameters are written out, one by one");
      return;
    }
    bindPattern(l, parameter, args[i] ?? known(undefined));
  }
}

export function finish(l: Lowering, name: string, files: readonly SourceFile[]): Handler {
  return l.build.finish(name, files, l.result);
}

/** Lowers the function's body where it is called. */
function inline(
  l: Lowering,
  record: FunctionRecord,
  args: readonly Value[],
  at: Node,
  closure: Scope | undefined,
): Value {
  let depth = 0;
  for (let frame: Frame | undefined = l.frame; frame !== undefined; frame = frame.outer) {
    if (frame.record.node === record.node)
      return fail(
        l,
        at,
        `${nameOf(record)} calls itself: functions of the kernel can't`,
        "write it as a loop with a bound",
      );
    if (++depth > inlineLimit) return fail(l, at, `calls are more than ${inlineLimit} deep`);
  }
  const { node } = record;
  if (isAsync(node)) return fail(l, at, notInKernel);
  const outer = { scope: l.scope, frame: l.frame, facts: l.facts, loops: l.loops };
  const builtAt = l.build.at;
  l.scope = new Scope(closure);
  l.loops = 0;
  try {
    const { body } = node;
    if (body === null) return nothing;
    if (body.type !== "BlockStatement") {
      l.frame = { record, outer: outer.frame, returns: results(l, node).returns };
      bindParameters(l, node, args);
      return l.expression(body as Expression);
    }
    const last = body.body.at(-1);
    const count = returnCount(body);
    if (count === 0 || (count === 1 && last?.type === "ReturnStatement")) {
      l.frame = { record, outer: outer.frame, returns: results(l, node).returns };
      bindParameters(l, node, args);
      const list = count === 0 ? body.body : body.body.slice(0, -1);
      l.statements(list);
      const value = count === 1 ? (last as { argument: Expression | null }).argument : null;
      return value === null ? nothing : l.expression(value);
    }
    const result = results(l, node);
    l.frame = { record, outer: outer.frame, returns: result.returns };
    bindParameters(l, node, args);
    const flow: { end: Flow } = { end: "on" };
    const block = l.build.inBlock(() => {
      result.start();
      flow.end = inScope(l, () => l.statements(body.body));
    });
    const value = result.value(flow.end, at, () => {
      for (const statement of block) l.build.append(statement);
    });
    return value;
  } finally {
    Object.assign(l, outer);
    l.build.at = builtAt;
  }
}

const notInKernel = "async functions and generators can't run in the kernel";

function isAsync(node: FunctionRecord["node"]): boolean {
  return node.async || node.generator;
}

function nameOf({ node }: FunctionRecord): string {
  return node.id?.name ?? "this function";
}

function returnCount(node: Node): number {
  if (isFunction(node)) return 0;
  if (node.type === "ReturnStatement") return 1;
  return children(node).reduce((sum, child) => sum + returnCount(child), 0);
}

/** Collects what a function with several returns gives: numbers, or texts that are known. */
function results(l: Lowering, node: Node) {
  const { build } = l;
  let kind: "none" | "nothing" | "number" | "text" = "none";
  let type: { bits: 8 | 16 | 32 | 64; signed: boolean } | undefined;
  let allBool = true;
  const texts: string[] = [];
  const local = build.local();
  const done = build.local();
  let asked = false;
  const marks: (() => void)[] = [];
  const unused: (() => void)[] = [];
  const become = (next: "nothing" | "number" | "text", at: Node): void => {
    if (kind !== "none" && kind !== next)
      fail(
        l,
        at,
        `${nameOf({ node } as FunctionRecord)} returns ${kind === "nothing" ? "nothing" : `a ${kind}`} in one place and ${next === "nothing" ? "nothing" : `a ${next}`} here`,
      );
    kind = next;
  };
  const returns: Returns = {
    ends: false,
    done: () => {
      asked = true;
      return { op: "local", local: done };
    },
    return(value, at) {
      const text = value.kind === "known" ? asText(l, value) : undefined;
      if (value.kind === "nothing" || (value.kind === "known" && value.value === undefined))
        become("nothing", at);
      else if (text?.kind === "known") {
        become("text", at);
        build.assign(local, constant(texts.push(text.value) - 1));
      } else if (value.kind !== "broken") {
        const given = toWord(l, value, at);
        become("number", at);
        allBool &&= given.bool === true;
        const integer = knownInteger(value);
        if (type === undefined) type = integer === undefined ? given.type : undefined;
        else if (
          integer === undefined &&
          (type.bits !== given.type.bits || type.signed !== given.type.signed)
        )
          type = { bits: 64, signed: type.signed || given.type.signed };
        if (integer !== undefined && integer < 0n) type = { bits: 64, signed: true };
        build.assign(local, given.expr);
      }
      marks.push(build.addRemovable({ op: "assign", local: done, value: constant(1) }));
    },
  };
  return {
    returns,
    start(): void {
      unused.push(build.addRemovable({ op: "assign", local: done, value: zero }));
      unused.push(build.addRemovable({ op: "assign", local, value: zero }));
    },
    /** @param join puts the body's statements in their place */
    value(end: Flow, at: Node, join: () => void): Value {
      if (!asked) for (const remove of [unused[0]!, ...marks]) remove();
      if (kind === "none" || kind === "nothing") {
        unused[1]!();
        join();
        return nothing;
      }
      if (end === "returned") unused[1]!();
      join();
      if (end === "on" || end === "ends")
        return fail(
          l,
          at,
          `${nameOf({ node } as FunctionRecord)} returns a ${kind} on some ways only`,
        );
      const expr: Expr = { op: "local", local };
      if (kind === "text") return { kind: "choice", texts, index: build.keep(expr) };
      if (allBool) return bool(build.keep(expr));
      return word(build.keep(expr), type ?? { bits: 64, signed: true });
    },
  };
}
