/** Which format is this? By content; a file's extension only breaks ties. */
import type { Format } from "../formats/format.ts";

/** Bytes of a stream that formats see for detection, at most. */
export const HEAD_BYTES = 65_536;

/**
 * The format that is surest of `head` (the first ≤ 64 KiB, expanded), or undefined when none knows it.
 * @param fileName  as given by the user; a compression suffix is ignored
 */
export function detectFormat(
  head: Uint8Array,
  fileName: string,
  formats: readonly Format[],
): Format | undefined {
  const name = withoutCompression(fileName).toLowerCase();
  let best: Format | undefined;
  let bestScore = 0;
  for (const format of formats) {
    if (format.stream === undefined) continue;
    const score = format.detect(head, name);
    if (score <= 0) continue;
    const byExtension = hasExtension(format, name) ? 0.5 : 0;
    if (score + byExtension > bestScore) {
      bestScore = score + byExtension;
      best = format;
    }
  }
  return best;
}

/** Whether a file of that name would be of that format, by its extension alone; a compression suffix is ignored. */
export function hasExtension(format: Format, fileName: string): boolean {
  const name = withoutCompression(fileName).toLowerCase();
  return format.extensions.some((each) => name.endsWith(each.startsWith(".") ? each : `.${each}`));
}

function withoutCompression(fileName: string): string {
  return fileName.replace(/\.(gz|zst)$/i, "");
}

/** What `head` looks like, for the message that it cannot be read: a known container, text, or bytes. */
export function describeHead(head: Uint8Array): string {
  const container = containers.find(({ magic, at }) =>
    magic.every((byte, i) => head[(at ?? 0) + i] === byte),
  );
  if (container !== undefined) return container.says;
  const start = head.subarray(0, 16);
  const hex = Array.from(start, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const printable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;
  const text = String.fromCharCode(...head.subarray(0, 40).filter(printable));
  if (start.every((byte) => printable(byte) || byte === 9 || byte === 10 || byte === 13))
    return `it starts with the text ${JSON.stringify(text)}`;
  return `it starts with the bytes ${hex}`;
}

const ascii = (text: string): number[] => Array.from(text, (c) => c.charCodeAt(0));
const containers: readonly {
  readonly magic: readonly number[];
  readonly at?: number;
  readonly says: string;
}[] = [
  { magic: [0x1f, 0x8b], says: "it is gzip within a compressed file; decompress it once first" },
  {
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    says: "it is zstd within a compressed file; decompress it once first",
  },
  { magic: ascii("PK\u0003\u0004"), says: "it is a zip archive; unpack it first" },
  { magic: ascii("ustar"), at: 257, says: "it is a tar archive; unpack it first" },
  { magic: [0xfd, ...ascii("7zXZ")], says: "it is xz; decompress it first (xz -d)" },
  { magic: ascii("BZh"), says: "it is bzip2; decompress it first (bzip2 -d)" },
  { magic: ascii("PERFILE2"), says: "it is perf.data, which kymo does not read yet" },
  { magic: [0x7f, ...ascii("ELF")], says: "it is a program (ELF), not a trace" },
  { magic: [0xff, 0xfe], says: "it looks like UTF-16 text; save it as UTF-8" },
  { magic: [0xfe, 0xff], says: "it looks like UTF-16 text; save it as UTF-8" },
];
