/** What aggregations have gathered, by key: entries of the map whose keys are the same words are one row. */
import type { Aggregation } from "../../bpf/program.ts";
import type { Tally } from "./map-reader.ts";

/** One key of an aggregation, with all it has gathered. */
export interface AggregationRow extends Tally {
  /** Parts of the key in words, a stack over several lines; empty: there is no key. */
  readonly key: readonly string[];
  /** Of hist, lhist and quantize: counts by bucket, ascending. */
  readonly buckets: ReadonlyMap<number, bigint>;
}

type Kind = Aggregation["kind"];
interface OpenRow extends AggregationRow {
  readonly buckets: Map<number, bigint>;
}

export function hasBuckets({ kind }: Pick<Aggregation, "kind">): boolean {
  return kind === "hist" || kind === "lhist" || kind === "quantize";
}

export function average({ value, count }: Tally): number {
  return count === 0n ? 0 : Number(value) / Number(count);
}

/** The key on one line: of a stack its functions, the innermost first. */
export function keyWords({ key }: AggregationRow): string[] {
  return key.map((part) => part.trim().replace(/\s*\n\s*/g, " ← "));
}

export class RowTable {
  readonly #kind: Kind;
  readonly #rows = new Map<string, OpenRow>();

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  add(key: readonly string[], tally: Tally, buckets: Iterable<readonly [number, bigint]>): void {
    const id = key.join("\0");
    const row = this.#rows.get(id);
    if (row === undefined) {
      const { count, value } = tally;
      this.#rows.set(id, { key, count, value, buckets: new Map(buckets) });
      return;
    }
    row.count += tally.count;
    row.value = this.#together(row.value, tally.value);
    for (const [bucket, count] of buckets)
      row.buckets.set(bucket, (row.buckets.get(bucket) ?? 0n) + count);
  }

  addAll(rows: Iterable<AggregationRow>): void {
    for (const row of rows) this.add(row.key, row, row.buckets);
  }

  #together(a: bigint, b: bigint): bigint {
    if (this.#kind === "min") return a < b ? a : b;
    if (this.#kind === "max") return a > b ? a : b;
    return BigInt.asIntN(64, a + b);
  }

  /** What came since `before`, for kinds that add up. */
  since(before: RowTable): RowTable {
    const added = new RowTable(this.#kind);
    for (const [id, row] of this.#rows) {
      const old = before.#rows.get(id);
      const count = row.count - (old?.count ?? 0n);
      const value = row.value - (old?.value ?? 0n);
      if (count === 0n && value === 0n) continue;
      const buckets = [...row.buckets]
        .map(([bucket, n]) => [bucket, n - (old?.buckets.get(bucket) ?? 0n)] as const)
        .filter(([, n]) => n > 0n);
      added.add(row.key, { count, value }, buckets);
    }
    return added;
  }

  /** Those with the most first; of minima the least. */
  sorted(): AggregationRow[] {
    const size = (row: AggregationRow): number =>
      this.#kind === "avg" ? average(row) : Number(row.count > 0n ? row.count : row.value);
    const sign = this.#kind === "min" ? 1 : -1;
    return [...this.#rows.values()]
      .map((row) => ({ ...row, buckets: new Map([...row.buckets].sort(([a], [b]) => a - b)) }))
      .sort((a, b) => sign * (size(a) - size(b)));
  }
}
