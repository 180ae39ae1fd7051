import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import protobuf from "protobufjs";
import { expect, test } from "vitest";
import { TraceBuilder } from "../../model/builder.ts";
import {
  EMPTY_STRING,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  type TraceSink,
} from "../../model/sink.ts";
import type { Trace } from "../../model/trace.ts";
import { readBytes } from "../../testing/check-format.ts";
import { dumpEvents } from "../../testing/dump.ts";
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import { format } from "./index.ts";
import { PerfettoLint } from "./lint.ts";
import { PerfettoWriter } from "./writer.ts";

/**
 * The part of Perfetto's schema that we write, as a protobufjs descriptor: names, numbers and types are facts of
 * the spec, put down here apart from records.ts so that a wrong number in one of them shows.
 */
type Fields = { readonly [name: string]: string };

/** "repeated packed uint64 5" → a protobufjs field. */
function message(fields: Fields): { edition: string; fields: Record<string, unknown> } {
  const out: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(fields)) {
    const words = spec.split(" ");
    const id = Number(words.pop());
    const type = words.pop()!;
    const field: { type: string; id: number; rule?: string; options?: unknown } = { type, id };
    if (words.includes("repeated")) field.rule = "repeated";
    if (words.includes("repeated") && type !== "string" && type !== "bytes" && !/^[A-Z]/.test(type))
      field.options = { packed: words.includes("packed") };
    out[name] = field;
  }
  return { edition: "proto2", fields: out };
}

const interned = message({ iid: "uint64 1", name: "string 2" });

