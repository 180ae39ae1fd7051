/** The recording that is watched: how it goes, and whether the view goes with it. */
import type { Page } from "../page.tsx";
import { formatCount, formatDuration } from "../words.ts";

export function LiveBar({ page }: { page: Page }) {
  const { store, live } = page;
  const arrived = store.arrived.value;
  if (!store.live.value || arrived === undefined) return null;
  const paused = store.paused.value;
  const following = store.following.value;
  return (
    <section class="live" aria-label="Live recording">
      {paused === undefined ? (
        <span class="badge-live" title="Events are shown as they are recorded">
          <i class="dot" />
          Live
        </span>
      ) : (
        <span class="badge-live paused" title="The recording goes on; the view does not">
          <i class="bars" />
          Paused
        </span>
      )}
      <span class="num parts">
        {paused === undefined ? (
          <span>{`${formatCount(store.rate.value)}/s`}</span>
        ) : (
          <>
            <span>+{formatDuration(Math.max(0, arrived.toNs - paused.toNs))}</span>
            <span>· {formatCount(Math.max(0, arrived.events - paused.events))} events since</span>
          </>
        )}
        <Losses lost={arrived.lostEvents} leftOut={arrived.leftOutEvents} />
      </span>
      <button
        type="button"
        class="plain"
        aria-pressed={following}
        title={
          following
            ? "The view sticks to the newest events; panning back stops that (L)"
            : "Show the newest events, and go on with them (L)"
        }
        onClick={() => live.toggleFollow()}
      >
        {following ? "Following" : "Follow"}
      </button>
      <button
        type="button"
        class={paused === undefined ? "plain" : "plain on"}
        title={
          paused === undefined ? "Freeze the view (Space)" : "Show what has come since (Space)"
        }
        onClick={() => live.togglePause()}
      >
        {paused === undefined ? "Pause" : "Resume"}
      </button>
    </section>
  );
}

function Losses({ lost, leftOut }: { lost: number; leftOut: number }) {
  return (
    <>
      <span class={lost > 0 ? "bad" : "muted"} title="Events that the kernel dropped">
        · {formatCount(lost)} lost
      </span>
      {leftOut > 0 && (
        <span class="bad" title="Recorded, but more than this page could be shown in time">
          · {formatCount(leftOut)} not shown
        </span>
      )}
    </>
  );
}
