import { describe, expect, test } from "vitest";
import type { Field, Site } from "../../bpf/site.ts";
import { TimeMerger } from "../perf/merge.ts";
import { MemorySource, originNs } from "../perf/synthetic.ts";
import { BpfDecoder } from "./decode.ts";
import { LateTexts, processMemory, unreadableName } from "./late-text.ts";
import { parseMark } from "./mark-text.ts";
import { probeRecord, request, testCapture } from "./synthetic.ts";

const u64At = (offset: number): Field => ({ type: "uint", offset, bytes: 8 });
const base = { bytes: 48, label: "marks", category: "mark", args: [] } as const;
const lateText: Field = { type: "text", offset: 16, bytes: 16, late: u64At(32) };
const pid: Field = { type: "uint", offset: 40, bytes: 4 };
const instant: Site = {
  ...base,
  id: 0,
  pid,
  kind: "instant",
  track: { kind: "thread" },
  name: lateText,
};
const mark: Site = { id: 1, bytes: 48, label: "marks", pid, kind: "mark", text: lateText };

/** A record with a text, or with the address of one. */
const said = (site: Site, ts: number, text: string | bigint, tid = 7) =>
  probeRecord(site, { tid, ts }, (view, bytes) => {
    if (typeof text === "string") bytes.set(Buffer.from(text), 16);
    else view.setBigUint64(32, text, true);
    view.setUint32(40, 5, true);
  });

function decode(
  records: readonly Uint8Array[],
  memory: (pid: number, address: bigint, most: number) => Uint8Array | undefined = () => undefined,
  before: (capture: ReturnType<typeof testCapture>) => void = () => {},
) {
  const capture = testCapture([{ tid: 7, pid: 5, parentPid: 1, name: "alice" }]);
  before(capture);
  const decoder = new BpfDecoder(capture.context, request([instant, mark]), {
    arch: "x64",
    memory,
  });
  const merger = new TimeMerger(
    [
      {
        source: new MemorySource(-1, records),
        time: (from, hi, lo) => decoder.time(from, hi, lo),
        handle: (from, ts) => decoder.record(from, ts),
      },
    ],
    originNs,
  );
  merger.drain(Infinity);
  return { decoder, lines: capture.sink.lines };
}

describe("names that the kernel could not read", () => {
  test("are read from the process, up to their NUL, once for each address", () => {
    const asked: string[] = [];
    const { lines, decoder } = decode(
      [said(instant, 1, "here"), said(instant, 2, 0x1000n), said(instant, 3, 0x1000n)],
      (of, address, most) => {
        asked.push(`${of} ${address} ${most}`);
        return Buffer.from("later\0and more");
      },
    );
    expect(lines).toEqual([
      "1 instant alice: here",
      "2 instant alice: later",
      "3 instant alice: later",
    ]);
    expect(asked).toEqual(["5 4096 16"]);
    expect(decoder.unreadableNames).toBe(0);
  });

  test("say so and are counted when nothing can be read any more; an empty name is none of them", () => {
    const { lines, decoder } = decode([
      said(instant, 1, 0x1000n),
      said(instant, 2, ""),
      said(instant, 3, 0x1000n),
    ]);
    expect(lines).toEqual([
      `1 instant alice: ${unreadableName}`,
      "2 instant alice: ",
      `3 instant alice: ${unreadableName}`,
    ]);
    expect(decoder.unreadableNames).toBe(2);
  });

  test("come from the mapped file when the process has ended", () => {
    const late = new LateTexts({
      memory: (of) => (of === 1 ? Buffer.from("living") : undefined),
      literal: (of) => (of === 2 ? Buffer.from("on disk\0") : undefined),
    });
    expect(late.name(1, 8n, 64)).toBe("living");
    expect(late.name(2, 8n, 64)).toBe("on disk");
    expect(late.text(3, 8n, 64)).toBeUndefined();
    expect(late.unreadable).toBe(0);
  });

  test.runIf(process.platform === "linux")("memory is read as far as there is any", () => {
    expect(processMemory(process.pid, 0n, 16)).toBeUndefined();
    expect(processMemory(2 ** 22 + 1, 0x1000n, 16)).toBeUndefined();
  });
});

test("words are events on the thread that says them", () => {
  const { lines, decoder } = decode([
    said(mark, 1, "kymo:start:a"),
    said(mark, 2, "kymo:instant:b"),
    said(mark, 3, "kymo:counter:c=4"),
    said(mark, 4, "kymo:flow-end:9"),
    said(mark, 5, "kymo:stop"),
    said(mark, 6, "kymo:x"),
    said(mark, 7, "/etc/passwd"),
    said(mark, 8, 0x1000n),
  ]);
  expect(lines).toEqual([
    "1 begin alice: a",
    "2 instant alice: b",
    "3 counter c 4",
    `4 flow ${9n ^ 0x6b79_6d6f_0000_0000n} end enclosing on alice`,
    "5 end alice",
  ]);
  expect([decoder.unknownMarks, decoder.unknownMark, decoder.unreadableNames]).toEqual([
    1,
    "kymo:x",
    0,
  ]);
});

test("the call by which something is said is not part of it: its slice ends before", () => {
  const { lines } = decode(
    [said(mark, 1, "kymo:start:a"), said(mark, 2, "kymo:stop")],
    undefined,
    ({ context }) => {
      context.tasks.task(7, 5).inSyscall = true;
    },
  );
  expect(lines).toEqual(["1 end alice", "1 begin alice: a", "2 end alice"]);
});

test.each([
  ["kymo:start:GET /a:b", { kind: "start", name: "GET /a:b" }],
  ["kymo:start:", { kind: "start", name: "" }],
  ["kymo:start", { kind: "start", name: "" }],
  ["kymo:stop", { kind: "stop" }],
  ["kymo:stop:GET", { kind: "stop" }],
  ["kymo:counter:a=b=-1.5e3", { kind: "counter", name: "a=b", value: -1500 }],
  ["kymo:counter:a", { kind: "unknown" }],
  ["kymo:counter:a=", { kind: "unknown" }],
  ["kymo:counter:a=Infinity", { kind: "unknown" }],
  ["kymo:flow-start:18446744073709551615", { kind: "flow", step: "start", id: 2n ** 64n - 1n }],
  ["kymo:flow-step:x", { kind: "unknown" }],
  ["kymo:", { kind: "unknown" }],
  ["kymo", undefined],
  ["/kymo:start:a", undefined],
  ["", undefined],
])("%s", (text, expected) => {
  expect(parseMark(text)).toEqual(expected);
});
