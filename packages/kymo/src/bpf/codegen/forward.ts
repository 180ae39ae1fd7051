/**
 * Variables that are read once are computed where they are read, when that can't make a difference: values of the event
 * then go straight into the record, instead of waiting in registers and on the stack until it is reserved.
 *
 * What may move: constants, what the context leads to (the kernel lets no probe write there), results of helpers that don't
 * change during a run, and arithmetic on these. Never into or out of a loop.
 */
import type { Block, Expr, Handler, LocalId, Statement } from "../ir.ts";
import { isConstantHelper } from "./known.ts";

interface Local {
  /** Its only assignment; undefined when there are more. */
  definition: Expr | undefined;
  assignments: number;
  /** Loop that the assignment is in; −1 outside. */
  loop: number;
  reads: number;
  /** A read is in another loop than the assignment. */
  crosses: boolean;
}

export function forwardLocals(handler: Handler): Handler {
  const survey = new Survey(handler);
  const moved = new Map<LocalId, Expr>();
  for (const [local, { definition, assignments, reads, crosses }] of survey.locals) {
    if (definition === undefined || assignments !== 1 || reads !== 1 || crosses) continue;
    if (survey.canMove(definition)) moved.set(local, definition);
  }
  if (moved.size === 0) return handler;
  return { ...handler, body: rewriteBlock(handler.body, moved) };
}

class Survey {
  readonly locals = new Map<LocalId, Local>();
  #loops = 0;
  #loop = -1;
  /** Where stores go. */
  readonly #targets: Expr[] = [];
  /** A store may reach what the context leads to. */
  readonly #writesFar: boolean;

  constructor(handler: Handler) {
    this.#block(handler.body);
    this.#writesFar = this.#targets.some((to) => this.#leadsFromContext(to));
  }

  canMove(expr: Expr): boolean {
    return this.#isStable(expr) && this.#leaves(expr, new Set()).size <= 1;
  }

  #isStable(expr: Expr): boolean {
    switch (expr.op) {
      case "const":
      case "context":
        return true;
      case "local":
        return this.locals.get(expr.local)?.assignments === 1;
      case "call":
        return isConstantHelper(expr.helper) && expr.args.length === 0;
      case "load":
        return expr.memory === "direct" && !this.#writesFar && this.#leadsFromContext(expr.from);
      case "cast":
      case "negate":
      case "invert":
        return this.#isStable(expr.value);
      case "binary":
        return this.#isStable(expr.left) && this.#isStable(expr.right);
      default:
        return false;
    }
  }

  #leadsFromContext(expr: Expr): boolean {
    switch (expr.op) {
      case "context":
        return true;
      case "load":
        return expr.memory === "direct" && this.#leadsFromContext(expr.from);
      case "call":
        // bpf_get_current_task_btf.
        return isConstantHelper(expr.helper) && expr.args.length === 0;
      case "local": {
        const local = this.locals.get(expr.local);
        return (
          local?.assignments === 1 &&
          local.definition !== undefined &&
          this.#leadsFromContext(local.definition)
        );
      }
      case "binary":
        return this.#leadsFromContext(expr.left) && this.#isStable(expr.right);
      default:
        return false;
    }
  }

  /** Locals that would have to live longer. */
  #leaves(expr: Expr, found: Set<LocalId>): Set<LocalId> {
    if (expr.op === "local") found.add(expr.local);
    for (const child of childrenOf(expr)) this.#leaves(child, found);
    return found;
  }

  #block(block: Block): void {
    for (const statement of block) this.#statement(statement);
  }

  #statement(statement: Statement): void {
    switch (statement.op) {
      case "assign":
        this.#read(statement.value);
        this.#assigned(statement.local, statement.value);
        return;
      case "for": {
        this.#read(statement.from);
        this.#read(statement.to);
        const outer = this.#loop;
        this.#loop = this.#loops++;
        this.#assigned(statement.local, undefined);
        this.#block(statement.body);
        this.#loop = outer;
        return;
      }
      case "if":
        this.#read(statement.condition);
        this.#block(statement.then);
        this.#block(statement.else);
        return;
      case "emit":
        this.#block(statement.body);
        return;
      case "store":
      case "atomicAdd":
        this.#read(statement.to);
        this.#read(statement.value);
        this.#targets.push(statement.to);
        return;
      case "zero":
        this.#read(statement.to);
        return;
      case "eval":
      case "return":
        this.#read(statement.value);
        return;
    }
  }

  #local(local: LocalId): Local {
    let known = this.locals.get(local);
    if (known === undefined) {
      known = { definition: undefined, assignments: 0, loop: -1, reads: 0, crosses: false };
      this.locals.set(local, known);
    }
    return known;
  }

  #assigned(id: LocalId, definition: Expr | undefined): void {
    const local = this.#local(id);
    local.assignments++;
    local.definition = definition;
    local.loop = this.#loop;
    // Read before it is written in the text: in an earlier round.
    local.crosses ||= local.reads > 0;
  }

  #read(expr: Expr): void {
    if (expr.op === "local") {
      const local = this.#local(expr.local);
      local.reads++;
      local.crosses ||= local.loop !== this.#loop;
    }
    for (const child of childrenOf(expr)) this.#read(child);
  }
}

