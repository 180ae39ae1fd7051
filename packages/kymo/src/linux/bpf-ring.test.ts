import fc from "fast-check";
import { expect, test } from "vitest";
import { BpfRing } from "./bpf-ring.ts";
import type { Libc } from "./libc.ts";

const pageBytes = 4096;
const busy = 0x8000_0000;
const discarded = 0x4000_0000;

/** A kernel that reserves and submits records in memory of ours, at both places where the data is mapped. */
class FakeKernel {
  readonly consumer = new ArrayBuffer(pageBytes);
  readonly producer = new ArrayBuffer(pageBytes);
  readonly data: ArrayBuffer;
  readonly dataBytes: number;
  head = 0;
  constructor(dataBytes: number) {
    this.dataBytes = dataBytes;
    this.data = new ArrayBuffer(2 * dataBytes);
  }
  ring(): BpfRing {
    const libc = {
      pageBytes,
      mmap: (_: number, __: number, ___: number, ____: number, offset = 0) =>
        offset === 0 ? 0x1000n : 0x10_0000n,
      munmap: () => {},
      view: (at: bigint) =>
        at === 0x1000n ? this.consumer : at === 0x10_0000n ? this.producer : this.data,
    };
    return BpfRing.map(libc as unknown as Libc, 3, this.dataBytes) as BpfRing;
  }
  #word(at: number, value: number): void {
    const offset = at % this.dataBytes;
    const view = new DataView(this.data);
    view.setUint32(offset, value, true);
    view.setUint32(offset + this.dataBytes, value, true);
  }
  /** @returns where the record is, or undefined when it doesn't fit: lost. */
  reserve(payload: Uint8Array): number | undefined {
    const span = (payload.byteLength + 15) & ~7;
    const tail = Number(new BigUint64Array(this.consumer)[0]!);
    if (this.head + span - tail > this.dataBytes) return undefined;
    const at = this.head;
    this.#word(at, busy + payload.byteLength);
    const bytes = new Uint8Array(this.data);
    for (const [i, byte] of payload.entries()) {
      const offset = (at + 8 + i) % this.dataBytes;
      bytes[offset] = byte;
      bytes[offset + this.dataBytes] = byte;
    }
    this.head += span;
    new BigUint64Array(this.producer)[0] = BigInt(this.head);
    return at;
  }
  submit(at: number, payload: Uint8Array, flags = 0): void {
    this.#word(at, flags + payload.byteLength);
  }
}

const payload = (size: number, seed: number): Uint8Array =>
  new Uint8Array(size).map((_, i) => (i * 31 + seed) & 0xff);
function drain(ring: BpfRing): string[] {
  const seen: string[] = [];
  ring.refresh();
  while (ring.next()) {
    expect(ring.at % 8).toBe(0);
    seen.push(String(ring.bytes.u8.slice(ring.at, ring.at + ring.size)));
  }
  ring.release();
  return seen;
}

test("records come out as they went in, discarded ones left out, however the ring turns", () => {
  const write = fc.record({ size: fc.integer({ min: 0, max: 600 }), keep: fc.boolean() });
  fc.assert(
    fc.property(fc.array(fc.array(write, { maxLength: 8 }), { maxLength: 60 }), (rounds) => {
      const kernel = new FakeKernel(4096);
      const ring = kernel.ring();
      for (const [round, writes] of rounds.entries()) {
        const written: string[] = [];
        for (const { size, keep } of writes) {
          const bytes = payload(size, round);
          const at = kernel.reserve(bytes);
          if (at === undefined) continue;
          kernel.submit(at, bytes, keep ? 0 : discarded);
          if (keep) written.push(String(bytes));
        }
        expect(drain(ring)).toEqual(written);
        expect(ring.fill).toBe(0);
      }
    }),
  );
});

test("a record that is still being written holds up those behind it, and says so", () => {
  const kernel = new FakeKernel(4096);
  const ring = kernel.ring();
  const [first, second] = [payload(24, 1), payload(16, 2)];
  const slow = kernel.reserve(first)!;
  kernel.submit(kernel.reserve(second)!, second);
  expect(drain(ring)).toEqual([]);
  expect(ring.blocked).toBe(true);
  kernel.submit(slow, first);
  expect(drain(ring)).toEqual([String(first), String(second)]);
  expect(ring.blocked).toBe(false);
});

test("the current record's space is given back with the next one, not before", () => {
  const kernel = new FakeKernel(4096);
  const ring = kernel.ring();
  const bytes = payload(2000, 7);
  for (let i = 0; i < 2; i++) kernel.submit(kernel.reserve(bytes)!, bytes);
  ring.refresh();
  expect(ring.next()).toBe(true);
  ring.release();
  expect(kernel.reserve(bytes)).toBeUndefined();
  expect(ring.next()).toBe(true);
  expect(kernel.reserve(bytes)).toBeDefined();
});
