import { expect, test } from "vitest";
import { testNeeding } from "../testing/capability.ts";
import { errnoName, SyscallError } from "./errno.ts";
import { fieldOffset, parseEventFormat, taskStateLetters } from "./event-format.ts";
import { encodeAttr, explainPerfError, PerfType, SampleType } from "./perf-event.ts";
import { parseCpuList, readTask, seesHostPids, threadsOf } from "./proc.ts";
import { syscallName } from "./syscall-names.ts";

const schedSwitch = `name: sched_switch
ID: 372
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;

	field:char prev_comm[16];	offset:8;	size:16;	signed:0;
	field:pid_t prev_pid;	offset:24;	size:4;	signed:1;
	field:__data_loc char[] filename;	offset:28;	size:4;	signed:0;

print fmt: "prev_state=%s%s", __print_flags(REC->prev_state, "|", { 0x00000001, "S" }, { 0x00000002, "D" }), "x"
`;

test("a format file gives id, offsets and the letters of task states", () => {
  const format = parseEventFormat(schedSwitch)!;
  expect(format.id).toBe(372);
  expect(fieldOffset(format, "prev_pid", 4)).toBe(24);
  expect(format.fields.get("prev_comm")?.type).toBe("char[16]");
  expect(format.fields.get("filename")?.type).toBe("__data_loc char[]");
  expect([...taskStateLetters(format)]).toEqual([
    [1, "S"],
    [2, "D"],
  ]);
});

test("a field that is missing or has another width is an error in words", () => {
  const format = parseEventFormat(schedSwitch)!;
  expect(() => fieldOffset(format, "next_pid", 4)).toThrow(
    "the kernel's sched_switch event has no field next_pid",
  );
  expect(() => fieldOffset(format, "prev_pid", 8)).toThrow("has prev_pid with 4 bytes; expected 8");
});

test("text that is no format file gives undefined", () => {
  for (const text of ["", "name: x\n", "ID: 4\n", "name: x\nID: 4\nformat:\n"])
    expect(parseEventFormat(text)).toBeUndefined();
});

test("attributes are laid out as the header has them", () => {
  const bytes = encodeAttr({
    type: PerfType.tracepoint,
    config: 372,
    period: 1,
    sampleType: SampleType.raw | SampleType.time,
    readFormat: 16,
    flags: ["disabled", "sampleIdAll", "useClockid", "buildId"],
    clock: 1,
  });
  const view = new DataView(bytes.buffer);
  expect(view.getUint32(0, true)).toBe(2);
  expect(view.getUint32(4, true)).toBe(bytes.byteLength);
  expect(view.getBigUint64(8, true)).toBe(372n);
  expect(view.getBigUint64(24, true)).toBe(0x404n);
  expect(view.getBigUint64(40, true)).toBe(1n | (1n << 18n) | (1n << 25n) | (1n << 34n));
  expect(view.getInt32(92, true)).toBe(1);
});

test("errors carry the call, the errno's name and the object", () => {
  expect(errnoName(13)).toBe("EACCES");
  expect(errnoName(11)).toBe("EAGAIN");
  expect(errnoName(9999)).toBe("errno 9999");
  expect(new SyscallError("mmap(ring)", 12).message).toBe("mmap(ring): ENOMEM");
  expect(explainPerfError(24, "cpu 3", 1)).toBe(
    "perf_event_open(cpu 3): EMFILE; raise the limit of open files (ulimit -n)",
  );
});

test("CPU lists", () => {
  expect(parseCpuList("0-2,5\n")).toEqual([0, 1, 2, 5]);
  expect(parseCpuList("")).toEqual([0]);
  expect(parseCpuList("0-99999999999")).toEqual([]);
});

test("system calls have the names of their architecture", () => {
  expect(["x64", "arm64"].map((arch) => syscallName(arch, 0))).toEqual(["read", "io_setup"]);
  expect(syscallName("x64", 257)).toBe("openat");
  expect(syscallName("arm64", 56)).toBe("openat");
  expect(syscallName("x64", 298)).toBe("perf_event_open");
  expect(syscallName("arm64", 241)).toBe("perf_event_open");
  expect(syscallName("x64", 435)).toBe("clone3");
  expect(syscallName("x64", -1)).toBe("syscall_-1");
});

testNeeding("linux")("/proc tells of this process", () => {
  const own = readTask(process.pid)!;
  expect(own).toMatchObject({ pid: process.pid, tid: process.pid, parentPid: process.ppid });
  expect(threadsOf(process.pid)).toContain(process.pid);
  expect(threadsOf(2 ** 30)).toEqual([]);
  expect(readTask(2 ** 30)).toBeUndefined();
  expect(typeof seesHostPids()).toBe("boolean");
});
