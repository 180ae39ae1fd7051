/** Statements of handlers and of the functions they call. */
import type { Expression } from "oxc-parser";
import type { Block } from "../ir.ts";
import { compareValues, conditionOf, hold } from "./conditions.ts";
import {
  type Binding,
  collecting,
  type Flow,
  fail,
  type Lowering,
  moduleOf,
  Scope,
} from "./context.ts";
import { ints } from "./data-type.ts";
import { converted, inWords } from "./expressions.ts";
import { lowerFor, lowerForOf } from "./loops.ts";
import { narrowing } from "./narrowing.ts";
import { children, isFunction, type Node } from "./syntax.ts";
import { broken, known, nothing, type Value } from "./values.ts";
import { binary, knownInteger, toWord } from "./words.ts";

/** Lowers one after the other; an error in one is collected, and the next one goes on. */
export function lowerStatements(l: Lowering, list: readonly Node[]): Flow {
  for (const node of list)
    if (node.type === "FunctionDeclaration" && node.id !== null)
      l.scope.declare({
        name: node.id.name,
        value: {
          kind: "function",
          record: { module: moduleOf(l), node, scope: l.frame.record.scope },
          scope: l.scope,
        },
      });
  let mixed = false;
  for (const node of list) {
    const flow = collecting<Flow | "entered">(
      l,
      () => lowerStatement(l, node),
      breakNames(l, node),
    );
    if (flow === "ends") return mixed ? "maybe" : "ends";
    if (flow === "returned") return "returned";
    if (flow === "entered") mixed = true;
    if (flow === "maybe") {
      mixed = true;
      // In a loop of the IR, leave it: who comes behind it asks again.
      const done = l.frame.returns.done();
      if (l.loops > 0)
        l.build.add({ op: "if", condition: done, then: [{ op: "break" }], else: [] });
      else {
        const rest: Block = [];
        l.build.add({ op: "if", condition: { op: "not", value: done }, then: rest, else: [] });
        l.build.enter(rest);
      }
    }
  }
  return mixed ? "maybe" : "on";
}

/** Variables of a statement that failed exist, so that their uses are no further errors. */
function breakNames(l: Lowering, node: Node): "on" {
  if (node.type === "VariableDeclaration")
    for (const { id } of node.declarations)
      if (id.type === "Identifier") l.scope.declare({ name: id.name, value: broken });
  return "on";
}

function lowerStatement(l: Lowering, node: Node): Flow | "entered" {
  l.build.at = { file: moduleOf(l).file, offset: node.start };
  switch (node.type) {
    case "VariableDeclaration":
      for (const declarator of node.declarations) declare(l, declarator, node.kind);
      return "on";
    case "ExpressionStatement": {
      l.statement = node.expression;
      const value = l.expression(node.expression);
      if (value.kind === "word") l.build.discard(value.expr);
      return "on";
    }
    case "IfStatement":
      return branch(l, node);
    case "BlockStatement":
      return inScope(l, () => l.statements(node.body));
    case "ReturnStatement": {
      const value = node.argument === null ? nothing : l.expression(node.argument);
      l.frame.returns.return(value, node);
      if (l.frame.returns.ends) return "ends";
      if (l.loops === 0) return "returned";
      l.build.add({ op: "break" });
      return "ends";
    }
    case "ForStatement":
      return lowerFor(l, node);
    case "ForOfStatement":
      return lowerForOf(l, node);
    case "BreakStatement":
    case "ContinueStatement":
      if (node.label !== null) return fail(l, node, "labels can't be jumped to in the kernel");
      if (l.loops === 0) return fail(l, node, "there is no loop to leave here");
      l.build.add({ op: node.type === "BreakStatement" ? "break" : "continue" });
      return "ends";
    case "SwitchStatement":
      return inScope(l, () => lowerSwitch(l, node));
    case "EmptyStatement":
    case "FunctionDeclaration":
    case "TSTypeAliasDeclaration":
    case "TSInterfaceDeclaration":
      return "on";
    case "WhileStatement":
    case "DoWhileStatement":
      return fail(
        l,
        node,
        "kymo can't see an end to this loop",
        "the kernel takes only loops that end: for (let i = 0; i < 16; i++) { if (…) break; … }",
      );
    default:
      return fail(l, node, `${inWords(node.type)} can't run in the kernel`);
  }
}

