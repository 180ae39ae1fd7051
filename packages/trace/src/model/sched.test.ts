import fc from "fast-check";
import { expect, test } from "vitest";
import { type AnyTrace, anyTrace } from "../testing/any-trace.ts";
import { dumpEvents } from "../testing/dump.ts";
import { play } from "../testing/play.ts";
import { TraceBuilder } from "./builder.ts";
import { EMPTY_STRING, NO_TRACK, type Ns, type TrackId } from "./sink.ts";
import type { Trace } from "./trace.ts";

/** One CPU, two threads; `sw(5, a, "S", b)`. */
class OneCpu {
  readonly builder = new TraceBuilder();
  readonly cpu = this.builder.track({ kind: "cpu", name: "cpu 0", cpu: 0 });
  readonly other = this.builder.track({ kind: "cpu", name: "cpu 1", cpu: 1 });
  readonly a = this.builder.track({ kind: "thread", name: "a", tid: 1 });
  readonly b = this.builder.track({ kind: "thread", name: "b", tid: 2 });

  sw(ts: number, previous: TrackId, state: string, next: TrackId, cpu: TrackId = this.cpu): this {
    this.builder.switch(cpu, ts as Ns, previous, this.builder.string(state), next, 120);
    return this;
  }
  wake(ts: number, thread: TrackId, waker: TrackId = NO_TRACK): this {
    this.builder.waking(thread, ts as Ns, waker, 0);
    return this;
  }
  exit(ts: number, thread: TrackId): this {
    this.builder.life(thread, ts as Ns, "exit", EMPTY_STRING);
    return this;
  }
  /** "who: what+dur, …" of every row with events. */
  get text(): string[] {
    this.builder.close();
    const lines = dumpEvents(this.builder.trace, { without: ["clock", "track", "life"] })
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.replace(/thread \d "(\w)"/g, "$1").replace(" priority 120", ""));
    return lines;
  }
}

const IDLE = NO_TRACK;

test("a thread runs, sleeps, is woken and runs again", () => {
  const { a, b } = new OneCpu();
  const t = new OneCpu().sw(10, IDLE, "", a).sw(20, a, "S", b).wake(30, a, b).sw(40, b, "R", a);
  expect(t.text).toEqual([
    "10 sched cpu 0: +10 a end S",
    "10 thread_state a: +10 Running cpu 0",
    "20 sched cpu 0: +20 b end R",
    "20 thread_state a: +10 S",
    "20 thread_state b: +20 Running cpu 0",
    "30 thread_state a: +10 R by b",
    "40 sched cpu 0: open a end ?",
    "40 thread_state a: open Running cpu 0",
    "40 thread_state b: open R+",
  ]);
});

test("idle is a gap, and what came before the first event is unknown", () => {
  const { a } = new OneCpu();
  expect(new OneCpu().sw(10, a, "D", IDLE).sw(30, IDLE, "", a).text).toEqual([
    "10 thread_state a: +20 D",
    "30 sched cpu 0: open a end ?",
    "30 thread_state a: open Running cpu 0",
  ]);
});

test("waking a thread that is awake changes nothing", () => {
  const { a, b } = new OneCpu();
  expect(new OneCpu().wake(5, a, b).wake(7, a).sw(10, IDLE, "", a).wake(12, a).text).toEqual([
    "5 thread_state a: +5 R by b",
    "10 sched cpu 0: open a end ?",
    "10 thread_state a: open Running cpu 0",
  ]);
});

test("a thread that exits runs until it is switched out, then has no state", () => {
  const { a } = new OneCpu();
  expect(new OneCpu().sw(10, IDLE, "", a).exit(18, a).sw(20, a, "Z", IDLE).text).toEqual([
    "10 sched cpu 0: +10 a end Z",
    "10 thread_state a: +10 Running cpu 0",
  ]);
});

test("an exit closes the state of a thread that is not running", () => {
  const { a } = new OneCpu();
  expect(new OneCpu().sw(10, a, "S", IDLE).exit(18, a).text).toEqual(["10 thread_state a: +8 S"]);
});

test("where a switch was lost, nothing is invented", () => {
  const { a, b } = new OneCpu();
  // Between 10 and 30 `a` left and `b` came unseen.
  expect(new OneCpu().sw(10, IDLE, "", a).sw(30, b, "S", IDLE).text).toEqual([
    "10 sched cpu 0: +20 a end ?",
    "10 thread_state a: +20 Running cpu 0",
    "30 thread_state b: open S",
  ]);
});

test("a thread seen entering another CPU has left the first", () => {
  const t = new OneCpu();
  const { a, other } = t;
  expect(t.sw(10, IDLE, "", a).sw(30, IDLE, "", a, other).sw(40, a, "S", IDLE, other).text).toEqual(
    [
      "10 sched cpu 0: open a end ?",
      "10 thread_state a: +20 Running cpu 0",
      "30 sched cpu 1: +10 a end S",
      "30 thread_state a: +10 Running cpu 1",
      "40 thread_state a: open S",
    ],
  );
});

