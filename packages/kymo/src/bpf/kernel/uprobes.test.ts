/** Probes on programs: names, addresses, lines and static probes become places, and programs run there. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Libc, loadLibc } from "../../linux/libc.ts";
import { wordInLinkerName } from "../../linux/symbols/elf-functions.ts";
import { commandPath, skipHere, testNeeding } from "../../testing/capability.ts";
import type { AttachTarget } from "../program.ts";
import { type EventSchema, isMissing, type Kernel, type Missing } from "../schema.ts";
import { Features } from "./features.ts";
import { openKernel } from "./index.ts";
import { registersOf } from "./registers.ts";
import { type Counting, loadCounting, loadCountingWith } from "./testing/counting.ts";
import { buildTarget, lineOf, type Target } from "./testing/target.ts";
import { argumentAccess } from "./usdt.ts";
import { kernelTypes } from "./vmlinux.ts";

let target: Target;
let libc: Libc;
let kernel: Kernel;
beforeAll(async () => {
  if (process.platform !== "linux" || commandPath("cc") === undefined) return;
  target = buildTarget();
  libc = await loadLibc();
  kernel = await openKernel(libc);
});
afterAll(() => target?.remove());

const fileTest = testNeeding("linux", "cc", "nm");
const bpfTest = testNeeding("linux", "root", "bpf", "cc");
const registers = registersOf(process.arch === "arm64" ? "arm64" : "x64");

function found(answer: EventSchema | Missing): EventSchema {
  if (isMissing(answer)) throw new Error(answer.missing);
  return answer;
}
type UprobeTarget = Extract<AttachTarget, { readonly kind: "uprobe" }>;
function uprobeOf(
  where: string,
  at: UprobeTarget["at"] = "entry",
  file = target.path,
): UprobeTarget {
  const schema = found(kernel.uprobe(file, where, at));
  if (schema.target.kind !== "uprobe") throw new Error(schema.target.kind);
  return schema.target;
}
/** Addresses by nm: of a PIE of these linkers, code lies in the file where it lies in memory. */
function addressByNm(symbol: string): bigint {
  const line = execFileSync("nm", [target.path], { encoding: "utf8" })
    .split("\n")
    .find((one) => one.endsWith(` ${symbol}`));
  return BigInt(`0x${line!.split(" ")[0]}`);
}

fileTest("a function is found by each of its names", () => {
  const work = addressByNm("work");
  expect(uprobeOf("work").offsets).toEqual([work]);
  expect(uprobeOf(`0x${work.toString(16)}`).offsets).toEqual([work]);
  expect(uprobeOf("work+0x4").offsets).toEqual([work + 4n]);
  const cpp = addressByNm("_ZN3app4workEi");
  for (const name of ["_ZN3app4workEi", "app::work", "app::work(int)", "app::*"])
    expect(uprobeOf(name).offsets).toEqual([cpp]);
  expect(uprobeOf("wor*").offsets.toSorted()).toEqual([work, addressByNm("worse")].toSorted());
});

fileTest.each(["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5", "-gz"])(
  "a line is found with %s, at the address the debugger names",
  (flag, ...context) => {
    const built = buildTarget(flag);
    try {
      if (commandPath("addr2line") === undefined)
        skipHere(context.at(-1) as never, "addr2line is not installed");
      const line = lineOf("id += 100");
      const { offsets } = uprobeOf(`target.c:${line}`, "entry", built.path);
      expect(offsets).toHaveLength(1);
      const place = execFileSync("addr2line", ["-e", built.path, `0x${offsets[0]!.toString(16)}`], {
        encoding: "utf8",
      });
      expect(place.trim()).toMatch(new RegExp(`target\\.c:${line}\\b`));
    } finally {
      built.remove();
    }
  },
);

fileTest("a line without code is the next one that has some, and that is said", () => {
  const main = lineOf("int main(");
  const schema = found(kernel.uprobe(target.path, `target.c:${main - 1}`, "entry"));
  expect(schema.notes).toEqual([`target.c:${main - 1} has no code: line ${main} is probed`]);
});

