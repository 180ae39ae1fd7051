/**
 * ELF headers, as far as symbolizing needs them: sections, segments, build id, debug link.
 * 32 and 64 bits, both byte orders. The file is untrusted: every offset and length is checked against the size of
 * the file before anything is read or allocated.
 *
 * @see https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
 */
import { FormatError } from "@kymo/trace/format";
import type { ByteSource } from "./byte-source.ts";

export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
}
export interface ElfSegment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
}
export interface Elf {
  readonly source: ByteSource;
  readonly is64: boolean;
  readonly littleEndian: boolean;
  readonly machine: number;
  readonly sections: readonly ElfSection[];
  readonly segments: readonly ElfSegment[];
  /** Hex, lower case. */
  readonly buildId: string | undefined;
}

export const sectionType = { symtab: 2, rela: 4, note: 7, nobits: 8, rel: 9, dynsym: 11 } as const;
export const sectionFlag = { exec: 4 } as const;
export const segmentType = { load: 1, note: 4 } as const;
export const segmentFlag = { exec: 1, write: 2 } as const;
export const machine = { i386: 3, arm: 40, x86_64: 62, aarch64: 183 } as const;

const headerLimit = 64 * 1024; // sections, segments; more is no program
const namesLimit = 4 * 1024 * 1024;
const notesLimit = 1024 * 1024;
const noteSegmentsLimit = 16;
const loadSegmentsLimit = 1024;
/** The names that mean something to us are shorter. */
const sectionNameLimit = 64;

/**
 * Reads the headers of an ELF file.
 * @throws FormatError when it is not an ELF file, or its headers point outside it
 */
export function readElf(source: ByteSource): Elf {
  const ident = source.read(0, 64);
  if (
    ident.length < 52 ||
    ident[0] !== 0x7f ||
    ident[1] !== 0x45 ||
    ident[2] !== 0x4c ||
    ident[3] !== 0x46
  )
    throw new FormatError("elf", 0, `expected an ELF header, found ${ident.length} other bytes`);
  const is64 = ident[4] === 2;
  const littleEndian = ident[5] === 1;
  if ((!is64 && ident[4] !== 1) || (!littleEndian && ident[5] !== 2))
    throw new FormatError("elf", 4, `unknown class ${ident[4]} or byte order ${ident[5]}`);
  if (is64 && ident.length < 64) throw new FormatError("elf", 0, "the header is cut short");
  const header = new Fields(ident, is64, littleEndian);
  const machineNumber = header.u16(18);
  const segmentsAt = header.word(28, 32);
  const sectionsAt = header.word(32, 40);
  const sizes = is64 ? 54 : 42; // e_phentsize, then four more
  const segmentSize = header.u16(sizes);
  let segmentCount = header.u16(sizes + 2);
  const sectionSize = header.u16(sizes + 4);
  let sectionCount = header.u16(sizes + 6);
  let namesIndex = header.u16(sizes + 8);

  const zeroth =
    sectionsAt > 0 ? table(source, sectionsAt, 1, sectionSize, is64 ? 64 : 40) : undefined;
  if (zeroth !== undefined) {
    // Counts that do not fit 16 bits are in section 0.
    const fields = new Fields(zeroth, is64, littleEndian);
    if (sectionCount === 0) sectionCount = fields.word(20, 32);
    if (namesIndex === 0xffff) namesIndex = fields.u32(is64 ? 40 : 24);
    if (segmentCount === 0xffff) segmentCount = fields.u32(is64 ? 44 : 28);
  }
  const segments = readSegments(
    table(source, segmentsAt, segmentCount, segmentSize, is64 ? 56 : 32) ?? empty,
    segmentSize,
    is64,
    littleEndian,
  );
  const sections = readSections(
    source,
    (sectionsAt > 0
      ? table(source, sectionsAt, sectionCount, sectionSize, is64 ? 64 : 40)
      : undefined) ?? empty,
    sectionSize,
    namesIndex,
    is64,
    littleEndian,
  );
  const elf = { source, is64, littleEndian, machine: machineNumber, sections, segments };
  return { ...elf, buildId: readBuildId(elf) };
}

