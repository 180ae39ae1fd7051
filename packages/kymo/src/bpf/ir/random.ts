/**
 * Random handlers that are well typed: what the verifier may be expected to accept. The same seed gives the same one.
 *
 * They use a fixed set of maps, so that a fuzzer can make these once. The last statements store every local in the map
 * `out`, where a wrong result can't hide.
 */
import {
  type BinaryOperator,
  type Block,
  type CompareOperator,
  type Expr,
  type Handler,
  type IntType,
  i8,
  i16,
  i32,
  i64,
  type MapSpec,
  type SourceAt,
  type Statement,
  u8,
  u16,
  u32,
  u64,
} from "../ir.ts";

const array = { kind: "array", keyBytes: 4, max: 1 } as const;
export const maps: {
  readonly [name in "out" | "hash" | "array" | "small" | "ring" | "losses"]: MapSpec;
} = {
  out: { ...array, name: "out", valueBytes: 256 },
  hash: { kind: "hash", name: "hash", keyBytes: 4, valueBytes: 16, max: 64 },
  array: { ...array, name: "array", valueBytes: 16, max: 4 },
  small: { kind: "hash", name: "small", keyBytes: 8, valueBytes: 8, max: 4 },
  ring: { kind: "ring", name: "ring", keyBytes: 0, valueBytes: 0, max: 1 << 16 },
  losses: { ...array, name: "losses", valueBytes: 64 },
};
const mapList = Object.values(maps);
const indexOf = (map: MapSpec) => mapList.indexOf(map);

/** What the context pointer points at, for programs of the type "syscall". */
export const contextBytes = 64;
const slotBytes = 16;
const types: readonly IntType[] = [u8, u16, u32, u64, i8, i16, i32, i64];
const operators: readonly BinaryOperator[] = [..."+-*/%&|^", "<<", ">>"] as BinaryOperator[];
const comparisons: readonly CompareOperator[] = ["==", "!=", "<", "<=", ">", ">="];
const edges: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  8n,
  -1n,
  0x7fn,
  0x80n,
  0xffn,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  -0x8000_0000n,
  1n << 62n,
  -(1n << 63n),
  (1n << 63n) - 1n,
];

/** mulberry32: 32 bits of state, good enough to choose statements. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
  /** 0 … n − 1. */
  below(n: number): number {
    return this.next() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => (this.chance(30) ? 0 : this.below(256)));
  }
}

export interface RandomProgram {
  readonly handler: Handler;
  readonly context: Uint8Array;
}

export function randomProgram(seed: number): RandomProgram {
  const random = new Random(seed);
  return { handler: new Generator(random, seed).handler(), context: random.bytes(contextBytes) };
}

class Generator {
  readonly #random: Random;
  readonly #seed: number;
  readonly #slots: number;
  /** Assigned on every way to here; scalars. */
  #readable: number[] = [];
  /** Of loops: readable, not assignable. */
  readonly #fixed = new Set<number>();
  #locals = 0;
  /** Statements that may still be written. */
  #budget: number;
  /** Rounds of the loops around, multiplied. */
  #rounds = 1;
  #loops = 0;
  #inEmit = false;
  #text = "";

  constructor(random: Random, seed: number) {
    this.#random = random;
    this.#seed = seed;
    this.#slots = 1 + random.below(3);
    this.#budget = 4 + random.below(30);
  }

