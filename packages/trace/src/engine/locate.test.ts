import fc from "fast-check";
import { expect, test } from "vitest";
import type { AnyRow, Row } from "../model/trace.ts";
import { ColumnTrace, type GivenEvent } from "../testing/column-trace.ts";
import { area } from "./area.ts";
import { flame } from "./flame.ts";
import { covering, forEachIn, indexAt, lastStarting, placeOf } from "./locate.ts";

const spans = fc
  .array(fc.tuple(fc.nat(5), fc.nat(6)), { minLength: 1, maxLength: 120 })
  .map((pairs) => {
    const events: GivenEvent[] = [];
    let ts = -20;
    for (const [gap, dur] of pairs) {
      events.push({ ts: ts + gap, dur, key: "x" });
      ts += gap + dur;
    }
    return events;
  });

test("finding events agrees with looking at each of them", () => {
  fc.assert(
    fc.property(
      spans,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: -30, max: 600 }),
      fc.nat(100),
      (events, chunkRows, from, length) => {
        const trace = new ColumnTrace();
        const track = trace.track({ kind: "thread", name: "t" });
        const row = trace.row(track, "slice", 0, events, { chunkRows });
        const any = row as unknown as AnyRow;
        const to = from + length;
        const seen: number[] = [];
        forEachIn(row, from, to, trace.toNs, (chunk, at, index) => {
          expect(placeOf(row, index)).toEqual({ chunk, at });
          seen.push(index);
        });
        const overlapping = events.flatMap(({ ts, dur = 0 }, i) =>
          ts <= to && (ts + dur > from || ts >= from) ? [i] : [],
        );
        expect(seen).toEqual(overlapping);
        expect(indexAt(any, from)).toBe(events.filter(({ ts }) => ts < from).length);
        expect(lastStarting(any, from)).toBe(events.filter(({ ts }) => ts <= from).length - 1);
        const under = covering(any, from, trace.toNs);
        const last = events.findLastIndex(({ ts }) => ts <= from);
        const covers =
          last >= 0 && (events[last]!.ts === from || events[last]!.ts + events[last]!.dur! > from);
        expect(under).toBe(covers ? last : -1);
      },
    ),
    { numRuns: 400 },
  );
});

/** A random call tree as rows by lane: children lie inside their parents. */
function nested(trace: ColumnTrace, shape: readonly (readonly number[])[], chunkRows: number) {
  const track = trace.track({ kind: "thread", name: "t" });
  const lanes: GivenEvent[][] = [];
  let ts = 0;
  const open: GivenEvent[] = [];
  for (const [gap, action, name] of shape) {
    ts += gap!;
    if (action! > 4 && open.length > 0) {
      const event = open.pop()!;
      lanes[open.length]!.push({ ...event, dur: ts - event.ts });
    } else if (open.length < 6) open.push({ ts, key: `f${name}`, depth: open.length });
    for (let lane = lanes.length; lane < open.length; lane++) lanes.push([]);
  }
  while (open.length > 0) {
    const event = open.pop()!;
    lanes[open.length]!.push({ ...event, dur: ts - event.ts });
  }
  return lanes.map((events, lane) =>
    trace.row(track, "slice", lane, events, { chunkRows }),
  ) as Row<"slice">[];
}
function finish<T>(job: Generator<void, T>): T {
  for (;;) {
    const step = job.next();
    if (step.done) return step.value;
  }
}

test("self times of the flame graph and of the area add up to what the outermost slices cover", () => {
  const shapes = fc.array(fc.tuple(fc.nat(20), fc.nat(9), fc.nat(3)), {
    minLength: 2,
    maxLength: 300,
  });
  fc.assert(
    fc.property(
      shapes,
      fc.integer({ min: 1, max: 50 }),
      fc.nat(3000),
      fc.nat(3000),
      (shape, chunkRows, a, b) => {
        const trace = new ColumnTrace();
        const rows = nested(trace, shape, chunkRows);
        const [from, to] = [Math.min(a, b), Math.max(a, b) + 1];
        let covered = 0;
        if (rows[0] !== undefined)
          forEachIn(rows[0], from, to, trace.toNs, (chunk, at) => {
            covered += Math.min(to, chunk.ts[at]! + chunk.dur[at]!) - Math.max(from, chunk.ts[at]!);
          });
        const { nodes, totalNs } = finish(flame(trace, { id: 1, from, to }));
        expect(totalNs).toBeCloseTo(covered);
        expect(nodes.reduce((sum, node) => sum + node.selfNs, 0)).toBeCloseTo(covered);
        const { names } = finish(area(trace, { id: 1, from, to, rows: rows.map((row) => row.id) }));
        expect(names.reduce((sum, name) => sum + name.selfNs, 0)).toBeCloseTo(covered);
        for (const [i, node] of nodes.entries()) {
          let children = 0;
          for (let j = i + 1; j < nodes.length && nodes[j]!.depth > node.depth; j++)
            if (nodes[j]!.depth === node.depth + 1) children += nodes[j]!.totalNs;
          expect(node.totalNs).toBeCloseTo(node.selfNs + children);
        }
      },
    ),
    { numRuns: 300 },
  );
});
