import { beforeEach, expect, test } from "vitest";
import type { TrackId } from "../model/sink.ts";
import { ColumnTrace } from "../testing/column-trace.ts";
import { Engine } from "./engine.ts";
import { OpenTrace } from "./open-trace.ts";
import type { EngineMessage, PageMessage } from "./protocol.ts";

/**
 * A small machine: CPU 0 runs main and worker of `server` (pid 10, the recorded command) and `idler` (pid 90).
 *
 *     main    request [100, 900) ─ parse [150, 300), query [400, 800) ─ wait [500, 700)
 *     worker  woken by main at 500, runs [600, 700)
 */
function machine() {
  const trace = new ColumnTrace();
  trace.metadata.set("target.pid", "10");
  const host = trace.track({ kind: "host", name: "box" });
  const cpu = trace.track({ kind: "cpu", name: "CPU 0", cpu: 0, parent: host });
  const idler = trace.track({ kind: "process", name: "idler", pid: 90, parent: host });
  const idlerMain = trace.track({ kind: "thread", name: "idler", tid: 90, parent: idler });
  const server = trace.track({ kind: "process", name: "server", pid: 10, parent: host });
  const child = trace.track({
    kind: "process",
    name: "helper",
    pid: 11,
    parentPid: 10,
    parent: host,
  });
  const main = trace.track({ kind: "thread", name: "main", tid: 10, pid: 10, parent: server });
  const worker = trace.track({ kind: "thread", name: "worker", tid: 12, pid: 10, parent: server });
  const memory = trace.track({ kind: "counter", name: "memory", unit: "bytes", parent: server });
  const silent = trace.track({ kind: "process", name: "silent", pid: 77, parent: host });
  const sched = trace.row(cpu, "sched", 0, [
    { ts: 0, dur: 500, key: main, priority: 120, endState: "S" },
    { ts: 600, dur: 100, key: worker, priority: 110, endState: "S" },
    { ts: 700, dur: 250, key: main, priority: 120 },
    { ts: 960, dur: 40, key: idlerMain, priority: 120 },
  ]);
  const mainStates = trace.row(main, "thread_state", 0, [
    { ts: 0, dur: 500, key: "Running", cpu: 0 },
    { ts: 500, dur: 150, key: "S" },
    { ts: 650, dur: 50, key: "R", waker: worker },
    { ts: 700, dur: 250, key: "Running", cpu: 0 },
  ]);
  trace.row(worker, "thread_state", 0, [
    { ts: 500, dur: 100, key: "R", waker: main },
    { ts: 600, dur: 100, key: "Running", cpu: 0 },
  ]);
  trace.row(idlerMain, "thread_state", 0, [{ ts: 960, dur: 40, key: "Running", cpu: 0 }]);
  trace.argSets.push({ path: "/index.html", size: 3n });
  const top = trace.row(main, "slice", 0, [
    { ts: 100, dur: 800, key: "request", category: "http", args: 0 },
    { ts: 920, dur: NaN, key: "request" },
  ]);
  const middle = trace.row(main, "slice", 1, [
    { ts: 150, dur: 150, key: "parse" },
    { ts: 400, dur: 400, key: "query" },
  ]);
  const bottom = trace.row(main, "slice", 2, [{ ts: 500, dur: 200, key: "wait" }]);
  const marks = trace.row(main, "instant", 0, [{ ts: 250, key: "Mark 1" }]);
  const values = trace.row(memory, "counter", 0, [
    { ts: 0, value: 1024 },
    { ts: 500, value: 4096 },
  ]);
  trace.frames.push({ name: "start" }, { name: "work", module: "/bin/server" }, { name: "leaf" });
  trace.stackList.push({ parent: -1, frame: 0 }, { parent: 0, frame: 1 }, { parent: 1, frame: 2 });
  const samples = trace.row(main, "sample", 0, [
    { ts: 200, key: 1, weight: 100, cpu: 0 },
    { ts: 300, key: 2, weight: 100, cpu: 0 },
    { ts: 400, key: 2, weight: 100, cpu: 0 },
  ]);
  trace.flowList.push(
    { id: 7n, ts: 150, step: 0, event: 2 },
    { id: 7n, ts: 500, step: 2, event: 4 },
  );
  trace.problems.push({
    kind: "lost-events",
    count: 5,
    cpu: 0,
    from: 800 as never,
    to: 850 as never,
    message: "ring full",
  });
  return {
    trace,
    host,
    cpu,
    idler,
    server,
    child,
    main,
    worker,
    memory,
    silent,
    sched,
    mainStates,
    top,
    middle,
    bottom,
    marks,
    values,
    samples,
  };
}

