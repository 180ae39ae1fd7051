import { expect, test } from "vitest";
import type { EngineMessage, PageMessage } from "./protocol.ts";
import { startEngineWorker, type WorkerScope } from "./worker-host.ts";

const json = JSON.stringify({
  traceEvents: Array.from({ length: 500 }, (_, i) => ({
    ph: "X",
    name: `f${i}`,
    ts: i * 10,
    dur: 4,
    pid: 1,
    tid: 1,
  })),
});
const bytes = new TextEncoder().encode(json);

/** A worker's scope without the worker. */
function worker() {
  const heard: EngineMessage[] = [];
  const scope: WorkerScope = {
    onmessage: null,
    postMessage: (message) => void heard.push(message as EngineMessage),
  };
  const engine = startEngineWorker(scope);
  const send = (message: PageMessage): unknown =>
    scope.onmessage!({ data: message } as MessageEvent);
  send({ type: "hello", version: 1 });
  return { heard, send, engine };
}
async function heardLast<Type extends EngineMessage["type"]>(
  heard: readonly EngineMessage[],
  type: Type,
  met: (message: Extract<EngineMessage, { type: Type }>) => boolean,
) {
  for (let turn = 0; turn < 2000; turn++) {
    const found = heard.findLast((each) => each.type === type && met(each as never));
    if (found !== undefined) return found as Extract<EngineMessage, { type: Type }>;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`never heard ${type}; heard ${heard.map((each) => each.type).join(" ")}`);
}

test.each([
  ["bytes", { bytes }],
  ["a file", { file: new Blob([bytes]) }],
  ["a URL", { url: URL.createObjectURL(new Blob([bytes])) }],
])("opens %s", async (_, what) => {
  const { heard, send, engine } = worker();
  expect(heard).toEqual([{ type: "hello", version: 1, kind: "worker", sql: false }]);
  send({ type: "open", name: "t.json", ...what });
  const { summary, tracks } = await heardLast(heard, "tracks", ({ done }) => done);
  expect(summary).toMatchObject({ name: "t.json", events: 500 });
  const row = tracks.flatMap((track) => track.rows)[0]!;
  send({ type: "details", id: 1, row: row.id, index: 7 });
  const { details } = await heardLast(heard, "details", ({ id }) => id === 1);
  expect(details).toMatchObject({ name: "f7", dur: 4000 });
  engine.close();
});

test("what cannot be opened is said in words; another file can be opened then", async () => {
  const { heard, send, engine } = worker();
  send({ type: "open", name: "x", bytes: new TextEncoder().encode("no trace at all") });
  expect((await heardLast(heard, "error", () => true)).message).toContain("no known trace format");
  send({ type: "open", name: "x", url: "http://127.0.0.1:9/none" });
  const unreachable = await heardLast(heard, "error", ({ message }) => message.includes("fetched"));
  expect(unreachable.hint).toContain("CORS");
  send({ type: "open", name: "empty", bytes: new Uint8Array(0) });
  await heardLast(heard, "error", ({ message }) => message.includes("empty"));
  send({ type: "open", name: "good", bytes });
  await heardLast(heard, "tracks", ({ done, summary }) => done && summary.events === 500);
  engine.close();
});

test("a stopped load keeps what was read", async () => {
  const { heard, send, engine } = worker();
  let pulls = 0;
  const file = new Blob([bytes]);
  const endless = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      pulls++;
      await new Promise((resolve) => setTimeout(resolve, 1));
      // The events so far, then no end: spaces.
      controller.enqueue(pulls === 1 ? bytes.slice(0, -2) : new Uint8Array(65_536).fill(32));
    },
  });
  file.stream = () => endless as ReturnType<Blob["stream"]>;
  send({ type: "open", name: "endless", file });
  await heardLast(heard, "progress", ({ bytes: read }) => read > 300_000);
  send({ type: "stop" });
  const { summary } = await heardLast(heard, "tracks", ({ done }) => done);
  expect(summary.events).toBeGreaterThan(400);
  expect(heard.some((each) => each.type === "error")).toBe(false);
  engine.close();
});
