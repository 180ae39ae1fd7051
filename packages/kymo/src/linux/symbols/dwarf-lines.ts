/**
 * Addresses of source lines, from the line number program of DWARF 2 to 5 (`.debug_line`).
 *
 *     unit:  header (directories, files) │ program: opcodes that walk (address, file, line) through the code
 *
 * A unit whose files don't match is skipped by its length. The bytes are untrusted: reads past the end give 0 and a
 * program ends with its unit.
 *
 * @see https://dwarfstd.org, DWARF 5 section 6.2
 */
import { inflateSync } from "node:zlib";
import { type Elf, Fields, sectionBytes, stringAt } from "./elf.ts";

export interface LineAddress {
  /** As the compiler wrote it: the directory and the name. */
  readonly file: string;
  readonly line: number;
  /** Where the line's code begins, as in the symbol table. */
  readonly address: number;
}

const sectionLimit = 1024 ** 3;
const filesLimit = 65_536;

/**
 * Where code of `file:line` begins, and of the lines that follow it in that file for as long as there is none for `line`.
 *
 * @param file  the end of a path, by whole names: `main.c`, `src/main.c`
 * @returns     one for each place; all of the same line, the first at or after `line` that has code
 */
export function addressesOfLine(elf: Elf, file: string, line: number): LineAddress[] {
  const sections = lineSections(elf);
  if (sections === undefined) return [];
  let found: LineAddress[] = [];
  let best = Number.POSITIVE_INFINITY;
  for (const unit of units(sections, elf)) {
    const wanted = unit.files.map((one) => endsWithPath(one, file));
    if (!wanted.includes(true)) continue;
    runProgram(unit, (row) => {
      if (!row.isStatement || wanted[row.file] !== true || row.line < line || row.line > best)
        return;
      if (row.line < best) found = [];
      best = row.line;
      found.push({ file: unit.files[row.file]!, line: row.line, address: row.address });
    });
  }
  return found;
}

/** Whether the file has line numbers at all. */
export function hasLines(elf: Elf): boolean {
  return elf.sections.some(({ name, size }) => name === ".debug_line" && size > 0);
}

/** Source files that the line table names: for suggestions. */
export function sourceFiles(elf: Elf): Set<string> {
  const files = new Set<string>();
  const sections = lineSections(elf);
  if (sections === undefined) return files;
  for (const unit of units(sections, elf))
    for (const file of unit.files) {
      if (files.size >= filesLimit) return files;
      files.add(file);
    }
  return files;
}

function endsWithPath(path: string, end: string): boolean {
  return path === end || path.endsWith(`/${end}`);
}

interface LineSections {
  readonly lines: Fields;
  readonly length: number;
  readonly strings: Uint8Array;
  readonly lineStrings: Uint8Array;
}

function lineSections(elf: Elf): LineSections | undefined {
  const read = (name: string): Uint8Array => {
    const section = elf.sections.find((one) => one.name === name);
    if (section === undefined) return new Uint8Array(0);
    return expand(elf, sectionBytes(elf, section, sectionLimit), section.flags);
  };
  const bytes = read(".debug_line");
  if (bytes.length === 0) return undefined;
  return {
    lines: new Fields(bytes, elf.is64, elf.littleEndian),
    length: bytes.length,
    strings: read(".debug_str"),
    lineStrings: read(".debug_line_str"),
  };
}

const compressedFlag = 0x800;
const zlib = 1;

/** Sections may be compressed: a header of type and size, then the data. What can't be expanded is as if not there. */
function expand(elf: Elf, bytes: Uint8Array, flags: number): Uint8Array {
  if ((flags & compressedFlag) === 0) return bytes;
  const header = new Fields(bytes, elf.is64, elf.littleEndian);
  const size = header.word(4, 8);
  if (header.u32(0) !== zlib || size > sectionLimit) return new Uint8Array(0);
  try {
    return inflateSync(bytes.subarray(elf.is64 ? 24 : 12), { maxOutputLength: size });
  } catch {
    return new Uint8Array(0);
  }
}

interface Unit {
  readonly bytes: Fields;
  readonly is64: boolean;
  /** Of the program. */
  readonly from: number;
  readonly to: number;
  readonly minimumInstruction: number;
  readonly defaultIsStatement: boolean;
  readonly lineBase: number;
  readonly lineRange: number;
  /** Operands of the standard opcodes, from opcode 1 on. */
  readonly operands: readonly number[];
  /** With their directories, by the number the program uses. */
  readonly files: readonly string[];
}

