/** Objects that clang made: linked, fitted to this kernel, loaded, attached, and what they say is checked. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FormatError } from "@kymo/trace";
import fc from "fast-check";
import { afterAll, beforeAll, expect } from "vitest";
import { BpfRing } from "../../../linux/bpf-ring.ts";
import { loadLibc } from "../../../linux/libc.ts";
import { dumpPrograms } from "../../../record/probes.ts";
import { commandPath, testNeeding } from "../../../testing/capability.ts";
import { ProbeError } from "../../program.ts";
import { Bpf } from "../bpf.ts";
import { BtfKind } from "../btf.ts";
import { openKernel } from "../index.ts";
import { loadSession } from "../session.ts";
import { kernelTypes } from "../vmlinux.ts";
import { loadObject, type ObjectProbes } from "./index.ts";

/** No headers: what libbpf's would give is spelled out. */
const source = `
typedef unsigned char u8; typedef unsigned int u32; typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define core __attribute__((preserve_access_index))
static void *(*ringbuf_reserve)(void *, u64, u64) = (void *)131;
static void (*ringbuf_submit)(void *, u64) = (void *)132;
static u64 (*ktime)(void) = (void *)5;
static u64 (*pid_tgid)(void) = (void *)14;
static long (*update)(void *, const void *, const void *, u64) = (void *)2;
static long (*repeat)(u32, void *, void *, u64) = (void *)181;

struct event { u64 ts; u32 tid; u32 tgid; char comm[16]; u32 sum; u8 absent; };
const struct event *unused __attribute__((unused));
struct { __uint(type, 27); __uint(max_entries, 65536); } events SEC(".maps");
struct { __uint(type, 1); __uint(max_entries, 8); __type(key, u32); __type(value, u64); } counts SEC(".maps");

struct list___any { void *next; } core;
struct task_struct___mine {
  char comm[16]; int absent; int pid, tgid; struct task_struct___mine *group_leader;
  unsigned in_execve : 1;
} core;
enum zone_type___mine { ZONE_NORMAL___mine = 77, NO_SUCH___mine };

const volatile u32 only = 7;
u64 base = 40;
u64 runs, task_bytes, normal, has_missing_enum, has_list, shift, rounds;
u32 wanted;

static __attribute__((noinline)) u32 add(u32 x) { return x + only + base; }
static long round(u32 i, void *context) { __sync_fetch_and_add(&rounds, i); return 0; }

SEC("tp_btf/sched_process_exec") int on_exec(u64 *context) {
  struct task_struct___mine *task = (void *)context[0];
  if ((pid_tgid() >> 32) == 0) return 0;
  task_bytes = __builtin_preserve_type_info(*(struct task_struct___mine *)0, 1);
  normal = __builtin_preserve_enum_value(*(enum zone_type___mine *)ZONE_NORMAL___mine, 1);
  has_missing_enum = __builtin_preserve_enum_value(*(enum zone_type___mine *)NO_SUCH___mine, 0);
  has_list = __builtin_preserve_type_info(*(struct list___any *)0, 0);
  shift = __builtin_preserve_field_info(task->in_execve, 4);
  repeat(4, round, 0, 0);
  struct event *event = ringbuf_reserve(&events, sizeof *event, 0);
  if (!event) return 0;
  event->ts = ktime();
  event->tid = task->pid;
  event->tgid = task->group_leader->tgid;
  __builtin_memcpy(event->comm, task->comm, 16);
  event->sum = add(1);
  event->absent = 1;
  if (!__builtin_preserve_field_info(task->absent, 2)) event->absent = 0;
  else event->sum = task->absent;
  ringbuf_submit(event, 0);
  return 0;
}
SEC("tracepoint/sched/sched_process_exec") int count(void *context) {
  u32 key = 1; u64 one = 1;
  __sync_fetch_and_add(&runs, 1);
  update(&counts, &key, &one, 0);
  return 0;
}
char _license[] SEC("license") = "Dual BSD/GPL";
`;

const clangTest = testNeeding("linux", "root", "bpf", "clang");
let directory = "";
let object = "";
function build(text: string, name: string, ...flags: readonly string[]): string {
  const file = path.join(directory, `${name}.bpf.c`);
  const out = path.join(directory, `${name}.bpf.o`);
  writeFileSync(file, text);
  execFileSync(
    "clang",
    ["-O2", "-g", ...flags, "-target", "bpf", "-mcpu=v3", "-c", file, "-o", out],
    {
      stdio: "pipe",
    },
  );
  return out;
}
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "kymo-object-"));
  if (commandPath("clang") !== undefined) object = build(source, "demo");
});
afterAll(() => rmSync(directory, { recursive: true }));

async function load(file: string): Promise<ObjectProbes> {
  return loadObject(file, await openKernel(await loadLibc()));
}

