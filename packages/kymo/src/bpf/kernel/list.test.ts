import { readdirSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { commandPath, testNeeding } from "../../testing/capability.ts";
import { type ListedProbe, listProbes } from "./list.ts";
import { buildTarget, type Target } from "./testing/target.ts";

const names = (list: Iterable<ListedProbe>): string[] => [...list].map(({ name }) => name);

test("system calls and software events are known everywhere", () => {
  expect(names(listProbes("syscall:openat"))).toEqual(["syscall:openat", "syscall:openat2"]);
  expect(names(listProbes("perfEvent:*-faults"))).toEqual(
    ["page", "minor", "major", "alignment", "emulation"].map((one) => `perfEvent:${one}-faults`),
  );
});

testNeeding("linux", "tracepoints")("as many tracepoints as tracefs has", () => {
  const events = "/sys/kernel/tracing/events/sched";
  const here = readdirSync(events, { withFileTypes: true }).filter((one) => one.isDirectory());
  expect(names(listProbes("tracepoint:sched:*"))).toHaveLength(here.length);
  const [one] = listProbes("tracepoint:sched:sched_switch", { fields: true });
  expect(one?.fields).toContain("next_pid: i32");
  expect(one?.fields).toContain("next_comm: char[16]");
});

testNeeding("linux", "bpf")("raw tracepoints and their arguments are those of BTF", () => {
  const [one] = listProbes("rawTracepoint:sched_switch", { fields: true });
  expect(one?.fields).toEqual(
    expect.arrayContaining(["preempt: bool", "prev: task_struct*", "next: task_struct*"]),
  );
});

let target: Target | undefined;
beforeAll(() => {
  if (process.platform === "linux" && commandPath("cc") !== undefined) target = buildTarget();
});
afterAll(() => target?.remove());

testNeeding("linux", "cc")("functions and static probes of a file", () => {
  const { path } = target!;
  expect(names(listProbes(`uprobe:${path}:wor*`)).toSorted()).toEqual([
    `uprobe:${path}:work`,
    `uprobe:${path}:worse`,
  ]);
  expect(names(listProbes(`uprobe:${path}:app::`))).toEqual([`uprobe:${path}:app::work`]);
  expect([...listProbes(`usdt:${path}:*`, { fields: true })]).toEqual([
    { kind: "usdt", name: `usdt:${path}:demo:step`, fields: ["0: i64", "1: u32"] },
  ]);
  expect(() => names(listProbes("uprobe:/nowhere:*"))).toThrow("there is no file /nowhere");
  expect(() => names(listProbes("uprobe:*"))).toThrow("name a file");
});
