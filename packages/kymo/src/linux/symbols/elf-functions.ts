/**
 * Functions of an ELF file by name, or its variables: what probes are put on. All symbols of .symtab (or of the separate debug file) and of
 * .dynsym, aliases included; the symbolizer's table, which goes from addresses to names, keeps one name for each address.
 */
import { openDebugFile } from "./debug-files.ts";
import { demangle } from "./demangle/index.ts";
import { type Elf, Fields, sectionBytes, sectionFlag, sectionType } from "./elf.ts";
import { hasFullSymbols } from "./elf-symbols.ts";

export interface ElfFunction {
  /** The linker's name, without a version. */
  readonly name: string;
  readonly address: number;
  /** Bytes; 0 when the table does not say. */
  readonly size: number;
  /** Code that chooses the function when the program is loaded (IFUNC), not the function. */
  readonly resolver: boolean;
}

const symbolsLimit = 4 * 1024 * 1024;
const stringsLimit = 256 * 1024 * 1024;
const nameLimit = 64 * 1024;
const type = { none: 0, variable: 1, function: 2, resolver: 10 } as const;

const mayBeCode: ReadonlySet<number> = new Set([type.none, type.function, type.resolver]);

interface Table {
  readonly elf: Elf;
  readonly fields: Fields;
  readonly count: number;
  readonly strings: Buffer;
}

export class ElfFunctions {
  readonly #tables: Table[] = [];
  readonly #kind: "function" | "variable";

  /**
   * @param elf    its source may be closed afterwards
   * @param file   path of `elf`: where its debug file is looked for
   * @param roots  see `openDebugFile`
   * @param kind   functions, or global and static variables, but not those of each thread
   */
  constructor(
    elf: Elf,
    file: string,
    roots: readonly string[],
    kind: "function" | "variable" = "function",
  ) {
    this.#kind = kind;
    this.#add(elf, sectionType.symtab);
    if (!hasFullSymbols(elf)) {
      const debug = openDebugFile(elf, file, roots);
      if (debug !== undefined) {
        this.#add(debug, sectionType.symtab);
        debug.source.close();
      }
    }
    this.#add(elf, sectionType.dynsym);
  }

  /**
   * Every function, each name at each address once.
   * @param word  only those whose linker name contains it
   */
  *all(word = ""): Generator<ElfFunction> {
    const seen = new Set<string>();
    for (const one of this.#select((_, name) => name.includes(word))) {
      const key = `${one.address} ${one.name}`;
      if (seen.has(key)) continue;
      seen.add(key);
      yield one;
    }
  }

  /** Functions with this linker name: several when files of the source have their own. */
  named(name: string): ElfFunction[] {
    const found: ElfFunction[] = [];
    for (const table of this.#tables) {
      const offsets = occurrences(table.strings, name);
      if (offsets.size > 0)
        found.push(...select(table, this.#kind, (offset) => offsets.has(offset)));
    }
    return unique(found);
  }

  /**
   * Functions with this name of the source: `v8::internal::Heap::CollectGarbage`, with or without parameters.
   * Demangling every name of a large program takes a second; only those that can be meant are.
   */
  inSource(name: string): ElfFunction[] {
    const params = name.includes("(");
    const word = wordInLinkerName(name);
    const found: ElfFunction[] = [];
    for (const one of this.#select((_, text) => text.includes(word)))
      if (one.name !== name && demangle(one.name, { params }) === name) found.push(one);
    return unique(found);
  }

  *#select(keep: (offset: number, name: string) => boolean): Generator<ElfFunction> {
    for (const table of this.#tables) yield* select(table, this.#kind, () => true, keep);
  }

  #add(elf: Elf, wanted: number): void {
    const section = elf.sections.find((one) => one.type === wanted && one.size > 0);
    const strings = section === undefined ? undefined : elf.sections[section.link];
    if (section === undefined || strings === undefined || strings.size > stringsLimit) return;
    const entrySize = elf.is64 ? 24 : 16;
    if (section.size > symbolsLimit * entrySize) return;
    const bytes = sectionBytes(elf, section, section.size);
    const text = sectionBytes(elf, strings, strings.size);
    this.#tables.push({
      elf,
      fields: new Fields(bytes, elf.is64, elf.littleEndian),
      count: Math.floor(bytes.length / entrySize),
      strings: Buffer.from(text.buffer, text.byteOffset, text.length),
    });
  }
}

/**
 * A word that the linker's name of a function with this name in the source (or this glob for it) contains; "" when none
 * is certain: words of `std`, of operators, of types in templates and parameters are written otherwise there.
 */
export function wordInLinkerName(name: string): string {
  const path = name.replace(/\(.*$/s, "").replace(/<.*>/gs, "");
  if (/\boperator\b|[<>{}]/.test(path)) return "";
  const words = path.split("::").flatMap((part) => part.match(/[A-Za-z_]\w*/g) ?? []);
  return words
    .filter((word) => !/^(std|string|allocator|basic_\w+|[io]\w*stream)$/.test(word))
    .reduce((longest, word) => (word.length > longest.length ? word : longest), "");
}

function* select(
  { elf, fields, count, strings }: Table,
  wanted: "function" | "variable",
  keepOffset: (offset: number) => boolean,
  keepName: (offset: number, name: string) => boolean = () => true,
): Generator<ElfFunction> {
  const { is64 } = elf;
  const entrySize = is64 ? 24 : 16;
  for (let at = 0; at < count * entrySize; at += entrySize) {
    const kind = fields.u8(at + (is64 ? 4 : 12)) & 15;
    if (wanted === "variable" ? kind !== type.variable : !mayBeCode.has(kind)) continue;
    const section = fields.u16(at + (is64 ? 6 : 14));
    if (section === 0 || (section >= 0xff00 && section !== 0xffff)) continue;
    const isCode = ((elf.sections[section]?.flags ?? 0) & sectionFlag.exec) !== 0;
    if (kind === type.none && !isCode) continue;
    const offset = fields.u32(at);
    if (!keepOffset(offset)) continue;
    const name = nameAt(strings, offset);
    if (name === "" || /^(\.L|\$)/.test(name) || !keepName(offset, name)) continue;
    const address = fields.word(at + 4, at + 8);
    if (address >= 2 ** 53) continue;
    yield {
      name,
      address,
      size: fields.word(at + 8, at + 16),
      resolver: kind === type.resolver,
    };
  }
}

function nameAt(strings: Buffer, offset: number): string {
  const end = strings.indexOf(0, offset);
  const text = strings.toString(
    "utf8",
    offset,
    Math.min(end < 0 ? offset : end, offset + nameLimit),
  );
  const version = text.indexOf("@");
  return version > 0 ? text.slice(0, version) : text;
}

/** Where in a string table a name ends, with its version or without: tables share the ends of their strings. */
function occurrences(strings: Buffer, name: string): Set<number> {
  const offsets = new Set<number>();
  if (name === "") return offsets;
  const wanted = Buffer.from(name);
  for (let at = strings.indexOf(wanted); at >= 0; at = strings.indexOf(wanted, at + 1)) {
    const next = strings[at + wanted.length];
    if (next === 0 || next === 0x40) offsets.add(at);
  }
  return offsets;
}

function unique(functions: readonly ElfFunction[]): ElfFunction[] {
  const byAddress = new Map<number, ElfFunction>();
  for (const one of functions) if (!byAddress.has(one.address)) byAddress.set(one.address, one);
  return [...byAddress.values()];
}
