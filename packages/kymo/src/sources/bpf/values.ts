/**
 * Values of a record as what the sink takes: names as strings, arguments, words of a line. Each is one function made
 * beforehand for its place; which kind it is is never asked per event.
 */
import type { ArgsBuilder, StringId, TraceSink } from "@kymo/trace";
import type { Field, SiteArg, Value } from "../../bpf/site.ts";
import { errnoName } from "../../linux/errno.ts";
import type { RecordBytes } from "../../linux/perf-ring.ts";
import { signalName } from "../../linux/signals.ts";
import { syscallName } from "../../linux/syscall-names.ts";
import type { CaptureContext } from "../perf/extra.ts";
import { type Read, readBig, readExact, readNumber } from "./fields.ts";
import type { LateTexts } from "./late-text.ts";
import { isStackField, type StackReader } from "./stack-reader.ts";
import { TextTable } from "./text-table.ts";

export type Write = (bytes: RecordBytes, at: number) => void;

/** Names made of numbers and remembered, for each place. */
const rememberedLimit = 4096;
const userAddressEnd = 1n << 63n;

export interface ValueContext {
  readonly sink: TraceSink;
  readonly symbols: CaptureContext["symbols"];
  readonly stacks: StackReader;
  readonly late: LateTexts;
  /** As in `process.arch`: which table of system calls. */
  readonly arch: string;
}

export class Values {
  readonly #context: ValueContext;
  readonly #args: ArgsBuilder;
  readonly #texts: TextTable;
  readonly #decoder = new TextDecoder();

  constructor(context: ValueContext) {
    this.#context = context;
    this.#args = context.sink.args;
    this.#texts = new TextTable(context.sink);
  }

  /** The value as a name. `pid`: the process whose addresses it may be about. */
  name(value: Value, pid: Read<number>): Read<StringId> {
    const { sink } = this.#context;
    if (value.type === "const-text" || value.type === "const-int") {
      const id = sink.string(String(value.value));
      return () => id;
    }
    if (value.type === "text") {
      const texts = this.#texts;
      const { offset, bytes: most, late } = value;
      if (late === undefined) return ({ u8 }, at) => texts.text(u8, at + offset, most);
      const text = this.text(value, pid);
      const unread = readNumber(late);
      return (bytes, at) =>
        unread(bytes, at) === 0
          ? texts.text(bytes.u8, at + offset, most)
          : sink.string(text(bytes, at));
    }
    const text = this.text(value, pid);
    if (value.type !== "choice" && value.type !== "bool" && !isNumberName(value))
      return (bytes, at) => sink.string(text(bytes, at));
    // The same number is the same name.
    const number = readNumber(numberField(value));
    const known = new Map<number, StringId>();
    return (bytes, at) => {
      const key = number(bytes, at);
      let id = known.get(key);
      if (id === undefined) {
        id = sink.string(text(bytes, at));
        if (known.size < rememberedLimit && Number.isSafeInteger(key)) known.set(key, id);
      }
      return id;
    };
  }

  /** Adds the argument to the set that is being built. */
  arg({ key, value }: SiteArg, pid: Read<number>): Write {
    const args = this.#args;
    const id = this.#context.sink.string(key);
    switch (value.type) {
      case "const-int": {
        const exact = Number(value.value);
        const number = Number.isSafeInteger(exact) ? exact : value.value;
        return () => args.int(id, number);
      }
      case "int":
      case "uint": {
        const read = value.bytes < 8 ? readNumber(value) : readExact(value);
        return (bytes, at) => args.int(id, read(bytes, at));
      }
      case "bool": {
        const read = readNumber(value);
        return (bytes, at) => args.bool(id, read(bytes, at) !== 0);
      }
      case "bytes": {
        const { offset, bytes: length } = value;
        return ({ u8 }, at) => args.bytes(id, u8.slice(at + offset, at + offset + length));
      }
      case "kernel-stack":
      case "user-stack":
      case "stack-id": {
        const names = this.#context.stacks.namesOf(value, pid);
        const { sink } = this.#context;
        return (bytes, at) => {
          args.open(id, "array");
          for (const name of names(bytes, at)) args.text(id, sink.string(name));
          args.close();
        };
      }
      case "name": {
        const name = this.name(value, pid);
        if (value.of !== "errno") return (bytes, at) => args.text(id, name(bytes, at));
        // No error is no argument.
        const number = readNumber(value);
        return (bytes, at) => {
          if (isError(number(bytes, at))) args.text(id, name(bytes, at));
        };
      }
      default: {
        const name = this.name(value, pid);
        return (bytes, at) => args.text(id, name(bytes, at));
      }
    }
  }

