/** Syntax trees of probe files: oxc's, and how to walk them. Offsets are UTF-16 units of the file's text. */
import {
  type ArrowFunctionExpression,
  type Function as FunctionOrDeclaration,
  type Node,
  type OxcError,
  type Program,
  parseSync,
  visitorKeys,
} from "oxc-parser";
import type { SourceFile } from "../ir.ts";
import { ProbeError } from "../program.ts";

export type FunctionNode = ArrowFunctionExpression | FunctionOrDeclaration;
export type { Node, Program };

/**
 * @throws ProbeError at the place of the first syntax error
 */
export function parse(file: SourceFile): Program {
  const tooDeep = (offset: number): ProbeError =>
    new ProbeError(
      "this is nested too deeply",
      { file, offset },
      `${depthMost} levels are the most`,
    );
  const brackets = tooManyBrackets(file.text);
  if (brackets !== undefined) throw tooDeep(brackets);
  const { program, errors } = parseSync(file.path, file.text, { lang: "ts", sourceType: "module" });
  const error = firstError(file, errors);
  if (error !== undefined) throw error;
  const deep = deepest(program);
  if (deep !== undefined) throw tooDeep(deep.start);
  return program;
}

/** What takes more than the grammar to see: a name that is declared twice. Asked when a module is refused. */
export function semanticError(file: SourceFile): ProbeError | undefined {
  const options = { lang: "ts", sourceType: "module", showSemanticErrors: true } as const;
  return firstError(file, parseSync(file.path, file.text, options).errors);
}

function firstError(file: SourceFile, errors: readonly OxcError[]): ProbeError | undefined {
  const error = errors.find(({ severity }) => severity === "Error");
  if (error === undefined) return undefined;
  const { message, helpMessage, labels } = error;
  return new ProbeError(`syntax: ${message}${helpMessage === null ? "" : ` (${helpMessage})`}`, {
    file,
    // Of two declarations the second one is the mistake.
    offset: Math.max(...labels.slice(0, 2).map(({ start }) => start), 0),
  });
}

/** What walks a tree calls itself at each level. */
const depthMost = 400;

/** The parser's own stack overflows at some 5000 brackets, which ends the process. @returns where it is too much */
function tooManyBrackets(text: string): number | undefined {
  let open = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x28 || unit === 0x5b || unit === 0x7b) {
      if (++open > 2000) return i;
    } else if ((unit === 0x29 || unit === 0x5d || unit === 0x7d) && open > 0) open--;
  }
  return undefined;
}

/** A node beyond the depth that is taken, if there is one. */
function deepest(program: Program): Node | undefined {
  let level: Node[] = [program];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > depthMost) return level[0];
    level = level.flatMap(children);
  }
  return undefined;
}

/** The nodes right inside a node, in the order of the source. */
export function children(node: Node): Node[] {
  const inside: Node[] = [];
  for (const key of visitorKeys[node.type] ?? []) {
    const value = (node as unknown as Record<string, unknown>)[key];
    if (Array.isArray(value)) {
      for (const item of value) if (item !== null) inside.push(item as Node);
    } else if (value !== null && value !== undefined) inside.push(value as Node);
  }
  return inside;
}

export function isFunction(node: Node): node is FunctionNode {
  return (
    node.type === "ArrowFunctionExpression" ||
    node.type === "FunctionExpression" ||
    node.type === "FunctionDeclaration"
  );
}

/** Of the type level only: nothing of it runs. */
export function isType(node: Node): boolean {
  switch (node.type) {
    case "TSTypeAnnotation":
    case "TSTypeParameterDeclaration":
    case "TSTypeParameterInstantiation":
    case "TSInterfaceDeclaration":
    case "TSTypeAliasDeclaration":
    case "TSDeclareFunction":
      return true;
    case "TSModuleDeclaration":
    case "VariableDeclaration":
    case "FunctionDeclaration":
    case "ClassDeclaration":
      return node.declare === true;
    default:
      return false;
  }
}

/** Names that a piece of code refers to as values, its own variables among them. */
export function references(node: Node): Set<string> {
  const names = new Set<string>();
  const visit = (at: Node): void => {
    if (isType(at)) return;
    switch (at.type) {
      case "Identifier":
        names.add(at.name);
        return;
      case "MemberExpression":
        visit(at.object);
        if (at.computed) visit(at.property);
        return;
      case "Property":
        if (at.computed) visit(at.key);
        visit(at.value);
        return;
      case "MethodDefinition":
      case "PropertyDefinition":
        if (at.computed) visit(at.key);
        if (at.value !== null) visit(at.value);
        return;
      case "TSAsExpression":
      case "TSSatisfiesExpression":
      case "TSTypeAssertion":
      case "TSInstantiationExpression":
        visit(at.expression);
        return;
      case "ExportSpecifier":
        if (at.local.type === "Identifier") names.add(at.local.name);
        return;
      case "ExportNamedDeclaration":
        if (at.source !== null) return;
        break;
      case "ImportDeclaration":
      case "ExportAllDeclaration":
      case "LabeledStatement":
      case "BreakStatement":
      case "ContinueStatement":
      case "MetaProperty":
        if (at.type === "LabeledStatement") visit(at.body);
        return;
    }
    for (const child of children(at)) visit(child);
  };
  visit(node);
  return names;
}
