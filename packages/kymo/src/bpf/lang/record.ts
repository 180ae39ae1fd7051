/** Fields of records: what a value becomes in the ring, and how its bytes are written there. */
import type { Expr, IntType, MemoryKind } from "../ir.ts";
import { u8, u16 } from "../ir.ts";
import { type Field, recordHeaderBytes, type Value as SiteValue } from "../site.ts";
import { addressBytes, type HeldAddress, holdAddress } from "./addresses.ts";
import { compare, constant, plus } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { storeStack } from "./data.ts";
import { helper } from "./helpers.ts";
import { readPlace } from "./memory.ts";
import type { Node } from "./syntax.ts";
import { asText, holdText, type TextLike, textBytes, writeText } from "./text.ts";
import { readUserBytes, readUserTextAgain, readUserTextNowOrLater } from "./user-memory.ts";
import { type Choice, describe, type Text, type Value } from "./values.ts";
import { knownInteger, toWord } from "./words.ts";

/** A field to be placed. Everything but reading memory into it is evaluated before. */
export interface Part {
  readonly bytes: number;
  readonly align: number;
  field(offset: number): Field;
  write(to: Expr, offset: number): void;
  /** By a later program: what could not be read when it was written. */
  readAgain?(l: Lowering, to: Expr, offset: number): void;
}
/** A value in a record: a part of it, or known without. */
export type Encoded = { readonly part: Part } | { readonly value: SiteValue };

type Offsets = ReadonlyMap<Part, number>;

/** Parts in a record, the largest alignment first: no gaps between them. */
export function place(
  parts: readonly Part[],
  from: number = recordHeaderBytes,
): { readonly offsets: Offsets; readonly bytes: number } {
  const offsets = new Map<Part, number>();
  let end = from;
  for (const part of parts.toSorted((a, b) => b.align - a.align)) {
    offsets.set(part, end);
    end += Math.ceil(part.bytes / part.align) * part.align;
  }
  return { offsets, bytes: Math.ceil(end / 8) * 8 };
}

export function integerPart(l: Lowering, value: Expr, type: IntType): Part {
  const held = l.build.keep(value);
  const bytes = (type.bits / 8) as 1 | 2 | 4 | 8;
  return {
    bytes,
    align: bytes,
    field: (offset) => ({ type: type.signed ? "int" : "uint", offset, bytes }),
    write: (to, offset) => l.build.store(type, to, offset, held),
  };
}

/** @throws ProbeError for values that can't be in a record */
export function encode(l: Lowering, value: Value, node: Node): Encoded {
  switch (value.kind) {
    case "broken":
      return { value: { type: "const-int", value: 0n } };
    case "unit":
      return encode(l, value.value, node);
    case "place": {
      const read = readPlace(l, value);
      if (read.kind !== "place") return encode(l, read, node);
      if (value.type.kind === "array" && value.type.length * value.type.elementBytes <= 4096)
        return encode(
          l,
          {
            kind: "bytes",
            memory: value.memory,
            address: plus(value.base, value.offset),
            bytes: value.type.length * value.type.elementBytes,
          },
          node,
        );
      return fail(l, node, `${describe(value)} can't be in an event`, "name one of its fields");
    }
    case "named": {
      const wide = value.word.type.bits === 64;
      const type: IntType = { bits: wide ? 64 : 32, signed: value.word.type.signed };
      const part = integerPart(l, value.word.expr, type);
      const bytes = wide ? 8 : 4;
      return {
        part: { ...part, field: (offset) => ({ type: "name", of: value.of, offset, bytes }) },
      };
    }
    case "stack": {
      const bytes = 8 + 8 * value.frames;
      const kind = value.space === "user" ? "user-stack" : "kernel-stack";
      return {
        part: {
          bytes,
          align: 8,
          field: (offset) => ({ type: kind, offset, bytes }),
          write: (to, offset) => storeStack(l, value, value, to, offset, node),
        },
      };
    }
    case "address":
    case "either": {
      const bytes = addressBytes(value);
      const address = bytes === undefined ? undefined : holdAddress(l, value, bytes);
      if (address !== undefined) return { part: addressPart(address) };
      break;
    }
    case "bytes": {
      const address = l.build.keep(value.address);
      return {
        part: {
          bytes: value.bytes,
          align: 1,
          field: (offset) => ({ type: "bytes", offset, bytes: value.bytes }),
          write: (to, offset) => {
            if (value.memory === "user") readUserBytes(l, plus(to, offset), value.bytes, address);
            else {
              const bytes = constant(value.bytes);
              l.build.eval(l.build.call(helper.readKernel, plus(to, offset), bytes, address));
            }
          },
        },
      };
    }
  }
  const text = asText(l, value);
  if (text !== undefined) return encodeText(l, text);
  const integer = knownInteger(value);
  const isBool = value.kind === "known" && typeof value.value === "boolean";
  if (integer !== undefined && !isBool) return { value: { type: "const-int", value: integer } };
  const word = toWord(l, value, node);
  if (word.bool !== true) return { part: integerPart(l, word.expr, word.type) };
  const held = l.build.keep(word.expr);
  return {
    part: {
      bytes: 1,
      align: 1,
      field: (offset) => ({ type: "bool", offset, bytes: 1 }),
      write: (to, offset) => l.build.store(u8, to, offset, held),
    },
  };
}

