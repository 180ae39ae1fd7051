/**
 * What the slices of a trace are to each other: parent, pre-order number, self time. Derived from the rows,
 * kept nowhere. Slices are numbered 0… row by row (sorted by track, then lane), as the slice table lists them.
 *
 *     lane 0   ┌──── 0 ────┐  ┌─ 1 ─┐        parent  [-1, -1,  0,  0]
 *     lane 1    ┌ 2 ┐ ┌ 3 ┐                  pre     [ 0,  3,  1,  2]   descendants of 0: pre in (0, last 2]
 */
import { DUR_ESCAPE, durationAt, type Row, type Trace } from "@kymo/trace";

/** A chunk of a slice row, as long as it was at one moment: the row may grow meanwhile. */
export interface SlicePart {
  readonly chunk: Row<"slice">["chunks"][number];
  readonly length: number;
  /** Row id. */
  readonly row: number;
  readonly track: number;
  readonly lane: number;
  /** Number of the part's first slice. */
  readonly base: number;
}

/** The parts of all slice rows, by track and lane. */
export function slicePartsOf(trace: Trace): SlicePart[] {
  const rows = trace.rows
    .filter((row): row is Row<"slice"> => row.kind === "slice")
    .sort((a, b) => a.track - b.track || a.lane - b.lane);
  const parts: SlicePart[] = [];
  let base = 0;
  for (const row of rows)
    for (const chunk of row.chunks) {
      if (chunk.length === 0) continue;
      parts.push({
        chunk,
        length: chunk.length,
        row: row.id,
        track: row.track,
        lane: row.lane,
        base,
      });
      base += chunk.length;
    }
  return parts;
}

export interface Nesting {
  /** Number of the enclosing slice, −1 none. */
  readonly parent: Int32Array;
  /** Pre-order number over the whole trace. */
  readonly pre: Int32Array;
  /** The highest pre-order number among the slice and its descendants. */
  readonly last: Int32Array;
  /** ns not covered by children; −1 for a slice still open. */
  readonly selfNs: Float64Array;
}

/**
 * A slice's parent is the slice one level up (`depth`) that starts last at or before it and ends at or after
 * its end. In a lane that nests cleanly that is the one slice around it; in an overflow lane it may be none.
 */
export function nestSlices(parts: readonly SlicePart[]): Nesting {
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const nesting: Nesting = {
    parent: new Int32Array(count).fill(-1),
    pre: new Int32Array(count),
    last: new Int32Array(count),
    selfNs: new Float64Array(count),
  };
  let nextPre = 0;
  for (let from = 0; from < parts.length; ) {
    let to = from + 1;
    while (to < parts.length && parts[to]!.track === parts[from]!.track) to++;
    nextPre = nestTrack(parts.slice(from, to), nesting, nextPre);
    from = to;
  }
  return nesting;
}

/** @returns the next free pre-order number */
function nestTrack(parts: readonly SlicePart[], nesting: Nesting, firstPre: number): number {
  const clean = parts.every(({ chunk, length, lane }) => {
    for (let i = 0; i < length; i++) if (chunk.depth[i] !== lane) return false;
    return true;
  });
  if (!clean) return nestLevels(levelsOf(parts), nesting, firstPre);
  return nestLanes(parts, nesting, firstPre);
}

/**
 * The track has no overflow lanes: every lane is sorted and free of overlaps, so one pointer walks the lane above.
 * By far the most tracks; several times faster than `nestLevels`, which gives the same (nesting.test.ts).
 */
function nestLanes(parts: readonly SlicePart[], nesting: Nesting, firstPre: number): number {
  const { parent, pre, last, selfNs } = nesting;
  const first = parts[0]!.base;
  const end = parts.at(-1)!.base + parts.at(-1)!.length;
  let aboveFrom = 0;
  let aboveTo = 0;
  for (let from = 0; from < parts.length; ) {
    const { lane } = parts[from]!;
    let to = from;
    while (to < parts.length && parts[to]!.lane === lane) to++;
    nestLane(parts.slice(from, to), parts.slice(aboveFrom, aboveTo), parent, selfNs);
    aboveFrom = from;
    aboveTo = to;
    from = to;
  }
  // Children have higher numbers than their parents: sizes of subtrees from the back, numbers from the front.
  last.fill(1, first, end);
  for (let self = end - 1; self >= first; self--)
    if (parent[self]! >= 0) last[parent[self]!]! += last[self]!;
  let next = firstPre;
  for (let self = first; self < end; self++) {
    const mother = parent[self]!;
    const size = last[self]!;
    // Until its own children are numbered, `last` of a slice is the number its next child gets.
    let own: number;
    if (mother < 0) {
      own = next;
      next += size;
    } else {
      own = last[mother]!;
      last[mother] = own + size;
    }
    pre[self] = own;
    last[self] = own + 1;
  }
  // Now `last` is one past the subtree.
  for (let self = first; self < end; self++) last[self]!--;
  return next;
}

