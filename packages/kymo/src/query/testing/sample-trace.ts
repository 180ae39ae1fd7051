/**
 * A small trace of everything, for tests: what each table must hold is written in the tests by hand.
 *
 *     app (pid 10) ─ main (tid 10)   outer [100, 200) ⊃ inner [110, 130), inner [140, 145); open [300, …
 *                  └ worker (tid 11)  ran on cpu 0 [50, 90), then slept; woken by main at 120, ran [125, …
 */
import {
  type ClockInfo,
  EMPTY_STRING,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  type Trace,
  TraceBuilder,
} from "@kymo/trace";

export const originNs = 5_000_000_000_000n;
export const clock: ClockInfo = { domain: "monotonic", originNs, errorNs: 0 };
export const hostile: string = `a"b'c;--\n\t,\u0000\u{1f600}é${"x".repeat(40)}`;

export function sampleTrace(): Trace {
  const sink = new TraceBuilder();
  const s = (text: string) => sink.string(text);
  const ns = (value: number) => value as Ns;
  sink.clock(clock);
  sink.clockSnapshot([
    ["monotonic", originNs + 100n],
    ["realtime", 1_700_000_000_000_000_000n],
  ]);
  sink.metadata("host", "box");
  sink.metadata("target.pid", "10");
  const cpu = sink.track({ kind: "cpu", name: "cpu 0", cpu: 0 });
  const process = sink.track({ kind: "process", name: "app", pid: 10, parentPid: 9 });
  const main = sink.track({ kind: "thread", name: "main", parent: process, pid: 10, tid: 10 });
  const worker = sink.track({ kind: "thread", name: "worker", parent: process, pid: 10, tid: 11 });
  const memory = sink.track({ kind: "counter", name: "rss", parent: process, unit: "bytes" });
  const packet = sink.eventType({
    name: "packet",
    fields: [
      { name: "bytes", type: "int" },
      { name: "to", type: "text" },
      { name: "ID", type: "int" },
      { name: "ratio", type: "real" },
      { name: "ok", type: "bool" },
      { name: "body", type: "bytes" },
    ],
  });
  sink.eventType({ name: "sched", fields: [{ name: "x", type: "int" }] });

  sink.life(main, ns(10), "start", s("main"));
  sink.switch(cpu, ns(50), NO_TRACK, s("R"), worker, 120);
  sink.switch(cpu, ns(90), worker, s("S"), main, 100);

  const { args } = sink;
  args.int(s("foo"), 5);
  args.int(s("huge"), 2n ** 63n + 1n);
  args.int(s("big"), -(2n ** 60n));
  args.real(s("half"), 0.5);
  args.text(s("who"), s(hostile));
  args.bool(s("yes"), true);
  args.bytes(s("raw"), Uint8Array.of(0, 255));
  args.open(s("list"), "array");
  args.int(EMPTY_STRING, 1);
  args.int(EMPTY_STRING, 2);
  args.close();
  sink.begin(main, ns(100), s("outer"), s("work"), args.done());
  sink.slice(main, ns(110), ns(20), s("inner"), s("work"), NO_ARGS);
  sink.waking(worker, ns(120), main, 0);
  sink.switch(cpu, ns(125), main, s("R"), worker, 120);
  args.int(s("foo"), 2);
  sink.slice(main, ns(140), ns(5), s("inner"), EMPTY_STRING, args.done());
  sink.flow(7n, main, ns(142), "start", "enclosing");
  sink.end(main, ns(200), NO_ARGS);
  sink.slice(worker, ns(210), ns(10), s(hostile), EMPTY_STRING, NO_ARGS);
  sink.flow(7n, worker, ns(215), "end", "enclosing");
  sink.instant(main, ns(220), s("tick"), s("work"), NO_ARGS);
  args.int(s("bytes"), 1500);
  args.text(s("to"), s("10.0.0.1"));
  args.int(s("ID"), 77);
  args.real(s("ratio"), 0.25);
  args.bool(s("ok"), false);
  args.bytes(s("body"), Uint8Array.of(1, 2, 3));
  sink.typed(packet, worker, ns(230), args.done());
  args.text(s("bytes"), s("not a number"));
  sink.typed(packet, worker, ns(231), args.done());
  sink.counter(memory, ns(100), 4096);
  sink.counter(memory, ns(200), 8192.5);
  const start = sink.stack(
    NO_STACK,
    sink.frame({ name: "_start", module: "/bin/app", address: 0x10n }),
  );
  const work = sink.stack(
    start,
    sink.frame({ name: "work", module: "/bin/app", file: "app.c", line: 12, buildId: "ab" }),
  );
  sink.sample(main, ns(150), work, 1000, 0);
  sink.sample(main, ns(160), start, 1000, 0);
  sink.sample(worker, ns(170), NO_STACK, 500, -1);
  sink.begin(main, ns(300), s("open"), EMPTY_STRING, NO_ARGS);
  sink.log(worker, ns(310), "warning", s("low on memory"));
  sink.problem({ kind: "lost-events", cpu: 0, count: 3, message: "ring full", from: ns(1) });
  sink.problem({ kind: "lost-events", cpu: 0, count: 4, message: "ring full" });
  sink.problem({ kind: "malformed", message: "odd bytes", byteOffset: 12 });
  sink.life(worker, ns(400), "exit", EMPTY_STRING);
  sink.watermark(ns(1000));
  sink.close();
  return sink.trace;
}
