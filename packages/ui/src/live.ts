/**
 * Watching a recording while it is made: pausing, following, and what to do when the tab wakes up.
 *
 * The trace is the server's. While paused, its news is kept here, newest only, and shown on resuming: nothing piles up.
 */
import type { EngineMessage } from "@kymo/trace/engine";
import type { EngineClient } from "./engine/client.ts";
import type { Arrived, Store } from "./store.ts";
import type { Timeline } from "./timeline/timeline.ts";

type News = Extract<EngineMessage, { type: "tracks" | "appended" | "problems" }>;

/** The event rate is that of so much of the recording. */
const RATE_NS = 1e9;
/** A server that says nothing for so long after it was asked is taken for gone. */
const ANSWER_MS = 4000;

export class Live {
  private readonly store: Store;
  private readonly client: EngineClient;
  private readonly timeline: Timeline;
  private readonly show: (message: EngineMessage) => void;
  /** While paused: the newest of each kind. */
  private held: { [Type in News["type"]]?: News } = {};
  private wasFollowing = false;
  private readings: Arrived[] = [];
  private heardAt = 0;

  /** @param show  takes what may be shown now */
  constructor(
    store: Store,
    client: EngineClient,
    timeline: Timeline,
    show: (message: EngineMessage) => void,
  ) {
    this.store = store;
    this.client = client;
    this.timeline = timeline;
    this.show = show;
    addEventListener("online", () => this.wake());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.wake();
    });
  }

  take(message: EngineMessage): void {
    this.heardAt = performance.now();
    if (message.type === "tracks") this.measure(message.summary, message.summary.live);
    else if (message.type === "appended") this.measure(message, true);
    const isNews =
      message.type === "tracks" || message.type === "appended" || message.type === "problems";
    if (isNews && this.store.paused.value !== undefined) this.held[message.type] = message;
    else this.show(message);
  }

  get watching(): boolean {
    return this.store.live.value;
  }

  togglePause(): void {
    const { store } = this;
    if (store.paused.value !== undefined) {
      this.resume();
      return;
    }
    if (!this.watching) return;
    this.wasFollowing = store.following.value;
    store.following.value = false;
    const { toNs, events } = this.timeline.summary;
    store.paused.value = { toNs, events };
    store.spoken.value = "paused; the recording goes on";
  }

  toggleFollow(): void {
    const { store, timeline } = this;
    if (!this.watching) return;
    if (store.following.value) {
      store.following.value = false;
      return;
    }
    if (store.paused.value !== undefined) this.resume();
    timeline.follow();
    store.spoken.value = "following the newest events";
  }

  private resume(): void {
    const { store, timeline } = this;
    store.paused.value = undefined;
    const { tracks, appended, problems } = this.held;
    this.held = {};
    for (const message of [tracks, problems]) if (message) this.show(message);
    if (appended && store.live.value) this.show(appended);
    if (this.wasFollowing && store.live.value) timeline.follow();
    store.spoken.value = store.live.value ? "resumed" : "the recording has ended";
  }

  /** The tab slept, or the network did: the state now is asked for, and a connection that is dead is made anew. */
  private wake(): void {
    this.client.wake();
    if (!this.watching) return;
    const askedAt = performance.now();
    this.client.hello();
    setTimeout(() => {
      if (this.heardAt < askedAt) this.client.reconnect();
    }, ANSWER_MS);
  }

  private measure(now: Arrived, live: boolean): void {
    const { store } = this;
    const { toNs, events, lostEvents, leftOutEvents } = now;
    const newest = { toNs, events, lostEvents, leftOutEvents };
    store.arrived.value = newest;
    // The trace began anew: another recording's numbers are of no use.
    const first = this.readings[0];
    if (!live || (first !== undefined && toNs < first.toNs)) this.readings = [];
    this.readings.push(newest);
    while (this.readings.length > 2 && toNs - this.readings[1]!.toNs > RATE_NS)
      this.readings.shift();
    const since = this.readings[0]!;
    const seconds = (toNs - since.toNs) / 1e9;
    if (seconds > 0.1) store.rate.value = (events - since.events) / seconds;
  }
}
