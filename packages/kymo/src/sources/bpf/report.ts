/**
 * What aggregations say on the terminal.
 *
 *     reads by command                        bytes read
 *       node        1,204                       [16, 32)      12 ██▌
 *       cat            17                       [32, 64)     190 ████████████████████████████████████████
 */
import { bucketRange } from "../../bpf/aggregation.ts";
import type { Aggregation } from "../../bpf/program.ts";
import { type AggregationRow, average, hasBuckets } from "./aggregation-rows.ts";
import { percentile } from "./percentile.ts";

const barWidth = 40;
/** Keys shown of one table; the trace has all. */
const shownRows = 200;
const shownPeriodRows = 20;

/** Lines, without the newline at the end. An aggregation without entries says so. */
export function reportLines(aggregation: Aggregation, rows: readonly AggregationRow[]): string[] {
  const { kind } = aggregation;
  const what = `${titleOf(aggregation)}${aggregation.periods === true ? ", in all" : ""}`;
  if (rows.length === 0) return [`${what}: nothing was added`];
  if (hasBuckets(aggregation))
    return limited(rows, shownRows, (shown) =>
      shown.flatMap((row) => [...heading(what, row), ...histogram(aggregation, row)]),
    );
  const [only] = rows;
  if (only?.key.length === 0) return [`${what}: ${valueText(kind, only)}`];
  return [what, ...limited(rows, shownRows, (shown) => table(kind, shown))];
}

/** What one period has brought, a histogram on one line. */
export function periodLines(aggregation: Aggregation, rows: readonly AggregationRow[]): string[] {
  const { kind, key } = aggregation;
  const what = titleOf(aggregation);
  const [only] = rows;
  if (only === undefined)
    return [`${what}: ${key.length === 0 && (kind === "count" || kind === "sum") ? 0 : "none"}`];
  if (hasBuckets(aggregation))
    return limited(rows, shownPeriodRows, (shown) =>
      shown.flatMap((row) => {
        const [first, ...stacks] = heading(what, row);
        return [`${first}: ${summary(aggregation, row)}`, ...stacks];
      }),
    );
  if (key.length === 0) return [`${what}: ${valueText(kind, only)}`];
  return [what, ...limited(rows, shownPeriodRows, (shown) => table(kind, shown))];
}

function titleOf({ name, unit, kind }: Aggregation): string {
  return unit === undefined || kind === "count" ? name : `${name} (${unit})`;
}

/** Lines of as many rows as are shown, and how many there are besides. */
function limited(
  rows: readonly AggregationRow[],
  most: number,
  linesOf: (rows: readonly AggregationRow[]) => string[],
): string[] {
  const more = rows.length - most;
  return [
    ...linesOf(rows.slice(0, most)),
    ...(more > 0 ? [`  … and ${grouped(more)} more keys`] : []),
  ];
}

/** Parts of a key of several lines (stacks) are below the others. */
const isStack = (part: string): boolean => part.includes("\n");
function stackLines(row: AggregationRow): string[] {
  return row.key.filter(isStack).flatMap((stack) =>
    stack
      .trim()
      .split(/\s*\n\s*/)
      .map((name) => `      ${name}`),
  );
}

function heading(what: string, row: AggregationRow): string[] {
  const words = row.key.filter((part) => !isStack(part));
  return [[what, ...words].join(", "), ...stackLines(row)];
}

/** Columns to the left, the values to the right. */
function table(kind: Aggregation["kind"], rows: readonly AggregationRow[]): string[] {
  const cells = rows.map((row) => [
    ...row.key.filter((part) => !isStack(part)),
    valueText(kind, row),
  ]);
  const widths: number[] = [];
  for (const row of cells)
    for (const [i, text] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, text.length);
  return rows.flatMap((row, at) => {
    const line = cells[at]!.map((text, i, { length }) =>
      i === length - 1 ? text.padStart(widths[i]!) : text.padEnd(widths[i]!),
    );
    return [`  ${line.join("  ")}`, ...stackLines(row)];
  });
}

