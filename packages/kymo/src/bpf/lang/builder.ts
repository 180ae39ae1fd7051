/** Builds a handler's IR: the block being written, locals, slots, maps. */
import type {
  BinaryOperator,
  Block,
  Expr,
  Handler,
  IntType,
  LocalId,
  MapIndex,
  MapSpec,
  Slot,
  SlotId,
  SourceAt,
  SourceFile,
  Statement,
} from "../ir.ts";
import { helper } from "./helpers.ts";

export const constant = (value: bigint | number): Expr => ({ op: "const", value: BigInt(value) });
export const zero: Expr = constant(0);
export const context: Expr = { op: "context" };

/** Calls whose answer is the same all through a handler: asked once. */
const steady: ReadonlySet<number> = new Set([8, 14, 15, 35, 80, 158]);

type WithoutAt<T> = T extends unknown ? Omit<T, "at"> : never;

export class Builder {
  readonly #maps: MapSpec[] = [];
  readonly #slots: Slot[] = [];
  #localCount = 0;
  #block: Statement[] = [];
  /** Where statements and calls are said to be written. */
  at: SourceAt | undefined;
  /** Locals of steady calls, as far as they are known to be assigned here. */
  #known: ReadonlyMap<number, LocalId> = new Map();
  /** What `once` has made, where it has certainly run. */
  #made: ReadonlyMap<string, Expr> = new Map();
  /** Locals that are assigned once, before every use. */
  readonly #fixed = new Set<LocalId>();

  finish(name: string, files: readonly SourceFile[], result: bigint): Handler {
    return {
      name,
      files,
      maps: this.#maps,
      slots: this.#slots,
      localCount: this.#localCount,
      body: this.#block,
      result,
    };
  }

  add(statement: WithoutAt<Statement>): void {
    const { at } = this;
    this.#block.push((at === undefined ? statement : { ...statement, at }) as Statement);
  }

  /** Adds a statement as it is. */
  append(statement: Statement): void {
    this.#block.push(statement);
  }

  /** Adds a statement that may be taken out again. */
  addRemovable(statement: WithoutAt<Statement>): () => void {
    this.add(statement);
    const block = this.#block;
    const added = block.at(-1)!;
    return () => {
      const index = block.indexOf(added);
      if (index >= 0) block.splice(index, 1);
    };
  }

