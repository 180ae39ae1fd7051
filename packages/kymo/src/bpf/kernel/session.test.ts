/** Programs in the kernel: each attach kind is attached, made to happen, and seen. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { type Libc, loadLibc } from "../../linux/libc.ts";
import { testNeeding } from "../../testing/capability.ts";
import type { AttachTarget } from "../program.ts";
import { isMissing } from "../schema.ts";
import { openKernel } from "./index.ts";
import {
  type Counting,
  type CountingSession,
  loadCounting,
  loadCountingWith,
} from "./testing/counting.ts";

const bpfTest = testNeeding("linux", "root", "bpf");

function whileAttached(
  libc: Libc,
  counting: Counting,
  kick: (read: CountingSession["read"]) => void,
): ReturnType<CountingSession["read"]> {
  const { session, read } = loadCounting(libc, counting);
  try {
    session.attach();
    kick(read);
    session.detach();
    const { runs } = read();
    kick(() => ({ runs, word: 0n }));
    expect(read().runs, "runs after detach").toBe(runs);
    return read();
  } finally {
    session.close();
  }
}

/** A system call of this process: openat. */
const openFile = (): void => void readFileSync("/proc/self/comm");

bpfTest("a typed raw tracepoint runs with its arguments", async () => {
  const target: AttachTarget = { kind: "raw-tracepoint", event: "sys_enter", btf: true };
  const { runs, word } = whileAttached(
    await loadLibc(),
    { target, process: process.pid, remember: 8 },
    openFile,
  );
  expect(runs).toBeGreaterThan(0);
  expect(Number(word)).toBeLessThan(1000); // the number of the last call
});

bpfTest("a plain raw tracepoint runs", async () => {
  const target: AttachTarget = { kind: "raw-tracepoint", event: "sys_enter", btf: false };
  const { runs } = whileAttached(await loadLibc(), { target, process: process.pid }, openFile);
  expect(runs).toBeGreaterThan(0);
});

testNeeding(
  "linux",
  "root",
  "bpf",
  "tracepoints",
)("a tracepoint runs on every CPU, with the fields its schema says", async () => {
  const libc = await loadLibc();
  const kernel = await openKernel(libc);
  const schema = kernel.tracepoint("syscalls", "sys_enter_openat");
  if (isMissing(schema)) throw new Error(schema.missing);
  const flags = schema.fields.find(({ name }) => name === "dfd");
  if (flags?.access.how !== "load") throw new Error("dfd is no integer");
  const { runs, word } = whileAttached(
    libc,
    { target: schema.target, process: process.pid, remember: flags.access.offset },
    openFile,
  );
  expect(runs).toBeGreaterThan(0);
  expect(BigInt.asIntN(32, word)).toBe(-100n); // AT_FDCWD
});

bpfTest("arguments of a system call are where its schema says, at entry and exit", async () => {
  const libc = await loadLibc();
  const kernel = await openKernel(libc);
  for (const at of ["enter", "exit"] as const) {
    const schema = kernel.syscall("openat", at);
    if (isMissing(schema)) throw new Error(schema.missing);
    const dfd = schema.fields.find(({ name }) => name === "dfd")?.access;
    if (dfd?.how !== "indirect") throw new Error("dfd is not behind the registers");
    const id = schema.only?.field.access;
    if (id?.how !== "load" && id?.how !== "indirect")
      throw new Error("the call's number is no word");
    const { session, read } = loadCounting(libc, {
      target: schema.target,
      process: process.pid,
      remember: [dfd.offset, dfd.displacement],
      only: {
        path: id.how === "load" ? [id.offset] : [id.offset, id.displacement],
        equals: Number(schema.only?.equals),
      },
    });
    try {
      session.attach();
      openFile();
      expect(read().runs).toBeGreaterThan(0);
      expect(BigInt.asIntN(32, read().word)).toBe(-100n); // AT_FDCWD
    } finally {
      session.close();
    }
  }
});

bpfTest("begin and end run once each, and only when asked", async () => {
  const { session, read } = loadCounting(
    await loadLibc(),
    { target: { kind: "begin" } },
    { target: { kind: "end" } },
  );
  try {
    session.attach();
    expect([read(0).runs, read(1).runs]).toEqual([0, 0]);
    session.runBegin();
    expect([read(0).runs, read(1).runs]).toEqual([1, 0]);
    session.detach();
    session.runEnd();
    expect([read(0).runs, read(1).runs]).toEqual([1, 1]);
  } finally {
    session.close();
  }
});

/** Burns CPU until `done`, so that clocks of CPU time tick; no longer than a minute. */
function until(done: () => boolean): void {
  for (const end = Date.now() + 60_000; !done() && Date.now() < end; );
}

bpfTest.each<AttachTarget>([
  { kind: "profile", hz: 997 },
  { kind: "interval", ns: 5_000_000 },
  { kind: "perf-event", type: 1, config: 3, period: 1 }, // context switches
])("$kind runs again and again", async (target) => {
  const { session, read } = loadCounting(await loadLibc(), { target });
  try {
    session.attach();
    until(() => {
      if (target.kind === "perf-event") execFileSync("true");
      return read().runs >= 3;
    });
    expect(read().runs).toBeGreaterThanOrEqual(3);
    session.detach();
    const { runs } = read();
    execFileSync("true");
    expect(read().runs).toBe(runs);
  } finally {
    session.close();
  }
});

bpfTest("what can't be attached is an error in words, and nothing stays attached", async () => {
  const libc = await loadLibc();
  const { session, read } = loadCounting(
    libc,
    { target: { kind: "raw-tracepoint", event: "sys_enter", btf: true } },
    { target: { kind: "watchpoint", pid: 2 ** 22 + 1, address: 0n, bytes: 8, access: "write" } },
  );
  try {
    expect(() => session.attach()).toThrow(/watchpoint: there is no process/);
    const { runs } = read();
    openFile();
    expect(read().runs).toBe(runs);
  } finally {
    session.close();
  }
});

bpfTest("runs and their time are counted when the session measures", async () => {
  const libc = await loadLibc();
  const target: AttachTarget = { kind: "raw-tracepoint", event: "sys_enter", btf: true };
  const counting = { target, process: process.pid };
  const { session } = loadCountingWith(libc, { measure: true }, counting);
  try {
    session.attach();
    openFile();
    session.detach();
    const [stats] = session.stats();
    expect(stats?.label).toBe("raw-tracepoint");
    expect(stats?.runs).toBeGreaterThan(0);
    expect(stats?.ns).toBeGreaterThan(0);
  } finally {
    session.close();
  }
});
