/** `window.__kymo`: what the page shows, as numbers, for tests and benchmarks. Read-only in effect. */
import type { Page } from "./page.tsx";

export interface TestState {
  /** ns from the start of the trace. */
  readonly range: { readonly from: number; readonly to: number };
  readonly scrollTop: number;
  readonly contentHeight: number;
  readonly rowsDrawn: number;
  readonly lines: readonly {
    readonly key: string;
    readonly title: string;
    readonly id: string;
    readonly y: number;
    readonly expanded: boolean;
    readonly rows: readonly number[];
  }[];
  /** Rows of the newest strip. */
  readonly stripRows: readonly number[];
  /** Rows drawn, with their place on the page, for pointing at them. */
  readonly rows: readonly {
    readonly row: number;
    readonly kind: string;
    readonly y: number;
    readonly height: number;
  }[];
  readonly canvasLeft: number;
  readonly canvasTop: number;
  readonly selection:
    | {
        readonly name: string;
        readonly row: number;
        readonly index: number;
        readonly ts: number;
        readonly dur: number;
      }
    | undefined;
  readonly area: { readonly from: number; readonly to: number } | undefined;
  readonly search: { readonly text: string; readonly total: number; readonly at: number };
  readonly theme: string;
  readonly done: boolean;
  readonly live: boolean;
  readonly following: boolean;
  readonly paused: boolean;
  /** Events that have arrived, shown or not. */
  readonly arrived: number;
  /** Events that the live view left out. */
  readonly leftOut: number;
  /** End of what is shown of the trace, ns from its start. */
  readonly end: number;
  readonly events: number;
  readonly problems: number;
  readonly engine: string;
  readonly stripAge: number;
  readonly stripCoversTrace: boolean;
  readonly stats: ReturnType<Page["timeline"]["stats"]["summary"]>;
}

declare global {
  interface Window {
    __kymo: { readonly state: TestState; resetStats(): void };
  }
}

export function shareTestState({ store, timeline }: Page): void {
  window.__kymo = {
    resetStats: () => timeline.stats.reset(),
    get state(): TestState {
      const { fromNs, toNs, events } = timeline.summary;
      const box = timeline.canvas.getBoundingClientRect();
      const selection = store.selection.value;
      const area = store.area.value;
      const { items } = timeline.layout;
      const newest = timeline.strips.newest?.strip;
      const top = box.top + timeline.height - timeline.viewHeight - timeline.scrollTop;
      return {
        range: { from: timeline.range.from - fromNs, to: timeline.range.to - fromNs },
        scrollTop: timeline.scrollTop,
        contentHeight: timeline.layout.height,
        rowsDrawn: timeline.rowsDrawn,
        lines: items.map((item) => ({
          key: item.node.key,
          title: item.node.title,
          id: item.node.idText,
          y: top + item.y,
          expanded: item.expanded,
          rows: item.bands.map(({ row }) => row),
        })),
        stripRows: newest?.rows ?? [],
        rows: items.flatMap((item) =>
          item.bands.map(({ row, kind, y, height }) => ({
            row,
            kind,
            y: top + item.y + y,
            height,
          })),
        ),
        canvasLeft: box.left,
        canvasTop: box.top,
        selection: selection && {
          name: selection.name,
          row: selection.row,
          index: selection.index,
          ts: selection.ts,
          dur: selection.dur,
        },
        area: area && { from: area.from - fromNs, to: area.to - fromNs },
        search: {
          text: store.search.value.text,
          total: store.search.value.total,
          at: store.search.value.at,
        },
        theme: store.theme.value,
        done: store.done.value,
        live: store.live.value,
        following: store.following.value,
        paused: store.paused.value !== undefined,
        arrived: store.arrived.value?.events ?? 0,
        leftOut: store.arrived.value?.leftOutEvents ?? 0,
        end: toNs - fromNs,
        events,
        problems: store.problems.value.length,
        engine: store.engine.value?.kind ?? "",
        stripAge: timeline.stripAge(),
        stripCoversTrace: newest !== undefined && newest.from <= fromNs && newest.to >= toNs,
        stats: timeline.stats.summary(),
      };
    },
  };
}
