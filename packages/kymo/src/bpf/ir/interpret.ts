/**
 * What a handler means, run in TypeScript: exact and slow. The compiler is tested against it, and it against the kernel.
 *
 * Everything that a program can see is modelled: context, slots, maps, the ring. What would differ from run to run
 * (clocks, ids) is asked of the environment.
 */
import type { Block, Expr, Handler, MapSpec, Statement } from "../ir.ts";
import { binary, castTo, compare, wordOf } from "./arithmetic.ts";
import { hex, type MapModel, Memory, readWord, writeWord } from "./memory.ts";

export interface Environment {
  /** What the context pointer points at. */
  readonly context: Uint8Array;
  /** State of the maps; changed by the run. */
  readonly maps: ReadonlyMap<MapSpec, MapModel>;
  /** Helpers that the interpreter has no model of, by number; kernel functions by name. */
  readonly call?: (callee: number | string, args: readonly bigint[], memory: Memory) => bigint;
  /** Whether the ring has no room for so many bytes. Default: it always has. */
  readonly isFull?: (bytes: number) => boolean;
}

/** @returns the program's result, 64 bits. @throws RangeError when the handler does what no verifier would accept. */
export function interpret(handler: Handler, environment: Environment): bigint {
  return new Run(handler, environment).run();
}

type Signal = "break" | "continue" | { readonly result: bigint };

class Run {
  readonly #handler: Handler;
  readonly #environment: Environment;
  readonly #memory = new Memory();
  readonly #locals: (bigint | undefined)[];
  readonly #slots: readonly Uint8Array[];
  readonly #maps: readonly MapModel[];
  #record: Uint8Array | undefined;

