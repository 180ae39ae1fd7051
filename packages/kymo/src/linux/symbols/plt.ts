/**
 * Names for the stubs of the procedure linkage table: `write@plt`.
 * Linkers lay stubs out in many ways (.plt, .plt.sec, .plt.got, with and without BTI), so the stubs are read:
 * each jumps through a slot of the GOT, and a relocation says whose slot that is.
 */
import { type Elf, Fields, machine, sectionBytes, sectionType, stringAt } from "./elf.ts";

/** Over all sections: a program has a few thousand. */
const relocationsLimit = 1024 * 1024;
const stubBytesLimit = 4 * 1024 * 1024;

export interface PltStub {
  readonly address: number;
  readonly name: string;
}

/** The stubs of `elf` by ascending address; empty on other machines. */
export function readPlt(elf: Elf): readonly PltStub[] {
  const slotsOf =
    elf.machine === machine.x86_64
      ? x86Slots
      : elf.machine === machine.aarch64
        ? armSlots
        : undefined;
  if (slotsOf === undefined || !elf.is64) return [];
  const names = slotNames(elf);
  if (names.size === 0) return [];
  const stubs: PltStub[] = [];
  let bytesLeft = stubBytesLimit;
  for (const section of elf.sections) {
    if (section.name !== ".plt" && !section.name.startsWith(".plt.")) continue;
    const code = sectionBytes(elf, section, bytesLeft);
    bytesLeft -= code.length;
    for (const [address, slot] of slotsOf(code, section.address, elf.littleEndian)) {
      const name = names.get(slot);
      if (name !== undefined) stubs.push({ address, name: `${name}@plt` });
    }
  }
  return stubs.sort((a, b) => a.address - b.address);
}

/** GOT slot → name of the symbol that its relocation names. */
function slotNames(elf: Elf): Map<number, string> {
  const names = new Map<number, string>();
  const dynsym = elf.sections.find(({ type }) => type === sectionType.dynsym);
  const dynstr = dynsym === undefined ? undefined : elf.sections[dynsym.link];
  if (dynsym === undefined || dynstr === undefined) return names;
  const symbols = new Fields(sectionBytes(elf, dynsym, 64 * 1024 * 1024), true, elf.littleEndian);
  const strings = sectionBytes(elf, dynstr, 256 * 1024 * 1024);
  let left = relocationsLimit;
  for (const section of elf.sections) {
    if (section.type !== sectionType.rela || !/^\.rela\.(plt|dyn)$/.test(section.name)) continue;
    const bytes = sectionBytes(elf, section, left * 24);
    left -= Math.ceil(bytes.length / 24);
    const fields = new Fields(bytes, true, elf.littleEndian);
    for (let at = 0; at + 24 <= bytes.length; at += 24) {
      const symbol = fields.u32(at + 12);
      if (symbol === 0) continue;
      const name = stringAt(strings, symbols.u32(symbol * 24));
      if (name !== "") names.set(fields.u64(at), name);
    }
  }
  return names;
}

/** `jmp *slot(%rip)` is ff 25 and a 32-bit distance from the next instruction. */
function* x86Slots(
  code: Uint8Array,
  address: number,
  littleEndian: boolean,
): Generator<[number, number]> {
  const fields = new Fields(code, true, littleEndian);
  for (let at = 0; at + 6 <= code.length; at++) {
    if (code[at] !== 0xff || code[at + 1] !== 0x25) continue;
    const bnd = at > 0 && code[at - 1] === 0xf2 ? 1 : 0;
    const endbr = at - bnd >= 4 && fields.u32(at - bnd - 4) === 0xfa1e0ff3 ? 4 : 0;
    yield [address + at - bnd - endbr, address + at + 6 + fields.i32(at + 2)];
    at += 5;
  }
}

/** `adrp x16, page; ldr x17, [x16, #offset]`. Exported for its test: (address of the stub, address of its slot). */
export function* armSlots(
  code: Uint8Array,
  address: number,
  littleEndian: boolean,
): Generator<[number, number]> {
  const fields = new Fields(code, true, littleEndian);
  for (let at = 0; at + 8 <= code.length; at += 4) {
    const adrp = fields.u32(at);
    const ldr = fields.u32(at + 4);
    if ((adrp & 0x9f00001f) >>> 0 !== 0x90000010 || (ldr & 0xffc003ff) >>> 0 !== 0xf9400211)
      continue;
    const pages = (((adrp >>> 5) & 0x7ffff) << 2) | ((adrp >>> 29) & 3);
    const signed = (pages << 11) >> 11;
    const page = Math.floor((address + at) / 4096) * 4096 + signed * 4096;
    const bti = at >= 4 && fields.u32(at - 4) === 0xd503245f ? 4 : 0;
    yield [address + at - bti, page + ((ldr >>> 10) & 0xfff) * 8];
  }
}