let made: ReturnType<typeof machine>;
let posted: EngineMessage[];
let engine: Engine;
let open: OpenTrace;
beforeEach(async () => {
  made = machine();
  posted = [];
  open = new OpenTrace({ trace: made.trace, name: "machine" });
  open.finish();
  engine = new Engine({
    kind: "server",
    opened: open,
    post: (message) => void posted.push(message),
  });
  engine.handle({ type: "hello", version: 1 });
  await until(() => open.phase === "done");
});

async function until(met: () => boolean): Promise<void> {
  for (let turns = 0; !met(); turns++) {
    expect(turns).toBeLessThan(2000);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
function last<Type extends EngineMessage["type"]>(
  type: Type,
): Extract<EngineMessage, { type: Type }> | undefined {
  return posted.findLast((message) => message.type === type) as never;
}
/** Sends a request and waits for what is answered to its id. */
async function ask<Type extends EngineMessage["type"]>(
  message: PageMessage & { id: number },
  type: Type,
) {
  engine.handle(message);
  const find = () => posted.find((each) => (each as { id?: number }).id === message.id);
  await until(() => find() !== undefined);
  const answer = find()!;
  expect(answer.type).toBe(type);
  return answer as Extract<EngineMessage, { type: Type }>;
}
const viewport = (rows: readonly number[], over: object = {}) =>
  ({
    type: "viewport",
    id: 1,
    rows,
    from: 0,
    to: 1000,
    width: 100,
    theme: "light",
    highlight: "",
    labelMinPx: 10,
    ...over,
  }) as const;

test("hello is answered with the version, then the tracks and the problems", () => {
  expect(posted[0]).toEqual({ type: "hello", version: 1, kind: "server", sql: false });
  const tracks = last("tracks")!;
  expect(tracks.done).toBe(true);
  expect(tracks.summary).toMatchObject({
    name: "machine",
    fromNs: 0,
    events: made.trace.length,
    lostEvents: 5,
    originNs: "1000000000",
  });
  expect(last("problems")!.problems).toHaveLength(1);
});

test("the tree lists CPUs, then the recorded command, then the rest; empty branches are left out", () => {
  const lines = last("tracks")!.tracks.map((track) =>
    `${track.target ? "*" : ""}${track.name} (${track.facts}) ${track.idText}`.trim(),
  );
  expect(lines).toEqual([
    "box (4 processes)",
    "CPUs (1 CPU · 89 % busy)",
    "CPU 0 (89 % busy)",
    "*server (2 threads · 850 ns CPU) pid 10",
    "*main (750 ns CPU · 5 slices) tid 10",
    "*worker (100 ns CPU) tid 12",
    "*memory (1.00 KiB … 4.00 KiB)",
    "*helper (0 threads) pid 11",
    "idler (1 thread · 40 ns CPU) pid 90",
    "idler (40 ns CPU) tid 90",
  ]);
});

test("parents come before their children and every parent is listed", () => {
  const seen = new Set<number>();
  for (const { id, parent } of last("tracks")!.tracks) {
    if (parent !== undefined) expect(seen.has(parent)).toBe(true);
    seen.add(id);
  }
});

test("a strip has one scanline a row, labels for wide events, counters and losses", async () => {
  const rows = [made.sched.id, made.top.id, made.values.id, made.marks.id, made.samples.id, 999];
  const strip = await ask(viewport(rows), "strip");
  expect(strip.pixels).toHaveLength(100 * rows.length);
  const line = (n: number) => strip.pixels.subarray(100 * n, 100 * (n + 1));
  expect(line(1)[9]).toBe(0);
  expect(line(1)[10]).not.toBe(0);
  expect(line(1)[89]).not.toBe(0);
  expect(line(1)[90]).toBe(0);
  expect(line(3)[25]).not.toBe(0);
  expect(line(4)[20]).not.toBe(0);
  expect([...line(5)].every((pixel) => pixel === 0)).toBe(true);
  const labels: string[] = [];
  for (let i = 0; i < strip.labels.length; i += 4)
    labels.push(
      `${strip.labels[i + 2]}: ${strip.labelTexts[strip.labels[i + 3]!]} at ${strip.labels[i]} for ${strip.labels[i + 1]}`,
    );
  expect(labels).toEqual([
    "0: main 10 at 0 for 50",
    "0: worker 12 at 60 for 10",
    "0: main 10 at 70 for 25",
    "1: request at 10 for 80",
  ]);
  expect(strip.counters).toHaveLength(1);
  expect(strip.counters[0]).toMatchObject({ line: 2, min: 0, max: 4096 });
  expect(strip.counters[0]!.high[10]).toBeCloseTo(0.25);
  expect(strip.counters[0]!.high[60]).toBe(1);
  expect([...strip.losses]).toEqual([80, 85]);
});

test("a highlight keeps the colour of hits and fades the rest", async () => {
  const plain = await ask(viewport([made.middle.id]), "strip");
  const lit = await ask(viewport([made.middle.id], { id: 2, highlight: "QUERY" }), "strip");
  expect(lit.pixels[60]).toBe(plain.pixels[60]);
  expect(lit.pixels[20]).not.toBe(plain.pixels[20]);
});

test("the newest viewport wins: older ones that wait are not drawn", async () => {
  for (let id = 1; id <= 5; id++) engine.handle(viewport([0], { id }));
  await until(() => last("strip") !== undefined);
  expect(posted.filter((message) => message.type === "strip").map((strip) => strip.id)).toEqual([
    5,
  ]);
});

test("the minimap is the busy fraction of the CPUs", async () => {
  const { density, fromNs, toNs } = await ask({ type: "minimap", id: 3, width: 10 }, "minimap");
  expect([fromNs, toNs]).toEqual([0, 1000]);
  expect([...density].map((part) => Math.round(100 * part))).toEqual([
    100, 100, 100, 100, 100, 0, 100, 100, 100, 90,
  ]);
});

test("details of a slice: self time, ancestors, arguments, flows, what its thread did meanwhile", async () => {
  const { details } = await ask(
    { type: "details", id: 4, row: made.middle.id, index: 1 },
    "details",
  );
  expect(details).toMatchObject({
    name: "query",
    dur: 400,
    selfNs: 200,
    path: ["server", "main"],
    ancestors: [{ name: "request", row: made.top.id, index: 0 }],
    facts: [
      { label: "Running", value: "200 ns (50 %)" },
      { label: "Sleeping", value: "150 ns (38 %)" },
      { label: "Runnable", value: "50 ns (13 %)" },
    ],
  });
  const top = await ask({ type: "details", id: 5, row: made.top.id, index: 0 }, "details");
  expect(top.details).toMatchObject({
    category: "http",
    args: { path: "/index.html", size: 3n },
    selfNs: 250,
    sameName: 1,
    percentile: -1,
  });
  const parse = await ask({ type: "details", id: 6, row: made.middle.id, index: 0 }, "details");
  expect(parse.details!.flows).toEqual([
    {
      step: "out",
      other: { row: made.bottom.id, index: 0, name: "wait", ts: 500, track: made.main },
    },
  ]);
  const wait = await ask({ type: "details", id: 7, row: made.bottom.id, index: 0 }, "details");
  expect(wait.details!.flows.map(({ step, other }) => [step, other.name])).toEqual([
    ["in", "parse"],
  ]);
  const open = await ask({ type: "details", id: 8, row: made.top.id, index: 1 }, "details");
  expect(open.details!.dur).toBe(-1);
});

test("details of scheduling say who woke whom, where it ran and how long it waited", async () => {
  const woken = await ask({ type: "details", id: 4, row: made.mainStates.id, index: 2 }, "details");
  expect(woken.details!.facts).toEqual([
    { label: "State", value: "Runnable (R)" },
    { label: "Woken by", value: "server › worker", ref: { row: made.mainStates.id + 1, index: 1 } },
  ]);
  const sleeping = await ask(
    { type: "details", id: 5, row: made.mainStates.id, index: 1 },
    "details",
  );
  expect(sleeping.details!.facts[1]).toMatchObject({ label: "Ended by", value: "server › worker" });
  const running = await ask(
    { type: "details", id: 6, row: made.mainStates.id, index: 3 },
    "details",
  );
  expect(running.details!.facts[1]).toEqual({
    label: "CPU",
    value: "0",
    ref: { row: made.sched.id, index: 2 },
  });
  const run = await ask({ type: "details", id: 7, row: made.sched.id, index: 1 }, "details");
  expect(run.details!.facts.map(({ label, value }) => `${label}: ${value}`)).toEqual([
    "Thread: server › worker",
    "CPU: 0",
    "Priority: 110",
    "Then: Sleeping",
    "Waited for a CPU: 100 ns",
  ]);
});

test("details of samples and counters", async () => {
  const sample = await ask({ type: "details", id: 4, row: made.samples.id, index: 1 }, "details");
  expect(sample.details!.stack.map((frame) => frame.name)).toEqual(["start", "work", "leaf"]);
  expect(sample.details!.name).toBe("leaf");
  const counter = await ask({ type: "details", id: 5, row: made.values.id, index: 1 }, "details");
  expect(counter.details!.facts).toEqual([
    { label: "Value", value: "4.00 KiB" },
    { label: "Change", value: "+3.00 KiB" },
  ]);
  expect(
    (await ask({ type: "details", id: 6, row: 999, index: 0 }, "details")).details,
  ).toBeUndefined();
  expect(
    (await ask({ type: "details", id: 7, row: 0, index: 999 }, "details")).details,
  ).toBeUndefined();
});

test("at finds what covers a place, else the nearest within reach", async () => {
  const at = async (id: number, row: number, ts: number, toleranceNs: number) =>
    (await ask({ type: "at", id, row, ts, toleranceNs }, "at")).hit?.index;
  expect(await at(1, made.middle.id, 200, 0)).toBe(0);
  expect(await at(2, made.middle.id, 350, 10)).toBeUndefined();
  expect(await at(3, made.middle.id, 395, 10)).toBe(1);
  expect(await at(4, made.marks.id, 245, 10)).toBe(0);
  expect(await at(5, made.marks.id, 239, 10)).toBeUndefined();
  expect(await at(6, made.values.id, 499, 0)).toBe(0);
  expect(await at(7, made.values.id, 500, 0)).toBe(1);
  expect(await at(8, made.top.id, 990, 0)).toBe(1);
});

test("steps go along a row, out to the parent and into the first child", async () => {
  const step = async (
    id: number,
    row: number,
    index: number,
    move: "next" | "previous" | "parent" | "child",
  ) => (await ask({ type: "step", id, row, index, move }, "step")).details?.name;
  expect(await step(1, made.middle.id, 0, "next")).toBe("query");
  expect(await step(2, made.middle.id, 1, "next")).toBeUndefined();
  expect(await step(3, made.middle.id, 0, "previous")).toBeUndefined();
  expect(await step(4, made.bottom.id, 0, "parent")).toBe("query");
  expect(await step(5, made.top.id, 0, "child")).toBe("parse");
  expect(await step(6, made.middle.id, 0, "child")).toBeUndefined();
});

test("search finds slices, instants and threads by any part of the name, first in time first", async () => {
  const found = await ask({ type: "search", id: 1, text: "MA", limit: 10 }, "search");
  expect(found.total).toBe(2);
  expect(found.hits.map((hit) => [hit.name, hit.ts])).toEqual([
    ["main", 0],
    ["Mark 1", 250],
  ]);
  const requests = await ask({ type: "search", id: 2, text: "request", limit: 1 }, "search");
  expect([requests.total, requests.hits.length]).toEqual([2, 1]);
  expect(requests.heat[Math.floor(100 * 0.256)]).toBe(1);
  expect(requests.heat.reduce((sum, each) => sum + each, 0)).toBe(2);
  expect((await ask({ type: "search", id: 3, text: "", limit: 5 }, "search")).total).toBe(0);
});

test("the flame graph merges samples by name; a process means its threads", async () => {
  const { nodes, samples, totalNs } = await ask(
    { type: "flame", id: 1, from: 0, to: 1000, tracks: [made.server] },
    "flame",
  );
  expect([samples, totalNs]).toEqual([3, 300]);
  expect(nodes).toEqual([
    { name: "start", module: "", depth: 0, totalNs: 300, selfNs: 0, samples: 3 },
    { name: "work", module: "/bin/server", depth: 1, totalNs: 300, selfNs: 100, samples: 3 },
    { name: "leaf", module: "", depth: 2, totalNs: 200, selfNs: 200, samples: 2 },
  ]);
});

test("without samples the flame graph is of slices by self time", async () => {
  const { nodes, samples } = await ask({ type: "flame", id: 1, from: 450, to: 900 }, "flame");
  expect(samples).toBe(0);
  expect(nodes.map((node) => [node.depth, node.name, node.totalNs, node.selfNs])).toEqual([
    [0, "request", 450, 100],
    [1, "query", 350, 150],
    [2, "wait", 200, 200],
  ]);
});

test("area statistics: names, states, counters", async () => {
  const rows = made.trace.rows
    .filter((row) => row.track === made.main || row.track === made.memory)
    .map((row) => row.id);
  const answer = await ask({ type: "area", id: 1, from: 0, to: 900, rows }, "area");
  expect(
    answer.names.map((each) => [each.name, each.count, each.totalNs, each.selfNs, each.maxNs]),
  ).toEqual([
    ["request", 1, 800, 250, 800],
    ["query", 1, 400, 200, 400],
    ["wait", 1, 200, 200, 200],
    ["parse", 1, 150, 150, 150],
    ["Mark 1", 1, 0, 0, 0],
  ]);
  expect(answer.states).toEqual([
    { state: "Running", totalNs: 700 },
    { state: "Sleeping", totalNs: 150 },
    { state: "Runnable", totalNs: 50 },
  ]);
  expect(answer.counters[0]).toMatchObject({
    name: "server: memory",
    unit: "bytes",
    min: 1024,
    max: 4096,
  });
  expect(answer.counters[0]!.mean).toBeCloseTo((1024 * 500 + 4096 * 400) / 900);
});

test("sql without a database says what to do; with one it answers", async () => {
  const refused = await ask({ type: "sql", id: 1, sql: "select 1" }, "error");
  expect(refused.hint).toContain("kymo open");
  engine = new Engine({
    kind: "server",
    opened: open,
    post: (message) => void posted.push(message),
    sql: async (_open, sql) => {
      if (sql === "bad") throw new Error("no such table");
      return { columns: ["n"], rows: [[1]], truncated: false };
    },
  });
  engine.handle({ type: "hello", version: 1 });
  expect(await ask({ type: "sql", id: 2, sql: "select 1" }, "sql")).toMatchObject({
    columns: ["n"],
    rows: [[1]],
  });
  expect((await ask({ type: "sql", id: 3, sql: "bad" }, "error")).message).toBe("no such table");
});

test("what is not of the protocol is answered in words, with its id", () => {
  const wrong: unknown[] = [
    null,
    7,
    {},
    { type: "viewport", id: 1 },
    viewport([0], { width: 1e9 }),
    viewport([0], { width: 16_384, rows: new Array(8000).fill(0) }),
    viewport([0], { to: -1 }),
    viewport([0], { from: NaN }),
    viewport(["x"] as never),
    { type: "open", name: "x" },
    { type: "hello", version: 99 },
  ];
  for (const message of wrong) {
    const before = posted.length;
    engine.handle(message as PageMessage);
    expect(posted).toHaveLength(before + 1);
    expect(posted.at(-1)!.type).toBe("error");
  }
  engine.handle({ type: "open", name: "x", url: "http://x/" });
  expect((posted.at(-1) as { message: string }).message).toContain("serves one file");
});

test("while it loads the page hears progress, then tracks as they come, then that it is done", async () => {
  const trace = new ColumnTrace();
  const loading = new OpenTrace({ trace, name: "live", totalBytes: 100 });
  const heard: EngineMessage[] = [];
  const page = new Engine({
    kind: "worker",
    opened: loading,
    post: (message) => void heard.push(message),
  });
  page.handle({ type: "hello", version: 1 });
  expect(heard.map((message) => message.type)).toEqual(["hello", "progress", "tracks"]);
  expect(heard.at(-1)).toMatchObject({ done: false, tracks: [] });
  const process = trace.track({ kind: "process", name: "p", pid: 1 });
  trace.row(process as TrackId, "slice", 0, [{ ts: 1, dur: 2, key: "a" }]);
  loading.progress(50);
  await until(() => heard.filter((message) => message.type === "tracks").length === 2);
  expect(heard.at(-1)).toMatchObject({ done: false });
  loading.fail("cut short", "record again");
  expect(heard.findLast((message) => message.type === "tracks")).toMatchObject({ done: true });
  expect(heard.at(-1)).toEqual({ type: "error", message: "cut short", hint: "record again" });
  page.close();
  loading.progress(60);
  expect(heard.at(-1)!.type).toBe("error");
});

test("an empty trace has no tracks and answers everything", async () => {
  const trace = new ColumnTrace();
  const empty = new OpenTrace({ trace, name: "empty" });
  empty.finish();
  engine = new Engine({
    kind: "server",
    opened: empty,
    post: (message) => void posted.push(message),
  });
  posted.length = 0;
  engine.handle({ type: "hello", version: 1 });
  expect(last("tracks")).toMatchObject({ tracks: [], summary: { events: 0 } });
  expect((await ask(viewport([0, 1]), "strip")).pixels).toHaveLength(200);
  expect((await ask({ type: "minimap", id: 2, width: 4 }, "minimap")).density).toHaveLength(4);
  expect((await ask({ type: "flame", id: 3, from: 0, to: 1 }, "flame")).nodes).toEqual([]);
  expect((await ask({ type: "area", id: 4, from: 0, to: 1, rows: [1] }, "area")).names).toEqual([]);
  expect(
    (await ask({ type: "at", id: 5, row: 0, ts: 0, toleranceNs: 9 }, "at")).hit,
  ).toBeUndefined();
});