function histogram(aggregation: Aggregation, row: AggregationRow): string[] {
  const buckets = [...row.buckets.keys()];
  const [first, last] = [Math.min(...buckets), Math.max(...buckets)];
  // Finely cut ones are mostly empty: only what has something is shown.
  const shown =
    aggregation.kind === "quantize"
      ? buckets
      : Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const counts = shown.map((bucket) => row.buckets.get(bucket) ?? 0n);
  const most = counts.reduce((a, b) => (a > b ? a : b), 1n);
  const bound = boundFormat(aggregation);
  const labels = shown.map((bucket) => rangeText(aggregation, bucket, bound));
  const labelWidth = Math.max(...labels.map(({ length }) => length));
  const countWidth = Math.max(...counts.map((count) => grouped(count).length));
  return [
    ...shown.map((_, i) =>
      `  ${labels[i]!.padEnd(labelWidth)}  ${grouped(counts[i]!).padStart(countWidth)} ${bar(Number(counts[i]!) / Number(most))}`.trimEnd(),
    ),
    `  ${summary(aggregation, row)}`,
  ];
}

function summary(aggregation: Aggregation, row: AggregationRow): string {
  const show =
    aggregation.unit === "ns" ? durationText : (value: number) => grouped(Math.round(value));
  const shares = [0.5, 0.9, 0.99].map(
    (share) => `p${100 * share} ≈ ${show(percentile(aggregation, row, share))}`,
  );
  return `${grouped(row.count)} in all, ${shares.join(", ")}`;
}

type Bound = (value: bigint) => string;

function rangeText(aggregation: Aggregation, bucket: number, bound: Bound): string {
  const { from, to } = bucketRange(aggregation, bucket);
  if (from === -(2n ** 63n)) return `(…, ${bound(to)})`;
  if (to === 2n ** 63n) return `[${bound(from)}, …)`;
  return to - from === 1n ? `[${bound(from)}]` : `[${bound(from)}, ${bound(to)})`;
}

/** Bounds that the user chose stay as they are; others are powers of two, or close to them. */
function boundFormat({ kind, unit }: Aggregation): Bound {
  if (unit === "ns") return (value) => durationText(Number(value));
  return kind === "lhist" ? String : shortText;
}

/** "512", "4K", "1M": in steps of 1024 where nothing is lost by it. */
function shortText(value: bigint): string {
  let shown = value;
  for (const unit of ["", "K", "M", "G", "T", "P"]) {
    if (shown === 0n || shown % 1024n !== 0n) return `${shown}${unit}`;
    shown /= 1024n;
  }
  return `${shown}E`;
}

/** Three digits: "295 µs", "1.05 ms". */
function durationText(ns: number): string {
  const units = ["ns", "µs", "ms"];
  let value = ns;
  for (const unit of units) {
    if (Math.abs(value) < 999.5) return `${Number(value.toPrecision(3))} ${unit}`;
    value /= 1000;
  }
  return `${value < 1000 ? Number(value.toPrecision(3)) : Math.round(value)} s`;
}

/** Eighths of a character: ▏▎▍▌▋▊▉█. */
function bar(share: number): string {
  const eighths = Math.round(share * barWidth * 8);
  const rest = eighths % 8;
  return "█".repeat(eighths >> 3) + (rest === 0 ? "" : String.fromCodePoint(0x2590 - rest));
}

function valueText(kind: Aggregation["kind"], row: AggregationRow): string {
  if (kind === "count") return grouped(row.count);
  if (kind !== "avg") return grouped(row.value);
  return `${average(row).toLocaleString("en-US", { maximumFractionDigits: 1 })} (of ${grouped(row.count)})`;
}

function grouped(value: bigint | number): string {
  return value.toLocaleString("en-US");
}
