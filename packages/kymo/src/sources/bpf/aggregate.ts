/**
 * Aggregations: counted in the kernel, read out here. While recording each becomes counters on the timeline; at the end
 * it is printed as a table or a histogram, and stored as rows of the table `aggregation`.
 *
 *     totals     what has been added so far, is what is drawn
 *     periods    (`every` was given) what was added in each period is drawn, and told when it ends: the difference to what
 *                was there before. Minima and maxima have none; they are taken out of the map and put together here.
 */
import type { EventTypeId, Ns, TraceSink, TrackId } from "@kymo/trace";
import { bucketRange } from "../../bpf/aggregation.ts";
import { Bpf } from "../../bpf/kernel/bpf.ts";
import type { Aggregation } from "../../bpf/program.ts";
import { printable } from "../../cli/printable.ts";
import { recordBytes } from "../../linux/perf-ring.ts";
import { possibleCpus } from "../../linux/proc.ts";
import type { CaptureContext } from "../perf/extra.ts";
import {
  type AggregationRow,
  average,
  hasBuckets,
  keyWords,
  RowTable,
} from "./aggregation-rows.ts";
import { readNumber } from "./fields.ts";
import { type MapEntry, MapReader } from "./map-reader.ts";
import { percentile } from "./percentile.ts";
import { periodLines, reportLines } from "./report.ts";
import type { ProbeRequest } from "./request.ts";
import { isStackField } from "./stack-reader.ts";
import type { Values } from "./values.ts";

/** Keys of one aggregation that get counters on the timeline: the largest ones at the time they appear. */
export const counterKeyLimit = 32;
const counterNameLimit = 200;
/** Rows that one aggregation leaves in the trace. */
const storedRowLimit = 65_536;

export interface AggregationOptions {
  /** They become counters, and rows of a table. */
  readonly drawn: boolean;
  /** What a period has brought, when it ends. */
  tell?(lines: readonly string[]): void;
}

export class Aggregations {
  readonly #sink: TraceSink;
  readonly #drawn: boolean;
  readonly #host: TrackId;
  readonly #readers: AggregationReader[];
  #type: EventTypeId | undefined;