function* units(sections: LineSections, elf: Elf): Generator<Unit> {
  const { lines, length } = sections;
  for (let at = 0; at + 4 < length; ) {
    const isLong = lines.u32(at) === 0xffff_ffff;
    const size = isLong ? lines.u64(at + 4) : lines.u32(at);
    const start = at + (isLong ? 12 : 4);
    const end = start + size;
    if (size === 0 || end > length) return;
    const unit = readUnit(sections, elf, start, end, isLong);
    if (unit !== undefined) yield unit;
    at = end;
  }
}

function readUnit(
  sections: LineSections,
  elf: Elf,
  start: number,
  end: number,
  isLong: boolean,
): Unit | undefined {
  const { lines } = sections;
  const version = lines.u16(start);
  if (version < 2 || version > 5) return undefined;
  const cursor = new Cursor(lines, start + 2, end);
  if (version >= 5) cursor.at += 2; // sizes of an address and of a segment selector
  const headerSize = isLong ? cursor.u64() : cursor.u32();
  const from = cursor.at + headerSize;
  const minimumInstruction = cursor.u8();
  if (version >= 4) cursor.at++; // operations in an instruction: 1 but on VLIW machines
  const defaultIsStatement = cursor.u8() !== 0;
  const lineBase = (cursor.u8() << 24) >> 24;
  const lineRange = cursor.u8();
  const opcodeBase = cursor.u8();
  const operands = Array.from({ length: Math.max(0, opcodeBase - 1) }, () => cursor.u8());
  if (lineRange === 0 || from > end) return undefined;
  const files = version >= 5 ? filesOfFive(cursor, sections, isLong) : filesOfFour(cursor);
  const numbers = { from, to: end, minimumInstruction, defaultIsStatement, lineBase, lineRange };
  return { bytes: lines, is64: elf.is64, ...numbers, operands, files };
}

/** DWARF 2 to 4: directories, then files, each list ended by an empty name. The first of each is number 1. */
function filesOfFour(cursor: Cursor): string[] {
  const directories = [""];
  for (let name = cursor.text(); name !== ""; name = cursor.text()) directories.push(name);
  const files = [""];
  for (let name = cursor.text(); name !== "" && files.length < filesLimit; name = cursor.text()) {
    const directory = directories[cursor.uleb()] ?? "";
    cursor.uleb(); // time
    cursor.uleb(); // length
    files.push(join(directory, name));
  }
  return files;
}

const content = { path: 1, directory: 2 } as const;
const form = {
  block: 0x09,
  data1: 0x0b,
  data2: 0x05,
  data4: 0x06,
  data8: 0x07,
  data16: 0x1e,
  string: 0x08,
  strp: 0x0e,
  udata: 0x0f,
  lineStrp: 0x1f,
} as const;

/** DWARF 5: both lists say how their entries are made. The first of each is number 0. */
function filesOfFive(cursor: Cursor, sections: LineSections, isLong: boolean): string[] {
  const list = (): { readonly name: string; readonly directory: number }[] => {
    const formats = Array.from({ length: cursor.u8() }, () => ({
      content: cursor.uleb(),
      form: cursor.uleb(),
    }));
    const count = formats.length === 0 ? 0 : Math.min(cursor.uleb(), filesLimit);
    const entries: { name: string; directory: number }[] = [];
    for (let i = 0; i < count && cursor.at < cursor.end; i++) {
      const entry = { name: "", directory: 0 };
      for (const one of formats) {
        const value = formValue(cursor, one.form, sections, isLong);
        if (one.content === content.path && typeof value === "string") entry.name = value;
        if (one.content === content.directory && typeof value === "number") entry.directory = value;
      }
      entries.push(entry);
    }
    return entries;
  };
  const directories = list().map(({ name }) => name);
  const root = directories[0] ?? "";
  return list().map(({ name, directory }) => {
    const at = directories[directory] ?? "";
    return join(at === root ? root : join(root, at), name);
  });
}

function join(directory: string, name: string): string {
  return directory === "" || name.startsWith("/") ? name : `${directory}/${name}`;
}

