/**
 * What an expression of a handler is while it is compiled. Most of a handler's values never exist in the kernel: texts are
 * addresses until they are written into a record, objects and tuples are taken apart, captured values are constants.
 */
import type { Expr, IntType, MemoryKind } from "../ir.ts";
import { u64 } from "../ir.ts";
import type { CType, EventSchema } from "../schema.ts";
import type { DataType } from "./data-type.ts";
import type { FunctionRecord } from "./modules.ts";
import type { Node } from "./syntax.ts";

/** A type of memory: C's, or a saved stack. */
export type MemoryType = CType | (DataType & { readonly kind: "stack" });

export interface Word {
  readonly kind: "word";
  readonly expr: Expr;
  readonly type: IntType;
  readonly bool?: true;
  /** The number of the current CPU: also names its track. */
  readonly cpu?: true;
  /** It is never larger: the bound of a loop. */
  readonly most?: bigint;
}
/** A value of the module that ran: number, string, map, function, … */
export interface Known {
  readonly kind: "known";
  readonly value: unknown;
}
export interface Pointer {
  readonly kind: "pointer";
  readonly expr: Expr;
  readonly to: CType;
  readonly memory: MemoryKind;
}
/** Memory with a type, not read yet. `base` can be evaluated any number of times. */
export interface Place {
  readonly kind: "place";
  readonly base: Expr;
  readonly offset: number;
  readonly type: MemoryType;
  readonly memory: MemoryKind;
  /** A map's value, or a slot: can be assigned. */
  readonly writable: boolean;
  /** Direct memory that may be indexed by a variable. */
  readonly indexable: boolean;
  readonly bits?: { readonly offset: number; readonly size: number };
}
/** Text of up to `bytes` bytes, the NUL among them. */
export interface Text {
  readonly kind: "text";
  readonly from: { readonly memory: MemoryKind; readonly address: Expr } | "comm";
  readonly bytes: number;
  /** false: it is not read when its record is decoded, where the program could not. */
  readonly late?: boolean;
}
/** One of some known texts. */
export interface Choice {
  readonly kind: "choice";
  readonly texts: readonly string[];
  readonly index: Expr;
}
/** One or the other: texts and the like, written out by whoever takes them. */
export interface Either {
  readonly kind: "either";
  readonly condition: Expr;
  readonly then: Value;
  readonly else: Value;
}
/** A value, or undefined. */
export interface Optional {
  readonly kind: "optional";
  readonly present: Expr;
  readonly value: Value;
  /** Absent reads as 0: `a?.b`. Else it must be checked first: what a map has. */
  readonly decays: boolean;
}
export interface Tuple {
  readonly kind: "tuple";
  readonly items: readonly Value[];
}
export interface ObjectValue {
  readonly kind: "object";
  readonly fields: ReadonlyMap<string, { readonly node: Node; readonly value: Value }>;
}
export interface Stack {
  readonly kind: "stack";
  readonly space: "kernel" | "user";
  readonly frames: number;
  /** undefined: of now. */
  readonly saved?: Expr;
}
/** A number shown by name. */
export interface Named {
  readonly kind: "named";
  readonly of: "syscall" | "errno" | "signal" | "symbol";
  readonly word: Word;
}
export interface Address {
  readonly kind: "address";
  readonly bytes: 4 | 16;
  readonly from: { readonly memory: MemoryKind; readonly address: Expr } | { readonly word: Expr };
}
export interface Bytes {
  readonly kind: "bytes";
  readonly memory: MemoryKind;
  readonly address: Expr;
  readonly bytes: number;
}
export interface WithUnit {
  readonly kind: "unit";
  readonly value: Value;
  readonly unit: string;
}
export interface Event {
  readonly kind: "event";
  readonly schema: EventSchema;
  /** On entry there is no `ret` yet. */
  readonly fields: "all" | "result";
}
/** A function, as a value: to be called, and lowered where it is called. */
export interface FunctionValue {
  readonly kind: "function";
  readonly record: FunctionRecord;
  /** Written inside of the handler: sees these variables. */
  readonly scope?: unknown;
}
/** `m.get`, not called yet. */
export interface Method {
  readonly kind: "method";
  readonly of: Value;
  readonly name: string;
  readonly node: Node;
}
export interface Track {
  readonly kind: "track";
  readonly of:
    | { readonly kind: "thread" | "process" | "cpu"; readonly id?: Value }
    | { readonly kind: "named"; readonly name: string; readonly key: readonly Value[] };
}
/** Nothing: what an emission gives. */
export interface Nothing {
  readonly kind: "nothing";
}
/** After an error: takes every operation, so that one slip is one message. */
export interface Broken {
  readonly kind: "broken";
}
export type Value =
  | Word
  | Known
  | Pointer
  | Place
  | Text
  | Choice
  | Either
  | Optional
  | Tuple
  | ObjectValue
  | Stack
  | Named
  | Address
  | Bytes
  | WithUnit
  | Event
  | FunctionValue
  | Method
  | Track
  | Nothing
  | Broken;

export const nothing: Nothing = { kind: "nothing" };
export const broken: Broken = { kind: "broken" };
export const known = (value: unknown): Known => ({ kind: "known", value });
export const word = (expr: Expr, type: IntType = u64): Word => ({ kind: "word", expr, type });
export const bool = (expr: Expr): Word => ({
  kind: "word",
  expr,
  type: { bits: 8, signed: false },
  bool: true,
});
/** What a value is, in the words of an error. */
export function describe(value: Value): string {
  switch (value.kind) {
    case "word":
      return value.bool === true
        ? "a bool"
        : `a number (${value.type.signed ? "i" : "u"}${value.type.bits})`;
    case "known":
      return describeKnown(value.value);
    case "pointer":
      return `a pointer to ${describeType(value.to)}`;
    case "place":
      return value.type.kind === "stack" ? "a stack" : describeType(value.type);
    case "text":
    case "choice":
      return "text";
    case "either":
      return describe(value.then);
    case "optional":
      return `${describe(value.value)} that may be undefined`;
    case "tuple":
      return "a tuple";
    case "object":
      return "an object";
    case "stack":
      return "a stack";
    case "named":
      return `the name of a ${value.of}`;
    case "address":
      return "an address";
    case "bytes":
      return "bytes";
    case "unit":
      return describe(value.value);
    case "event":
      return "the event itself";
    case "function":
      return "a function";
    case "method":
      return `the method ${value.name}`;
    case "track":
      return "a track";
    case "nothing":
      return "nothing";
    case "broken":
      return "a value";
  }
}

function describeKnown(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value === "string")
    return value.length > 24 ? "text" : `the text ${JSON.stringify(value)}`;
  if (typeof value === "number" || typeof value === "bigint") return `the number ${value}`;
  if (typeof value === "boolean") return `${value}`;
  if (typeof value === "function") return "a function";
  return Array.isArray(value) ? "an array" : "an object";
}

export function describeType(type: CType): string {
  switch (type.kind) {
    case "int":
    case "enum":
      return type.name;
    case "bool":
      return "bool";
    case "pointer":
      return `a pointer to ${describeType(type.to)}`;
    case "array":
      return `an array of ${describeType(type.of)}`;
    case "struct":
      return type.name === "" ? "a struct" : `struct ${type.name}`;
    case "opaque":
      return type.name;
    case "chars":
      return "text";
  }
}
