import fc from "fast-check";
import { expect, test } from "vitest";
import { dumpEvents } from "../testing/dump.ts";
import { TraceBuilder } from "./builder.ts";
import {
  type ArgSetId,
  EMPTY_STRING,
  type FlowBind,
  NO_ARGS,
  NO_STACK,
  type Ns,
  type StringId,
  type TraceSink,
  type TrackId,
} from "./sink.ts";
import { sortedOrder } from "./sort.ts";

const ns = (ts: number) => ts as Ns;

/** A source as small as one can be: what it does is call the sink. */
function fakeSource(sink: TraceSink): { readonly main: TrackId; readonly worker: TrackId } {
  sink.clock({ domain: "monotonic", originNs: 1_700_000_000_000_000_000n, errorNs: 0 });
  sink.clockSnapshot([
    ["monotonic", 5n],
    ["realtime", 10n ** 18n],
  ]);
  sink.metadata("host", "first");
  sink.metadata("host", "box");
  const process = sink.track({ kind: "process", name: "app", pid: 7 });
  const main = sink.track({ kind: "thread", name: "main", pid: 7, tid: 7, parent: process });
  const worker = sink.track({ kind: "thread", name: "worker", pid: 7, tid: 8, parent: process });
  const heap = sink.track({ kind: "counter", name: "heap", unit: "bytes", parent: process });
  const { args } = sink;
  args.text(sink.string("path"), sink.string("/etc/hosts"));
  sink.begin(main, ns(100), sink.string("open"), sink.string("syscall"), args.done());
  args.int(sink.string("ret"), 3);
  sink.end(main, ns(150), args.done());
  sink.counter(heap, ns(120), 4096);
  sink.counter(heap, ns(130), 2n ** 40n);
  const packet = sink.eventType({ name: "packet", fields: [{ name: "bytes", type: "int" }] });
  args.int(sink.string("bytes"), 1500);
  sink.typed(packet, worker, ns(140), args.done());
  const outer = sink.stack(NO_STACK, sink.frame({ name: "main", file: "a.c", line: 3 }));
  sink.sample(
    main,
    ns(145),
    sink.stack(outer, sink.frame({ name: "inner", address: 255n })),
    1e6,
    0,
  );
  sink.log(worker, ns(160), "warning", sink.string("slow"));
  sink.life(worker, ns(90), "start", sink.string("worker"));
  sink.life(worker, ns(170), "rename", sink.string("pool-1"));
  sink.life(worker, ns(180), "exit", EMPTY_STRING);
  sink.problem({ kind: "lost-events", count: 3, cpu: 1, message: "ring buffer was full" });
  sink.watermark(ns(Infinity));
  return { main, worker };
}

test("a source's events, as the trace has them", () => {
  const builder = new TraceBuilder();
  const { worker } = fakeSource(builder);
  builder.close();
  const { trace } = builder;
  expect(dumpEvents(trace)).toBe(
    [
      "clock monotonic 1700000000000000000",
      "snapshot monotonic=5 realtime=1000000000000000000",
      'metadata host = "box"',
      'track process 7 "app"',
      'track process 7 "app" / counter "heap" unit bytes',
      'track thread 7 "main" of process 7 "app"',
      'track thread 8 "pool-1" of process 7 "app"',
      '90 life thread 8 "pool-1": start "worker"',
      '100 slice thread 7 "main": +50 "open" [syscall] {"path":"/etc/hosts","ret":3}',
      '120 counter process 7 "app" / counter "heap": = 4096',
      '130 counter process 7 "app" / counter "heap": = 1099511627776',
      '140 instant thread 8 "pool-1": typed "packet" {"bytes":1500}',
      '145 sample thread 7 "main": 1000000 ns cpu 0: "main" a.c:3 > "inner" 0xff',
      '160 log thread 8 "pool-1": warning "slow"',
      '170 life thread 8 "pool-1": rename "pool-1"',
      '180 life thread 8 "pool-1": exit ""',
      "problem lost-events count 3 cpu 1: ring buffer was full",
      "",
    ].join("\n"),
  );
  expect(trace.lifetime(worker)).toEqual({ startNs: 90, endNs: 180 });
  expect([trace.fromNs, trace.toNs, trace.length]).toEqual([100, 150, 5]);
});

test("an empty trace spans nothing", () => {
  const builder = new TraceBuilder();
  builder.close();
  expect([builder.trace.fromNs, builder.trace.toNs, builder.trace.length]).toEqual([
    Infinity,
    -Infinity,
    0,
  ]);
});

