/**
 * A module as Node runs it: types erased, and every function and every call of kymo/probe made known to the loader.
 *
 *     const f = (e) => …            const f = __kymo.fn(2, (e) => …, {"slow": () => slow, …})
 *     function g() { … }            __kymo.fn(3, g, {…})            at the start of the block it is hoisted in
 *     hash<u32, u64>({ max })       __kymo.call(4, hash)({ max })
 *
 * Nothing of it changes how the module runs. A function value then leads to its syntax tree and to the values of the
 * names it uses: that is how handlers, and the functions they call, are found wherever they were written.
 */
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { SourceFile } from "../ir.ts";
import { Edits, eraseTypes } from "./erase.ts";
import {
  children,
  type FunctionNode,
  isFunction,
  type Node,
  type Program,
  references,
} from "./syntax.ts";

/** Where a function of kymo/probe is called. */
export interface CallSite {
  readonly file: number;
  readonly offset: number;
  readonly module: ParsedModule;
  readonly typeArguments: readonly Node[];
  /** The variable that the result goes to: `const started = hash(…)`. */
  readonly variable: string | undefined;
  readonly argumentAt: readonly number[];
}

/** An import or re-export: text to be replaced by the address of what it means. */
export interface Import {
  readonly specifier: string;
  /** Of the string with its quotes. */
  readonly start: number;
  readonly end: number;
}

export interface ParsedModule {
  readonly file: number;
  readonly source: SourceFile;
  readonly program: Program;
  /** Names of kymo/probe in this module, `*` for the namespace. */
  readonly probeNames: ReadonlyMap<string, string>;
  readonly functions: FunctionNode[];
  readonly calls: CallSite[];
}

export interface Instrumented {
  readonly imports: readonly Import[];
  /** @param addressOf what stands instead of an import's specifier */
  text(addressOf: (specifier: Import) => string): string;
}

export const probeModule = "kymo/probe";

export function parsedModule(file: number, source: SourceFile, program: Program): ParsedModule {
  const probeNames = new Map<string, string>();
  for (const statement of program.body) {
    if (statement.type !== "ImportDeclaration" || statement.source.value !== probeModule) continue;
    for (const specifier of statement.specifiers)
      probeNames.set(specifier.local.name, importedName(specifier));
  }
  return { file, source, program, probeNames, functions: [], calls: [] };
}

/** The name that a specifier of an import has in the module it comes from; `*` for all of it. */
export function importedName(
  specifier: Extract<
    Node,
    { type: "ImportSpecifier" | "ImportDefaultSpecifier" | "ImportNamespaceSpecifier" }
  >,
): string {
  if (specifier.type === "ImportNamespaceSpecifier") return "*";
  if (specifier.type === "ImportDefaultSpecifier") return "default";
  return specifier.imported.type === "Literal" ? specifier.imported.value : specifier.imported.name;
}

