import { expect, test } from "vitest";
import { bucketOf } from "../../bpf/aggregation.ts";
import type { Aggregation } from "../../bpf/program.ts";
import type { AggregationRow } from "./aggregation-rows.ts";
import { percentile } from "./percentile.ts";
import { reportLines } from "./report.ts";

const map = { kind: "percpu-hash", name: "m", keyBytes: 8, valueBytes: 8, max: 16 } as const;
const aggregation = (kind: Aggregation["kind"], more: Partial<Aggregation> = {}): Aggregation => ({
  map,
  name: "reads",
  kind,
  key: [],
  everyNs: 1e9,
  ...more,
});
const row = (key: readonly string[], count: bigint, value = 0n): AggregationRow => ({
  key,
  count,
  value,
  buckets: new Map(),
});
function bucketRow(of: Aggregation, values: readonly bigint[]): AggregationRow {
  const buckets = new Map<number, bigint>();
  for (const value of values) {
    const bucket = bucketOf(of, value);
    buckets.set(bucket, (buckets.get(bucket) ?? 0n) + 1n);
  }
  return { key: [], count: BigInt(values.length), value: 0n, buckets };
}

test("tables have a line for each key", () => {
  expect(
    reportLines(aggregation("count"), [row(["node", "7"], 1204n), row(["cat", "11"], 3n)]),
  ).toEqual(["reads", "  node  7   1,204", "  cat   11      3"]);
  expect(reportLines(aggregation("sum", { unit: "bytes" }), [row([], 0n, 4096n)])).toEqual([
    "reads (bytes): 4,096",
  ]);
  expect(reportLines(aggregation("avg"), [row([], 3n, 10n)])).toEqual(["reads: 3.3 (of 3)"]);
  expect(reportLines(aggregation("max"), [])).toEqual(["reads: nothing was added"]);
});

test("a stack in a key is below its line, innermost first", () => {
  expect(
    reportLines(aggregation("count"), [
      row(["\n    read\n    main"], 2n),
      row(["\n    open"], 10n),
    ]),
  ).toEqual(["reads", "   2", "      read", "      main", "  10", "      open"]);
});

test("histograms show every bucket between the first and the last, drawn to the fullest", () => {
  const of = aggregation("hist", { unit: "bytes" });
  const values = [1n, 4n, 5n, 6n, 7n, 2048n, 2048n];
  const lines = reportLines(of, [bucketRow(of, values)]);
  expect(lines[0]).toBe("reads (bytes)");
  expect(lines[1]).toBe(`  [1]         1 ${"█".repeat(10)}`);
  expect(lines[2]).toBe("  [2, 4)      0");
  expect(lines[3]).toBe(`  [4, 8)      4 ${"█".repeat(40)}`);
  expect(lines.at(-2)).toBe(`  [2K, 4K)    2 ${"█".repeat(20)}`);
  expect(lines).toHaveLength(1 + 12 + 1);
  expect(lines.at(-1)).toContain("7 in all");
});

test("linear buckets have open ends and the bounds that were asked for", () => {
  const of = aggregation("lhist", { buckets: { from: 0n, to: 3000n, width: 1024n } });
  expect(reportLines(of, [bucketRow(of, [-1n, 0n, 2999n, 3000n])]).slice(1, -1)).toEqual([
    `  (…, 0)        1 ${"█".repeat(40)}`,
    `  [0, 1024)     1 ${"█".repeat(40)}`,
    "  [1024, 2048)  0",
    `  [2048, 3000)  1 ${"█".repeat(40)}`,
    `  [3000, …)     1 ${"█".repeat(40)}`,
  ]);
});

test("nanoseconds are shown as times", () => {
  const of = aggregation("hist", { unit: "ns" });
  const lines = reportLines(of, [bucketRow(of, [3n, 300_000n, 2_000_000_000n])]);
  expect(lines[1]).toMatch(/^ {2}\[2 ns, 4 ns\) +1 █+$/);
  expect(lines.some((line) => /^ {2}\[262 µs, 524 µs\) +1 █+$/.test(line))).toBe(true);
  expect(lines.at(-2)).toMatch(/^ {2}\[1\.07 s, 2\.15 s\) +1 █+$/);
  expect(lines.at(-1)).toMatch(/^ {2}3 in all, p50 ≈ 393 µs, /);
});

test("of buckets of one number, percentiles are exact", () => {
  const of = aggregation("lhist", { buckets: { from: 0n, to: 8n, width: 1n } });
  expect(reportLines(of, [bucketRow(of, [0n, 1n, 1n, 1n])]).at(-1)).toBe(
    "  4 in all, p50 ≈ 1, p90 ≈ 1, p99 ≈ 1",
  );
});

test("percentiles of quantize are within an eighth", () => {
  const of = aggregation("quantize");
  const values = Array.from({ length: 1000 }, (_, i) => BigInt((i + 1) * 1000));
  const data = bucketRow(of, values);
  const sorted = { ...data, buckets: new Map([...data.buckets].sort(([a], [b]) => a - b)) };
  for (const share of [0.5, 0.9, 0.99]) {
    const exact = share * 1_000_000;
    expect(Math.abs(percentile(of, sorted, share) / exact - 1)).toBeLessThan(1 / 8);
  }
});
