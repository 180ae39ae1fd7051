/**
 * What the page knows, as signals: the timeline (canvas) and the panels (preact) read and write them.
 */

import type { Problem } from "@kymo/trace";
import type {
  EngineMessage,
  EventDetails,
  SearchHit,
  TraceSummary,
  TrackNode,
} from "@kymo/trace/engine";
import { computed, signal } from "@preact/signals";
import type { Theme } from "./colors.ts";
import type { Density } from "./timeline/layout.ts";
import type { TimeRange } from "./timeline/range.ts";
import { buildTree, filterTree, SteadyOrder, type Tree } from "./timeline/tree.ts";

export type DrawerTab = "details" | "stats" | "flame" | "sql" | "log";
export type Progress = Extract<EngineMessage, { type: "progress" }>;

/** An area of the timeline: a time range and what was under the pointer between its two corners. */
export interface AreaSelection extends TimeRange {
  /** Keys of the covered lines of the tree; [] for all (dragged on the ruler). */
  readonly keys: readonly string[];
  readonly rows: readonly number[];
  readonly tracks: readonly number[];
}
export interface Failure {
  readonly message: string;
  readonly hint: string;
}
export interface Search {
  readonly text: string;
  readonly busy: boolean;
  readonly hits: readonly SearchHit[];
  readonly total: number;
  readonly heat: Float32Array;
  /** Index of the hit shown last; −1 before the first. */
  readonly at: number;
}
export interface Tip {
  readonly details: EventDetails | undefined;
  /** Events lost at this time, whatever the row. */
  readonly losses: readonly Problem[];
  /** Pointer, px of the page. */
  readonly x: number;
  readonly y: number;
}

/** How far a recording that is watched has come. */
export interface Arrived {
  readonly toNs: number;
  readonly events: number;
  readonly lostEvents: number;
  readonly leftOutEvents: number;
}

export const emptySearch: Search = {
  text: "",
  busy: false,
  hits: [],
  total: 0,
  heat: new Float32Array(0),
  at: -1,
};

const THEME_KEY = "kymo.theme";

export class Store {
  readonly engine = signal<{ kind: "worker" | "server"; sql: boolean } | undefined>(undefined);
  /** Set while the engine is gone. */
  readonly lost = signal<{ reason: string; retryMs: number | undefined } | undefined>(undefined);
  readonly failure = signal<Failure | undefined>(undefined);
  readonly opening = signal<string | undefined>(undefined);
  readonly progress = signal<Progress | undefined>(undefined);
  readonly summary = signal<TraceSummary | undefined>(undefined);
  readonly done = signal(false);
  readonly tracks = signal<readonly TrackNode[]>([]);
  readonly problems = signal<readonly Problem[]>([]);
  readonly filter = signal("");
  private readonly order = new SteadyOrder();
  readonly fullTree = computed<Tree>(() => {
    if (!this.watched.value) this.order.clear();
    return buildTree(this.tracks.value, this.watched.value ? this.order : undefined);
  });
  readonly tree = computed<Tree>(() => filterTree(this.fullTree.value, this.filter.value));
  readonly expanded = signal<ReadonlySet<string>>(new Set());
  readonly density = signal<Density>("normal");
  readonly headerWidth = signal(272);
  readonly selection = signal<EventDetails | undefined>(undefined);
  readonly area = signal<AreaSelection | undefined>(undefined);
  /** What the view shows, updated at the end of a movement; the canvas has its own, exact one. */
  readonly range = signal<TimeRange>({ from: 0, to: 1 });
  readonly search = signal<Search>(emptySearch);
  readonly tip = signal<Tip | undefined>(undefined);
  readonly drawer = signal<{ open: boolean; tab: DrawerTab; height: number }>({
    open: false,
    tab: "details",
    height: 260,
  });
  /** It is being recorded, as far as the page shows it. */
  readonly live = computed(() => this.summary.value?.live === true);
  /** It was being recorded while this page was open. */
  readonly watched = signal(false);
  /** The view sticks to the newest time. */
  readonly following = signal(false);
  /** What has arrived, shown or not. */
  readonly arrived = signal<Arrived | undefined>(undefined);
  /** Events a second of the recording, lately. */
  readonly rate = signal(0);
  /** The view is frozen: where the recording was then. */
  readonly paused = signal<{ toNs: number; events: number } | undefined>(undefined);
  readonly helpOpen = signal(false);
  readonly dismissed = signal<ReadonlySet<string>>(new Set());
  /** Read out by screen readers. */
  readonly spoken = signal("");
  private readonly chosenTheme = signal<Theme | undefined>(readTheme());
  private readonly systemDark = signal(matchMedia("(prefers-color-scheme: dark)").matches);
  readonly theme = computed<Theme>(
    () => this.chosenTheme.value ?? (this.systemDark.value ? "dark" : "light"),
  );

  constructor() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
      this.systemDark.value = event.matches;
    });
  }

  toggleTheme(): void {
    const theme = this.theme.value === "dark" ? "light" : "dark";
    this.chosenTheme.value = theme;
    try {
      localStorage.setItem(THEME_KEY, theme);
    } catch {
      // Storage may be blocked; the choice then lasts until the page is left.
    }
  }
  showTab(tab: DrawerTab): void {
    this.drawer.value = { ...this.drawer.value, open: true, tab };
  }
  toggleLine(key: string, open = !this.expanded.value.has(key)): void {
    const next = new Set(this.expanded.value);
    if (open) next.add(key);
    else next.delete(key);
    this.expanded.value = next;
  }
  /** Forgets the trace shown so far: another one is being opened. */
  reset(name: string): void {
    this.opening.value = name;
    this.failure.value = undefined;
    this.progress.value = undefined;
    this.summary.value = undefined;
    this.done.value = false;
    this.tracks.value = [];
    this.problems.value = [];
    this.filter.value = "";
    this.expanded.value = new Set();
    this.selection.value = undefined;
    this.area.value = undefined;
    this.search.value = emptySearch;
    this.tip.value = undefined;
    this.dismissed.value = new Set();
    this.watched.value = false;
    this.following.value = false;
    this.arrived.value = undefined;
    this.paused.value = undefined;
  }
}

function readTheme(): Theme | undefined {
  try {
    const stored = localStorage.getItem(THEME_KEY);
    return stored === "light" || stored === "dark" ? stored : undefined;
  } catch {
    return undefined;
  }
}
