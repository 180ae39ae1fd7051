import { once } from "node:events";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type AnyTrace, anyTrace } from "../testing/any-trace.ts";
import { dumpEvents } from "../testing/dump.ts";
import { play } from "../testing/play.ts";
import { BatchError, BatchReplayer, BatchSink, type EventBatch, transferList } from "./batch.ts";
import { TraceBuilder } from "./builder.ts";
import { NO_ARGS, NO_STACK, type Ns, type TraceSink } from "./sink.ts";

function dumpOf(playInto: (sink: TraceSink) => void): string {
  const builder = new TraceBuilder();
  playInto(builder);
  builder.close();
  return dumpEvents(builder.trace);
}

/** The calls as batches, flushed after every `size` calls or so. */
function batchesOf(calls: AnyTrace, size: number): EventBatch[] {
  const sink = new BatchSink();
  const batches: EventBatch[] = [];
  const flushing = new Proxy(sink, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        if (target.length >= size) batches.push(target.flush());
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
  play(calls, flushing);
  batches.push(sink.flush());
  return batches;
}

test("replayed batches make the calls that were recorded, wherever they are cut", () =>
  fc.assert(
    fc.property(anyTrace(), fc.integer({ min: 1, max: 60 }), (calls, size) => {
      const batches = batchesOf(calls, size);
      const replayed = dumpOf((sink) => {
        // Ids of the target are not the batch's.
        sink.string("something else first");
        const replayer = new BatchReplayer(sink);
        for (const batch of batches) replayer.replay(batch);
      });
      expect(replayed).toBe(dumpOf((sink) => play(calls, sink)));
    }),
    { numRuns: 200 },
  ));

test("integers of any size come through exactly, longer than 1024 bits as reals", () => {
  const values = [0n, -1n, 2n ** 63n, -(2n ** 64n), 2n ** 1024n - 1n, 2n ** 53n + 1n];
  const sink = new BatchSink();
  const track = sink.track({ kind: "thread", name: "t" });
  for (const value of values) sink.args.int(sink.string(`${value}`), value);
  sink.args.int(sink.string("huge"), 2n ** 1030n);
  sink.instant(track, 0 as Ns, sink.string(""), sink.string(""), sink.args.done());
  const builder = new TraceBuilder();
  new BatchReplayer(builder).replay(sink.flush());
  builder.close();
  const seen = builder.trace.args.leaves(0 as never).map(({ value }) => value);
  expect(seen.slice(0, -1).map(BigInt as (value: unknown) => bigint)).toEqual(values);
  expect(seen.at(-1)).toBe(Infinity);
});

test("batches cross a worker by transfer, and come back whole", async () => {
  const [calls] = fc.sample(anyTrace({ maxCalls: 200 }), { numRuns: 1, seed: 7 });
  const batches = batchesOf(calls!, 20);
  // The worker knows nothing of kymo: it sends back what it was given, moving the arrays both ways.
  const echo = `
    const { parentPort } = require("node:worker_threads");
    parentPort.on("message", ({ batch, list }) => parentPort.postMessage(batch, list));`;
  const worker = new Worker(echo, { eval: true });
  try {
    const back: EventBatch[] = [];
    for (const batch of batches) {
      const list = transferList(batch);
      const bytes = batch.codes.byteLength;
      worker.postMessage({ batch, list }, list);
      expect(batch.codes.byteLength, "the arrays have moved").toBe(0);
      const [message] = (await once(worker, "message")) as [EventBatch];
      expect(message.codes.byteLength).toBe(bytes);
      back.push(message);
    }
    const replayed = dumpOf((sink) => {
      const replayer = new BatchReplayer(sink);
      for (const batch of back) replayer.replay(batch);
    });
    expect(back.length).toBeGreaterThan(5);
    expect(replayed).toBe(dumpOf((sink) => play(calls!, sink)));
  } finally {
    await worker.terminate();
  }
});

test("a damaged batch ends in a BatchError or in calls, never in anything else", () =>
  fc.assert(
    fc.property(
      anyTrace(),
      fc.array(fc.tuple(fc.nat(), fc.integer()), { minLength: 1, maxLength: 6 }),
      fc.constantFrom("codes" as const, "ints" as const),
      (calls, changes, where) => {
        const batch = batchesOf(calls, Infinity)[0]!;
        const array = batch[where];
        for (const [at, value] of changes) if (array.length > 0) array[at % array.length] = value;
        const builder = new TraceBuilder();
        try {
          new BatchReplayer(builder).replay(batch);
        } catch (error) {
          expect(error).toBeInstanceOf(BatchError);
          expect((error as Error).message).toMatch(/^call \d+ \(/);
        }
      },
    ),
    { numRuns: 1000 },
  ));

test.each<[string, Partial<EventBatch>, RegExp]>([
  ["another version", { version: 2 }, /version 2; this reads version 1/],
  ["no arrays", { ints: [] as never }, /without its arrays/],
  ["an unknown call", { codes: Uint8Array.of(250) }, /call 0 \(250\): unknown call/],
  ["missing operands", { codes: Uint8Array.of(18) }, /operands are missing/],
  ["a call after close", { codes: Uint8Array.of(32, 32) }, /call 1 \(close\): a call after close/],
  [
    "a damaged description",
    { codes: Uint8Array.of(4), objects: [{ kind: "lane" } as never] },
    /track.*damaged/,
  ],
])("%s is refused in words", (_, change, message) => {
  const replayer = new BatchReplayer(new TraceBuilder());
  const batch = { ...new BatchSink().flush(), ...change };
  expect(() => replayer.replay(batch)).toThrow(message);
  expect(() => replayer.replay(new BatchSink().flush())).toThrow(/before this one was damaged/);
});

test("stacks and tracks of an earlier batch are known in a later one", () => {
  const sink = new BatchSink();
  const builder = new TraceBuilder();
  const replayer = new BatchReplayer(builder);
  const process = sink.track({ kind: "process", name: "p", pid: 1 });
  const frame = sink.frame({ name: "main", address: 16n });
  const stack = sink.stack(NO_STACK, frame);
  replayer.replay(sink.flush());
  const thread = sink.track({ kind: "thread", name: "t", tid: 1, parent: process });
  expect(sink.frame({ name: "main", address: 16n })).toBe(frame);
  sink.sample(thread, 5 as Ns, sink.stack(NO_STACK, frame), 1000, 0);
  expect(sink.stack(NO_STACK, frame)).toBe(stack);
  sink.end(thread, 6 as Ns, NO_ARGS);
  sink.close();
  replayer.replay(sink.flush());
  expect(dumpEvents(builder.trace)).toBe(
    [
      "clock unknown 0",
      'track process 1 "p"',
      'track thread 1 "t" of process 1 "p"',
      '5 sample thread 1 "t": 1000 ns cpu 0: "main" 0x10',
      "problem unmatched-end count 1 from 6: 1 end without a begin on track t",
      "",
    ].join("\n"),
  );
});
