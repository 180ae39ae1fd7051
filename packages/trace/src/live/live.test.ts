import { expect, test } from "vitest";
import { Engine } from "../engine/engine.ts";
import type { EngineMessage } from "../engine/protocol.ts";
import { TraceBuilder } from "../model/builder.ts";
import { NO_ARGS, NO_TRACK, type Ns, type TraceSink } from "../model/sink.ts";
import { durationAt, type Trace } from "../model/trace.ts";
import { type FeedLimits, type FeedMessage, LiveFeed, type ViewMessage } from "./feed.ts";
import { Gate } from "./gate.ts";
import { LiveView } from "./view.ts";

const ns = (value: number) => value as Ns;

/** A feed and its view, with a queue between them that moves when the test says so. */
function line(limits: Partial<FeedLimits> = { batchMs: 0 }, memory?: { bytes: number }) {
  const waiting: FeedMessage[] = [];
  const feed = new LiveFeed((message) => void waiting.push(message), limits);
  const tasks: (() => void)[] = [];
  const answers: ViewMessage[] = [];
  const view = new LiveView({
    name: "live",
    post: (message) => {
      answers.push(message);
      feed.take(message);
    },
    ...(memory && { memoryBytes: () => memory.bytes, maxBytes: 1000 }),
    defer: (task) => void tasks.push(task),
  });
  const run = () => {
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task();
  };
  const deliver = () => {
    for (const message of waiting.splice(0)) view.take(message);
    run();
  };
  return { feed, view, waiting, answers, deliver, run };
}

function slices(trace: Trace): { name: string; ts: number; dur: number; lane: number }[] {
  return trace.rows.flatMap((row) =>
    row.kind !== "slice"
      ? []
      : row.chunks.flatMap((chunk) =>
          Array.from({ length: chunk.length }, (_, i) => ({
            name: trace.strings.get(chunk.key[i] as never),
            ts: chunk.ts[i]!,
            dur: durationAt(chunk, i),
            lane: row.lane,
          })),
        ),
  );
}

function thread(sink: TraceSink) {
  sink.clock({ domain: "monotonic", originNs: 0n, errorNs: 0 });
  const track = sink.track({ kind: "thread", name: "main", tid: 1 });
  const none = sink.string("");
  return {
    track,
    begin: (ts: number, name: string) =>
      sink.begin(track, ns(ts), sink.string(name), none, NO_ARGS),
    end: (ts: number) => sink.end(track, ns(ts), NO_ARGS),
    slice: (ts: number, dur: number, name: string) =>
      sink.slice(track, ns(ts), ns(dur), sink.string(name), none, NO_ARGS),
  };
}

test("what is open lasts until the watermark, and events are there once it has passed them", () => {
  const { feed, view, deliver } = line();
  const main = thread(feed.sink);
  main.begin(100, "wait");
  main.slice(150, 10, "inner");
  feed.sink.watermark(ns(120));
  deliver();
  const { trace } = view.open;
  expect(slices(trace)).toEqual([{ name: "wait", ts: 100, dur: NaN, lane: 0 }]);
  expect([trace.fromNs, trace.toNs]).toEqual([100, 120]);
  feed.sink.watermark(ns(5000));
  deliver();
  expect(slices(trace).map(({ name }) => name)).toEqual(["wait", "inner"]);
  expect(trace.toNs).toBe(5000);
  expect(view.open.summary().live).toBe(true);
  main.end(6000);
  feed.sink.watermark(ns(6000));
  feed.sink.close();
  deliver();
  view.end();
  deliver();
  expect(slices(trace)[0]).toMatchObject({ name: "wait", dur: 5900 });
  expect(view.open.summary().live).toBe(false);
});

test("a trace that is not watched does not reach beyond its last event", () => {
  const builder = new TraceBuilder();
  const main = thread(builder);
  main.slice(1, 2, "a");
  builder.watermark(ns(500));
  builder.close();
  expect(builder.trace.toNs).toBe(3);
});

test("a viewer that does not keep up loses whole batches, counted, and no slice stays open", () => {
  const { feed, view, waiting, deliver } = line({ batchMs: 0, waitingBytes: 2000 });
  const main = thread(feed.sink);
  let ts = 0;
  main.begin(ts++, "around");
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 20; i++) {
      main.begin(ts++, "work");
      main.end(ts++);
    }
    feed.sink.watermark(ns(ts));
  }
  // Nobody has taken anything: what waits is bounded.
  const sent = waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(sent).toBeLessThan(20_000);
  main.end(ts++);
  deliver();
  main.slice(ts++, 1, "first after");
  feed.sink.watermark(ns(ts));
  deliver();
  main.slice(ts++, 1, "second after");
  feed.sink.watermark(ns(ts + 1));
  feed.sink.close();
  deliver();
  view.end();
  deliver();
  const { open } = view;
  const shown = slices(open.trace);
  const work = shown.filter(({ name }) => name === "work").length;
  expect(shown.find(({ name }) => name === "around")).toMatchObject({ ts: 0, dur: 2001, lane: 0 });
  expect(shown.filter(({ dur }) => Number.isNaN(dur))).toEqual([]);
  expect(shown.some(({ name }) => name === "second after")).toBe(true);
  expect(work).toBeLessThan(1000);
  expect(open.leftOutEvents).toBeGreaterThan(0);
  const leftOutSlices = 1000 - work + (shown.some(({ name }) => name === "first after") ? 0 : 1);
  expect(open.leftOutEvents).toBe(leftOutSlices);
  expect(open.problems).toEqual([
    expect.objectContaining({ kind: "lost-events", count: leftOutSlices }),
  ]);
  expect(open.summary()).toMatchObject({ lostEvents: 0, leftOutEvents: leftOutSlices });
});

