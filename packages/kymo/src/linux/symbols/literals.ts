/**
 * Literals of a program by the address they had, from its file: its memory was the same, for nothing may write there. Only
 * executable mappings are recorded; the segment with the literals lies where the file says, beside that with the code.
 */
import type { Mapping } from "./address-space.ts";
import type { ByteSource } from "./byte-source.ts";
import { type ElfSegment, loadSegments, offsetOfAddress, readElf, segmentFlag } from "./elf.ts";

/**
 * @param mapping  of the file's code
 * @returns at most `most` bytes; undefined where the file has none that are only read
 * @throws FormatError when the file is not ELF
 */
export function readLiteral(
  source: ByteSource,
  mapping: Mapping,
  address: number,
  most: number,
): Uint8Array | undefined {
  const elf = readElf(source);
  if (mapping.buildId !== undefined && mapping.buildId !== elf.buildId) return undefined;
  const segments = loadSegments(elf);
  const code = segments.find((segment) => covers(segment, mapping.offset));
  if (code === undefined) return undefined;
  const bias = mapping.start - (code.address + mapping.offset - code.offset);
  const readOnly = segments.filter(({ flags }) => (flags & segmentFlag.write) === 0);
  const offset = offsetOfAddress(readOnly, address - bias);
  return offset === undefined ? undefined : source.read(offset, most);
}

/** No machine has larger pages. */
const largestPage = 65_536;

/** Whether a mapping from `offset` on is of this segment: it begins at the page that has the segment's start, or inside of it. */
function covers({ flags, offset: from, fileSize }: ElfSegment, offset: number): boolean {
  const isCode = (flags & segmentFlag.exec) !== 0;
  return isCode && offset > from - largestPage && offset < from + fileSize;
}
