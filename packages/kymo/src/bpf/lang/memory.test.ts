import { expect, test } from "vitest";
import { writeWord } from "../ir/memory.ts";
import { contextWith, Machine, type Shown } from "./testing/run.ts";

/** A node of the fake kernel. */
function node(value: number, next: bigint): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, value, true);
  view.setBigUint64(8, next, true);
  // low 5, high 19, deep −3
  view.setUint32(16, 5 | (19 << 3) | (0xd << 8), true);
  for (let i = 0; i < 4; i++) view.setUint16(24 + 2 * i, 100 + i, true);
  bytes.set(Buffer.from("a node"), 32);
  view.setBigUint64(48, 77n, true);
  bytes.set([10, 0, 0, 7], 56);
  return bytes;
}

/** What an expression over the current task, a node with a next one, gives. */
async function ofNode(expression: string, index = 0n): Promise<Shown> {
  const machine = await Machine.load(
    `tracepoint("test:event", (e) => { const n = task(); const i = e.count; instant({ name: "x", args: { x: ${expression} } }); });`,
  );
  machine.task.set(node(1, 0n));
  // The second node's address is known when memory is: from the call of task().
  const second = node(2, 0n);
  const context = contextWith({ 16: index });
  machine.onTask = (memory) => {
    writeWord(machine.task.subarray(8), 64, memory.addressOf(second));
  };
  return machine.run(0, context).emitted[0]!.args["x"]!;
}

test.each<[string, Shown]>([
  ["n.value", 1n],
  ["n.next.value", 2n],
  ["n.next.next.value", 0n],
  ["n.next?.value", 2n],
  ["n.next.next?.value ?? 9", 9n],
  ["n.next.next === null", true],
  ["n.next ? 1 : 0", 1n],
  ["n.low", 5n],
  ["n.high", 19n],
  ["n.deep", -3n],
  ["n.items[2]", 102n],
  ["n.name", "a node"],
  ["n.name === 'a node'", true],
  ["n.inner.depth", 77n],
  ["address(n.address)", "10.0.0.7"],
  ["buf(n, 4)", "01000000"],
  ["cast('struct node', n.next).value", 2n],
])("%s is %o", async (expression, expected) => {
  expect(await ofNode(expression)).toEqual(expected);
});

test.each<[bigint, bigint]>([
  [3n, 103n],
  [4n, 0n],
  [2n ** 63n, 0n],
])("an index of %o outside of the array gives 0", async (index, expected) => {
  expect(await ofNode("n.items[i]", index)).toEqual(expected);
});

test("arguments of a raw tracepoint are walked by direct loads, of a cast by kernel reads", async () => {
  const machine = await Machine.load(
    `rawTracepoint("walk", (preempt, prev, next) => instant({ name: "x", args: {
       direct: prev.next.value, cast: cast("node", prev).value, preempt } }));`,
  );
  const loads = JSON.stringify(machine.set.probes[0]!.handler.body, (_, value) =>
    typeof value === "bigint" ? Number(value) : value,
  );
  const memories = [...loads.matchAll(/"memory":"(\w+)"/g)].map(([, memory]) => memory);
  expect(memories.filter((memory) => memory === "kernel")).toHaveLength(1);
  expect(memories).not.toContain("user");
});

test("what a system call points at is the program's memory; one program is for one call", async () => {
  const machine = await Machine.load(
    `syscall("openat", (e) => instant({ name: "x", args: { file: str(e.filename, 32), first: str(e.argv[1], 8) } }));`,
  );
  const { body } = machine.set.probes[0]!.handler;
  const text = JSON.stringify(body, (_, value) => (typeof value === "bigint" ? `${value}` : value));
  expect(text.match(/"helper":11\d/g)).toEqual(['"helper":114', '"helper":114']);
  expect(text).toContain('"memory":"user"');
  expect(text).not.toContain('"memory":"kernel"');
  const ofOther = contextWith({ 0: 1n });
  expect(machine.run(0, ofOther).emitted).toEqual([]);
  const ofThis = contextWith({ 0: 257n });
  expect(machine.run(0, ofThis).emitted).toHaveLength(1);
});
