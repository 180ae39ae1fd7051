/** Keys pressed anywhere on the page but in a field. */
import { actionOf, type Once } from "./keys.ts";
import type { Page } from "./page.tsx";
import type { Density } from "./timeline/layout.ts";
import type { Held } from "./timeline/motion.ts";

const nextDensity: { readonly [D in Density]: Density } = {
  normal: "dense",
  dense: "overview",
  overview: "normal",
};

export function listenToKeys(page: Page): void {
  const { store, timeline } = page;
  const down = new Map<string, Held>();
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || isField(event.target)) return;
    if (isButton(event.target) && (event.key === "Enter" || event.key === " ")) return;
    const action = actionOf(event, store.selection.value !== undefined);
    if (!action) return;
    event.preventDefault();
    if (action.kind === "hold") {
      down.set(event.code, action.what);
      timeline.hold(action.what);
    } else perform(page, action.what);
  });
  addEventListener("keyup", (event) => {
    const what = down.get(event.code);
    down.delete(event.code);
    if (what) timeline.release(what);
  });
  // A key let go in another window never tells.
  addEventListener("blur", () => {
    down.clear();
    timeline.releaseAll();
  });
}

export function perform(page: Page, what: Once): void {
  const { store, timeline, searching } = page;
  const move = (direction: "next" | "previous" | "parent" | "child") => {
    const selection = store.selection.value;
    if (!selection) return;
    timeline.client.step({ row: selection.row, index: selection.index, move: direction }).then(
      (details) => {
        if (!details) return;
        store.selection.value = details;
        timeline.reveal(details);
      },
      () => {
        // The engine is gone; the page shows that by itself.
      },
    );
  };
  const actions: { readonly [What in Once]: () => void } = {
    fit: () => timeline.fitSelection(),
    reset: () => timeline.showAll(),
    next: () => move("next"),
    previous: () => move("previous"),
    parent: () => move("parent"),
    child: () => move("child"),
    nextHit: () => searching.step(1),
    previousHit: () => searching.step(-1),
    clear: () => {
      if (store.helpOpen.value) store.helpOpen.value = false;
      else if (store.area.value) store.area.value = undefined;
      else if (store.selection.value) store.selection.value = undefined;
      else if (store.search.value.text !== "") searching.clear();
      else if (store.drawer.value.open) store.drawer.value = { ...store.drawer.value, open: false };
    },
    search: () => document.getElementById("search")?.focus(),
    help: () => {
      store.helpOpen.value = !store.helpOpen.value;
    },
    drawer: () => {
      store.drawer.value = { ...store.drawer.value, open: !store.drawer.value.open };
    },
    zoomInOnce: () => timeline.zoom(0.7),
    zoomOutOnce: () => timeline.zoom(1 / 0.7),
    pageUp: () => timeline.scrollTo(timeline.scrollTop - timeline.viewHeight * 0.5),
    pageDown: () => timeline.scrollTo(timeline.scrollTop + timeline.viewHeight * 0.5),
    density: () => {
      store.density.value = nextDensity[store.density.value];
    },
    theme: () => store.toggleTheme(),
    pause: () => page.live.togglePause(),
    follow: () => page.live.toggleFollow(),
  };
  actions[what]();
}

function isField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement
  );
}
function isButton(target: EventTarget | null): boolean {
  return target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement;
}
