/** The arguments of one event: its "args", the members that have no field of their own, and its id where that is no key. */
import { type ArgSetId, type ArgsBuilder, NO_ARGS, type StringId } from "../../model/sink.ts";
import { GUARD, GUARD_BYTES } from "../../wire/json-bytes.ts";
import type { JsonStrings } from "../../wire/json-strings.ts";
import { ArgsReader, keyId } from "./args.ts";
import type { EventFields } from "./event.ts";

const OPEN = 0x7b;
const CLOSE = 0x7d;
const COMMA = 44;
const COLON = 58;
const QUOTE = 34;
const ARGS_KEY = new TextEncoder().encode("args");
const ID_KEY = new TextEncoder().encode("id");

export class EventArgs {
  readonly reader: ArgsReader;
  readonly #strings: JsonStrings;
  readonly #onBad: () => void;
  /** Interned when first needed. */
  #argsKey: StringId | undefined;

  /** @param onBad  called for arguments that are left out because they are no JSON */
  constructor(
    strings: JsonStrings,
    builder: ArgsBuilder,
    text: (text: string) => StringId,
    onBad: () => void,
  ) {
    this.#strings = strings;
    this.reader = new ArgsReader(strings, builder, text);
    this.#onBad = onBad;
  }

  /** @param usesId  the event's id is part of what it means, not an argument */
  of(b: Uint8Array, e: EventFields, usesId: boolean): ArgSetId {
    const isEmpty = e.argsTo - e.argsFrom <= 2;
    const isPlain = e.extraCount === 0 && (usesId || e.idTo === 0);
    if (isPlain && isEmpty) return NO_ARGS;
    if (isPlain) this.#members(b, e.argsFrom, e.argsTo);
    else {
      // As one object, so that of two members with the same key the last one wins, wherever they stand.
      const json = this.joined(b, e, usesId, undefined);
      this.#members(json, 0, json.length - GUARD_BYTES);
    }
    return this.reader.done();
  }

  /** A set of bytes that `joined` made. */
  ofJoined(json: Uint8Array | undefined): ArgSetId {
    if (json === undefined) return NO_ARGS;
    this.#members(json, 0, json.length - GUARD_BYTES);
    return this.reader.done();
  }

  /** The event's arguments as one object in bytes of its own (guarded), after the members of `before`. */
  joined(
    b: Uint8Array,
    e: EventFields,
    usesId: boolean,
    before: Uint8Array | undefined,
  ): Uint8Array {
    const parts: Uint8Array[] = [];
    const addMember = (key: Uint8Array, value: Uint8Array): void => {
      parts.push(Uint8Array.of(COMMA, QUOTE), key, Uint8Array.of(QUOTE, COLON), value);
    };
    if (before !== undefined) parts.push(before.subarray(1, before.length - GUARD_BYTES - 1));
    if (e.argsTo - e.argsFrom > 2) {
      const args = b.subarray(e.argsFrom, e.argsTo);
      if (args[0] === OPEN) parts.push(Uint8Array.of(COMMA), args.subarray(1, -1));
      else addMember(ARGS_KEY, args);
    }
    for (let i = 0; i < 4 * e.extraCount; i += 4)
      addMember(
        b.subarray(e.extras[i]!, e.extras[i + 1]!),
        b.subarray(e.extras[i + 2]!, e.extras[i + 3]!),
      );
    if (!usesId && e.idTo !== 0) addMember(ID_KEY, b.subarray(e.idFrom, e.idTo));
    let length = 2;
    for (const part of parts) length += part.length;
    const json = new Uint8Array(length + GUARD_BYTES);
    json[0] = OPEN;
    let at = 1;
    for (const part of parts) {
      json.set(part, at);
      at += part.length;
    }
    json[at] = CLOSE;
    return json.fill(GUARD, length);
  }

  #members(b: Uint8Array, from: number, to: number): void {
    this.#argsKey ??= keyId(this.#strings, ARGS_KEY, 0, 4);
    if (!this.reader.addMembers(b, from, to, this.#argsKey)) this.#onBad();
  }
}