export function inScope<T>(l: Lowering, run: () => T): T {
  const outer = l.scope;
  l.scope = new Scope(outer);
  try {
    return run();
  } finally {
    l.scope = outer;
  }
}

function declare(
  l: Lowering,
  node: Extract<Node, { type: "VariableDeclarator" }>,
  kind: string,
): void {
  if (kind === "var") fail(l, node, "var can't be used in the kernel", "write let or const");
  const { id, init } = node;
  const value = init === null ? undefined : l.expression(init);
  bindPattern(l, id, value, kind === "let");
}

/** Declares what a pattern names: `x`, `{ a, b }`, `[a, b]`. */
export function bindPattern(
  l: Lowering,
  id: Node,
  given: Value | undefined,
  assignable = false,
): void {
  switch (id.type) {
    case "Identifier": {
      const type = id.typeAnnotation?.typeAnnotation;
      const value =
        given === undefined || type === undefined ? given : converted(l, given, type, id);
      l.scope.declare(
        assignable ? variable(l, id, value) : { name: id.name, value: hold(l, value ?? nothing) },
      );
      return;
    }
    case "AssignmentPattern": {
      const isAbsent = given === undefined || (given.kind === "known" && given.value === undefined);
      bindPattern(l, id.left, isAbsent ? l.expression(id.right) : given, assignable);
      return;
    }
    case "ObjectPattern":
      for (const one of id.properties) {
        if (one.type !== "Property" || one.key.type !== "Identifier")
          fail(l, one, "only names can be taken out of an object here");
        bindPattern(l, one.value, l.property(given ?? nothing, one.key.name, one), assignable);
      }
      return;
    case "ArrayPattern":
      for (const [i, one] of id.elements.entries())
        if (one !== null)
          bindPattern(l, one, l.element(given ?? nothing, known(i), one), assignable);
      return;
    default:
      fail(l, id, `${inWords(id.type)} can't be declared`);
  }
}

/** `let x`: numbers and bools live in a local and can be assigned. */
function variable(
  l: Lowering,
  id: Extract<Node, { type: "Identifier" }>,
  given: Value | undefined,
): Binding {
  const { name } = id;
  const annotation = id.typeAnnotation?.typeAnnotation;
  const written =
    annotation?.type === "TSTypeReference" && annotation.typeName.type === "Identifier"
      ? ints[annotation.typeName.name]
      : undefined;
  const isNumber =
    given === undefined
      ? written !== undefined ||
        annotation?.type === "TSNumberKeyword" ||
        annotation?.type === "TSBooleanKeyword"
      : given.kind === "word" ||
        knownInteger(given) !== undefined ||
        (given.kind === "optional" && given.decays);
  if (!isNumber) {
    if (given === undefined) return fail(l, id, `${name} needs a value`, `let ${name} = 0`);
    return { name, value: hold(l, given) };
  }
  const start = given === undefined ? undefined : toWord(l, given, id);
  const local = l.build.local();
  l.build.assign(local, start?.expr ?? { op: "const", value: 0n });
  const isBool = start?.bool === true || annotation?.type === "TSBooleanKeyword";
  const signed = given?.kind === "known" || start === undefined || start.type.signed;
  return {
    name,
    value: nothing,
    assign: { local, type: written ?? { bits: 64, signed }, bool: isBool },
  };
}