fileTest("what is not there is said, with what is near", () => {
  expect(kernel.uprobe(target.path, "worsee", "entry")).toMatchObject({
    missing: `${target.path} has no function worsee`,
    suggestions: expect.arrayContaining(["worse"]),
    fix: `what there is: kymo probe --list 'uprobe:${target.path}:*'`,
  });
  expect(kernel.uprobe(target.path, "zz*", "entry")).toMatchObject({
    missing: expect.stringContaining("no function of"),
  });
  expect(kernel.uprobe(target.path, "taget.c:3", "entry")).toMatchObject({
    missing: expect.stringContaining("was not compiled from a file taget.c"),
    suggestions: ["target.c"],
  });
  expect(kernel.uprobe("/nowhere", "f", "entry")).toMatchObject({
    missing: "there is no file /nowhere",
  });
  expect(kernel.uprobe("/etc/passwd", "f", "entry")).toMatchObject({
    missing: expect.stringMatching(/^\/etc\/passwd can't be probed: .*ELF/),
  });
  expect(kernel.usdt(target.path, "demo", "stop")).toMatchObject({ suggestions: ["demo:step"] });
});

fileTest("libraries are found by their short names", () => {
  const paths = ["c", "libc", "libc.so.6"].map((name) => uprobeOf("malloc", "entry", name).path);
  expect(new Set(paths).size).toBe(1);
  expect(paths[0]).toMatch(/libc.*\.so/);
});

/** Runs the program of `counting` while the target runs twice, with 21 and 42. */
function count(counting: Counting, features?: Features): { runs: number; word: bigint } {
  const options = features === undefined ? {} : { features };
  const { session, read } = loadCountingWith(libc, options, counting);
  try {
    target.run(7);
    expect(read().runs).toBe(0);
    session.attach();
    target.run(21);
    target.run(42);
    session.detach();
    const { runs } = read();
    target.run(7);
    expect(read().runs).toBe(runs);
    return read();
  } finally {
    session.close();
  }
}

const [firstArgument] = registers.arguments as readonly [number];

bpfTest("entries see arguments, returns see results", () => {
  const entry = count({ target: uprobeOf("work"), remember: firstArgument });
  expect([entry.runs, BigInt.asIntN(32, entry.word)]).toEqual([2, 42n]);
  const back = count({ target: uprobeOf("work", "return"), remember: registers.result });
  expect([back.runs, BigInt.asIntN(32, back.word)]).toEqual([2, 284n]);
});

bpfTest("a session runs at both ends, or at the entry alone when that says so", () => {
  const session = uprobeOf("work", "session");
  expect(count({ target: session }).runs).toBe(4);
  expect(count({ target: session, result: 1 }).runs).toBe(2);
});

bpfTest("one link is on many functions", () => {
  expect(count({ target: uprobeOf("wor*") }).runs).toBe(4);
});

bpfTest("programs that may sleep, at entry, return and both", () => {
  for (const [at, runs] of [
    ["entry", 2],
    ["return", 2],
    ["session", 4],
  ] as const)
    expect(count({ target: { ...uprobeOf("work", at), sleepable: true } }).runs).toBe(runs);
});

bpfTest("only the process that was asked for", () => {
  const work = uprobeOf("work");
  expect(count({ target: { ...work, pid: process.pid } }).runs).toBe(0);
});

bpfTest("a line's code runs the program", () => {
  expect(count({ target: uprobeOf(`target.c:${lineOf("id += 100")}`) }).runs).toBe(2);
});

bpfTest("kernels without links for many places use a perf event for each", () => {
  const features = new Features(libc, kernelTypes()?.btf);
  const old = Object.create(features, {
    uprobeMulti: { value: { ok: false, reason: "not in this test" } },
    uprobe: { value: features.uprobe },
  }) as Features;
  for (const sleepable of [false, true]) {
    const target = { ...uprobeOf("wor*"), sleepable };
    expect(count({ target }, old).runs).toBe(4);
  }
  const back = count({ target: uprobeOf("work", "return"), remember: registers.result }, old);
  expect([back.runs, BigInt.asIntN(32, back.word)]).toEqual([2, 284n]);
});

bpfTest(
  "a static probe has its arguments by place, and its semaphore is up while it is attached",
  () => {
    const schema = found(kernel.usdt(target.path, "demo", "step"));
    const [first, second] = schema.fields as unknown as readonly [
      EventSchema["fields"][0],
      EventSchema["fields"][0],
    ];
    expect(first.access).toMatchObject({
      how: "byCookie",
      access: [{ how: "load" }, { how: "indirect", memory: "user" }],
    });
    expect(second.access).toEqual({
      how: "byCookie",
      access: [
        { how: "constant", value: 7n },
        { how: "constant", value: 8n },
      ],
    });
    const load = first.access.how === "byCookie" ? first.access.access[0] : undefined;
    if (load?.how !== "load") throw new Error("the first place's argument is in a register");
    expect(target.run(1)).toMatch(/ 0\n$/);
    const { session, read } = loadCounting(libc, { target: schema.target, remember: "cookie" });
    try {
      session.attach();
      expect(target.run(5)).toMatch(/ 2\n$/); // once for each place
      expect(read()).toEqual({ runs: 2, word: 1n });
    } finally {
      session.close();
    }
    expect(target.run(1)).toMatch(/ 0\n$/);
  },
);

bpfTest("a watchpoint runs when its process writes there, and only then", async (context) => {
  const child = spawn(target.path, ["1", "wait"], { stdio: ["pipe", "pipe", "inherit"] });
  const { session, read } = await (async () => {
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const address = BigInt((await lines.next()).value as string);
      const write = async (): Promise<void> => {
        child.stdin.write("x");
        await lines.next();
      };
      const made = loadCounting(libc, {
        target: { kind: "watchpoint", pid: child.pid!, address, bytes: 8, access: "write" },
      });
      try {
        made.session.attach();
      } catch (error) {
        made.session.close();
        return skipHere(context, (error as Error).message);
      }
      await write();
      await write();
      expect(made.read().runs).toBe(2);
      made.session.detach();
      await write();
      return made;
    } finally {
      child.kill();
      await once(child, "exit");
    }
  })();
  expect(read().runs).toBe(2);
  session.close();
});

