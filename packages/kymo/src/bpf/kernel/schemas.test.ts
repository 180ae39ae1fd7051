/** What schemas say: of a made-up tracefs, of both machines, of this kernel, and when something is not there. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadLibc } from "../../linux/libc.ts";
import { testNeeding } from "../../testing/capability.ts";
import { type EventField, type EventSchema, isMissing, type Missing } from "../schema.ts";
import { cType } from "./c-type.ts";
import { openKernel } from "./index.ts";
import { suggestions } from "./suggest.ts";
import { anySyscallSchema, syscallSchema } from "./syscalls.ts";
import { rawTracepointSchema, tracepointSchema } from "./tracepoints.ts";
import { typeText } from "./type-text.ts";

const common = `	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;
`;
const formats = {
  "demo/one": `name: one
ID: 7
format:
${common}
	field:char comm[16];	offset:8;	size:16;	signed:0;
	field:__data_loc char[] name;	offset:24;	size:4;	signed:0;
	field:__rel_loc char[] place;	offset:28;	size:4;	signed:0;
	field:const struct sk_buff * skb;	offset:32;	size:8;	signed:0;
	field:__u8 saddr[4];	offset:40;	size:4;	signed:0;
	field:bool on;	offset:44;	size:1;	signed:0;
	field:s64 delta;	offset:48;	size:8;	signed:1;
	field:const char * text;	offset:56;	size:8;	signed:0;

print fmt: ""
`,
  "syscalls/sys_enter_openat": `name: sys_enter_openat
ID: 8
format:
${common}
	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
	field:int dfd;	offset:16;	size:8;	signed:0;
	field:const char * filename;	offset:24;	size:8;	signed:0;

print fmt: ""
`,
};
let tracefs = "";
beforeAll(() => {
  tracefs = mkdtempSync(path.join(tmpdir(), "kymo-tracefs-"));
  for (const [event, text] of Object.entries(formats)) {
    mkdirSync(path.join(tracefs, "events", event), { recursive: true });
    writeFileSync(path.join(tracefs, "events", event, "format"), text);
  }
});
afterAll(() => rmSync(tracefs, { recursive: true }));

function found(answer: EventSchema | Missing): EventSchema {
  if (isMissing(answer)) throw new Error(answer.missing);
  return answer;
}
const brief = ({ name, type, access, pointee }: EventField): unknown[] => [
  name,
  typeText(type),
  access.how,
  "offset" in access ? access.offset : undefined,
  pointee,
];

test("fields of a tracepoint: texts, arrays, pointers, numbers; none that programs can't read", () => {
  expect(found(tracepointSchema(tracefs, "demo", "one", undefined)).fields.map(brief)).toEqual([
    ["comm", "char[16]", "inline", 8, "direct"],
    ["name", "text", "dataLocation", 24, "direct"],
    ["place", "text", "dataLocation", 28, "direct"],
    ["skb", "struct sk_buff*", "load", 32, "kernel"],
    ["saddr", "u8[4]", "inline", 40, "direct"],
    ["on", "bool", "load", 44, "kernel"],
    ["delta", "i64", "load", 48, "kernel"],
    ["text", "cstr", "load", 56, "kernel"],
  ]);
});

test("arguments of system calls are the program's: an int is half of its 8 bytes, texts are its texts", () => {
  const { fields } = found(tracepointSchema(tracefs, "syscalls", "sys_enter_openat", undefined));
  expect(fields.map(brief)).toEqual([
    ["__syscall_nr", "i32", "load", 8, "user"],
    ["dfd", "i32", "load", 16, "user"],
    ["filename", "cstr", "load", 24, "user"],
  ]);
});

test("a tracepoint that is not there names what is near", () => {
  expect(tracepointSchema(tracefs, "demo", "on", undefined)).toMatchObject({
    missing: "this kernel has no tracepoint demo:on",
  });
  expect(tracepointSchema(tracefs, "dmo", "one", undefined)).toEqual({
    missing: "this kernel has no tracepoints of dmo",
    suggestions: ["demo:one"],
  });
  expect(tracepointSchema(tracefs, "..", "..", undefined)).toHaveProperty("missing");
});

test("system calls: registers of each machine, the number to wait for, what came instead", () => {
  const x64 = { arch: "x64", tracefs, types: undefined } as const;
  const openat = found(syscallSchema("openat", "enter", x64));
  expect(openat.target).toEqual({ kind: "raw-tracepoint", event: "sys_enter", btf: false });
  expect(openat.only?.equals).toBe(257n);
  const indirect = { how: "indirect", offset: 0, memory: "kernel" };
  expect(openat.fields.find(({ name }) => name === "dfd")?.access).toEqual({
    ...indirect,
    displacement: 112,
    type: { bits: 32, signed: true },
  });
  const arm64 = { ...x64, arch: "arm64" } as const;
  const exit = found(syscallSchema("openat", "exit", arm64));
  expect(exit.only).toMatchObject({
    equals: 56n,
    field: { access: { ...indirect, displacement: 280, type: { bits: 32, signed: true } } },
  });
  expect(exit.fields.find(({ name }) => name === "dfd")?.access).toMatchObject({
    displacement: 272,
  });
  expect(exit.result?.name).toBe("ret");
  expect(syscallSchema("open", "enter", arm64)).toMatchObject({
    missing: "arm64 has no system call open",
    suggestions: expect.arrayContaining(["openat"]),
  });
  expect(syscallSchema("sys_enter_openat", "enter", x64)).toMatchObject({
    suggestions: expect.arrayContaining(["openat"]),
  });
  const unnamed = found(syscallSchema("close", "enter", x64));
  expect(unnamed.fields.map(({ name }) => name)).toContain("arg0");
  expect(unnamed.notes).toHaveLength(1);
  expect(anySyscallSchema("exit", x64).fields.map(({ name }) => name)).toContain("ret");
});

test("a kernel without BTF has raw tracepoints of plain numbers", () => {
  const schema = found(rawTracepointSchema("sched_switch", undefined));
  expect(schema.target).toMatchObject({ btf: false });
  expect(schema.fields[2]).toMatchObject({ name: "2", access: { offset: 16 }, pointee: "kernel" });
});

test("types as tracefs spells them", () => {
  const text = (spelled: string, bytes: number, signed = false): string =>
    typeText(cType(spelled, bytes, signed, undefined));
  expect(text("unsigned long long", 8)).toBe("u64");
  expect(text("pid_t", 4, true)).toBe("i32");
  expect(text("const char *const *", 8)).toBe("cstr*");
  expect(text("unsigned long[8]", 64)).toBe("u64[8]");
  expect(text("void __seg_gs *", 8)).toBe("void*");
  expect(text("struct timespec64", 16)).toBe("struct timespec64");
});

test("near names: a slip of the finger first, then those that contain the word", () => {
  const names = ["sched_switch", "sched_waking", "context_switch", "switch", "irq_entry"];
  expect(suggestions("sched_swich", names)[0]).toBe("sched_switch");
  expect(suggestions("switch_", names)[0]).toBe("switch");
  expect(suggestions("zzzzzz", names)).toEqual([]);
});

testNeeding(
  "linux",
  "root",
  "bpf",
)("this kernel: perf events, types, functions", async () => {
  const kernel = await openKernel(await loadLibc());
  expect(kernel.perfEvent("page-faults")).toEqual({ type: 1, config: 2 });
  expect(kernel.perfEvent("page-fault")).toMatchObject({ suggestions: ["page-faults"] });
  expect(kernel.type("struct task_struct")).toMatchObject({ kind: "struct", name: "task_struct" });
  expect(kernel.type("tsk_struct")).toMatchObject({
    suggestions: expect.arrayContaining(["task_struct"]),
  });
  for (const answer of [kernel.kprobe("vfs_read", "entry"), kernel.fentry("vfs_read", "entry")])
    if (isMissing(answer)) expect(answer.fix).toContain("use a tracepoint");
    else expect(answer.fields.map(({ name }) => name)).toEqual(["file", "buf", "count", "pos"]);
});
