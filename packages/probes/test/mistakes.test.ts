/** What a user gets wrong: a message with the place and what to do, a status of 1, and nothing that stays in the kernel. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { afterAll, describe, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { heldBy, inKernel, leftBehind } from "./attached.ts";
import { kymo, Workplace } from "./run.ts";

const work = new Workplace();
afterAll(() => work.clean());
const probing = testNeeding("linux", "root", "tracepoints", "bpf", "bpftool");

interface Said {
  readonly status: number | null;
  /** Without the folder. */
  readonly stderr: string;
}

function probe(code: string, as: { readonly uid?: number; readonly gid?: number } = {}): Said {
  const file = work.write("mistake.ts", `import * as k from "kymo/probe";\n${code}\n`);
  const { status, stderr } = spawnSync(
    process.execPath,
    [kymo, "probe", file, "-d", "5", "--", "true"],
    { encoding: "utf8", cwd: work.dir, timeout: 50_000, ...as },
  );
  return { status, stderr: stderr.replaceAll(`${work.dir}/`, "") };
}

const mistakes: readonly [string, string, readonly string[]][] = [
  [
    "a typo in a field",
    `k.tracepoint("sched:sched_switch", (e) => k.instant({ name: e.next_com }));`,
    [
      "mistake.ts:2:63: tracepoint:sched:sched_switch has no field next_com; did you mean next_comm?",
      `  2 | k.tracepoint("sched:sched_switch", (e) => k.instant({ name: e.next_com }));`,
      "    |                                                               ^",
      "  fix: its fields: ",
    ],
  ],
  [
    "a loop without an end",
    `k.tracepoint("sched:sched_switch", (e) => {\n  for (let i = 0; i < e.next_pid; i++) k.now();\n});`,
    [
      "mistake.ts:3:19: kymo can't see an end to this loop: its bound is not known beforehand",
      "  fix: say how far it can go: i < Math.min(",
    ],
  ],
  [
    "a while loop",
    `k.tracepoint("sched:sched_switch", (e) => {\n  while (e.next_pid > 0) k.now();\n});`,
    ["mistake.ts:3:3: kymo can't see an end to this loop", "  fix: "],
  ],
  [
    "a key of another type",
    `const seen = k.hash<k.u32, k.u64>();\nk.tracepoint("sched:sched_switch", (e) => seen.set(e.next_comm, 1));`,
    ["mistake.ts:3:52: expected a number, found text"],
  ],
  [
    "a key that is too long",
    "const seen = k.hash<k.cstr<513>, k.u64>();\nk.anySyscall(() => seen.set(k.comm(), 1));",
    ["mistake.ts:2:14: keys of seen take 513 bytes, at most 512 are possible", "  fix: "],
  ],
  [
    "a map that is larger than memory",
    `interface Much { a: k.cstr<4096>; b: k.cstr<4096>; c: k.cstr<4096>; d: k.cstr<4096> }
const much = k.hash<k.u64, Much>({ max: 16_777_216 });
k.anySyscall(() => much.delete(1));`,
    [
      "the kernel has no room for much: 16,777,216 entries of 16392 bytes",
      "  fix: give it a smaller max",
    ],
  ],
  [
    "a text that is too long",
    `k.syscall("openat", (e) => k.instant({ name: k.str(e.filename, 4097) }));`,
    ["mistake.ts:2:64: a text of 4097 bytes is too long: at most 4096", "  fix: "],
  ],
  [
    "a function that the program doesn't have",
    `k.uprobe("libc", "mallocc", () => k.now());`,
    [
      "mistake.ts:2:18: ",
      "has no function mallocc; did you mean malloc",
      "  fix: what there is: kymo probe --list 'uprobe:",
    ],
  ],
  [
    "a program that isn't there",
    `k.uprobe("/nonexistent/program", "main", () => k.now());`,
    ["mistake.ts:2:34: there is no file /nonexistent/program", "  fix: "],
  ],
  [
    "a tracepoint that isn't there",
    `k.tracepoint("sched:sched_swich", () => k.now());`,
    [
      "mistake.ts:2:14: this kernel has no tracepoint sched:sched_swich; did you mean sched:sched_switch?",
    ],
  ],
  [
    "more than the verifier is willing to check",
    `k.syscall("getpid", () => {\n  for (let i = 0; i < 60_000; i++) k.instant({ name: "x", args: { i } });\n});`,
    [
      "mistake.ts:3:36: this is more than the kernel is willing to check",
      "  fix: fewer rounds, or fewer ifs inside the loop",
    ],
  ],
  [
    // The first 64 are attached by then.
    "one program too many on a tracepoint",
    `for (let i = 0; i < 65; i++) k.tracepoint("oom:mark_victim", () => k.now());`,
    ["mistake.ts:2:30: ", "64 are the most"],
  ],
  [
    "what the file throws",
    `  throw new Error("not \\u001b]0;today\\u0007");`,
    ["mistake.ts:2:3: not \ufffd]0;today\ufffd"],
  ],
];