test("a shut gate lets declarations and lives pass, and leaves flows to what is left out unbound", () => {
  const builder = new TraceBuilder();
  const gate = new Gate(builder);
  const { sink } = gate;
  gate.shut();
  const main = thread(sink);
  sink.args.int(sink.string("key"), 1);
  expect(sink.args.done()).toBe(NO_ARGS);
  main.slice(1, 2, "a");
  sink.flow(7n, main.track, ns(1), "start", "last");
  sink.switch(main.track, ns(2), NO_TRACK, sink.string("S"), main.track, 0);
  sink.life(main.track, ns(3), "rename", sink.string("renamed"));
  gate.open();
  main.slice(4, 2, "b");
  sink.watermark(ns(10));
  sink.close();
  expect(gate.takeLeftOut()).toEqual({ count: 2, from: 1, to: 2 });
  expect(gate.takeLeftOut()).toBeUndefined();
  const { trace } = builder;
  expect(slices(trace).map(({ name }) => name)).toEqual(["b"]);
  expect(trace.trackName(main.track)).toBe("renamed");
  expect(trace.flows.length).toBe(0);
});

test("a view that has its memory full ends there and says so; the feed goes on without it", () => {
  const memory = { bytes: 0 };
  const { feed, view, answers, waiting, deliver } = line({ batchMs: 0 }, memory);
  const main = thread(feed.sink);
  main.slice(1, 1, "a");
  feed.sink.watermark(ns(5));
  deliver();
  expect(view.open.live).toBe(true);
  memory.bytes = 2000;
  main.slice(6, 1, "b");
  feed.sink.watermark(ns(10));
  view.take(waiting.splice(0)[0]!);
  // Memory is looked at a few times a second.
  const start = performance.now();
  while (performance.now() - start < 260);
  deliver();
  expect(answers).toContainEqual({ type: "full" });
  expect(view.open.live).toBe(false);
  expect(view.open.problems).toEqual([expect.objectContaining({ kind: "truncated" })]);
  for (let i = 0; i < 100; i++) main.slice(20 + i, 1, "c");
  feed.sink.watermark(ns(200));
  for (let i = 0; i < 100; i++) main.slice(200 + i, 1, "c");
  feed.sink.watermark(ns(400));
  expect(waiting.at(-1)!.batch.codes.length).toBeLessThan(10);
});

test("a page hears of the end as it moves, of new tracks soon, and of the end of the recording", async () => {
  const { feed, view, deliver } = line();
  const posted: EngineMessage[] = [];
  const engine = new Engine({
    kind: "server",
    opened: view.open,
    post: (message) => void posted.push(message),
  });
  const until = async (done: () => boolean) => {
    while (!done()) {
      now += 1000;
      feed.sink.watermark(ns(now));
      deliver();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  let now = 10_000;
  const of = <Type extends EngineMessage["type"]>(type: Type) =>
    posted.filter((message) => message.type === type) as Extract<EngineMessage, { type: Type }>[];
  engine.handle({ type: "hello", version: 1 });
  const main = thread(feed.sink);
  main.slice(5, 5, "first");
  await until(() => of("tracks").some(({ tracks }) => tracks.length === 1));
  expect(of("tracks").at(-1)).toMatchObject({ done: false, summary: { live: true } });
  expect(of("progress")).toEqual([]);
  await until(() => of("appended").length > 3);
  const ends = of("appended").map(({ toNs }) => toNs);
  expect(ends).toEqual([...ends].sort((a, b) => a - b));
  expect(ends.at(-1)).toBeGreaterThan(10_000);
  // Another track: the tree is told again.
  const before = of("tracks").length;
  const more = feed.sink.track({ kind: "thread", name: "more", tid: 2 });
  feed.sink.instant(more, ns(now), feed.sink.string("mark"), feed.sink.string(""), NO_ARGS);
  await until(() => of("tracks").at(-1)!.tracks.length === 2);
  expect(of("tracks").length).toBeGreaterThan(before);
  feed.sink.close();
  deliver();
  view.end();
  deliver();
  expect(of("tracks").at(-1)).toMatchObject({ done: true, summary: { live: false } });
  // A page that comes back hears all of it again.
  posted.length = 0;
  engine.handle({ type: "hello", version: 1 });
  expect(posted.map(({ type }) => type)).toEqual(["hello", "tracks"]);
  engine.close();
});
