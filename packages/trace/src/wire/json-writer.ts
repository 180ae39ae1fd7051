/** JSON as bytes, written: a growing buffer with the few shapes that hot writers need. */

const encoder = new TextEncoder();

/** The JSON text of a string, quotes included, as UTF-8. */
export function jsonText(text: string): Uint8Array {
  return encoder.encode(JSON.stringify(text));
}
/** UTF-8 of text that is JSON already. */
export function jsonBytes(text: string): Uint8Array {
  return encoder.encode(text);
}

export class JsonBuffer {
  #b = new Uint8Array(1 << 16);
  #length = 0;

  get length(): number {
    return this.#length;
  }
  /** A view of what is written; good until the next write. */
  get bytes(): Uint8Array {
    return this.#b.subarray(0, this.#length);
  }
  clear(): void {
    this.#length = 0;
  }
  /** Takes back the last `count` bytes. */
  drop(count: number): void {
    this.#length -= count;
  }

  byte(byte: number): void {
    this.#reserve(1);
    this.#b[this.#length++] = byte;
  }

  raw(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#reserve(length);
    if (length > 48) this.#b.set(bytes, this.#length);
    else {
      // A call of `set` costs more than copying a few bytes.
      const b = this.#b;
      const at = this.#length;
      for (let i = 0; i < length; i++) b[at + i] = bytes[i]!;
    }
    this.#length += length;
  }

  ascii(text: string): void {
    this.#reserve(text.length);
    for (let i = 0; i < text.length; i++) this.#b[this.#length++] = text.charCodeAt(i);
  }

  /** A whole number, 0 ≤ value ≤ 2^53. */
  whole(value: number): void {
    this.#reserve(20);
    if (value < 1e9) {
      this.#digits(value, widthOf(value));
      return;
    }
    const high = Math.floor(value / 1e9);
    this.whole(high);
    this.#digits(value - high * 1e9, 9);
  }

  /** µs with their fraction: `us` may be negative, 0 ≤ ns < 1000 counts up from it. "1", "1.5" is never written: "1.500". */
  micros(us: number, ns: number): void {
    this.#reserve(32);
    let whole = us;
    let fraction = ns;
    if (us < 0) {
      this.#b[this.#length++] = 45;
      whole = ns === 0 ? -us : -us - 1;
      fraction = ns === 0 ? 0 : 1000 - ns;
    }
    this.whole(whole);
    if (fraction === 0) return;
    this.#reserve(4);
    this.#b[this.#length++] = 46;
    this.#digits(fraction, 3);
  }

  /** `value` < 10^width, in `width` digits. */
  #digits(value: number, width: number): void {
    let rest = value | 0;
    const b = this.#b;
    for (let at = this.#length + width - 1; at >= this.#length; at--) {
      const next = (rest / 10) | 0;
      b[at] = 48 + rest - next * 10;
      rest = next;
    }
    this.#length += width;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#b.length) return;
    const bigger = new Uint8Array(Math.max(this.#b.length * 2, this.#length + count));
    bigger.set(this.bytes);
    this.#b = bigger;
  }
}

function widthOf(value: number): number {
  let width = 1;
  for (let limit = 10; value >= limit; limit *= 10) width++;
  return width;
}
