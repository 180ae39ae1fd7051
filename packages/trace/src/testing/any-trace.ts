/**
 * Random traces for property tests: lists of sink calls that make sense together.
 *
 *     fc.property(anyTrace(), (calls) => { const builder = new TraceBuilder(); play(calls, builder); … })
 *
 * Every call has its own time (so no test depends on ties); times are whole ns; scheduling is consistent; every end
 * has its begin. Between two watermarks calls may come in any order. What a format can't hold is taken away by
 * the format's own `keepWhat`, not here.
 */
import fc from "fast-check";
import {
  type ClockInfo,
  type FlowBind,
  type FlowStep,
  type FrameInfo,
  type LifeKind,
  type LogLevel,
  NO_TRACK,
  type Ns,
  type Problem,
  type TrackId,
  type TrackInfo,
} from "../model/sink.ts";

/** Text here, ids in the sink: `play` (play.ts) declares what a call needs. Tracks are indices. */
export type AnyCall = { readonly ts: number } & (
  | {
      readonly call: "begin";
      readonly track: number;
      readonly name: string;
      readonly category: string;
      readonly args: AnyArgs;
    }
  | { readonly call: "end"; readonly track: number; readonly args: AnyArgs }
  | {
      readonly call: "slice";
      readonly track: number;
      readonly dur: number;
      readonly name: string;
      readonly category: string;
      readonly args: AnyArgs;
    }
  | {
      readonly call: "instant";
      readonly track: number;
      readonly name: string;
      readonly category: string;
      readonly args: AnyArgs;
    }
  | { readonly call: "typed"; readonly track: number; readonly args: AnyArgs }
  | { readonly call: "counter"; readonly track: number; readonly value: number | bigint }
  | {
      readonly call: "sample";
      readonly track: number;
      readonly stack: readonly number[];
      readonly weight: number;
      readonly cpu: number;
    }
  | {
      readonly call: "switch";
      readonly track: number;
      readonly previous: number;
      readonly state: string;
      readonly next: number;
      readonly priority: number;
    }
  | {
      readonly call: "waking";
      readonly track: number;
      readonly waker: number;
      readonly targetCpu: number;
    }
  | {
      readonly call: "life";
      readonly track: number;
      readonly what: LifeKind;
      readonly detail: string;
    }
  | {
      readonly call: "flow";
      readonly track: number;
      readonly id: bigint;
      readonly step: FlowStep;
      readonly bind: FlowBind;
    }
  | {
      readonly call: "log";
      readonly track: number;
      readonly level: LogLevel;
      readonly message: string;
    }
  | { readonly call: "problem"; readonly problem: Problem }
  | { readonly call: "watermark" }
);
export type AnyValue =
  | { readonly type: "int"; readonly value: number | bigint }
  | { readonly type: "real"; readonly value: number }
  | { readonly type: "text"; readonly value: string }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "bytes"; readonly value: Uint8Array }
  | { readonly type: "object"; readonly members: AnyArgs }
  | { readonly type: "array"; readonly items: readonly AnyValue[] };
export type AnyArgs = readonly (readonly [key: string, value: AnyValue])[];

export interface AnyTrace {
  readonly clock: ClockInfo;
  readonly metadata: readonly (readonly [string, string])[];
  /** A parent is an index in this list. */
  readonly tracks: readonly TrackInfo[];
  readonly frames: readonly FrameInfo[];
  readonly calls: readonly AnyCall[];
}

export interface AnyTraceOptions {
  /** Calls to choose from. Default: all. `end` comes with `begin`, `watermark` is set apart. */
  readonly calls?: readonly AnyCall["call"][];
  /** Calls come in the order of their times. Default: about half of the traces. */
  readonly ordered?: boolean;
  /** Watermarks before the end. Default true. */
  readonly watermarks?: boolean;
  readonly maxCalls?: number;
}

const EVERY_CALL = [
  "begin",
  "end",
  "slice",
  "instant",
  "typed",
  "counter",
  "sample",
  "switch",
  "waking",
  "life",
  "flow",
  "log",
  "problem",
] as const satisfies readonly AnyCall["call"][];
const STATES = ["R", "S", "D", "I", "T"];
const LEVELS: readonly LogLevel[] = ["debug", "info", "warning", "error"];
const STEPS: readonly FlowStep[] = ["start", "step", "end"];
/** No exit: what comes after one on the same track is another matter than formats. */
const LIVES: readonly LifeKind[] = ["start", "rename", "exec"];

