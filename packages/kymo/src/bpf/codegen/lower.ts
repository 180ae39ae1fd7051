/** Statements to blocks. What is left for later: which registers, which bytes. */
import { compare } from "../ir/arithmetic.ts";
import type { Block as Body, Expr, Handler, LocalId, Statement } from "../ir.ts";
import { Builder } from "./builder.ts";
import type { Isa } from "./encode.ts";
import { Expressions } from "./expressions.ts";
import type { Known } from "./known.ts";
import {
  type Address,
  type Block,
  type Code,
  isRegister,
  type Operand,
  type Reg,
  resultRegister,
} from "./machine.ts";
import { Helper } from "./opcodes.ts";
import { Ranges } from "./range.ts";

/** Up to so many bytes are zeroed by stores, more by a call. */
const storedZeroBytes = 128;

export function lower(handler: Handler, isa: Isa): Code {
  const lowering = new Lowering(handler, isa);
  lowering.body(handler.body);
  lowering.exitWith({ imm: 0 }, handler.result);
  return lowering.code;
}

class Lowering {
  readonly #builder = new Builder();
  readonly #handler: Handler;
  readonly #values: Expressions;
  readonly #exits = new Map<bigint, Block>();
  readonly #loops: { readonly next: Block; readonly after: Block }[] = [];
  /** An address of a slot or record was put into a local: stores there may be seen through it. */
  readonly #escapes: boolean;

  constructor(handler: Handler, isa: Isa) {
    this.#handler = handler;
    this.#values = new Expressions(this.#builder, handler, new Ranges(handler), isa);
    this.#escapes = anyAssignment(handler.body, givesOwnAddress);
  }

  get code(): Code {
    return this.#builder.code;
  }

  body(body: Body): void {
    for (const statement of body) {
      if (this.#builder.ended) return;
      this.#builder.at = statement.at ?? this.#builder.at;
      this.#statement(statement);
    }
  }

  #statement(statement: Statement): void {
    const values = this.#values;
    switch (statement.op) {
      case "assign":
        values.assign(statement.local, statement.value);
        return;
      case "store": {
        const bytes = (statement.type.bits / 8) as 1 | 2 | 4 | 8;
        const value = values.stored(statement.value, bytes);
        const address = values.address(statement.to, statement.offset);
        this.#builder.write({ op: "store", bytes, address, value });
        this.#stored(statement.to);
        return;
      }
      case "zero":
        this.#zero(statement);
        return;
      case "atomicAdd": {
        const bytes = statement.bits === 32 ? 4 : 8;
        const value = this.#inRegister(values.stored(statement.value, 8));
        const address = values.address(statement.to, statement.offset);
        this.#builder.write({ op: "atomicAdd", bytes, address, value });
        this.#stored(statement.to);
        return;
      }
      case "eval":
        values.value(statement.value);
        return;
      case "if":
        this.#if(statement);
        return;
      case "for":
        this.#for(statement);
        return;
      case "break":
        this.#builder.jump(this.#loops.at(-1)!.after);
        return;
      case "continue":
        this.#builder.jump(this.#loops.at(-1)!.next);
        return;
      case "return":
        this.exitWith(values.value(statement.value), values.constant(statement.value));
        return;
      case "emit":
        this.#emit(statement);
        return;
    }
  }

  /** Exits with the same constant are one place. */
  exitWith(value: Operand, constant: bigint | undefined): void {
    const builder = this.#builder;
    if (constant === undefined || builder.ended) {
      builder.write({ op: "move", to: resultRegister, from: value });
      builder.exit();
      return;
    }
    const known = this.#exits.get(constant);
    if (known !== undefined) {
      builder.jump(known);
      return;
    }
    const exit = builder.block();
    this.#exits.set(constant, exit);
    builder.start(exit);
    this.#values.into({ op: "const", value: constant }, resultRegister);
    builder.exit();
  }

