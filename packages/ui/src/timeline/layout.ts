/**
 * Where every line of the tree and every row of events is, in px from the top of the scrolled content.
 *
 *     item (a line of the tree)            bands (rows of events inside it)
 *     ┌ y ─────────────┬──────────────┐
 *     │ ▾ worker   812 │ ▇▇▇▁▁▇▇▁     │ ← thread state, 14 px
 *     │   1.2 s · 43 % │ [   slice  ] │ ← slice lanes, 18 px each
 *     └ y + height ────┴──────────────┘
 *
 * A closed line shows its descendants' busiest rows as thin bands: an overview of what is inside.
 */
import type { RowKind } from "@kymo/trace";
import { rowsUnder, type Tree, type TreeNode, type TreeRow } from "./tree.ts";

export type Density = "normal" | "dense" | "overview";

export interface Band {
  readonly row: number;
  readonly kind: RowKind;
  readonly lane: number;
  /** From the item's top. */
  readonly y: number;
  readonly height: number;
  /** One of several thin rows of a closed line: no labels. */
  readonly overview: boolean;
}
export interface Item {
  readonly node: TreeNode;
  readonly y: number;
  readonly height: number;
  readonly level: number;
  readonly expandable: boolean;
  readonly expanded: boolean;
  readonly bands: readonly Band[];
}
export interface Layout {
  readonly items: readonly Item[];
  readonly height: number;
  readonly density: Density;
  /** Item index of a drawn row. */
  readonly itemOfRow: ReadonlyMap<number, number>;
  readonly indexOfKey: ReadonlyMap<string, number>;
}

const bandHeights: { readonly [D in Density]: { readonly [K in RowKind]: number } } = {
  normal: { slice: 18, instant: 8, counter: 28, sched: 14, thread_state: 14, sample: 10 },
  dense: { slice: 4, instant: 4, counter: 12, sched: 4, thread_state: 4, sample: 4 },
  overview: { slice: 1, instant: 1, counter: 4, sched: 1, thread_state: 1, sample: 1 },
};
/** Least height of a line: two lines of text, one line, no text. */
const tall = { normal: 36, dense: 17, overview: 5 };
const flat = { normal: 22, dense: 17, overview: 5 };
/** An open process: its name and id, and below the id the bar of its share. */
const heading = { normal: 27, dense: 17, overview: 5 };
const padding = { normal: 3, dense: 2, overview: 1 };

export function layoutTree(
  tree: Tree,
  expanded: ReadonlySet<string>,
  density: Density,
  openAll = false,
): Layout {
  const items: Item[] = [];
  const itemOfRow = new Map<number, number>();
  const indexOfKey = new Map<string, number>();
  let y = 0;
  const place = (node: TreeNode, level: number) => {
    const expandable = node.children.length > 0 || node.rows.length > 1;
    const open = expandable && ((openAll && node.kind !== "fold") || expanded.has(node.key));
    const bands = open || !expandable ? ownBands(node, density) : closedBands(node, density);
    const bottom = bands.reduce((most, band) => Math.max(most, band.y + band.height), 0);
    const height = Math.max(leastHeight(node, open, density), bottom + padding[density]);
    for (const band of bands) itemOfRow.set(band.row, items.length);
    indexOfKey.set(node.key, items.length);
    items.push({ node, y, height, level, expandable, expanded: open, bands });
    y += height;
    if (open) for (const child of node.children) place(child, level + 1);
  };
  for (const root of tree.roots) place(root, 0);
  return { items, height: y, density, itemOfRow, indexOfKey };
}

/** Index of the item at `y`, clamped to the first and last; −1 when there are none. */
export function itemIndexAt(layout: Layout, y: number): number {
  let low = 0;
  let high = layout.items.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (layout.items[middle]!.y <= y) low = middle;
    else high = middle - 1;
  }
  return layout.items.length === 0 ? -1 : low;
}

