/** What the page says when there is no timeline, or something about it must be known. */
import { useRef } from "preact/hooks";
import type { Page } from "../page.tsx";
import { formatBytes, formatCount, formatShare } from "../words.ts";

export function Empty({ page }: { page: Page }) {
  return (
    <div class="card">
      <h1>Open a trace</h1>
      <p>Drop a file anywhere on this page. It is read here and sent nowhere.</p>
      <PickFile page={page} />
      <p class="muted">Perfetto (.pftrace) and Chrome JSON files, also gzip or zstd compressed.</p>
      <h2>No trace yet?</h2>
      <pre>kymo record --open -- ./your-program</pre>
      <p class="muted">records a program and opens its timeline.</p>
    </div>
  );
}

function PickFile({ page }: { page: Page }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <p>
      <button type="button" class="primary" onClick={() => input.current?.click()}>
        Choose a file…
      </button>
      <input
        ref={input}
        type="file"
        hidden
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          if (file) page.openFile(file);
          event.currentTarget.value = "";
        }}
      />
    </p>
  );
}

export function Loading({ page: { store, client } }: { page: Page }) {
  const progress = store.progress.value;
  const { summary } = store;
  if (store.done.value && summary.value)
    return (
      <div class="card">
        <h1>No events</h1>
        <p>{summary.value.name} was read whole and holds no events to draw.</p>
        {store.problems.value.length > 0 && <p>{store.problems.value[0]?.message}</p>}
        <p class="muted">See what it is made of: kymo info {summary.value.name}</p>
      </div>
    );
  if (summary.value?.live)
    return (
      <div class="card" role="status">
        <h1>Recording {summary.value.name}</h1>
        <progress />
        <p class="muted">The first events are shown as soon as there are any.</p>
      </div>
    );
  const share =
    progress && progress.totalBytes > 0 ? progress.bytes / progress.totalBytes : undefined;
  return (
    <div class="card" role="status">
      <h1>
        {progress?.phase === "indexing" ? "Indexing" : "Reading"}{" "}
        {store.opening.value ?? "the trace"}
      </h1>
      <progress {...(share !== undefined && { value: share, max: 1 })} />
      <p class="num muted">
        {progress
          ? [
              share === undefined ? "" : formatShare(share),
              `${formatBytes(progress.bytes)}${progress.totalBytes > 0 ? ` of ${formatBytes(progress.totalBytes)}` : ""}`,
              `${formatCount(progress.events)} events`,
              progress.bytesPerSecond > 0 ? `${formatBytes(progress.bytesPerSecond)}/s` : "",
            ]
              .filter(Boolean)
              .join(" · ")
          : "waiting for the engine"}
      </p>
      {store.opening.value && (
        <button type="button" onClick={() => client.stop()}>
          Cancel
        </button>
      )}
    </div>
  );
}

export function Failure({ page }: { page: Page }) {
  const failure = page.store.failure.value;
  if (!failure) return null;
  return (
    <div class="card failed" role="alert">
      <h1>
        {page.store.opening.value
          ? `${page.store.opening.value} did not open`
          : "That did not work"}
      </h1>
      <p class="reason">{failure.message}</p>
      {failure.hint && <p>{failure.hint}</p>}
      {page.store.engine.value?.kind !== "server" && <PickFile page={page} />}
    </div>
  );
}

export function NoTracks({ page: { store } }: { page: Page }) {
  if (store.filter.value === "" || store.tree.value.roots.length > 0) return null;
  return (
    <div class="card small">
      <p>No track's name or id contains “{store.filter.value}”.</p>
      <button
        type="button"
        onClick={() => {
          store.filter.value = "";
        }}
      >
        Clear the filter
      </button>
    </div>
  );
}

/** Strips between the top bar and the timeline, each said once and dismissable. */
export function Notices({ page }: { page: Page }) {
  const { store, client } = page;
  const problems = store.problems.value;
  const summary = store.summary.value;
  const progress = store.progress.value;
  const lost = summary?.lostEvents ?? 0;
  const truncated = problems.find(({ kind }) => kind === "truncated");
  const malformed = problems.find(({ kind }) => kind === "malformed");
  const hidden = store.dismissed.value;
  const dismiss = (key: string) => {
    store.dismissed.value = new Set([...hidden, key]);
  };
  const gone = store.lost.value;
  const shown = summary !== undefined && store.tracks.value.length > 0;
  return (
    <div class="notices">
      {gone && (
        <div class="notice bad" role="alert">
          <span>
            {gone.reason}.{" "}
            {gone.retryMs === undefined
              ? "Reload the page to start again."
              : "Trying again… is kymo still running?"}
          </span>
          <button type="button" onClick={() => location.reload()}>
            Reload
          </button>
        </div>
      )}
      {shown && !store.done.value && progress && (
        <div class="notice plain" role="status">
          <progress
            {...(progress.totalBytes > 0 && {
              value: progress.bytes / progress.totalBytes,
              max: 1,
            })}
          />
          <span class="num">
            {progress.phase === "indexing" ? "indexing" : "reading"} {formatBytes(progress.bytes)}
            {progress.totalBytes > 0 ? ` of ${formatBytes(progress.totalBytes)}` : ""} ·{" "}
            {formatBytes(progress.bytesPerSecond)}/s
          </span>
          <button type="button" onClick={() => client.stop()}>
            Stop here
          </button>
        </div>
      )}
      {shown && store.failure.value && (
        <div class="notice bad" role="alert">
          <span>
            {store.failure.value.message}
            {store.failure.value.hint ? ` — ${store.failure.value.hint}` : ""}
          </span>
          <button
            type="button"
            onClick={() => {
              store.failure.value = undefined;
            }}
          >
            Dismiss
          </button>
        </div>
      )}
      {shown && store.watched.value && !summary.live && !truncated && !hidden.has("ended") && (
        <div class={summary.leftOutEvents > 0 ? "notice amber" : "notice plain"} role="status">
          <span>
            {summary.leftOutEvents > 0
              ? `The recording has ended. ${formatCount(summary.leftOutEvents)} events came faster than this view could take them; the file that was written has them all.`
              : "The recording has ended; all of it is here."}
          </span>
          <button type="button" onClick={() => dismiss("ended")}>
            Dismiss
          </button>
        </div>
      )}
      {shown && truncated && !hidden.has("truncated") && (
        <div class="notice amber">
          <span>
            {store.watched.value
              ? truncated.message
              : `The file ends early; what was read is shown. (${truncated.message})`}
          </span>
          <button type="button" onClick={() => store.showTab("log")}>
            Show
          </button>
          <button type="button" onClick={() => dismiss("truncated")}>
            Dismiss
          </button>
        </div>
      )}
      {shown && malformed && !truncated && !hidden.has("malformed") && (
        <div class="notice amber">
          <span>A part of the file could not be read; the rest is shown. {malformed.message}</span>
          <button type="button" onClick={() => store.showTab("log")}>
            Show
          </button>
          <button type="button" onClick={() => dismiss("malformed")}>
            Dismiss
          </button>
        </div>
      )}
      {shown && lost > 0 && !hidden.has("lost") && (
        <div class="notice red">
          <span>
            {formatCount(lost)} events were lost while recording, hatched red on the timeline: times
            there are not the whole truth.
          </span>
          <button type="button" onClick={() => store.showTab("log")}>
            Show
          </button>
          <button type="button" onClick={() => dismiss("lost")}>
            Dismiss
          </button>
        </div>
      )}
    </div>
  );
}
