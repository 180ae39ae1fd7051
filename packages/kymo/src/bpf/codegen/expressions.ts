/** Expressions to instructions: constants folded, offsets fused with their loads, nothing computed twice. */
import type { Expr, Handler, IntType, LocalId } from "../ir.ts";
import { u32 } from "../ir.ts";
import type { Builder } from "./builder.ts";
import { Conditions, type Values } from "./conditions.ts";
import { constantOf, fitsImmediate, machineOperator, withConstant } from "./constants.ts";
import type { Isa } from "./encode.ts";
import { Known, keyOf } from "./known.ts";
import {
  type Address,
  type AluOperator,
  type Block,
  contextRegister,
  isCommutative,
  type Operand,
  type Reg,
  resultRegister,
  type StackPlace,
} from "./machine.ts";
import { Helper } from "./opcodes.ts";
import { isWithin, type Ranges, rangeOfType } from "./range.ts";

/** Kernel functions that return a C bool: only the low byte of r0 is theirs. */
const boolFunctions: ReadonlySet<string> = new Set(["bpf_session_is_return"]);

export class Expressions implements Values {
  readonly #builder: Builder;
  readonly #ranges: Ranges;
  readonly #handler: Handler;
  readonly #context: Reg;
  readonly #isa: Isa;
  readonly #conditions: Conditions;
  readonly #locals = new Map<LocalId, Reg>();
  readonly #constants = new Map<LocalId, bigint>();
  readonly #slots = new Map<number, StackPlace>();
  known: Known = new Known();
  /** Start of the record being built. */
  record: Reg | undefined;

