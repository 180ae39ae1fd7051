/** What other recorders write and we don't: packets made by hand, as the spec says. */
import { zlibSync } from "fflate";
import { expect, test } from "vitest";
import type { Trace } from "../../model/trace.ts";
import { readBytes } from "../../testing/check-format.ts";
import { dumpEvents } from "../../testing/dump.ts";
import { ProtoWriter } from "../../wire/protobuf.ts";
import { FormatError } from "../format.ts";
import { format } from "./index.ts";
import {
  Clock,
  ClockSnapshot,
  CompactSched,
  CounterDescriptor,
  FtraceEvent,
  FtraceEventBundle,
  InternedData,
  InternedText,
  LegacyEvent,
  ProcessTree,
  SchedSwitch,
  SchedWaking,
  SequenceFlag,
  SystemInfo,
  TaskNewtask,
  ThreadDescriptor,
  TracePacket,
  TracePacketDefaults,
  TrackDescriptor,
  TrackEvent,
  TrackEventDefaults,
  TreeProcess,
  TreeThread,
  Utsname,
} from "./records.ts";

type Write = (out: ProtoWriter) => void;

function file(...packets: Write[]): Uint8Array {
  const out = new ProtoWriter();
  for (const write of packets) {
    const packet = out.open(1);
    write(out);
    out.close(packet);
  }
  return out.view().slice();
}
const nest =
  (field: number, ...writes: Write[]): Write =>
  (out) => {
    const start = out.open(field);
    for (const write of writes) write(out);
    out.close(start);
  };
const uint =
  (field: number, value: number): Write =>
  (out) =>
    out.uint(field, value);
const int =
  (field: number, value: number): Write =>
  (out) =>
    out.int(field, value);
const text =
  (field: number, value: string): Write =>
  (out) =>
    out.string(field, value);
const all =
  (...writes: Write[]): Write =>
  (out) => {
    for (const write of writes) write(out);
  };
const packed =
  (field: number, ...values: number[]): Write =>
  (out) => {
    const numbers = new ProtoWriter();
    for (const value of values) numbers.varintSigned(value);
    out.blob(field, numbers.view());
  };

const onSequence = (id: number, ...writes: Write[]): Write =>
  all(uint(TracePacket.trustedPacketSequenceId, id), ...writes);
const cleared = uint(TracePacket.sequenceFlags, SequenceFlag.incrementalStateCleared);
const needs = uint(TracePacket.sequenceFlags, SequenceFlag.needsIncrementalState);
const ts = (value: number) => uint(TracePacket.timestamp, value);
const event = (...writes: Write[]) => nest(TracePacket.trackEvent, ...writes);
const begin = uint(TrackEvent.type, 1);
const end = uint(TrackEvent.type, 2);
const instant = uint(TrackEvent.type, 3);
const counter = uint(TrackEvent.type, 4);
const track = (uuid: number) => uint(TrackEvent.trackUuid, uuid);
const named = (name: string) => text(TrackEvent.name, name);
const custom = (uuid: number, name: string, ...more: Write[]) =>
  nest(
    TracePacket.trackDescriptor,
    uint(TrackDescriptor.uuid, uuid),
    text(TrackDescriptor.name, name),
    ...more,
  );
const reading = (clock: number, value: number, ...more: Write[]) =>
  nest(ClockSnapshot.clocks, uint(Clock.clockId, clock), uint(Clock.timestamp, value), ...more);
const snapshot = (...readings: Write[]) => nest(TracePacket.clockSnapshot, ...readings);
const bundle = (cpu: number, ...writes: Write[]) =>
  nest(TracePacket.ftraceEvents, uint(FtraceEventBundle.cpu, cpu), ...writes);
const ftrace = (at: number, pid: number, kind: number, ...writes: Write[]) =>
  nest(
    FtraceEventBundle.event,
    uint(FtraceEvent.timestamp, at),
    uint(FtraceEvent.pid, pid),
    nest(kind, ...writes),
  );