test("exec names a thread after the file", () => {
  const builder = new TraceBuilder();
  const thread = builder.track({ kind: "thread", name: "bash", tid: 1 });
  builder.life(thread, ns(5), "exec", builder.string("/usr/bin/true"));
  expect(builder.trace.trackName(thread)).toBe("bash");
  builder.watermark(ns(6));
  expect(builder.trace.trackName(thread)).toBe("true");
});

test("what has the watermark's own time waits: its ties may follow", () => {
  const builder = new TraceBuilder();
  const track = builder.track({ kind: "thread", name: "t" });
  const add = (dur: number) =>
    builder.slice(track, ns(5), ns(dur), EMPTY_STRING, EMPTY_STRING, NO_ARGS);
  add(3);
  builder.watermark(ns(5));
  expect(builder.trace.length).toBe(0);
  add(9);
  builder.close();
  expect(builder.trace.rows.map(({ lane, chunks }) => [lane, chunks[0]!.dur[0]])).toEqual([
    [0, 9],
    [1, 3],
  ]);
  expect(builder.trace.problems).toEqual([]);
});

test("the version goes up with what is added", () => {
  const builder = new TraceBuilder();
  const versions = [builder.trace.version];
  const track = builder.track({ kind: "thread", name: "t" });
  versions.push(builder.trace.version);
  builder.instant(track, ns(1), EMPTY_STRING, EMPTY_STRING, NO_ARGS);
  builder.watermark(ns(2));
  versions.push(builder.trace.version);
  expect(new Set(versions).size).toBe(3);
});

test("rows of a track: states first, then lanes, then the rest", () => {
  const builder = new TraceBuilder();
  const track = builder.track({ kind: "thread", name: "t" });
  builder.sample(track, ns(1), NO_STACK, 1, 0);
  builder.instant(track, ns(1), EMPTY_STRING, EMPTY_STRING, NO_ARGS);
  builder.begin(track, ns(1), EMPTY_STRING, EMPTY_STRING, NO_ARGS);
  builder.begin(track, ns(2), EMPTY_STRING, EMPTY_STRING, NO_ARGS);
  builder.waking(track, ns(1), track, 0);
  builder.close();
  expect(builder.trace.rowsOf(track).map(({ kind, lane }) => `${kind} ${lane}`)).toEqual([
    "thread_state 0",
    "slice 0",
    "slice 1",
    "instant 0",
    "sample 0",
  ]);
});

test.each<[FlowBind, number, string]>([
  ["last", 25, '"c" at 20'],
  ["enclosing", 15, '"b" at 10'],
  ["enclosing", 45, "unbound"],
  ["enclosing", 10, '"b" at 10'],
  ["next", 15, '"c" at 20'],
  ["next", 20, '"c" at 20'],
  ["next", 45, "unbound"],
])("a flow bound to %s at %i", (bind, ts, expected) => {
  const builder = new TraceBuilder();
  const track = builder.track({ kind: "thread", name: "t", tid: 1 });
  const slice = (name: string, at: number, dur: number) =>
    builder.slice(track, ns(at), ns(dur), builder.string(name), EMPTY_STRING, NO_ARGS);
  slice("a", 0, 40);
  slice("b", 10, 8);
  slice("c", 20, 5);
  builder.flow(9n, track, ns(ts), "start", bind);
  builder.close();
  expect(dumpEvents(builder.trace)).toContain(
    `${ts} flow thread 1 "t": start 9 ${expected === "unbound" ? expected : `→ slice ${expected}`}`,
  );
});

test("a flow to the next slice waits over watermarks", () => {
  const builder = new TraceBuilder();
  const track = builder.track({ kind: "thread", name: "t", tid: 1 });
  builder.flow(1n, track, ns(5), "end", "next");
  builder.watermark(ns(10));
  builder.begin(track, ns(12), builder.string("later"), EMPTY_STRING, NO_ARGS);
  builder.close();
  expect(dumpEvents(builder.trace)).toContain('end 1 → slice "later" at 12');
});

function argsOf(fill: (builder: TraceBuilder, key: (text: string) => StringId) => void) {
  const builder = new TraceBuilder();
  fill(builder, (text) => builder.string(text));
  const set = builder.args.done();
  return { set, table: builder.trace.args, builder };
}