  /** The value in words, for a line of text. */
  text(value: Value, pid: Read<number>): Read<string> {
    switch (value.type) {
      case "const-text":
      case "const-int": {
        const text = String(value.value);
        return () => text;
      }
      case "int":
      case "uint": {
        const read = readExact(value);
        return (bytes, at) => String(read(bytes, at));
      }
      case "bool": {
        const read = readNumber(value);
        return (bytes, at) => String(read(bytes, at) !== 0);
      }
      case "text": {
        const { late } = this.#context;
        return this.#textOf(value, pid, (...where) => late.name(...where));
      }
      case "bytes":
        return ({ u8 }, at) =>
          Buffer.from(u8.subarray(at + value.offset, at + value.offset + value.bytes)).toString(
            "hex",
          );
      case "choice": {
        const read = readNumber(numberField(value));
        return (bytes, at) => value.texts[read(bytes, at)] ?? "";
      }
      case "address":
        return ({ u8 }, at) =>
          addressText(u8.subarray(at + value.offset, at + value.offset + value.bytes));
      case "name":
        return this.#nameText(value, pid);
      default: {
        if (!isStackField(value)) throw new RangeError("a value of unknown type");
        const names = this.#context.stacks.namesOf(value, pid);
        return (bytes, at) =>
          names(bytes, at)
            .map((name) => `\n    ${name}`)
            .join("");
      }
    }
  }

  /** As text(), undefined where it can't be read any more: for texts that may not be meant for kymo at all. */
  textIfReadable(value: Value, pid: Read<number>): Read<string | undefined> {
    const { late } = this.#context;
    if (value.type !== "text") return this.text(value, pid);
    return this.#textOf(value, pid, (...where) => late.text(...where));
  }

  /** The text in the record; where the program could not read it, what `read` finds. */
  #textOf<Absent>(
    { offset, bytes: most, late }: Extract<Field, { readonly type: "text" }>,
    pid: Read<number>,
    read: (pid: number, address: bigint, most: number) => string | Absent,
  ): Read<string | Absent> {
    const now: Read<string> = ({ u8 }, at) => {
      const whole = u8.subarray(at + offset, at + offset + most);
      const end = whole.indexOf(0);
      return this.#decoder.decode(end < 0 ? whole : whole.subarray(0, end));
    };
    if (late === undefined) return now;
    const unread = readNumber(late);
    const address = readBig(late);
    return (bytes, at) =>
      unread(bytes, at) === 0 ? now(bytes, at) : read(pid(bytes, at), address(bytes, at), most);
  }

  #nameText(field: Extract<Field, { readonly type: "name" }>, pid: Read<number>): Read<string> {
    const { arch, symbols } = this.#context;
    if (field.of === "symbol") {
      const address = readBig(field);
      return (bytes, at) => {
        const ip = address(bytes, at);
        return symbols.frame(pid(bytes, at), ip, ip >= userAddressEnd).name;
      };
    }
    const number = readNumber(field);
    const nameOf = {
      syscall: (of: number) => syscallName(arch, of),
      errno: errnoText,
      signal: signalName,
    }[field.of];
    return (bytes, at) => nameOf(number(bytes, at));
  }
}

/** Syscalls, errnos and signals: few numbers, and none of them depends on the process. */
function isNumberName(value: Field): boolean {
  return (
    value.type === "int" ||
    value.type === "uint" ||
    (value.type === "name" && value.of !== "symbol")
  );
}

/** The field with its number alone. */
function numberField(field: Field): Field {
  return field.type === "choice"
    ? { type: "uint", offset: field.offset, bytes: field.bytes }
    : field;
}

/** The kernel returns errors negated; what is 0 or more is a result. */
function isError(value: number): boolean {
  return value < 0 && value >= -4095;
}
function errnoText(value: number): string {
  return isError(value) ? errnoName(-value) : String(value);
}

/** "127.0.0.1", "fe80::1"; an IPv4 address mapped into IPv6 as IPv4. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.byteLength === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0))
    return bytes.subarray(12).join(".");
  const hex = groups.map((group) => group.toString(16));
  // RFC 5952: the first of the longest runs of two or more zero groups is left out.
  let from = 0;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [from, length] = [i, end - i];
  }
  return length === 1
    ? hex.join(":")
    : `${hex.slice(0, from).join(":")}::${hex.slice(from + length).join(":")}`;
}