/** @throws ProbeError for syntax that is not erasable */
export function instrument(module: ParsedModule, session: string): Instrumented {
  const { source, program } = module;
  const edits = new Edits();
  const imports: Import[] = [];
  const used = references(program);
  const hoisted: string[][] = [[]];
  const visit = (node: Node, parent: Node | undefined): void => {
    if (eraseTypes(node, source, edits)) return;
    switch (node.type) {
      case "ImportDeclaration":
        if (dropUnused(node, used, source.text, edits)) return;
        imports.push(importOf(node.source));
        return;
      case "ExportAllDeclaration":
        imports.push(importOf(node.source));
        return;
      case "ExportNamedDeclaration":
        if (node.source !== null) {
          imports.push(importOf(node.source));
          return;
        }
        for (const [i, specifier] of node.specifiers.entries())
          if (specifier.exportKind === "type")
            blankSpecifier(node.specifiers, i, source.text, edits);
        break;
      case "ImportExpression":
        edits.blank(node.start, node.start + "import".length);
        edits.insert(node.start, `__kymo.import(${module.file}, `);
        edits.blank(node.start + "import".length, node.source.start);
        break;
      case "MetaProperty":
        if (node.meta.name === "import") {
          edits.blank(node.start, node.end);
          edits.insert(node.start, `__kymo.meta(${module.file})`);
        }
        return;
      case "CallExpression":
        if (isProbeCall(node.callee, module)) {
          edits.insert(node.callee.start, `__kymo.call(${module.file}, ${module.calls.length}, `);
          module.calls.push(callSite(node, parent, module));
          visit(node.callee, node);
          edits.insert(node.callee.end, ")");
          for (const inner of children(node)) if (inner !== node.callee) visit(inner, node);
          return;
        }
        break;
    }
    if (isFunction(node) && !isMethod(parent)) {
      instrumentFunction(node);
      return;
    }
    inside(node);
  };
  const instrumentFunction = (node: FunctionNode): void => {
    const id = module.functions.push(node) - 1;
    const thunks = `{${[...references(node)].map((name) => `${JSON.stringify(name)}: () => ${name}`).join(", ")}}`;
    if (node.type === "FunctionDeclaration") {
      if (node.id !== null)
        hoisted.at(-1)!.push(`__kymo.fn(${module.file}, ${id}, ${node.id.name}, ${thunks});`);
      inside(node);
      return;
    }
    edits.insert(node.start, `__kymo.fn(${module.file}, ${id}, `);
    inside(node);
    edits.insert(node.end, `, ${thunks})`);
  };
  const inside = (node: Node): void => {
    const block = node.type === "BlockStatement";
    if (block) hoisted.push([]);
    for (const child of children(node)) visit(child, node);
    if (block) {
      const text = hoisted.pop()!.join(" ");
      if (text !== "") edits.insert(node.start + 1, text);
    }
  };
  inside(program);
  if (program.hashbang !== null) edits.blank(0, 2, "//");
  // On a line with nothing before it: lines stay what they were.
  const prelude = `const __kymo = globalThis[Symbol.for("kymo.probe")].get(${JSON.stringify(session)});${hoisted[0]!.join(" ")}`;
  return {
    imports,
    text(addressOf) {
      for (const at of imports) {
        edits.blank(at.start, at.end);
        edits.insert(at.start, JSON.stringify(addressOf(at)));
      }
      return `${prelude}${edits.apply(source.text)}\n//# sourceURL=${sourceUrl(source.path)}\n`;
    },
  };
}

/** What stack traces call a module. */
export function sourceUrl(file: string): string {
  return path.isAbsolute(file) ? pathToFileURL(file).href : file.replaceAll(/\s/g, "-");
}

function importOf(source: { value: string; start: number; end: number }): Import {
  return { specifier: source.value, start: source.start, end: source.end };
}

/** Imports of types without the word `type` are left out, as TypeScript does. True when nothing is left. */
function dropUnused(
  node: Extract<Node, { type: "ImportDeclaration" }>,
  used: ReadonlySet<string>,
  text: string,
  edits: Edits,
): boolean {
  const { specifiers } = node;
  const unused = specifiers.map(
    (specifier) =>
      !used.has(specifier.local.name) ||
      (specifier.type === "ImportSpecifier" && specifier.importKind === "type"),
  );
  if (specifiers.length > 0 && unused.every(Boolean)) {
    edits.blank(node.start, node.end, ";");
    return true;
  }
  for (const [i, specifier] of specifiers.entries())
    if (unused[i] && specifier.type === "ImportSpecifier")
      blankSpecifier(specifiers, i, text, edits);
  return false;
}

/** With its comma. */
function blankSpecifier(
  specifiers: readonly { start: number; end: number }[],
  i: number,
  text: string,
  edits: Edits,
): void {
  const { start, end } = specifiers[i]!;
  const comma = /^\s*,/.exec(text.slice(end))?.[0].length ?? 0;
  edits.blank(start, specifiers[i + 1]?.start ?? end + comma);
}

function isMethod(parent: Node | undefined): boolean {
  return (
    parent?.type === "MethodDefinition" ||
    (parent?.type === "Property" && (parent.method === true || parent.kind !== "init"))
  );
}

/** tracepoint(…), syscall.exit(…), probe.hash(…) of `import * as probe`. */
function isProbeCall(callee: Node, module: ParsedModule): boolean {
  if (callee.type === "MemberExpression" && !callee.computed) {
    const { object } = callee;
    // process.argv.slice() is Node's own, whichever process it is (session.ts).
    if (object.type === "Identifier" && module.probeNames.get(object.name) === "process")
      return false;
    return isProbeCall(object, module);
  }
  return callee.type === "Identifier" && module.probeNames.has(callee.name);
}

function callSite(
  node: Extract<Node, { type: "CallExpression" }>,
  parent: Node | undefined,
  module: ParsedModule,
): CallSite {
  return {
    file: module.file,
    offset: node.start,
    module,
    typeArguments: node.typeArguments?.params ?? [],
    variable:
      parent?.type === "VariableDeclarator" && parent.id.type === "Identifier"
        ? parent.id.name
        : undefined,
    argumentAt: node.arguments.map(({ start }) => start),
  };
}