const perfettoSchema = {
  edition: "proto2",
  nested: {
    Trace: message({ packet: "repeated TracePacket 1" }),
    TracePacket: message({
      ftrace_events: "FtraceEventBundle 1",
      process_tree: "ProcessTree 2",
      clock_snapshot: "ClockSnapshot 6",
      timestamp: "uint64 8",
      trusted_packet_sequence_id: "uint32 10",
      track_event: "TrackEvent 11",
      interned_data: "InternedData 12",
      sequence_flags: "uint32 13",
      system_info: "SystemInfo 45",
      timestamp_clock_id: "uint32 58",
      trace_packet_defaults: "TracePacketDefaults 59",
      track_descriptor: "TrackDescriptor 60",
      perf_sample: "PerfSample 66",
      first_packet_on_sequence: "bool 87",
    }),
    TracePacketDefaults: message({
      timestamp_clock_id: "uint32 58",
      perf_sample_defaults: "PerfSampleDefaults 12",
    }),
    PerfSampleDefaults: message({ timebase: "Timebase 1" }),
    Timebase: message({ period: "uint64 1", counter: "uint32 4" }),
    ClockSnapshot: message({ clocks: "repeated Clock 1", primary_trace_clock: "uint32 2" }),
    Clock: message({ clock_id: "uint32 1", timestamp: "uint64 2", is_incremental: "bool 3" }),
    SystemInfo: message({ utsname: "Utsname 1" }),
    Utsname: message({ sysname: "string 1", release: "string 3", machine: "string 4" }),
    TrackDescriptor: message({
      uuid: "uint64 1",
      name: "string 2",
      process: "ProcessDescriptor 3",
      thread: "ThreadDescriptor 4",
      parent_uuid: "uint64 5",
      counter: "CounterDescriptor 8",
      child_ordering: "uint32 11",
      sibling_order_rank: "int32 12",
      description: "string 14",
      sibling_merge_behavior: "uint32 15",
    }),
    ProcessDescriptor: message({
      pid: "int32 1",
      legacy_sort_index: "int32 3",
      process_name: "string 6",
    }),
    ThreadDescriptor: message({
      pid: "int32 1",
      tid: "int64 2",
      legacy_sort_index: "int32 3",
      thread_name: "string 5",
    }),
    CounterDescriptor: message({ unit: "uint32 3", unit_name: "string 6" }),
    TrackEvent: message({
      category_iids: "repeated uint64 3",
      debug_annotations: "repeated DebugAnnotation 4",
      type: "uint32 9",
      name_iid: "uint64 10",
      track_uuid: "uint64 11",
      log_message: "LogMessage 21",
      counter_value: "int64 30",
      double_counter_value: "double 44",
      flow_ids: "repeated fixed64 47",
      terminating_flow_ids: "repeated fixed64 48",
      callstack_iid: "uint64 56",
      callstack_weight: "double 57",
    }),
    LogMessage: message({ body_iid: "uint64 2", prio: "uint32 3" }),
    DebugAnnotation: message({
      name_iid: "uint64 1",
      bool_value: "bool 2",
      uint_value: "uint64 3",
      int_value: "int64 4",
      double_value: "double 5",
      string_value: "string 6",
      nested_value: "NestedValue 8",
      legacy_json_value: "string 9",
      name: "string 10",
      dict_entries: "repeated DebugAnnotation 11",
      array_values: "repeated DebugAnnotation 12",
      string_value_iid: "uint64 17",
    }),
    NestedValue: message({ nested_type: "uint32 1" }),
    InternedData: message({
      event_categories: "repeated InternedText 1",
      event_names: "repeated InternedText 2",
      debug_annotation_names: "repeated InternedText 3",
      function_names: "repeated InternedBytes 5",
      frames: "repeated Frame 6",
      callstacks: "repeated Callstack 7",
      build_ids: "repeated InternedBytes 16",
      mapping_paths: "repeated InternedBytes 17",
      source_paths: "repeated InternedBytes 18",
      mappings: "repeated Mapping 19",
      log_message_body: "repeated InternedText 20",
      debug_annotation_string_values: "repeated InternedBytes 29",
    }),
    InternedText: interned,
    InternedBytes: message({ iid: "uint64 1", str: "bytes 2" }),
    Mapping: message({
      iid: "uint64 1",
      build_id: "uint64 2",
      path_string_ids: "repeated uint64 7",
    }),
    Frame: message({
      iid: "uint64 1",
      function_name_id: "uint64 2",
      mapping_id: "uint64 3",
      rel_pc: "uint64 4",
      source_path_iid: "uint64 5",
      line_number: "uint32 6",
      kind_str: "string 8",
    }),
    Callstack: message({ iid: "uint64 1", frame_ids: "repeated uint64 2" }),
    PerfSample: message({
      cpu: "uint32 1",
      pid: "uint32 2",
      tid: "uint32 3",
      callstack_iid: "uint64 4",
      timebase_count: "uint64 6",
    }),
    ProcessTree: message({ processes: "repeated TreeProcess 1" }),
    TreeProcess: message({ pid: "int32 1", ppid: "int32 2", cmdline: "repeated string 3" }),
    FtraceEventBundle: message({
      cpu: "uint32 1",
      event: "repeated FtraceEvent 2",
      lost_events: "bool 3",
      compact_sched: "CompactSched 4",
    }),
    CompactSched: message({
      switch_timestamp: "repeated packed uint64 1",
      switch_prev_state: "repeated packed int64 2",
      switch_next_pid: "repeated packed int32 3",
      switch_next_prio: "repeated packed int32 4",
      intern_table: "repeated string 5",
      switch_next_comm_index: "repeated packed uint32 6",
      waking_timestamp: "repeated packed uint64 7",
      waking_pid: "repeated packed int32 8",
      waking_target_cpu: "repeated packed int32 9",
      waking_prio: "repeated packed int32 10",
      waking_comm_index: "repeated packed uint32 11",
      waking_common_flags: "repeated packed uint32 12",
    }),
    FtraceEvent: message({
      timestamp: "uint64 1",
      pid: "uint32 2",
      sched_switch: "SchedSwitch 4",
      sched_waking: "SchedWaking 20",
      task_newtask: "TaskNewtask 235",
      task_rename: "TaskRename 236",
      sched_process_exec: "SchedProcessExec 237",
      sched_process_exit: "SchedProcessExit 238",
    }),
    SchedSwitch: message({
      prev_comm: "string 1",
      prev_pid: "int32 2",
      prev_prio: "int32 3",
      prev_state: "int64 4",
      next_comm: "string 5",
      next_pid: "int32 6",
      next_prio: "int32 7",
    }),
    SchedWaking: message({
      comm: "string 1",
      pid: "int32 2",
      prio: "int32 3",
      success: "int32 4",
      target_cpu: "int32 5",
    }),
    TaskNewtask: message({ pid: "int32 1", comm: "string 2", clone_flags: "uint64 3" }),
    TaskRename: message({ pid: "int32 1", oldcomm: "string 2", newcomm: "string 3" }),
    SchedProcessExec: message({ filename: "string 1", pid: "int32 2", old_pid: "int32 3" }),
    SchedProcessExit: message({
      comm: "string 1",
      pid: "int32 2",
      tgid: "int32 3",
      prio: "int32 4",
    }),
  },
};