const switched = (at: number, prev: [number, string], state: number, next: [number, string]) =>
  ftrace(
    at,
    prev[0],
    FtraceEvent.schedSwitch,
    text(SchedSwitch.prevComm, prev[1]),
    int(SchedSwitch.prevPid, prev[0]),
    int(SchedSwitch.prevState, state),
    text(SchedSwitch.nextComm, next[1]),
    int(SchedSwitch.nextPid, next[0]),
    int(SchedSwitch.nextPrio, 120),
  );
const tree = (processes: [number, number, string][], threads: [number, number, string][] = []) =>
  nest(
    TracePacket.processTree,
    ...processes.map(([pid, ppid, name]) =>
      nest(
        ProcessTree.processes,
        int(TreeProcess.pid, pid),
        int(TreeProcess.ppid, ppid),
        text(TreeProcess.cmdline, name),
      ),
    ),
    ...threads.map(([tid, tgid, name]) =>
      nest(
        ProcessTree.threads,
        int(TreeThread.tid, tid),
        int(TreeThread.tgid, tgid),
        text(TreeThread.name, name),
      ),
    ),
  );

const read = (bytes: Uint8Array): Promise<Trace> => readBytes(format, bytes);
/** Lines of the dump about events (they start with a time). */
async function events(...packets: Write[]): Promise<string[]> {
  return lines(await read(file(...packets)));
}
const lines = (trace: Trace) =>
  dumpEvents(trace)
    .split("\n")
    .filter((line) => /^-?\d/.test(line));

test("a descriptor that comes after its track's events still names it", async () => {
  expect(
    await events(
      onSequence(1, ts(10), event(begin, track(5), named("a"))),
      onSequence(1, ts(20), event(end, track(5))),
      onSequence(1, custom(5, "lane")),
    ),
  ).toEqual(['10 slice custom "lane": +10 "a"']);
});

test("an event without a track stands on the sequence's default track", async () => {
  const defaults = nest(
    TracePacket.tracePacketDefaults,
    nest(TracePacketDefaults.trackEventDefaults, uint(TrackEventDefaults.trackUuid, 7)),
  );
  expect(
    await events(
      onSequence(1, cleared, defaults, custom(7, "lane")),
      onSequence(1, needs, ts(5), event(instant, named("i"))),
    ),
  ).toEqual(['5 instant custom "lane": "i"']);
});

test("a legacy thread descriptor gives the default track and the start of delta times", async () => {
  const thread = nest(
    TracePacket.threadDescriptor,
    int(ThreadDescriptor.pid, 3),
    int(ThreadDescriptor.tid, 4),
    text(ThreadDescriptor.threadName, "io"),
    int(ThreadDescriptor.referenceTimestampUs, 100),
  );
  const legacy = (phase: string, ...more: Write[]) =>
    nest(TrackEvent.legacyEvent, int(LegacyEvent.phase, phase.charCodeAt(0)), ...more);
  const delta = (us: number) => int(TrackEvent.timestampDeltaUs, us);
  expect(
    await events(
      onSequence(2, cleared, thread),
      onSequence(2, event(delta(1), named("x"), legacy("X", int(LegacyEvent.durationUs, 5)))),
      onSequence(2, event(delta(10), named("b"), legacy("B"))),
      onSequence(2, event(delta(10), legacy("E"))),
      onSequence(2, event(delta(1), named("req"), legacy("b", uint(LegacyEvent.globalId, 9)))),
      onSequence(2, event(delta(4), named("req"), legacy("e", uint(LegacyEvent.globalId, 9)))),
      onSequence(2, event(delta(1), named("object"), legacy("N"))),
    ),
  ).toEqual([
    '101000 slice thread 4 "io": +5000 "x"',
    '111000 slice thread 4 "io": +10000 "b"',
    '122000 slice process 3 "" / async "req": +4000 "req"',
  ]);
});

