/**
 * Static probes (USDT) of a program or library: the notes that <sys/sdt.h> leaves in `.note.stapsdt`.
 *
 *     note "stapsdt" type 3:  location · base · semaphore (addresses)  "provider\0" "name\0" "-4@%edi 8@-16(%rbp)\0"
 *
 * The linker may have moved the file since the note was written; the section `.stapsdt.base` moved with it, so the
 * difference between where it is and what the note calls `base` goes onto every address.
 *
 * @see https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation
 */
import { type Elf, Fields, sectionBytes, stringAt } from "./elf.ts";

export interface StaticProbe {
  readonly provider: string;
  readonly name: string;
  /** As in the symbol table. */
  readonly address: number;
  /** Address of a u16 that counts who listens, 0 when there is none: the program prepares arguments only while it is above 0. */
  readonly semaphore: number;
  /** As the note has them, in the assembler's spelling. */
  readonly arguments: readonly string[];
}

const notesLimit = 64 * 1024 * 1024;
const noteType = 3;

export function readStaticProbes(elf: Elf): StaticProbe[] {
  const section = elf.sections.find(({ name }) => name === ".note.stapsdt");
  if (section === undefined) return [];
  const base = elf.sections.find(({ name }) => name === ".stapsdt.base")?.address;
  const notes = sectionBytes(elf, section, notesLimit);
  const fields = new Fields(notes, elf.is64, elf.littleEndian);
  const word = elf.is64 ? 8 : 4;
  const probes: StaticProbe[] = [];
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameBytes = fields.u32(at);
    const bytes = fields.u32(at + 4);
    const from = at + 12 + align4(nameBytes);
    const isProbe = fields.u32(at + 8) === noteType && stringAt(notes, at + 12) === "stapsdt";
    at = from + align4(bytes);
    if (!isProbe || from + bytes > notes.length || bytes < 3 * word) continue;
    const address = (index: number): number => fields.word(from + 4 * index, from + 8 * index);
    const moved = base === undefined ? 0 : base - address(1);
    const texts = notes.subarray(from + 3 * word, from + bytes);
    const provider = stringAt(texts, 0);
    const nameAt = Buffer.byteLength(provider) + 1;
    const name = stringAt(texts, nameAt);
    const args = stringAt(texts, nameAt + Buffer.byteLength(name) + 1);
    probes.push({
      provider,
      name,
      address: address(0) + moved,
      semaphore: address(2) === 0 ? 0 : address(2) + moved,
      arguments: splitArguments(args),
    });
  }
  return probes;
}

/** By spaces that are not inside an operand: arm64 writes `8@[sp, 16]`. */
function splitArguments(text: string): string[] {
  return text.match(/(?:-?\d+f?@)(?:\[[^\]]*\]|[^\s])+/g) ?? [];
}

function align4(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