  #inRegister(value: Operand): Reg {
    if (isRegister(value)) return value;
    const to = this.#builder.reg();
    this.#builder.write({ op: "move", to, from: value });
    return to;
  }

  #stored(to: Expr): void {
    const base = baseOf(to);
    const isOwn = base.op === "slot" || base.op === "record";
    if (isOwn) this.#values.known.afterStore(this.#escapes ? "memory" : "nothing known");
    else this.#values.known.afterStore(base.op === "mapValue" ? "memory" : "memory and context");
  }

  #zero(statement: Statement & { readonly op: "zero" }): void {
    const builder = this.#builder;
    const { to, offset, bytes } = statement;
    if (bytes > storedZeroBytes) {
      // The helper zeroes what it can't read, and at 0 there is nothing to read.
      this.#values.addressInto(this.#values.address(to, offset), 1);
      builder.write({ op: "move", to: 2, from: { imm: bytes } });
      builder.write({ op: "move", to: 3, from: { imm: 0 } });
      this.#values.call(Helper.readKernel, 3);
      return;
    }
    const start = this.#values.address(to, offset);
    for (let done = 0; done < bytes; ) {
      const left = bytes - done;
      const size = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      const address: Address = { ...start, offset: start.offset + done };
      builder.write({ op: "store", bytes: size, address, value: { imm: 0 } });
      done += size;
    }
    this.#stored(to);
  }

  #if(statement: Statement & { readonly op: "if" }): void {
    const builder = this.#builder;
    const values = this.#values;
    const constant = values.constant(statement.condition);
    if (constant !== undefined) {
      this.body(constant !== 0n ? statement.then : statement.else);
      return;
    }
    const [then, otherwise, after] = [builder.block(), builder.block(), builder.block()];
    const known = values.condition(statement.condition, then, otherwise);
    const arm = (start: Block, atStart: Known, body: Body): Known | undefined => {
      builder.start(start);
      values.known = atStart;
      this.body(body);
      const reaches = !builder.ended;
      builder.jump(after);
      return reaches ? values.known : undefined;
    };
    const afterThen = arm(then, known.yes, statement.then);
    const afterElse = arm(otherwise, known.no, statement.else);
    if (afterThen !== undefined && afterElse !== undefined) afterThen.intersect(afterElse);
    this.#continueAt(after, afterThen ?? afterElse);
  }

  /** `known` undefined: no way leads there, and nothing more is written until the next block starts. */
  #continueAt(block: Block, known: Known | undefined): void {
    if (known === undefined) return;
    this.#builder.start(block);
    this.#values.known = known;
  }

  #for(statement: Statement & { readonly op: "for" }): void {
    const builder = this.#builder;
    const values = this.#values;
    const { local, step, signed, most } = statement;
    const from = values.constant(statement.from);
    const start = values.value(statement.from);
    const limit = this.#limit(statement);
    const to = limit === undefined ? values.value(statement.to) : values.value(limit);
    // A local that the body may assign again is another one here: `to` is evaluated once.
    const fixed = isRegister(to) ? this.#inNewRegister(to) : to;
    builder.write({ op: "move", to: values.local(local), from: start });
    values.known.afterAssignment(local);
    if (
      most <= 0 ||
      (from !== undefined && limit !== undefined && !compare("<", signed, from, limit.value))
    )
      return;
    const counter = from === undefined ? this.#inNewRegister({ imm: most }) : undefined;
    const last = from === undefined || limit !== undefined ? undefined : from + BigInt(most) * step;
    const first = builder.block();
    let [body, next, after]: Block[] = [];
    builder.inLoop(() => {
      [body, next] = [builder.block(), builder.block()];
    });
    after = builder.block();
    const test = () => {
      const left = values.local(local);
      builder.branch({
        operator: "<",
        signed,
        bits: 64,
        left,
        right: fixed,
        yes: body!,
        no: after!,
      });
    };
    if (from === undefined || limit === undefined) test();
    builder.start(first);
    builder.jump(body!);
    builder.start(body!);
    values.known.afterCall();
    const known = values.known.copy();
    this.#loops.push({ next: next!, after });
    builder.inLoop(() => this.body(statement.body));
    this.#loops.pop();
    builder.start(next!);
    const index = values.local(local);
    this.#add(index, step);
    if (counter !== undefined) this.#add(counter, -1n);
    const rounds = counter ?? (last === undefined ? undefined : index);
    if (rounds !== undefined) {
      const more = builder.block();
      const end = values.value({ op: "const", value: counter === undefined ? last! : 0n });
      builder.branch({
        operator: "==",
        signed: false,
        bits: 64,
        left: rounds,
        right: end,
        yes: after,
        no: more,
      });
      builder.start(more);
    }
    test();
    builder.start(after);
    values.known = known;
  }

  /** Where a loop whose ends are both constants ends: after `most` rounds at the latest. */
  #limit(
    statement: Statement & { readonly op: "for" },
  ): (Expr & { readonly op: "const" }) | undefined {
    const from = this.#values.constant(statement.from);
    const to = this.#values.constant(statement.to);
    if (from === undefined || to === undefined) return undefined;
    const word = (value: bigint) => (statement.signed ? value : BigInt.asUintN(64, value));
    const most = word(from) + BigInt(statement.most) * statement.step;
    const limit = most < word(to) ? most : word(to);
    // The last step must not run over the end of the words.
    const overflows = limit + statement.step >= 1n << (statement.signed ? 63n : 64n);
    return overflows ? undefined : { op: "const", value: BigInt.asIntN(64, limit) };
  }

  #inNewRegister(from: Operand): Reg {
    const to = this.#builder.reg();
    this.#builder.write({ op: "move", to, from });
    return to;
  }

  #add(to: Reg, value: bigint): void {
    const right = this.#values.value({ op: "const", value });
    this.#builder.write({ op: "alu", operator: "+", bits: 64, to, left: to, right });
  }

  #emit(statement: Statement & { readonly op: "emit" }): void {
    const builder = this.#builder;
    const values = this.#values;
    const outer = values.record;
    builder.write({ op: "map", to: 1, map: statement.ring });
    builder.write({ op: "move", to: 2, from: { imm: statement.bytes } });
    builder.write({ op: "move", to: 3, from: { imm: 0 } });
    values.call(Helper.ringReserve, 3);
    const record = this.#inNewRegister(resultRegister);
    const [fill, lost, after] = [builder.block(), builder.block(), builder.block()];
    builder.branch({
      operator: "!=",
      signed: false,
      bits: 64,
      left: record,
      right: { imm: 0 },
      yes: fill,
      no: lost,
    });
    const known = values.known.copy();
    builder.start(fill);
    values.record = record;
    this.body(statement.body);
    values.record = outer;
    builder.write({ op: "move", to: 1, from: record });
    builder.write({ op: "move", to: 2, from: { imm: 0 } });
    values.call(Helper.ringSubmit, 2);
    builder.jump(after);
    builder.start(lost);
    this.#countLoss(statement.losses, statement.site, after);
    builder.start(after);
    values.known = known;
    values.known.afterCall();
  }

  #countLoss(losses: number, site: number, after: Block): void {
    const builder = this.#builder;
    const add = (base: Reg) => {
      const value = this.#inNewRegister({ imm: 1 });
      builder.write({ op: "atomicAdd", bytes: 8, address: { base, offset: 0 }, value });
    };
    if (this.#handler.maps[losses]?.max === 1) {
      // All sites' counters in one value, whose address needs no look-up.
      const base = builder.reg();
      builder.write({ op: "mapValue", to: base, map: losses, offset: site * 8 });
      add(base);
      return;
    }
    const place = builder.scratch();
    builder.write({ op: "store", bytes: 4, address: { place, offset: 0 }, value: { imm: site } });
    builder.write({ op: "map", to: 1, map: losses });
    builder.write({ op: "frame", to: 2, place, offset: 0 });
    this.#values.call(Helper.mapLookup, 2);
    const found = this.#inNewRegister(resultRegister);
    const count = builder.block();
    builder.branch({
      operator: "==",
      signed: false,
      bits: 64,
      left: found,
      right: { imm: 0 },
      yes: after,
      no: count,
    });
    builder.start(count);
    add(found);
  }
}

function baseOf(expr: Expr): Expr {
  return expr.op === "binary" && (expr.operator === "+" || expr.operator === "-")
    ? baseOf(expr.left)
    : expr;
}

function givesOwnAddress(expr: Expr): boolean {
  switch (expr.op) {
    case "slot":
    case "record":
      return true;
    case "binary":
      return givesOwnAddress(expr.left) || givesOwnAddress(expr.right);
    case "select":
      return givesOwnAddress(expr.then) || givesOwnAddress(expr.else);
    default:
      return false;
  }
}

function anyAssignment(body: Body, matches: (value: Expr, local: LocalId) => boolean): boolean {
  return body.some((statement) => {
    switch (statement.op) {
      case "assign":
        return matches(statement.value, statement.local);
      case "if":
        return anyAssignment(statement.then, matches) || anyAssignment(statement.else, matches);
      case "for":
      case "emit":
        return anyAssignment(statement.body, matches);
      default:
        return false;
    }
  });
}