function formValue(
  cursor: Cursor,
  kind: number,
  { strings, lineStrings }: LineSections,
  isLong: boolean,
): string | number | undefined {
  switch (kind) {
    case form.string:
      return cursor.text();
    case form.strp:
      return stringAt(strings, isLong ? cursor.u64() : cursor.u32());
    case form.lineStrp:
      return stringAt(lineStrings, isLong ? cursor.u64() : cursor.u32());
    case form.udata:
      return cursor.uleb();
    case form.data1:
      return cursor.u8();
    case form.data2:
      return cursor.u16();
    case form.data4:
      return cursor.u32();
    case form.data8:
      return cursor.u64();
    case form.data16:
      cursor.at += 16;
      return undefined;
    case form.block:
      cursor.at += cursor.uleb();
      return undefined;
    default:
      cursor.at = cursor.end; // an unknown form has an unknown length: nothing after it can be read
      return undefined;
  }
}

interface Row {
  address: number;
  file: number;
  line: number;
  isStatement: boolean;
}

const standard = {
  copy: 1,
  advancePc: 2,
  advanceLine: 3,
  setFile: 4,
  negateStatement: 6,
  constAddPc: 8,
  fixedAdvancePc: 9,
} as const;
const extended = { endSequence: 1, setAddress: 2 } as const;

/** Runs a unit's program. `row` is told of each row of the table but the ends of sequences; it is one object, reused. */
function runProgram(unit: Unit, row: (row: Readonly<Row>) => void): void {
  const { bytes, minimumInstruction, lineBase, lineRange, operands } = unit;
  const cursor = new Cursor(bytes, unit.from, unit.to);
  const opcodeBase = operands.length + 1;
  const fresh = (): Row => ({
    address: 0,
    file: 1,
    line: 1,
    isStatement: unit.defaultIsStatement,
  });
  let state = fresh();
  while (cursor.at < unit.to) {
    const opcode = cursor.u8();
    if (opcode >= opcodeBase) {
      const special = opcode - opcodeBase;
      state.address += Math.floor(special / lineRange) * minimumInstruction;
      state.line += lineBase + (special % lineRange);
      row(state);
      continue;
    }
    switch (opcode) {
      case 0: {
        const length = cursor.uleb();
        const end = cursor.at + length;
        const kind = cursor.u8();
        if (kind === extended.endSequence) state = fresh();
        else if (kind === extended.setAddress)
          state.address = length === 9 ? cursor.u64() : cursor.u32();
        cursor.at = end;
        break;
      }
      case standard.copy:
        row(state);
        break;
      case standard.advancePc:
        state.address += cursor.uleb() * minimumInstruction;
        break;
      case standard.advanceLine:
        state.line += cursor.sleb();
        break;
      case standard.setFile:
        state.file = cursor.uleb();
        break;
      case standard.negateStatement:
        state.isStatement = !state.isStatement;
        break;
      case standard.constAddPc:
        state.address += Math.floor((255 - opcodeBase) / lineRange) * minimumInstruction;
        break;
      case standard.fixedAdvancePc:
        state.address += cursor.u16();
        break;
      default:
        for (let i = operands[opcode - 1] ?? 0; i > 0; i--) cursor.uleb();
    }
  }
}

/** Reads one after the other; 0 from the end on. */
class Cursor {
  at: number;
  readonly end: number;
  readonly #fields: Fields;
  constructor(fields: Fields, at: number, end: number) {
    this.#fields = fields;
    this.at = at;
    this.end = end;
  }
  u8(): number {
    return this.#fields.u8(this.#take(1));
  }
  u16(): number {
    return this.#fields.u16(this.#take(2));
  }
  u32(): number {
    return this.#fields.u32(this.#take(4));
  }
  u64(): number {
    return this.#fields.u64(this.#take(8));
  }
  #take(bytes: number): number {
    const { at } = this;
    this.at += bytes;
    return at;
  }
  /** Unsigned LEB128; exact below 2^53. */
  uleb(): number {
    let value = 0;
    for (let scale = 1; this.at < this.end; scale *= 128) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  }
  sleb(): number {
    let value = 0;
    let scale = 1;
    while (this.at < this.end) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - scale;
    }
    return value;
  }
  text(): string {
    const bytes: number[] = [];
    while (this.at < this.end) {
      const byte = this.u8();
      if (byte === 0) break;
      bytes.push(byte);
    }
    return Buffer.from(bytes).toString("utf8");
  }
}
