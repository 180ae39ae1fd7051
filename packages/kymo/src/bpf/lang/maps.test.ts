import { expect, test } from "vitest";
import { bucketOf } from "../aggregation.ts";
import { hex, type MapModel, readWord } from "../ir/memory.ts";
import { contextWith, event, Machine } from "./testing/run.ts";

function mapNamed(machine: Machine, name: string): MapModel {
  return [...machine.maps.values()].find(({ spec }) => spec.name === name)!;
}
const args = (machine: Machine, probe = 0, context = event({})) =>
  machine.run(probe, context).emitted.map((emitted) => emitted.args);

test("a slow read: the example of the design", async () => {
  const machine = await Machine.load(`
    const slow = 1_000_000;
    const started = hash<u32, u64>({ max: 10_240 });
    tracepoint("test:event", () => { started.set(tid(), now()); });
    tracepoint("test:event", (e) => {
      const t = started.take(tid());
      if (t === undefined || now() - t < slow) return;
      return slice({ track: thread(), name: "slow read", start: t, args: { bytes: e.delta } });
    });`);
  expect(machine.run(1).emitted).toEqual([]);
  machine.run(0);
  machine.now += 999_999n;
  expect(machine.run(1).emitted).toEqual([]);
  machine.run(0);
  const start = machine.now;
  machine.now += 1_000_000n;
  const [slice] = machine.run(1, event({ delta: -7n })).emitted;
  expect(slice).toMatchObject({ name: "slow read", args: { bytes: -7n } });
  expect(slice!.site).toMatchObject({ kind: "slice", track: { kind: "thread" } });
  expect(slice!.site.kind === "slice" && slice!.value(slice!.site.start)).toBe(start);
  expect(mapNamed(machine, "started").entries.size).toBe(0);
});

test("tuples and texts are keys, structs are values whose fields can be assigned", async () => {
  const machine = await Machine.load(`
    interface Seen { first: u64; count: u32; who: cstr<16> }
    const seen = hash<[u8, cstr<16>], Seen>();
    tracepoint("test:event", (e) => {
      const key = [e.small, e.comm];
      const s = seen.get(key);
      if (!s) { seen.set(key, { first: now(), count: 1, who: comm() }); return; }
      s.count += 2;
      instant({ name: s.who, args: { first: s.first, count: s.count, there: seen.has(key) } });
    });`);
  const context = event({ small: 9, comm: "bash" });
  expect(machine.run(0, context).emitted).toEqual([]);
  machine.now = 5000n;
  expect(args(machine, 0, context)).toEqual([{ first: 1000n, count: 3n, there: true }]);
  expect(args(machine, 0, context)[0]).toMatchObject({ count: 5n });
  expect(args(machine, 0, event({ small: 8, comm: "bash" }))).toEqual([]);
  const { spec, entries } = mapNamed(machine, "seen");
  expect(spec).toMatchObject({ kind: "hash", keyBytes: 17, valueBytes: 32 });
  expect([...entries.keys()]).toContain(`09${hex(Buffer.from("bash".padEnd(16, "\0")))}`);
});

test("get is what was there then; take of a struct outlives its entry", async () => {
  const machine = await Machine.load(`
    const n = hash<u32, i32>();
    const pairs = hash<u32, [u64, cstr<8>]>();
    tracepoint("test:event", (e) => {
      n.set(1, -5);
      const before = n.get(1) ?? 0;
      n.set(1, 6);
      pairs.set(2, [7, "seven"]);
      const pair = pairs.take(2);
      if (pair === undefined) return;
      const [number, name] = pair;
      instant({ name, args: { before, after: n.get(1) ?? 0, number, gone: !pairs.has(2), none: n.get(9) ?? -1, deleted: n.delete(1) } });
    });`);
  const [emitted] = machine.run(0).emitted;
  expect(emitted).toMatchObject({
    name: "seven",
    args: { before: -5n, after: 6n, number: 7n, gone: true, none: -1n, deleted: true },
  });
});

