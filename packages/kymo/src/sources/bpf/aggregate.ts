/**
 * Aggregations: counted in the kernel, read out here. While recording each becomes counters on the timeline; at the end
 * it is printed as a table or a histogram, and stored as rows of the table `aggregation`.
 */
import type { EventTypeId, Ns, TraceSink, TrackId } from "@kymo/trace";
import { bucketRange } from "../../bpf/aggregation.ts";
import { Bpf } from "../../bpf/kernel/bpf.ts";
import type { Aggregation } from "../../bpf/program.ts";
import { recordBytes } from "../../linux/perf-ring.ts";
import { possibleCpus } from "../../linux/proc.ts";
import type { CaptureContext } from "../perf/extra.ts";
import { MapReader, type Tally } from "./map-reader.ts";
import { percentile } from "./percentile.ts";
import type { ProbeRequest } from "./request.ts";
import type { Values } from "./values.ts";

/** One key of an aggregation, with all it has gathered. */
export interface AggregationRow extends Tally {
  /** Parts of the key in words; empty: there is no key. */
  readonly key: readonly string[];
  /** Of hist, lhist and quantize: counts by bucket, ascending. */
  readonly buckets: ReadonlyMap<number, bigint>;
}

/** Keys of one aggregation that get counters on the timeline: the largest ones at the time they appear. */
export const counterKeyLimit = 32;
const counterNameLimit = 200;
/** Rows that one aggregation leaves in the trace. */
const storedRowLimit = 65_536;

export class Aggregations {
  readonly #sink: TraceSink;
  readonly #host: TrackId;
  readonly #readers: AggregationReader[];
  #type: EventTypeId | undefined;

