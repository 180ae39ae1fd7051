/**
 * Protocol buffers, written: one growable buffer, no objects per field.
 *
 *     const out = new ProtoWriter();
 *     const packet = out.open(1);      // field 1, length not known yet
 *     out.uint(8, 1234);               // field 8, varint
 *     out.string(2, "main");
 *     out.close(packet);               // the length is patched in
 *
 * A message keeps one byte for its length; one that grows past 127 bytes is moved up when it closes, so
 * that small messages (nearly all of a trace) cost the fewest bytes and big ones one `copyWithin`.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */

export const WireType = {
  varint: 0,
  fixed64: 1,
  len: 2,
  groupStart: 3,
  groupEnd: 4,
  fixed32: 5,
} as const;

const TWO_32 = 2 ** 32;
/** Longest varint: ten bytes. */
const MAX_VARINT = 10;
const encoder = new TextEncoder();
const doubleBits = new DataView(new ArrayBuffer(8));

export class ProtoWriter {
  /** Written up to `length`; replaced when it grows. */
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity);
  }

  clear(): void {
    this.length = 0;
  }

  /** A view of what was written, valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const need = this.length + count;
    if (need <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(need, this.bytes.length * 2));
    grown.set(this.view());
    this.bytes = grown;
  }

  /** An unsigned integer ≤ 2^53. */
  varint(value: number): void {
    if (this.length + MAX_VARINT > this.bytes.length) this.reserve(MAX_VARINT);
    const bytes = this.bytes;
    let at = this.length;
    let rest = value;
    // Bit operations reach 2^31 only; above that, divide until they do.
    while (rest > 0x7fff_ffff) {
      bytes[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      bytes[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.length = at;
  }

  /** A 64-bit integer given as two unsigned halves. */
  varint64(high: number, low: number): void {
    this.reserve(MAX_VARINT);
    const bytes = this.bytes;
    let at = this.length;
    let hi = high >>> 0;
    let lo = low >>> 0;
    while (hi !== 0) {
      bytes[at++] = (lo & 127) | 128;
      lo = ((lo >>> 7) | (hi << 25)) >>> 0;
      hi >>>= 7;
    }
    while (lo > 127) {
      bytes[at++] = (lo & 127) | 128;
      lo >>>= 7;
    }
    bytes[at++] = lo;
    this.length = at;
  }

  /** A safe integer of either sign, as int64 (negative: ten bytes, two's complement). */
  varintSigned(value: number): void {
    if (value >= 0) this.varint(value);
    else this.varint64(Math.floor(value / TWO_32) >>> 0, value >>> 0);
  }

  /** The low 64 bits of a bigint. */
  varintBig(value: bigint): void {
    const bits = BigInt.asUintN(64, value);
    this.varint64(Number(bits >> 32n), Number(bits & 0xffff_ffffn));
  }

  tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  /** uint64, uint32, bool, enum: an unsigned integer ≤ 2^53. */
  uint(field: number, value: number): void {
    const at = this.length;
    // A tag and a value of a byte each: most fields of most packets.
    if (field < 16 && value < 128 && at + 2 <= this.bytes.length) {
      this.bytes[at] = field << 3;
      this.bytes[at + 1] = value;
      this.length = at + 2;
      return;
    }
    this.tag(field, WireType.varint);
    this.varint(value);
  }
  /** int64, int32: a safe integer. */
  int(field: number, value: number): void {
    this.tag(field, WireType.varint);
    this.varintSigned(value);
  }
  big(field: number, value: bigint): void {
    this.tag(field, WireType.varint);
    this.varintBig(value);
  }
  fixed64(field: number, value: bigint): void {
    this.tag(field, WireType.fixed64);
    doubleBits.setBigUint64(0, BigInt.asUintN(64, value), true);
    this.eight();
  }
  double(field: number, value: number): void {
    this.tag(field, WireType.fixed64);
    doubleBits.setFloat64(0, value, true);
    this.eight();
  }
  private eight(): void {
    this.reserve(8);
    for (let i = 0; i < 8; i++) this.bytes[this.length++] = doubleBits.getUint8(i);
  }

  /** UTF-8. A lone surrogate becomes U+FFFD. */
  string(field: number, text: string): void {
    this.tag(field, WireType.len);
    const size = text.length;
    // Short ASCII without a call into the encoder: nearly every name.
    if (size < 64) {
      this.reserve(1 + size);
      const bytes = this.bytes;
      const start = this.length + 1;
      let i = 0;
      for (; i < size; i++) {
        const unit = text.charCodeAt(i);
        if (unit > 127) break;
        bytes[start + i] = unit;
      }
      if (i === size) {
        bytes[start - 1] = size;
        this.length = start + size;
        return;
      }
    }
    const utf8 = encoder.encode(text);
    this.varint(utf8.length);
    this.raw(utf8);
  }
  blob(field: number, value: Uint8Array): void {
    this.tag(field, WireType.len);
    this.varint(value.length);
    this.raw(value);
  }
  /** Bytes as they are: a field, or the content of one. */
  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
  }

  /** Starts a nested message; returns what `close` needs. */
  open(field: number): number {
    const at = this.length;
    if (field < 16 && at + 2 <= this.bytes.length) {
      this.bytes[at] = (field << 3) | WireType.len;
      this.length = at + 2;
      return at + 2;
    }
    this.tag(field, WireType.len);
    this.reserve(1);
    return ++this.length;
  }

  /** Ends the message that began at `start`: patches its length in. Inner messages close before outer ones. */
  close(start: number): void {
    const size = this.length - start;
    if (size < 128) {
      this.bytes[start - 1] = size;
      return;
    }
    let extra = 1;
    for (let limit = 2 ** 14; size >= limit; limit *= 128) extra++;
    this.reserve(extra);
    this.bytes.copyWithin(start + extra, start, start + size);
    this.length = start - 1;
    this.varint(size);
    this.length += size;
  }
}
