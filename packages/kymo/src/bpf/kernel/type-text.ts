/** Types in the words of probe files: what lists and messages show. */
import type { CType, EventSchema, Missing } from "../schema.ts";

/** `i32`, `cstr`, `task_struct*`, `char[16]`. */
export function typeText(type: CType): string {
  switch (type.kind) {
    case "int":
      return `${type.type.signed ? "i" : "u"}${type.type.bits}`;
    case "bool":
      return "bool";
    case "enum":
      return type.name === "" ? "enum" : `enum ${type.name}`;
    case "pointer":
      return type.to.kind === "chars" ? "cstr" : `${typeText(type.to)}*`;
    case "array":
      return `${typeText(type.of)}[${type.length === 0 ? "" : type.length}]`;
    case "struct":
      return type.name === "" ? "struct" : type.name;
    case "opaque":
      return type.name;
    case "chars":
      return type.bytes === undefined ? "text" : `char[${type.bytes}]`;
  }
}

/** `next_pid: i32` for each field; none where the schema is missing. */
export function fieldTexts(schema: EventSchema | Missing): string[] {
  if ("missing" in schema) return [];
  return schema.fields.map(({ name, type }) => `${name}: ${typeText(type)}`);
}