/** Every kind of call, in every form that the writer has a representation for. */
function everything(sink: TraceSink): void {
  const at = (ns: number) => ns as Ns;
  sink.clock({ domain: "monotonic", originNs: 2n ** 60n + 12345n, errorNs: 3 });
  sink.clockSnapshot([
    ["monotonic", 2n ** 60n + 12345n],
    ["boottime", 2n ** 60n + 999_999n],
    ["realtime", 1_790_000_000_000_000_000n],
  ]);
  sink.metadata("kernel", "6.18.5-test");
  sink.metadata("arch", "x86_64");
  sink.metadata("schema", "1");
  const host = sink.track({ kind: "host", name: "box" });
  const cpu = sink.track({ kind: "cpu", name: "CPU 0", cpu: 0, parent: host });
  const cpu1 = sink.track({ kind: "cpu", name: "CPU 1", cpu: 1, parent: host });
  const oddCpu = sink.track({ kind: "cpu", name: "CPU ?" });
  const process = sink.track({ kind: "process", name: "app", pid: 40, parentPid: 1, sortIndex: 2 });
  const main = sink.track({ kind: "thread", name: "main", pid: 40, tid: 40, parent: process });
  const worker = sink.track({
    kind: "thread",
    name: "worker ü",
    pid: 40,
    tid: 41,
    parent: process,
    sortIndex: -3,
  });
  const reused = sink.track({ kind: "thread", name: "reused", pid: 40, tid: 41, parent: process });
  const nameless = sink.track({ kind: "thread", name: "no tid", parent: process });
  const bytes = sink.track({ kind: "counter", name: "heap", parent: process, unit: "bytes" });
  const watts = sink.track({ kind: "counter", name: "power", unit: "W", sortIndex: 1 });
  const requests = sink.track({ kind: "async", name: "requests", parent: process, sortIndex: 7 });
  const s = (text: string) => sink.string(text);
  const none = NO_ARGS;
  const packet = sink.eventType({
    name: "packet",
    fields: [{ name: "size", type: "int", unit: "B" }],
  });

  const { args } = sink;
  args.int(s("small"), 5);
  args.int(s("negative"), -7);
  args.int(s("int64"), -(2n ** 63n));
  args.int(s("uint64"), 2n ** 64n - 1n);
  args.int(s("huge"), 2n ** 80n);
  args.real(s("real"), 0.1);
  args.text(s("text"), s("shared text"));
  args.text(s("long text"), s("x".repeat(5000)));
  args.bool(s("yes"), true);
  args.bytes(s("raw"), new Uint8Array([0, 255, 16]));
  args.open(s("object"), "object");
  args.int(s("inner"), 1);
  args.open(s("list"), "array");
  args.text(EMPTY_STRING, s("shared text"));
  args.open(EMPTY_STRING, "object");
  args.close();
  args.close();
  args.close();
  args.open(s("empty list"), "array");
  args.close();
  const set = args.done();

  sink.begin(main, at(10), s("begin"), s("io"), set);
  sink.flow(77n, main, at(10), "start", "last");
  sink.slice(worker, at(20), at(1e6), s("whole"), s("kymo"), none);
  sink.flow(77n, worker, at(20), "step", "last");
  sink.flow(2n ** 64n - 1n, worker, at(20), "start", "last");
  sink.slice(worker, at(500), at(2e6), s("overlaps whole"), EMPTY_STRING, none);
  sink.slice(worker, at(600), NaN as Ns, s("never ends"), EMPTY_STRING, none);
  sink.instant(requests, at(700), s("instant"), s("net"), none);
  sink.flow(77n, requests, at(700), "end", "last");
  sink.flow(78n, main, at(710), "start", "next");
  sink.flow(78n, main, at(900), "end", "enclosing");
  args.int(s("ret"), 0);
  sink.end(main, at(5000), args.done());
  args.int(s("size"), 1500);
  sink.typed(packet, worker, at(5100), args.done());
  sink.counter(bytes, at(5200), 4096);
  sink.counter(bytes, at(5300), -1n);
  sink.counter(watts, at(5400), 0.25);
  sink.counter(watts, at(5500), 2n ** 70n);

  sink.switch(cpu, at(6000), NO_TRACK, EMPTY_STRING, main, 120);
  sink.switch(cpu, at(7000), main, s("S"), worker, 100);
  sink.waking(main, at(7100), worker, 1);
  sink.waking(main, at(7150), NO_TRACK, 0);
  sink.switch(cpu1, at(7200), NO_TRACK, EMPTY_STRING, main, 120);
  sink.waking(worker, at(7300), worker, 1);
  sink.switch(cpu, at(8000), worker, s("R"), NO_TRACK, 120);
  sink.switch(cpu1, at(8500), main, s("odd state"), NO_TRACK, 120);
  sink.switch(oddCpu, at(8600), NO_TRACK, EMPTY_STRING, nameless, 120);
  sink.waking(nameless, at(8700), main, 3);
  sink.life(reused, at(9000), "start", s("reused"));
  sink.switch(cpu, at(9100), NO_TRACK, EMPTY_STRING, reused, 120);
  sink.life(reused, at(9200), "rename", s("renamed"));
  sink.life(main, at(9300), "exec", s("/bin/true"));
  sink.life(process, at(9300), "exec", s("/bin/true"));
  sink.switch(cpu, at(9340), reused, s("S"), NO_TRACK, 120);
  sink.waking(main, at(9350), reused, 1);
  sink.life(main, at(9400), "exit", EMPTY_STRING);
  sink.life(worker, at(9410), "exit", s("worker ü"));

  const outer = sink.frame({ name: "main", module: "/bin/app", buildId: "00ff", address: 0x1234n });
  const inner = sink.frame({
    name: "f",
    module: "[kernel.kallsyms]",
    address: 0xffffffff81000000n,
    file: "f.c",
    line: 12,
    inlined: true,
  });
  const bare = sink.frame({ name: "" });
  const stack = sink.stack(sink.stack(sink.stack(NO_STACK, outer), inner), bare);
  sink.sample(main, at(9500), stack, 1_000_000, 0);
  sink.sample(main, at(9600), stack, 500_000, -1);
  sink.sample(main, at(9700), NO_STACK, 500_000, 1);
  sink.sample(nameless, at(9800), stack, 0.5, 1);
  sink.log(main, at(9900), "warning", s("careful"));
  sink.log(requests, at(9950), "error", s("on a track that is no thread"));
  sink.problem({ kind: "lost-events", message: "lost", count: 8, cpu: 0, from: at(1), to: at(2) });
  sink.problem({ kind: "late", message: "late" });
  sink.watermark(at(10_000));
  sink.clockSnapshot([
    ["monotonic", 2n ** 60n + 50_000n],
    ["boottime", 2n ** 60n + 60_000_000_000n],
  ]);
  sink.switch(cpu1, at(60_000), NO_TRACK, EMPTY_STRING, worker, 120);
  // More than five seconds on: a new section.
  sink.begin(worker, at(6e9), s("second section"), s("io"), set);
  sink.slice(main, at(100), at(50), s("late"), EMPTY_STRING, none);
  sink.switch(cpu1, at(6e9 + 1), worker, s("D"), main, 120);
  sink.sample(main, at(6e9 + 2), stack, 500_000, 0);
  sink.watermark(at(6e9 + 3));
  sink.end(worker, at(6e9 + 10), none);
}

