/** Texts: written into records, keys and values; compared. */
import type { Expr, IntType, MemoryKind } from "../ir.ts";
import { compare, constant, isZero, plus } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { textLimit } from "./data-type.ts";
import { helper } from "./helpers.ts";
import { readPlace } from "./memory.ts";
import type { Node } from "./syntax.ts";
import { readUserText } from "./user-memory.ts";
import {
  bool,
  type Choice,
  describe,
  type Either,
  known,
  type Text,
  type Value,
} from "./values.ts";

/** A value that can be written as text. */
export type TextLike = Text | Choice | (Either & { readonly text: true }) | KnownText;
export interface KnownText {
  readonly kind: "known";
  readonly value: string;
}

/** undefined when the value is no text. Pointers to characters are read where they point. */
export function asText(l: Lowering, value: Value): TextLike | undefined {
  switch (value.kind) {
    case "text":
    case "choice":
      return value;
    case "known":
      return typeof value.value === "string" ? (value as KnownText) : undefined;
    case "place": {
      const read = readPlace(l, value);
      return read.kind === "place" ? undefined : asText(l, read);
    }
    case "pointer":
      return value.to.kind === "chars"
        ? textBehind(l, value.expr, value.memory, value.to.bytes)
        : undefined;
    case "optional":
      return value.decays ? asText(l, value.value) : undefined;
    case "unit":
      return asText(l, value.value);
    case "either": {
      const then = asText(l, value.then);
      const otherwise = asText(l, value.else);
      if (then === undefined || otherwise === undefined) return undefined;
      return { ...value, then, else: otherwise, text: true };
    }
    default:
      return undefined;
  }
}

function textBehind(l: Lowering, address: Expr, memory: MemoryKind, bytes = 64): Text {
  return { kind: "text", from: { memory, address: l.build.keep(address) }, bytes };
}

/** Bytes that the text takes at most, its NUL among them. */
export function textBytes(text: TextLike): number {
  switch (text.kind) {
    case "text":
      return text.bytes;
    case "known":
      return Buffer.byteLength(text.value) + 1;
    case "choice":
      return Math.max(...text.texts.map((one) => Buffer.byteLength(one) + 1));
    case "either":
      return Math.max(textBytes(text.then as TextLike), textBytes(text.else as TextLike));
  }
}

/** Evaluates addresses and conditions now, so that writing it later does no more than read the text. */
export function holdText(l: Lowering, text: TextLike): TextLike {
  switch (text.kind) {
    case "text":
      if (text.from === "comm") return text;
      return { ...text, from: { ...text.from, address: l.build.keep(text.from.address) } };
    case "known":
      return text;
    case "choice":
      return { ...text, index: l.build.keep(text.index) };
    case "either":
      return {
        ...text,
        condition: l.build.keep(text.condition),
        then: holdText(l, text.then as TextLike),
        else: holdText(l, text.else as TextLike),
      };
  }
}

/** Writes the text to direct memory, `bytes` of it at most. Bytes behind its NUL may stay what they were. */
export function writeText(
  l: Lowering,
  text: TextLike,
  to: Expr,
  offset: number,
  bytes: number,
): void {
  const { build } = l;
  switch (text.kind) {
    case "known":
      writeKnown(l, text.value, to, offset, bytes);
      return;
    case "choice":
      for (const [i, one] of text.texts.entries())
        build.when(compare("==", text.index, constant(i)), () =>
          writeKnown(l, one, to, offset, bytes),
        );
      return;
    case "either":
      build.when(
        text.condition,
        () => writeText(l, text.then as TextLike, to, offset, bytes),
        () => writeText(l, text.else as TextLike, to, offset, bytes),
      );
      return;
    case "text": {
      const room = constant(Math.min(bytes, text.bytes));
      if (text.from === "comm") {
        build.eval(build.call(helper.comm, plus(to, offset), constant(Math.min(bytes, 16))));
        return;
      }
      const { memory, address } = text.from;
      if (memory === "user") readUserText(l, plus(to, offset), room, address);
      else build.eval(build.call(helper.readKernelText, plus(to, offset), room, address));
    }
  }
}

function writeKnown(l: Lowering, value: string, to: Expr, offset: number, bytes: number): void {
  const cut = Buffer.from(value).subarray(0, bytes);
  const room = Math.min(bytes, cut.length + 1);
  const padded = Buffer.alloc(room);
  cut.copy(padded, 0, 0, room);
  for (const { at, type } of chunks(room, offset)) {
    const word = littleEndian(padded, at, type.bits / 8);
    l.build.store(type, to, offset + at, constant(word));
  }
}