function childrenOf(expr: Expr): readonly Expr[] {
  switch (expr.op) {
    case "binary":
    case "compare":
    case "and":
    case "or":
      return [expr.left, expr.right];
    case "negate":
    case "invert":
    case "not":
    case "cast":
      return [expr.value];
    case "select":
      return [expr.condition, expr.then, expr.else];
    case "load":
      return [expr.from];
    case "call":
    case "kfunc":
      return expr.args;
    default:
      return [];
  }
}

type Moved = ReadonlyMap<LocalId, Expr>;

function rewrite(expr: Expr, moved: Moved): Expr {
  switch (expr.op) {
    case "local": {
      const definition = moved.get(expr.local);
      return definition === undefined ? expr : rewrite(definition, moved);
    }
    case "binary":
    case "compare":
    case "and":
    case "or":
      return { ...expr, left: rewrite(expr.left, moved), right: rewrite(expr.right, moved) };
    case "negate":
    case "invert":
    case "not":
    case "cast":
      return { ...expr, value: rewrite(expr.value, moved) };
    case "select":
      return {
        ...expr,
        condition: rewrite(expr.condition, moved),
        then: rewrite(expr.then, moved),
        else: rewrite(expr.else, moved),
      };
    case "load":
      return { ...expr, from: rewrite(expr.from, moved) };
    case "call":
    case "kfunc":
      return { ...expr, args: expr.args.map((arg) => rewrite(arg, moved)) };
    default:
      return expr;
  }
}

function rewriteBlock(block: Block, moved: Moved): Block {
  return block
    .filter((statement) => !(statement.op === "assign" && moved.has(statement.local)))
    .map((statement) => rewriteStatement(statement, moved));
}

function rewriteStatement(statement: Statement, moved: Moved): Statement {
  const { op } = statement;
  switch (op) {
    case "assign":
    case "eval":
    case "return":
      return { ...statement, value: rewrite(statement.value, moved) };
    case "store":
    case "atomicAdd":
      return {
        ...statement,
        to: rewrite(statement.to, moved),
        value: rewrite(statement.value, moved),
      };
    case "zero":
      return { ...statement, to: rewrite(statement.to, moved) };
    case "if":
      return {
        ...statement,
        condition: rewrite(statement.condition, moved),
        then: rewriteBlock(statement.then, moved),
        else: rewriteBlock(statement.else, moved),
      };
    case "for":
      return {
        ...statement,
        from: rewrite(statement.from, moved),
        to: rewrite(statement.to, moved),
        body: rewriteBlock(statement.body, moved),
      };
    case "emit":
      return { ...statement, body: rewriteBlock(statement.body, moved) };
    case "break":
    case "continue":
      return statement;
  }
}
