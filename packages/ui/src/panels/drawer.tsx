/** Details, statistics, flame graph, SQL, log: below the timeline, Q opens and closes it. */
import type { ComponentType } from "preact";
import type { Page } from "../page.tsx";
import type { DrawerTab } from "../store.ts";
import { Details } from "./details.tsx";
import { Flame } from "./flame.tsx";
import { Log } from "./log.tsx";
import { Sql } from "./sql.tsx";
import { Stats } from "./stats.tsx";

const tabs: readonly {
  readonly id: DrawerTab;
  readonly title: string;
  readonly body: ComponentType<{ page: Page }>;
}[] = [
  { id: "details", title: "Details", body: Details },
  { id: "stats", title: "Stats", body: Stats },
  { id: "flame", title: "Flame", body: Flame },
  { id: "sql", title: "SQL", body: Sql },
  { id: "log", title: "Log", body: Log },
];

export function Drawer({ page }: { page: Page }) {
  const { store } = page;
  const { open, tab, height } = store.drawer.value;
  if (!open) return null;
  const shown = tabs.filter(({ id }) => id !== "sql" || store.engine.value?.sql);
  const current = shown.find(({ id }) => id === tab) ?? shown[0]!;
  const Body = current.body;
  const walk = (by: number) => {
    const next = shown[(shown.indexOf(current) + by + shown.length) % shown.length]!;
    store.showTab(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <aside class="drawer" style={{ height: `${height}px` }} aria-label="Drawer">
      <Grip page={page} />
      <div class="tabs" role="tablist">
        {shown.map(({ id, title }) => (
          <button
            key={id}
            id={`tab-${id}`}
            type="button"
            role="tab"
            aria-selected={id === current.id}
            tabIndex={id === current.id ? 0 : -1}
            onClick={() => store.showTab(id)}
            onKeyDown={(event) => {
              if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
                event.preventDefault();
                event.stopPropagation();
                walk(event.key === "ArrowRight" ? 1 : -1);
              }
            }}
          >
            {title}
            {id === "log" && store.problems.value.length > 0 && (
              <span class="pill">{store.problems.value.length}</span>
            )}
          </button>
        ))}
        <button
          type="button"
          class="plain close"
          aria-label="Close the drawer"
          title="Close (Q)"
          onClick={() => {
            store.drawer.value = { ...store.drawer.value, open: false };
          }}
        >
          ✕
        </button>
      </div>
      <div class="panel" role="tabpanel" aria-labelledby={`tab-${current.id}`}>
        <Body page={page} />
      </div>
    </aside>
  );
}

function Grip({ page: { store } }: { page: Page }) {
  const set = (height: number) => {
    const most = Math.max(120, innerHeight - 200);
    store.drawer.value = {
      ...store.drawer.value,
      height: Math.round(Math.min(most, Math.max(96, height))),
    };
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: an <hr> cannot be dragged
    <div
      class="grip"
      role="separator"
      aria-orientation="horizontal"
      aria-label="Height of the drawer"
      aria-valuenow={store.drawer.value.height}
      tabIndex={0}
      onKeyDown={(event) => {
        const by = event.key === "ArrowUp" ? 24 : event.key === "ArrowDown" ? -24 : 0;
        if (by === 0) return;
        event.preventDefault();
        event.stopPropagation();
        set(store.drawer.value.height + by);
      }}
      onPointerDown={(event) => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={(event) => {
        if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
        const { bottom } = event.currentTarget.parentElement!.getBoundingClientRect();
        set(bottom - event.clientY);
      }}
    />
  );
}
