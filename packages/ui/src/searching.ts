/** Search: asks after a pause in typing, walks the hits, shows each where it is. */
import type { EngineClient } from "./engine/client.ts";
import { emptySearch, type Store } from "./store.ts";
import type { Timeline } from "./timeline/timeline.ts";

const PAUSE_MS = 120;
const HIT_LIMIT = 5000;

export class Searching {
  private readonly store: Store;
  private readonly client: EngineClient;
  private readonly timeline: Timeline;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking = 0;
  /** Enter was pressed before the hits were there. */
  private stepWhenReady: 1 | -1 | undefined;

  constructor(store: Store, client: EngineClient, timeline: Timeline) {
    this.store = store;
    this.client = client;
    this.timeline = timeline;
  }

  type(text: string): void {
    clearTimeout(this.timer);
    this.stepWhenReady = undefined;
    const asking = ++this.asking;
    if (text.trim() === "") {
      this.store.search.value = emptySearch;
      return;
    }
    this.store.search.value = { ...this.store.search.value, text, busy: true, hits: [], at: -1 };
    this.timer = setTimeout(() => {
      this.client.search({ text, limit: HIT_LIMIT }).then(
        ({ hits, total, heat }) => {
          if (asking !== this.asking) return;
          this.store.search.value = { text, busy: false, hits, total, heat, at: -1 };
          if (this.stepWhenReady) this.step(this.stepWhenReady);
        },
        () => {
          if (asking === this.asking) this.store.search.value = { ...emptySearch, text };
        },
      );
    }, PAUSE_MS);
  }

  clear(): void {
    this.type("");
  }

  /** The next hit; the first time, the first one in or after the view. */
  step(by: 1 | -1): void {
    const { search } = this.store;
    const { hits, at, busy } = search.value;
    if (busy) {
      this.stepWhenReady = by;
      return;
    }
    if (hits.length === 0) return;
    let next = at + by;
    if (at < 0) {
      const ahead = hits.findIndex((hit) => hit.ts >= this.timeline.range.from);
      next = by > 0 ? Math.max(0, ahead) : ahead < 0 ? hits.length - 1 : ahead - 1;
    }
    next = (next + hits.length) % hits.length;
    search.value = { ...search.value, at: next };
    const hit = hits[next];
    if (hit)
      this.timeline.goTo(hit).catch(() => {
        // The engine is gone; the page shows that by itself.
      });
  }
}