test("increment starts from nothing and takes negative steps", async () => {
  const machine = await Machine.load(`
    const held = hash<u32, u64>();
    const total = array<u64>();
    const per = percpuArray<u32>(4);
    tracepoint("test:event", (e) => {
      held.increment(pid(), e.delta);
      total.increment(0);
      per.increment(2, 3);
      instant({ name: "x", args: { held: held.get(pid()) ?? 0, total: total.get(0), per: per.get(2) ?? 99, beyond: per.get(4) ?? 99 } });
    });`);
  expect(args(machine, 0, event({ delta: 10n }))).toEqual([
    { held: 10n, total: 1n, per: 3n, beyond: 99n },
  ]);
  expect(args(machine, 0, event({ delta: -4n }))).toEqual([
    { held: 6n, total: 2n, per: 6n, beyond: 99n },
  ]);
});

test.each([
  ["hist", {}],
  ["quantize", {}],
  ["lhist", { from: -10, to: 100, width: 7 }],
] as const)("%s counts into the buckets that aggregation.ts says", async (kind, options) => {
  const machine = await Machine.load(
    `const h = ${kind}({ name: "h", ...${JSON.stringify(options)} });
     tracepoint("test:event", (e) => h.add(e.delta));`,
  );
  const aggregation = machine.set.aggregations[0]!;
  const map = mapNamed(machine, "h");
  expect(map.spec.kind).toBe("percpu-array");
  const values = [
    -(2n ** 63n),
    -11n,
    -10n,
    -1n,
    0n,
    1n,
    2n,
    7n,
    8n,
    9n,
    99n,
    100n,
    2n ** 40n + 5n,
    2n ** 63n - 1n,
  ];
  for (const value of values) {
    const before = counts(map);
    machine.run(0, event({ delta: value }));
    const after = counts(map);
    const changed = after.findIndex((count, i) => count !== before[i]);
    expect(changed, `bucket of ${value}`).toBe(bucketOf(aggregation, value));
    expect(after[changed]).toBe(before[changed]! + 1n);
  }
});

function counts(map: MapModel): bigint[] {
  return [...map.entries.values()].map((value) => readWord(value, { bits: 64, signed: false }));
}

test("keyed aggregations: the key's type is that of its first use, the bucket is behind it", async () => {
  const machine = await Machine.load(`
    const calls = count({ name: "calls", key: ["small", "comm"] });
    const longest = max({ name: "longest" });
    const sizes = hist({ name: "sizes" });
    tracepoint("test:event", (e) => {
      calls.add([e.small, e.comm]);
      longest.add(e.pid, e.delta);
      sizes.add(e.small, e.count);
    });`);
  for (const [delta, small] of [
    [-5n, 1],
    [-9n, 1],
    [-2n, 2],
  ] as const)
    machine.run(0, event({ delta, small, comm: "bash", pid: 3, count: 4n }));
  const [calls, longest, sizes] = ["calls", "longest", "sizes"].map((name) =>
    mapNamed(machine, name),
  );
  expect(calls!.spec).toMatchObject({ kind: "percpu-hash", keyBytes: 20, valueBytes: 8 });
  expect(counts(calls!)).toEqual([2n, 1n]);
  expect(machine.set.aggregations.map(({ key }) => key)).toEqual([
    [
      { type: "uint", offset: 0, bytes: 1 },
      { type: "text", offset: 1, bytes: 16 },
    ],
    [{ type: "int", offset: 0, bytes: 4 }],
    [{ type: "uint", offset: 0, bytes: 1 }],
  ]);
  expect(machine.set.aggregations[0]!.keyNames).toEqual(["small", "comm"]);
  const [value] = [...longest!.entries.values()];
  expect(readWord(value!, { bits: 64, signed: true })).toBe(-2n);
  expect([...sizes!.entries.keys()]).toEqual(["0100000004000000", "0200000004000000"]);
});

test("values larger than the stack go through memory of the CPU's own", async () => {
  const machine = await Machine.load(`
    interface Big { at: u64; path: cstr<600> }
    const big = hash<u32, Big>();
    tracepoint("test:event", (e) => {
      big.set(1, { at: now(), path: e.path });
      const b = big.take(1);
      if (b === undefined) return;
      instant({ name: b.path, args: { at: b.at } });
    });`);
  const path = `/${"long/".repeat(10)}`;
  expect(machine.run(0, event({ path })).emitted[0]).toMatchObject({ args: { at: 1000n } });
  expect(machine.set.maps.map(({ name }) => name)).toContain("kymo_scratch0");
  expect(contextWith({})).toHaveLength(128);
});
