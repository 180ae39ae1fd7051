import { expect, test } from "vitest";
import { fakeKernel } from "./testing/fake-kernel.ts";
import { contextWith, event, Machine, world } from "./testing/run.ts";

const onEvent = (body: string, before = "") =>
  Machine.load(`${before}\ntracepoint("test:event", (e) => { ${body} });`);

test("every record begins with its site, thread and time; thread tracks have the process", async () => {
  const machine = await onEvent(`instant({ name: "a", args: { n: e.count } });`);
  const [emitted] = machine.run(0, event({ count: 5n })).emitted;
  const { site } = emitted!;
  expect(site).toMatchObject({ id: 0, kind: "instant", bytes: 32, label: "tracepoint:test:event" });
  expect(emitted!.value({ type: "uint", offset: 4, bytes: 4 })).toBe(world.tid);
  expect(emitted!.value({ type: "uint", offset: 8, bytes: 8 })).toBe(machine.now);
  expect(emitted!.value(site.pid!)).toBe(world.pid);
  expect(emitted!.args).toEqual({ n: 5n });
});

test("fields are as wide as their types, with no gaps between them", async () => {
  const machine = await onEvent(
    `instant({ name: "a", args: { small: e.small, flag: e.flags === 1, wide: e.count, pid: e.pid, known: 7, text: "t" } });`,
  );
  const [emitted] = machine.run(0, event({ small: 255, flags: 1, count: 2n, pid: -1 })).emitted;
  // 16 + wide 8 + pid 4 + the process 4 + small 1 + flag 1, rounded up
  expect(emitted!.site.bytes).toBe(40);
  expect(emitted!.args).toEqual({
    small: 255n,
    flag: true,
    wide: 2n,
    pid: -1n,
    known: 7n,
    text: "t",
  });
});

test.each([
  ["thread()", { kind: "thread" }],
  ["process()", { kind: "process" }],
  ["cpu()", { kind: "cpu" }],
  ['track("io")', { kind: "named", name: "io", under: "host" }],
])("track: %s", async (track, expected) => {
  const machine = await onEvent(`instant({ name: "a", track: ${track} });`);
  const [emitted] = machine.run(0).emitted;
  expect(emitted!.site).toMatchObject({ track: expected });
  if (expected.kind === "cpu") expect(emitted!.value(emitted!.site.cpu!)).toBe(world.cpu);
});

test("tracks of other threads, and one for each key", async () => {
  const machine = await onEvent(
    `slice({ name: "a", track: thread(e.pid), start: e.count, duration: 10 });
     instant({ name: "b", track: track("queue", e.small, "rx", e.comm) });`,
  );
  const [slice, instant] = machine.run(
    0,
    event({ pid: 7, count: 9n, small: 2, comm: "nic" }),
  ).emitted;
  if (slice!.site.kind !== "slice" || instant!.site.kind !== "instant") throw new Error("kinds");
  const { track } = slice!.site;
  expect(track.kind === "thread" && slice!.value(track.tid!)).toBe(7n);
  expect(slice!.value(slice!.site.start)).toBe(9n);
  expect(slice!.value(slice!.site.duration!)).toBe(10n);
  const named = instant!.site.track;
  expect(named.kind === "named" && named.key!.map(instant!.value)).toEqual([2n, "rx", "nic"]);
});

test("counters, flows, units, names of numbers, addresses of either kind", async () => {
  const machine = await onEvent(
    `counter({ name: "level", value: unit(e.delta, "bytes") });
     instant({ name: syscallName(e.count), flow: { id: e.count, step: "start" }, args: { error: errnoOf(e.delta), size: unit(e.flags, "pages"),
       from: e.small ? address(e.flags) : address(e.comm) } });`,
  );
  const context = event({
    delta: -2n,
    count: 257n,
    flags: 0x0700000a,
    small: 1,
    comm: "0123456789abcdef",
  });
  const [counter, instant] = machine.run(0, context).emitted;
  expect(counter!.site).toMatchObject({
    kind: "counter",
    unit: "bytes",
    track: { kind: "process" },
  });
  expect(counter!.site.kind === "counter" && counter!.value(counter!.site.value)).toBe(-2n);
  expect(instant!.site).toMatchObject({ name: { type: "name", of: "syscall" } });
  expect(instant!.name).toBe(257n);
  expect(instant!.site.kind === "instant" && instant!.value(instant!.site.flow!.id)).toBe(257n);
  expect(instant!.args).toEqual({
    error: -2n,
    size: 0x0700000an,
    from: "0.0.0.0.0.0.0.0.0.0.255.255.10.0.0.7",
  });
  expect(machine.run(0, event({ comm: "0123456789abcdef" })).emitted[1]!.args["from"]).toBe(
    [...Buffer.from("0123456789abcdef")].join("."),
  );
});

test("stacks are read into the record", async () => {
  const machine = await onEvent(`sample({ stacks: [ustack(4)], weight: 5 });`);
  machine.call = (callee, [, to, bytes, flags], memory) => {
    expect([callee, bytes, flags]).toEqual([67, 32n, 0x100n]);
    memory.must(to!, 32)[0] = 0xaa;
    return 16n;
  };
  const [emitted] = machine.run(0).emitted;
  if (emitted!.site.kind !== "sample") throw new Error("kind");
  expect(emitted!.site.weight).toBe(5);
  expect(emitted!.value(emitted!.site.stacks[0]!)).toEqual([0xaan, 0n]);
});

