import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
let dir: string;

beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "kymo-types-"));
  mkdirSync(path.join(dir, "node_modules"));
  symlinkSync(path.join(root, "packages/kymo"), path.join(dir, "node_modules/kymo"));
  writeFileSync(
    path.join(dir, "tsconfig.json"),
    JSON.stringify({
      extends: "kymo/tsconfig.probe.json",
      // The sources stand in for the declarations that the package ships.
      compilerOptions: { customConditions: ["source"] },
      include: ["*.ts"],
    }),
  );
});
afterAll(() => rmSync(dir, { recursive: true }));

/** What plain tsc says about a probe file: codes and messages. */
function check(files: Record<string, string>): string[] {
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
  const { stdout } = spawnSync(path.join(root, "node_modules/.bin/tsc"), ["-p", dir], {
    encoding: "utf8",
  });
  for (const name of Object.keys(files)) rmSync(path.join(dir, name));
  return stdout.split("\n").filter((line) => line !== "");
}

const good = `
  import { anySyscall, array, begin, cast, comm, count, counter, cpu, type cstr, end, errnoOf, eventType, hash, type i32, instant,
    interval, kstack, lhist, now, pid, print, profile, quantize, rawTracepoint, sample, schedSwitch, slice, span, str, syscall,
    syscallName, task, thread, tid, track, tracepoint, type u32, type u64, u8, unit, uprobe, uretprobe, ustack } from "kymo/probe";
  interface Kept { at: u64; who: cstr<16>; stack: kstack<8> }
  const kept = hash<[u32, cstr<8>], Kept>({ max: 10 });
  const total = array<u64>();
  const calls = count({ name: "calls" });
  const sizes = lhist(0, 100, 10, { unit: "bytes" });
  const packet = eventType("packet", { len: ["int", "bytes"], from: "text" });
  tracepoint("sched:sched_switch", (e) => {
    const k = kept.take([e.prev_pid, "x"]);
    if (k === undefined || now() - k.at < 5) return;
    kept.set([tid(), "y"], { at: now(), who: comm(), stack: kstack(8) });
    calls.add(); calls.add(comm()); sizes.add(e.prev_prio); total.increment(0, 2);
    print\`\${e.prev_comm} \${k.who}\`;
    return slice({ name: k.who, track: cpu(), start: k.at, args: { stack: k.stack, n: total.get(0) ?? 0 } });
  });
  rawTracepoint("sched_switch", (preempt, prev, next) => schedSwitch({ previous: prev.pid, previousPid: prev.tgid,
    state: preempt ? 0 : 1, next: next.pid, nextPid: next.tgid, priority: next.prio }));
  syscall("openat", (e) => instant({ name: str(e.filename, 256), track: track("files", pid()) }));
  syscall.exit("openat", (e) => counter({ name: "last", value: unit(e.ret, "fd") }));
  anySyscall.span((e) => span({ name: syscallName(e.id), end: (exit) => ({ error: errnoOf(exit.ret) }) }));
  uprobe("app", "work", (id: i32, what: cstr) => span({ name: str(what), args: { id: u8(id) }, end: (ret: i32) => ({ ret }) }));
  uretprobe("app", "work", (ret: u64) => packet({ len: ret, from: "app" }, thread()));
  profile(99, () => sample({ stacks: [kstack(), ustack()] }));
  interval("1s", () => counter({ name: "tasks", value: cast("struct task_struct", task()).pid }));
  begin(() => {}); end(() => {});
`;

test("every function of the import type-checks with plain tsc, without generated declarations", () => {
  expect(check({ "good.ts": good })).toEqual([]);
});

const kernel = `export {};
  declare module "kymo/probe" {
    interface Tracepoints { "sched:sched_switch": { readonly prev_pid: i32; readonly prev_comm: cstr; readonly prev_prio: i32 } }
    interface Structs { task_struct: { readonly pid: i32; readonly tgid: i32; readonly prio: i32; readonly real_parent: ptr<"task_struct"> } }
    interface RawTracepoints { sched_switch: [preempt: bool, prev: ptr<"task_struct">, next: ptr<"task_struct">, state: u32] }
    interface Syscalls { openat: { readonly filename: cstr } }
  }`;

test("with generated declarations it still does, and a typo is an error", () => {
  expect(check({ "kernel.d.ts": kernel, "good.ts": good })).toEqual([]);
  const errors = check({
    "kernel.d.ts": kernel,
    "typos.ts": `import { instant, rawTracepoint, syscall, task, tracepoint } from "kymo/probe";
      tracepoint("sched:sched_switch", (e) => instant({ name: e.prev_com }));
      rawTracepoint("sched_switch", (preempt, prev) => instant({ name: "x", args: { n: prev.real_parent.tgdi } }));
      syscall("openat", (e) => instant({ name: e.filenam }));
      tracepoint("sched:other", (e) => instant({ nmae: e.anything, name: "x" }));
      tracepoint("sched:other", () => instant({ name: "x", args: { n: task().pdi } }));`,
  });
  expect(errors.map((line) => /'(\w+)'/.exec(line)?.[1])).toEqual([
    "prev_com",
    "tgdi",
    "filenam",
    "nmae",
    "pdi",
  ]);
});