test("clocks are related by snapshots; sequence clocks count on or from their own zero", async () => {
  const trace = await read(
    file(
      onSequence(
        9,
        snapshot(
          reading(6, 1000),
          reading(3, 400),
          reading(1, 5_000_000),
          uint(ClockSnapshot.primaryTraceClock, 6),
        ),
      ),
      onSequence(
        1,
        snapshot(
          reading(6, 1100),
          reading(64, 7, uint(Clock.isIncremental, 1), uint(Clock.unitMultiplierNs, 10)),
          reading(65, 0),
        ),
      ),
      onSequence(1, custom(5, "lane")),
      onSequence(1, ts(2000), event(instant, track(5), named("default clock"))),
      onSequence(
        1,
        ts(450),
        uint(TracePacket.timestampClockId, 3),
        event(instant, track(5), named("monotonic")),
      ),
      onSequence(
        1,
        ts(3),
        uint(TracePacket.timestampClockId, 64),
        event(instant, track(5), named("delta 3")),
      ),
      onSequence(
        1,
        ts(3),
        uint(TracePacket.timestampClockId, 64),
        event(instant, track(5), named("delta 6")),
      ),
      onSequence(
        1,
        ts(9),
        uint(TracePacket.timestampClockId, 65),
        event(instant, track(5), named("offset 9")),
      ),
      onSequence(
        1,
        ts(9),
        uint(TracePacket.timestampClockId, 5),
        event(instant, track(5), named("raw")),
      ),
    ),
  );
  expect(trace.clock.domain).toBe("boottime");
  expect(lines(trace).map((line) => line.replace(' instant custom "lane":', ""))).toEqual([
    '1050 "monotonic"',
    '1109 "offset 9"',
    '1130 "delta 3"',
    '1160 "delta 6"',
    '2000 "default clock"',
  ]);
  expect(trace.problems.map(({ kind, count }) => [kind, count])).toEqual([["clock", 1]]);
  expect(trace.clockSnapshots).toEqual([
    [
      ["boottime", 1000n],
      ["monotonic", 400n],
      ["realtime", 5_000_000n],
    ],
  ]);
});

test("interned names belong to their sequence and are gone after a loss", async () => {
  const intern = (iid: number, name: string) =>
    nest(
      TracePacket.internedData,
      nest(InternedData.eventNames, uint(InternedText.iid, iid), text(InternedText.text, name)),
    );
  const nameIid = uint(TrackEvent.nameIid, 1);
  const trace = await read(
    file(
      onSequence(1, custom(5, "lane")),
      onSequence(1, cleared, intern(1, "one"), ts(1), event(instant, track(5), nameIid)),
      onSequence(2, cleared, intern(1, "two"), ts(2), event(instant, track(5), nameIid)),
      onSequence(1, needs, ts(3), event(instant, track(5), nameIid)),
      onSequence(
        1,
        needs,
        uint(TracePacket.previousPacketDropped, 1),
        ts(4),
        event(instant, track(5), nameIid),
      ),
      onSequence(1, needs, ts(5), event(instant, track(5), nameIid)),
      onSequence(1, cleared, intern(1, "three"), ts(6), event(instant, track(5), nameIid)),
    ),
  );
  expect(lines(trace).map((line) => line.replace(/.*: /, ""))).toEqual([
    '"one"',
    '"two"',
    '"one"',
    '"three"',
  ]);
  expect(trace.problems.map(({ kind, count }) => [kind, count])).toEqual([
    ["lost-events", 1],
    ["lost-events", 2],
  ]);
});