export function encodeText(l: Lowering, text: TextLike): Encoded {
  if (text.kind === "known") return { value: { type: "const-text", value: text.value } };
  const chosen = choiceOf(text);
  if (chosen !== undefined) return { part: choicePart(l, chosen) };
  const held = holdText(l, text);
  const bytes = textBytes(held);
  if (held.kind === "text" && held.from !== "comm" && mayBeLate(l, held, held.from.memory))
    return { part: latePart(l, bytes, held.from.address) };
  return {
    part: {
      bytes,
      // A copy of an inline text of the context is made of words.
      align: bytes % 8 === 0 ? 8 : 1,
      field: (offset) => ({ type: "text", offset, bytes }),
      write: (to, offset) => writeText(l, held, to, offset, bytes),
    },
  };
}

/** Unless the program can wait for it, or has said that it need not be read. */
function mayBeLate(l: Lowering, text: Text, memory: MemoryKind): boolean {
  return memory === "user" && text.late !== false && !l.sleeping.allowed;
}

/** The text and, behind it, where it is to be read when it could not be: its page was not in memory. */
function latePart(l: Lowering, most: number, address: Expr): Part {
  const bytes = Math.ceil(most / 8) * 8;
  const room = constant(most);
  const late = (to: Expr, offset: number) => ({ to, offset: offset + bytes });
  return {
    bytes: bytes + 8,
    align: 8,
    field: (offset) => ({
      type: "text",
      offset,
      bytes,
      late: { type: "uint", offset: offset + bytes, bytes: 8 },
    }),
    write: (to, offset) =>
      readUserTextNowOrLater(l, plus(to, offset), room, address, late(to, offset)),
    readAgain: (after, to, offset) => readUserTextAgain(after, to, offset, room, late(to, offset)),
  };
}

/** A choice between texts that are all known is one index. */
function choiceOf(text: TextLike): Choice | undefined {
  if (text.kind === "choice") return text;
  if (text.kind !== "either") return undefined;
  const [then, otherwise] = [text.then as TextLike, text.else as TextLike].map((one) =>
    one.kind === "known"
      ? ({ kind: "choice", texts: [one.value], index: constant(0) } as Choice)
      : choiceOf(one),
  );
  if (then === undefined || otherwise === undefined) return undefined;
  const count = then.texts.length;
  const texts = [...then.texts, ...otherwise.texts];
  // Outside of the first texts is outside of all of them.
  const first: Expr =
    then.index.op === "const"
      ? then.index
      : {
          op: "select",
          condition: compare("<", then.index, constant(count)),
          then: then.index,
          else: constant(texts.length),
        };
  return {
    kind: "choice",
    texts,
    index: {
      op: "select",
      condition: text.condition,
      then: first,
      else: plus(otherwise.index, count),
    },
  };
}

function choicePart(l: Lowering, choice: Choice): Part {
  const bytes = choice.texts.length < 2 ** 8 ? 1 : 2;
  const last = choice.texts.length;
  // An index past the last text would come back as a small one.
  const index = l.build.keep(choice.index);
  const inRange: Expr = {
    op: "select",
    condition: { op: "compare", operator: "<", signed: false, left: index, right: constant(last) },
    then: index,
    else: constant(last),
  };
  const held = l.build.keep(inRange);
  return {
    bytes,
    align: bytes,
    field: (offset) => ({ type: "choice", offset, bytes, texts: choice.texts }),
    write: (to, offset) => l.build.store(bytes === 1 ? u8 : u16, to, offset, held),
  };
}

function addressPart({ bytes, write }: HeldAddress): Part {
  return {
    bytes,
    align: bytes === 16 ? 8 : 4,
    field: (offset) => ({ type: "address", offset, bytes }),
    write,
  };
}
