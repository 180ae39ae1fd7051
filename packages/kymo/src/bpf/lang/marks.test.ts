/** What marks.ts needs of the language: numbers of calls, the target, texts read late, flows and marks alone. */
import { expect, test } from "vitest";
import type { Field } from "../site.ts";
import { loadProbes } from "./index.ts";
import { fakeKernel } from "./testing/fake-kernel.ts";
import { type Emitted, event, Machine, world } from "./testing/run.ts";

const on = (body: string) => Machine.load(`tracepoint("test:event", (e) => { ${body} });`);

/** The program's text lies where task() points: the memory that both know. */
const machineWith = async (body: string, text: string) => {
  const machine = await on(body);
  machine.task.set(Buffer.from(`${text}\0`));
  return machine;
};

test("a text read late carries its address when it could not be read, and 0 when it could", async () => {
  const late = (address: string) => `instant({ name: str(${address}, 16, { late: true }) });`;
  const machine = await machineWith(`${late("u64(task())")} ${late("e.count")}`, "here");
  const [read, missed] = machine.run(0, event({ count: 0x2000n })).emitted;
  const lateOf = ({ site }: Emitted): Field => {
    if (site.kind !== "instant" || site.name.type !== "text") throw new Error("kind");
    expect(site.name.bytes).toBe(16);
    return site.name.late!;
  };
  expect([read!.name, read!.value(lateOf(read!))]).toEqual(["here", 0n]);
  expect(missed!.value(lateOf(missed!))).toBe(0x2000n);
});

test("flows and marks are events of their own", async () => {
  const machine = await machineWith(
    `flow({ id: e.count, step: "end" }); mark(str(u64(task()), 8, { late: true }));`,
    "words",
  );
  const [flow, mark] = machine.run(0, event({ count: 77n })).emitted;
  if (flow!.site.kind !== "flow" || mark!.site.kind !== "mark") throw new Error("kinds");
  expect(flow!.site.flow.step).toBe("end");
  expect(flow!.value(flow!.site.flow.id)).toBe(77n);
  expect(mark!.value(mark!.site.text)).toBe("words");
  expect(mark!.value(mark!.site.pid!)).toBe(world.pid);
});

test("numbers of system calls and the target are known while the file loads", async () => {
  const code = `const openat = syscallNumber("openat"), access = syscallNumber("access"), target = targetPid();
    tracepoint("test:event", () => instant({ name: "n", args: { openat, access, target } }));`;
  const args = async (arch: "x64" | "arm64", target?: number) => {
    const kernel = { ...fakeKernel(), arch };
    const set = await loadProbes({ code }, kernel, target === undefined ? {} : { target });
    return new Machine(set).run(0).emitted[0]!.args;
  };
  expect(await args("x64")).toEqual({ openat: 257n, access: 21n, target: 0n });
  expect(await args("arm64", 42)).toEqual({ openat: 56n, access: -1n, target: 42n });
});

test.each([
  [`instant({ name: str(e.count, 8, { lte: true }) })`, "str takes no lte; did you mean late?"],
  [`instant({ name: str(e.count, 8, { late: e.count }) })`, "late is true or false"],
  [`instant({ name: kstr(e.count, 8, { late: true }) })`, "only text in the program's memory"],
  [`flow({ step: "start" })`, "flow needs id"],
  [`mark(e.count)`, "a mark is text, found a number"],
])("%s", async (body, message) => {
  await expect(on(body)).rejects.toThrow(message);
});

test("a system call that no machine has is an error where it is named", async () => {
  await expect(Machine.load(`const n = syscallNumber("faccesat");`)).rejects.toThrow(
    "there is no system call faccesat; did you mean faccessat?",
  );
});

test("comparisons of one text read it once, where the first has certainly been made", async () => {
  const reads = async (body: string) => {
    const { set } = await on(`const text = str(u64(task()), 16); ${body}`);
    const calls = JSON.stringify(set.probes[0]!.handler.body, (_, value) =>
      typeof value === "bigint" ? String(value) : value,
    ).split(`"helper":114,`);
    return calls.length - 1;
  };
  expect(await reads(`if (text.startsWith("kymo") || text === "") instant({ name: "a" });`)).toBe(
    1,
  );
  expect(
    await reads(
      `if (e.small) { if (text === "a") instant({ name: "a" }); } if (text === "b") instant({ name: "b" });`,
    ),
  ).toBe(2);
  const machine = await machineWith(
    `const text = str(u64(task()), 16); if (text === "a" || text === "b" || text.startsWith("c")) instant({ name: "x" });`,
    "b",
  );
  expect(machine.run(0).emitted).toHaveLength(1);
  machine.task.set(Buffer.from("cd\0"));
  expect(machine.run(0).emitted).toHaveLength(1);
  machine.task.set(Buffer.from("d\0"));
  expect(machine.run(0).emitted).toHaveLength(0);
});