test("rows grow at watermarks, the last entry open", () => {
  const t = new OneCpu();
  const { a } = t;
  t.sw(10, IDLE, "", a)
    .sw(20, a, "S", IDLE)
    .builder.watermark(15 as Ns);
  expect(t.builder.trace.rowsOf(a).map(({ kind, length }) => [kind, length])).toEqual([
    ["thread_state", 1],
  ]);
  expect(dumpEvents(t.builder.trace)).toContain('10 thread_state thread 1 "a": open Running cpu 0');
  t.builder.watermark(25 as Ns);
  expect(dumpEvents(t.builder.trace)).toContain('10 thread_state thread 1 "a": +10 Running cpu 0');
});

const scheduling = anyTrace({ calls: ["switch", "waking"], maxCalls: 60 });

test("states of every thread agree with following that thread alone", () =>
  fc.assert(
    fc.property(scheduling, (calls) => {
      const builder = new TraceBuilder();
      play(calls, builder);
      builder.close();
      for (const thread of [2, 3, 4])
        expect(statesBuilt(builder.trace, thread)).toEqual(statesFollowed(calls, thread));
    }),
    { numRuns: 300 },
  ));

test("a CPU's row says what runs there, and a thread runs in one place at a time", () =>
  fc.assert(
    fc.property(scheduling, (calls) => {
      const builder = new TraceBuilder();
      play(calls, builder);
      builder.close();
      const { trace } = builder;
      const onCpus: string[] = [];
      const onThreads: string[] = [];
      for (const line of dumpEvents(trace).split("\n")) {
        const sched = /^(\d+) sched cpu (\d): (\S+) (thread \d+ .*) priority/s.exec(line);
        if (sched) onCpus.push(`${sched[1]} ${sched[2]} ${sched[3]} ${sched[4]}`);
        const state = /^(\d+) thread_state (thread \d+ .*): (\S+) Running cpu (\d)$/s.exec(line);
        if (state) onThreads.push(`${state[1]} ${state[4]} ${state[3]} ${state[2]}`);
      }
      expect(onCpus.sort()).toEqual(onThreads.sort());
    }),
  ));

test("rows keep their identity: built on by what comes in time, built again by what comes late", () => {
  const t = new OneCpu();
  const { builder, a, b } = t;
  const rows = () =>
    builder.trace.rows.map(({ id, track, generation, length }) => ({
      id,
      track,
      generation,
      length,
    }));
  t.sw(10, IDLE, "", a).sw(20, a, "S", b);
  builder.watermark(30 as Ns);
  const first = rows();
  builder.life(a, 35 as Ns, "start", EMPTY_STRING);
  t.sw(40, b, "S", a).exit(45, b);
  builder.watermark(50 as Ns);
  expect(rows().map(({ generation }) => generation)).toEqual(first.map(() => 0));
  t.sw(15, a, "R", b); // late
  builder.watermark(60 as Ns);
  expect(rows().map(({ id, track }) => ({ id, track }))).toEqual(
    first.map(({ id, track }) => ({ id, track })),
  );
  expect(rows().map(({ generation }) => generation)).toEqual(first.map(() => 1));
  expect(rows().every(({ length }) => length > 0)).toBe(true);
});

function statesBuilt(trace: Trace, thread: number): string[] {
  const label = new RegExp(
    `^(\\d+) thread_state thread ${trace.tracks[thread]!.tid} .*: (\\S+) (\\S+?\\+?)( cpu \\d)?( by .*)?$`,
    "s", // a name may hold U+2028, which "." alone does not match
  );
  return dumpEvents(trace)
    .split("\n")
    .map((line) => label.exec(line))
    .filter((match) => match !== null)
    .map(([, ts, dur, state]) => `${ts} ${dur} ${state}`);
}

/** The plain way: all events of one thread, sorted, one after the other. */
function statesFollowed(calls: AnyTrace, thread: number): string[] {
  const entries: { ts: number; state: string }[] = [];
  for (const call of [...calls.calls].sort((x, y) => x.ts - y.ts)) {
    const last = entries.at(-1)?.state;
    if (call.call === "switch" && call.previous === thread)
      entries.push({ ts: call.ts, state: call.state === "R" ? "R+" : call.state });
    if (call.call === "switch" && call.next === thread)
      entries.push({ ts: call.ts, state: "Running" });
    const asleep = last !== "Running" && last !== "R" && last !== "R+";
    if (call.call === "waking" && call.track === thread && asleep)
      entries.push({ ts: call.ts, state: "R" });
  }
  return entries.map(({ ts, state }, i) => {
    const next = entries[i + 1];
    return `${ts} ${next === undefined ? "open" : `+${next.ts - ts}`} ${state}`;
  });
}
