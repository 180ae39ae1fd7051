/**
 * What aggregations say on the terminal.
 *
 *     reads by command                        bytes read
 *       node        1,204                       [16, 32)      12 ██▌
 *       cat            17                       [32, 64)     190 ████████████████████████████████████████
 */
import { bucketRange } from "../../bpf/aggregation.ts";
import type { Aggregation } from "../../bpf/program.ts";
import { type AggregationRow, average, hasBuckets } from "./aggregate.ts";
import { percentile } from "./percentile.ts";

const barWidth = 40;
/** Keys shown of one table; the trace has all. */
const shownRows = 200;

/** Lines, without the newline at the end. An aggregation without entries says so. */
export function reportLines(aggregation: Aggregation, rows: readonly AggregationRow[]): string[] {
  const { name, unit, kind } = aggregation;
  const what = unit === undefined || kind === "count" ? name : `${name} (${unit})`;
  if (rows.length === 0) return [`${what}: nothing was added`];
  const shown = rows.slice(0, shownRows);
  const more =
    rows.length > shown.length ? [`  … and ${grouped(rows.length - shown.length)} more keys`] : [];
  if (hasBuckets(aggregation))
    return shown
      .flatMap((row) => [
        `${what}${row.key.length === 0 ? "" : `, ${row.key.join(", ")}`}`,
        ...histogram(aggregation, row),
      ])
      .concat(more);
  const [only] = shown;
  if (shown.length === 1 && only?.key.length === 0) return [`${what}: ${valueText(kind, only)}`];
  return [what, ...table(shown.map((row) => [...row.key, valueText(kind, row)])), ...more];
}

/** Columns to the left, the last one to the right. A part of several lines (a stack) keeps them. */
function table(rows: readonly (readonly string[])[]): string[] {
  const lastLine = (text: string): string => text.slice(text.lastIndexOf("\n") + 1);
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, text] of row.entries())
      widths[i] = Math.max(widths[i] ?? 0, text.includes("\n") ? 0 : text.length);
  return rows.map((row) => {
    const value = row.length - 1;
    const cells = row.map((text, i) =>
      i === value
        ? text.padStart(widths[i]!)
        : text + " ".repeat(Math.max(0, widths[i]! - lastLine(text).length)),
    );
    return `  ${cells.join("  ").replace(/\n/g, "\n  ")}`;
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
  const showValue =
    aggregation.unit === "ns" ? durationText : (value: number) => grouped(Math.round(value));
  return [
    ...shown.map((_, i) =>
      `  ${labels[i]!.padEnd(labelWidth)}  ${grouped(counts[i]!).padStart(countWidth)} ${bar(Number(counts[i]!) / Number(most))}`.trimEnd(),
    ),
    `  ${grouped(row.count)} in all, ${[0.5, 0.9, 0.99].map((share) => `p${100 * share} ≈ ${showValue(percentile(aggregation, row, share))}`).join(", ")}`,
  ];
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