async function written(calls: (sink: TraceSink) => void): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const writer = await format.writer!((bytes) => {
    pieces.push(bytes.slice());
  });
  calls(writer);
  writer.close();
  return new Uint8Array(Buffer.concat(pieces));
}

function built(calls: (sink: TraceSink) => void): Trace {
  const builder = new TraceBuilder();
  calls(builder);
  builder.close();
  return builder.trace;
}

/** Where each packet starts, and the end of the file. */
function packetStarts(bytes: Uint8Array): number[] {
  const starts: number[] = [];
  const reader = new ProtoReader().over(bytes, 0, bytes.length);
  for (let at = 0; reader.next(); at = reader.at) starts.push(at);
  return [...starts, bytes.length];
}

test("everything that is written reads back", async () => {
  const bytes = await written(everything);
  expect(dumpEvents(await readBytes(format, bytes))).toBe(dumpEvents(built(everything)));
});

test("the fixture of every kind of call is what is written", async () => {
  // A change here changes every file we write: regenerate it with REGENERATE=1 and review its dump.
  const path = new URL("./fixtures/every-call.pftrace", import.meta.url);
  const bytes = await written(everything);
  const { REGENERATE } = process.env;
  if (REGENERATE === "1") writeFileSync(path, bytes);
  expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
});

test("everything passes the lint", async () => {
  const lint = new PerfettoLint();
  lint.push(await written(everything));
  expect(lint.end()).toEqual([]);
});