const empty = new Uint8Array(0);

/** `count` entries of a header table; fewer when the file ends before, undefined when the table makes no sense. */
function table(
  source: ByteSource,
  offset: number,
  count: number,
  entrySize: number,
  expectedSize: number,
): Uint8Array | undefined {
  if (entrySize < expectedSize || offset <= 0 || offset >= source.size) return undefined;
  const bytes = source.read(offset, Math.min(count, headerLimit) * entrySize);
  return bytes.subarray(0, Math.floor(bytes.length / entrySize) * entrySize);
}

function readSegments(
  bytes: Uint8Array,
  entrySize: number,
  is64: boolean,
  littleEndian: boolean,
): ElfSegment[] {
  const fields = new Fields(bytes, is64, littleEndian);
  const segments: ElfSegment[] = [];
  for (let at = 0; entrySize > 0 && at < bytes.length; at += entrySize)
    segments.push({
      type: fields.u32(at),
      flags: fields.u32(at + (is64 ? 4 : 24)),
      offset: fields.word(at + 4, at + 8),
      address: fields.word(at + 8, at + 16),
      fileSize: fields.word(at + 16, at + 32),
    });
  return segments;
}

function readSections(
  source: ByteSource,
  bytes: Uint8Array,
  entrySize: number,
  namesIndex: number,
  is64: boolean,
  littleEndian: boolean,
): ElfSection[] {
  const fields = new Fields(bytes, is64, littleEndian);
  const raw: { name: number; section: Omit<ElfSection, "name"> }[] = [];
  for (let at = 0; entrySize > 0 && at < bytes.length; at += entrySize)
    raw.push({
      name: fields.u32(at),
      section: {
        type: fields.u32(at + 4),
        flags: fields.word(at + 8, at + 8),
        address: fields.word(at + 12, at + 16),
        offset: fields.word(at + 16, at + 24),
        size: fields.word(at + 20, at + 32),
        link: fields.u32(at + (is64 ? 40 : 24)),
        info: fields.u32(at + (is64 ? 44 : 28)),
      },
    });
  const names = raw[namesIndex]?.section;
  const strings =
    names === undefined ? empty : source.read(names.offset, Math.min(names.size, namesLimit));
  return raw.map(({ name, section }) => ({
    name: stringAt(strings, name, sectionNameLimit),
    ...section,
  }));
}

/** The NUL-ended string at `offset`, cut at `limit` bytes; "" outside. */
export function stringAt(strings: Uint8Array, offset: number, limit = 4096): string {
  const bytes = strings.subarray(offset, offset + limit);
  const end = bytes.indexOf(0);
  return utf8.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
const utf8 = new TextDecoder();

/** What is in the file of a section; empty for NOBITS. At most `limit` bytes: check against `section.size`. */
export function sectionBytes(
  elf: Pick<Elf, "source">,
  section: ElfSection,
  limit: number,
): Uint8Array {
  if (section.type === sectionType.nobits || section.offset >= elf.source.size) return empty;
  return elf.source.read(section.offset, Math.min(section.size, limit));
}

function readBuildId(elf: Omit<Elf, "buildId">): string | undefined {
  const named = elf.sections.find(({ name }) => name === ".note.gnu.build-id");
  if (named !== undefined) {
    const id = buildIdOf(sectionBytes(elf, named, notesLimit), elf.littleEndian);
    if (id !== undefined) return id;
  }
  const noteSegments = elf.segments.filter(({ type }) => type === segmentType.note);
  for (const segment of noteSegments.slice(0, noteSegmentsLimit)) {
    if (segment.offset >= elf.source.size) continue;
    const notes = elf.source.read(segment.offset, Math.min(segment.fileSize, notesLimit));
    const id = buildIdOf(notes, elf.littleEndian);
    if (id !== undefined) return id;
  }
  return undefined;
}

/** The GNU build id (hex) among ELF notes: a note segment or section, /sys/kernel/notes. */
export function buildIdOf(notes: Uint8Array, littleEndian: boolean): string | undefined {
  const fields = new Fields(notes, true, littleEndian);
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = fields.u32(at);
    const size = fields.u32(at + 4);
    const type = fields.u32(at + 8);
    const name = at + 12;
    const value = name + align4(nameSize);
    const end = value + align4(size);
    if (value + size > notes.length) return undefined;
    const isGnu =
      nameSize === 4 &&
      notes[name] === 0x47 &&
      notes[name + 1] === 0x4e &&
      notes[name + 2] === 0x55;
    if (isGnu && type === 3 && size > 0 && size <= 64) {
      return Array.from(notes.subarray(value, value + size), (byte) =>
        byte.toString(16).padStart(2, "0"),
      ).join("");
    }
    at = end;
  }
  return undefined;
}
const align4 = (size: number): number => Math.ceil(size / 4) * 4;

