import type { ProblemKind } from "@kymo/trace";
import type { Page } from "../page.tsx";
import { formatCount, formatDuration, shortCommand } from "../words.ts";
import { LiveBar } from "./live.tsx";

export function TopBar({ page }: { page: Page }) {
  const { store } = page;
  const summary = store.summary.value;
  const shown = summary !== undefined && store.tracks.value.length > 0;
  const name = summary?.name ?? store.opening.value;
  return (
    <header class="topbar">
      <div class="brand" title={name ?? ""}>
        {name ?? "kymo"}
      </div>
      {shown && <LiveBar page={page} />}
      {shown && <Facts page={page} />}
      {shown && <SearchBox page={page} />}
      <div class="buttons">
        <Problems page={page} />
        <button
          type="button"
          class="plain"
          aria-pressed={store.drawer.value.open}
          title="Details, statistics, flame graph (Q)"
          onClick={() => {
            store.drawer.value = { ...store.drawer.value, open: !store.drawer.value.open };
          }}
          hidden={!shown}
        >
          Drawer
        </button>
        <button
          type="button"
          class="plain"
          title="Light or dark"
          aria-label={`Switch to the ${store.theme.value === "dark" ? "light" : "dark"} theme`}
          onClick={() => store.toggleTheme()}
        >
          {store.theme.value === "dark" ? "☀" : "☾"}
        </button>
        <button
          type="button"
          class="plain"
          title="Keys (?)"
          aria-label="Help: keys"
          onClick={() => {
            store.helpOpen.value = true;
          }}
        >
          ?
        </button>
      </div>
    </header>
  );
}

function Facts({ page: { store } }: { page: Page }) {
  const summary = store.summary.value;
  if (!summary) return null;
  const { command, host, kernel } = summary.metadata as { [key: string]: string };
  const facts = [
    formatDuration(Math.max(0, summary.toNs - summary.fromNs)),
    `${formatCount(summary.events)} events`,
    ...(command ? [shortCommand(command)] : []),
    ...(host ? [host] : []),
    ...(kernel ? [kernel] : []),
  ];
  const whole = facts.map((fact) => (command && fact === shortCommand(command) ? command : fact));
  return (
    <div class="facts parts" title={whole.join(" · ").slice(0, 10_000)}>
      {facts.map((fact, i) => (
        <span key={fact}>
          {i === 0 ? "" : "· "}
          {fact}
        </span>
      ))}
    </div>
  );
}

function SearchBox({ page }: { page: Page }) {
  const { store, searching } = page;
  const { text, busy, total, at, hits } = store.search.value;
  const count = busy
    ? "…"
    : total === 0
      ? "no hits"
      : at < 0
        ? `${formatCount(total)} hit${total === 1 ? "" : "s"}`
        : `${formatCount(at + 1)} of ${formatCount(total)}`;
  return (
    <search class="search">
      <input
        id="search"
        type="text"
        placeholder="Search names"
        aria-label="Search names of events"
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => searching.type(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            event.preventDefault();
            searching.step(event.shiftKey ? -1 : 1);
          } else if (event.key === "Escape") {
            searching.clear();
            event.currentTarget.blur();
          }
        }}
      />
      {text === "" ? (
        <kbd>/</kbd>
      ) : (
        <>
          <span class="count" aria-live="polite">
            {count}
            {hits.length < total && !busy ? ` (first ${formatCount(hits.length)} walked)` : ""}
          </span>
          <button
            type="button"
            class="plain"
            aria-label="Previous hit"
            title="Previous hit (Shift+Enter)"
            onClick={() => searching.step(-1)}
          >
            ↑
          </button>
          <button
            type="button"
            class="plain"
            aria-label="Next hit"
            title="Next hit (Enter)"
            onClick={() => searching.step(1)}
          >
            ↓
          </button>
          <button
            type="button"
            class="plain"
            aria-label="Clear the search"
            onClick={() => searching.clear()}
          >
            ✕
          </button>
        </>
      )}
    </search>
  );
}

/** Events are missing; the other kinds say how to read what is there. */
const severeKinds = new Set<ProblemKind>(["lost-events", "truncated", "malformed"]);

function Problems({ page: { store } }: { page: Page }) {
  const count = store.problems.value.length;
  const severe = store.problems.value.some(({ kind }) => severeKinds.has(kind));
  if (count === 0) return null;
  const lost = store.summary.value?.lostEvents ?? 0;
  return (
    <button
      type="button"
      class={severe ? "badge" : "badge mild"}
      onClick={() => store.showTab("log")}
      title="What was lost or odd in this file"
    >
      {lost > 0
        ? `${formatCount(lost)} events lost`
        : `${count} note${count === 1 ? "" : "s"} on the recording`}
    </button>
  );
}