/** One random choice of everything a call could need; what it becomes depends on the calls before it. */
interface Step {
  readonly call: (typeof EVERY_CALL)[number];
  readonly gap: number;
  readonly a: number;
  readonly b: number;
  readonly name: string;
  readonly category: string;
  readonly args: AnyArgs;
  readonly number: number | bigint;
  /** Sorts calls between two watermarks, when they come out of order. */
  readonly place: number;
  readonly watermark: boolean;
}

const text = (maxLength = 12) => fc.string({ unit: "grapheme", maxLength });
const name = fc.oneof(
  fc.constantFrom("read", "write", "load", "décoder", "描画", "a.b[0]"),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }),
);
const integer = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
);
const real = fc.double({ noNaN: true, noDefaultInfinity: true });

const { args } = fc.letrec<{ args: AnyArgs; value: AnyValue }>((tie) => ({
  args: fc.uniqueArray(fc.tuple(name, tie("value")), {
    minLength: 1,
    maxLength: 3,
    selector: ([key]) => key,
  }),
  value: fc.oneof(
    { depthSize: "small", maxDepth: 3 },
    fc.record({ type: fc.constant("int" as const), value: integer }),
    fc.record({ type: fc.constant("real" as const), value: real }),
    fc.record({ type: fc.constant("text" as const), value: text() }),
    fc.record({ type: fc.constant("bool" as const), value: fc.boolean() }),
    fc.record({ type: fc.constant("bytes" as const), value: fc.uint8Array({ maxLength: 5 }) }),
    fc.record({ type: fc.constant("object" as const), members: tie("args") }),
    fc.record({
      type: fc.constant("array" as const),
      items: fc.array(tie("value"), { minLength: 1, maxLength: 3 }),
    }),
  ),
}));
const someArgs: fc.Arbitrary<AnyArgs> = fc.oneof(fc.constant([]), args);

const frame: fc.Arbitrary<FrameInfo> = fc.record(
  {
    name,
    module: fc.constantFrom("/usr/lib/libc.so.6", "[kernel.kallsyms]", "/bin/app"),
    address: fc.bigInt({ min: 0n, max: 2n ** 48n }),
    buildId: fc.constantFrom("00ff", "0123456789abcdef0123456789abcdef01234567"),
    file: fc.constantFrom("main.c", "src/ü.c"),
    line: fc.integer({ min: 1, max: 9999 }),
  },
  { requiredKeys: ["name", "module", "address"] },
);

export function anyTrace(options: AnyTraceOptions = {}): fc.Arbitrary<AnyTrace> {
  const chosen = EVERY_CALL.filter((call) => options.calls?.includes(call) ?? true);
  const step: fc.Arbitrary<Step> = fc.record({
    call: fc.constantFrom(...chosen),
    gap: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5_000_000 })),
    a: fc.nat(1000),
    b: fc.nat(1000),
    name,
    category: fc.oneof(fc.constant(""), fc.constantFrom("io", "net", "über")),
    args: someArgs,
    number: fc.oneof(integer, real),
    place: fc.nat(),
    watermark: fc.nat(9).map((n) => n === 0),
  });
  return fc
    .record({
      clock: fc.record({
        domain: fc.constantFrom("monotonic" as const, "boottime" as const),
        originNs: fc.bigInt({ min: 0n, max: 2n ** 60n }),
        errorNs: fc.constant(0),
      }),
      metadata: fc.uniqueArray(fc.tuple(fc.constantFrom("host", "kernel", "command"), text()), {
        selector: ([key]) => key,
        maxLength: 3,
      }),
      names: fc.array(name, { minLength: 4, maxLength: 4 }),
      frames: fc.array(frame, { minLength: 1, maxLength: 4 }),
      ordered: options.ordered === undefined ? fc.boolean() : fc.constant(options.ordered),
      steps: fc.array(step, { maxLength: options.maxCalls ?? 40, size: "max" }),
    })
    .map(({ names, ordered, steps, ...rest }) => ({
      ...rest,
      tracks: tracksNamed(names),
      calls: interpret(steps, ordered, options.watermarks ?? true, rest.frames.length),
    }));
}

/** Indices of the tracks that `tracksNamed` makes. */
const PROCESS = [0, 1];
const THREADS = [2, 3, 4];
const CPUS = [5, 6];
const COUNTERS = [7, 8];
const ASYNC = [9];

function tracksNamed(names: readonly string[]): TrackInfo[] {
  const id = (index: number) => index as TrackId;
  return [
    { kind: "process", name: names[0]!, pid: 11 },
    { kind: "process", name: names[1]!, pid: 12, parentPid: 11 },
    { kind: "thread", name: names[0]!, parent: id(0), pid: 11, tid: 11 },
    { kind: "thread", name: names[2]!, parent: id(0), pid: 11, tid: 13 },
    { kind: "thread", name: names[1]!, parent: id(1), pid: 12, tid: 12 },
    { kind: "cpu", name: "cpu 0", cpu: 0 },
    { kind: "cpu", name: "cpu 3", cpu: 3 },
    { kind: "counter", name: "heap", parent: id(0), unit: "bytes" },
    { kind: "counter", name: names[3]!, unit: "count" },
    { kind: "async", name: "requests", parent: id(1) },
  ];
}