  constructor(context: CaptureContext, request: ProbeRequest, values: Values) {
    this.#sink = context.sink;
    this.#host = context.host;
    const bpf = new Bpf(context.libc);
    const cpus = request.aggregations.length === 0 ? 0 : possibleCpus();
    this.#readers = request.aggregations.map((aggregation) => {
      const fd = request.maps.get(aggregation.map);
      if (fd === undefined) throw new RangeError(`no map ${aggregation.map.name}`);
      const reader = new MapReader(bpf, aggregation, fd, cpus);
      return new AggregationReader(context, aggregation, reader, values);
    });
    if (this.#readers.length > 0) this.#type = context.sink.eventType(rowType);
  }

  /** Reads those that are due, and draws them. */
  round(ts: Ns): void {
    for (const reader of this.#readers) reader.round(ts);
  }

  /** The last values, drawn and stored where a trace is written. @returns what was read, for the terminal. */
  finish(
    ts: Ns,
    drawn: boolean,
  ): { readonly aggregation: Aggregation; readonly rows: AggregationRow[] }[] {
    return this.#readers.map((reader) => {
      const rows = reader.read();
      if (!drawn) return { aggregation: reader.aggregation, rows };
      reader.draw(ts, rows);
      reader.finish();
      let left = storedRowLimit;
      for (const row of rows) {
        if (left <= 0) break;
        left -= this.#store(ts, reader.aggregation, row);
      }
      return { aggregation: reader.aggregation, rows };
    });
  }

  /** @returns rows written. */
  #store(ts: Ns, aggregation: Aggregation, row: AggregationRow): number {
    const { args } = this.#sink;
    const { name, kind } = aggregation;
    const base = (): void => {
      args.text(this.#sink.string("name"), this.#sink.string(name));
      args.text(this.#sink.string("kind"), this.#sink.string(kind));
      args.text(this.#sink.string("key"), this.#sink.string(row.key.join(" ")));
    };
    const int = (key: string, value: bigint): void => {
      const number = Number(value);
      args.int(this.#sink.string(key), Number.isSafeInteger(number) ? number : value);
    };
    const write = (): void => this.#sink.typed(this.#type!, this.#host, ts, args.done());
    if (row.buckets.size === 0) {
      base();
      if (row.count > 0n) int("count", row.count);
      if (kind === "avg") args.real(this.#sink.string("value"), average(row));
      else if (kind !== "count") args.real(this.#sink.string("value"), Number(row.value));
      write();
      return 1;
    }
    for (const [bucket, count] of row.buckets) {
      const { from, to } = bucketRange(aggregation, bucket);
      base();
      int("bucket_from", from);
      int("bucket_to", to === 2n ** 63n ? to - 1n : to);
      int("count", count);
      write();
    }
    return row.buckets.size;
  }
}

/** Rows of the table `aggregation`: a bucket each of hist, lhist and quantize, one row for each key of the others. */
const rowType = {
  name: "aggregation",
  fields: [
    { name: "name", type: "text" },
    { name: "kind", type: "text" },
    { name: "key", type: "text" },
    { name: "bucket_from", type: "int" },
    { name: "bucket_to", type: "int" },
    { name: "count", type: "int" },
    { name: "value", type: "real" },
  ],
} as const;

export function average({ value, count }: Tally): number {
  return count === 0n ? 0 : Number(value) / Number(count);
}

interface Counters {
  readonly tracks: readonly TrackId[];
  readonly last: number[];
}

class AggregationReader {
  readonly aggregation: Aggregation;
  readonly #sink: TraceSink;
  readonly #host: TrackId;
  readonly #reader: MapReader;
  /** Words of each part of a key that is copied to `#keyRecord`. */
  readonly #keyParts: readonly (() => string)[];
  readonly #keyRecord: Uint8Array;
  readonly #counters = new Map<string, Counters>();
  #undrawn = 0;
  #nextNs = 0;

  constructor(
    { sink, host }: CaptureContext,
    aggregation: Aggregation,
    reader: MapReader,
    values: Values,
  ) {
    this.aggregation = aggregation;
    this.#sink = sink;
    this.#host = host;
    this.#reader = reader;
    const record = recordBytes(new ArrayBuffer((aggregation.map.keyBytes + 7) & ~7));
    this.#keyRecord = record.u8;
    this.#keyParts = aggregation.key.map((field) => {
      const text = values.text(field, () => 0);
      return () => text(record, 0);
    });
  }

  round(ts: Ns): void {
    if (ts < this.#nextNs) return;
    this.#nextNs = ts + this.aggregation.everyNs;
    this.draw(ts, this.read());
  }

  /** All keys, those with the most first. @throws BpfError */
  read(): AggregationRow[] {
    const rows = new Map<string, AggregationRow & { readonly buckets: Map<number, bigint> }>();
    this.#reader.forEach(({ key, bucket, count, value }) => {
      this.#keyRecord.set(key);
      const parts = this.#keyParts.map((part) => part());
      const id = parts.join("\0");
      let row = rows.get(id);
      if (row === undefined) {
        row = { key: parts, count: 0n, value: 0n, buckets: new Map() };
        rows.set(id, row);
      }
      row.count += count;
      row.value += value;
      if (hasBuckets(this.aggregation)) row.buckets.set(bucket, count);
    });
    const { kind } = this.aggregation;
    const size = (row: AggregationRow): number =>
      kind === "avg" ? average(row) : Number(row.count > 0n ? row.count : row.value);
    const sign = kind === "min" ? 1 : -1;
    return [...rows.values()]
      .map((row) => ({ ...row, buckets: new Map([...row.buckets].sort(([a], [b]) => a - b)) }))
      .sort((a, b) => sign * (size(a) - size(b)));
  }

  /** The counters of the timeline. */
  draw(ts: Ns, rows: readonly AggregationRow[]): void {
    for (const row of rows) {
      const counters = this.#countersOf(row);
      if (counters === undefined) continue;
      for (const [i, value] of this.#valuesOf(row).entries()) {
        if (counters.last[i] === value) continue;
        counters.last[i] = value;
        this.#sink.counter(counters.tracks[i]!, ts, value);
      }
    }
    this.#undrawn = Math.max(this.#undrawn, rows.length - this.#counters.size);
  }

  /** Says what the timeline does not show. */
  finish(): void {
    if (this.#undrawn <= 0) return;
    this.#sink.problem({
      kind: "unsupported",
      count: this.#undrawn,
      message: `keys of ${this.aggregation.name} have no counter on the timeline: ${counterKeyLimit} at most; the table aggregation has all`,
    });
  }

  #valuesOf(row: AggregationRow): number[] {
    switch (this.aggregation.kind) {
      case "count":
        return [Number(row.count)];
      case "avg":
        return [average(row)];
      case "sum":
      case "min":
      case "max":
        return [Number(row.value)];
      default:
        return [
          Number(row.count),
          ...drawnPercentiles.map((share) => percentile(this.aggregation, row, share)),
        ];
    }
  }

  #countersOf(row: AggregationRow): Counters | undefined {
    const id = row.key.join("\0");
    const known = this.#counters.get(id);
    if (known !== undefined || this.#counters.size >= counterKeyLimit) return known;
    const { kind, unit } = this.aggregation;
    // A stack is a part of many lines: its innermost functions are enough here.
    const words = row.key.map((part) => part.trim().replace(/\s*\n\s*/g, " ← "));
    const name = [this.aggregation.name, ...words].join(" ").slice(0, counterNameLimit);
    const track = (of: string, unitOf: string | undefined): TrackId =>
      this.#sink.track({
        kind: "counter",
        name: of,
        parent: this.#host,
        ...(unitOf === undefined ? {} : { unit: unitOf }),
      });
    const tracks = hasBuckets(this.aggregation)
      ? [
          track(`${name} count`, "count"),
          ...drawnPercentiles.map((share) => track(`${name} p${100 * share}`, unit)),
        ]
      : [track(name, unit ?? (kind === "count" ? "count" : undefined))];
    const counters = { tracks, last: [] };
    this.#counters.set(id, counters);
    return counters;
  }
}

const drawnPercentiles = [0.5, 0.99] as const;

export function hasBuckets({ kind }: Aggregation): boolean {
  return kind === "hist" || kind === "lhist" || kind === "quantize";
}