clangTest(
  "globals, subprograms, callbacks, maps and the kernel's layout are linked in",
  async () => {
    const libc = await loadLibc();
    const { set, compile } = await load(object);
    expect(set.foreign).toMatchObject({
      name: "event",
      time: { offset: 0, bytes: 8 },
      thread: { offset: 8, bytes: 4 },
      process: { offset: 12, bytes: 4 },
    });
    expect(set.foreign?.args.map(({ key }) => key)).toEqual(["comm", "sum", "absent"]);
    const session = loadSession(libc, set, compile);
    try {
      session.attach();
      execFileSync("true");
      session.detach();
      const ring = BpfRing.map(libc, session.ringFd, session.ringBytes);
      if (typeof ring === "number") throw new Error(`ring: ${ring}`);
      ring.refresh();
      const records: Buffer[] = [];
      while (ring.next())
        records.push(Buffer.from(ring.bytes.u8.slice(ring.at, ring.at + ring.size)));
      ring.unmap();
      const ours = records.find((record) => record.toString("latin1", 16, 20) === "true");
      if (ours === undefined) throw new Error("no record of true");
      expect(ours.readUInt32LE(8)).toBe(ours.readUInt32LE(12));
      expect(ours.readUInt32LE(32)).toBe(48);
      expect(ours.readUInt8(36)).toBe(0);
      const btf = kernelTypes()!.btf;
      const bss = globals(new Bpf(libc), set, session.maps);
      const offsets = variableOffsets(object);
      const value = (name: string): number => Number(bss.readBigUInt64LE(offsets.get(name)!));
      expect(value("runs")).toBeGreaterThan(0);
      expect(value("rounds")).toBe(6 * records.length); // 0 + 1 + 2 + 3 each time
      expect(value("task_bytes")).toBe(btf.bytes(btf.find("task_struct", BtfKind.struct)));
      const zones = btf.enumerators(btf.find("zone_type", BtfKind.enum));
      expect(BigInt(value("normal"))).toBe(zones.get("ZONE_NORMAL"));
      expect([value("has_missing_enum"), value("has_list")]).toEqual([0, 0]);
      const bit = [...btf.members(btf.find("task_struct", BtfKind.struct))];
      const place = bit.find(({ name }) => name === "in_execve")?.bitOffset;
      if (place !== undefined) expect(value("shift")).toBe(64 - ((place % 32) + 1));
    } finally {
      session.close();
    }
  },
);

function globals(
  bpf: Bpf,
  set: ObjectProbes["set"],
  fds: ReadonlyMap<ObjectProbes["set"]["ring"], number>,
): Buffer {
  const map = set.maps.find(({ name }) => name === ".bss")!;
  const value = Buffer.alloc(map.valueBytes);
  bpf.lookup(fds.get(map)!, new Uint8Array(4), value);
  return value;
}

/** By nm, where the object has its globals. */
function variableOffsets(file: string): Map<string, number> {
  const text = execFileSync("nm", [file], { encoding: "utf8" });
  return new Map(
    [...text.matchAll(/^([0-9a-f]+) B (\w+)$/gm)].map(([, at, name]) => [name!, Number(`0x${at}`)]),
  );
}

clangTest("kymo probe takes an object, alone", async () => {
  const probe = (...files: readonly string[]): Promise<string> =>
    dumpPrograms({ files, measure: false });
  const text = await probe(object);
  expect(text).toContain("tp_btf/sched_process_exec (on_exec): ");
  expect(text).toContain("tracepoint/sched/sched_process_exec (count): ");
  await expect(probe(object, "other.ts")).rejects.toThrow("is probed alone");
});

clangTest("what can't be loaded is said in words", async () => {
  const program = (section: string): string =>
    `__attribute__((section("${section}"), used)) int f(void *c) { return 0; }`;
  const license = `char _l[] __attribute__((section("license"), used)) = "GPL";`;
  await expect(load(build(program("xdp"), "a"))).rejects.toThrow("license is not stated");
  await expect(load(build(program("xdp") + license, "b"))).rejects.toThrow(
    "kymo does not attach programs of sections xdp",
  );
  await expect(load(build(program("tp_btf/sched_swich") + license, "c"))).rejects.toThrow(
    "this kernel has no raw tracepoint sched_swich",
  );
  await expect(load(build(license, "d"))).rejects.toThrow("no programs");
  await expect(load("/bin/true")).rejects.toThrow("expected code for BPF");
});

clangTest("any bytes: an error in words, never a crash", async () => {
  const kernel = await openKernel(await loadLibc());
  const bytes = readFileSync(object);
  const file = path.join(directory, "hostile.bpf.o");
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 }),
      (changes) => {
        const changed = Buffer.from(bytes);
        for (const [at, value] of changes) changed[at] = value;
        writeFileSync(file, changed);
        try {
          const { set, compile } = loadObject(file, kernel);
          for (const { handler } of set.probes) compile(handler);
        } catch (error) {
          if (!(error instanceof ProbeError) && !(error instanceof FormatError)) throw error;
        }
      },
    ),
    { numRuns: 300 },
  );
});