  constructor(
    context: CaptureContext,
    request: ProbeRequest,
    values: Values,
    options: AggregationOptions,
  ) {
    this.#sink = context.sink;
    this.#drawn = options.drawn;
    this.#host = context.host;
    const bpf = new Bpf(context.libc);
    const cpus = request.aggregations.length === 0 ? 0 : possibleCpus();
    this.#readers = request.aggregations.map((aggregation) => {
      const fd = request.maps.get(aggregation.map);
      if (fd === undefined) throw new RangeError(`no map ${aggregation.map.name}`);
      const reader = new MapReader(bpf, aggregation, fd, cpus);
      return new AggregationReader(context, aggregation, reader, values, options);
    });
    if (this.#readers.length > 0) this.#type = context.sink.eventType(rowType);
    // When they are read at the end, the programs that begin the stacks have no names any more.
    if (request.aggregations.some(({ key }) => key.some(({ type }) => type === "kernel-stack")))
      context.symbols.prepare();
  }

  /** Reads those that are due, draws and tells them. */
  round(ts: Ns): void {
    for (const reader of this.#readers) reader.round(ts);
  }

  /** The totals, drawn and stored where a trace is written. @returns what they say on the terminal, each. */
  finish(ts: Ns): (readonly string[])[] {
    return this.#readers.map((reader) => {
      const rows = reader.finish(ts);
      let left = this.#drawn ? storedRowLimit : 0;
      for (const row of rows) {
        if (left <= 0) break;
        left -= this.#store(ts, reader.aggregation, row);
      }
      return [...reportLines(reader.aggregation, rows), ...reader.missing.map((one) => `  ${one}`)];
    });
  }

  /** @returns rows written. */
  #store(ts: Ns, aggregation: Aggregation, row: AggregationRow): number {
    const { args } = this.#sink;
    const { name, kind } = aggregation;
    const base = (): void => {
      args.text(this.#sink.string("name"), this.#sink.string(name));
      args.text(this.#sink.string("kind"), this.#sink.string(kind));
      args.text(this.#sink.string("key"), this.#sink.string(keyWords(row).join(" ")));
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
  readonly #options: AggregationOptions;
  /** Of periods: all that was there when the last one ended. */
  #before: RowTable;
  #undrawn = 0;
  /** The map had as many entries as it can have, once. */
  #full = false;
  #nextNs: number | undefined;

  constructor(
    { sink, host }: CaptureContext,
    aggregation: Aggregation,
    reader: MapReader,
    values: Values,
    options: AggregationOptions,
  ) {
    this.aggregation = aggregation;
    this.#options = options;
    this.#before = new RowTable(aggregation.kind);
    this.#sink = sink;
    this.#host = host;
    this.#reader = reader;
    const record = recordBytes(new ArrayBuffer((aggregation.map.keyBytes + 7) & ~7));
    this.#keyRecord = record.u8;
    const pid = aggregation.pid === undefined ? () => 0 : readNumber(aggregation.pid);
    this.#keyParts = aggregation.key.map((field) => {
      const text = values.text(field, pid);
      // A part of several lines is a stack.
      return isStackField(field) ? () => text(record, 0) : () => printable(text(record, 0));
    });
  }

  round(ts: Ns): void {
    const { everyNs, periods } = this.aggregation;
    if (periods === undefined && !this.#options.drawn) return;
    const due = this.#nextNs;
    if (due !== undefined && ts < due) return;
    this.#nextNs = Math.max((due ?? ts) + everyNs, ts);
    if (periods === undefined) this.#draw(ts, this.#read().sorted());
    else if (due !== undefined) this.#endPeriod(ts);
  }

  /** Draws the totals, and says what the timeline does not show. @returns them */
  finish(ts: Ns): AggregationRow[] {
    const table = this.#read();
    if (this.#replaces) table.addAll(this.#before.sorted());
    const rows = table.sorted();
    if (!this.#options.drawn) return rows;
    const { name } = this.aggregation;
    for (const message of this.missing) this.#sink.problem({ kind: "lost-events", message });
    // Less than a period is not comparable with one.
    if (this.aggregation.periods === undefined) this.#draw(ts, rows);
    if (this.#undrawn > 0)
      this.#sink.problem({
        kind: "unsupported",
        count: this.#undrawn,
        message: `keys of ${name} have no counter on the timeline: ${counterKeyLimit} at most; the table aggregation has all`,
      });
    return rows;
  }

  /** What was not counted, in words. */
  get missing(): string[] {
    const { name, map } = this.aggregation;
    return this.#full
      ? [
          `${name} has no room for more than ${map.max} keys, others were not counted; give it a larger max`,
        ]
      : [];
  }

  #endPeriod(ts: Ns): void {
    const table = this.#read();
    let added = table;
    if (this.#replaces) this.#before.addAll(table.sorted());
    else {
      added = table.since(this.#before);
      this.#before = table;
    }
    const rows = added.sorted();
    if (this.#options.drawn) this.#draw(ts, rows);
    this.#options.tell?.(periodLines(this.aggregation, rows));
  }

  /** What a period brought can't be told from what was there before. */
  get #replaces(): boolean {
    const { kind, periods } = this.aggregation;
    return periods === true && (kind === "min" || kind === "max");
  }

  /** What the map has; it is taken out where it would be replaced. @throws BpfError */
  #read(): RowTable {
    const table = new RowTable(this.aggregation.kind);
    const buckets = hasBuckets(this.aggregation);
    let entries = 0;
    const add = ({ key, bucket, count, value }: MapEntry): void => {
      entries++;
      this.#keyRecord.set(key);
      const parts = this.#keyParts.map((part) => part());
      table.add(parts, { count, value }, buckets ? [[bucket, count]] : []);
    };
    if (this.#replaces) this.#reader.take(add);
    else this.#reader.forEach(add);
    this.#full ||= entries >= this.aggregation.map.max && this.aggregation.key.length > 0;
    return table;
  }

  /** The counters of the timeline. */
  #draw(ts: Ns, rows: readonly AggregationRow[]): void {
    const drawn = new Set<Counters>();
    for (const row of rows) {
      const counters = this.#countersOf(row);
      if (counters === undefined) continue;
      drawn.add(counters);
      for (const [i, value] of this.#valuesOf(row).entries()) this.#drawOne(ts, counters, i, value);
    }
    this.#undrawn = Math.max(this.#undrawn, rows.length - drawn.size);
    const { kind, periods } = this.aggregation;
    if (periods === undefined || kind === "avg" || this.#replaces) return;
    // Of a key that the period has not, there was none.
    for (const counters of this.#counters.values())
      if (!drawn.has(counters)) this.#drawOne(ts, counters, 0, 0);
  }

  #drawOne(ts: Ns, { tracks, last }: Counters, index: number, value: number): void {
    if (last[index] === value) return;
    last[index] = value;
    this.#sink.counter(tracks[index]!, ts, value);
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
    // Of a stack, its innermost functions are enough.
    const name = [this.aggregation.name, ...keyWords(row)].join(" ").slice(0, counterNameLimit);
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
