/**
 * The header column: the tree of processes, threads, CPUs. Only the lines in sight are elements; they are moved
 * in the same frame that paints the canvas, so the two never drift apart.
 */
import { effect } from "@preact/signals";
import { colorOf } from "../panels/fill.ts";
import { factsParts, shareOf } from "./facts.ts";
import { type Item, itemIndexAt, stickyItem, visibleItems } from "./layout.ts";
import { isHeading } from "./paint.ts";
import type { Timeline } from "./timeline.ts";

/** Px of a line that must be in sight for it not to count as below: the hint itself, and a line of text. */
const LEAST_SEEN = 36;

interface Line {
  readonly element: HTMLElement;
  readonly chevron: HTMLElement;
  readonly fill: HTMLElement;
  readonly title: HTMLElement;
  readonly id: HTMLElement;
  readonly facts: HTMLElement;
  readonly bar: HTMLElement;
  /** What it shows now; elements are only touched when this changes. */
  shown: string;
  y: number;
}

export class Headers {
  private readonly timeline: Timeline;
  private readonly host: HTMLElement;
  private readonly lines = new Map<string, Line>();
  private readonly sticky: Line;
  private focusKey: string | undefined;
  private stickyKey: string | undefined;
  private readonly more = document.createElement("button");
  private belowY = 0;

  constructor(host: HTMLElement, stickyHost: HTMLElement, timeline: Timeline) {
    this.host = host;
    this.timeline = timeline;
    host.setAttribute("role", "tree");
    host.setAttribute("aria-label", "Tracks");
    this.sticky = makeLine();
    this.sticky.element.classList.add("sticky");
    this.sticky.element.setAttribute("aria-hidden", "true");
    stickyHost.append(this.sticky.element);
    this.sticky.element.onclick = () => {
      if (this.stickyKey === undefined) return;
      const item = this.itemOf(this.stickyKey);
      timeline.store.toggleLine(this.stickyKey, false);
      if (item) timeline.scrollTo(item.y);
    };
    this.more.type = "button";
    this.more.className = "more";
    this.more.hidden = true;
    this.more.tabIndex = -1;
    this.more.onclick = () => timeline.scrollTo(this.belowY);
    stickyHost.append(this.more);
    host.addEventListener("keydown", (event) => this.onKey(event));
    host.addEventListener("focusin", (event) => {
      const key = (event.target as HTMLElement).dataset["key"];
      if (key !== undefined) this.focusKey = key;
    });
    timeline.onFrame.push(() => this.draw());
    effect(() => {
      void timeline.store.selection.value;
      timeline.invalidate();
    });
  }

  private draw(): void {
    const { layout, scrollTop, viewHeight, store } = this.timeline;
    const items = visibleItems(layout, scrollTop, scrollTop + viewHeight);
    const wanted = new Set(items.map((item) => item.node.key));
    for (const [key, line] of this.lines)
      if (!wanted.has(key)) {
        line.element.remove();
        this.lines.delete(key);
      }
    const selectedKey = store.tree.value.keyOfRow.get(store.selection.value?.row ?? -1);
    const tabKey =
      this.focusKey !== undefined && wanted.has(this.focusKey) ? this.focusKey : items[0]?.node.key;
    for (const item of items) {
      const { key } = item.node;
      let line = this.lines.get(key);
      if (!line) {
        line = makeLine();
        line.element.dataset["key"] = key;
        line.element.onclick = () => this.onClick(key);
        this.lines.set(key, line);
        this.host.append(line.element);
      }
      this.show(line, item, key === selectedKey, key === tabKey);
      const y = item.y - scrollTop;
      if (y !== line.y) {
        line.element.style.transform = `translateY(${y}px)`;
        line.y = y;
      }
    }
    this.drawSticky();
    this.drawMore();
  }

  /** "4 more processes below": that there is more than the window shows. */
  private drawMore(): void {
    const { layout, scrollTop, viewHeight } = this.timeline;
    const { items } = layout;
    const atEnd = scrollTop + viewHeight >= layout.height - 1;
    const start = atEnd
      ? items.length
      : itemIndexAt(layout, scrollTop + viewHeight - LEAST_SEEN) + 1;
    let processes = 0;
    let first = -1;
    for (let n = start; n < items.length; n++) {
      if (items[n]!.node.kind !== "process") continue;
      processes++;
      if (first < 0) first = n;
    }
    const left = items.length - start;
    const text =
      processes > 0
        ? `${processes} more process${processes === 1 ? "" : "es"} below`
        : left > 0
          ? `${left} more line${left === 1 ? "" : "s"} below`
          : "";
    this.belowY = items[first < 0 ? start : first]?.y ?? 0;
    if (text === this.more.textContent) return;
    this.more.textContent = text;
    this.more.hidden = text === "";
  }

  private drawSticky(): void {
    const { layout, scrollTop } = this.timeline;
    const item = stickyItem(layout, scrollTop);
    this.stickyKey = item?.node.key;
    const { element } = this.sticky;
    element.hidden = item === undefined;
    if (!item) return;
    this.show(this.sticky, item, false, false);
    // Pushed out by the next top-level line.
    let index = itemIndexAt(layout, scrollTop) + 1;
    while (index < layout.items.length && layout.items[index]!.level > 0) index++;
    const next = layout.items[index];
    const push = next ? Math.min(0, next.y - scrollTop - item.height) : 0;
    if (push !== this.sticky.y) {
      element.style.transform = `translateY(${push}px)`;
      this.sticky.y = push;
    }
  }

