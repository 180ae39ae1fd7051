import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Field, Site, TrackSelector } from "../../bpf/site.ts";
import type { TaskStatus } from "../../linux/proc.ts";
import { TimeMerger } from "../perf/merge.ts";
import { MemorySource, originNs } from "../perf/synthetic.ts";
import { BpfDecoder } from "./decode.ts";
import type { ProbeRequest } from "./request.ts";
import { probeRecord, request, testCapture } from "./synthetic.ts";
import { keyedTrackLimit } from "./tracks.ts";

const u32At = (offset: number): Field => ({ type: "uint", offset, bytes: 4 });
const u64At = (offset: number): Field => ({ type: "uint", offset, bytes: 8 });
const base = { id: 0, bytes: 48, label: "probe", category: "", args: [] } as const;
const named = (text: string) => ({ type: "const-text", value: text }) as const;
const thread: TrackSelector = { kind: "thread" };
const alice: TaskStatus = { tid: 7, pid: 5, parentPid: 1, name: "alice" };

function decode(
  sites: readonly Site[],
  records: readonly Uint8Array[],
  more: Partial<ProbeRequest> = {},
) {
  const { context, sink } = testCapture([alice, { ...alice, tid: 5, name: "leader" }]);
  const printed: string[] = [];
  const decoder = new BpfDecoder(context, request(sites, more), {
    arch: "x64",
    onPrint: (_, text) => void printed.push(text),
  });
  const source = new MemorySource(-1, records);
  const merger = new TimeMerger(
    [
      {
        source,
        time: (from, hi, lo) => decoder.time(from, hi, lo),
        handle: (from, ts) => decoder.record(from, ts),
      },
    ],
    originNs,
  );
  merger.drain(Infinity);
  return { lines: sink.lines, sink, decoder, printed };
}

