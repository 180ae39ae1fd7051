/** Tree and layout of the header column. No browser. */
import type { RowKind } from "@kymo/trace";
import type { TrackNode } from "@kymo/trace/engine";
import { describe, expect, test } from "vitest";
import {
  bandAt,
  itemIndexAt,
  layoutTree,
  placeOfRow,
  stickyItem,
  visibleItems,
} from "../src/timeline/layout.ts";
import { buildTree, expandedAtFirst, filterTree } from "../src/timeline/tree.ts";

let nextRow = 0;
function track(
  id: number,
  kind: TrackNode["info"]["kind"],
  name: string,
  more: Partial<TrackNode> & { rowKinds?: RowKind[]; cpu?: number } = {},
): TrackNode {
  const { rowKinds = [], cpu, ...rest } = more;
  return {
    id,
    parent: undefined,
    info: { kind, name, ...(cpu !== undefined && { cpu }) },
    name,
    idText: "",
    facts: "",
    rows: rowKinds.map((rowKind, lane) => ({ id: nextRow++, kind: rowKind, lane, length: 5 })),
    busyNs: 0,
    target: false,
    ...rest,
  };
}

function sample(): TrackNode[] {
  nextRow = 0;
  return [
    track(0, "host", "box"),
    track(-3, "custom", "CPUs", { parent: 0, facts: "2 CPUs" }),
    track(1, "cpu", "CPU 1", { parent: -3, cpu: 1, rowKinds: ["sched"] }),
    track(2, "cpu", "CPU 0", { parent: -3, cpu: 0, rowKinds: ["sched"] }),
    track(3, "process", "daemon", { parent: 0, busyNs: 900, idText: "pid 7" }),
    track(4, "thread", "daemon", { parent: 3, busyNs: 900, rowKinds: ["thread_state"] }),
    track(5, "process", "shop", { parent: 0, busyNs: 100, target: true }),
    track(6, "thread", "shop", {
      parent: 5,
      busyNs: 30,
      target: true,
      rowKinds: ["thread_state", "slice", "slice"],
    }),
    track(7, "thread", "worker", {
      parent: 5,
      busyNs: 70,
      target: true,
      rowKinds: ["thread_state"],
    }),
    track(8, "counter", "queue", { parent: 5, target: true, rowKinds: ["counter"] }),
  ];
}
const titles = (nodes: readonly { title: string }[]) => nodes.map(({ title }) => title);

describe("tree", () => {
  test("CPUs, then the recorded command, then the rest in a closed group", () => {
    const tree = buildTree(sample());
    expect(titles(tree.roots)).toEqual(["CPUs", "shop", "Other processes"]);
    expect(titles(tree.roots[0]!.children)).toEqual(["CPU 0", "CPU 1"]);
    const open = expandedAtFirst(tree);
    expect(open.has("cpus")).toBe(true);
    expect(open.has("t5")).toBe(true);
    expect(open.has("others")).toBe(false);
  });
  test("threads before counters, busiest first", () => {
    const shop = buildTree(sample()).byKey.get("t5")!;
    expect(titles(shop.children)).toEqual(["worker", "shop", "queue"]);
  });
  test("the main thread says so where its process's name would stand twice", () => {
    const tracks = sample().map((each) => {
      if (each.id === 5) return { ...each, info: { ...each.info, pid: 50 } };
      return each.id === 6 || each.id === 7
        ? { ...each, info: { ...each.info, tid: 44 + each.id } }
        : each;
    });
    expect(titles(buildTree(tracks).byKey.get("t5")!.children)).toEqual([
      "worker",
      "main thread",
      "queue",
    ]);
  });
  test("a process with one thread is a line that holds the thread's rows", () => {
    const daemon = buildTree(sample()).byKey.get("t3")!;
    expect(daemon.children).toEqual([]);
    expect(daemon.rows.map(({ kind }) => kind)).toEqual(["thread_state"]);
    expect(daemon.tracks).toEqual([3, 4]);
  });
  test("without a target the busiest processes are open and nothing is hidden in a group", () => {
    const tree = buildTree(sample().map((each) => ({ ...each, target: false })));
    expect(titles(tree.roots)).toEqual(["CPUs", "daemon", "shop"]);
    expect(expandedAtFirst(tree).has("t5")).toBe(true);
  });
  test("a filter keeps matches and what is above them", () => {
    const tree = filterTree(buildTree(sample()), "WORK");
    expect(titles(tree.roots)).toEqual(["shop"]);
    expect(titles(tree.roots[0]!.children)).toEqual(["worker"]);
    expect(filterTree(buildTree(sample()), "pid 7").byKey.has("t3")).toBe(true);
    expect(filterTree(buildTree(sample()), "nothing").roots).toEqual([]);
  });
});

