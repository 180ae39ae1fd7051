/** Writes small ELF files for tests: any class and byte order, one code segment, one symbol table. */

export interface MadeSymbol {
  readonly name: string;
  readonly address: number;
  readonly size: number;
  /** STT_*: 0 none, 1 object, 2 function, 10 indirect function. */
  readonly type?: number;
  /** STB_*: 0 local, 1 global, 2 weak. */
  readonly binding?: number;
}
export interface MadeElf {
  readonly is64?: boolean;
  readonly littleEndian?: boolean;
  readonly machine?: number;
  readonly dynamic?: boolean;
  readonly buildId?: Uint8Array;
  readonly symbols?: readonly MadeSymbol[];
  /** Of the code segment and section. */
  readonly address?: number;
  readonly codeSize?: number;
}

/** Where the code is in the file: the segment starts here. */
export const codeOffset = 0x200;

export function makeElf(made: MadeElf): Uint8Array {
  const {
    is64 = true,
    littleEndian = true,
    symbols = [],
    address = 0x1200,
    codeSize = 0x400,
  } = made;
  const word = is64 ? 8 : 4;
  const strings = ["\0"];
  const nameAt = symbols.map(({ name }) => {
    const at = strings.join("").length;
    strings.push(`${name}\0`);
    return at;
  });
  const strtab = latin1(strings.join(""));
  const shstrtab = latin1("\0.text\0.symtab\0.strtab\0.shstrtab\0.note.gnu.build-id\0");
  const noteSize = made.buildId === undefined ? 0 : 16 + made.buildId.length;
  const symbolSize = is64 ? 24 : 16;
  const noteAt = codeOffset + codeSize;
  const symtabAt = noteAt + Math.ceil(noteSize / 8) * 8;
  const strtabAt = symtabAt + (symbols.length + 1) * symbolSize;
  const shstrtabAt = strtabAt + strtab.length;
  const sectionsAt = Math.ceil((shstrtabAt + shstrtab.length) / 8) * 8;
  const sectionSize = is64 ? 64 : 40;
  const bytes = new Uint8Array(sectionsAt + 6 * sectionSize);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const u8 = (value: number) => view.setUint8(at++, value);
  const u16 = (value: number) => {
    view.setUint16(at, value, littleEndian);
    at += 2;
  };
  const u32 = (value: number) => {
    view.setUint32(at, value, littleEndian);
    at += 4;
  };
  const uword = (value: number) => {
    if (is64) view.setBigUint64(at, BigInt(value), littleEndian);
    else view.setUint32(at, value, littleEndian);
    at += word;
  };

  bytes.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, littleEndian ? 1 : 2, 1]);
  at = 16;
  u16(2);
  u16(made.machine ?? 62);
  u32(1);
  uword(address);
  uword(is64 ? 64 : 52);
  uword(sectionsAt);
  u32(0);
  u16(is64 ? 64 : 52);
  u16(is64 ? 56 : 32);
  u16(1);
  u16(sectionSize);
  u16(6);
  u16(4);

  at = is64 ? 64 : 52;
  u32(1); // PT_LOAD
  if (is64) u32(5);
  uword(codeOffset);
  uword(address);
  uword(address);
  uword(codeSize);
  uword(codeSize);
  if (!is64) u32(5);
  uword(0x1000);

  if (made.buildId !== undefined) {
    at = noteAt;
    u32(4);
    u32(made.buildId.length);
    u32(3);
    bytes.set(latin1("GNU\0"), at);
    bytes.set(made.buildId, at + 4);
  }

  symbols.forEach((symbol, i) => {
    at = symtabAt + (i + 1) * symbolSize;
    const info = ((symbol.binding ?? 1) << 4) | (symbol.type ?? 2);
    u32(nameAt[i]!);
    if (is64) {
      u8(info);
      u8(0);
      u16(1);
    }
    uword(symbol.address);
    uword(symbol.size);
    if (!is64) {
      u8(info);
      u8(0);
      u16(1);
    }
  });
  bytes.set(strtab, strtabAt);
  bytes.set(shstrtab, shstrtabAt);

  const section = (
    index: number,
    name: number,
    type: number,
    flags: number,
    where: readonly [address: number, offset: number, size: number],
    link = 0,
  ): void => {
    at = sectionsAt + index * sectionSize;
    u32(name);
    u32(type);
    uword(flags);
    for (const value of where) uword(value);
    u32(link);
    u32(0);
    uword(1);
    uword(type === 2 || type === 11 ? symbolSize : 0);
  };
  section(1, 1, 1, 6, [address, codeOffset, codeSize]);
  section(2, 7, made.dynamic ? 11 : 2, 0, [0, symtabAt, (symbols.length + 1) * symbolSize], 3);
  section(3, 15, 3, 0, [0, strtabAt, strtab.length]);
  section(4, 23, 3, 0, [0, shstrtabAt, shstrtab.length]);
  section(5, 33, noteSize > 0 ? 7 : 0, 0, [0, noteAt, noteSize]);
  return bytes;
}

const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));
