/** From a sink in one place to a page in another, without a browser: feed, engine, protocol. */
import { MessageChannel } from "node:worker_threads";
import { NO_ARGS, type Ns, TraceBuilder } from "@kymo/trace";
import { decodeMessage, type EngineMessage, encodeMessage } from "@kymo/trace/engine";
import { expect, test } from "vitest";
import { type EngineHost, hostLive } from "../server/engine-host.ts";
import { teeToViewer } from "./capture-end.ts";

const ns = (value: number) => value as Ns;
type Message<Type extends EngineMessage["type"]> = Extract<EngineMessage, { type: Type }>;

/** A page that says hello and keeps what it is told. */
function openPage(host: EngineHost) {
  const told: EngineMessage[] = [];
  let heard = (): void => {};
  const connection = host.connect(
    (bytes) => {
      told.push(decodeMessage(bytes) as EngineMessage);
      heard();
    },
    () => {},
  );
  connection.handle(encodeMessage({ type: "hello", version: 1 }));
  const until = async <Type extends EngineMessage["type"]>(
    type: Type,
    is: (message: Message<Type>) => boolean,
  ): Promise<Message<Type>> => {
    for (;;) {
      const found = told.findLast((message) => message.type === type) as Message<Type> | undefined;
      if (found !== undefined && is(found)) return found;
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
    }
  };
  return { told, until, close: () => connection.close() };
}

test("a page sees events as they come, from whenever it looks, and the end; the other sink has all", async () => {
  const { port1, port2 } = new MessageChannel();
  const host = hostLive("watched", port2);
  const file = new TraceBuilder();
  const sink = teeToViewer(file, port1);
  const page = openPage(host);
  sink.clock({ domain: "monotonic", originNs: 1n, errorNs: 0 });
  const main = sink.track({ kind: "thread", name: "main", tid: 1 });
  const [name, none] = [sink.string("work"), sink.string("")];
  sink.slice(main, ns(10), ns(20), name, none, NO_ARGS);
  sink.watermark(ns(100));
  const first = await page.until("tracks", ({ tracks }) => tracks.length === 1);
  expect(first.summary).toMatchObject({ name: "watched", live: true, events: 1, toNs: 100 });

  // Another page comes later, and is told where things stand.
  const late = openPage(host);
  expect((await late.until("tracks", () => true)).summary).toMatchObject({ live: true, events: 1 });

  await new Promise((resolve) => setTimeout(resolve, 60)); // batches are 40 ms apart
  for (let i = 0; i < 1000; i++) sink.slice(main, ns(200 + i), ns(1), name, none, NO_ARGS);
  sink.watermark(ns(2000));
  for (const each of [page, late]) await each.until("appended", ({ events }) => events === 1001);

  sink.close();
  const last = await page.until("tracks", ({ done }) => done);
  expect(last.summary).toMatchObject({ live: false, events: 1001, lostEvents: 0 });
  expect(file.trace.length).toBe(1001);
  page.close();
  late.close();
  await host.close();
});

test("a capture that ends without a word leaves what it has sent", async () => {
  const { port1, port2 } = new MessageChannel();
  const host = hostLive("cut short", port2);
  const sink = teeToViewer(new TraceBuilder(), port1);
  const page = openPage(host);
  const main = sink.track({ kind: "thread", name: "main", tid: 1 });
  sink.begin(main, ns(10), sink.string("open"), sink.string(""), NO_ARGS);
  sink.watermark(ns(50));
  await page.until("tracks", ({ tracks }) => tracks.length === 1);
  port1.close(); // its thread has died
  const last = await page.until("tracks", ({ done }) => done);
  expect(last.summary).toMatchObject({ live: false, events: 1 });
  page.close();
  await host.close();
});
