/**
 * What has been computed already on every way to a place: results of helpers that can't change while the program runs
 * (the thread's ids, the CPU), and words read from memory that nothing has written since.
 */
import type { Expr, LocalId } from "../ir.ts";
import type { Reg } from "./machine.ts";
import { Helper } from "./opcodes.ts";

/** Helpers whose result is the same during one run. */
const constantHelpers: ReadonlySet<number> = new Set([
  Helper.cpu,
  Helper.pidTgid,
  Helper.uidGid,
  Helper.task,
  Helper.taskBtf,
  Helper.numaNode,
  Helper.cgroup,
]);

export function isConstantHelper(helper: number): boolean {
  return constantHelpers.has(helper);
}

interface Entry {
  readonly reg: Reg;
  /**
   * Gone after a call or a store (memory), or after a call (the context, that stores can't reach, and addresses:
   * what is made with one instruction isn't worth a register for longer).
   */
  readonly kind: "constant" | "address" | "context" | "memory";
  readonly locals: readonly LocalId[];
}

export class Known {
  #entries = new Map<string, Entry>();

  find(key: string): Reg | undefined {
    return this.#entries.get(key)?.reg;
  }
  add(key: string, reg: Reg, expr: Expr): void {
    this.#entries.set(key, { reg, kind: kindOf(expr), locals: localsIn(expr) });
  }
  copy(): Known {
    const copy = new Known();
    copy.#entries = new Map(this.#entries);
    return copy;
  }
  /** Keeps what both know. */
  intersect(other: Known): void {
    this.#forget((entry, key) => other.find(key) !== entry.reg);
  }
  afterCall(): void {
    this.#forget((entry) => entry.kind !== "constant");
  }
  /** `reaches`: what the store may have written to. */
  afterStore(reaches: "nothing known" | "memory" | "memory and context"): void {
    if (reaches === "nothing known") return;
    this.#forget(
      ({ kind }) => kind === "memory" || (kind === "context" && reaches === "memory and context"),
    );
  }
  afterAssignment(local: LocalId): void {
    this.#forget((entry) => entry.locals.includes(local));
  }
  #forget(which: (entry: Entry, key: string) => boolean): void {
    for (const [key, entry] of this.#entries) if (which(entry, key)) this.#entries.delete(key);
  }
}

/** What an expression is known by; undefined for what must be evaluated each time. */
export function keyOf(expr: Expr): string | undefined {
  switch (expr.op) {
    case "call":
      return isConstantHelper(expr.helper) && expr.args.length === 0
        ? `call ${expr.helper}`
        : undefined;
    case "load": {
      if (expr.memory !== "direct") return undefined;
      const from = placeKey(expr.from);
      return from && `${expr.type.signed ? "i" : "u"}${expr.type.bits}[${from}+${expr.offset}]`;
    }
    case "mapValue":
      return `value ${expr.map}`;
    default:
      return undefined;
  }
}

function placeKey(expr: Expr): string | undefined {
  switch (expr.op) {
    case "context":
      return "context";
    case "local":
      return `local ${expr.local}`;
    case "call":
    case "load":
      return keyOf(expr);
    default:
      return undefined;
  }
}

function kindOf(expr: Expr): Entry["kind"] {
  if (expr.op === "mapValue") return "address";
  if (expr.op !== "load") return "constant";
  return expr.from.op === "context" ? "context" : "memory";
}

function localsIn(expr: Expr): readonly LocalId[] {
  if (expr.op === "local") return [expr.local];
  return expr.op === "load" ? localsIn(expr.from) : [];
}