  handler(): Handler {
    const body: Statement[] = [];
    for (let slot = 0; slot < this.#slots; slot++)
      body.push(
        this.#placed({
          op: "zero",
          to: { op: "slot", slot, offset: 0 },
          offset: 0,
          bytes: slotBytes,
        }),
      );
    const count = 1 + this.#random.below(10);
    for (let i = 0; i < count; i++) body.push(this.#newLocal(2));
    body.push(...this.#block(1000));
    const out: Expr = { op: "mapValue", map: indexOf(maps.out), offset: 0 };
    for (const [i, local] of this.#readable.slice(0, 32).entries())
      body.push(
        this.#placed({
          op: "store",
          type: u64,
          to: out,
          offset: i * 8,
          value: { op: "local", local },
        }),
      );
    return {
      name: `random_${this.#seed}`,
      files: [{ path: `random-${this.#seed}.ts`, text: this.#text }],
      maps: mapList,
      slots: Array.from({ length: this.#slots }, (_, i) => ({
        bytes: slotBytes,
        name: `slot${i}`,
      })),
      localCount: this.#locals,
      body,
      result: this.#constant(),
    };
  }

  /** One line of "source" a statement. */
  #placed<T extends Statement>(statement: T): T {
    const at: SourceAt = { file: 0, offset: this.#text.length };
    this.#text += `${statement.op}\n`;
    return { ...statement, at };
  }

  #newLocal(depth: number): Statement {
    const value = this.#expr(depth);
    const local = this.#locals++;
    this.#readable.push(local);
    return this.#placed({ op: "assign", local, value });
  }

