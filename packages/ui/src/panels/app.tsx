/** The frame of the page: top bar, strips of notices, timeline, drawer, legend. */
import { useEffect, useRef } from "preact/hooks";
import type { Page } from "../page.tsx";
import { Headers } from "../timeline/headers.ts";
import { Minimap } from "../timeline/minimap.ts";
import { Pointer } from "../timeline/pointer.ts";
import { Drawer } from "./drawer.tsx";
import { Help } from "./help.tsx";
import { Legend } from "./legend.tsx";
import { Empty, Failure, Loading, NoTracks, Notices } from "./states.tsx";
import { Tooltip } from "./tooltip.tsx";
import { TopBar } from "./topbar.tsx";

export function App({ page }: { page: Page }) {
  const { store } = page;
  const shown = store.summary.value !== undefined && store.tracks.value.length > 0;
  const failed = store.failure.value !== undefined && !shown;
  const idle = store.opening.value === undefined && !shown && store.engine.value?.kind !== "server";
  return (
    <>
      <TopBar page={page} />
      <Notices page={page} />
      <main class={shown ? "" : "blank"}>
        <Stage page={page} />
        {shown ? (
          <NoTracks page={page} />
        ) : failed ? (
          <Failure page={page} />
        ) : idle ? (
          <Empty page={page} />
        ) : (
          <Loading page={page} />
        )}
      </main>
      {shown && <Drawer page={page} />}
      {shown && <Legend page={page} />}
      <Tooltip page={page} />
      <Help page={page} />
      <div class="dropzone" aria-hidden="true">
        <span>Drop the trace to open it</span>
      </div>
      <div class="spoken" role="status" aria-live="polite">
        {store.spoken.value}
      </div>
    </>
  );
}

/** The canvas and what moves with it; these elements belong to the timeline, not to preact. */
function Stage({ page }: { page: Page }) {
  const { store, timeline } = page;
  const stage = useRef<HTMLDivElement>(null);
  const minimap = useRef<HTMLCanvasElement>(null);
  const tree = useRef<HTMLDivElement>(null);
  const stickyHost = useRef<HTMLDivElement>(null);
  const view = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const filler = useRef<HTMLDivElement>(null);
  const hasCpus = store.tracks.value.some(({ info }) => info.kind === "cpu");
  const minimapTitle = `${hasCpus ? "How busy the CPUs were" : "How much happened"} over the whole trace; drag to choose what is shown`;

  useEffect(() => {
    const { canvas } = timeline;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Timeline. Press ? for the keys.");
    view.current!.append(canvas);
    new Minimap(minimap.current!, timeline);
    new Headers(tree.current!, stickyHost.current!, timeline);
    const pointer = new Pointer(timeline);
    stage.current!.querySelector(".column")!.addEventListener(
      "wheel",
      (event) => {
        const wheel = event as WheelEvent;
        if (wheel.ctrlKey || wheel.metaKey) return;
        pointer.onWheel(wheel);
      },
      { passive: false },
    );
    const observer = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = view.current!;
      timeline.resize(clientWidth, clientHeight);
    });
    observer.observe(view.current!);
    // A native scrollbar beside the canvas: both follow each other.
    let ours = -1;
    timeline.onFrame.push(() => {
      const bar = scroller.current;
      if (!bar || !filler.current) return;
      // The bar is taller than what it scrolls by the minimap and the ruler: both must end together.
      const height = `${timeline.layout.height + bar.clientHeight - timeline.viewHeight}px`;
      if (filler.current.style.height !== height) filler.current.style.height = height;
      if (Math.abs(bar.scrollTop - timeline.scrollTop) >= 1) {
        ours = timeline.scrollTop;
        bar.scrollTop = timeline.scrollTop;
      }
    });
    scroller.current!.addEventListener("scroll", () => {
      const top = scroller.current!.scrollTop;
      if (Math.abs(top - ours) >= 1) timeline.scrollTo(top);
      ours = -1;
    });
    return () => observer.disconnect();
  }, [timeline]);

  return (
    <div class="stage" ref={stage} style={{ "--header-width": `${store.headerWidth.value}px` }}>
      <div class="corner">
        <input
          type="search"
          placeholder="Filter tracks"
          aria-label="Filter tracks by name or id"
          value={store.filter.value}
          onInput={(event) => {
            store.filter.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            store.filter.value = "";
            event.currentTarget.blur();
          }}
        />
      </div>
      <canvas class="minimap" ref={minimap} aria-label={minimapTitle} title={minimapTitle} />
      <div class="column">
        <div class="order">
          {store.watched.value ? "Tracks, as they came" : "Tracks, busiest first"}
        </div>
        <div class="tree" ref={tree} />
        <div class="sticky-host" ref={stickyHost} />
      </div>
      <div class="view" ref={view} />
      <div class="scroller" ref={scroller} tabIndex={-1} aria-hidden="true">
        <div ref={filler} />
      </div>
      <Resizer page={page} />
    </div>
  );
}

const LEAST_HEADER = 140;
const MOST_HEADER = 560;

function Resizer({ page: { store } }: { page: Page }) {
  const set = (width: number) => {
    store.headerWidth.value = Math.round(Math.min(MOST_HEADER, Math.max(LEAST_HEADER, width)));
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: an <hr> cannot be dragged
    <div
      class="resizer"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the track names"
      aria-valuenow={store.headerWidth.value}
      aria-valuemin={LEAST_HEADER}
      aria-valuemax={MOST_HEADER}
      tabIndex={0}
      onKeyDown={(event) => {
        const by = event.key === "ArrowLeft" ? -16 : event.key === "ArrowRight" ? 16 : 0;
        if (by === 0) return;
        event.preventDefault();
        set(store.headerWidth.value + by);
      }}
      onPointerDown={(event) => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={(event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId)) set(event.clientX);
      }}
    />
  );
}
