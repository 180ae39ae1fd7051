/**
 * The parts of a `.bpf.o`, an ELF file that clang, rustc or zig made for the BPF machine: programs in sections that say
 * where they go, subprograms in .text, maps described by BTF in .maps, globals in .rodata, .data and .bss.
 *
 * @see https://docs.kernel.org/bpf/llvm_reloc.html, https://docs.kernel.org/bpf/btf.html
 */
import { FormatError } from "@kymo/trace/format";
import { memorySource } from "../../../linux/symbols/byte-source.ts";
import {
  type Elf,
  Fields,
  readElf,
  sectionBytes,
  sectionFlag,
  sectionType,
  stringAt,
} from "../../../linux/symbols/elf.ts";
import { Btf } from "../btf.ts";

export interface ObjectSymbol {
  readonly name: string;
  /** Index of a section; 0: not in this file. */
  readonly section: number;
  readonly offset: number;
  readonly bytes: number;
  readonly kind: "function" | "section" | "other";
}

export interface ObjectRelocation {
  /** Byte offset in the section it is about. */
  readonly offset: number;
  readonly symbol: ObjectSymbol;
}

export interface ObjectSection {
  readonly index: number;
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly isCode: boolean;
  readonly relocations: readonly ObjectRelocation[];
}

export interface ObjectParts {
  readonly sections: readonly ObjectSection[];
  readonly symbols: readonly ObjectSymbol[];
  readonly btf: Btf;
  /** The section .BTF.ext: where the code depends on the kernel's layout of structs. */
  readonly extension: Uint8Array;
}

const bpfMachine = 247;
const sectionLimit = 64 * 1024 * 1024;

/** @throws FormatError when it is no BPF object, or has no BTF */
export function readObject(bytes: Uint8Array): ObjectParts {
  const elf = readElf(memorySource(bytes));
  if (elf.machine !== bpfMachine || !elf.is64 || !elf.littleEndian)
    throw new FormatError("bpf.o", 18, `expected code for BPF (machine 247), found ${elf.machine}`);
  const contents = elf.sections.map((section) =>
    section.size > sectionLimit
      ? new Uint8Array(0)
      : // .bss takes no bytes in the file: it is zeros.
        section.type === sectionType.nobits
        ? new Uint8Array(section.size)
        : sectionBytes(elf, section, sectionLimit),
  );
  const named = (name: string): Uint8Array | undefined =>
    contents[elf.sections.findIndex((section) => section.name === name)];
  const btf = named(".BTF");
  if (btf === undefined)
    throw new FormatError("bpf.o", 0, "there is no .BTF section: compile with -g");
  const symbols = readSymbols(elf, contents);
  return {
    symbols,
    btf: new Btf(btf),
    extension: named(".BTF.ext") ?? new Uint8Array(0),
    sections: elf.sections.map((section, index) => ({
      index,
      name: section.name,
      bytes: contents[index]!,
      isCode: (section.flags & sectionFlag.exec) !== 0,
      relocations: readRelocations(elf, contents, symbols, index),
    })),
  };
}

const symbolBytes = 24;

function readSymbols(elf: Elf, contents: readonly Uint8Array[]): ObjectSymbol[] {
  const table = elf.sections.findIndex(({ type }) => type === sectionType.symtab);
  const bytes = contents[table];
  if (bytes === undefined) throw new FormatError("bpf.o", 0, "there is no symbol table");
  const strings = contents[elf.sections[table]!.link] ?? new Uint8Array(0);
  const fields = new Fields(bytes, true, true);
  const symbols: ObjectSymbol[] = [];
  for (let at = 0; at + symbolBytes <= bytes.length; at += symbolBytes) {
    const type = fields.u8(at + 4) & 15;
    symbols.push({
      name: stringAt(strings, fields.u32(at)),
      section: fields.u16(at + 6),
      offset: fields.u64(at + 8),
      bytes: fields.u64(at + 16),
      kind: type === 2 ? "function" : type === 3 ? "section" : "other",
    });
  }
  return symbols;
}

const relocationBytes = 16;

function readRelocations(
  elf: Elf,
  contents: readonly Uint8Array[],
  symbols: readonly ObjectSymbol[],
  about: number,
): ObjectRelocation[] {
  const relocations: ObjectRelocation[] = [];
  for (const [index, section] of elf.sections.entries()) {
    if (section.type !== sectionType.rel || section.info !== about) continue;
    const bytes = contents[index]!;
    const fields = new Fields(bytes, true, true);
    for (let at = 0; at + relocationBytes <= bytes.length; at += relocationBytes) {
      const symbol = symbols[fields.u32(at + 12)];
      if (symbol !== undefined) relocations.push({ offset: fields.u64(at), symbol });
    }
  }
  return relocations;
}
