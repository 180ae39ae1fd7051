/**
 * Memory and maps as the interpreter has them. An address is `region << 32 | offset`; region 0 is nowhere, so that
 * null and small numbers point at nothing.
 */
import type { IntType, MapSpec } from "../ir.ts";
import { castTo } from "./arithmetic.ts";

export class Memory {
  readonly #regions: (Uint8Array | undefined)[] = [undefined];
  readonly #ids = new Map<Uint8Array, number>();

  /** The address of the bytes; the same one each time. */
  addressOf(bytes: Uint8Array): bigint {
    let id = this.#ids.get(bytes);
    if (id === undefined) {
      id = this.#regions.push(bytes) - 1;
      this.#ids.set(bytes, id);
    }
    return BigInt(id) << 32n;
  }

  /** `length` bytes at the address; undefined when they are not all there. */
  at(address: bigint, length: number): Uint8Array | undefined {
    const region = this.#regions[Number(BigInt.asUintN(64, address) >> 32n)];
    const offset = Number(BigInt.asUintN(32, address));
    if (region === undefined || offset + length > region.length) return undefined;
    return region.subarray(offset, offset + length);
  }

  /** @throws RangeError for addresses of nothing: the verifier would not have let that through. */
  must(address: bigint, length: number): Uint8Array {
    const bytes = this.at(address, length);
    if (bytes === undefined)
      throw new RangeError(`${length} bytes at 0x${BigInt.asUintN(64, address).toString(16)}`);
    return bytes;
  }
}

export function readWord(bytes: Uint8Array, type: IntType): bigint {
  let word = 0n;
  for (let i = type.bits / 8 - 1; i >= 0; i--) word = (word << 8n) | BigInt(bytes[i]!);
  return castTo(type, word);
}

export function writeWord(bytes: Uint8Array, bits: number, word: bigint): void {
  let left = BigInt.asUintN(bits, word);
  for (let i = 0; i < bits / 8; i++) {
    bytes[i] = Number(left & 0xffn);
    left >>= 8n;
  }
}

const noEntry = -2n;
const tooMany = -7n;
const exists = -17n;
const invalid = -22n;

/** One map, as one CPU sees it. */
export class MapModel {
  readonly spec: MapSpec;
  /** By key, as hexadecimal digits. */
  readonly entries: Map<string, Uint8Array> = new Map();
  /** Of a ring: the submitted records. */
  readonly records: Uint8Array[] = [];

  constructor(spec: MapSpec) {
    this.spec = spec;
    if (!this.#isArray()) return;
    for (let i = 0; i < spec.max; i++) {
      const key = new Uint8Array(4);
      writeWord(key, 32, BigInt(i));
      this.entries.set(hex(key), new Uint8Array(spec.valueBytes));
    }
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    return this.entries.get(hex(key));
  }

  /** @returns 0 or −errno. `flags`: 1 only if new, 2 only if there. */
  update(key: Uint8Array, value: Uint8Array, flags: bigint): bigint {
    if (flags > 2n) return invalid;
    const there = this.entries.get(hex(key));
    if (this.#isArray() && there === undefined) return tooMany;
    if (there !== undefined && flags === 1n) return exists;
    if (there === undefined && flags === 2n) return noEntry;
    if (this.#isArray()) there!.set(value);
    else if (there === undefined && this.entries.size >= this.spec.max) return tooMany;
    else this.entries.set(hex(key), value.slice());
    return 0n;
  }

  delete(key: Uint8Array): bigint {
    if (this.#isArray()) return invalid;
    return this.entries.delete(hex(key)) ? 0n : noEntry;
  }

  #isArray(): boolean {
    return this.spec.kind === "array" || this.spec.kind === "percpu-array";
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
