/**
 * Takes the types out of a module by writing spaces over them, so that lines and columns stay what they were.
 * What TypeScript has to generate code for (enum, namespace, parameter properties) is refused.
 */
import type { SourceFile } from "../ir.ts";
import { ProbeError } from "../program.ts";
import { isType, type Node } from "./syntax.ts";

/** Changes to a text: overwriting with spaces, and insertions that keep their order. */
export class Edits {
  readonly #blanks: { readonly start: number; readonly end: number; readonly with: string }[] = [];
  readonly #inserts: { readonly at: number; readonly text: string }[] = [];

  /** `text` stands at the start of what is blanked. */
  blank(start: number, end: number, text = ""): void {
    this.#blanks.push({ start, end, with: text });
  }
  insert(at: number, text: string): void {
    this.#inserts.push({ at, text });
  }
  apply(source: string): string {
    const units = source.split("");
    for (const { start, end, with: text } of this.#blanks) {
      for (let i = start; i < end; i++) if (!/[\r\n]/.test(units[i]!)) units[i] = " ";
      for (let i = 0; i < text.length && start + i < end; i++) units[start + i] = text[i]!;
    }
    let result = "";
    let from = 0;
    for (const { at, text } of this.#inserts.toSorted((a, b) => a.at - b.at)) {
      result += units.slice(from, at).join("") + text;
      from = at;
    }
    return result + units.slice(from).join("");
  }
}

/**
 * Blanks what of this node belongs to types.
 * @returns whether nothing of the node is left
 * @throws ProbeError for syntax that is not erasable
 */
export function eraseTypes(node: Node, file: SourceFile, edits: Edits): boolean {
  if (isType(node)) {
    const statement = !node.type.startsWith("TSType") || node.type === "TSTypeAliasDeclaration";
    edits.blank(node.start, node.end, statement ? ";" : "");
    return true;
  }
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportAllDeclaration":
      return node.type === "ImportDeclaration"
        ? blankIf(node.importKind === "type", node, edits)
        : blankIf(node.exportKind === "type", node, edits);
    case "ExportNamedDeclaration":
      return blankIf(
        node.exportKind === "type" || (node.declaration !== null && isType(node.declaration)),
        node,
        edits,
      );
    case "ExportDefaultDeclaration":
      return blankIf(isType(node.declaration), node, edits);
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "TSInstantiationExpression":
      edits.blank(node.expression.end, node.end);
      return false;
    case "TSTypeAssertion":
      edits.blank(node.start, node.expression.start);
      return false;
    case "TSNonNullExpression":
      edits.blank(node.end - 1, node.end);
      return false;
    case "Identifier": {
      // A parameter's `?`; a parameter named this.
      const annotation = node.typeAnnotation ?? undefined;
      if (node.name === "this") {
        const comma = /^\s*,/.exec(file.text.slice(node.end))?.[0].length ?? 0;
        edits.blank(node.start, node.end + comma);
        return true;
      }
      if (node.optional === (true as unknown))
        blankMark(file.text, "?", node.start, annotation?.start ?? node.end, edits);
      return false;
    }
    case "VariableDeclarator":
      if (node.definite === true)
        blankMark(file.text, "!", node.id.start, node.init?.start ?? node.end, edits);
      return false;
    case "ClassDeclaration":
    case "ClassExpression":
      if (node.abstract === true) blankModifiers(file.text, node.start, node.body.start, edits);
      if (node.implements !== undefined && node.implements.length > 0)
        edits.blank((node.superClass ?? node.id ?? node).end, node.body.start);
      return false;
    case "PropertyDefinition":
    case "MethodDefinition":
      blankModifiers(file.text, node.start, node.key.start, edits);
      if (node.type === "PropertyDefinition")
        for (const mark of ["?", "!"])
          blankMark(
            file.text,
            mark,
            node.key.end,
            node.typeAnnotation?.start ?? node.key.end + 1,
            edits,
          );
      return node.type === "PropertyDefinition" && blankIf(node.declare === true, node, edits);
    case "TSIndexSignature":
    case "TSAbstractMethodDefinition":
    case "TSAbstractPropertyDefinition":
      return blankIf(true, node, edits);
    case "TSEnumDeclaration":
      throw new ProbeError(
        "enum is not taken here",
        { file, offset: node.start },
        `write const ${node.id.name} = { … } as const`,
      );
    case "TSModuleDeclaration":
      throw new ProbeError("namespaces are not taken here", { file, offset: node.start });
    case "TSParameterProperty":
      throw new ProbeError(
        "properties declared by a constructor's parameters are not taken here",
        { file, offset: node.start },
        "declare the property and assign it",
      );
    case "TSImportEqualsDeclaration":
    case "TSExportAssignment":
      throw new ProbeError(
        "import = and export = are not taken here",
        { file, offset: node.start },
        "use import … from and export",
      );
    default:
      return false;
  }
}

function blankIf(condition: boolean, node: Node, edits: Edits): boolean {
  if (condition) edits.blank(node.start, node.end, ";");
  return condition;
}

function blankMark(text: string, mark: string, from: number, to: number, edits: Edits): void {
  const at = text.indexOf(mark, from);
  if (at >= 0 && at < to) edits.blank(at, at + 1);
}

function blankModifiers(text: string, from: number, to: number, edits: Edits): void {
  const modifiers = /\b(public|private|protected|readonly|override|abstract|declare)\b/g;
  const head = text.slice(from, to);
  for (const match of head.matchAll(modifiers))
    edits.blank(from + match.index, from + match.index + match[0].length);
}
