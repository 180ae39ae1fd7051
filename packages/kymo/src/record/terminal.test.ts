import type { Ns, TrackId } from "@kymo/trace";
import { expect, test } from "vitest";
import { TerminalSink } from "./terminal.ts";

function terminal() {
  const lines: string[] = [];
  const sink = new TerminalSink(
    (line) => void lines.push(line),
    () => {},
  );
  sink.clock({ domain: "monotonic", originNs: 0n, errorNs: 0 });
  const host = sink.track({ kind: "host", name: "box" });
  const process = sink.track({ kind: "process", name: "node", parent: host, pid: 5 });
  const thread = sink.track({ kind: "thread", name: "worker", parent: process, pid: 5, tid: 7 });
  /** Without the time of day. */
  const texts = () =>
    lines.map((line) => line.replace(/^\d\d:\d\d:\d\d\.\d{6} {2}/, "").replace(/ {2,}/g, "  "));
  return { sink, host, process, thread, texts };
}
const ns = (value: number) => value as Ns;

test("events are lines: time of day, task, name, duration, arguments", () => {
  const { sink, thread, texts } = terminal();
  sink.args.int(sink.string("bytes"), 4096);
  sink.args.text(sink.string("file"), sink.string("/tmp/a b"));
  sink.slice(
    thread,
    ns(0),
    ns(5_200_000),
    sink.string("slow read"),
    sink.string(""),
    sink.args.done(),
  );
  sink.instant(thread, ns(1), sink.string("hit"), sink.string(""), -1 as never);
  const queue = sink.track({ kind: "custom", name: "queue 3", parent: thread });
  sink.instant(queue, ns(1), sink.string("x"), sink.string(""), -1 as never);
  expect(texts()).toEqual([
    'worker/7  slow read  5.200 ms  bytes=4096 file="/tmp/a b"',
    "worker/7  hit",
    "worker/7 queue 3  x",
  ]);
});

test("stacks and other lists are in brackets", () => {
  const { sink, thread, texts } = terminal();
  sink.args.open(sink.string("stack"), "array");
  sink.args.text(sink.string("stack"), sink.string("read"));
  sink.args.text(sink.string("stack"), sink.string("main"));
  sink.args.close();
  sink.instant(thread, ns(1), sink.string("x"), sink.string(""), sink.args.done());
  expect(texts()).toEqual(["worker/7  x  stack=[read, main]"]);
});

test("a begin is a line when it ends, or when all ends", () => {
  const { sink, thread, texts } = terminal();
  sink.begin(thread, ns(10), sink.string("outer"), sink.string(""), -1 as never);
  sink.begin(thread, ns(20), sink.string("inner"), sink.string(""), -1 as never);
  sink.end(thread, ns(520), -1 as never);
  expect(texts()).toEqual(["worker/7  inner  500 ns"]);
  sink.close();
  expect(texts()[1]).toBe("worker/7  outer  (did not end)");
});

test("what a traced program calls itself cannot drive the terminal", () => {
  const { sink, host, texts } = terminal();
  const evil = sink.track({
    kind: "thread",
    name: "\x1b[2J",
    parent: host,
    pid: 1,
    tid: 1,
  }) as TrackId;
  sink.instant(evil, ns(0), sink.string("a\nb"), sink.string(""), -1 as never);
  expect(texts().join("")).not.toMatch(/\p{Cc}/u);
});