function littleEndian(bytes: Buffer, at: number, count: number): bigint {
  let value = 0n;
  for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

/** Aligned words that cover `bytes` bytes from `offset` on. */
export function chunks(bytes: number, offset: number): { at: number; type: IntType }[] {
  const parts: { at: number; type: IntType }[] = [];
  for (let at = 0; at < bytes; ) {
    const size = [8, 4, 2, 1].find((one) => (offset + at) % one === 0 && at + one <= bytes)!;
    parts.push({ at, type: { bits: (size * 8) as IntType["bits"], signed: false } });
    at += size;
  }
  return parts;
}

/** `a === b` and the start of a text. */
export function compareTexts(
  l: Lowering,
  left: TextLike,
  right: TextLike,
  node: Node,
  prefix = false,
): Value {
  if (left.kind === "known" && right.kind === "known")
    return known(prefix ? left.value.startsWith(right.value) : left.value === right.value);
  if (left.kind === "known") {
    if (!prefix) return compareTexts(l, right, left, node);
    return fail(l, node, "the start that is looked for must be known beforehand");
  }
  if (right.kind !== "known") {
    if (prefix) return fail(l, node, "the start that is looked for must be known beforehand");
    return compareMemory(l, left, right);
  }
  if (left.kind === "choice")
    return bool(
      left.texts
        .flatMap((one, i) =>
          (prefix ? one.startsWith(right.value) : one === right.value)
            ? [compare("==", left.index, constant(i))]
            : [],
        )
        .reduce<Expr>((rest, one) => ({ op: "or", left: one, right: rest }), constant(0)),
    );
  if (left.kind === "either") {
    const [then, otherwise] = [left.then, left.else].map((one) => {
      const compared = compareTexts(l, one as TextLike, right, node, prefix);
      return compared.kind === "word"
        ? compared.expr
        : constant(compared.kind === "known" && compared.value ? 1 : 0);
    });
    return bool({ op: "select", condition: left.condition, then: then!, else: otherwise! });
  }
  return compareKnown(l, left, right.value, prefix, node);
}

function compareKnown(l: Lowering, text: Text, value: string, prefix: boolean, node: Node): Value {
  const { build } = l;
  const wanted = Buffer.from(prefix ? value : `${value}\0`);
  if (prefix && wanted.length === 0) return known(true);
  if (wanted.length > text.bytes)
    return fail(
      l,
      node,
      `this text has at most ${text.bytes - 1} bytes, it can never be ${JSON.stringify(value)}`,
      `read more of it: str(p, ${Math.min(textLimit, wanted.length + 1)})`,
    );
  // One byte more than is looked at: reading a text puts its NUL at the end of the room.
  const room = Math.ceil((wanted.length + (prefix ? 1 : 0)) / 8) * 8;
  const read = (): Expr => {
    const address = build.slotAddress(build.slot(room, "text"));
    build.add({ op: "zero", to: address, offset: 0, bytes: room });
    writeText(l, { ...text, bytes: Math.max(text.bytes, 0) }, address, 0, room);
    return address;
  };
  const { from } = text;
  // Nothing here writes to the program's memory: what was read for another comparison is read.
  const address =
    from !== "comm" && from.memory === "user" && from.address.op === "local"
      ? build.once(`text at ${from.address.local}, ${Math.min(room, text.bytes)}`, read)
      : read();
  return bool(build.keep(equal(l, address, wanted)));
}

function equal(l: Lowering, address: Expr, wanted: Buffer): Expr {
  const parts = chunks(wanted.length, 0).map(({ at, type }) => {
    const loaded = l.build.load(type, "direct", address, at);
    return compare("==", loaded, constant(littleEndian(wanted, at, type.bits / 8)));
  });
  return parts.reduceRight((rest, one) => ({ op: "and", left: one, right: rest }));
}

const comparedLimit = 128;

function compareMemory(l: Lowering, left: TextLike, right: TextLike): Value {
  const { build } = l;
  const room =
    Math.ceil(Math.min(comparedLimit, Math.max(textBytes(left), textBytes(right))) / 8) * 8;
  const [a, b] = [left, right].map((text) => {
    const address = build.slotAddress(build.slot(room, "text"));
    build.add({ op: "zero", to: address, offset: 0, bytes: room });
    writeText(l, text, address, 0, room);
    return address;
  });
  const parts = chunks(room, 0).map(({ at, type }) =>
    compare("==", build.load(type, "direct", a!, at), build.load(type, "direct", b!, at)),
  );
  return bool(
    build.keep(parts.reduceRight((rest, one) => ({ op: "and", left: one, right: rest }))),
  );
}

/** str(p, max) and kstr(p, max): @throws ProbeError for what is no address, or a text too long */
export function readText(
  l: Lowering,
  value: Value,
  memory: MemoryKind,
  max: bigint | undefined,
  nodes: { readonly value: Node; readonly max: Node },
): Value {
  const bytes = max === undefined ? 64 : Number(max);
  if (bytes < 1 || bytes > textLimit)
    return fail(
      l,
      nodes.max,
      `a text of ${bytes} bytes is too long: at most ${textLimit}`,
      "texts are read up to their NUL: ask for as much as you want to see",
    );
  const text = value.kind === "pointer" ? undefined : asText(l, value);
  if (text !== undefined)
    return text.kind === "text" && max !== undefined ? { ...text, bytes } : (text as Value);
  if (value.kind === "pointer") return textBehind(l, value.expr, memory, bytes);
  if (value.kind === "word" && value.type.bits === 64)
    return textBehind(l, value.expr, memory, bytes);
  return fail(l, nodes.value, `expected the address of a text, found ${describe(value)}`);
}

export const isEmpty = (l: Lowering, text: TextLike, node: Node): Expr => {
  const compared = compareTexts(l, text, { kind: "known", value: "" }, node);
  return compared.kind === "word" ? compared.expr : isZero(constant(1));
};
