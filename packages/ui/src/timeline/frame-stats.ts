/** Times of the last frames and strips: for tests, benchmarks and `window.__kymo`. */
const KEEP = 600;

export class FrameStats {
  frames = 0;
  strips = 0;
  firstStripAt: number | undefined;
  private readonly intervals: number[] = [];
  private readonly costs: number[] = [];
  private readonly ages: number[] = [];
  private readonly waits: number[] = [];
  /** Since the last reset: the lists forget, these must not. */
  private oldestAge = 0;
  private longestWait = 0;
  private last = 0;

  frame(now: number, cost: number, age: number): void {
    this.frames++;
    push(this.intervals, now - this.last);
    push(this.costs, cost);
    push(this.ages, age);
    this.oldestAge = Math.max(this.oldestAge, age);
    this.last = now;
  }
  /** An answer to a viewport asked for at `requestedAt`. */
  strip(now: number, requestedAt: number): void {
    this.strips++;
    push(this.waits, now - requestedAt);
    this.longestWait = Math.max(this.longestWait, now - requestedAt);
    this.firstStripAt ??= now;
  }
  reset(): void {
    this.intervals.length = 0;
    this.costs.length = 0;
    this.ages.length = 0;
    this.waits.length = 0;
    this.oldestAge = 0;
    this.longestWait = 0;
  }
  /** ms */
  summary() {
    return {
      frames: this.frames,
      strips: this.strips,
      firstStripAt: this.firstStripAt,
      costMedian: quantile(this.costs, 0.5),
      costP95: quantile(this.costs, 0.95),
      stripWaitMedian: quantile(this.waits, 0.5),
      stripWaitP95: quantile(this.waits, 0.95),
      stripWaitMax: this.longestWait,
      oldestStripAge: this.oldestAge,
      stripAgeP95: quantile(this.ages, 0.95),
    };
  }
}

function push(list: number[], value: number): void {
  if (list.length >= KEEP) list.shift();
  list.push(value);
}

/** 0 when the list is empty. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}
