/** Reading maps of the kernel; needs root and BPF. */
import { expect } from "vitest";
import { Bpf, MapType } from "../../bpf/kernel/bpf.ts";
import type { Aggregation } from "../../bpf/program.ts";
import { loadLibc } from "../../linux/libc.ts";
import { possibleCpus } from "../../linux/proc.ts";
import { testNeeding } from "../../testing/capability.ts";
import { MapReader } from "./map-reader.ts";

const bpfTest = testNeeding("linux", "root", "bpf");
type Entry = { key: number; bucket: number; count: bigint; value: bigint };

async function readBack(
  kind: Aggregation["kind"],
  mapKind: "percpu-hash" | "hash" | "percpu-array",
  entries: readonly { readonly key: readonly number[]; readonly values: readonly bigint[] }[],
): Promise<Entry[]> {
  const bpf = new Bpf(await loadLibc());
  const keyBytes = 4 * entries[0]!.key.length;
  const valueBytes = 8 * entries[0]!.values.length;
  const type = {
    "percpu-hash": MapType.percpuHash,
    hash: MapType.hash,
    "percpu-array": MapType.percpuArray,
  }[mapKind];
  const max = 20_000;
  const fd = bpf.createMap({ type, name: "test", keyBytes, valueBytes, max });
  try {
    const copies = mapKind === "hash" ? 1 : possibleCpus();
    for (const { key, values } of entries) {
      const all = new BigInt64Array(copies * values.length);
      for (let copy = 0; copy < copies; copy++) all.set(values, copy * values.length);
      bpf.update(fd, new Uint8Array(Uint32Array.from(key).buffer), new Uint8Array(all.buffer));
    }
    const spec = { kind: mapKind, name: "test", keyBytes, valueBytes, max };
    const aggregation: Aggregation = { map: spec, name: "test", kind, key: [], everyNs: 1e9 };
    const read: Entry[] = [];
    new MapReader(bpf, aggregation, fd, possibleCpus()).forEach(({ key, ...entry }) => {
      read.push({ key: new DataView(key.buffer, key.byteOffset).getUint32(0, true), ...entry });
    });
    return read.sort((a, b) => a.key - b.key);
  } finally {
    bpf.close(fd);
  }
}

bpfTest("every entry of a large map comes once, CPUs summed", async () => {
  const entries = Array.from({ length: 15_000 }, (_, i) => ({ key: [i], values: [BigInt(i + 1)] }));
  const read = await readBack("count", "percpu-hash", entries);
  expect(read.map(({ key }) => key)).toEqual(entries.map(({ key }) => key[0]));
  const cpus = BigInt(possibleCpus());
  expect(read.every(({ key, count }) => count === cpus * BigInt(key + 1))).toBe(true);
});

bpfTest("minima, averages and buckets are what their layouts say", async () => {
  const cpus = BigInt(possibleCpus());
  expect(
    await readBack("min", "hash", [
      { key: [1], values: [-5n, 1n] },
      { key: [2], values: [9n, 0n] },
    ]),
  ).toEqual([{ key: 1, bucket: 0, count: 0n, value: -5n }]);
  expect(await readBack("avg", "percpu-hash", [{ key: [1], values: [-10n, 2n] }])).toEqual([
    { key: 1, bucket: 0, count: 2n * cpus, value: -10n * cpus },
  ]);
  expect(await readBack("hist", "hash", [{ key: [7, 3], values: [4n] }])).toEqual([
    { key: 7, bucket: 3, count: 4n, value: 0n },
  ]);
  // An array map has all its entries; those that nothing was added to are none.
  expect(await readBack("hist", "percpu-array", [{ key: [12], values: [1n] }])).toEqual([
    { key: 12, bucket: 12, count: cpus, value: 0n },
  ]);
});
