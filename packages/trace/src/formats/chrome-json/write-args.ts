/**
 * Arguments → JSON text, kept in a ring until the record call that carries them.
 *
 *     set 41   set 42   set 43 …        each "{…}" in bytes; the oldest are overwritten
 *
 * A set may be carried by more than one event, but not by events that come RING_BYTES of arguments later.
 */
import { type ArgSetId, type ArgsBuilder, NO_ARGS, type StringId } from "../../model/sink.ts";
import { JsonBuffer } from "../../wire/json-writer.ts";

const RING_BYTES = 8 * 2 ** 20;
const RING_SETS = 1 << 17;
const HEX = "0123456789abcdef";

export class JsonArgsBuilder implements ArgsBuilder {
  readonly #textOf: (id: StringId) => Uint8Array;
  readonly #out = new JsonBuffer();
  /** For each open object or array: is it an array, and has it a member? */
  readonly #isArray: boolean[] = [false];
  readonly #hasMember: boolean[] = [false];
  #ring = new Uint8Array(RING_BYTES);
  /** Bytes ever put into the ring. */
  #written = 0;
  #sets = 0;
  /** By set % RING_SETS: where it starts, counted like #written, and its length. */
  readonly #start = new Float64Array(RING_SETS);
  readonly #length = new Uint32Array(RING_SETS);
  /** Sets asked for after they were overwritten. */
  expired = 0;

  constructor(textOf: (id: StringId) => Uint8Array) {
    this.#textOf = textOf;
  }

  /** The set's JSON, "{…}"; undefined for NO_ARGS and for a set that is gone. */
  take(set: ArgSetId): Uint8Array | undefined {
    if (set === NO_ARGS) return undefined;
    const slot = set % RING_SETS;
    const start = this.#start[slot]!;
    if (set < this.#sets - RING_SETS || start < this.#written - this.#ring.length) {
      this.expired++;
      return undefined;
    }
    const at = start % this.#ring.length;
    return this.#ring.subarray(at, at + this.#length[slot]!);
  }

  int(key: StringId, value: number | bigint): void {
    this.#key(key);
    this.#out.ascii(String(value));
  }
  real(key: StringId, value: number): void {
    this.#key(key);
    this.#out.ascii(realText(value));
  }
  text(key: StringId, value: StringId): void {
    this.#key(key);
    this.#out.raw(this.#textOf(value));
  }
  bool(key: StringId, value: boolean): void {
    this.#key(key);
    this.#out.ascii(value ? "true" : "false");
  }
  /** As hexadecimal text. */
  bytes(key: StringId, value: Uint8Array): void {
    this.#key(key);
    let text = '"';
    for (const byte of value) text += HEX[byte >> 4]! + HEX[byte & 15]!;
    this.#out.ascii(`${text}"`);
  }
  open(key: StringId, kind: "object" | "array"): void {
    this.#key(key);
    this.#isArray.push(kind === "array");
    this.#hasMember.push(false);
    this.#out.byte(kind === "array" ? 0x5b : 0x7b);
  }
  close(): void {
    this.#hasMember.pop();
    this.#out.byte(this.#isArray.pop() ? 0x5d : 0x7d);
  }

  done(): ArgSetId {
    const out = this.#out;
    if (out.length === 0) return NO_ARGS;
    out.byte(0x7d);
    const { bytes } = out;
    const set = this.#sets++;
    if (bytes.length > this.#ring.length / 2) {
      // Larger than any other: a new ring of its own size; the sets before it are gone.
      this.#ring = new Uint8Array(bytes.length * 2);
      this.#written = 0;
      this.#start.fill(Number.NEGATIVE_INFINITY);
    }
    // A set does not wrap around the ring's end.
    const at = this.#written % this.#ring.length;
    if (at + bytes.length > this.#ring.length) this.#written += this.#ring.length - at;
    this.#ring.set(bytes, this.#written % this.#ring.length);
    this.#start[set % RING_SETS] = this.#written;
    this.#length[set % RING_SETS] = bytes.length;
    this.#written += bytes.length;
    out.clear();
    this.#hasMember[0] = false;
    return set as ArgSetId;
  }

  #key(key: StringId): void {
    const depth = this.#hasMember.length - 1;
    const out = this.#out;
    if (out.length === 0) out.byte(0x7b);
    if (this.#hasMember[depth]) out.byte(44);
    this.#hasMember[depth] = true;
    if (this.#isArray[depth]) return;
    out.raw(this.#textOf(key));
    out.byte(58);
  }
}

/** A float that reads back as one: "5.0", "1e+30"; JSON has no NaN and no Infinity, which become text. */
function realText(value: number): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  if (Object.is(value, -0)) return "-0.0";
  const text = String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}