/** One lane against the lane above it (nothing above the outermost). */
function nestLane(
  parts: readonly SlicePart[],
  above: readonly SlicePart[],
  parent: Int32Array,
  selfNs: Float64Array,
): void {
  /** The part and index of the last slice above that starts at or before the current one; index −1 at first. */
  let part = 0;
  let index = -1;
  for (const { chunk, length, base } of parts)
    for (let i = 0; i < length; i++) {
      const ts = chunk.ts[i]!;
      const dur = chunk.dur[i] === DUR_ESCAPE ? durationAt(chunk, i) : chunk.dur[i]!;
      const open = Number.isNaN(dur);
      selfNs[base + i] = open ? -1 : dur;
      for (let mother = above[part]; mother !== undefined; mother = above[part]) {
        while (index + 1 < mother.length && mother.chunk.ts[index + 1]! <= ts) index++;
        if (index + 1 < mother.length || part + 1 >= above.length) break;
        if (above[part + 1]!.chunk.ts[0]! > ts) break;
        part++;
        index = -1;
      }
      if (index < 0 || above.length === 0) continue;
      const mother = above[part]!;
      const around =
        mother.chunk.dur[index] === DUR_ESCAPE
          ? durationAt(mother.chunk, index)
          : mother.chunk.dur[index]!;
      // An open slice lasts as long as need be; only an open one holds an open one.
      const holds = Number.isNaN(around) || mother.chunk.ts[index]! + around >= ts + dur;
      if (!holds) continue;
      parent[base + i] = mother.base + index;
      if (!Number.isNaN(around)) selfNs[mother.base + index]! -= dur;
    }
}

/** The slices of one depth of one track, by start. */
interface Level {
  readonly slice: Int32Array;
  readonly ts: Float64Array;
  /** Infinity while open. */
  readonly end: Float64Array;
  /** Highest end up to and including each: where it is too low, nothing before can be a parent. */
  readonly maxEnd: Float64Array;
}

/** Any track: level by level, where slices of one level may overlap. */
function nestLevels(levels: readonly Level[], nesting: Nesting, firstPre: number): number {
  const { parent, pre, last, selfNs } = nesting;
  /** Per slice with children: how far they cover it so far. */
  const covered = new Map<number, number>();
  /** Per slice: the number its next child gets. */
  const nextBelow = new Map<number, number>();
  for (let depth = 0; depth < levels.length; depth++) {
    const { slice, ts, end } = levels[depth]!;
    const above = depth === 0 ? undefined : levels[depth - 1]!;
    let candidate = -1;
    for (let i = 0; i < slice.length; i++) {
      const self = slice[i]!;
      selfNs[self] = end[i] === Number.POSITIVE_INFINITY ? -1 : end[i]! - ts[i]!;
      if (above === undefined) continue;
      while (candidate + 1 < above.slice.length && above.ts[candidate + 1]! <= ts[i]!) candidate++;
      const around = enclosing(above, candidate, end[i]!);
      if (around < 0) continue;
      const mother = above.slice[around]!;
      parent[self] = mother;
      if (selfNs[mother]! >= 0) {
        const uncovered = end[i]! - Math.max(ts[i]!, covered.get(mother) ?? ts[i]!);
        if (uncovered > 0) selfNs[mother]! -= uncovered;
      }
      covered.set(mother, Math.max(covered.get(mother) ?? end[i]!, end[i]!));
    }
  }
  // Sizes of subtrees, kept in `last` for the moment: children are one level down, so from the deepest up.
  for (const { slice } of levels) for (const self of slice) last[self] = 1;
  for (let depth = levels.length - 1; depth > 0; depth--)
    for (const self of levels[depth]!.slice)
      if (parent[self]! >= 0) last[parent[self]!]! += last[self]!;
  let next = firstPre;
  for (const { slice } of levels)
    for (const self of slice) {
      const size = last[self]!;
      const mother = parent[self]!;
      const own = mother < 0 ? next : nextBelow.get(mother)!;
      if (mother < 0) next += size;
      else nextBelow.set(mother, own + size);
      pre[self] = own;
      last[self] = own + size - 1;
      nextBelow.set(self, own + 1);
    }
  return next;
}

/** Index of the last slice of `above` at or before `candidate` that ends at or after `end`; −1 none. */
function enclosing(above: Level, candidate: number, end: number): number {
  for (let i = candidate; i >= 0 && above.maxEnd[i]! >= end; i--)
    if (above.end[i]! >= end) return i;
  return -1;
}

function levelsOf(parts: readonly SlicePart[]): Level[] {
  const sizes: number[] = [];
  for (const { chunk, length } of parts)
    for (let i = 0; i < length; i++) {
      const depth = chunk.depth[i]!;
      sizes[depth] = (sizes[depth] ?? 0) + 1;
    }
  const levels = Array.from({ length: sizes.length }, (_, depth): Level => {
    const size = sizes[depth] ?? 0;
    return {
      slice: new Int32Array(size),
      ts: new Float64Array(size),
      end: new Float64Array(size),
      maxEnd: new Float64Array(size),
    };
  });
  const filled = levels.map(() => 0);
  for (const { chunk, length, base } of parts)
    for (let i = 0; i < length; i++) {
      const depth = chunk.depth[i]!;
      const level = levels[depth]!;
      const at = filled[depth]!++;
      const dur = durationAt(chunk, i);
      level.slice[at] = base + i;
      level.ts[at] = chunk.ts[i]!;
      level.end[at] = Number.isNaN(dur) ? Number.POSITIVE_INFINITY : chunk.ts[i]! + dur;
    }
  return levels.map((level) => withMaxEnd(sorted(level)));
}

function withMaxEnd(level: Level): Level {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < level.end.length; i++) {
    max = Math.max(max, level.end[i]!);
    level.maxEnd[i] = max;
  }
  return level;
}

/** By start; ties longest first, then as they were. */
function sorted(level: Level): Level {
  const { slice, ts, end, maxEnd } = level;
  const order = Array.from(slice.keys()).sort(
    (a, b) => ts[a]! - ts[b]! || (end[a] === end[b] ? a - b : end[b]! - end[a]!),
  );
  return {
    slice: Int32Array.from(order, (i) => slice[i]!),
    ts: Float64Array.from(order, (i) => ts[i]!),
    end: Float64Array.from(order, (i) => end[i]!),
    maxEnd,
  };
}
