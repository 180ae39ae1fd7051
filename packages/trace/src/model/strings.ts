/** Interned strings: a text is stored once and named by a small integer. "" is id 0. */
import type { StringId } from "./sink.ts";

export class StringTable {
  readonly #texts: string[] = [""];
  readonly #ids = new Map<string, StringId>([["", 0 as StringId]]);

  get length(): number {
    return this.#texts.length;
  }

  intern(text: string): StringId {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const id = this.#texts.length as StringId;
    this.#texts.push(text);
    this.#ids.set(text, id);
    return id;
  }

  /** @throws RangeError for an id this table never gave. */
  get(id: StringId): string {
    const text = this.#texts[id];
    if (text === undefined) throw new RangeError(`string ${id} of ${this.#texts.length}`);
    return text;
  }

  find(text: string): StringId | undefined {
    return this.#ids.get(text);
  }
}
