/**
 * A BPF ring buffer (BPF_MAP_TYPE_RINGBUF), read in mapped memory without a copy. One ring for all CPUs.
 *
 *     page 0      consumer position u64: ours to write
 *     page 1      producer position u64
 *     then 2^n    bytes of data, mapped twice in a row: no record wraps
 *     a record    length u32 (bit 31: not submitted yet, bit 30: discarded) · page offset u32 · payload, 8-aligned
 *
 * Records lie in the order of their reservation. One that is reserved and not yet submitted holds up all behind it.
 *
 * @see the kernel's Documentation/bpf/ringbuf.rst
 */
import { type Libc, MAP_SHARED, type Pointer, PROT_READ, PROT_WRITE } from "./libc.ts";
import { type RecordBytes, type RecordSource, recordBytes } from "./perf-ring.ts";

const headerBytes = 8;
const discardBit = 0x4000_0000;
const lengthMask = 0x3fff_ffff;

export class BpfRing implements RecordSource {
  /** A record says itself on which CPU it was written, if it does. */
  readonly cpu = -1;
  readonly dataBytes: number;
  readonly bytes: RecordBytes;
  at = 0;
  size = 0;
  /** The last `next` has come to a record that is being written: what lies behind it, however old, comes later. */
  blocked = false;
  readonly #libc: Libc;
  readonly #consumerPage: Pointer;
  readonly #producerPage: Pointer;
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  /** Positions count bytes since the ring was made: exact as a float64 up to 8 PiB. */
  #head = 0;
  /** Start of the current record (of the next one, when there is no current), its header included. */
  #position: number;
  /** `#position` in the data: kept beside it, because a float64 modulo costs as much as the rest of `next`. */
  #offset: number;
  /** Bytes of the current record with its header; 0: none is current. */
  #span = 0;
  /** What has been given back to the kernel. */
  #tail: number;

  private constructor(libc: Libc, consumerPage: Pointer, producerPage: Pointer, dataBytes: number) {
    const { pageBytes } = libc;
    this.#libc = libc;
    this.dataBytes = dataBytes;
    this.#consumerPage = consumerPage;
    this.#producerPage = producerPage;
    this.#consumer = new BigUint64Array(libc.view(consumerPage, pageBytes), 0, 1);
    this.#producer = new BigUint64Array(libc.view(producerPage, pageBytes), 0, 1);
    this.bytes = recordBytes(libc.view(producerPage + BigInt(pageBytes), 2 * dataBytes));
    this.#tail = Number(Atomics.load(this.#consumer, 0));
    this.#position = this.#tail;
    this.#offset = this.#tail % dataBytes;
  }

  /** Maps the ring behind a map's descriptor; `dataBytes` is the map's `max_entries`. @returns the ring, or −errno. */
  static map(libc: Libc, fd: number, dataBytes: number): BpfRing | number {
    const { pageBytes } = libc;
    const consumer = libc.mmap(pageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    if (typeof consumer === "number") return consumer;
    const producer = libc.mmap(pageBytes + 2 * dataBytes, PROT_READ, MAP_SHARED, fd, pageBytes);
    if (typeof producer === "bigint") return new BpfRing(libc, consumer, producer, dataBytes);
    libc.munmap(consumer, pageBytes);
    return producer;
  }

  refresh(): void {
    this.#head = Number(Atomics.load(this.#producer, 0));
    this.blocked = false;
  }

  /** Bytes reserved since the ring was made, as of the last `refresh`. */
  get writtenBytes(): number {
    return this.#head;
  }

  /** Bytes reserved and not yet released, as of the last `refresh`. */
  get fill(): number {
    return this.#head - this.#tail;
  }

  next(): boolean {
    this.#step(this.#span);
    this.#span = 0;
    this.size = 0;
    while (this.#head - this.#position >= headerBytes) {
      // Submitting is an atomic exchange of this word: what it covers is readable when it is seen.
      const header = Atomics.load(this.bytes.i32, this.#offset >> 2);
      if (header < 0) {
        this.blocked = true;
        return false;
      }
      const length = header & lengthMask;
      const span = (length + headerBytes + 7) & ~7;
      if ((header & discardBit) !== 0) {
        this.#step(span);
        continue;
      }
      this.#span = span;
      this.at = this.#offset + headerBytes;
      this.size = length;
      return true;
    }
    return false;
  }

  #step(span: number): void {
    this.#position += span;
    this.#offset = (this.#offset + span) & (this.dataBytes - 1);
    if (this.#position - this.#tail > this.dataBytes >> 3) this.release();
  }

  release(): void {
    if (this.#position === this.#tail) return;
    this.#tail = this.#position;
    Atomics.store(this.#consumer, 0, BigInt(this.#tail));
  }

  /** The memory is gone after this: no method may be called any more. */
  unmap(): void {
    this.#libc.munmap(this.#consumerPage, this.#libc.pageBytes);
    this.#libc.munmap(this.#producerPage, this.#libc.pageBytes + 2 * this.dataBytes);
  }
}
