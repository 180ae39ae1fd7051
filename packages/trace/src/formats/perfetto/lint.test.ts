import { expect, test } from "vitest";
import { ProtoWriter } from "../../wire/protobuf.ts";
import { PerfettoLint } from "./lint.ts";
import {
  Clock,
  ClockSnapshot,
  CompactSched,
  FtraceEventBundle,
  InternedData,
  InternedText,
  SequenceFlag,
  TracePacket,
  TrackDescriptor,
  TrackEvent,
} from "./records.ts";

type Write = (out: ProtoWriter) => void;
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
const id = uint(TracePacket.trustedPacketSequenceId, 1);
const cleared = uint(TracePacket.sequenceFlags, SequenceFlag.incrementalStateCleared);
const needs = uint(TracePacket.sequenceFlags, SequenceFlag.needsIncrementalState);
const ts = uint(TracePacket.timestamp, 5);
const described = nest(TracePacket.trackDescriptor, uint(TrackDescriptor.uuid, 7));
const event = (...writes: Write[]) =>
  nest(TracePacket.trackEvent, uint(TrackEvent.type, 3), uint(TrackEvent.trackUuid, 7), ...writes);
const intern = (iid: number) =>
  nest(TracePacket.internedData, nest(InternedData.eventNames, uint(InternedText.iid, iid)));
const name = (iid: number) => uint(TrackEvent.nameIid, iid);

function lint(...packets: Write[][]): [rule: string, packet: number, count: number][] {
  const out = new ProtoWriter();
  for (const writes of packets) nest(1, ...writes)(out);
  const check = new PerfettoLint();
  // In two pushes: nothing may depend on where the file is cut.
  check.push(out.view().slice(0, out.length >> 1));
  check.push(out.view().slice(out.length >> 1));
  return check.end().map(({ rule, packet, count }) => [rule, packet, count]);
}

test("a file by the rules has no findings", () => {
  expect(
    lint([id, described], [id, cleared, ts, intern(1), event()], [id, needs, ts, event(name(1))]),
  ).toEqual([]);
});

test.each<[string, Write[][], [string, number, number][]]>([
  [
    "an event without a sequence id",
    [
      [id, described],
      [ts, event()],
    ],
    [["sequence-id", 1, 1]],
  ],
  ["a track that nobody describes", [[id, ts, event()]], [["descriptor", 0, 1]]],
  [
    "a parent that nobody describes",
    [
      [
        id,
        nest(
          TracePacket.trackDescriptor,
          uint(TrackDescriptor.uuid, 7),
          uint(TrackDescriptor.parentUuid, 8),
        ),
      ],
    ],
    [["descriptor", 1, 1]],
  ],
  [
    "a process without a pid",
    [
      [
        id,
        nest(
          TracePacket.trackDescriptor,
          uint(TrackDescriptor.uuid, 7),
          nest(TrackDescriptor.process),
        ),
      ],
    ],
    [["descriptor", 0, 1]],
  ],
  [
    "a name used before it is defined",
    [
      [id, described],
      [id, cleared, ts, event()],
      [id, needs, ts, event(name(2))],
      [id, needs, ts, event(name(3))],
    ],
    [["interning", 2, 2]],
  ],
  [
    "an iid of before the state was cleared",
    [
      [id, described],
      [id, cleared, ts, intern(1), event()],
      [id, cleared],
      [id, needs, ts, event(name(1))],
    ],
    [["interning", 3, 1]],
  ],
  [
    "an entry with iid 0",
    [
      [id, described],
      [id, cleared, ts, intern(0), event()],
    ],
    [["interning", 1, 1]],
  ],
  [
    "state needed before it was cleared",
    [
      [id, described],
      [id, needs, ts, event()],
    ],
    [["incremental-state", 1, 1]],
  ],
  [
    "interned data used without saying so",
    [
      [id, described],
      [id, cleared, intern(1)],
      [id, ts, event(name(1))],
    ],
    [["incremental-state", 2, 1]],
  ],
  [
    "an event without a timestamp",
    [
      [id, described],
      [id, event()],
    ],
    [["timestamp", 1, 1]],
  ],
  [
    "a sequence clock that no snapshot reads",
    [
      [id, described],
      [id, ts, uint(TracePacket.timestampClockId, 64), event()],
    ],
    [["clock", 1, 1]],
  ],
  [
    "a clock that no snapshot relates",
    [
      [
        id,
        nest(
          TracePacket.clockSnapshot,
          nest(ClockSnapshot.clocks, uint(Clock.clockId, 6), uint(Clock.timestamp, 1)),
          nest(ClockSnapshot.clocks, uint(Clock.clockId, 3), uint(Clock.timestamp, 1)),
        ),
      ],
      [id, described],
      [id, ts, uint(TracePacket.timestampClockId, 5), event()],
    ],
    [["clock", 2, 1]],
  ],
  [
    "a counter value on a track without a counter",
    [
      [id, described],
      [
        id,
        ts,
        nest(
          TracePacket.trackEvent,
          uint(TrackEvent.type, 4),
          uint(TrackEvent.trackUuid, 7),
          uint(TrackEvent.counterValue, 1),
        ),
      ],
    ],
    [["track", 1, 1]],
  ],
  [
    "scheduling columns that are not packed",
    [
      [
        id,
        nest(
          TracePacket.ftraceEvents,
          uint(FtraceEventBundle.cpu, 0),
          nest(FtraceEventBundle.compactSched, uint(CompactSched.switchTimestamp, 1)),
        ),
      ],
    ],
    [["packed", 0, 1]],
  ],
  ["a bundle without a cpu", [[id, nest(TracePacket.ftraceEvents)]], [["bundle", 0, 1]]],
])("%s", (_, packets, findings) => {
  expect(lint(...packets)).toEqual(findings);
});

test("a file cut short says so", () => {
  const out = new ProtoWriter();
  nest(1, id, described)(out);
  const check = new PerfettoLint();
  check.push(out.view().slice(0, -1));
  expect(check.end().map(({ rule, byteOffset }) => [rule, byteOffset])).toEqual([["framing", 0]]);
});