test("a schema written apart from ours decodes every field, and nothing is left over", async () => {
  const root = protobuf.Root.fromJSON(perfettoSchema as protobuf.INamespace);
  const type = root.lookupType("TracePacket");
  const bytes = await written(everything);
  const reader = new ProtoReader().over(bytes, 0, bytes.length);
  const seen = new Set<string>();
  while (reader.next()) {
    const packet = bytes.subarray(reader.start, reader.stop);
    const decoded = type.decode(packet);
    // Encoding it again gives as many bytes only when no field was unknown, and each had its type.
    expect(type.encode(decoded).finish().length).toBe(packet.length);
    collect(decoded.toJSON(), "TracePacket", root, seen);
  }
  const all = Object.entries(perfettoSchema.nested).flatMap(([name, { fields }]) =>
    Object.keys(fields).map((field) => `${name}.${field}`),
  );
  const inSomePacket = all.filter((field) => !field.startsWith("Trace."));
  expect(inSomePacket.filter((field) => !seen.has(field))).toEqual([]);
});

/** Notes which fields of which messages a decoded message holds. */
function collect(value: unknown, type: string, root: protobuf.Root, seen: Set<string>): void {
  for (const [field, inner] of Object.entries(value as object)) {
    const spec = root.lookupType(type).fields[protobufName(field, root.lookupType(type))]!;
    seen.add(`${type}.${spec.name}`);
    const items: unknown[] = Array.isArray(inner) ? inner : [inner];
    for (const item of items)
      if (typeof item === "object" && item !== null) collect(item, spec.type, root, seen);
  }
}
function protobufName(name: string, type: protobuf.Type): string {
  return name in type.fields ? name : name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
}

test("a file cut anywhere reads up to the packet that is cut", async () => {
  const bytes = await written(everything);
  const starts = packetStarts(bytes);
  const whole = dumpEvents(await readBytes(format, bytes)).split("\n");
  for (let cut = 1; cut < bytes.length; cut += 13) {
    const trace = await readBytes(format, bytes.slice(0, cut));
    const truncated = trace.problems.filter(({ kind }) => kind === "truncated");
    expect(truncated.length, `cut at ${cut}`).toBe(starts.includes(cut) ? 0 : 1);
    expect(trace.problems.filter(({ kind }) => kind === "malformed")).toEqual([]);
    // What is a point in time stands in the whole file just so.
    const points = dumpEvents(trace)
      .split("\n")
      .filter((line) => /^\d+ (counter|log|sample|life)/.test(line))
      .map((line) => line.replace(/"(reused|renamed|main|true|app)"/, "T"));
    const all = whole.map((line) => line.replace(/"(reused|renamed|main|true|app)"/, "T"));
    for (const line of points) expect(all).toContain(line);
  }
});

test("each flush is a prefix that holds all events before it", async () => {
  const pieces: Uint8Array[] = [];
  const writer = new PerfettoWriter((bytes) => {
    pieces.push(bytes.slice());
  });
  const thread = writer.track({ kind: "thread", name: "t", tid: 5, pid: 5 });
  for (let i = 1; i <= 20; i++) {
    writer.instant(thread, (i * 1e9) as Ns, writer.string(`event ${i}`), EMPTY_STRING, NO_ARGS);
    writer.watermark((i * 1e9 + 1) as Ns);
    const trace = await readBytes(format, new Uint8Array(Buffer.concat(pieces)));
    expect(trace.length).toBe(i);
    expect(trace.problems).toEqual([]);
  }
});