test("arguments keep their order, their types and their nesting", () => {
  const { set, table } = argsOf(({ args }, key) => {
    args.int(key("z"), 2n ** 63n);
    args.open(key("a.b"), "object");
    args.real(key("x"), -0);
    args.open(key("list"), "array");
    args.text(EMPTY_STRING, key("one"));
    args.open(EMPTY_STRING, "object");
    args.bool(key("deep"), false);
    args.close();
    args.open(EMPTY_STRING, "array");
    args.close();
    args.close();
    args.close();
    args.open(key("none"), "object");
    args.close();
    args.bytes(key("__proto__"), Uint8Array.of(1, 2));
  });
  expect(table.leaves(set)).toEqual([
    { key: "z", type: "int", value: 2n ** 63n },
    { key: "a.b.x", type: "real", value: -0 },
    { key: "a.b.list[0]", type: "text", value: "one" },
    { key: "a.b.list[1].deep", type: "bool", value: false },
    { key: "__proto__", type: "bytes", value: Uint8Array.of(1, 2) },
  ]);
  const object = table.object(set);
  expect(Object.keys(object)).toEqual(["z", "a.b", "none", "__proto__"]);
  expect(object["a.b"]).toEqual({ x: -0, list: ["one", { deep: false }, []] });
  expect(object).toMatchObject({ none: {} });
});

test("equal small sets share an id; nothing makes no set", () => {
  const builder = new TraceBuilder();
  const set = (value: number, real = false): ArgSetId => {
    if (real) builder.args.real(builder.string("n"), value);
    else builder.args.int(builder.string("n"), value);
    return builder.args.done();
  };
  expect(set(1)).toBe(set(1));
  expect(set(1)).not.toBe(set(1, true));
  expect(set(0, true)).not.toBe(set(-0, true));
  expect(builder.args.done()).toBe(NO_ARGS);
});

test("an end's arguments join the slice's, and replace those of the same key", () => {
  const builder = new TraceBuilder();
  const track = builder.track({ kind: "thread", name: "t", tid: 1 });
  const { args } = builder;
  args.int(builder.string("fd"), 3);
  args.open(builder.string("state"), "object");
  args.int(builder.string("n"), 1);
  args.close();
  builder.begin(track, ns(0), builder.string("s"), EMPTY_STRING, args.done());
  args.open(builder.string("state"), "object");
  args.int(builder.string("m"), 2);
  args.close();
  builder.end(track, ns(1), args.done());
  builder.close();
  expect(dumpEvents(builder.trace)).toContain('"s" {"fd":3,"state":{"m":2}}');
});

test("arguments nested too deep are left out, and the rest stays", () => {
  const { set, table, builder } = argsOf(({ args }, key) => {
    for (let depth = 0; depth < 100; depth++) args.open(key("k"), "object");
    args.int(key("lost"), 1);
    for (let depth = 0; depth < 100; depth++) args.close();
    args.int(key("kept"), 2);
  });
  expect(table.leaves(set)).toEqual([{ key: "kept", type: "int", value: 2 }]);
  builder.close();
  expect(builder.trace.problems).toMatchObject([{ kind: "malformed", count: 1 }]);
});

test("unbalanced arguments are refused", () => {
  const { args } = new TraceBuilder();
  expect(() => args.close()).toThrow(/without args.open/);
  args.open(EMPTY_STRING, "object");
  expect(() => args.done()).toThrow(/still open/);
});

test("many stacks are found again", () => {
  const builder = new TraceBuilder();
  const frames = Array.from({ length: 50 }, (_, i) => builder.frame({ name: `f${i}` }));
  const walk = (seed: number) => {
    let stack = NO_STACK;
    for (let depth = 0; depth < 20; depth++)
      stack = builder.stack(stack, frames[(seed * 7 + depth * seed) % 50]!);
    return stack;
  };
  const first = Array.from({ length: 500 }, (_, seed) => walk(seed));
  const count = builder.trace.stacks.length;
  expect(Array.from({ length: 500 }, (_, seed) => walk(seed))).toEqual(first);
  expect(builder.trace.stacks.length).toBe(count);
  expect(() => builder.stack(count as never, frames[0]!)).toThrow(RangeError);
});

test("runs are merged as a stable sort would", () =>
  fc.assert(
    fc.property(fc.array(fc.nat(30), { maxLength: 200, size: "max" }), (times) => {
      const ts = Float64Array.from(times);
      const plain = times.map((_, i) => i).sort((x, y) => times[x]! - times[y]! || x - y);
      expect([...sortedOrder(ts, times.length)]).toEqual(plain);
    }),
  ));