test("scheduling waits for the process tree, in columns and in full", async () => {
  const compact = nest(
    FtraceEventBundle.compactSched,
    text(CompactSched.internTable, "swapper/0"),
    text(CompactSched.internTable, "app"),
    text(CompactSched.internTable, "worker"),
    packed(CompactSched.switchTimestamp, 100, 50),
    packed(CompactSched.switchPrevState, 0, 1),
    packed(CompactSched.switchNextPid, 8, 0),
    packed(CompactSched.switchNextPrio, 120, 120),
    packed(CompactSched.switchNextCommIndex, 1, 0),
    packed(CompactSched.wakingTimestamp, 120),
    packed(CompactSched.wakingPid, 9),
    packed(CompactSched.wakingTargetCpu, 1),
    packed(CompactSched.wakingPrio, 120),
    packed(CompactSched.wakingCommIndex, 2),
  );
  const trace = await read(
    file(
      bundle(0, compact),
      bundle(
        1,
        switched(130, [0, "swapper/1"], 0, [9, "worker"]),
        switched(160, [9, "worker"], 0x100, [0, "swapper/1"]),
        ftrace(
          155,
          9,
          FtraceEvent.schedWaking,
          int(SchedWaking.pid, 8),
          int(SchedWaking.targetCpu, 0),
        ),
      ),
      tree(
        [[7, 1, "/bin/app"]],
        [
          [9, 7, "worker"],
          [8, 7, "app"],
        ],
      ),
    ),
  );
  expect(lines(trace)).toEqual([
    '100 sched cpu 0: +50 thread 8 "app" priority 120 end S',
    '100 thread_state thread 8 "app": +50 Running cpu 0',
    '120 thread_state thread 9 "worker": +10 R by thread 8 "app"',
    '130 sched cpu 1: +30 thread 9 "worker" priority 120 end R',
    '130 thread_state thread 9 "worker": +30 Running cpu 1',
    '150 thread_state thread 8 "app": +5 S',
    '155 thread_state thread 8 "app": open R by thread 9 "worker"',
    '160 thread_state thread 9 "worker": open R+',
  ]);
  expect(
    trace.tracks
      .filter(({ kind }) => kind === "process")
      .map(({ name, parentPid }) => [name, parentPid]),
  ).toEqual([["/bin/app", 1]]);
});

test("a tid that is used again is another thread", async () => {
  const born = (at: number, tid: number, comm: string) =>
    ftrace(at, 1, FtraceEvent.taskNewtask, int(TaskNewtask.pid, tid), text(TaskNewtask.comm, comm));
  const trace = await read(
    file(
      tree([[1, 0, "init"]]),
      bundle(
        0,
        born(10, 50, "first"),
        switched(20, [0, ""], 0, [50, "first"]),
        switched(30, [50, "first"], 16, [0, ""]),
      ),
      bundle(
        0,
        born(40, 50, "second"),
        switched(50, [0, ""], 0, [50, "second"]),
        switched(60, [50, "second"], 1, [0, ""]),
      ),
    ),
  );
  const threads = trace.tracks.filter(({ tid }) => tid === 50);
  expect(threads.map(({ name }) => name)).toEqual(["first", "second"]);
  expect(trace.tracks.filter(({ kind, pid }) => kind === "process" && pid === 50).length).toBe(2);
});

test("counters: increments, multipliers, extra values", async () => {
  const heap = (...more: Write[]) => nest(TrackDescriptor.counter, ...more);
  expect(
    await events(
      onSequence(
        1,
        custom(
          5,
          "sum",
          heap(
            uint(CounterDescriptor.isIncremental, 1),
            uint(CounterDescriptor.unitMultiplier, 10),
          ),
        ),
      ),
      onSequence(1, custom(6, "extra", heap(uint(CounterDescriptor.unit, 3)))),
      onSequence(1, ts(1), event(counter, track(5), int(TrackEvent.counterValue, 4))),
      onSequence(1, ts(2), event(counter, track(5), int(TrackEvent.counterValue, -1))),
      onSequence(1, ts(3), custom(7, "unused")),
      onSequence(
        1,
        ts(4),
        event(
          instant,
          track(5),
          named("i"),
          uint(TrackEvent.extraCounterTrackUuids, 6),
          int(TrackEvent.extraCounterValues, 99),
        ),
      ),
    ),
  ).toEqual([
    '1 counter counter "sum": = 40',
    '2 counter counter "sum": = 30',
    '4 counter counter "extra": = 99',
    '4 instant counter "sum": "i"',
  ]);
});

