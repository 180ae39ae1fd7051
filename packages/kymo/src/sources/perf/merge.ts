/**
 * Records of all CPUs in one order of time.
 *
 * A record's time is taken a little before the record is visible in its ring, so what lies before a time T is complete
 * only some while after T. The caller passes a T that is at least one round old; later records wait.
 */
import type { Ns } from "@kymo/trace";
import type { RecordSource } from "../../linux/perf-ring.ts";
import { recordTime } from "./records.ts";

interface Cursor {
  readonly source: RecordSource;
  /** Of the current record; Infinity when the source has none. */
  ts: number;
}

export class TimeMerger {
  readonly #cursors: readonly Cursor[];
  readonly #originNs: bigint;

  constructor(sources: readonly RecordSource[], originNs: bigint) {
    this.#cursors = sources.map((source) => ({ source, ts: Infinity }));
    this.#originNs = originNs;
  }

  /**
   * Handles all records earlier than `before`, ascending over all sources; ties in the order of the sources.
   * Inside a source the order of writing stays (an interrupt can write a record some µs "before" its predecessor).
   * @returns how many records were handled
   */
  drain(before: number, handle: (source: RecordSource, ts: Ns) => void): number {
    const originHi = Number(this.#originNs >> 32n);
    const originLo = Number(this.#originNs & 0xffff_ffffn);
    const cursors = this.#cursors;
    const advance = (cursor: Cursor): void => {
      cursor.ts = cursor.source.next() ? recordTime(cursor.source, originHi, originLo) : Infinity;
    };
    for (const cursor of cursors) {
      cursor.source.refresh();
      if (cursor.ts === Infinity) advance(cursor);
    }
    let handled = 0;
    for (;;) {
      let first = cursors[0];
      let bound = Infinity;
      for (let i = 1; i < cursors.length; i++) {
        const cursor = cursors[i]!;
        if (cursor.ts < first!.ts) {
          bound = Math.min(bound, first!.ts);
          first = cursor;
        } else if (cursor.ts < bound) bound = cursor.ts;
      }
      if (first === undefined || !(first.ts < before)) break;
      // One source's run, up to where another has something earlier.
      const end = Math.min(bound, before);
      do {
        handle(first.source, first.ts as Ns);
        handled++;
        advance(first);
      } while (first.ts < end);
    }
    for (const { source } of cursors) source.release();
    return handled;
  }
}
