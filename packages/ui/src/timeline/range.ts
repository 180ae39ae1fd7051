/**
 * The visible piece of time and what keys and wheels do to it. Plain numbers in, plain numbers out.
 */
export interface TimeRange {
  /** ns since the trace's origin. */
  readonly from: number;
  readonly to: number;
}
/** Where the view may go. */
export interface Limits extends TimeRange {
  readonly minSpan: number;
}

export const MIN_SPAN_NS = 50;

export const spanOf = (range: TimeRange): number => range.to - range.from;

/** The whole trace with 1 % air at both ends; 1 ms when the trace has no length. */
export function limitsOf(fromNs: number, toNs: number): Limits {
  if (!(toNs > fromNs)) {
    // An empty trace says (Infinity, −Infinity).
    const from = Number.isFinite(fromNs) ? fromNs : 0;
    return { from, to: from + 1e6, minSpan: MIN_SPAN_NS };
  }
  const air = (toNs - fromNs) * 0.01;
  return { from: fromNs - air, to: toNs + air, minSpan: MIN_SPAN_NS };
}

/**
 * Of a recording that goes on: a view of `span` that follows its end, and one panned back from there, lie within them even
 * before the recording is so long.
 */
export function liveLimitsOf(fromNs: number, toNs: number, span: number, ahead: number): Limits {
  const limits = limitsOf(fromNs, toNs);
  const end = Number.isFinite(toNs) ? toNs : 0;
  return {
    ...limits,
    from: Math.min(limits.from, end - 2 * span),
    to: Math.max(limits.to, end + span * ahead),
  };
}

/** Inside the limits, keeping the span where possible. */
export function clampRange(range: TimeRange, limits: Limits): TimeRange {
  const full = spanOf(limits);
  const span = Math.min(full, Math.max(limits.minSpan, spanOf(range)));
  const middle = (range.from + range.to) / 2;
  let from = span === spanOf(range) ? range.from : middle - span / 2;
  from = Math.min(Math.max(from, limits.from), limits.to - span);
  return { from, to: from + span };
}

/** `factor` < 1 zooms in; the time at `anchor` (0 left edge … 1 right edge) stays where it is. */
export function zoomAt(
  range: TimeRange,
  anchor: number,
  factor: number,
  limits: Limits,
): TimeRange {
  const old = spanOf(range);
  const span = Math.min(spanOf(limits), Math.max(limits.minSpan, old * factor));
  const fixed = range.from + old * anchor;
  const from = fixed - span * anchor;
  return clampRange({ from, to: from + span }, limits);
}

/** By a fraction of the visible span; positive goes to later times. */
export function panBy(range: TimeRange, fraction: number, limits: Limits): TimeRange {
  const by = spanOf(range) * fraction;
  return clampRange({ from: range.from + by, to: range.to + by }, limits);
}

/** An event in the middle with air around it. */
export function fitAround(ts: number, dur: number, limits: Limits): TimeRange {
  const span = Math.max(dur, limits.minSpan);
  return clampRange({ from: ts - span * 0.15, to: ts + span * 1.15 }, limits);
}

/** Moved by the least that makes [ts, ts + dur] visible; unchanged when enough of it already is. */
export function reveal(range: TimeRange, ts: number, dur: number, limits: Limits): TimeRange {
  const end = ts + Math.max(0, dur);
  const span = spanOf(range);
  if (end > range.from + span * 0.02 && ts < range.to - span * 0.02) return range;
  const middle = (ts + Math.min(end, ts + span)) / 2;
  return clampRange({ from: middle - span / 2, to: middle + span / 2 }, limits);
}

export const timeToX = (range: TimeRange, width: number, ts: number): number =>
  ((ts - range.from) / spanOf(range)) * width;
export const xToTime = (range: TimeRange, width: number, x: number): number =>
  range.from + (x / width) * spanOf(range);

/** Between two ranges, 0…1; spans change by a constant factor so that zooming feels even. */
export function mixRanges(a: TimeRange, b: TimeRange, t: number): TimeRange {
  if (t <= 0) return a;
  if (t >= 1) return b;
  const spanA = spanOf(a);
  const spanB = spanOf(b);
  const span = spanA * (spanB / spanA) ** t;
  // The part of the way in span tells the part of the way in place; equal spans slide evenly.
  const way = Math.abs(spanB - spanA) < spanA * 1e-6 ? t : (span - spanA) / (spanB - spanA);
  const from = a.from + (b.from - a.from) * way;
  return { from, to: from + span };
}