function interpret(
  steps: readonly Step[],
  ordered: boolean,
  watermarks: boolean,
  frames: number,
): AnyCall[] {
  const calls: AnyCall[] = [];
  /** What came since the last watermark: calls that must stay together, and their place. */
  let window: { readonly place: number; readonly calls: AnyCall[] }[] = [];
  const flush = () => {
    if (!ordered) window.sort((x, y) => x.place - y.place);
    for (const group of window) calls.push(...group.calls);
    window = [];
  };
  const open = new Map<number, number>();
  const running = new Map<number, number>();
  let ts = 0;
  for (const step of steps) {
    ts += step.gap;
    const made = callFor(step, ts, open, running, frames);
    if (made.length > 0) window.push({ place: step.place, calls: made });
    if (step.watermark && watermarks) {
      flush();
      ts++;
      calls.push({ call: "watermark", ts });
    }
  }
  flush();
  return calls;
}

function callFor(
  step: Step,
  ts: number,
  open: Map<number, number>,
  running: Map<number, number>,
  frames: number,
): AnyCall[] {
  const { call, a, b, name, category, args } = step;
  const thread = pick(THREADS, a);
  const track = pick([...THREADS, ...ASYNC], a);
  switch (call) {
    case "begin":
      open.set(track, (open.get(track) ?? 0) + 1);
      return [{ call, ts, track, name, category, args }];
    case "end": {
      const begun = [...open].filter(([, depth]) => depth > 0).map(([of]) => of);
      if (begun.length === 0) return [];
      const ended = pick(begun, a);
      open.set(ended, open.get(ended)! - 1);
      return [{ call, ts, track: ended, args }];
    }
    case "slice": {
      const dur = b > 970 ? NaN : b > 940 ? 5_000_000_000 + b : b * 7;
      return [{ call, ts, track, dur, name, category, args }];
    }
    case "instant":
      return [{ call, ts, track, name, category, args }];
    case "typed": {
      const fields: AnyArgs = [
        ["bytes", { type: "int", value: b }],
        ["to", { type: "text", value: name }],
      ];
      return [{ call, ts, track: thread, args: fields }];
    }
    case "counter":
      return [{ call, ts, track: pick(COUNTERS, a), value: Number(step.number) }];
    case "sample": {
      const stack = Array.from({ length: b % 5 }, (_, depth) => (a + depth * b) % frames);
      return [{ call, ts, track: thread, stack, weight: 1_000_000 + b, cpu: pick([0, 3, -1], b) }];
    }
    case "switch": {
      const cpu = pick(CPUS, a);
      const previous = running.get(cpu) ?? NO_TRACK;
      const elsewhere = [...running].filter(([of]) => of !== cpu).map(([, who]) => who);
      const free = [NO_TRACK, ...THREADS].filter((who) => !elsewhere.includes(who as number));
      const next = pick(free, b) as number;
      if (next === previous) return [];
      running.set(cpu, next);
      if (next === NO_TRACK) running.delete(cpu);
      const state = previous === NO_TRACK ? "" : pick(STATES, a + b);
      return [{ call, ts, track: cpu, previous, state, next, priority: 100 + (b % 40) }];
    }
    case "waking":
      return [
        {
          call,
          ts,
          track: thread,
          waker: pick([NO_TRACK, ...THREADS], b),
          targetCpu: pick([0, 3], b),
        },
      ];
    case "life":
      return [
        { call, ts, track: pick([...PROCESS, ...THREADS], a), what: pick(LIVES, b), detail: name },
      ];
    case "flow": {
      // Bound to an event of its own, so that the order of arrival does not matter.
      const flow = {
        call,
        ts,
        track: thread,
        id: BigInt(b % 5) + 1n,
        step: pick(STEPS, b),
        bind: "last",
      } as const;
      return [{ call: "slice", ts, track: thread, dur: 1, name, category, args: [] }, flow];
    }
    case "log":
      return [{ call, ts, track: thread, level: pick(LEVELS, b), message: name }];
    case "problem": {
      const problem = {
        kind: "lost-events",
        message: name,
        count: b,
        cpu: 0,
        from: ts as Ns,
        to: (ts + b) as Ns,
      } as const;
      return [{ call, ts, problem }];
    }
  }
}

function pick<T>(list: readonly T[], index: number): T {
  return list[index % list.length]!;
}
