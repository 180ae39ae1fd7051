/**
 * Whether running modules again would give the same: they see nothing but themselves, kymo/probe and their arguments. What is
 * not known to be so, is taken not to be.
 */
import { type ParsedModule, probeModule } from "./instrument.ts";
import { children, isType, type Node } from "./syntax.ts";

/** Of the global names those that are always the same. */
const constantGlobals = new Set([
  ...["Array", "BigInt", "Boolean", "Error", "Infinity", "JSON", "Map", "Math", "NaN", "Number"],
  ...["Object", "RangeError", "RegExp", "Set", "String", "Symbol", "TypeError"],
  ...["isFinite", "isNaN", "parseFloat", "parseInt", "process", "undefined"],
]);
const otherGlobals = new Set(
  [...Object.getOwnPropertyNames(globalThis), "require", "module", "exports"].filter(
    (name) => !constantGlobals.has(name),
  ),
);

export function isRepeatable(modules: readonly ParsedModule[]): boolean {
  return modules.every((module) => isPure(module.program, undefined, module));
}

function isPure(node: Node, parent: Node | undefined, module: ParsedModule): boolean {
  if (isType(node)) return true;
  switch (node.type) {
    case "ImportExpression":
    case "MetaProperty":
      return false;
    case "ImportDeclaration":
      return node.importKind === "type" || isOwn(node.source.value);
    case "ExportAllDeclaration":
      return isOwn(node.source.value);
    case "ExportNamedDeclaration":
      if (node.source !== null) return isOwn(node.source.value);
      break;
    case "Identifier":
      return isPropertyName(node, parent) || isConstant(node.name, parent, module);
  }
  return children(node).every((child) => isPure(child, node, module));
}

/** Of kymo/probe, or a script whose text is known. */
function isOwn(specifier: string): boolean {
  if (specifier === probeModule) return true;
  const name = specifier.slice(specifier.lastIndexOf("/") + 1);
  return /^\.{1,2}\//.test(specifier) && (/\.[cm]?[jt]s$/.test(name) || !name.includes("."));
}

/** `name` of `x.name` and of `{ name: x }`. */
function isPropertyName(node: Node, parent: Node | undefined): boolean {
  if (parent?.type === "MemberExpression") return parent.property === node && !parent.computed;
  return (
    parent?.type === "Property" && parent.key === node && !parent.computed && !parent.shorthand
  );
}

function isConstant(name: string, parent: Node | undefined, module: ParsedModule): boolean {
  // Of kymo/probe, process() is a track; all else of it is Node's.
  const isTrack = parent?.type === "CallExpression";
  if (module.probeNames.has(name) && (name !== "process" || isTrack)) return true;
  if (otherGlobals.has(name)) return false;
  if (name !== "process" && name !== "Math") return true;
  if (parent?.type !== "MemberExpression" || parent.computed) return false;
  if (parent.property.type !== "Identifier") return false;
  return name === "process" ? parent.property.name === "argv" : parent.property.name !== "random";
}
