import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseEventFormat } from "../../linux/event-format.ts";
import type { TaskStatus } from "../../linux/proc.ts";
import { type DecoderSetup, type EventKind, PerfDecoder } from "./decode.ts";
import {
  execLayout,
  signalLayout,
  switchLayout,
  syscallEnterLayout,
  syscallExitLayout,
  wakingLayout,
} from "./layout.ts";
import { LineSink } from "./line-sink.ts";
import { markCalls } from "./mark-calls.ts";
import { TimeMerger } from "./merge.ts";
import { Misc, RecordType, recordTime } from "./records.ts";
import {
  callchainSample,
  MemorySource,
  originNs,
  putText,
  rawSample,
  sideBand,
} from "./synthetic.ts";
import { Tasks } from "./tasks.ts";

const common = `
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;
`;
const format = (name: string, fields: string, print = '"x"') =>
  parseEventFormat(`name: ${name}\nID: 1\nformat:${common}\n${fields}\nprint fmt: ${print}\n`)!;

const events = new Map<number, EventKind>([
  [
    1,
    {
      kind: "switch",
      layout: switchLayout(
        format(
          "sched_switch",
          `	field:char prev_comm[16];	offset:8;	size:16;	signed:0;
	field:pid_t prev_pid;	offset:24;	size:4;	signed:1;
	field:int prev_prio;	offset:28;	size:4;	signed:1;
	field:long prev_state;	offset:32;	size:8;	signed:1;
	field:char next_comm[16];	offset:40;	size:16;	signed:0;
	field:pid_t next_pid;	offset:56;	size:4;	signed:1;
	field:int next_prio;	offset:60;	size:4;	signed:1;`,
          'REC->prev_state ? __print_flags(REC->prev_state, "|", { 0x00000001, "S" }, { 0x00000002, "D" }, { 0x00000020, "Z" }) : "R"',
        ),
      ),
    },
  ],
  [
    2,
    {
      kind: "waking",
      layout: wakingLayout(
        format(
          "sched_waking",
          `	field:char comm[16];	offset:8;	size:16;	signed:0;
	field:pid_t pid;	offset:24;	size:4;	signed:1;
	field:int target_cpu;	offset:32;	size:4;	signed:1;`,
        ),
      ),
    },
  ],
  [
    3,
    {
      kind: "syscall-enter",
      layout: syscallEnterLayout(
        format(
          "sys_enter",
          `	field:long id;	offset:8;	size:8;	signed:1;
	field:unsigned long args[6];	offset:16;	size:48;	signed:0;`,
        ),
      ),
    },
  ],
  [
    4,
    {
      kind: "syscall-exit",
      layout: syscallExitLayout(
        format("sys_exit", "	field:long ret;	offset:16;	size:8;	signed:1;"),
      ),
    },
  ],
  [5, { kind: "sample", periodNs: 1_000_000 }],
  [
    6,
    {
      kind: "exec",
      layout: execLayout(
        format(
          "sched_process_exec",
          "	field:__data_loc char[] filename;	offset:8;	size:4;	signed:0;",
        ),
      ),
    },
  ],
  [
    7,
    {
      kind: "signal",
      layout: signalLayout(
        format(
          "signal_deliver",
          "	field:int sig;	offset:8;	size:4;	signed:1;\n	field:int code;	offset:16;	size:4;	signed:1;",
        ),
      ),
    },
  ],
  [8, { kind: "side-band" }],
]);

const at = (id: number, tid: number, ts: number, pid = tid) => ({ id, pid, tid, ts });
const switchRecord = (ts: number, prev: number, state: number, next: number) =>
  rawSample(at(1, prev, ts), 64, (raw) => {
    putText(raw, 8, `task${prev}`);
    raw.setInt32(24, prev, true);
    raw.setUint32(32, state, true);
    putText(raw, 40, `task${next}`);
    raw.setInt32(56, next, true);
    raw.setInt32(60, 120, true);
  });
const enter = (ts: number, tid: number, number: number, ...args: readonly number[]) =>
  rawSample(at(3, tid, ts), 64, (raw) => {
    raw.setBigInt64(8, BigInt(number), true);
    for (const [i, arg] of args.entries()) raw.setBigInt64(16 + 8 * i, BigInt(arg), true);
  });
const leave = (ts: number, tid: number, ret: bigint) =>
  rawSample(at(4, tid, ts), 24, (raw) => raw.setBigInt64(16, ret, true));