/** `.gnu_debuglink`: the name of the separate debug file and the CRC-32 of its bytes. */
export function readDebugLink(
  elf: Elf,
): { readonly name: string; readonly crc: number } | undefined {
  const section = elf.sections.find(({ name }) => name === ".gnu_debuglink");
  if (section === undefined) return undefined;
  const bytes = sectionBytes(elf, section, 4096);
  const name = stringAt(bytes, 0);
  const crcAt = align4(bytes.indexOf(0) + 1);
  if (name === "" || name.includes("/") || name === ".." || crcAt + 4 > bytes.length)
    return undefined;
  return { name, crc: new Fields(bytes, elf.is64, elf.littleEndian).u32(crcAt) };
}

/**
 * Segments that map the file into memory, executable ones first: neighbouring segments share a page of the file, and
 * code is what is asked for.
 */
export function loadSegments(elf: Elf): readonly ElfSegment[] {
  const loads = elf.segments
    .filter(({ type }) => type === segmentType.load)
    .slice(0, loadSegmentsLimit);
  const isCode = ({ flags }: ElfSegment): boolean => (flags & segmentFlag.exec) !== 0;
  return [...loads.filter(isCode), ...loads.filter((segment) => !isCode(segment))];
}

/** The address the symbol table uses for a place in the file; undefined when no segment maps it. */
export function addressOfOffset(loads: readonly ElfSegment[], offset: number): number | undefined {
  for (const { offset: from, fileSize, address } of loads)
    if (offset >= from && offset < from + fileSize) return offset - from + address;
  return undefined;
}

/** Where in the file an address of the symbol table lies; undefined when no segment maps it. */
export function offsetOfAddress(loads: readonly ElfSegment[], wanted: number): number | undefined {
  for (const { offset, fileSize, address } of loads)
    if (wanted >= address && wanted < address + fileSize) return wanted - address + offset;
  return undefined;
}

/** Reads integers of the file's class and byte order; 0 past the end. 64-bit values are exact below 2^53. */
export class Fields {
  readonly #view: DataView;
  readonly #is64: boolean;
  readonly #littleEndian: boolean;
  constructor(bytes: Uint8Array, is64: boolean, littleEndian: boolean) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#is64 = is64;
    this.#littleEndian = littleEndian;
  }
  u8(at: number): number {
    return at + 1 <= this.#view.byteLength ? this.#view.getUint8(at) : 0;
  }
  u16(at: number): number {
    return at + 2 <= this.#view.byteLength ? this.#view.getUint16(at, this.#littleEndian) : 0;
  }
  u32(at: number): number {
    return at + 4 <= this.#view.byteLength ? this.#view.getUint32(at, this.#littleEndian) : 0;
  }
  i32(at: number): number {
    return this.u32(at) | 0;
  }
  u64(at: number): number {
    const first = this.u32(at);
    const second = this.u32(at + 4);
    return this.#littleEndian ? second * 2 ** 32 + first : first * 2 ** 32 + second;
  }
  /** An address, offset or size: at `at32` in 32-bit files, at `at64` in 64-bit ones. */
  word(at32: number, at64: number): number {
    return this.#is64 ? this.u64(at64) : this.u32(at32);
  }
}
