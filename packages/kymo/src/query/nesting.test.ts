import { durationAt, EMPTY_STRING, NO_ARGS, type Ns, TraceBuilder } from "@kymo/trace";
import fc from "fast-check";
import { expect, test } from "vitest";
import { nestSlices, type SlicePart, slicePartsOf } from "./nesting.ts";

interface Flat {
  readonly track: number;
  readonly depth: number;
  readonly ts: number;
  readonly end: number;
}
function flatten(parts: readonly SlicePart[]): Flat[] {
  return parts.flatMap(({ chunk, length, track }) =>
    Array.from({ length }, (_, i): Flat => {
      const dur = durationAt(chunk, i);
      const end = Number.isNaN(dur) ? Number.POSITIVE_INFINITY : chunk.ts[i]! + dur;
      return { track, depth: chunk.depth[i]!, ts: chunk.ts[i]!, end };
    }),
  );
}

/** Long or short, open or closed; overlapping ones go to overflow lanes. */
const slices = fc.array(
  fc.record({
    track: fc.nat(2),
    ts: fc.nat(60),
    dur: fc.oneof(
      { weight: 8, arbitrary: fc.nat(30) },
      { weight: 1, arbitrary: fc.constant(Number.NaN) },
    ),
  }),
  { maxLength: 40 },
);

/** Slices that nest: each a list of children that share its time. */
interface Tree {
  readonly gap: number;
  readonly tail: number;
  readonly open: boolean;
  readonly children: readonly Tree[];
}
const trees = fc.letrec<{ tree: Tree; forest: readonly Tree[] }>((tie) => ({
  tree: fc.record({
    gap: fc.nat(2),
    tail: fc.nat(3),
    open: fc.constant(false),
    children: fc.oneof({ depthSize: "small" }, fc.constant([]), tie("forest")),
  }),
  forest: fc.array(tie("tree"), { maxLength: 4 }),
})).forest;
function flattenTrees(
  forest: readonly Tree[],
  track: number,
  from: number,
  out: { track: number; ts: number; dur: number }[],
): number {
  let at = from;
  for (const { gap, tail, children } of forest) {
    const ts = at + gap;
    const slice = { track, ts, dur: 0 };
    out.push(slice);
    at = flattenTrees(children, track, ts, out) + tail;
    slice.dur = at - ts;
  }
  return at;
}
const nested = fc.tuple(trees, trees).map((forests) => {
  const out: { track: number; ts: number; dur: number }[] = [];
  forests.forEach((forest, track) => {
    flattenTrees(forest, track, 0, out);
  });
  return out;
});

/** The same slices in chunks of at most `rows`: what a long row looks like. */
function inPieces(parts: readonly SlicePart[], rows: number): SlicePart[] {
  return parts.flatMap((part) => {
    const { chunk, length, base } = part;
    return Array.from({ length: Math.ceil(length / rows) }, (_, piece): SlicePart => {
      const from = piece * rows;
      const to = Math.min(length, from + rows);
      const longDur = new Map([...chunk.longDur].map(([index, dur]) => [index - from, dur]));
      const { id, ts, dur, key, category, args, depth } = chunk;
      return {
        ...part,
        base: base + from,
        length: to - from,
        chunk: {
          ...{ sealed: true, length: to - from, longDur },
          ...{ id: id.subarray(from, to), ts: ts.subarray(from, to), dur: dur.subarray(from, to) },
          ...{ key: key.subarray(from, to), category: category.subarray(from, to) },
          ...{ args: args.subarray(from, to), depth: depth.subarray(from, to) },
        },
      };
    });
  });
}

test("parents, pre-order numbers and self times agree with their definitions", () => {
  fc.assert(
    fc.property(fc.oneof(slices, nested), fc.integer({ min: 1, max: 5 }), (given, rows) => {
      const sink = new TraceBuilder();
      const tracks = [0, 1, 2].map((i) => sink.track({ kind: "async", name: `t${i}` }));
      for (const { track, ts, dur } of given)
        sink.slice(tracks[track]!, ts as Ns, dur as Ns, EMPTY_STRING, EMPTY_STRING, NO_ARGS);
      sink.close();
      const parts = inPieces(slicePartsOf(sink.trace), rows);
      const flat = flatten(parts);
      const { parent, pre, last, selfNs } = nestSlices(parts);
      expect(flat.length).toBe(given.length);
      const ancestors = (slice: number): number[] =>
        parent[slice]! < 0 ? [] : [parent[slice]!, ...ancestors(parent[slice]!)];

      expect([...pre].sort((a, b) => a - b)).toEqual(flat.map((_, i) => i));
      flat.forEach((self, i) => {
        const around = flat.filter(
          (other) =>
            other.track === self.track &&
            other.depth === self.depth - 1 &&
            other.ts <= self.ts &&
            other.end >= self.end,
        );
        // The parent is one of those around it, the one that starts last; none only if there is none.
        if (around.length === 0) expect(parent[i]).toBe(-1);
        else {
          expect(around).toContain(flat[parent[i]!]);
          expect(flat[parent[i]!]!.ts).toBe(Math.max(...around.map(({ ts }) => ts)));
        }
        const below = flat.flatMap((_, j) => (ancestors(j).includes(i) ? [pre[j]!] : []));
        const range = Array.from({ length: last[i]! - pre[i]! }, (_, k) => pre[i]! + 1 + k);
        expect(below.sort((a, b) => a - b)).toEqual(range);

        let covered = 0;
        for (let at = self.ts; at < Math.min(self.end, 1000); at++)
          if (flat.some((other, j) => parent[j] === i && other.ts <= at && at < other.end))
            covered++;
        expect(selfNs[i]).toBe(
          self.end === Number.POSITIVE_INFINITY ? -1 : self.end - self.ts - covered,
        );
      });
    }),
    { numRuns: 400 },
  );
});