const fork = (ts: number, pid: number, tid: number, parent: number, parentTid = parent) =>
  sideBand(RecordType.fork, 0, at(8, parentTid, ts, parent), 24, (body) => {
    body.setUint32(0, pid, true);
    body.setUint32(4, parent, true);
    body.setUint32(8, tid, true);
    body.setUint32(12, parentTid, true);
  });
const exit = (ts: number, pid: number, tid: number) =>
  sideBand(RecordType.exit, 0, at(8, tid, ts, pid), 24, (body) => {
    body.setUint32(0, pid, true);
    body.setUint32(8, tid, true);
  });
const comm = (ts: number, pid: number, name: string, exec: boolean) =>
  sideBand(RecordType.comm, exec ? Misc.commExec : 0, at(8, pid, ts), 24, (body) => {
    body.setUint32(0, pid, true);
    body.setUint32(4, pid, true);
    putText(body, 8, name);
  });
const execFile = (ts: number, pid: number, file: string) =>
  rawSample(at(6, pid, ts), 20 + file.length + 1, (raw) => {
    raw.setUint32(8, 20 | ((file.length + 1) << 16), true);
    putText(raw, 20, file);
  });

interface Setup {
  readonly proc?: readonly TaskStatus[];
  readonly targetPid?: number;
  readonly everything?: boolean;
  readonly isMark?: DecoderSetup["isMark"];
}

/** Decodes the records of CPU 0, 1, … and gives the sink's calls as lines. */
function decode(cpus: readonly (readonly Uint8Array[])[], setup: Setup = {}) {
  const sink = new LineSink();
  const mappings: string[] = [];
  const tasks = new Tasks(sink, {
    host: sink.track({ kind: "host", name: "h" }),
    targetPid: setup.targetPid,
    readTask: (tid) => setup.proc?.find((task) => task.tid === tid),
  });
  const idleExits: string[] = [];
  const decoder = new PerfDecoder(sink, {
    tasks,
    cpus: new Map(cpus.map((_, cpu) => [cpu, sink.track({ kind: "cpu", name: `cpu${cpu}`, cpu })])),
    events,
    symbols: {
      map: (pid, mapping) => void mappings.push(`${pid} ${mapping.path} ${mapping.buildId ?? ""}`),
      exec: (pid) => void mappings.push(`${pid} exec`),
      exit: (pid) => void mappings.push(`${pid} exit`),
      frame: (_, ip, kernel) => ({ name: `${kernel ? "k" : "u"}${ip.toString(16)}` }),
    },
    everything: setup.everything ?? false,
    onIdleExit: (cpu, reported) => void idleExits.push(`${cpu} ${reported}`),
    arch: "x64",
    ...(setup.isMark === undefined ? {} : { isMark: setup.isMark }),
  });
  const merger = new TimeMerger(
    cpus.map((records, cpu) => ({
      source: new MemorySource(cpu, records),
      time: recordTime,
      handle: (source, ts) => decoder.record(source, ts),
    })),
    originNs,
  );
  merger.drain(Infinity);
  return { lines: sink.lines, decoder, mappings, idleExits };
}

describe("scheduling", () => {
  test("switches name the threads, the state and the idle task", () => {
    const { lines } = decode([[switchRecord(10, 0, 0, 41), switchRecord(20, 41, 2, 0)]]);
    expect(lines).toEqual(["10 switch cpu0: - R -> task41", "20 switch cpu0: task41 D -> -"]);
  });

  const waking = (ts: number, flags: number, tid = 7) =>
    rawSample(at(2, tid, ts), 36, (raw) => {
      raw.setUint8(2, flags);
      putText(raw, 8, "sleeper");
      raw.setInt32(24, 42, true);
      raw.setInt32(32, 1, true);
    });
  test("a wakeup from an interrupt has no waker", () => {
    expect(decode([[waking(1, 0), waking(2, 0x08)]]).lines).toEqual([
      "1 waking sleeper by thread 7 on 1",
      "2 waking sleeper by - on 1",
    ]);
  });

  test("a task that gave its ids back is still the waker", () => {
    const { lines } = decode([[waking(1, 0, -1), switchRecord(2, 0, 0, 41), waking(3, 0, -1)]]);
    expect(lines).toEqual([
      "1 waking sleeper by - on 1",
      "2 switch cpu0: - R -> task41",
      "3 waking sleeper by task41 on 1",
    ]);
  });

  test("records of several CPUs are decoded in order of time", () => {
    const { lines } = decode([
      [switchRecord(10, 0, 0, 1), switchRecord(40, 1, 1, 0)],
      [switchRecord(20, 0, 0, 2), switchRecord(30, 2, 1, 0)],
    ]);
    expect(lines.map((line) => line.split(" ")[0])).toEqual(["10", "20", "30", "40"]);
  });

  test("a CPU whose idle task is silent is switched by its context-switch records", () => {
    const switchIn = (ts: number, tid: number) =>
      sideBand(RecordType.switchCpuWide, 0, at(8, tid, ts), 8, () => {});
    const { lines, idleExits } = decode([
      [switchRecord(10, 5, 1, 0), switchIn(20, 6), switchRecord(30, 6, 1, 0)],
      [switchRecord(15, 0, 0, 7), switchIn(16, 7)],
    ]);
    expect(lines).toContain("20 switch cpu0: - R -> thread 6");
    expect(lines.filter((line) => line.includes("switch"))).toHaveLength(4);
    expect(idleExits).toEqual(["1 true", "0 false"]);
  });
});

