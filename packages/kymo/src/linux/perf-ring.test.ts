import fc from "fast-check";
import { expect, test } from "vitest";
import type { Libc } from "./libc.ts";
import { PerfRing } from "./perf-ring.ts";

const pageBytes = 4096;

/** A kernel that writes records into memory of ours. */
class FakeKernel {
  readonly memory: ArrayBuffer;
  readonly control: BigUint64Array;
  readonly dataBytes: number;
  head = 0;
  constructor(dataBytes: number) {
    this.dataBytes = dataBytes;
    this.memory = new ArrayBuffer(pageBytes + dataBytes);
    this.control = new BigUint64Array(this.memory, 0, pageBytes / 8);
  }
  get libc(): Libc {
    return {
      pageBytes,
      mmap: () => 0x1000n,
      munmap: () => {},
      // Node can't give views into the middle of a buffer as buffers: a copy would not see later writes.
      view: (at: bigint) => (at === 0x1000n ? this.memory : this.data),
    } as unknown as Libc;
  }
  data: ArrayBuffer = new ArrayBuffer(0);
  start(): PerfRing {
    this.data = new ArrayBuffer(this.dataBytes);
    return PerfRing.map(this.libc, 3, 0, this.dataBytes) as PerfRing;
  }
  /** @returns false when it doesn't fit: lost. */
  write(record: Uint8Array): boolean {
    const tail = Number(this.control[1032 / 8]!);
    if (this.head + record.byteLength - tail > this.dataBytes) return false;
    const data = new Uint8Array(this.data);
    for (const byte of record) data[this.head++ % this.dataBytes] = byte;
    this.control[1024 / 8] = BigInt(this.head);
    return true;
  }
}

function record(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size).map((_, i) => (i * 31 + seed) & 0xff);
  new DataView(bytes.buffer).setUint16(6, size, true);
  return bytes;
}

test("records come out as they went in, wherever the ring's end cuts them", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 400 }), (sizes) => {
      const kernel = new FakeKernel(4096);
      const ring = kernel.start();
      const written: string[] = [];
      const seen: string[] = [];
      const drain = () => {
        ring.refresh();
        while (ring.next()) seen.push(String(ring.bytes.u8.subarray(ring.at, ring.at + ring.size)));
        ring.release();
      };
      for (const [i, words] of sizes.entries()) {
        const bytes = record(8 * words, i);
        if (!kernel.write(bytes)) {
          drain();
          expect(kernel.write(bytes)).toBe(true);
        }
        written.push(String(bytes));
        if (i % 7 === 0) drain();
      }
      drain();
      expect(seen).toEqual(written);
    }),
  );
});

test("a record that waits for a later round keeps its place and its space", () => {
  const kernel = new FakeKernel(4096);
  const ring = kernel.start();
  kernel.write(record(16, 1));
  kernel.write(record(24, 2));
  ring.refresh();
  expect(ring.next()).toBe(true);
  expect(ring.next()).toBe(true);
  ring.release();
  expect(Number(kernel.control[1032 / 8]!)).toBe(16);
  ring.refresh();
  expect(ring.size).toBe(24);
  expect(ring.next()).toBe(false);
  ring.release();
  expect(Number(kernel.control[1032 / 8]!)).toBe(40);
});

test("a size that cannot be skips to the head, and never hangs", () => {
  for (const size of [0, 4, 12, 40_000]) {
    const kernel = new FakeKernel(4096);
    const ring = kernel.start();
    const bytes = record(64, 3);
    new DataView(bytes.buffer).setUint16(6, size, true);
    kernel.write(bytes);
    ring.refresh();
    expect(ring.next()).toBe(false);
    kernel.write(record(16, 4));
    ring.refresh();
    expect(ring.next()).toBe(true);
    expect(ring.size).toBe(16);
  }
});

test("a map call that is refused gives the errno", () => {
  const libc = { pageBytes, mmap: () => -1 } as unknown as Libc;
  expect(PerfRing.map(libc, 3, 0, 4096)).toBe(-1);
});
