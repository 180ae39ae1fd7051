/** What the parts of the compiler share while they lower one handler: they call each other through it. */
import type { Expression } from "oxc-parser";
import type { Expr, IntType, LocalId, SourceAt } from "../ir.ts";
import { ProbeError } from "../program.ts";
import type { EventSchema, Kernel } from "../schema.ts";
import type { Builder } from "./builder.ts";
import type { DataType } from "./data-type.ts";
import type { ParsedModule } from "./instrument.ts";
import type { FunctionRecord } from "./modules.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";
import type { Node } from "./syntax.ts";
import type { Value } from "./values.ts";

/** A variable of a handler. */
export interface Binding {
  readonly name: string;
  /** const: the value. let: the value when it was declared; a word is then in `local`. */
  readonly value: Value;
  readonly assign?: {
    readonly local: LocalId;
    readonly type: IntType;
    readonly bool: boolean;
  };
}

export class Scope {
  readonly #names = new Map<string, Binding>();
  readonly #outer: Scope | undefined;
  constructor(outer?: Scope) {
    this.#outer = outer;
  }
  declare(binding: Binding): void {
    this.#names.set(binding.name, binding);
  }
  find(name: string): Binding | undefined {
    return this.#names.get(name) ?? this.#outer?.find(name);
  }
  names(): string[] {
    return [...this.#names.keys(), ...(this.#outer?.names() ?? [])];
  }
}

/** A function whose body is being lowered. */
export interface Frame {
  readonly record: FunctionRecord;
  readonly outer: Frame | undefined;
  readonly returns: Returns;
}
export interface Returns {
  return(value: Value, node: Node): void;
  /** An IR `return` ends the program wherever it stands: the handler's own. Else control goes on behind it. */
  readonly ends: boolean;
  /** Whether the function has returned: asked after loops and the like. */
  done(): Expr;
}

/**
 * Whether control goes on behind a statement: it does, it doesn't, it does but the function has returned, or
 * the function may have returned.
 */
export type Flow = "on" | "ends" | "returned" | "maybe";

/** What spans need of the handler they are in. */
export interface SpanPlan {
  /** Called for `span({…})`: emits or stores its beginning. */
  begin(node: Node, options: Value): void;
}

/** Whether a program may wait for a page that is not in memory. */
export interface Sleeping {
  /**
   * Where it is attached, and by what it has done so far: another thread may run there while it sleeps, so that memory of
   * the CPU's own must not be in use.
   */
  allowed: boolean;
  /** It does. */
  used: boolean;
}

export interface Lowering {
  readonly build: Builder;
  readonly session: Session;
  readonly kernel: Kernel;
  readonly registry: Registry;
  readonly schema: EventSchema | undefined;
  readonly label: string;
  readonly errors: ProbeError[];
  /** Default weight of samples, ns. */
  readonly weight: number;
  readonly spans: SpanPlan | undefined;
  scope: Scope;
  frame: Frame;
  /** What is known of variables here: found to be there, after `if (t === undefined) return`. */
  facts: ReadonlyMap<Binding, Value>;
  /** Loops of the IR around this statement, within this function. */
  loops: number;
  /** The expression that is a statement of its own right now. */
  statement: Node | undefined;
  /** What the handler returns when it ends early. */
  readonly result: bigint;
  readonly sleeping: Sleeping;
  /** The next piece of scratch memory that this handler has not used yet. */
  nextScratch(): number;

  expression(node: Expression): Value;
  statements(list: readonly Node[]): Flow;
  /** Calls a function with these arguments: its body is lowered here. */
  inline(record: FunctionRecord, args: readonly Value[], at: Node, scope?: Scope): Value;
  typeOf(node: Node): DataType;
  /** `.name` and `[index]` of a value, read. */
  property(value: Value, name: string, node: Node): Value;
  element(value: Value, index: Value, node: Node): Value;
}

export function moduleOf(l: Lowering): ParsedModule {
  return l.frame.record.module;
}

export function at(l: Lowering, node: Node): SourceAt {
  return { file: moduleOf(l).file, offset: node.start };
}

export function fail(l: Lowering, node: Node, message: string, fix?: string): never {
  throw new ProbeError(message, { file: moduleOf(l).source, offset: node.start }, fix);
}

/** Runs, and turns an error into a collected one and `otherwise`. */
export function collecting<T>(l: Lowering, run: () => T, otherwise: T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof ProbeError)) throw error;
    l.errors.push(error);
    return otherwise;
  }
}