describe("lives of tasks", () => {
  test("fork, exec and exit name the process and link parent and child", () => {
    const { lines, mappings } = decode(
      [
        [
          fork(10, 51, 51, 50),
          comm(20, 51, "true", true),
          execFile(21, 51, "/bin/true"),
          exit(30, 51, 51),
          switchRecord(31, 51, 0x20, 0),
        ],
      ],
      { proc: [{ tid: 50, pid: 50, parentPid: 1, name: "bash" }], targetPid: 50 },
    );
    expect(lines).toEqual([
      "10 life bash start bash",
      "10 life bash start bash",
      "10 instant bash: fork {pid=51}",
      "10 flow 1 start last on bash",
      "10 flow 1 end next on bash",
      "21 life bash exec /bin/true",
      "21 life bash exec /bin/true",
      "21 life bash rename true",
      "21 life bash rename true",
      "21 instant bash: exec {file=/bin/true}",
      "30 instant bash: exit",
      "30 life bash exit ",
      "30 life bash exit ",
      "31 switch cpu0: bash Z -> -",
    ]);
    expect(mappings).toEqual(["51 exec", "51 exit"]);
  });

  test("a task that is preempted while it exits is still the same", () => {
    const { lines } = decode([
      [
        fork(10, 51, 51, 50),
        exit(20, 51, 51),
        switchRecord(21, 51, 0, 7),
        switchRecord(22, 7, 1, 51),
        switchRecord(23, 51, 0x20, 0),
      ],
    ]);
    expect(lines.slice(-3)).toEqual([
      "21 switch cpu0: thread 50 R -> task7",
      "22 switch cpu0: task7 S -> thread 50",
      "23 switch cpu0: thread 50 Z -> -",
    ]);
  });

  test("a pid that is used again is a new track", () => {
    const { lines } = decode([
      [
        fork(10, 51, 51, 50),
        exit(20, 51, 51),
        switchRecord(21, 51, 0x20, 0),
        fork(30, 51, 51, 50),
        comm(40, 51, "second", false),
        switchRecord(50, 0, 0, 51),
      ],
    ]);
    expect(lines.filter((line) => line.includes("rename"))).toHaveLength(2);
    expect(lines.at(-1)).toBe("50 switch cpu0: - R -> thread 50");
  });
});

