/** What the colours mean, always in sight, and the zoom in numbers. */
import { FILLS, SYSCALL_FILLS, stateInk } from "@kymo/trace/engine";
import type { Page } from "../page.tsx";
import { perform } from "../window-keys.ts";
import { formatDuration } from "../words.ts";
import { colorOf } from "./fill.ts";

const entries = [
  { state: "running", text: "Running", wide: " on a CPU", more: "on a CPU" },
  {
    state: "runnable",
    text: "Runnable",
    wide: ", waits for a CPU",
    more: "ready, waits for a CPU",
  },
  {
    state: "preempted",
    text: "Preempted",
    wide: "",
    more: "taken off its CPU, waits for one again",
  },
  {
    state: "uninterruptible",
    text: "Uninterruptible",
    wide: " (disk, kernel)",
    more: "waits in the kernel, usually for a disk",
  },
  { state: "sleeping", text: "Sleeping", wide: "", more: "waits for something to happen" },
] as const;

export function Legend({ page }: { page: Page }) {
  const { store } = page;
  const kinds = new Set(store.tracks.value.flatMap((track) => track.rows.map((row) => row.kind)));
  const lost = (store.summary.value?.lostEvents ?? 0) > 0;
  const { from, to } = store.range.value;
  const summary = store.summary.value;
  const whole = summary !== undefined && from <= summary.fromNs && to >= summary.toNs;
  // A track with slices that nobody named has system calls only.
  const calls = store.tracks.value.some(
    ({ rows, annotated }) => !annotated && rows.some(({ kind }) => kind === "slice"),
  );
  return (
    <footer class="legend">
      <div class="entries">
        {kinds.has("thread_state") && (
          <section class="entry-group" aria-label="Thread states">
            <span class="what">Thread states</span>
            {entries.map(({ state, text, wide, more }) => {
              const { rgb, alpha, hatch } = stateInk(store.theme.value, state);
              const color = hexOf(rgb, alpha);
              const style =
                hatch === undefined
                  ? { background: color }
                  : {
                      background: `repeating-linear-gradient(135deg, ${color} 0 2.5px, ${hexOf(hatch, 255)} 2.5px 4px)`,
                    };
              return (
                <span class="entry" key={state} title={more}>
                  <i class={state} style={style} />
                  <span>
                    {text}
                    {wide && <span class="wide">{wide}</span>}
                  </span>
                </span>
              );
            })}
          </section>
        )}
        {(kinds.has("sched") || kinds.has("slice")) && (
          <section class="entry-group" aria-label="Other colours">
            <span class="entry">
              <i class="names">
                {[0, 8, 4].map((n) => (
                  <b key={n} style={{ background: colorOf(FILLS[n]!) }} />
                ))}
              </i>
              {kinds.has("sched")
                ? kinds.has("slice")
                  ? "CPUs by process, slices by name"
                  : "CPUs by process"
                : "Slices by name"}
            </span>
            {calls && (
              <span class="entry" title="Slices of this family of colours are calls of the kernel">
                <i class="names">
                  {SYSCALL_FILLS.map((rgb) => (
                    <b key={rgb} style={{ background: colorOf(rgb) }} />
                  ))}
                </i>
                System calls
              </span>
            )}
            {kinds.has("sample") && (
              <span class="entry">
                <i class="ticks" />
                CPU samples
              </span>
            )}
            {kinds.has("counter") && (
              <span class="entry" title="A value over time, such as memory; its height is from 0">
                <i class="area" />
                Counters
              </span>
            )}
            {lost && (
              <span class="entry">
                <i class="losses" />
                Events lost
              </span>
            )}
          </section>
        )}
      </div>
      <span class="zoom">
        <span title="What the view spans">
          {whole
            ? `whole trace: ${formatDuration(summary.toNs - summary.fromNs)}`
            : `${formatDuration(to - from)} in view`}
        </span>
        <button
          type="button"
          class="plain"
          title="Density of the rows (C)"
          onClick={() => perform(page, "density")}
        >
          rows: {store.density.value}
        </button>
      </span>
    </footer>
  );
}

function hexOf(rgb: number, alpha: number): string {
  return `#${rgb.toString(16).padStart(6, "0")}${alpha.toString(16).padStart(2, "0")}`;
}