  private show(line: Line, item: Item, selected: boolean, tabStop: boolean): void {
    const { node } = item;
    const share = shareOf(item.node, this.timeline.summary);
    const heading = isHeading(item);
    const parts = heading ? [] : factsParts(node.facts, node.kind, share);
    const state = `${node.title}|${node.idText}|${parts.join()}|${item.height}|${item.level}|${item.expandable}|${item.expanded}|${selected}|${tabStop}|${share.toFixed(3)}|${heading}|${node.fill}`;
    if (line.shown === state) return;
    line.shown = state;
    const { element } = line;
    element.className = `line ${node.kind}${heading ? " heading" : ""}${selected ? " selected" : ""}${item.height < 20 ? " tight" : ""}${item.height < 12 ? " bare" : ""}${item.height < 34 ? " flat" : ""}`;
    if (element.parentElement?.classList.contains("sticky-host")) element.classList.add("sticky");
    element.style.height = `${item.height}px`;
    element.style.paddingLeft = `${6 + Math.min(item.level, 6) * 12}px`;
    element.tabIndex = tabStop ? 0 : -1;
    element.setAttribute("aria-level", String(item.level + 1));
    element.setAttribute("aria-selected", String(selected));
    element.setAttribute(
      "aria-label",
      [node.title, node.idText, node.facts].filter(Boolean).join(", "),
    );
    if (item.expandable) element.setAttribute("aria-expanded", String(item.expanded));
    else element.removeAttribute("aria-expanded");
    element.title = [node.title, node.idText, node.facts].filter(Boolean).join(" · ");
    line.chevron.textContent = item.expandable ? (item.expanded ? "▾" : "▸") : "";
    line.title.textContent = node.title;
    line.fill.hidden = node.fill === undefined;
    if (node.fill !== undefined) line.fill.style.background = colorOf(node.fill);
    // A group's facts name its size already.
    line.id.textContent = node.kind === "group" && node.facts !== "" ? "" : node.idText;
    line.facts.replaceChildren(...parts.map(partElement));
    const timed = node.kind === "process" || node.kind === "thread";
    const hasBar = timed && / CPU\b/.test(node.facts) && item.height >= 26;
    line.bar.hidden = !hasBar;
    if (hasBar) line.bar.style.setProperty("--share", `${Math.min(1, share) * 100}%`);
  }

  private onClick(key: string): void {
    this.focusKey = key;
    this.lines.get(key)?.element.focus({ preventScroll: true });
    if (this.itemOf(key)?.expandable) this.timeline.store.toggleLine(key);
  }

  private onKey(event: KeyboardEvent): void {
    const key = (event.target as HTMLElement).dataset["key"];
    const { layout, store } = this.timeline;
    const index = key === undefined ? undefined : layout.indexOfKey.get(key);
    const item = index === undefined ? undefined : layout.items[index];
    if (key === undefined || index === undefined || !item) return;
    const parent = () => store.tree.value.parentOf.get(key);
    const moves: { readonly [key: string]: () => void } = {
      Enter: () => item.expandable && store.toggleLine(key),
      " ": () => item.expandable && store.toggleLine(key),
      ArrowRight: () => {
        if (item.expandable && !item.expanded) store.toggleLine(key, true);
        else if (item.expanded) this.focusAt(index + 1);
      },
      ArrowLeft: () => {
        if (item.expanded) store.toggleLine(key, false);
        else this.focusAt(layout.indexOfKey.get(parent() ?? "") ?? -1);
      },
      ArrowDown: () => this.focusAt(index + 1),
      ArrowUp: () => this.focusAt(index - 1),
      Home: () => this.focusAt(0),
      End: () => this.focusAt(layout.items.length - 1),
    };
    const move = event.ctrlKey || event.metaKey || event.altKey ? undefined : moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }

  private focusAt(index: number): void {
    const item = this.timeline.layout.items[index];
    if (!item) return;
    this.focusKey = item.node.key;
    const { scrollTop, viewHeight } = this.timeline;
    if (item.y < scrollTop + 26) this.timeline.scrollTo(item.y - 26);
    else if (item.y + item.height > scrollTop + viewHeight)
      this.timeline.scrollTo(item.y + item.height - viewHeight);
    this.draw();
    this.lines.get(item.node.key)?.element.focus({ preventScroll: true });
  }

  private itemOf(key: string): Item | undefined {
    const { layout } = this.timeline;
    return layout.items[layout.indexOfKey.get(key) ?? -1];
  }
}

/** What does not fit in the line is left out as a whole (ui.css). */
function partElement(part: string, index: number): HTMLElement {
  const element = document.createElement("span");
  element.textContent = index === 0 ? part : `· ${part}`;
  return element;
}

function makeLine(): Line {
  const make = (className: string) => {
    const element = document.createElement("span");
    element.className = className;
    return element;
  };
  const element = document.createElement("div");
  element.setAttribute("role", "treeitem");
  const [chevron, fill, title, id, facts, bar] = [
    make("chevron"),
    make("fill"),
    make("title"),
    make("id"),
    make("facts parts"),
    make("bar"),
  ];
  chevron.setAttribute("aria-hidden", "true");
  fill.setAttribute("aria-hidden", "true");
  fill.title = "The colour of this process on CPU rows";
  bar.setAttribute("aria-hidden", "true");
  const first = make("first");
  first.append(chevron, fill, title, id);
  const second = make("second");
  second.append(facts);
  element.append(first, second, bar);
  return { element, chevron, fill, title, id, facts, bar, shown: "", y: Number.NaN };
}