describe("system calls", () => {
  test("are slices with their result, and the errno's name when they failed", () => {
    const { lines } = decode([
      [
        enter(1, 9, 257),
        leave(2, 9, -2n),
        enter(3, 9, 0),
        leave(4, 9, 5n),
        enter(5, 9, 9999),
        leave(6, 9, 2n ** 62n),
      ],
    ]);
    expect(lines).toEqual([
      "1 begin thread 9: openat",
      "2 end thread 9 {ret=-2,errno=ENOENT}",
      "3 begin thread 9: read",
      "4 end thread 9 {ret=5}",
      "5 begin thread 9: syscall_9999",
      `6 end thread 9 {ret=${2n ** 62n}}`,
    ]);
  });

  test("those that mark an event are left out; those that look alike are not", () => {
    const faccessat = 269;
    const faccessat2 = 439;
    const { lines } = decode(
      [
        [
          enter(1, 9, 0),
          enter(2, 9, faccessat, -1, 0x1000, -932),
          leave(3, 9, -22n),
          enter(4, 9, faccessat2, -7, 0x1000, 0x1_0000_0000 - 935),
          leave(5, 9, -22n),
          enter(6, 9, faccessat2, -1, 0x1000, 4),
          leave(7, 9, 0n),
          enter(8, 9, 21, 0x1000, 4, -932),
          leave(9, 9, 0n),
        ],
      ],
      { isMark: markCalls("x64") },
    );
    expect(lines.map((line) => line.replace(/ \{.*/, ""))).toEqual([
      "1 begin thread 9: read",
      "2 end thread 9",
      "6 begin thread 9: faccessat2",
      "7 end thread 9",
      "8 begin thread 9: access",
      "9 end thread 9",
    ]);
  });

  test("an end without a begin is dropped, a begin whose end was lost is closed", () => {
    const { lines } = decode([[leave(1, 9, 0n), enter(2, 9, 0), enter(3, 9, 1), exit(4, 9, 9)]]);
    expect(lines.slice(0, 4)).toEqual([
      "2 begin thread 9: read",
      "3 end thread 9",
      "3 begin thread 9: write",
      "4 end thread 9",
    ]);
  });
});

describe("samples", () => {
  const chain = [-128n, 0xffff_ffff_8100_0010n, 0xffff_ffff_8100_0020n, -512n, 0x1000n, 0x2000n];

  test("callers are looked up by the byte before their return address", () => {
    const { lines } = decode([[callchainSample(at(5, 9, 1), chain)]], { everything: true });
    expect(lines).toEqual([
      "1 sample thread 9 u1fff;u1000;kffffffff8100001f;kffffffff81000010 1000000 cpu 0",
    ]);
  });

  test("only the target's are kept, and never the idle task's", () => {
    const { lines } = decode(
      [
        [
          callchainSample(at(5, 9, 1), chain),
          callchainSample(at(5, 10, 2), chain),
          callchainSample(at(5, 0, 3), chain),
        ],
      ],
      { targetPid: 10 },
    );
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("thread 10");
  });

  test("a callchain longer than its record is malformed", () => {
    const record = callchainSample(at(5, 9, 1), chain);
    new DataView(record.buffer).setUint32(32, 0x4000_0000, true);
    const { lines, decoder } = decode([[record]], { everything: true });
    expect(lines).toEqual([]);
    expect(decoder.malformed).toBe(1);
  });
});

test("losses are problems with CPU, count and time", () => {
  const lost = sideBand(RecordType.lost, 0, at(8, 0, 90), 16, (body) =>
    body.setBigUint64(8, 812n, true),
  );
  const { lines, decoder } = decode([[switchRecord(10, 0, 0, 41), lost]]);
  expect(lines.at(-1)).toBe(
    "problem lost-events cpu 0 count 812 from 10 to 90: the kernel's ring buffer of cpu 0 was full; raise --buffer-mb",
  );
  expect(decoder.lost).toBe(812);
});

test("signals of the target are instants with their name", () => {
  const signal = (tid: number) =>
    rawSample(at(7, tid, 5), 20, (raw) => {
      raw.setInt32(8, 15, true);
      raw.setInt32(16, -6, true);
    });
  expect(decode([[signal(10), signal(11)]], { targetPid: 10 }).lines).toEqual([
    "5 instant thread 10: SIGTERM {code=-6}",
  ]);
});

describe("any bytes", () => {
  const valid = [
    switchRecord(10, 0, 0, 41),
    enter(20, 41, 0),
    callchainSample(at(5, 41, 25), [-512n, 0x1000n, 0x2000n]),
    leave(30, 41, -2n),
    fork(40, 51, 51, 41),
    comm(50, 51, "true", true),
    execFile(60, 51, "/bin/true"),
    exit(70, 51, 51),
  ];

  test("records of random content are counted or decoded, never a crash", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            type: fc.oneof(fc.constantFrom(...Object.values(RecordType)), fc.nat(30)),
            misc: fc.nat(0xffff),
            words: fc.array(fc.nat(0xff), { minLength: 0, maxLength: 200 }),
          }),
          { maxLength: 20 },
        ),
        (records) => {
          decode(
            [
              records.map(({ type, misc, words }) => {
                const bytes = new Uint8Array(8 + Math.ceil(words.length / 8) * 8);
                bytes.set(words, 8);
                const view = new DataView(bytes.buffer);
                view.setUint32(0, type, true);
                view.setUint16(4, misc, true);
                view.setUint16(6, bytes.byteLength, true);
                return bytes;
              }),
            ],
            { everything: true },
          );
        },
      ),
    );
  });

  test("flipped bits and cut records too", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(7), fc.nat(), (which, byte, bit, cut) => {
        const records = valid.map((record) => record.slice());
        const record = records[which % records.length]!;
        record[8 + (byte % (record.length - 8))]! ^= 1 << bit;
        records[which % records.length] = record.slice(0, 8 + ((cut % record.length) & ~7));
        decode([records], { everything: true });
      }),
    );
  });
});