test("any suffix that starts at a restart decodes by itself", async () => {
  const bytes = await written((sink) => {
    sink.clock({ domain: "boottime", originNs: 5n, errorNs: 0 });
    sink.metadata("host", "box");
    const process = sink.track({ kind: "process", name: "app", pid: 7, parentPid: 1 });
    const thread = sink.track({ kind: "thread", name: "t", tid: 7, pid: 7, parent: process });
    const cpu = sink.track({ kind: "cpu", name: "CPU 2", cpu: 2 });
    const frame = sink.frame({ name: "f", module: "/bin/app", address: 1n });
    const type = sink.eventType({ name: "packet", fields: [] });
    for (let second = 0; second < 30; second++) {
      const ts = (second * 1e9) as Ns;
      sink.slice(thread, ts, 5e8 as Ns, sink.string("work"), sink.string("c"), NO_ARGS);
      sink.typed(type, thread, (ts + 1) as Ns, NO_ARGS);
      sink.sample(thread, (ts + 2) as Ns, sink.stack(NO_STACK, frame), 10, 2);
      sink.switch(cpu, (ts + 3) as Ns, NO_TRACK, EMPTY_STRING, thread, 120);
      sink.switch(cpu, (ts + 4) as Ns, thread, sink.string("S"), NO_TRACK, 120);
      sink.watermark((ts + 5) as Ns);
    }
  });
  const whole = await readBytes(format, bytes);
  const starts = packetStarts(bytes);
  const restarts = starts.slice(0, -1).filter((start, i) => {
    const packet = new ProtoReader().over(bytes, start, starts[i + 1]!);
    packet.next();
    const fields = new ProtoReader().into(packet);
    while (fields.next()) if (fields.field === 13 && (fields.low & 1) !== 0) return true;
    return false;
  });
  expect(restarts.length).toBe(6);
  for (const [i, start] of restarts.entries()) {
    const suffix = await readBytes(format, bytes.slice(start));
    expect(suffix.problems).toEqual([]);
    expect(suffix.clock).toEqual(whole.clock);
    expect([...suffix.metadata]).toEqual([...whole.metadata]);
    const lines = dumpEvents(suffix).split("\n");
    const expected = dumpEvents(whole)
      .split("\n")
      .filter((line) => !/^\d/.test(line) || Number.parseInt(line, 10) >= i * 5e9)
      // What a thread did before its first event here is not known.
      .filter((line) => !line.includes("thread_state"));
    expect(lines.filter((line) => !line.includes("thread_state"))).toEqual(expected);
  }
});

test("a switch costs at most ten bytes", async () => {
  const switches = 20_000;
  const bytes = await written((sink) => {
    sink.clock({ domain: "monotonic", originNs: 10n ** 14n, errorNs: 0 });
    const cpus = [0, 1, 2, 3].map((cpu) => sink.track({ kind: "cpu", name: `CPU ${cpu}`, cpu }));
    const threads = Array.from({ length: 40 }, (_, i) =>
      sink.track({ kind: "thread", name: `worker-${i}`, tid: 100_000 + i, pid: 100_000 }),
    );
    const running = cpus.map(() => NO_TRACK);
    const sleeping = sink.string("S");
    for (let i = 0; i < switches; i++) {
      const next = threads[(i * 7) % threads.length]!;
      sink.switch(cpus[i % 4]!, (i * 5_000) as Ns, running[i % 4]!, sleeping, next, 120);
      running[i % 4] = next;
      if (i % 5000 === 4999) sink.watermark((i * 5_000) as Ns);
    }
  });
  expect(bytes.length / switches).toBeLessThan(10);
});

test("a slow output gets one piece at a time, in order, and its error comes back", async () => {
  const pieces: string[] = [];
  let inFlight = 0;
  const writer = new PerfettoWriter(async (bytes) => {
    expect(++inFlight).toBe(1);
    const before = Buffer.from(bytes).toString("hex");
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(Buffer.from(bytes).toString("hex")).toBe(before);
    pieces.push(before);
    inFlight--;
  });
  const thread = writer.track({ kind: "thread", name: "t", tid: 1, pid: 1 });
  for (let i = 0; i < 10; i++) {
    writer.instant(thread, i as Ns, writer.string("x"), EMPTY_STRING, NO_ARGS);
    writer.watermark(i as Ns);
  }
  expect(writer.queuedBytes).toBeGreaterThan(0);
  writer.close();
  await writer.drained();
  expect(writer.queuedBytes).toBe(0);
  expect((await readBytes(format, Buffer.from(pieces.join(""), "hex"))).length).toBe(10);

  const full = new PerfettoWriter(async () => {
    throw new Error("no space left on device");
  });
  full.watermark(1 as Ns);
  await expect(full.drained()).rejects.toThrow("no space left on device");
  expect(() => full.watermark(2 as Ns)).toThrow("no space left on device");
});

/** Bytes in use after a garbage collection. */
function liveBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test("memory does not grow with events", async () => {
  const writer = new PerfettoWriter(() => {});
  const thread = writer.track({ kind: "thread", name: "t", tid: 1, pid: 1 });
  const name = writer.string("n");
  const key = writer.string("k");
  const run = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      writer.args.int(key, i);
      writer.begin(thread, (i * 1000) as Ns, name, name, writer.args.done());
      writer.end(thread, (i * 1000 + 500) as Ns, NO_ARGS);
    }
  };
  run(0, 200_000);
  const before = liveBytes();
  run(200_000, 800_000);
  expect(liveBytes() - before).toBeLessThan(4 * 1024 * 1024);
});
