/**
 * One CPU's ring of perf records, mapped without a copy.
 *
 *     page 0: header, data_head at byte 1024, data_tail at 1032
 *     then 2^n pages of records; each is { type u32, misc u16, size u16, … }, 8-aligned, and may wrap around the end
 *
 * The kernel writes at head, we free by moving tail. A record that wraps is put together in a scratch
 * buffer, so that decoders always see one piece.
 */
import { type Libc, MAP_SHARED, type Pointer, PROT_READ, PROT_WRITE } from "./libc.ts";

const headWord = 1024 / 8;
const tailWord = 1032 / 8;
/** `size` is 16 bits wide: no record is longer. */
export const maxRecordBytes = 65_536;

/** The same bytes seen in the widths that decoders read. */
export interface RecordBytes {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
}

export function recordBytes(buffer: ArrayBuffer, offset = 0, length?: number): RecordBytes {
  const bytes = length ?? buffer.byteLength - offset;
  return {
    u8: new Uint8Array(buffer, offset, bytes),
    u16: new Uint16Array(buffer, offset, bytes >> 1),
    u32: new Uint32Array(buffer, offset, bytes >> 2),
    i32: new Int32Array(buffer, offset, bytes >> 2),
  };
}

/** Where records come from, in the order they were written; a mapped ring, or bytes in a test. */
export interface RecordSource {
  readonly cpu: number;
  /** Looks at how far the writer has got. Records after that are not seen until the next `refresh`. */
  refresh(): void;
  /**
   * Makes the next record current.
   * @returns false when there is none before the end seen by `refresh`.
   */
  next(): boolean;
  /** The bytes that hold the current record, and where it starts in them (a multiple of 8). */
  readonly bytes: RecordBytes;
  readonly at: number;
  readonly size: number;
  /** Gives the space of all records before the current one back (all of them, when `next` returned false). `next` may do so too. */
  release(): void;
}

export class PerfRing implements RecordSource {
  readonly cpu: number;
  readonly dataBytes: number;
  bytes: RecordBytes;
  at = 0;
  size = 0;
  readonly #libc: Libc;
  readonly #address: Pointer;
  readonly #control: BigUint64Array;
  readonly #data: RecordBytes;
  readonly #scratch: RecordBytes = recordBytes(new ArrayBuffer(maxRecordBytes));
  /** Positions count bytes since the ring was made: exact as a float64 up to 8 PiB. */
  #head = 0;
  #position: number;
  #tail: number;
  /** `#position` in the data: kept beside it, because a float64 modulo costs as much as the rest of `next`. */
  #offset: number;

  private constructor(libc: Libc, cpu: number, address: Pointer, dataBytes: number) {
    this.#libc = libc;
    this.cpu = cpu;
    this.dataBytes = dataBytes;
    this.#address = address;
    this.#control = new BigUint64Array(libc.view(address, libc.pageBytes));
    this.#data = recordBytes(libc.view(address + BigInt(libc.pageBytes), dataBytes));
    this.bytes = this.#data;
    this.#tail = Number(Atomics.load(this.#control, tailWord));
    this.#position = this.#tail;
    this.#offset = this.#tail % dataBytes;
  }

  /**
   * Maps the ring of an open event; `dataBytes` is a power of two of at least one page.
   * @returns the ring, or −errno: EPERM when the user may not lock so much memory.
   */
  static map(libc: Libc, fd: number, cpu: number, dataBytes: number): PerfRing | number {
    const at = libc.mmap(libc.pageBytes + dataBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    return typeof at === "bigint" ? new PerfRing(libc, cpu, at, dataBytes) : at;
  }

  refresh(): void {
    this.#head = Number(Atomics.load(this.#control, headWord));
  }

  /** Bytes written since the ring was made, as of the last `refresh`. */
  get writtenBytes(): number {
    return this.#head;
  }

  /** Bytes written and not yet released, as of the last `refresh`. */
  get fill(): number {
    return this.#head - this.#tail;
  }

  next(): boolean {
    const position = this.#position + this.size;
    const offset = (this.#offset + this.size) & (this.dataBytes - 1);
    this.#position = position;
    this.#offset = offset;
    if (position - this.#tail > this.dataBytes >> 2) this.release();
    this.size = 0;
    const left = this.#head - position;
    if (left < 8) return false;
    const size = this.#data.u16[(offset >> 1) + 3]!;
    // The kernel never writes such a record; were the ring overrun all the same, skip to the head rather than hang.
    if (size < 8 || size > left || (size & 7) !== 0) {
      this.#position = this.#head;
      this.#offset = this.#head % this.dataBytes;
      return false;
    }
    this.size = size;
    const toEnd = this.dataBytes - offset;
    if (size <= toEnd) {
      this.bytes = this.#data;
      this.at = offset;
    } else {
      this.#scratch.u8.set(this.#data.u8.subarray(offset));
      this.#scratch.u8.set(this.#data.u8.subarray(0, size - toEnd), toEnd);
      this.bytes = this.#scratch;
      this.at = 0;
    }
    return true;
  }

  release(): void {
    if (this.#position === this.#tail) return;
    this.#tail = this.#position;
    Atomics.store(this.#control, tailWord, BigInt(this.#tail));
  }

  /** The memory is gone after this: no method may be called any more. */
  unmap(): void {
    this.#libc.munmap(this.#address, this.#libc.pageBytes + this.dataBytes);
  }
}
