import { expect, test } from "vitest";
import {
  type ArgsBuilder,
  NO_TRACK,
  type Ns,
  type StringId,
  type TraceSink,
  type TrackId,
  type TrackInfo,
} from "../../model/sink.ts";
import type { AnyCall } from "../../testing/any-trace.ts";
import { checkFormat } from "../../testing/check-format.ts";
import { format } from "./index.ts";

/** What Chrome JSON cannot hold, in code; the README says the same in words. */
function keepWhat(sink: TraceSink): TraceSink {
  const types: StringId[] = [];
  const tracks: TrackInfo[] = [];
  const running = new Map<TrackId, { ts: Ns; thread: TrackId; priority: number }>();
  const text = (value: string): StringId => sink.string(value);
  const runs = (cpu: TrackId, to: Ns | undefined, state: StringId | undefined): void => {
    const { ts, thread, priority } = running.get(cpu)!;
    sink.args.int(text("priority"), priority);
    const { pid, tid, name } = tracks[thread]!;
    if (pid !== undefined) sink.args.int(text("pid"), pid);
    if (tid !== undefined) sink.args.int(text("tid"), tid);
    if (state !== undefined && state !== 0) sink.args.text(text("end_state"), state);
    const dur = (to === undefined ? Number.NaN : to - ts) as Ns;
    sink.slice(cpu, ts, dur, text(name), text("sched"), sink.args.done());
  };
  return {
    clock: (clock) => sink.clock(clock),
    clockSnapshot: (readings) => sink.clockSnapshot(readings),
    metadata: (key, value) => sink.metadata(key, value),
    string: text,
    track: (info) => {
      const id = sink.track(info);
      tracks[id] = info;
      return id;
    },
    // Declared types become the names of plain instants.
    eventType: (info) => (types.push(text(info.name)) - 1) as never,
    frame: (info) => sink.frame(info),
    stack: (parent, frame) => sink.stack(parent, frame),
    args: keepArgs(sink),
    begin: (...call) => sink.begin(...call),
    end: (...call) => sink.end(...call),
    slice: (...call) => sink.slice(...call),
    instant: (...call) => sink.instant(...call),
    typed: (type, track, ts, args) => sink.instant(track, ts, types[type]!, text(""), args),
    counter: (...call) => sink.counter(...call),
    sample: (...call) => sink.sample(...call),
    // Scheduling becomes slices on the CPUs; thread states are gone.
    switch: (cpu, ts, previous, state, next, priority) => {
      const thread = running.get(cpu)?.thread ?? NO_TRACK;
      if (thread !== NO_TRACK) runs(cpu, ts, thread === previous ? state : undefined);
      running.set(cpu, { ts, thread: next, priority });
    },
    waking: (thread, ts, waker, targetCpu) => {
      sink.args.int(text("target_cpu"), targetCpu);
      if (waker !== NO_TRACK) sink.args.int(text("waker_tid"), tracks[waker]!.tid!);
      sink.instant(thread, ts, text("waking"), text("sched"), sink.args.done());
    },
    life: () => {},
    flow: (...call) => sink.flow(...call),
    log: (track, ts, level, message) => {
      sink.args.text(text("level"), text(level));
      sink.instant(track, ts, message, text("log"), sink.args.done());
    },
    problem: (problem) => sink.problem(problem),
    watermark: () => {},
    close: () => {
      for (const [cpu, { thread }] of running)
        if (thread !== NO_TRACK) runs(cpu, undefined, undefined);
      sink.watermark(Number.POSITIVE_INFINITY as Ns);
      sink.close();
    },
  };
}

/** Bytes become hexadecimal text. */
function keepArgs(sink: TraceSink): ArgsBuilder {
  return {
    int: (key, value) => sink.args.int(key, value),
    real: (key, value) => sink.args.real(key, value),
    text: (key, value) => sink.args.text(key, value),
    bool: (key, value) => sink.args.bool(key, value),
    bytes: (key, value) => sink.args.text(key, sink.string(Buffer.from(value).toString("hex"))),
    open: (key, kind) => sink.args.open(key, kind),
    close: () => sink.args.close(),
    done: () => sink.args.done(),
  };
}

const unordered: AnyCall["call"][] = [
  "begin",
  "end",
  "slice",
  "instant",
  "typed",
  "counter",
  "sample",
  "waking",
  "flow",
  "log",
  "problem",
];
checkFormat(format, {
  fixtures: new URL("./fixtures/", import.meta.url),
  keepWhat,
  calls: { calls: unordered },
});
// A context switch is written when the next of its CPU comes: those must come in order.
checkFormat(format, { keepWhat, calls: { calls: [...unordered, "switch"], ordered: true } });

test("where a switch was lost, the thread before it still ran until then", async () => {
  const pieces: Uint8Array[] = [];
  const sink = await format.writer!((bytes) => void pieces.push(bytes.slice()));
  const cpu = sink.track({ kind: "cpu", name: "cpu 0", cpu: 0 });
  const [a, b, c] = [1, 2, 3].map((tid) => sink.track({ kind: "thread", name: `t${tid}`, tid }));
  sink.switch(cpu, 1000 as Ns, NO_TRACK, sink.string(""), a!, 0);
  sink.switch(cpu, 3000 as Ns, b!, sink.string("S"), c!, 0);
  sink.switch(cpu, 4000 as Ns, c!, sink.string("S"), NO_TRACK, 0);
  sink.close();
  const { traceEvents } = JSON.parse(Buffer.concat(pieces).toString()) as {
    traceEvents: { ph: string; name: string; dur: number; args: { end_state?: string } }[];
  };
  const ran = traceEvents.filter(({ ph }) => ph === "X");
  expect(ran.map(({ name, dur, args }) => [name, dur, args.end_state])).toEqual([
    ["t1", 2, undefined],
    ["t3", 1, "S"],
  ]);
});

test("detects what it is", () => {
  const score = (text: string): number => format.detect(Buffer.from(text), "x.json");
  expect(score('[{"ph":"X"}')).toBeGreaterThan(80);
  expect(score('\ufeff{"traceEvents": [')).toBeGreaterThan(90);
  expect(score('{"name": "x", "ts": 1, "ph": "X"}')).toBeGreaterThan(80);
  expect(score("[]")).toBeGreaterThan(0);
  expect(score('{"resourceSpans": []}')).toBe(0);
  expect(score("hello")).toBe(0);
});
