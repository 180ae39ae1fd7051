/** Packets within a packet, compressed by zlib: expanded up to a limit, whatever they claim. */
import { Unzlib } from "fflate";

/** What one compressed packet may expand to; recorders keep them under 512 KiB. */
const MAX_EXPANDED_BYTES = 32 * 1024 * 1024;

export interface Expanded {
  readonly bytes: Uint8Array;
  /** Why it ends before its end; undefined: it is whole. */
  readonly problem: string | undefined;
}

/** What could be expanded of [from, to); nothing of what is larger than the limit. */
export function expand(bytes: Uint8Array, from: number, to: number): Expanded {
  const pieces: Uint8Array[] = [];
  let size = 0;
  const unzlib = new Unzlib((piece) => {
    size += piece.length;
    if (size > MAX_EXPANDED_BYTES) throw new RangeError("too big");
    pieces.push(piece);
  });
  let problem: string | undefined;
  try {
    // In small steps, so that the limit is met before memory is.
    for (let at = from; at < to; at += 4096)
      unzlib.push(bytes.slice(at, Math.min(to, at + 4096)), at + 4096 >= to);
  } catch (error) {
    problem = (error as Error).message;
    if (size > MAX_EXPANDED_BYTES) return { bytes: new Uint8Array(0), problem };
  }
  const expanded = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    expanded.set(piece, at);
    at += piece.length;
  }
  return { bytes: expanded, problem };
}