test("operands of static probes", () => {
  const x64 = registersOf("x64");
  const arm64 = registersOf("arm64");
  const access = (text: string, of = x64): unknown => argumentAccess(text, of)?.access;
  const i32 = { bits: 32, signed: true };
  const u64 = { bits: 64, signed: false };
  expect(access("-4@%edi")).toEqual({ how: "load", offset: 112, type: i32 });
  expect(access("8@%r8")).toEqual({ how: "load", offset: 72, type: u64 });
  expect(access("-4@%r9d")).toEqual({ how: "load", offset: 64, type: i32 });
  expect(access("1@%ah")).toMatchObject({ offset: 81 });
  expect(access("-4@$-5")).toEqual({ how: "constant", value: -5n });
  const behind = { how: "indirect", offset: 32, displacement: -16, type: u64, memory: "user" };
  expect(access("8@-16(%rbp)")).toEqual(behind);
  expect(access("8@(%rbp)")).toEqual({ ...behind, displacement: 0 });
  expect(access("8@(%rax,%rbx,4)")).toBeUndefined();
  expect(access("8@counter(%rip)")).toBeUndefined();
  expect(access("-4@w1", arm64)).toEqual({ how: "load", offset: 8, type: i32 });
  expect(access("8@[sp, 16]", arm64)).toMatchObject({ offset: 248, displacement: 16 });
  expect(access("4@5", arm64)).toEqual({ how: "constant", value: 5n });
});

test("the word that names of the linker contain", () => {
  expect(wordInLinkerName("v8::internal::Heap::CollectGarbage(int)")).toBe("CollectGarbage");
  expect(wordInLinkerName("app::Map<int>::get")).toBe("app");
  expect(wordInLinkerName("app::Map::operator==")).toBe("");
  expect(wordInLinkerName("std::string::~string")).toBe("");
  expect(wordInLinkerName("mem*")).toBe("mem");
});
