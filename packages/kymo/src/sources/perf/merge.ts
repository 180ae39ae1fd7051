/**
 * Records of all rings in one order of time: of each CPU's perf ring, and of rings of other kinds.
 *
 * A record's time is taken a little before the record is visible in its ring, so what lies before a time T is complete
 * only some while after T. The caller passes a T that is at least one round old; later records wait.
 */
import type { Ns } from "@kymo/trace";
import type { RecordSource } from "../../linux/perf-ring.ts";

/** One ring: where its records come from, how to read their time, and what is done with them. */
export interface MergeInput {
  readonly source: RecordSource;
  /** Time of the source's current record in ns since the origin, whose reading is `originHi` · 2³² + `originLo`. */
  time(source: RecordSource, originHi: number, originLo: number): Ns;
  handle(source: RecordSource, ts: Ns): void;
}

interface Cursor {
  readonly input: MergeInput;
  readonly source: RecordSource;
  /** Of the current record; Infinity when the source has none. */
  ts: number;
}

export class TimeMerger {
  readonly #cursors: Cursor[] = [];
  readonly #originHi: number;
  readonly #originLo: number;

  constructor(inputs: readonly MergeInput[], originNs: bigint) {
    this.#originHi = Number(originNs >> 32n);
    this.#originLo = Number(originNs & 0xffff_ffffn);
    for (const input of inputs) this.add(input);
  }

  /** Not from inside `drain`. */
  add(input: MergeInput): void {
    this.#cursors.push({ input, source: input.source, ts: Infinity });
  }

  /** What the input still holds is not handled any more. Not from inside `drain`. */
  remove(input: MergeInput): void {
    const at = this.#cursors.findIndex((cursor) => cursor.input === input);
    if (at >= 0) this.#cursors.splice(at, 1);
  }

  /**
   * Handles all records earlier than `before`, ascending over all sources; ties in the order of the sources.
   * Inside a source the order of writing stays (an interrupt can write a record some µs "before" its predecessor).
   * @param handled called after each record
   */
  drain(before: number, handled?: (ts: Ns) => void): void {
    const cursors = this.#cursors;
    for (const cursor of cursors) {
      cursor.source.refresh();
      if (cursor.ts === Infinity) this.#advance(cursor);
    }
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
      const { input, source } = first;
      // One source's run, up to where another has something earlier.
      const end = Math.min(bound, before);
      do {
        const { ts } = first;
        input.handle(source, ts as Ns);
        handled?.(ts as Ns);
        this.#advance(first);
      } while (first.ts < end);
    }
    for (const { source } of cursors) source.release();
  }

  #advance(cursor: Cursor): void {
    cursor.ts = cursor.source.next()
      ? cursor.input.time(cursor.source, this.#originHi, this.#originLo)
      : Infinity;
  }
}