test("compressed packets are opened, within bounds", async () => {
  const inside = file(
    onSequence(1, custom(5, "lane")),
    onSequence(1, ts(1), event(instant, track(5), named("i"))),
  );
  const compressed =
    (bytes: Uint8Array): Write =>
    (out) =>
      out.blob(TracePacket.compressedPackets, zlibSync(bytes));
  expect(await events(compressed(inside))).toEqual(['1 instant custom "lane": "i"']);
  const bomb = await read(file(compressed(new Uint8Array(100 * 1024 * 1024))));
  expect(bomb.problems.map(({ kind }) => kind)).toEqual(["malformed"]);
  const nested = await read(file(compressed(file(compressed(file(compressed(inside)))))));
  expect(nested.problems[0]?.message).toContain("nested");
  const damaged = await read(
    file((out) => out.blob(TracePacket.compressedPackets, new Uint8Array([1, 2, 3]))),
  );
  expect(damaged.problems.map(({ kind }) => kind)).toEqual(["malformed"]);
});

test("what is not read is counted", async () => {
  const trace = await read(
    file(
      onSequence(1, nest(TracePacket.sysStats)),
      onSequence(1, nest(TracePacket.sysStats)),
      onSequence(1, nest(TracePacket.traceConfig)),
      bundle(0, uint(FtraceEventBundle.lostEvents, 1), ftrace(5, 1, 13)),
    ),
  );
  expect(trace.problems.map(({ kind, count, message }) => [kind, count ?? 1, message])).toEqual([
    [
      "lost-events",
      1,
      "the kernel's buffer of CPU 0 was full; events before this bundle are missing",
    ],
    ["unsupported", 2, "packets of field 7 are not read"],
    ["unsupported", 1, "ftrace events of field 13 are not read"],
  ]);
});

test("kernels before 4.14 report other states", async () => {
  const release = (version: string) =>
    onSequence(
      1,
      nest(TracePacket.systemInfo, nest(SystemInfo.utsname, text(Utsname.release, version))),
    );
  const run = bundle(0, switched(1, [0, ""], 0, [5, "a"]), switched(2, [5, "a"], 0x200, [0, ""]));
  expect((await events(release("4.4.0"), tree([]), run))[0]).toContain("end P");
  expect((await events(release("6.1.0"), tree([]), run))[0]).toContain("end R");
});

test("garbage is a FormatError that says where; garbage later is a problem", async () => {
  await expect(read(new TextEncoder().encode("not a trace"))).rejects.toThrow(FormatError);
  await expect(read(new TextEncoder().encode("{}"))).rejects.toThrow("(at byte 0)");
  const claim = new Uint8Array([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2]);
  await expect(read(claim)).rejects.toThrow("a packet claims 4294967295 bytes");
  const good = file(onSequence(1, custom(5, "lane")));
  const trace = await read(new Uint8Array([...good, 0x13, 0x37]));
  expect(trace.problems.map(({ kind, byteOffset }) => [kind, byteOffset])).toEqual([
    ["malformed", good.length],
  ]);
});

test("detect goes by content", () => {
  const good = file(onSequence(1, cleared, ts(5), event(instant, named("i"))));
  expect(format.detect(good, "x")).toBeGreaterThan(50);
  for (const other of [
    "\n\n\n\n\n",
    '\n{"traceEvents":[]}',
    "\nhello world, this is text\n",
    "",
    "\n",
  ])
    expect(format.detect(new TextEncoder().encode(other), "x.pftrace"), JSON.stringify(other)).toBe(
      0,
    );
});