  /** Statements written by `write`, kept apart. */
  inBlock(write: () => void): Block {
    const outer = this.#block;
    const [known, made] = [this.#known, this.#made];
    const block: Statement[] = [];
    this.#block = block;
    try {
      write();
    } finally {
      this.#block = outer;
      this.#known = known;
      this.#made = made;
    }
    return block;
  }

  /** Goes on inside of an arm of the last `if`: what follows runs only there. */
  enter(block: Block): void {
    this.#block = block as Statement[];
  }

  get length(): number {
    return this.#block.length;
  }

  /** Puts statements in at an earlier place of this block. */
  addAt(index: number, statement: Statement): void {
    this.#block.splice(index, 0, statement);
  }

  local(): LocalId {
    return this.#localCount++;
  }
  assign(local: LocalId, value: Expr): void {
    this.add({ op: "assign", local, value });
  }
  /** The value, evaluated here and once. */
  keep(value: Expr): Expr {
    if (this.isFixed(value) && value.op !== "binary" && value.op !== "compare") return value;
    const local = this.local();
    this.#fixed.add(local);
    this.assign(local, value);
    return { op: "local", local };
  }
  /** The same wherever and however often it is evaluated. */
  isFixed(value: Expr): boolean {
    switch (value.op) {
      case "const":
      case "context":
      case "slot":
      case "map":
      case "mapValue":
      case "record":
        return true;
      case "local":
        return this.#fixed.has(value.local);
      case "binary":
        return this.isFixed(value.left) && this.isFixed(value.right);
      case "cast":
      case "negate":
      case "invert":
      case "not":
        return this.isFixed(value.value);
      case "compare":
        return this.isFixed(value.left) && this.isFixed(value.right);
      default:
        return false;
    }
  }
  /** Marks a local that the caller assigns exactly once before its uses. */
  fix(local: LocalId): Expr {
    this.#fixed.add(local);
    return { op: "local", local };
  }

  slot(bytes: number, name: string): SlotId {
    return this.#slots.push({ bytes: Math.ceil(bytes / 8) * 8, name }) - 1;
  }
  slotAddress(slot: SlotId, offset = 0): Expr {
    return { op: "slot", slot, offset };
  }
  map(spec: MapSpec): MapIndex {
    const index = this.#maps.indexOf(spec);
    return index >= 0 ? index : this.#maps.push(spec) - 1;
  }
  mapArgument(spec: MapSpec): Expr {
    return { op: "map", map: this.map(spec) };
  }

  call(helper: number, ...args: Expr[]): Expr {
    const { at } = this;
    const call: Expr = { op: "call", helper, args, ...(at === undefined ? {} : { at }) };
    if (!steady.has(helper) || args.length > 0) return call;
    const known = this.#known.get(helper);
    if (known !== undefined) return { op: "local", local: known };
    const kept = this.keep(call) as Expr & { op: "local" };
    this.#known = new Map([...this.#known, [helper, kept.local]]);
    return kept;
  }
  /** What `make` gave for this key, where that has certainly run before; else what it gives here. */
  once(key: string, make: () => Expr): Expr {
    const made = this.#made.get(key) ?? make();
    this.#made = new Map([...this.#made, [key, made]]);
    return made;
  }
  eval(value: Expr): void {
    this.add({ op: "eval", value });
  }

  load(type: IntType, memory: "direct" | "kernel" | "user", from: Expr, offset: number): Expr {
    const { at } = this;
    return { op: "load", type, memory, from, offset, ...(at === undefined ? {} : { at }) };
  }
  store(type: IntType, to: Expr, offset: number, value: Expr): void {
    this.add({ op: "store", type, to, offset, value });
  }

  /** Runs `write` only when the condition holds. */
  when(condition: Expr, write: () => void, otherwise?: () => void): void {
    const then = this.inBlock(write);
    const rest = otherwise === undefined ? [] : this.inBlock(otherwise);
    if (then.length > 0 || rest.length > 0) this.add({ op: "if", condition, then, else: rest });
    else this.discard(condition);
  }
  /** A value that nobody wants, for what it does. */
  discard(value: Expr): void {
    if (hasEffect(value)) this.eval(value);
  }
}

function hasEffect(value: Expr): boolean {
  switch (value.op) {
    case "call":
    case "kfunc":
      return true;
    case "binary":
    case "compare":
    case "and":
    case "or":
      return hasEffect(value.left) || hasEffect(value.right);
    case "select":
      return hasEffect(value.condition) || hasEffect(value.then) || hasEffect(value.else);
    case "negate":
    case "invert":
    case "not":
    case "cast":
      return hasEffect(value.value);
    case "load":
      return hasEffect(value.from);
    default:
      return false;
  }
}

/** The process that the program runs in. */
export function currentPid(build: Builder): Expr {
  const both = build.call(helper.pidTgid);
  return compute(">>", both, constant(32));
}

export function plus(address: Expr, offset: number | bigint): Expr {
  if (BigInt(offset) === 0n) return address;
  if (address.op === "slot" || address.op === "mapValue")
    return { ...address, offset: address.offset + Number(offset) };
  if (address.op === "const") return constant(address.value + BigInt(offset));
  if (address.op === "binary" && address.operator === "+" && address.right.op === "const")
    return { ...address, right: constant(address.right.value + BigInt(offset)) };
  return sum(address, constant(offset));
}

export function sum(left: Expr, right: Expr): Expr {
  return compute("+", left, right);
}
/** Unsigned. */
export function compute(operator: BinaryOperator, left: Expr, right: Expr): Expr {
  return { op: "binary", operator, signed: false, left, right };
}
export function compare(
  operator: "==" | "!=" | "<" | "<=" | ">" | ">=",
  left: Expr,
  right: Expr,
  signed = false,
): Expr {
  return { op: "compare", operator, signed, left, right };
}
export const isZero = (value: Expr): Expr => ({ op: "not", value });