  #block(most: number): Block {
    const body: Statement[] = [];
    const readable = [...this.#readable];
    const count = 1 + this.#random.below(Math.min(most, 8));
    for (let i = 0; i < count && this.#budget > 0; i++) body.push(...this.#statement());
    this.#readable = most >= 1000 ? this.#readable : readable;
    return body;
  }

  #statement(): Statement[] {
    this.#budget--;
    const random = this.#random;
    const kind = random.below(100);
    if (kind < 25) return [this.#assign()];
    if (kind < 35) return [this.#store()];
    if (kind < 40) return [this.#atomicAdd()];
    if (kind < 55) return [this.#if()];
    if (kind < 65) return this.#rounds <= 3 && !this.#inEmit ? [this.#for()] : [this.#assign()];
    if (kind < 75) return this.#lookup();
    if (kind < 82) return this.#change();
    if (kind < 86) return this.#inEmit ? [this.#assign()] : [this.#emit()];
    if (kind < 90) return this.#loops > 0 && !this.#inEmit ? [this.#leave()] : [this.#newLocal(3)];
    if (kind < 92 && !this.#inEmit) return [this.#return()];
    return [this.#newLocal(3)];
  }

  #assign(): Statement {
    const free = this.#readable.filter((local) => !this.#fixed.has(local));
    if (free.length === 0) return this.#newLocal(3);
    return this.#placed({ op: "assign", local: this.#random.pick(free), value: this.#expr(3) });
  }

  #slot(offset = 0): Expr {
    return { op: "slot", slot: this.#random.below(this.#slots), offset };
  }

  /** Memory of the program's own and of arrays of one, and a place in it for the type. */
  #memory(type: IntType): { to: Expr; offset: number } {
    const place = (bytes: number) => this.#aligned(type, bytes);
    return this.#random.chance(60)
      ? { to: this.#slot(), offset: place(slotBytes) }
      : { to: { op: "mapValue", map: indexOf(maps.out), offset: 0 }, offset: place(256) };
  }

  #aligned(type: IntType, bytes: number): number {
    return this.#random.below(bytes / (type.bits / 8)) * (type.bits / 8);
  }

  #store(): Statement {
    const type = this.#random.pick(types);
    return this.#placed({ op: "store", type, ...this.#memory(type), value: this.#expr(3) });
  }

  #atomicAdd(): Statement {
    const bits = this.#random.pick([32, 64] as const);
    const to: Expr = { op: "mapValue", map: indexOf(maps.out), offset: 0 };
    const offset = this.#aligned(bits === 32 ? u32 : u64, 256);
    return this.#placed({ op: "atomicAdd", bits, to, offset, value: this.#expr(2) });
  }

  #if(): Statement {
    const at = this.#placed({ op: "if", condition: this.#condition(3), then: [], else: [] });
    const then = this.#block(4);
    return { ...at, then, else: this.#random.chance(50) ? this.#block(4) : [] };
  }

  #for(): Statement {
    const random = this.#random;
    const most = 1 + random.below(6);
    const from = random.chance(70) ? constant(BigInt(random.below(4))) : this.#expr(1);
    const to = random.chance(60) ? constant(BigInt(random.below(12))) : this.#expr(2);
    const step = BigInt(1 + random.below(3));
    const local = this.#locals++;
    const signed = random.chance(50);
    const at = this.#placed({ op: "for", local, from, to, step, signed, most, body: [] });
    this.#readable.push(local);
    this.#fixed.add(local);
    this.#rounds *= most;
    this.#loops++;
    const body = this.#block(4);
    this.#loops--;
    this.#rounds /= most;
    return { ...at, body };
  }

  #leave(): Statement {
    const leave: Statement = this.#placed({
      op: this.#random.pick(["break", "continue"] as const),
    });
    return this.#placed({ op: "if", condition: this.#condition(2), then: [leave], else: [] });
  }

  #return(): Statement {
    const leave = this.#placed({ op: "return", value: this.#expr(2) });
    return this.#placed({ op: "if", condition: this.#condition(2), then: [leave], else: [] });
  }

  #key(map: MapSpec): { write: Statement; at: Expr } {
    const at = this.#slot();
    const type = map.keyBytes === 4 ? u32 : u64;
    // Few keys, so that they are found again.
    const value: Expr = {
      op: "binary",
      operator: "&",
      signed: false,
      left: this.#expr(1),
      right: constant(7n),
    };
    return { write: this.#placed({ op: "store", type, to: at, offset: 0, value }), at };
  }

  #lookup(): Statement[] {
    const random = this.#random;
    const map = random.pick([maps.hash, maps.array, maps.small]);
    const key = this.#key(map);
    const pointer = this.#locals++;
    const value: Expr = { op: "local", local: pointer };
    const find: Statement = this.#placed({
      op: "assign",
      local: pointer,
      value: { op: "call", helper: 1, args: [{ op: "map", map: indexOf(map) }, key.at] },
    });
    const result = this.#newLocal(1) as Statement & { readonly op: "assign" };
    const isThere = random.chance(50) ? value : compare("!=", false, value, constant(0n));
    const then: Statement[] = [];
    const uses = 1 + random.below(4);
    for (let i = 0; i < uses; i++) {
      const type = random.pick(types);
      const offset = this.#aligned(type, map.valueBytes);
      const kind = random.below(3);
      if (kind === 0)
        then.push(this.#placed({ op: "store", type, to: value, offset, value: this.#expr(2) }));
      else if (kind === 1)
        then.push(
          this.#placed({
            op: "assign",
            local: result.local,
            value: { op: "load", type, memory: "direct", from: value, offset },
          }),
        );
      else
        then.push(
          this.#placed({
            op: "atomicAdd",
            bits: 64,
            to: value,
            offset: offset & ~7,
            value: this.#expr(1),
          }),
        );
    }
    if (random.chance(30)) then.push(...this.#block(2));
    const test = this.#placed({ op: "if", condition: isThere, then, else: [] } as const);
    return [key.write, find, result, test];
  }

  #change(): Statement[] {
    const random = this.#random;
    const map = random.pick([maps.hash, maps.array, maps.small]);
    const key = this.#key(map);
    const target: Expr = { op: "map", map: indexOf(map) };
    const call: Expr = random.chance(70)
      ? {
          op: "call",
          helper: 2,
          args: [target, key.at, this.#slot(), constant(BigInt(random.below(3)))],
        }
      : { op: "call", helper: 3, args: [target, key.at] };
    if (random.chance(50)) return [key.write, this.#placed({ op: "eval", value: call })];
    const local = this.#locals++;
    this.#readable.push(local);
    return [key.write, this.#placed({ op: "assign", local, value: call })];
  }

  #emit(): Statement {
    const random = this.#random;
    const bytes = 8 * (1 + random.below(24));
    const at = this.#placed({
      op: "emit",
      ring: indexOf(maps.ring),
      losses: indexOf(maps.losses),
      site: random.below(8),
      bytes,
      body: [],
    } as const);
    this.#inEmit = true;
    const body: Statement[] = [];
    const record: Expr = { op: "record" };
    for (let offset = 0; offset < bytes; offset += 8) {
      if (random.chance(15)) {
        const zeroed = Math.min(bytes - offset, 8 * (1 + random.below(20)));
        body.push(this.#placed({ op: "zero", to: record, offset, bytes: zeroed }));
        offset += zeroed - 8;
        continue;
      }
      const type = random.pick(types);
      if (type.bits < 64) body.push(this.#placed({ op: "zero", to: record, offset, bytes: 8 }));
      body.push(this.#placed({ op: "store", type, to: record, offset, value: this.#expr(2) }));
    }
    if (random.chance(20)) body.push(...this.#block(3));
    this.#inEmit = false;
    return { ...at, body };
  }

  #constant(): bigint {
    const random = this.#random;
    if (random.chance(60)) return random.pick(edges);
    const low = BigInt(random.next());
    return random.chance(50)
      ? low & 0xffn
      : BigInt.asIntN(64, low | (BigInt(random.next()) << 32n));
  }

  #condition(depth: number): Expr {
    const random = this.#random;
    const kind = random.below(10);
    if (depth > 0 && kind < 3)
      return {
        op: random.pick(["and", "or"] as const),
        left: this.#condition(depth - 1),
        right: this.#condition(depth - 1),
      };
    if (depth > 0 && kind === 3) return { op: "not", value: this.#condition(depth - 1) };
    // The same few tests again and again, so that some are decided by earlier ones.
    if (kind < 6 && this.#readable.length > 0) {
      const local = this.#readable[random.below(Math.min(2, this.#readable.length))]!;
      const operator = random.pick(["==", "!="] as const);
      return compare(operator, false, { op: "local", local }, constant(BigInt(random.below(2))));
    }
    if (kind < 9)
      return compare(
        random.pick(comparisons),
        random.chance(50),
        this.#expr(depth - 1),
        this.#expr(depth - 1),
      );
    return this.#expr(depth);
  }

  #expr(depth: number): Expr {
    const random = this.#random;
    const kind = depth <= 0 ? random.below(30) : random.below(100);
    if (kind < 12 && this.#readable.length > 0)
      return { op: "local", local: random.pick(this.#readable) };
    if (kind < 20) return constant(this.#constant());
    if (kind < 30) return this.#load();
    const operand = () => this.#expr(depth - 1);
    if (kind < 62)
      return {
        op: "binary",
        operator: random.pick(operators),
        signed: random.chance(50),
        left: operand(),
        right: operand(),
      };
    if (kind < 80) return { op: "cast", type: random.pick(types), value: operand() };
    if (kind < 84) return { op: random.pick(["negate", "invert"] as const), value: operand() };
    if (kind < 92) return this.#condition(depth);
    return {
      op: "select",
      condition: this.#condition(depth - 1),
      then: operand(),
      else: operand(),
    };
  }

  #load(): Expr {
    const random = this.#random;
    const type = random.pick(types);
    const kind = random.below(10);
    if (kind < 5)
      return {
        op: "load",
        type,
        memory: "direct",
        from: { op: "context" },
        offset: this.#aligned(type, contextBytes),
      };
    if (kind < 6) {
      const offset = this.#aligned(type, slotBytes);
      return { op: "load", type, memory: "kernel", from: this.#slot(), offset };
    }
    if (kind < 7) {
      // An index that the verifier can bound.
      const index: Expr = {
        op: "binary",
        operator: "&",
        signed: false,
        left:
          this.#readable.length > 0
            ? { op: "local", local: random.pick(this.#readable) }
            : constant(3n),
        right: constant(63n),
      };
      const value: Expr = { op: "mapValue", map: indexOf(maps.out), offset: 0 };
      const from: Expr = { op: "binary", operator: "+", signed: false, left: value, right: index };
      return { op: "load", type: u8, memory: "direct", from, offset: random.below(100) };
    }
    const { to, offset } = this.#memory(type);
    return { op: "load", type, memory: "direct", from: to, offset };
  }
}

function constant(value: bigint): Expr {
  return { op: "const", value };
}

function compare(operator: CompareOperator, signed: boolean, left: Expr, right: Expr): Expr {
  return { op: "compare", operator, signed, left, right };
}
