import { expect, test } from "vitest";
import { ColumnTrace } from "../testing/column-trace.ts";
import { LevelOfDetail } from "./lod.ts";
import { FILLS, fillOf, pixel, SYSCALL_FILLS, sliceFill } from "./palette.ts";
import { ProcessFills } from "./process-fills.ts";
import { Raster } from "./raster.ts";
import { RowTotals } from "./row-totals.ts";
import { trackTree } from "./tracks.ts";

/** Two names that `fillOf` gives the same fill. */
function twins(): [string, string] {
  const first = "shop";
  for (let n = 0; ; n++) {
    const other = `x${"y".repeat(n)}`;
    if (fillOf(other) === fillOf(first)) return [first, other];
  }
}

test("processes of different names differ while there are fills; those of one name share theirs", () => {
  const trace = new ColumnTrace();
  const [a, b] = twins();
  const first = trace.track({ kind: "process", name: `${a}1`, pid: 1 });
  const second = trace.track({ kind: "process", name: b, pid: 2 });
  const third = trace.track({ kind: "process", name: `${a}2`, pid: 3 });
  const fills = new ProcessFills(trace);
  expect(fills.of(first)).toBe(fillOf(a));
  expect(fills.of(second)).not.toBe(fills.of(first));
  expect(fills.of(third)).toBe(fills.of(first));
  const more = Array.from({ length: 30 }, (_, n) =>
    trace.track({ kind: "process", name: "z".repeat(n + 1), pid: 10 + n }),
  );
  expect(new Set(more.map((each) => fills.of(each))).size).toBeGreaterThanOrEqual(FILLS.length - 2);
});

test("the tree says the very colour that CPU rows use", () => {
  const trace = new ColumnTrace();
  const [a, b] = twins();
  const cpu = trace.track({ kind: "cpu", cpu: 0, name: "" });
  const processes = [a, b].map((name, n) => trace.track({ kind: "process", name, pid: n + 1 }));
  const threads = processes.map((parent, n) =>
    trace.track({ kind: "thread", name: "main", tid: n + 1, parent }),
  );
  const row = trace.row(
    cpu,
    "sched",
    0,
    threads.map((thread, n) => ({ ts: 50 * n, dur: 40, key: thread })),
  );
  for (const thread of threads) trace.row(thread, "slice", 0, [{ ts: 0, dur: 1, key: "a" }]);
  const lod = new LevelOfDetail(trace);
  lod.work(Infinity);
  const { pixels } = new Raster(lod).strip(1, {
    rows: [row.id],
    from: 0,
    to: 100,
    width: 100,
    theme: "light",
    highlight: "",
    labelMinPx: 0,
  });
  const tree = trackTree(trace, new RowTotals(trace));
  const fillOfTrack = (id: number) => tree.find((each) => each.id === id)?.fill;
  expect(pixels[10]).toBe(pixel(fillOfTrack(processes[0]!)!));
  expect(pixels[60]).toBe(pixel(fillOfTrack(processes[1]!)!));
  expect(pixels[10]).not.toBe(pixels[60]);
});

test("system calls are slates, whatever they are called", () => {
  for (const name of ["read", "epoll_pwait", "futex", ""])
    expect(SYSCALL_FILLS).toContain(sliceFill(name, true));
  expect(FILLS).toContain(sliceFill("read", false));
});
