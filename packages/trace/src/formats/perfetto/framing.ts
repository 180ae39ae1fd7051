/** A stream of bytes, cut anywhere → whole TracePackets. */
import { FormatError } from "../format.ts";

/** trace_processor refuses more as well; a claim beyond it is damage. */
const MAX_PACKET_BYTES = 256 * 1024 * 1024;
const PACKET_TAG = 0x0a;
/** Tag and length. */
const MAX_HEADER = 11;

export interface PacketSink {
  /** @param offset of the packet in the stream */
  packet(bytes: Uint8Array, from: number, to: number, offset: number): void;
  /** The rest of the stream is not packets. */
  damaged(offset: number, message: string): void;
}

export class Framing {
  private readonly sink: PacketSink;
  /** Start of a packet whose end has not come. */
  private held: Uint8Array = new Uint8Array(0);
  private heldLength = 0;
  /** Offset of `held` in the stream. */
  private offset = 0;
  private packets = 0;
  private stopped = false;

  constructor(sink: PacketSink) {
    this.sink = sink;
  }

  /** @throws FormatError when the first bytes are no packet */
  push(chunk: Uint8Array): void {
    if (this.stopped) return;
    let at = 0;
    while (this.heldLength > 0 && at < chunk.length && !this.stopped) {
      // Take what the held packet lacks, and no more: the rest is read in place.
      const want = this.missing();
      const take = Math.min(want, chunk.length - at);
      this.hold(chunk, at, at + take);
      at += take;
      if (take === want) this.release();
    }
    if (this.stopped) return;
    const rest = this.whole(chunk, at, chunk.length);
    if (!this.stopped && rest < chunk.length) this.hold(chunk, rest, chunk.length);
  }

  /** @returns bytes of a packet that was cut short */
  end(): { readonly offset: number; readonly left: number } | undefined {
    if (this.heldLength === 0 || this.stopped) return undefined;
    return { offset: this.offset, left: this.heldLength };
  }

  /** Reads whole packets in place. @returns where the first that is not whole starts */
  private whole(bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const size = this.size(bytes, at, to, this.offset);
      if (size === undefined || this.stopped) break;
      const header = headerBytes(bytes, at);
      if (at + header + size > to) break;
      this.sink.packet(bytes, at + header, at + header + size, this.offset);
      this.packets++;
      at += header + size;
      this.offset += header + size;
    }
    return at;
  }

  /** Content length of the packet that starts at `at`; undefined while that can't be told. */
  private size(bytes: Uint8Array, at: number, to: number, offset: number): number | undefined {
    if (bytes[at] !== PACKET_TAG) {
      this.fail(
        offset,
        `a packet starts with byte 0x0a, found 0x${bytes[at]!.toString(16).padStart(2, "0")}`,
      );
      return undefined;
    }
    let size = 0;
    let scale = 1;
    for (let i = at + 1; i < to; i++) {
      const byte = bytes[i]!;
      size += (byte & 127) * scale;
      if (byte < 128) {
        if (size <= MAX_PACKET_BYTES) return size;
        break;
      }
      scale *= 128;
      if (i - at >= MAX_HEADER) break;
    }
    if (size > MAX_PACKET_BYTES || to - at > MAX_HEADER)
      this.fail(offset, `a packet claims ${size} bytes; at most ${MAX_PACKET_BYTES} are possible`);
    return undefined;
  }

  private fail(offset: number, message: string): void {
    if (this.packets === 0)
      throw new FormatError("perfetto", offset, `${message}; is this a Perfetto trace?`);
    this.stopped = true;
    this.sink.damaged(offset, message);
  }

  /** Bytes that the held packet lacks; 1 while its length is not known. */
  private missing(): number {
    const size = this.size(this.held, 0, this.heldLength, this.offset);
    if (size === undefined) return 1;
    return headerBytes(this.held, 0) + size - this.heldLength;
  }

  private release(): void {
    const size = this.size(this.held, 0, this.heldLength, this.offset);
    if (size === undefined || headerBytes(this.held, 0) + size > this.heldLength) return;
    const { heldLength } = this;
    this.heldLength = 0;
    this.whole(this.held, 0, heldLength);
    if (this.held.length > 1 << 20) this.held = new Uint8Array(0);
  }

  private hold(chunk: Uint8Array, from: number, to: number): void {
    const need = this.heldLength + to - from;
    if (need > this.held.length) {
      // Grows with what came, never with what a length claims.
      const grown = new Uint8Array(Math.max(need, this.held.length * 2, 256));
      grown.set(this.held.subarray(0, this.heldLength));
      this.held = grown;
    }
    this.held.set(chunk.subarray(from, to), this.heldLength);
    this.heldLength = need;
  }
}

function headerBytes(bytes: Uint8Array, at: number): number {
  let i = at + 1;
  while (bytes[i]! >= 128) i++;
  return i + 1 - at;
}
