/** IPv4 and IPv6 addresses, written to records and keys: in network order, the former mapped into the latter where both may be. */
import type { Expr } from "../ir.ts";
import { u32, u64 } from "../ir.ts";
import { constant, plus } from "./builder.ts";
import type { Lowering } from "./context.ts";
import { helper } from "./helpers.ts";
import { chunks } from "./text.ts";
import type { Address, Value } from "./values.ts";

/** Evaluated, but for the memory that it is read from. */
export interface HeldAddress {
  readonly bytes: 4 | 16;
  write(to: Expr, offset: number): void;
}

/** What an address, or one or the other, takes. undefined: the value is none. */
export function addressBytes(value: Value): 4 | 16 | undefined {
  if (value.kind === "address") return value.bytes;
  if (value.kind !== "either") return undefined;
  return addressBytes(value.then) === undefined || addressBytes(value.else) === undefined
    ? undefined
    : 16;
}

/** @param bytes 16 also for an IPv4 address, never 4 for another */
export function holdAddress(l: Lowering, value: Value, bytes: 4 | 16): HeldAddress | undefined {
  const { build } = l;
  if (value.kind === "address") {
    const { from } = value;
    const held = build.keep("word" in from ? from.word : from.address);
    return { bytes, write: (to, offset) => writeAddress(l, value, held, to, offset, bytes) };
  }
  if (value.kind !== "either") return undefined;
  const condition = build.keep(value.condition);
  const then = holdAddress(l, value.then, bytes);
  const otherwise = holdAddress(l, value.else, bytes);
  if (then === undefined || otherwise === undefined) return undefined;
  return {
    bytes,
    write: (to, offset) =>
      build.when(
        condition,
        () => then.write(to, offset),
        () => otherwise.write(to, offset),
      ),
  };
}

function writeAddress(
  l: Lowering,
  { from, bytes: own }: Address,
  held: Expr,
  to: Expr,
  offset: number,
  bytes: 4 | 16,
): void {
  const { build } = l;
  let at = offset;
  if (bytes === 16 && own === 4) {
    // ::ffff:a.b.c.d
    build.store(u64, to, offset, constant(0));
    build.store(u32, to, offset + 8, constant(0xffff_0000n));
    at = offset + 12;
  }
  if ("word" in from) build.store(u32, to, at, held);
  else if (from.memory === "direct" && held.op === "binary" && held.left.op === "context") {
    const start = held.right.op === "const" ? Number(held.right.value) : 1;
    for (const chunk of chunks(own, start % 8))
      build.store(
        chunk.type,
        to,
        at + chunk.at,
        build.load(chunk.type, "direct", held.left, start + chunk.at),
      );
  } else {
    const read = from.memory === "user" ? helper.readUser : helper.readKernel;
    build.eval(build.call(read, plus(to, at), constant(own), held));
  }
}
