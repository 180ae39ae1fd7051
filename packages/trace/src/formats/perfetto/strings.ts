/** Texts by id, and which of them the current section has interned for which use. */
import type { StringId } from "../../model/sink.ts";
import type { ProtoWriter } from "../../wire/protobuf.ts";
import { InternedText } from "./records.ts";

/** The sink's strings. Ids last as long as the sink, so this grows with distinct texts, not with events. */
export class Texts {
  readonly list: string[] = [""];
  private readonly ids = new Map<string, StringId>([["", 0 as StringId]]);

  id(text: string): StringId {
    const known = this.ids.get(text);
    if (known !== undefined) return known;
    const id = this.list.length as StringId;
    this.list.push(text);
    this.ids.set(text, id);
    return id;
  }
  get(id: StringId): string {
    const text = this.list[id];
    if (text === undefined) throw new RangeError(`string ${id} was not given by this sink`);
    return text;
  }
}

/**
 * Interning ids of one use (event names, categories, …), started over in every section.
 * `iid` is 0 for what the section has not defined yet.
 */
export class IidTable {
  /** Per key: section · 2^32 would not fit beside the iid, so two columns. */
  private iids = new Uint32Array(64);
  private sections = new Uint32Array(64);
  private readonly first: number;
  private next: number;

  /** @param first smallest iid to give out; smaller ones are reserved */
  constructor(first = 1) {
    this.first = first;
    this.next = first;
  }
  restart(): void {
    this.next = this.first;
  }
  iid(key: number, section: number): number {
    return this.sections[key] === section ? this.iids[key]! : 0;
  }
  /** Gives `key` the next iid of `section`. */
  define(key: number, section: number): number {
    if (key >= this.iids.length) {
      const size = 2 ** Math.ceil(Math.log2(key + 1));
      const iids = new Uint32Array(size);
      const sections = new Uint32Array(size);
      iids.set(this.iids);
      sections.set(this.sections);
      this.iids = iids;
      this.sections = sections;
    }
    this.iids[key] = this.next;
    this.sections[key] = section;
    return this.next++;
  }
  /** An iid that belongs to no key. */
  reserve(): number {
    return this.next++;
  }
}

/** Writes interned texts of one field of InternedData as they are first used. */
export class TextInterner {
  private readonly field: number;
  private readonly table: IidTable;
  private readonly texts: Texts;
  private readonly out: ProtoWriter;

  /** @param out the InternedData of the packet being written */
  constructor(field: number, texts: Texts, out: ProtoWriter, first = 1) {
    this.field = field;
    this.texts = texts;
    this.out = out;
    this.table = new IidTable(first);
  }
  restart(): void {
    this.table.restart();
  }
  iid(id: StringId, section: number): number {
    const known = this.table.iid(id, section);
    if (known !== 0) return known;
    const iid = this.table.define(id, section);
    this.write(iid, this.texts.get(id));
    return iid;
  }
  /** Defines an iid of its own for a text, whatever else it is used for. */
  own(text: string): number {
    const iid = this.table.reserve();
    this.write(iid, text);
    return iid;
  }
  write(iid: number, text: string): void {
    const entry = this.out.open(this.field);
    this.out.uint(InternedText.iid, iid);
    this.out.string(InternedText.text, text);
    this.out.close(entry);
  }
}