  constructor(handler: Handler, environment: Environment) {
    this.#handler = handler;
    this.#environment = environment;
    this.#locals = new Array(handler.localCount);
    this.#slots = handler.slots.map((slot) => new Uint8Array(slot.bytes));
    this.#maps = handler.maps.map((spec) => {
      const map = environment.maps.get(spec);
      if (map === undefined) throw new RangeError(`no state for the map ${spec.name}`);
      return map;
    });
  }

  run(): bigint {
    const signal = this.#block(this.#handler.body);
    return typeof signal === "object" ? signal.result : wordOf(this.#handler.result);
  }

  #block(block: Block): Signal | undefined {
    for (const statement of block) {
      const signal = this.#statement(statement);
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  #statement(statement: Statement): Signal | undefined {
    switch (statement.op) {
      case "assign":
        this.#locals[statement.local] = this.#value(statement.value);
        return undefined;
      case "store": {
        const value = this.#value(statement.value);
        const { bits } = statement.type;
        writeWord(this.#bytes(statement.to, statement.offset, bits / 8), bits, value);
        return undefined;
      }
      case "zero":
        this.#bytes(statement.to, statement.offset, statement.bytes).fill(0);
        return undefined;
      case "atomicAdd": {
        const value = this.#value(statement.value);
        const bytes = this.#bytes(statement.to, statement.offset, statement.bits / 8);
        const sum = readWord(bytes, { bits: statement.bits, signed: false }) + value;
        writeWord(bytes, statement.bits, sum);
        return undefined;
      }
      case "eval":
        this.#value(statement.value);
        return undefined;
      case "if":
        return this.#block(
          this.#value(statement.condition) !== 0n ? statement.then : statement.else,
        );
      case "for":
        return this.#for(statement);
      case "break":
      case "continue":
        return statement.op;
      case "return":
        return { result: this.#value(statement.value) };
      case "emit":
        this.#emit(statement);
        return undefined;
    }
  }

  #for(statement: Statement & { readonly op: "for" }): Signal | undefined {
    const { local, signed, step, most } = statement;
    let index = this.#value(statement.from);
    const to = this.#value(statement.to);
    this.#locals[local] = index;
    for (let rounds = 0; rounds < most && compare("<", signed, index, to); rounds++) {
      const signal = this.#block(statement.body);
      if (typeof signal === "object") return signal;
      if (signal === "break") break;
      index = wordOf(index + step);
      this.#locals[local] = index;
    }
    return undefined;
  }

  #emit(statement: Statement & { readonly op: "emit" }): void {
    const { ring, losses, site, bytes } = statement;
    if (this.#environment.isFull?.(bytes) === true) {
      const map = this.#maps[losses]!;
      const key = new Uint8Array(4);
      // One value for all sites, or one for each.
      if (map.spec.max > 1) writeWord(key, 32, BigInt(site));
      const value = map.lookup(key)?.subarray(map.spec.max > 1 ? 0 : site * 8);
      if (value !== undefined)
        writeWord(value, 64, readWord(value, { bits: 64, signed: false }) + 1n);
      return;
    }
    const outer = this.#record;
    this.#record = new Uint8Array(bytes);
    this.#block(statement.body);
    this.#maps[ring]!.records.push(this.#record);
    this.#record = outer;
  }

  #bytes(to: Expr, offset: number, length: number): Uint8Array {
    return this.#memory.must(this.#value(to) + BigInt(offset), length);
  }

  #value(expr: Expr): bigint {
    switch (expr.op) {
      case "const":
        return wordOf(expr.value);
      case "local": {
        const value = this.#locals[expr.local];
        if (value === undefined) throw new RangeError(`local ${expr.local} is read too early`);
        return value;
      }
      case "binary": {
        const left = this.#value(expr.left);
        return binary(expr.operator, expr.signed, left, this.#value(expr.right));
      }
      case "negate":
        return wordOf(-this.#value(expr.value));
      case "invert":
        return ~this.#value(expr.value);
      case "compare": {
        const left = this.#value(expr.left);
        return BigInt(compare(expr.operator, expr.signed, left, this.#value(expr.right)));
      }
      case "not":
        return BigInt(this.#value(expr.value) === 0n);
      case "and":
        return BigInt(this.#value(expr.left) !== 0n && this.#value(expr.right) !== 0n);
      case "or":
        return BigInt(this.#value(expr.left) !== 0n || this.#value(expr.right) !== 0n);
      case "select":
        return this.#value(this.#value(expr.condition) !== 0n ? expr.then : expr.else);
      case "cast":
        return castTo(expr.type, this.#value(expr.value));
      case "context":
        return this.#memory.addressOf(this.#environment.context);
      case "slot":
        return this.#memory.addressOf(this.#slots[expr.slot]!) + BigInt(expr.offset);
      case "map":
        return BigInt(expr.map);
      case "mapValue": {
        const value = this.#maps[expr.map]!.lookup(new Uint8Array(4))!;
        return this.#memory.addressOf(value) + BigInt(expr.offset);
      }
      case "record":
        if (this.#record === undefined) throw new RangeError("no record outside of emit");
        return this.#memory.addressOf(this.#record);
      case "load": {
        const address = wordOf(this.#value(expr.from) + BigInt(expr.offset));
        const bytes = this.#memory.at(address, expr.type.bits / 8);
        return bytes === undefined ? 0n : readWord(bytes, expr.type);
      }
      case "call":
        return this.#call(expr.helper, expr.args);
      case "kfunc":
        return this.#ask(expr.name, expr.args);
    }
  }

  #ask(callee: number | string, exprs: readonly Expr[]): bigint {
    const args = exprs.map((arg) => this.#value(arg));
    const { call } = this.#environment;
    if (call === undefined) throw new RangeError(`${callee} has no model`);
    return wordOf(call(callee, args, this.#memory));
  }

  #call(helper: number, exprs: readonly Expr[]): bigint {
    const model = models[helper];
    if (model === undefined) return this.#ask(helper, exprs);
    const args = exprs.map((arg) => this.#value(arg));
    return model(args, this.#memory, this.#maps);
  }
}

type Model = (args: readonly bigint[], memory: Memory, maps: readonly MapModel[]) => bigint;

function keyOf(map: MapModel, address: bigint, memory: Memory): Uint8Array {
  return memory.must(address, map.spec.keyBytes);
}

/** bpf_probe_read_*: memory that isn't there reads as zeroes and gives −EFAULT. */
const read: Model = ([to, length, from], memory) => {
  const bytes = memory.must(to!, Number(length));
  const source = memory.at(from!, Number(length));
  if (source === undefined) bytes.fill(0);
  else bytes.set(source.slice());
  return source === undefined ? -14n : 0n;
};

/** bpf_probe_read_*_str: up to `length` bytes with a NUL at the end. @returns bytes with the NUL. */
const readText: Model = ([to, length, from], memory) => {
  const bytes = memory.must(to!, Number(length));
  for (let i = 0; i < bytes.length; i++) {
    const source = memory.at(from! + BigInt(i), 1);
    if (source === undefined) {
      bytes.fill(0);
      return -14n;
    }
    bytes[i] = i === bytes.length - 1 ? 0 : source[0]!;
    if (bytes[i] === 0) return BigInt(i + 1);
  }
  return 0n;
};

/** Helpers whose results follow from what is modelled. @see include/uapi/linux/bpf.h */
const models: { readonly [helper: number]: Model } = {
  1: ([map, key], memory, maps) => {
    const model = maps[Number(map)]!;
    const value = model.lookup(keyOf(model, key!, memory));
    return value === undefined ? 0n : memory.addressOf(value);
  },
  2: ([map, key, value, flags], memory, maps) => {
    const model = maps[Number(map)]!;
    const bytes = memory.must(value!, model.spec.valueBytes);
    return model.update(keyOf(model, key!, memory), bytes, flags!);
  },
  3: ([map, key], memory, maps) => {
    const model = maps[Number(map)]!;
    return model.delete(keyOf(model, key!, memory));
  },
  112: read,
  113: read,
  114: readText,
  115: readText,
};

/** A map's contents as text, for messages: `key: value` in order of keys. */
export function contents(map: MapModel): string[] {
  return [...map.entries].map(([key, value]) => `${key}: ${hex(value)}`).sort();
}
