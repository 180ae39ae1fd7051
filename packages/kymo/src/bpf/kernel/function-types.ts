/**
 * BTF for programs of several functions: the kernel wants each to have a type before one may be called back (bpf_loop).
 * What the arguments are it finds out itself, so all share one prototype.
 *
 *     1 int · 2 int () · 3 static function `name` of type 2 · 4 …
 */
import { BtfKind } from "./btf.ts";

type Functions = readonly { readonly instruction: number; readonly name: string }[];

const firstFunction = 3;
const headerBytes = 24;

export function functionTypes(functions: Functions): Uint8Array {
  const strings: string[] = ["", "int"];
  let length = "\0int\0".length;
  const words = [
    ...[1, BtfKind.int << 24, 4, (1 << 24) | 32], // signed, 32 bits
    ...[0, BtfKind.prototype << 24, 1],
  ];
  for (const { name } of functions) {
    const plain = name.replace(/\W/g, "_") || "_";
    words.push(length, BtfKind.function << 24, 2);
    strings.push(plain);
    length += plain.length + 1;
  }
  const text = Buffer.from(`${strings.join("\0")}\0`, "latin1");
  const bytes = new Uint8Array(headerBytes + 4 * words.length + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  view.setUint32(4, headerBytes, true);
  view.setUint32(12, 4 * words.length, true);
  view.setUint32(16, 4 * words.length, true);
  view.setUint32(20, text.length, true);
  for (const [index, word] of words.entries()) view.setUint32(headerBytes + 4 * index, word, true);
  bytes.set(text, headerBytes + 4 * words.length);
  return bytes;
}

/** bpf_func_info of each: the instruction it begins at, and its type. */
export function functionInfo(functions: Functions): Uint32Array {
  return Uint32Array.from(
    functions.flatMap(({ instruction }, index) => [instruction, firstFunction + index]),
  );
}