  constructor(builder: Builder, handler: Handler, ranges: Ranges, isa: Isa) {
    this.#builder = builder;
    this.#isa = isa;
    this.#conditions = new Conditions(builder, this, ranges);
    this.#handler = handler;
    this.#ranges = ranges;
    this.#context = builder.reg();
    builder.write({ op: "move", to: this.#context, from: contextRegister });
  }

  local(local: LocalId): Reg {
    let reg = this.#locals.get(local);
    if (reg === undefined) {
      reg = this.#builder.reg();
      this.#locals.set(local, reg);
    }
    return reg;
  }

  assign(local: LocalId, value: Expr): void {
    const constant = this.constant(value);
    const isOnly = this.#ranges.assignments(local) === 1;
    const key = isOnly && value.op !== "mapValue" ? keyOf(value) : undefined;
    if (constant !== undefined && isOnly) {
      this.#constants.set(local, constant);
    } else if (key !== undefined && this.known.find(key) === undefined) {
      this.#compute(value, this.local(local));
      this.known.add(key, this.local(local), value);
    } else {
      this.into(value, this.local(local));
    }
    this.known.afterAssignment(local);
  }

  /** The value of an expression that is the same in every run. */
  constant(expr: Expr): bigint | undefined {
    return constantOf(expr, this.#constants);
  }

  value(expr: Expr): Operand {
    const constant = this.constant(expr);
    if (constant !== undefined && fitsImmediate(constant)) return { imm: Number(constant) };
    return this.reg(expr);
  }

  /** In a register that nobody else writes to while the expression around it is evaluated. */
  reg(expr: Expr): Reg {
    if (expr.op === "local" && !this.#constants.has(expr.local)) return this.local(expr.local);
    if (expr.op === "context") return this.#context;
    if (expr.op === "record") return this.#recordRegister();
    const key = keyOf(expr);
    const known = key === undefined ? undefined : this.known.find(key);
    if (known !== undefined && !(expr.op === "mapValue" && expr.offset !== 0)) return known;
    const to = this.#builder.reg();
    this.#compute(expr, to);
    if (key !== undefined && !(expr.op === "mapValue" && expr.offset !== 0))
      this.known.add(key, to, expr);
    return to;
  }

  into(expr: Expr, to: Reg): void {
    if (keyOf(expr) === undefined || expr.op === "mapValue") this.#compute(expr, to);
    else this.#builder.write({ op: "move", to, from: this.reg(expr) });
  }

  #compute(expr: Expr, to: Reg): void {
    const builder = this.#builder;
    const outer = builder.at;
    builder.at = expr.at ?? outer;
    const constant = this.constant(expr);
    if (constant !== undefined) {
      if (fitsImmediate(constant))
        builder.write({ op: "move", to, from: { imm: Number(constant) } });
      else builder.write({ op: "wide", to, value: constant });
    } else {
      this.#operation(expr, to);
    }
    builder.at = outer;
  }

  #operation(expr: Expr, to: Reg): void {
    const builder = this.#builder;
    switch (expr.op) {
      case "local":
      case "context":
      case "record":
        builder.write({ op: "move", to, from: this.reg(expr) });
        return;
      case "binary":
        this.#binary(expr, to, 64);
        return;
      case "negate":
        builder.write({ op: "negate", to, from: this.reg(expr.value) });
        return;
      case "invert":
        this.#alu("^", 64, to, this.reg(expr.value), { imm: -1 });
        return;
      case "compare":
      case "not":
      case "and":
      case "or":
        this.#conditions.truth(expr, to);
        return;
      case "select":
        this.#conditions.select(expr, to);
        return;
      case "cast":
        this.#cast(expr.type, expr.value, to);
        return;
      case "slot":
        builder.write({
          op: "frame",
          to,
          place: this.place(expr.slot),
          offset: expr.offset,
        });
        return;
      case "map":
        builder.write({ op: "map", to, map: expr.map });
        return;
      case "mapValue":
        builder.write({ op: "mapValue", to, map: expr.map, offset: expr.offset });
        return;
      case "load":
        this.#load(expr, to);
        return;
      case "call":
        this.#call(expr.helper, expr.args, to);
        return;
      case "kfunc":
        this.#call(expr.name, expr.args, to);
        if (boolFunctions.has(expr.name)) this.#alu("&", 64, to, to, { imm: 0xff });
        return;
    }
  }

  place(slot: number): StackPlace {
    let place = this.#slots.get(slot);
    if (place === undefined) {
      const { bytes, name } = this.#handler.slots[slot]!;
      place = this.#builder.place(bytes, name);
      this.#slots.set(slot, place);
    }
    return place;
  }

  #recordRegister(): Reg {
    if (this.record === undefined) throw new Error("there is no record outside of emit");
    return this.record;
  }

  // Arithmetic

  #alu(operator: AluOperator, bits: 32 | 64, to: Reg, left: Reg, right: Operand): void {
    const builder = this.#builder;
    if ((operator === "s/" || operator === "s%") && this.#isa < 4) {
      this.#signedDivision(operator, to, left, right);
      return;
    }
    if (right !== to || left === to || isCommutative(operator)) {
      builder.write({ op: "alu", operator, bits, to, left, right });
      return;
    }
    // to = left ∘ to: the move of `left` must not overwrite it.
    const result = builder.reg();
    builder.write({ op: "alu", operator, bits, to: result, left, right });
    builder.write({ op: "move", to, from: result });
  }

