/**
 * Starts the page: engine client, store, timeline, panels, and what belongs to the window (keys, drops, address).
 */
import type { EngineMessage, TraceSummary } from "@kymo/trace/engine";
import { batch, effect } from "@preact/signals";
import { render } from "preact";
import { type Connect, EngineClient } from "./engine/client.ts";
import { readHash, writeHash } from "./hash.ts";
import { Live } from "./live.ts";
import { App } from "./panels/app.tsx";
import { Searching } from "./searching.ts";
import { Store } from "./store.ts";
import { shareTestState } from "./test-state.ts";
import { Timeline } from "./timeline/timeline.ts";
import "./ui.css";
import { listenToKeys } from "./window-keys.ts";

/** What every panel gets. */
export interface Page {
  readonly store: Store;
  readonly client: EngineClient;
  readonly timeline: Timeline;
  readonly searching: Searching;
  readonly live: Live;
  /** Gives a file to a worker engine; with a server, says that it cannot. */
  openFile(file: File): void;
  openUrl(url: string): void;
}

export function startPage(connect: Connect, host: HTMLElement | null): Page {
  if (!host) throw new Error("the page has no #app");
  const store = new Store();
  const client = new EngineClient(connect);
  const canvas = document.createElement("canvas");
  const timeline = new Timeline(canvas, store, client);
  const searching = new Searching(store, client, timeline);
  const page: Page = {
    store,
    client,
    timeline,
    searching,
    live: new Live(store, client, timeline, (message) => batch(() => take(page, message))),
    openFile: (file) => {
      if (store.engine.value?.kind === "server") {
        store.failure.value = {
          message: "this page shows the file that kymo serves",
          hint: `to see another: kymo open ${file.name}`,
        };
        return;
      }
      store.reset(file.name);
      client.open({ name: file.name, file });
    },
    openUrl: (url) => {
      const name =
        decodeURIComponent(new URL(url, location.href).pathname.split("/").pop() ?? "") || url;
      store.reset(name);
      client.open({ name, url: new URL(url, location.href).href });
    },
  };

  client.onMessage = (message) => batch(() => page.live.take(message));
  client.onLost = (reason, retryMs) => {
    store.lost.value = { reason, retryMs };
  };
  client.onOpened = () => {
    store.lost.value = undefined;
  };
  const state = readHash(location.hash);
  effect(() => {
    const { documentElement } = document;
    documentElement.dataset["theme"] = store.theme.value;
  });
  effect(() => {
    const name = store.summary.value?.name ?? store.opening.value;
    document.title = name ? `${name} – kymo` : "kymo";
  });
  render(<App page={page} />, host);
  listenToKeys(page);
  listenToDrops(page);
  restore(page, state);
  keepAddress(page);
  shareTestState(page);
  const url = new URLSearchParams(location.search).get("url");
  if (url !== null) openFromAddress(page, url);
  return page;
}

function take(page: Page, message: EngineMessage): void {
  const { store } = page;
  if (message.type === "hello") store.engine.value = { kind: message.kind, sql: message.sql };
  else if (message.type === "progress") store.progress.value = message;
  else if (message.type === "tracks") {
    if (message.summary.live) store.watched.value = true;
    store.summary.value = bounded(message.summary);
    store.tracks.value = message.tracks;
    store.done.value = message.done;
    store.opening.value = message.summary.name;
    if (message.done) store.progress.value = undefined;
  } else if (message.type === "appended") {
    const { summary } = store;
    const { toNs, events, lostEvents, leftOutEvents } = message;
    if (summary.value)
      summary.value = bounded({ ...summary.value, toNs, events, lostEvents, leftOutEvents });
  } else if (message.type === "problems") store.problems.value = message.problems;
  else if (message.type === "error") {
    store.failure.value = { message: message.message, hint: message.hint };
    store.progress.value = undefined;
    if (store.summary.value) store.done.value = true;
  }
}

/** 12 years either way: what a damaged file puts further out is not shown, and is not asked for. */
const MOST_NS = 4e17;
function bounded(summary: TraceSummary): TraceSummary {
  const within = (ns: number) => Math.min(MOST_NS, Math.max(-MOST_NS, ns));
  return { ...summary, fromNs: within(summary.fromNs), toNs: within(summary.toNs) };
}

/** Only http(s): a link must not make the page read anything else. */
function openFromAddress(page: Page, url: string): void {
  let address: URL | undefined;
  try {
    address = new URL(url, location.href);
  } catch {
    address = undefined;
  }
  if (address?.protocol === "https:" || address?.protocol === "http:") page.openUrl(url);
  else
    page.store.failure.value = {
      message: `?url= is not an http address: ${url.slice(0, 200)}`,
      hint: "use an https:// address, or drop the file here",
    };
}

function listenToDrops({ store, openFile }: Page): void {
  let depth = 0;
  const mark = (over: boolean) => {
    document.documentElement.classList.toggle("dropping", over);
  };
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (depth++ === 0) mark(true);
  });
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("dragleave", (event) => {
    if (hasFiles(event) && --depth <= 0) mark(false);
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark(false);
    const file = event.dataTransfer?.files[0];
    if (file) openFile(file);
    else store.spoken.value = "nothing to open was dropped";
  });
}

/** Range and selection from the address, once the trace is there. */
function restore({ store, timeline }: Page, state: ReturnType<typeof readHash>): void {
  const { from, to, selection } = state;
  if (from === undefined && !selection) return;
  let left = true;
  effect(() => {
    const summary = store.summary.value;
    if (!summary || !left) return;
    if (from !== undefined && to !== undefined)
      timeline.restoreRange({ from: from + summary.fromNs, to: to + summary.fromNs });
    if (!store.done.value) return;
    left = false;
    if (selection)
      queueMicrotask(() =>
        timeline.client.details(selection).then(
          (details) => {
            if (!details) return;
            store.selection.value = details;
            store.showTab("details");
            timeline.revealRow(details.row);
          },
          () => {
            // An old link may name an event that is not there: the view alone is restored.
          },
        ),
      );
  });
}

function keepAddress({ store }: Page): void {
  effect(() => {
    const summary = store.summary.value;
    if (!summary || !store.done.value) return;
    const { from, to } = store.range.value;
    const selection = store.selection.value;
    const whole = from <= summary.fromNs && to >= summary.toNs;
    const hash = writeHash({
      ...(!whole && { from: from - summary.fromNs, to: to - summary.fromNs }),
      ...(selection && { selection: { row: selection.row, index: selection.index } }),
    });
    if (hash !== location.hash)
      history.replaceState(null, "", hash || location.pathname + location.search);
  });
}