function branch(l: Lowering, node: Extract<Node, { type: "IfStatement" }>): Flow | "entered" {
  const condition = conditionOf(l, node.test);
  const facts = narrowing(l, node.test);
  const outer = l.facts;
  const arm = (known: ReadonlyMap<Binding, Value>, statement: Node | null): Flow => {
    if (statement === null) return "on";
    l.facts = new Map([...outer, ...known]);
    const list = statement.type === "BlockStatement" ? statement.body : [statement];
    const flow = inScope(l, () => l.statements(list));
    l.facts = outer;
    return flow;
  };
  if (condition.op === "const")
    return arm(new Map(), condition.value !== 0n ? node.consequent : node.alternate);
  const flows: { then: Flow; else: Flow } = { then: "on", else: "on" };
  const then = l.build.inBlock(() => {
    flows.then = arm(facts.whenTrue, node.consequent);
  });
  const otherwise = l.build.inBlock(() => {
    flows.else = arm(facts.whenFalse, node.alternate);
  });
  l.build.at = { file: moduleOf(l).file, offset: node.start };
  if (then.length > 0 || otherwise.length > 0)
    l.build.add({ op: "if", condition, then, else: otherwise });
  else l.build.discard(condition);
  const gone = (flow: Flow) => flow === "ends" || flow === "returned";
  if (flows.then === "maybe" || flows.else === "maybe") return "maybe";
  if (gone(flows.then) && gone(flows.else))
    return flows.then === "ends" && flows.else === "ends" ? "ends" : "returned";
  if (gone(flows.then)) l.facts = new Map([...outer, ...facts.whenFalse]);
  if (gone(flows.else)) l.facts = new Map([...outer, ...facts.whenTrue]);
  if (flows.then === "returned" || flows.else === "returned") {
    l.build.enter(flows.then === "returned" ? otherwise : then);
    return "entered";
  }
  return "on";
}

/** A break of the switch that the statement is in, somewhere inside of it. */
function breakIn(node: Node): Node | undefined {
  switch (node.type) {
    case "BreakStatement":
      return node;
    case "ForStatement":
    case "ForOfStatement":
    case "SwitchStatement":
      return undefined;
  }
  if (isFunction(node)) return undefined;
  for (const child of children(node)) {
    const found = breakIn(child);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A chain of ifs: each case ends in break or return, or is empty and shares the next one's statements. */
function lowerSwitch(l: Lowering, node: Extract<Node, { type: "SwitchStatement" }>): Flow {
  const value = hold(l, l.expression(node.discriminant));
  const groups: { tests: (Expression | null)[]; body: Node[] }[] = [];
  let tests: (Expression | null)[] = [];
  for (const one of node.cases) {
    tests.push(one.test);
    if (one.consequent.length === 0) continue;
    const list = one.consequent.flatMap((statement): Node[] =>
      statement.type === "BlockStatement" && one.consequent.length === 1
        ? statement.body
        : [statement],
    );
    const last = list.at(-1);
    const isLast = one === node.cases.at(-1);
    const early = list.filter((statement) => statement !== last).map(breakIn);
    const inside = [...early, last?.type === "BreakStatement" ? undefined : last && breakIn(last)];
    const stray = inside.find((found) => found !== undefined);
    if (stray !== undefined)
      return fail(l, stray, "break ends a case only as its last statement", "write if … else …");
    if (last?.type !== "BreakStatement" && last?.type !== "ReturnStatement" && !isLast)
      return fail(l, one, "this case runs on into the next one", "end it with break or return");
    groups.push({ tests, body: last?.type === "BreakStatement" ? list.slice(0, -1) : list });
    tests = [];
  }
  const from = (i: number): Flow => {
    const group = groups[i];
    if (group === undefined) return "on";
    const run = () => inScope(l, () => l.statements(group.body));
    if (group.tests.includes(null)) {
      if (i < groups.length - 1) return fail(l, node, "default is the last case of a switch here");
      return run();
    }
    const condition = group.tests
      .map((test) => {
        const { start, end } = test!;
        const sides = { left: node.discriminant, right: test! };
        const whole = { type: "BinaryExpression", operator: "===", ...sides, start, end } as const;
        const tested = l.expression(test!);
        return (
          compareValues(l, "===", value, tested, whole) ??
          binary(l, "===", value, tested, test!, [sides.left, sides.right])
        );
      })
      .map((compared) => toWord(l, compared, node).expr)
      .reduce((left, right) => ({ op: "or", left, right }));
    const flows: Flow[] = [];
    const then = l.build.inBlock(() => flows.push(run()));
    const otherwise = l.build.inBlock(() => flows.push(from(i + 1)));
    l.build.add({ op: "if", condition, then, else: otherwise });
    if (flows.every((flow) => flow === "on")) return "on";
    if (flows.every((flow) => flow === "ends")) return "ends";
    if (flows.every((flow) => flow === "ends" || flow === "returned")) return "returned";
    return flows.some((flow) => flow === "returned" || flow === "maybe") ? "maybe" : "on";
  };
  return from(0);
}