describe("events", () => {
  test("an instant is on its thread, named and with its arguments", () => {
    const site: Site = {
      ...base,
      kind: "instant",
      track: thread,
      name: named("hit"),
      args: [
        { key: "n", value: { type: "int", offset: 16, bytes: 4 } },
        { key: "fixed", value: { type: "const-int", value: 2n ** 60n } },
      ],
    };
    const { lines, sink } = decode(
      [site],
      [probeRecord(site, { tid: 7, ts: 10 }, (view) => view.setInt32(16, -3, true))],
    );
    expect(lines).toEqual([`10 instant alice: hit {n=-3,fixed=${2n ** 60n}}`]);
    expect(
      sink.tracks.find(({ kind, name }) => kind === "thread" && name === "alice"),
    ).toMatchObject({ pid: 5, tid: 7 });
  });

  test("a slice goes from its start to the record, or as long as it says", () => {
    const toNow: Site = {
      ...base,
      kind: "slice",
      track: thread,
      name: named("a"),
      start: u64At(16),
    };
    const long: Site = { ...toNow, id: 1, name: named("b"), duration: u64At(24) };
    const at = (site: Site, start: number) =>
      probeRecord(site, { tid: 7, ts: 100 }, (view) => {
        view.setBigUint64(16, originNs + BigInt(start), true);
        view.setBigUint64(24, 5n, true);
      });
    const { lines, decoder } = decode([toNow, long], [at(toNow, 40), at(long, 50), at(toNow, 101)]);
    expect(lines).toEqual(["40 slice alice: a 60", "50 slice alice: b 5"]);
    expect(decoder.malformed).toBe(1); // it would end before it starts
  });

  test("begin, end and flows", () => {
    const begin: Site = {
      ...base,
      kind: "begin",
      track: thread,
      name: { type: "text", offset: 16, bytes: 8 },
      flow: { id: u64At(24), step: "start" },
    };
    const end: Site = { ...base, id: 1, kind: "end", track: thread, name: named("") };
    const { lines } = decode(
      [begin, end],
      [
        probeRecord(begin, { tid: 7, ts: 1 }, (view, bytes) => {
          bytes.set(Buffer.from("läuft\0?!"), 16);
          view.setBigUint64(24, 9n, true);
        }),
        probeRecord(end, { tid: 7, ts: 2 }),
      ],
    );
    const flow = 9n ^ 0x6b79_6d6f_0000_0000n;
    expect(lines).toEqual([
      "1 begin alice: läuft",
      `1 flow ${flow} start last on alice`,
      "2 end alice",
    ]);
  });

  test("a call that was left ends with the one around it, and an end without a begin ends nothing", () => {
    const outer: Site = { ...base, kind: "begin", track: thread, name: named("outer"), call: 1 };
    const inner: Site = { ...outer, id: 1, name: named("inner"), call: 2 };
    const outerEnd: Site = {
      ...outer,
      id: 2,
      kind: "end",
      args: [{ key: "ret", value: u64At(16) }],
    };
    const innerEnd: Site = { ...outerEnd, id: 3, call: 2 };
    const at = (site: Site, ts: number) =>
      probeRecord(site, { tid: 7, ts }, (view) => view.setBigUint64(16, BigInt(ts), true));
    const { lines } = decode(
      [outer, inner, outerEnd, innerEnd],
      [
        ...[at(outer, 1), at(inner, 2), at(outerEnd, 3)], // inner was left by longjmp
        ...[at(outer, 4), at(innerEnd, 5), at(outerEnd, 6)], // inner's begin was lost
        ...[at(outer, 7), at(outer, 8), at(outerEnd, 9), at(outerEnd, 10)], // recursion
      ],
    );
    expect(lines).toEqual([
      ...["1 begin alice: outer", "2 begin alice: inner", "3 end alice", "3 end alice {ret=3}"],
      ...["4 begin alice: outer", "6 end alice {ret=6}"],
      ...["7 begin alice: outer", "8 begin alice: outer", "9 end alice {ret=9}"],
      "10 end alice {ret=10}",
    ]);
  });

  test("a counter has a track of its name on the track it belongs to", () => {
    const site: Site = {
      ...base,
      kind: "counter",
      track: { kind: "cpu" },
      cpu: u32At(16),
      name: named("depth"),
      unit: "bytes",
      value: { type: "int", offset: 24, bytes: 8 },
    };
    const at = (cpu: number, ts: number, value: bigint) =>
      probeRecord(site, { tid: 7, ts }, (view) => {
        view.setUint32(16, cpu, true);
        view.setBigInt64(24, value, true);
      });
    const { lines, sink } = decode([site], [at(0, 1, -5n), at(1, 2, 2n ** 53n + 1n), at(0, 3, 6n)]);
    expect(lines).toEqual([
      "1 counter depth -5",
      `2 counter depth ${2n ** 53n + 1n}`,
      "3 counter depth 6",
    ]);
    const counters = sink.tracks.filter(({ kind }) => kind === "counter");
    expect(counters.map(({ unit, parent }) => [unit, sink.tracks[parent!]!.name])).toEqual([
      ["bytes", "cpu0"],
      ["bytes", "cpu1"],
    ]);
  });

  test("kernel frames stand on user frames, whatever the order of the fields", () => {
    const site: Site = {
      ...base,
      bytes: 16 + 8 + 24 + 24,
      kind: "sample",
      pid: u32At(16),
      stacks: [
        { type: "kernel-stack", offset: 24, bytes: 24 },
        { type: "user-stack", offset: 48, bytes: 24 },
      ],
      weight: 1000,
    };
    const at = (ts: number, kernelBytes: bigint) =>
      probeRecord(site, { tid: 7, ts }, (view) => {
        view.setUint32(16, 5, true);
        view.setBigInt64(24, kernelBytes, true);
        view.setBigUint64(32, 0xffffn, true);
        view.setBigUint64(40, 0xf010n, true);
        view.setBigInt64(48, 16n, true);
        view.setBigUint64(56, 0x1000n, true);
        view.setBigUint64(64, 0x2001n, true);
      });
    const { lines } = decode([site], [at(1, 16n), at(2, -14n), at(3, 4096n)]);
    expect(lines).toEqual([
      "1 sample alice u5:2000;u5:1000;kf00f;kffff 1000 cpu -1",
      "2 sample alice u5:2000;u5:1000 1000 cpu -1",
      "3 sample alice u5:2000;u5:1000;kf00f;kffff 1000 cpu -1", // no further than the field
    ]);
  });

  test("switches and wakeups, with the kernel's bits as letters", () => {
    const change: Site = {
      ...base,
      kind: "switch",
      cpu: u32At(16),
      previous: u32At(20),
      previousPid: u32At(20),
      state: u32At(24),
      next: u32At(28),
      nextPid: u32At(28),
      nextName: { type: "text", offset: 32, bytes: 16 },
      priority: { type: "int", offset: 16, bytes: 4 },
    };
    const waking: Site = {
      ...base,
      id: 1,
      kind: "waking",
      thread: u32At(16),
      targetCpu: u32At(20),
      interrupt: u32At(24),
    };
    const at = (ts: number, state: number, next: number) =>
      probeRecord(change, { tid: 7, ts }, (view, bytes) => {
        view.setUint32(20, 7, true);
        view.setUint32(24, state, true);
        view.setUint32(28, next, true);
        bytes.set(Buffer.from("bob"), 32);
      });
    const woken = (ts: number, tid: number, interrupt: number) =>
      probeRecord(waking, { tid, ts }, (view) => {
        view.setUint32(16, 9, true);
        view.setUint32(20, 1, true);
        view.setUint32(24, interrupt, true);
      });
    const { lines } = decode(
      [change, waking],
      [
        at(1, 0x402, 0),
        at(2, 2, 9),
        at(3, 0, 9),
        at(4, 0x80, 9),
        woken(5, 7, 0),
        woken(6, 7, 1),
        woken(7, 0, 0),
      ],
    );
    expect(lines).toEqual([
      "1 switch cpu0: alice I -> -",
      "2 switch cpu0: alice D -> bob",
      "3 switch cpu0: alice R -> bob",
      "4 switch cpu0: alice X -> bob",
      "5 waking bob by alice on 1",
      "6 waking bob by - on 1",
      "7 waking bob by - on 1",
    ]);
  });

  test("a declared event type gets its fields", () => {
    const site: Site = {
      ...base,
      kind: "typed",
      eventType: "packet",
      track: { kind: "process" },
      pid: u32At(16),
      args: [
        { key: "len", value: u32At(20) },
        { key: "from", value: { type: "address", offset: 24, bytes: 4 } },
        { key: "to", value: { type: "address", offset: 28, bytes: 16 } },
      ],
    };
    const { lines } = decode(
      [site],
      [
        probeRecord(site, { tid: 7, ts: 1 }, (view, bytes) => {
          view.setUint32(16, 5, true);
          view.setUint32(20, 60, true);
          bytes.set([10, 0, 0, 1], 24);
          bytes.set([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 28);
        }),
      ],
      { eventTypes: [{ name: "packet", fields: [{ name: "len", type: "int" }] }] },
    );
    expect(lines).toEqual(["1 packet leader {len=60,from=10.0.0.1,to=fe80::1}"]);
  });

  test("what is printed can't act on the terminal; the trace has it as it is", () => {
    const site: Site = {
      ...base,
      kind: "print",
      pieces: ["says\n", "!"],
      values: [{ type: "text", offset: 16, bytes: 16 }],
      pid: u32At(32),
    };
    const { lines, printed } = decode(
      [site],
      [
        probeRecord(site, { tid: 7, ts: 1 }, (view, bytes) => {
          bytes.set(Buffer.from("\u001b[31mre\nd\u0007\0"), 16);
          view.setUint32(32, 5, true);
        }),
      ],
    );
    expect(printed).toEqual(["says\n\ufffd[31mre\ufffdd\ufffd!"]);
    expect(lines.join()).toContain("says\n\u001b[31mre\nd\u0007!");
  });

  test("a printed line is a log line of the trace, too", () => {
    const site: Site = {
      ...base,
      kind: "print",
      pieces: ["call ", " gave ", " (", ")\n"],
      values: [
        { type: "name", of: "syscall", offset: 16, bytes: 4 },
        { type: "name", of: "errno", offset: 20, bytes: 4 },
        { type: "choice", offset: 24, bytes: 1, texts: ["no", "yes"] },
      ],
    };
    const { lines, printed } = decode(
      [site],
      [
        probeRecord(site, { tid: 7, ts: 1 }, (view) => {
          view.setInt32(16, 257, true);
          view.setInt32(20, -2, true);
          view.setUint8(24, 1);
        }),
      ],
    );
    expect(printed).toEqual(["call openat gave ENOENT (yes)\n"]);
    expect(lines).toEqual(["1 log alice info: call openat gave ENOENT (yes)\n"]);
  });
});

describe("tracks", () => {
  const queue = (under: "host" | "process" | "thread", key?: readonly Field[]): Site => ({
    ...base,
    kind: "instant",
    track: { kind: "named", name: "queue", under, ...(key === undefined ? {} : { key }) },
    pid: u32At(16),
    name: named("x"),
  });
  const at = (site: Site, tid: number, key: number, text = "") =>
    probeRecord(site, { tid, ts: 1 }, (view, bytes) => {
      view.setUint32(16, 5, true);
      view.setUint32(20, key, true);
      bytes.set(Buffer.from(text), 24);
    });
  const customs = (sink: {
    readonly tracks: readonly { kind: string; name: string; parent?: number }[];
  }) =>
    sink.tracks
      .filter(({ kind }) => kind === "custom")
      .map(({ name, parent }) => `${sink.tracks[parent!]!.name}/${name}`);

  test("a named track is one, or one for each key, where it hangs", () => {
    const host = queue("host");
    expect(customs(decode([host], [at(host, 7, 1), at(host, 5, 2)]).sink)).toEqual(["host/queue"]);
    const byKey = queue("thread", [u32At(20)]);
    expect(
      customs(
        decode([byKey], [at(byKey, 7, 1), at(byKey, 5, 1), at(byKey, 7, 2), at(byKey, 7, 1)]).sink,
      ),
    ).toEqual(["alice/queue 1", "leader/queue 1", "alice/queue 2"]);
    const byText = queue("process", [u32At(20), { type: "text", offset: 24, bytes: 8 }]);
    expect(
      customs(
        decode(
          [byText],
          [at(byText, 7, 1, "eth0"), at(byText, 5, 1, "eth0"), at(byText, 7, 1, "lo")],
        ).sink,
      ),
    ).toEqual(["leader/queue 1 eth0", "leader/queue 1 lo"]);
  });

  test("past the limit, keys share one track and are counted", () => {
    const site = queue("host", [u32At(20)]);
    const records = Array.from({ length: keyedTrackLimit + 3 }, (_, key) => at(site, 7, key));
    const { sink, decoder } = decode([site], records);
    expect(customs(sink)).toHaveLength(keyedTrackLimit + 1);
    expect(customs(sink).at(-1)).toBe("host/queue (others)");
    expect(decoder.beyondTrackLimit).toBe(3);
  });

  test("the idle task is no thread: its events are the CPU's where that is known", () => {
    const onCpu: Site = {
      ...base,
      kind: "instant",
      track: thread,
      cpu: u32At(20),
      name: named("tick"),
    };
    const unknown: Site = { ...base, id: 1, kind: "instant", track: thread, name: named("tick") };
    const { lines } = decode([onCpu, unknown], [at(onCpu, 0, 1), at(unknown, 0, 1)]);
    expect(lines).toEqual(["1 instant cpu1: tick", "1 instant idle (task 0): tick"]);
  });
});

describe("values", () => {
  const numbers = fc.record({
    bytes: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    signed: fc.boolean(),
    offset: fc.integer({ min: 16, max: 40 }),
    value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  });
  test("numbers of every width, sign and place are what a bigint would read", () => {
    fc.assert(
      fc.property(numbers, ({ bytes, signed, offset, value }) => {
        const site: Site = {
          ...base,
          kind: "instant",
          track: thread,
          name: named("x"),
          args: [{ key: "v", value: { type: signed ? "int" : "uint", offset, bytes } }],
        };
        const { lines } = decode(
          [site],
          [
            probeRecord(site, { tid: 7, ts: 1 }, (_, to) => {
              for (let i = 0; i < bytes; i++)
                to[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
            }),
          ],
        );
        const exact = signed ? BigInt.asIntN(8 * bytes, value) : BigInt.asUintN(8 * bytes, value);
        expect(lines).toEqual([`1 instant alice: x {v=${exact}}`]);
      }),
    );
  });

  test("texts end with a NUL or with the field, and equal ones are one string", () => {
    const site: Site = {
      ...base,
      kind: "instant",
      track: thread,
      name: { type: "text", offset: 16, bytes: 4 },
    };
    const at = (text: string) =>
      probeRecord(site, { tid: 7, ts: 1 }, (_, bytes) =>
        bytes.set(Buffer.from(text, "latin1"), 16),
      );
    const { lines } = decode([site], ["ab\0z", "abcd", "ab\0y", "", "\xff"].map(at));
    expect(lines.map((line) => line.replace("1 instant alice: ", ""))).toEqual([
      "ab",
      "abcd",
      "ab",
      "",
      "\ufffd",
    ]);
  });
});

describe("records of other compilers", () => {
  const record = (fill: (view: DataView) => void): Uint8Array => {
    const bytes = new Uint8Array(32);
    fill(new DataView(bytes.buffer));
    return bytes;
  };
  const foreign = { name: "event", bytes: 32, args: [{ key: "n", value: u32At(20) }] };

  test("with a time and a thread they are events of that thread, with a duration slices", () => {
    const records = [
      record((view) => {
        view.setBigUint64(0, originNs + 50n, true);
        view.setBigUint64(8, 7n, true);
        view.setUint32(16, 7, true);
        view.setUint32(20, 3, true);
      }),
    ];
    const placed = { ...foreign, time: u64At(0), thread: u32At(16) };
    expect(decode([], records, { foreign: placed }).lines).toEqual([
      "50 instant alice: event {n=3}",
    ]);
    const long = { ...placed, duration: u64At(8) };
    expect(decode([], records, { foreign: long }).lines).toEqual(["50 slice alice: event 7 {n=3}"]);
  });

  test("without, they are on a track of their name, when they are drained", () => {
    const { lines, decoder } = decode([], [record(() => {}), new Uint8Array(24)], { foreign });
    expect(lines).toEqual(["0 instant event: event {n=0}"]);
    expect(decoder.malformed).toBe(1);
  });
});

test("any bytes are decoded or counted as malformed, never more", () => {
  const site: Site = {
    ...base,
    kind: "slice",
    track: {
      kind: "named",
      name: "t",
      key: [{ type: "text", offset: 24, bytes: 16 }],
      under: "thread",
    },
    name: { type: "text", offset: 24, bytes: 16 },
    start: u64At(16),
    pid: u32At(40),
  };
  // Half of them claim to be of that site.
  const body = fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 64 }));
  fc.assert(
    fc.property(fc.array(body), (bodies) => {
      const records = bodies.map(([known, content]) => {
        const bytes = new Uint8Array(Math.ceil(content.byteLength / 8) * 8);
        bytes.set(content);
        if (known) bytes.fill(0, 0, 4);
        return bytes;
      });
      const { decoder, lines } = decode([site], records);
      const events = lines.filter((line) => line.includes(" slice "));
      expect(events.length + decoder.malformed).toBe(records.length);
    }),
  );
});
