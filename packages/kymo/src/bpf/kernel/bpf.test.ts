/** bpf(2) on this kernel: what could write beyond a buffer doesn't. */
import { expect } from "vitest";
import { loadLibc } from "../../linux/libc.ts";
import { possibleCpus } from "../../linux/proc.ts";
import { testNeeding } from "../../testing/capability.ts";
import { Bpf, MapType } from "./bpf.ts";

const bpfTest = testNeeding("linux", "root", "bpf");

bpfTest("a map is never read into less room than its value takes", async () => {
  const bpf = new Bpf(await loadLibc());
  for (const [type, valueBytes, bytes] of [
    [MapType.array, 64, 64],
    [MapType.percpuArray, 12, 16 * possibleCpus()],
  ] as const) {
    const map = bpf.createMap({ type, name: "sizes", keyBytes: 4, valueBytes, max: 1 });
    try {
      const key = new Uint8Array(4);
      expect(() => bpf.lookup(map, key, new Uint8Array(bytes - 1))).toThrow(
        `a map's value: it takes ${bytes} bytes; there are ${bytes - 1}`,
      );
      expect(() => bpf.lookup(map, key.subarray(1), new Uint8Array(bytes))).toThrow(RangeError);
      expect(() => bpf.update(map, key, new Uint8Array(bytes - 1))).toThrow(RangeError);
      expect(() => bpf.nextKey(map, undefined, new Uint8Array(3))).toThrow(RangeError);
      expect(() =>
        bpf.lookupBatch(map, new Uint8Array(4), true, key, new Uint8Array(bytes), 2),
      ).toThrow(RangeError);
      expect(bpf.lookup(map, key, new Uint8Array(bytes))).toBe(true);
    } finally {
      bpf.close(map);
    }
  }
});
