/** Functions of an ELF file: .symtab or .dynsym into a SymbolTable, .eh_frame_hdr for what has no symbol. */
import {
  type Elf,
  type ElfSection,
  Fields,
  machine,
  sectionBytes,
  sectionFlag,
  sectionType,
} from "./elf.ts";
import { lastAtMost, type RawSymbols, rank, SymbolTable } from "./symbol-table.ts";

/** Past these a table is not read at all: 4 M symbols (chromium has 1.5 M), 256 MiB of names. */
const symbolsLimit = 4 * 1024 * 1024;
const stringsLimit = 256 * 1024 * 1024;

/**
 * The functions of `elf`, from .symtab, or from .dynsym where it is stripped (.dynsym repeats part of .symtab).
 * @returns undefined when the file has no usable symbol table
 */
export function readSymbols(elf: Elf): SymbolTable | undefined {
  for (const type of [sectionType.symtab, sectionType.dynsym]) {
    const section = elf.sections.find((one) => one.type === type);
    const table = section === undefined ? undefined : readTable(elf, section);
    if (table !== undefined && table.count > 0) return table;
  }
  return undefined;
}

/** Whether the file has the full table, not just what is exported. */
export function hasFullSymbols(elf: Elf): boolean {
  return elf.sections.some((one) => one.type === sectionType.symtab && one.size > 0);
}

function readTable(elf: Elf, section: ElfSection): SymbolTable | undefined {
  const stringSection = elf.sections[section.link];
  if (stringSection === undefined || stringSection.size > stringsLimit) return undefined;
  const entrySize = elf.is64 ? 24 : 16;
  if (section.size > symbolsLimit * entrySize) return undefined;
  const bytes = sectionBytes(elf, section, section.size);
  const strings = sectionBytes(elf, stringSection, stringSection.size);
  const raw = selectFunctions(elf, bytes, strings);
  return new SymbolTable(raw, {
    strings,
    nameEnd: 1,
    endOf: codeEnds(elf),
  });
}

const symbolType = { none: 0, function: 2, ifunc: 10 } as const;

/** Defined functions and code labels; not data, not what an assembler or linker made for itself. */
function selectFunctions(elf: Elf, bytes: Uint8Array, strings: Uint8Array): RawSymbols {
  const { is64 } = elf;
  const entrySize = is64 ? 24 : 16;
  const total = Math.floor(bytes.length / entrySize);
  const fields = new Fields(bytes, is64, elf.littleEndian);
  const addresses = new Float64Array(total);
  const sizes = new Float64Array(total);
  const names = new Uint32Array(total);
  const ranks = new Uint8Array(total);
  const isCode = elf.sections.map(({ flags }) => (flags & sectionFlag.exec) !== 0);
  const isThumb = elf.machine === machine.arm;
  let count = 0;
  for (let at = 0; at < total * entrySize; at += entrySize) {
    const info = fields.u8(at + (is64 ? 4 : 12));
    const type = info & 15;
    if (type !== symbolType.function && type !== symbolType.none && type !== symbolType.ifunc)
      continue;
    const section = fields.u16(at + (is64 ? 6 : 14));
    // 0 is undefined; the reserved numbers are absolute or common, but for 0xffff: the number did not fit.
    if (section === 0 || (section >= 0xff00 && section !== 0xffff)) continue;
    if (type === symbolType.none && isCode[section] === false) continue;
    const name = fields.u32(at);
    if (name >= strings.length || strings[name] === 0) continue;
    if (type === symbolType.none && isLocalLabel(strings, name)) continue;
    const address = fields.word(at + 4, at + 8);
    if (address >= 2 ** 53) continue;
    const size = fields.word(at + 8, at + 16);
    addresses[count] = isThumb ? address - (address % 2) : address;
    sizes[count] = size;
    names[count] = name;
    ranks[count] =
      (type === symbolType.none ? rank.label : 0) |
      (size === 0 ? rank.unsized : 0) |
      (info >> 4 === 0 ? rank.local : 0);
    count++;
  }
  return { count, addresses, sizes, names, ranks };
}

/** `.L…` of compilers; `$a $d $t $x` that mark code and data for ARM and RISC-V. */
function isLocalLabel(strings: Uint8Array, name: number): boolean {
  return (strings[name] === 0x2e && strings[name + 1] === 0x4c) || strings[name] === 0x24;
}

/** Where the code section that holds an address ends; Infinity when none does. */
function codeEnds(elf: Elf): (address: number) => number {
  const code = elf.sections
    .filter(({ flags, size }) => (flags & sectionFlag.exec) !== 0 && size > 0)
    .sort((a, b) => a.address - b.address);
  const starts = Float64Array.from(code, ({ address }) => address);
  return (address) => {
    const section = code[lastAtMost(starts, address)];
    const end = section === undefined ? 0 : section.address + section.size;
    return address < end ? end : Number.POSITIVE_INFINITY;
  };
}

/**
 * First addresses of all functions with unwind information, ascending: also of those without a symbol.
 * From the search table of .eh_frame_hdr, in the one encoding linkers write (pairs of 32-bit offsets).
 * @see https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/ehframechpt.html
 */
export function readFunctionStarts(elf: Elf): Float64Array {
  const section = elf.sections.find(({ name }) => name === ".eh_frame_hdr");
  if (section === undefined) return new Float64Array(0);
  const bytes = sectionBytes(elf, section, 64 * 1024 * 1024);
  const fields = new Fields(bytes, elf.is64, elf.littleEndian);
  const version = fields.u8(0);
  const isPlain =
    version === 1 && fields.u8(1) === 0x1b && fields.u8(2) === 0x03 && fields.u8(3) === 0x3b;
  if (!isPlain) return new Float64Array(0);
  const count = Math.min(fields.u32(8), Math.floor((bytes.length - 12) / 8));
  const starts = new Float64Array(Math.max(0, count));
  for (let i = 0; i < count; i++) starts[i] = section.address + fields.i32(12 + 8 * i);
  return starts.sort();
}