describe("layout", () => {
  const tree = buildTree(sample());
  const layout = layoutTree(tree, expandedAtFirst(tree), "normal");
  test("items follow each other without gaps", () => {
    let y = 0;
    for (const item of layout.items) {
      expect(item.y).toBe(y);
      y += item.height;
    }
    expect(layout.height).toBe(y);
  });
  test("bands lie inside their item and do not overlap, at every density", () => {
    for (const density of ["normal", "dense", "overview"] as const)
      for (const open of [true, false])
        for (const item of layoutTree(tree, open ? expandedAtFirst(tree) : new Set(), density)
          .items) {
          let y = 0;
          for (const band of item.bands) {
            expect(band.y).toBeGreaterThanOrEqual(y);
            y = band.y + band.height;
          }
          expect(y).toBeLessThanOrEqual(item.height);
        }
  });
  test("slices are 18 px, states 14, counters 28", () => {
    const heights = layout.items.flatMap((item) =>
      item.bands.map(({ kind, height }) => [kind, height]),
    );
    expect(heights).toContainEqual(["slice", 18]);
    expect(heights).toContainEqual(["thread_state", 14]);
    expect(heights).toContainEqual(["counter", 28]);
  });
  test("a closed line shows an overview of the states inside", () => {
    const closed = layoutTree(tree, new Set(), "normal");
    const shop = closed.items.find(({ node }) => node.title === "shop")!;
    expect(shop.expanded).toBe(false);
    expect(shop.bands.map(({ kind }) => kind)).toEqual(["thread_state", "thread_state"]);
    expect(shop.bands.every(({ overview }) => overview)).toBe(true);
  });
  test("points find rows and rows find points", () => {
    for (const item of layout.items)
      for (const band of item.bands) {
        const at = placeOfRow(layout, band.row)!;
        expect(at.y).toBe(item.y + band.y);
        expect(bandAt(layout, at.y + at.height / 2)?.band.row).toBe(band.row);
      }
    expect(bandAt(layout, -1)).toBeUndefined();
    expect(bandAt(layout, layout.height + 1)).toBeUndefined();
    expect(placeOfRow(layout, 9999)).toBeUndefined();
  });
  test("only what touches the window is visible", () => {
    const second = layout.items[1]!;
    expect(visibleItems(layout, second.y, second.y + 1)).toEqual([second]);
    expect(visibleItems(layout, 0, layout.height)).toEqual(layout.items);
    expect(itemIndexAt(layoutTree(buildTree([]), new Set(), "normal"), 10)).toBe(-1);
  });
  test("the header of an open process stays while its threads scroll by", () => {
    const shop = layout.items.find(({ node }) => node.title === "shop")!;
    expect(stickyItem(layout, shop.y + shop.height + 5)?.node.title).toBe("shop");
    expect(stickyItem(layout, shop.y)).toBeUndefined();
    expect(stickyItem(layout, 0)).toBeUndefined();
  });
});

describe("quieter threads", () => {
  /** A process whose main thread had 100 ms, one worker 30, and nine others next to nothing. */
  const pool = (more: (index: number) => Partial<TrackNode> = () => ({})): TrackNode[] => {
    nextRow = 0;
    const thread = (id: number, name: string, busyNs: number, rest: Partial<TrackNode> = {}) =>
      track(id, "thread", name, {
        parent: 1,
        busyNs,
        target: true,
        rowKinds: ["thread_state"],
        ...rest,
      });
    return [
      track(1, "process", "shop", { busyNs: 131e6, target: true }),
      thread(2, "main", 100e6),
      thread(3, "worker", 30e6),
      ...Array.from({ length: 9 }, (_, i) => thread(10 + i, `idle-${i}`, 1e5, more(i))),
      track(30, "counter", "memory", { parent: 1, target: true, rowKinds: ["counter"] }),
    ];
  };
  test("share one closed line after the others, which says how much they did", () => {
    const tree = buildTree(pool());
    const shop = tree.byKey.get("t1")!;
    expect(titles(shop.children)).toEqual(["main", "worker", "9 quieter threads", "memory"]);
    const fold = shop.children[2]!;
    expect([fold.kind, fold.facts]).toEqual(["fold", "900 µs CPU"]);
    expect(fold.children).toHaveLength(9);
    const open = expandedAtFirst(tree);
    expect(open.has("t1")).toBe(true);
    expect(open.has(fold.key)).toBe(false);
    const { items } = layoutTree(tree, open, "normal");
    expect(titles(items.map(({ node }) => node))).toEqual([
      "shop",
      "main",
      "worker",
      "9 quieter threads",
      "memory",
    ]);
    expect(items[3]!.height).toBeLessThanOrEqual(24);
    expect(items[3]!.expandable).toBe(true);
  });
  test("each is a line of its own once theirs is open", () => {
    const tree = buildTree(pool());
    const open = expandedAtFirst(tree).add("q1");
    const { items } = layoutTree(tree, open, "normal");
    expect(items.filter(({ node }) => node.title.startsWith("idle-"))).toHaveLength(9);
    expect(tree.parentOf.get("t10")).toBe("q1");
  });
  test("those with slices of their own or tracks below stay in sight", () => {
    const annotated = buildTree(pool((i) => (i === 4 ? { annotated: true } : {})));
    expect(titles(annotated.byKey.get("t1")!.children)).toContain("idle-4");
    const withChild = buildTree([
      ...pool(),
      track(40, "counter", "queue", { parent: 12, rowKinds: ["counter"] }),
    ]);
    expect(titles(withChild.byKey.get("t1")!.children)).toContain("idle-2");
  });
  test("a filter shows the matching ones without the line around them", () => {
    const found = filterTree(buildTree(pool()), "idle-3");
    expect(titles(found.byKey.get("t1")!.children)).toEqual(["idle-3"]);
    // The process itself matches: its quieter threads stay folded.
    const whole = filterTree(buildTree(pool()), "shop");
    const { items } = layoutTree(whole, new Set(), "normal", true);
    expect(titles(items.map(({ node }) => node))).not.toContain("idle-3");
  });
  test("threads as busy as each other are all shown, and so is a single quiet one", () => {
    nextRow = 0;
    const even = [
      track(1, "process", "even", {}),
      ...Array.from({ length: 20 }, (_, i) =>
        track(2 + i, "thread", `t${i}`, { parent: 1, busyNs: 5 }),
      ),
    ];
    expect(buildTree(even).byKey.get("t1")!.children).toHaveLength(20);
    const one = pool().filter(({ id }) => id < 11);
    expect(titles(buildTree(one).byKey.get("t1")!.children)).toEqual(["main", "worker", "idle-0"]);
  });
});
