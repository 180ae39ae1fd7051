/**
 * JSON as bytes: scanning without objects.
 *
 * All functions take a buffer whose bytes from `end` on are GUARD (a quote), at least GUARD_BYTES of them: a scan for a
 * quote always stops, so the loops need no bounds check, and a result past `end` means "cut short here".
 */

/** What a position is when the value runs past the bytes there are. */
export const CUT = -1;
/** What a position is when the bytes are not JSON. */
export const BAD = -2;

export const QUOTE = 34;
export const BACKSLASH = 92;
export const GUARD: number = QUOTE;
export const GUARD_BYTES = 8;

/** Position after blanks. */
export function skipBlanks(b: Uint8Array, at: number): number {
  let p = at;
  while (b[p]! <= 32) p++;
  return p;
}

/** @param at  after the opening quote. @returns the position after the closing quote, or CUT. */
export function skipString(b: Uint8Array, at: number, end: number): number {
  let p = at;
  for (;;) {
    const c = b[p++]!;
    if (c === QUOTE) return p > end ? CUT : p;
    if (c === BACKSLASH) p++;
  }
}

/**
 * Position after the value that starts at `at`. Brackets are counted, not matched by kind: what stands between them is
 * checked by those who read it.
 */
export function skipValue(b: Uint8Array, at: number, end: number): number {
  const first = b[at]!;
  if (first === QUOTE) return at >= end ? CUT : skipString(b, at + 1, end);
  if (first !== 0x7b && first !== 0x5b) return skipLiteral(b, at, end);
  let depth = 0;
  let p = at;
  for (;;) {
    const c = b[p++]!;
    if (c === QUOTE) {
      p = p > end ? CUT : skipString(b, p, end);
      if (p < 0) return CUT;
    } else if (c === 0x7b || c === 0x5b) depth++;
    else if (c === 0x7d || c === 0x5d) {
      if (--depth === 0) return p;
    }
  }
}

/** Position after a number or a word (true, NaN, …): up to a comma, bracket, quote, colon or blank. */
export function skipLiteral(b: Uint8Array, at: number, end: number): number {
  let p = at;
  for (;;) {
    const c = b[p]!;
    if (c <= 32 || c === 44 || c === 0x7d || c === 0x5d || c === QUOTE || c === 58) break;
    if (c === 0x7b || c === 0x5b) break;
    p++;
  }
  if (p >= end) return CUT;
  return p === at ? BAD : p;
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Text of the string body b[from, to): UTF-8 (wrong bytes become U+FFFD) with JSON's escapes undone. Escapes that JSON does
 * not have stand for themselves; half a surrogate pair becomes U+FFFD, so that the text can be written as UTF-8 again.
 */
export function decodeString(b: Uint8Array, from: number, to: number, escaped: boolean): string {
  if (!escaped) return utf8.decode(b.subarray(from, to));
  let text = "";
  let plainFrom = from;
  let p = from;
  while (p < to) {
    if (b[p] !== BACKSLASH) {
      p++;
      continue;
    }
    if (plainFrom < p) text += utf8.decode(b.subarray(plainFrom, p));
    const c = b[p + 1]!;
    const code = c === 0x75 ? hex4(b, p + 2, to) : -1;
    if (code >= 0) {
      text += String.fromCharCode(code);
      p += 6;
    } else {
      text += p + 1 < to ? (escapes[String.fromCharCode(c)] ?? String.fromCharCode(c)) : "\\";
      p += 2;
    }
    plainFrom = p;
  }
  if (plainFrom < to) text += utf8.decode(b.subarray(plainFrom, to));
  return wellFormed(text);
}
/** Text with each half of a surrogate pair that stands alone replaced by U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
const escapes: { readonly [letter: string]: string } = {
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};
function hex4(b: Uint8Array, at: number, to: number): number {
  if (at + 4 > to) return -1;
  let code = 0;
  for (let i = at; i < at + 4; i++) {
    const digit = hexDigit(b[i]!);
    if (digit < 0) return -1;
    code = code * 16 + digit;
  }
  return code;
}
export function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** ASCII text of b[from, to): for numbers and words. */
export function ascii(b: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(b[i]!);
  return text;
}

/** Whether b[at, …) spells `word`. */
export function spells(b: Uint8Array, at: number, to: number, word: string): boolean {
  if (to - at !== word.length) return false;
  for (let i = 0; i < word.length; i++) if (b[at + i] !== word.charCodeAt(i)) return false;
  return true;
}