/** The band at `y`, the nearest one of its item when between two; undefined outside. */
export function bandAt(layout: Layout, y: number): { item: Item; band: Band } | undefined {
  if (y < 0 || y >= layout.height) return undefined;
  const item = layout.items[itemIndexAt(layout, y)];
  if (!item) return undefined;
  const band = item.bands.find(
    (each) => y >= item.y + each.y - 1 && y < item.y + each.y + each.height + 1,
  );
  return band && { item, band };
}

/** y from the top of the content and height of a row; undefined when it is not drawn. */
export function placeOfRow(
  layout: Layout,
  row: number,
): { y: number; height: number; band: Band } | undefined {
  const item = layout.items[layout.itemOfRow.get(row) ?? -1];
  const band = item?.bands.find((each) => each.row === row);
  return item && band && { y: item.y + band.y, height: band.height, band };
}

/** Items that touch [top, bottom). */
export function visibleItems(layout: Layout, top: number, bottom: number): readonly Item[] {
  const first = itemIndexAt(layout, top);
  if (first < 0) return [];
  let end = first;
  while (end < layout.items.length && layout.items[end]!.y < bottom) end++;
  return layout.items.slice(first, end);
}

/** Bands of the item that touch [top, bottom) of the content: a thread may be thousands of slices deep. */
export function visibleBands(item: Item, top: number, bottom: number): readonly Band[] {
  const { bands, y } = item;
  if (y >= top && y + item.height <= bottom) return bands;
  return bands.filter((band) => y + band.y < bottom && y + band.y + band.height > top);
}

/** The process (or group) whose lines are being scrolled through: its header stays at the top. */
export function stickyItem(layout: Layout, top: number): Item | undefined {
  let index = itemIndexAt(layout, top);
  const at = layout.items[index];
  if (!at) return undefined;
  if (at.y >= top && at.level === 0) return undefined;
  while (index > 0 && layout.items[index]!.level > 0) index--;
  const item = layout.items[index]!;
  // Nothing to hold on to: a line without children that is half out of sight.
  return item.expanded && item.node.children.length > 0 && item.y < top ? item : undefined;
}

function leastHeight(node: TreeNode, open: boolean, density: Density): number {
  if (node.kind === "group" || node.kind === "cpu" || node.kind === "fold") return flat[density];
  if (node.kind === "process" && open && node.rows.length === 0) return heading[density];
  if (node.kind === "track" && node.facts === "") return flat[density];
  return tall[density];
}

function ownBands(node: TreeNode, density: Density): Band[] {
  const bands: Band[] = [];
  let y = padding[density];
  for (const row of node.rows) {
    const height = bandHeights[density][row.kind];
    bands.push({ row: row.id, kind: row.kind, lane: row.lane, y, height, overview: false });
    y += height + (row.kind === "slice" || density === "overview" ? 0 : 1);
  }
  // A lone short band sits in the middle of its line.
  const least = leastHeight(node, true, density);
  const first = bands[0];
  if (bands.length === 1 && first && first.height + 2 * padding[density] < least)
    return [{ ...first, y: Math.round((least - first.height) / 2) }];
  return bands;
}

function closedBands(node: TreeNode, density: Density): Band[] {
  const room = leastHeight(node, false, density) - 2 * padding[density];
  const rows = overviewRows(node).slice(0, Math.max(1, Math.floor(room / 2)));
  const height = Math.max(
    1,
    Math.min(bandHeights[density].sched, Math.floor(room / Math.max(1, rows.length))),
  );
  const start = Math.round(padding[density] + (room - height * rows.length) / 2);
  return rows.map((row, i) => ({
    row: row.id,
    kind: row.kind,
    lane: row.lane,
    y: start + i * height,
    height,
    overview: rows.length > 1 || height < bandHeights.normal.sched,
  }));
}

/** Scheduling tells most about what is inside; outermost slices where there is none. */
function overviewRows(node: TreeNode): TreeRow[] {
  const rows = rowsUnder(node).filter((row) => row.length > 0);
  const states = rows.filter((row) => row.kind === "thread_state" || row.kind === "sched");
  if (states.length > 0) return states;
  const slices = rows.filter((row) => row.kind === "slice" && row.lane === 0);
  return slices.length > 0 ? slices : rows;
}
