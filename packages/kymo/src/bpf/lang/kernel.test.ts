/** The verifier takes what the language makes: every construct, on events of this machine. */
import { beforeAll, expect } from "vitest";
import { type Libc, loadLibc } from "../../linux/libc.ts";
import { testNeeding } from "../../testing/capability.ts";
import { compile } from "../codegen/index.ts";
import { openKernel } from "../kernel/index.ts";
import { loadSession } from "../kernel/session.ts";
import type { Kernel } from "../schema.ts";
import { loadProbes } from "./index.ts";

const kernelTest = testNeeding("linux", "root", "bpf", "tracepoints");
let libc: Libc;
let kernel: Kernel;
beforeAll(async () => {
  libc = await loadLibc();
  kernel = await openKernel(libc);
});

const onSwitch = (body: string) => `tracepoint("sched:sched_switch", (e) => { ${body} });`;
const onWalk = (body: string) =>
  `rawTracepoint("sched_switch", (preempt, prev, next) => { ${body} });`;

const programs: readonly [string, string][] = [
  [
    "inline text is compared",
    onSwitch(
      `if (e.next_comm === "swapper/0" || comm().startsWith("kw")) return; instant({ name: e.next_comm });`,
    ),
  ],
  [
    "two texts are compared",
    onSwitch(`if (e.next_comm === e.prev_comm) instant({ name: "same" });`),
  ],
  [
    "one of many known texts",
    `const names = ["a", "b", "c", "d"]; ${onSwitch("instant({ name: names[e.prev_prio] });")}`,
  ],
  [
    "structs in maps, assigned",
    `interface S { at: u64; n: u32; who: cstr<16> } const m = hash<[u32, cstr<16>], S>();
    ${onSwitch("const k = [e.next_pid, e.next_comm]; const s = m.get(k); if (!s) { m.set(k, { at: now(), n: 1, who: comm() }); return; } s.n += 1; s.at = now(); instant({ name: s.who, args: { n: s.n } });")}`,
  ],
  [
    "structs are taken",
    `const m = hash<u32, { at: u64; who: cstr<200> }>(); ${onSwitch("m.set(tid(), { at: now(), who: comm() }); const s = m.take(tid()); if (s === undefined) return; slice({ name: s.who, start: s.at });")}`,
  ],
  [
    "large values, stacks in values",
    `interface L { at: u64; k: kstack<64>; u: ustack<64> } const m = hash<u32, L>();
    ${onSwitch("m.set(tid(), { at: now(), k: kstack(64), u: ustack(64) }); const s = m.take(e.next_pid); if (!s) return; slice({ name: 'off', start: s.at, args: { k: s.k, u: s.u } });")}`,
  ],
  [
    "arrays by a variable index",
    `const a = array<u64>(8); const p = percpuArray<u32>(8); ${onSwitch("const i = e.next_pid & 7; a.set(i, now()); p.increment(i); a.increment(i, 2); counter({ name: 'a', value: (a.get(i) ?? 0) + (p.get(i) ?? 0) });")}`,
  ],
  [
    "an array of one",
    `const n = array<u64>(); ${onSwitch("n.increment(0); n.set(0, n.get(0) + 1); counter({ name: 'n', value: n.get(0) });")}`,
  ],
  [
    "every aggregation, keyed",
    `const c = count({}); const s = sum({}); const a = avg({}); const l = min({}); const m = max({}); const h = hist({}); const q = quantize({}); const w = lhist(0, 100, 10);
    ${onSwitch("const k = [e.next_pid, e.next_comm]; c.add(k); s.add(k, 1); a.add(k, 2); l.add(k, 3); m.add(k, 4); h.add(k, e.next_prio); q.add(k, e.next_prio); w.add(k, e.next_prio);")}`,
  ],
  [
    "every aggregation, alone",
    `const c = count({}); const a = avg({}); const l = min({}); const h = hist({}); const q = quantize({}); const w = lhist(0, 100, 10);
    ${onSwitch("c.add(); a.add(2); l.add(3); h.add(now()); q.add(now()); w.add(e.next_prio);")}`,
  ],
  [
    "percpu and lru maps",
    `const p = percpuHash<u32, u64>(); const l = lru<u32, i32>(); ${onSwitch("p.increment(tid()); l.set(tid(), -1); instant({ name: 'x', args: { p: p.get(tid()) ?? 0, l: l.take(tid()) ?? 0, had: p.delete(1) } });")}`,
  ],
  [
    "a BTF walk",
    onWalk(
      "instant({ name: next.comm, args: { ppid: next.real_parent.tgid, start: next.real_parent.real_parent.start_time, mm: next.mm?.pgd ? 1 : 0, cpu: next.thread_info.cpu } });",
    ),
  ],
  [
    "the current task, a cast, a bit field",
    onWalk(
      `const t = task(); const c = cast("struct task_struct", prev.real_parent); instant({ name: "x", args: { pid: t.pid, exec: t.in_execve, parent: c.tgid, name: c.comm, deep: c.real_parent.comm } });`,
    ),
  ],
  [
    "arrays in kernel structs",
    onWalk(
      "instant({ name: 'x', args: { a: prev.comm, w: prev.signal.rlim[3].rlim_cur, v: prev.signal.rlim[prev.prio & 7].rlim_max } });",
    ),
  ],
  [
    "loops",
    onSwitch(
      "let n = 0; for (let i = 0; i < 100; i++) { if (i === e.next_prio) break; if (i & 1) continue; n += i; } for (let i = 0; i < Math.min(e.next_prio, 50); i++) n ^= i; for (const i of range(3)) n += i; counter({ name: 'n', value: n });",
    ),
  ],
  [
    "functions that return early",
    `function f(x: i32): i32 { for (let i = 0; i < 32; i++) { if (x >> i & 1) return i; } if (x === 7) return 9; return -1; } ${onSwitch("counter({ name: 'f', value: f(e.next_pid) + f(e.prev_pid) });")}`,
  ],
  [
    "texts of the kernel and the program",
    `tracepoint("sched:sched_process_exec", (e) => instant({ name: e.filename, args: { long: kstr(e.filename, 4096) } }));
    syscall("execve", (e) => { if (str(e.filename, 128).startsWith("/usr/")) instant({ name: str(e.filename, 300), args: { a: str(e.argv[1], 32) } }); });`,
  ],
  [
    "spans of system calls",
    `syscall.span("openat", (e) => { if (e.flags & 1) return; span({ name: comm(), args: { path: str(e.filename, 400) }, end: (exit) => ({ ret: exit.ret, error: errnoOf(exit.ret) }) }); });
    anySyscall.span((e) => span({ name: syscallName(e.id) }));`,
  ],
  [
    "a span of a function",
    `uprobe("libc.so.6", "malloc", (size: u64) => { if (size < 4096) return; return span({ name: "malloc", args: { size }, end: (p: u64) => ({ p }) }); });`,
  ],
  [
    "samples, prints, declared events",
    `const ev = eventType("ev", { n: "int", who: "text" }); profile(99, () => sample()); begin(() => print\`begin \${pid()}\`); end(() => print\`end\`); interval("100ms", () => ev({ n: random() % 10, who: comm() }, track("x", cpu())));`,
  ],
];

for (const [name, code] of programs)
  kernelTest(`${name}: the verifier takes it`, async () => {
    const set = await loadProbes({ code }, kernel);
    const session = loadSession(libc, set, compile);
    session.close();
    expect(set.probes.length).toBeGreaterThan(0);
  });