describe("a mistake is told at its place, and nothing stays", () => {
  for (const [name, code, expected] of mistakes)
    probing(name, { timeout: 60_000 }, async () => {
      const { status, stderr } = probe(code);
      for (const text of expected) expect(stderr).toContain(text);
      // Nothing but the message: no words of ours or Node's.
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(status).toBe(1);
      await expect.poll(leftBehind, { timeout: 20_000 }).toEqual([]);
    });

  probing("no rights", { timeout: 60_000 }, async () => {
    chmodSync(work.dir, 0o755);
    const { status, stderr } = probe(`k.uprobe("libc", "malloc", () => k.now());`, {
      uid: 65_534,
      gid: 65_534,
    });
    expect(stderr).toContain("probes are not available here: bpf(");
    expect(stderr).toContain(": EPERM\n  fix: run with sudo, or give CAP_BPF and CAP_PERFMON");
    expect(status).toBe(1);
    await expect.poll(leftBehind, { timeout: 20_000 }).toEqual([]);
  });
});

describe("a recording that ends is gone from the kernel", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const)
    probing(signal, { timeout: 120_000 }, async () => {
      const file = work.write(
        `${signal}.ts`,
        `import { anySyscall, begin, count, print, profile, rawTracepoint, span, tracepoint, uprobe } from "kymo/probe";
const calls = count();
begin(() => print\`begun\`);
anySyscall(() => calls.add());
tracepoint("sched:sched_switch", () => calls.add());
rawTracepoint("sched_wakeup", () => calls.add());
uprobe("libc", "malloc", () => span({ name: "malloc" }));
profile(9, () => calls.add());
`,
      );
      const child = spawn(process.execPath, [kymo, "probe", file], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      const pid = child.pid!;
      await once(child.stdout, "data");
      await expect.poll(() => heldBy(pid, "link").length, { timeout: 20_000 }).toBeGreaterThan(1);
      const ids = { prog: heldBy(pid, "prog"), link: heldBy(pid, "link") };
      expect(ids.prog.length).toBeGreaterThan(4);
      child.stdout.resume();
      child.kill(signal);
      const [status, by] = await once(child, "exit");
      expect([status, by]).toEqual(signal === "SIGKILL" ? [null, signal] : [0, null]);
      for (const kind of ["prog", "link"] as const)
        await expect
          .poll(() => ids[kind].filter((id) => inKernel(kind).has(id)), { timeout: 60_000 })
          .toEqual([]);
    });
});

testNeeding("linux")("a mistake is told however early it is found", { timeout: 120_000 }, () => {
  // The capture worker is still loading native modules then; ending it in the middle of that aborted the process.
  for (let i = 0; i < 8; i++)
    expect(probe(`k.tracepoint("no colon", () => {});`)).toEqual({
      status: 1,
      stderr: expect.stringContaining("mistake.ts:2:14: a tracepoint has a category"),
    });
});
