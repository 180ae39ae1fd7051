/**
 * Readings of many clocks → ns on the trace clock.
 *
 *     snapshot: boottime 100, monotonic 90, sequence 3's clock 64 = 7     one instant, read on each
 *
 * A reading is placed by the latest snapshot of its clock at or before it. Times here count from `base`, the first
 * reading of the trace clock; the reader moves them to the trace's origin.
 */
import { BuiltinClock } from "./records.ts";

const TWO_32 = 2 ** 32;
/** Snapshots kept of one clock. */
const MAX_SEGMENTS = 1 << 16;

interface Segment {
  /** The clock's reading, as signed high and unsigned low half. */
  readonly high: number;
  readonly low: number;
  /** The same instant on the trace clock, ns since base. */
  readonly time: number;
}
interface SequenceClock {
  readonly high: number;
  readonly low: number;
  time: number;
  readonly incremental: boolean;
  readonly multiplier: number;
}
export interface ClockReading {
  readonly clock: number;
  readonly high: number;
  readonly low: number;
  readonly incremental: boolean;
  readonly multiplier: number;
}

export class Clocks {
  /** The clock that the trace's times are on. */
  primary: number = BuiltinClock.boottime;
  private primaryKnown = false;
  /** Absolute reading of the trace clock at time 0 here. */
  baseHigh = 0;
  baseLow = 0;
  private hasBase = false;
  private readonly segments = new Map<number, Segment[]>();
  private readonly sequences = new Map<number, SequenceClock>();

  get base(): bigint {
    return BigInt.asUintN(64, (BigInt(this.baseHigh) << 32n) | BigInt(this.baseLow));
  }
  get hasSnapshots(): boolean {
    return this.segments.size > 0;
  }

  /** Times count from here on, whatever comes: from 0 when no reading has come. */
  fixBase(): void {
    this.hasBase = true;
  }

  /** The first that says so decides. */
  setPrimary(clock: number): void {
    if (this.primaryKnown || this.hasBase) return;
    this.primary = clock;
    this.primaryKnown = true;
  }

  /** @returns whether the instant could be placed on the trace clock */
  snapshot(sequence: number, readings: readonly ClockReading[]): boolean {
    let time: number | undefined;
    const own = readings.find(({ clock }) => clock === this.primary);
    if (own !== undefined) time = this.sincebase(own.high, own.low);
    else
      for (const { clock, high, low } of readings) {
        if (clock >= BuiltinClock.firstOfSequence) continue;
        const known = this.segments.get(clock);
        if (known !== undefined) time = place(known, high, low);
        if (time !== undefined) break;
      }
    if (time === undefined) return false;
    for (const { clock, high, low, incremental, multiplier } of readings)
      if (clock >= BuiltinClock.firstOfSequence && clock <= BuiltinClock.lastOfSequence)
        this.sequences.set(sequence * 128 + clock, { high, low, time, incremental, multiplier });
      else {
        let list = this.segments.get(clock);
        if (list === undefined) {
          list = [];
          this.segments.set(clock, list);
        }
        if (list.length < MAX_SEGMENTS) insert(list, { high, low, time });
      }
    return true;
  }

  /**
   * @param clock a builtin clock or one of the sequence; 0 is the trace clock
   * @returns ns since base; undefined when the clock was never related to the trace clock
   */
  time(sequence: number, clock: number, high: number, low: number): number | undefined {
    if (clock >= BuiltinClock.firstOfSequence && clock <= BuiltinClock.lastOfSequence) {
      const state = this.sequences.get(sequence * 128 + clock);
      if (state === undefined) return undefined;
      if (state.incremental) {
        state.time += ((high | 0) * TWO_32 + low) * state.multiplier;
        return state.time;
      }
      return state.time + since(state, high | 0, low) * state.multiplier;
    }
    if (clock === 0 || clock === this.primary) return this.sincebase(high | 0, low);
    const list = this.segments.get(clock);
    if (list !== undefined) return place(list, high | 0, low);
    // A file without snapshots has one clock, whatever it calls it.
    return this.hasSnapshots ? undefined : this.sincebase(high | 0, low);
  }

  private sincebase(high: number, low: number): number {
    if (!this.hasBase) {
      this.hasBase = true;
      this.baseHigh = high;
      this.baseLow = low;
    }
    return (high - this.baseHigh) * TWO_32 + (low - this.baseLow);
  }
}

function since(
  from: { readonly high: number; readonly low: number },
  high: number,
  low: number,
): number {
  return (high - from.high) * TWO_32 + (low - from.low);
}

function insert(list: Segment[], segment: Segment): void {
  let at = list.length;
  while (at > 0 && since(list[at - 1]!, segment.high, segment.low) < 0) at--;
  list.splice(at, 0, segment);
}

/** By the latest segment at or before the reading, else by the first. */
function place(list: readonly Segment[], high: number, low: number): number {
  let at = list.length - 1;
  while (at > 0 && since(list[at]!, high, low) < 0) at--;
  const segment = list[at]!;
  return segment.time + since(segment, high, low);
}