test("declared events, prints, the scheduler's events", async () => {
  const machine = await onEvent(
    `packet({ length: e.count, port: e.small });
     print\`got \${e.count} of \${e.comm}\`;
     schedSwitch({ previous: e.pid, previousPid: 2, state: 0, next: e.flags, nextPid: 4, priority: 120 });
     schedWaking({ thread: e.pid, targetCpu: 1 });`,
    `const packet = eventType("packet", { length: ["int", "bytes"], port: "int" });`,
  );
  expect(machine.set.eventTypes).toEqual([
    {
      name: "packet",
      fields: [
        { name: "length", type: "int", unit: "bytes" },
        { name: "port", type: "int" },
      ],
    },
  ]);
  const [packet, print, sched, waking] = machine.run(
    0,
    event({ count: 60n, small: 9, comm: "eth0", pid: 1, flags: 3 }),
  ).emitted;
  expect(packet!.site).toMatchObject({ kind: "typed", eventType: "packet" });
  expect(packet!.args).toEqual({ length: 60n, port: 9n });
  if (
    print!.site.kind !== "print" ||
    sched!.site.kind !== "switch" ||
    waking!.site.kind !== "waking"
  )
    throw new Error("kinds");
  expect(print!.site.pieces).toEqual(["got ", " of ", ""]);
  expect(print!.site.values.map(print!.value)).toEqual([60n, "eth0"]);
  const { previous, previousPid, next, nextPid, priority } = sched!.site;
  expect([previous, previousPid, next, nextPid, priority].map(sched!.value)).toEqual([
    1n,
    2n,
    3n,
    4n,
    120n,
  ]);
  expect(waking!.value(waking!.site.targetCpu)).toBe(1n);
});

test("one is emitted or the other; what is not reached is not emitted", async () => {
  const machine = await onEvent(
    `e.flags === 1 && instant({ name: "one" });
     e.flags === 2 ? instant({ name: "two" }) : instant({ name: "other" });
     if (e.flags > 2) { if (e.flags === 3) return; instant({ name: "many" }); }`,
  );
  const names = (flags: number) => machine.run(0, event({ flags })).emitted.map(({ name }) => name);
  expect(names(1)).toEqual(["one", "other"]);
  expect(names(2)).toEqual(["two"]);
  expect(names(3)).toEqual(["other"]);
  expect(names(4)).toEqual(["other", "many"]);
});

const span = `uprobe("app", "work", (id: i32, what: cstr, n: u8) => {
  if (id < 0) return;
  return span({ name: "work", args: { id, n }, end: (ret: i32) => ({ ret }) });
});`;

test("a span of a function: one program for entry and return", async () => {
  const machine = await Machine.load(span);
  expect(machine.set.probes.map(({ target }) => target)).toMatchObject([
    { kind: "uprobe", at: "session" },
  ]);
  let isReturn = 0n;
  machine.call = (callee) => {
    expect(callee).toBe("bpf_session_is_return");
    return isReturn;
  };
  const entry = machine.run(0, contextWith({ 0: 5n, 16: 0x1ffn }));
  expect(entry.result).toBe(0n);
  expect(entry.emitted.map(({ name, args, site }) => [site.kind, name, args])).toEqual([
    ["begin", "work", { id: 5n, n: 255n }],
  ]);
  expect(machine.run(0, contextWith({ 0: -5n }))).toMatchObject({ result: 1n, emitted: [] });
  isReturn = 1n;
  const back = machine.run(0, contextWith({ 80: 0xffff_ffffn }));
  expect(back.emitted.map(({ args, site }) => [site.kind, args])).toEqual([["end", { ret: -1n }]]);
});

test("without sessions two programs remember which calls began a slice", async () => {
  const machine = await Machine.load(span, fakeKernel({ sessions: false }));
  const kinds = (probe: number, id = 0n) =>
    machine.run(probe, contextWith({ 0: id })).emitted.map(({ site }) => site.kind);
  expect(machine.set.probes).toHaveLength(2);
  expect(kinds(1)).toEqual([]);
  expect([kinds(0, 1n), kinds(0, -1n), kinds(0, 2n)]).toEqual([["begin"], [], ["begin"]]);
  expect([kinds(1), kinds(1), kinds(1), kinds(1)]).toEqual([["end"], [], ["end"], []]);
});

test("a span of a system call: what was known on entry is kept for the thread", async () => {
  const machine = await Machine.load(
    `syscall.span("openat", (e) => {
       if (e.dfd === 3) return;
       span({ name: comm(), category: "file", args: { dfd: e.dfd }, end: (exit) => ({ ret: exit.ret }) });
     });`,
  );
  expect(machine.run(1, contextWith({ 0: 257n })).emitted).toEqual([]);
  machine.run(0, contextWith({ 0: 257n, 8: -100n }));
  const start = machine.now;
  machine.now += 50n;
  machine.comm = "other";
  expect(machine.run(1, contextWith({ 0: 1n })).emitted).toEqual([]);
  const [slice] = machine.run(1, contextWith({ 0: 257n, 8: -2n })).emitted;
  expect(slice).toMatchObject({ name: "worker", args: { dfd: -100n, ret: -2n } });
  if (slice!.site.kind !== "slice") throw new Error("kind");
  expect(slice!.site).toMatchObject({ category: "file" });
  expect(slice!.value(slice!.site.start)).toBe(start);
  machine.run(0, contextWith({ 0: 257n, 8: 3n }));
  expect(machine.run(1, contextWith({ 0: 257n })).emitted).toEqual([]);
});

test("a span of every system call leaves out those that don't return", async () => {
  const machine = await Machine.load(`anySyscall.span((e) => span({ name: syscallName(e.id) }));`);
  for (const id of [60n, 231n]) {
    machine.run(0, contextWith({ 0: id }));
    expect(machine.run(1, contextWith({ 0: id })).emitted).toEqual([]);
  }
  machine.run(0, contextWith({ 0: 1n }));
  expect(machine.run(1, contextWith({ 0: 1n })).emitted[0]).toMatchObject({ name: 1n });
});