  /** Without instructions for it: of magnitudes, with the signs (0 or −1) put in by (x ^ sign) − sign. */
  #signedDivision(operator: "s/" | "s%", to: Reg, left: Reg, right: Operand): void {
    const builder = this.#builder;
    const alu = (operator: AluOperator, left: Reg, right: Operand): Reg => {
      const result = builder.reg();
      builder.write({ op: "alu", operator, bits: 64, to: result, left, right });
      return result;
    };
    const sign = (of: Reg) => alu("s>>", of, { imm: 63 });
    const signed = (magnitude: Reg, sign: Reg) => alu("-", alu("^", magnitude, sign), sign);
    const divisor = builder.reg();
    builder.write({ op: "move", to: divisor, from: right });
    const [leftSign, rightSign] = [sign(left), sign(divisor)];
    const quotient = alu(
      operator === "s/" ? "/" : "%",
      signed(left, leftSign),
      signed(divisor, rightSign),
    );
    const resultSign = operator === "s/" ? alu("^", leftSign, rightSign) : leftSign;
    builder.write({ op: "move", to, from: signed(quotient, resultSign) });
  }

  #binary(expr: Expr & { readonly op: "binary" }, to: Reg, bits: 32 | 64): void {
    let { left, right } = expr;
    const isSymmetric = "+*&|^".includes(expr.operator);
    if (isSymmetric && this.constant(left) !== undefined) [left, right] = [right, left];
    const constant = this.constant(right);
    if (constant !== undefined) {
      this.#withConstant(expr, left, constant, to, bits);
      return;
    }
    const leftReg = this.reg(left);
    this.#alu(machineOperator(expr), bits, to, leftReg, this.value(right));
  }

  /** `left ∘ constant`: powers of two, neutral elements, and what fits the instruction. */
  #withConstant(
    expr: Expr & { readonly op: "binary" },
    left: Expr,
    constant: bigint,
    to: Reg,
    bits: 32 | 64,
  ): void {
    const builder = this.#builder;
    const from = this.reg(left);
    const isUnsigned = !expr.signed || this.#ranges.of(left).min >= 0n;
    const simple = withConstant(machineOperator(expr), constant, bits, isUnsigned);
    switch (simple.op) {
      case "give":
        builder.write({ op: "move", to, from: { imm: 0 } });
        return;
      case "same":
        if (bits === 64) builder.write({ op: "move", to, from });
        else builder.write({ op: "extend", type: u32, to, from });
        return;
      case "negate":
        builder.write({ op: "negate", to, from });
        return;
      case "extend":
        builder.write({ op: "extend", type: u32, to, from });
        return;
      case "alu":
        this.#alu(simple.operator, simple.bits, to, from, this.#immediate(simple.value));
    }
  }

  #immediate(value: bigint): Operand {
    if (fitsImmediate(value)) return { imm: Number(value) };
    const to = this.#builder.reg();
    this.#builder.write({ op: "wide", to, value });
    return to;
  }

  #cast(type: IntType, value: Expr, to: Reg): void {
    if (type.bits === 64 || isWithin(this.#ranges.of(value), rangeOfType(type))) {
      this.into(value, to);
      return;
    }
    const inner = this.withoutCasts(value, type.bits);
    if (inner.op === "load" && inner.memory === "direct" && inner.type.bits === type.bits) {
      this.into({ ...inner, type }, to);
      return;
    }
    if (type.bits === 32 && !type.signed && inner.op === "binary" && isLowOnly(inner)) {
      this.#binary(this.#lowOperands(inner), to, 32);
      return;
    }
    const from = this.reg(inner);
    if (!type.signed && type.bits < 32) {
      this.#alu("&", 64, to, from, { imm: 2 ** type.bits - 1 });
      return;
    }
    this.#builder.write({ op: "extend", type, to, from });
  }

  #lowOperands(expr: Expr & { readonly op: "binary" }): Expr & { readonly op: "binary" } {
    const right = expr.operator === "<<" ? expr.right : this.withoutCasts(expr.right, 32);
    return { ...expr, left: this.withoutCasts(expr.left, 32), right };
  }

  /** The same in its low `bits`. */
  withoutCasts(expr: Expr, bits: number): Expr {
    return expr.op === "cast" && expr.type.bits >= bits
      ? this.withoutCasts(expr.value, bits)
      : expr;
  }

  /** Goes to `yes` when the value isn't 0. @returns what is known at the start of each. */
  condition(expr: Expr, yes: Block, no: Block): { readonly yes: Known; readonly no: Known } {
    return this.#conditions.condition(expr, yes, no);
  }

  // Memory

  /** `expr + offset` as an instruction's address. */
  address(expr: Expr, offset: number): Address {
    const constant = expr.op === "binary" ? this.constant(expr.right) : undefined;
    if (expr.op === "binary" && constant !== undefined && "+-".includes(expr.operator)) {
      const sum = offset + Number(expr.operator === "+" ? constant : -constant);
      if (fitsOffset(sum)) return this.address(expr.left, sum);
    }
    if (expr.op === "slot") return { place: this.place(expr.slot), offset: expr.offset + offset };
    if (expr.op === "mapValue" && fitsOffset(expr.offset + offset))
      return { base: this.reg({ ...expr, offset: 0 }), offset: expr.offset + offset };
    if (fitsOffset(offset)) return { base: this.reg(expr), offset };
    const base = this.#builder.reg();
    this.#alu("+", 64, base, this.reg(expr), { imm: offset });
    return { base, offset: 0 };
  }

  #load(expr: Expr & { readonly op: "load" }, to: Reg): void {
    const { type, memory } = expr;
    const builder = this.#builder;
    if (memory === "direct") {
      const address = this.address(expr.from, expr.offset);
      // The kernel lets no probe write to its context.
      const isConstant = expr.from.op === "context";
      builder.write({ op: "load", type, to, address, isConstant });
      return;
    }
    // The helper zeroes what it could not read.
    const from = this.address(expr.from, expr.offset);
    const place = builder.scratch();
    this.addressInto(from, 3);
    builder.write({ op: "frame", to: 1, place, offset: 0 });
    builder.write({ op: "move", to: 2, from: { imm: type.bits / 8 } });
    this.call(memory === "user" ? Helper.readUser : Helper.readKernel, 3);
    builder.write({ op: "load", type, to, address: { place, offset: 0 } });
  }

  addressInto(address: Address, to: Reg): void {
    if ("place" in address) {
      this.#builder.write({ op: "frame", to, ...address });
      return;
    }
    const { base, offset } = address;
    if (offset === 0) this.#builder.write({ op: "move", to, from: base });
    else this.#alu("+", 64, to, base, { imm: offset });
  }

  // Calls

  #call(callee: number | string, args: readonly Expr[], to: Reg): void {
    // What takes more than one instruction first: it may call others, and they want r1 … r5 too.
    const values = args.map((arg) => (this.#isSimple(arg) ? undefined : this.#argument(arg)));
    for (const [i, arg] of args.entries()) {
      const value = values[i];
      if (value === undefined) this.into(arg, i + 1);
      else this.addressInto(value, i + 1);
    }
    this.call(callee, args.length);
    this.#builder.write({ op: "move", to, from: resultRegister });
  }

  #argument(arg: Expr): Address {
    if (arg.op !== "binary" || !"+-".includes(arg.operator))
      return { base: this.reg(arg), offset: 0 };
    return this.address(arg, 0);
  }

  #isSimple(expr: Expr): boolean {
    return (
      this.constant(expr) !== undefined ||
      ["local", "slot", "map", "mapValue", "context", "record"].includes(expr.op)
    );
  }

  /** Arguments are in their registers; the result will be in r0. */
  call(callee: number | string, args: number): void {
    this.#builder.write({ op: "call", callee, args });
    this.known.afterCall();
  }

  /** For stores: the value in its low bits. */
  stored(value: Expr, bytes: 1 | 2 | 4 | 8): Operand {
    const constant = this.constant(value);
    if (constant !== undefined && bytes < 8)
      return { imm: Number(BigInt.asIntN(Math.min(32, bytes * 8), constant)) };
    return this.value(this.withoutCasts(value, bytes * 8));
  }
}

function fitsOffset(offset: number): boolean {
  return offset >= -0x8000 && offset <= 0x7fff;
}

/** The low 32 bits of the result depend on nothing but the low 32 bits of the operands. */
function isLowOnly(expr: Expr & { readonly op: "binary" }): boolean {
  if (expr.operator !== "<<") return "+-*&|^".includes(expr.operator);
  return expr.right.op === "const" && expr.right.value >= 0n && expr.right.value < 32n;
}
