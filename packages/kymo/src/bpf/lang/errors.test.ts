import { expect, test } from "vitest";
import { ProbeError } from "../program.ts";
import { loadProbes, ProbeErrors } from "./index.ts";
import { fakeKernel } from "./testing/fake-kernel.ts";

/** What loading says, without the path. Sources begin with an empty line: the first one is line 2. */
async function refusal(code: string): Promise<ProbeError> {
  try {
    await loadProbes({ code: `\n${code}` }, fakeKernel());
  } catch (error) {
    if (error instanceof ProbeError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
const inHandler = (body: string) => `tracepoint("test:event", (e) => {\n${body}\n});`;

const cases: readonly [string, string, string][] = [
  [
    "a typo in a field",
    inHandler(`instant({ name: "a", args: { n: e.cuont } });`),
    "3:35: tracepoint:test:event has no field cuont; did you mean count?",
  ],
  [
    "a typo in a struct's field",
    inHandler("const n = task().next.valeu;"),
    "3:23: struct node has no field valeu; did you mean value?",
  ],
  [
    "a typo in a name",
    inHandler("const n = coutn + 1;"),
    "3:11: coutn is not defined here; did you mean count?",
  ],
  [
    "an option that isn't there",
    inHandler(`instant({ nmae: "a" });`),
    "3:17: instant takes no nmae; did you mean name?",
  ],
  ["an option that is missing", inHandler(`slice({ name: "a" });`), "3:1: slice needs start"],
  [
    "a while loop",
    inHandler("let i = 0;\nwhile (i < e.count) i++;"),
    "4:1: kymo can't see an end to this loop",
  ],
  [
    "a loop up to what only the kernel knows",
    inHandler("for (let i = 0; i < e.count; i++) now();"),
    "3:17: kymo can't see an end to this loop: its bound is not known beforehand",
  ],
  [
    "a loop of too many rounds",
    inHandler("for (let i = 0; i < 1e9; i++) now();"),
    "3:17: this loop has 1000000000 rounds; at most 65536 are possible",
  ],
  [
    "a key of another type",
    `const m = hash<[u32, u32], u64>();\n${inHandler("m.set(e.pid, 1);")}`,
    "4:7: expected [u32, u32], found a number (i32)",
  ],
  [
    "a tuple of another length",
    `const m = hash<[u32, u32], u64>();\n${inHandler("m.set([1, 2, 3], 1);")}`,
    "4:7: a tuple of 3 is not [u32, u32]",
  ],
  [
    "text for a number",
    `const m = hash<u32, u64>();\n${inHandler("m.set(1, e.comm);")}`,
    "4:10: expected a number, found text",
  ],
  [
    "text that doesn't fit a key",
    `const m = hash<cstr<4>, u64>();\n${inHandler(`m.set("much longer", 1);`)}`,
    `4:7: "much longer" takes 12 bytes, cstr<4> has room for 4`,
  ],
  [
    "a map without types",
    "const m = hash();\ntracepoint('test:event', () => m.delete(1));",
    "2:11: hash needs the types of its keys and values: hash<u32, u64>(…)",
  ],
  [
    "a type without a layout",
    `const m = hash<u32, Map<u32, u32>>();\n${inHandler("m.delete(1);")}`,
    "2:21: Map is no type that kymo knows",
  ],
  [
    "a method that maps don't have",
    `const m = hash<u32, u64>();\n${inHandler("m.incremnt(1);")}`,
    "4:3: maps have no incremnt; did you mean increment?",
  ],
  [
    "a value that may be undefined",
    `const m = hash<u32, u64>();\n${inHandler("const n = m.get(1) + 1;")}`,
    "4:11: this may be undefined: the map need not have the key",
  ],
  [
    "a text that is too long",
    inHandler(`instant({ name: str(e.count, 5000) });`),
    "3:30: a text of 5000 bytes is too long: at most 4096",
  ],
  [
    "a break somewhere inside of a case",
    inHandler(
      "for (let i = 0; i < 20; i++) switch (i) { case 3: if (e.pid) break; e.count; break; }",
    ),
    "3:62: break ends a case only as its last statement",
  ],
  [
    "an aggregation of no keys",
    "const c = count({ max: 0 });\ntracepoint('test:event', () => c.add(1));",
    "2:11: count: max is 0; it is a number of entries, 1 … 16777216",
  ],
  [
    "a text put together in the kernel",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a handler
    inHandler("instant({ name: `pid ${e.pid}` });"),
    "3:24: a number (i32) is not known beforehand: texts can't be put together in the kernel",
  ],
  [
    "an event that isn't there",
    `tracepoint("test:evnt", () => {});`,
    "2:12: there is no tracepoint test:evnt; did you mean test:event?",
  ],
  [
    "a tracepoint without a category",
    `tracepoint("event", () => {});`,
    `2:12: a tracepoint has a category: "sched:sched_switch"`,
  ],
  [
    "a function that isn't there",
    `uprobe("app", "wrok", () => {});`,
    "2:15: there is no function wrok; did you mean work?",
  ],
  [
    "too many parameters",
    `rawTracepoint("walk", (a, b, c, d) => {});`,
    "2:33: rawTracepoint:walk has 3 arguments: preempt, prev, next",
  ],
  [
    "a handler that is no function",
    `tracepoint("test:event", 5);`,
    "2:1: tracepoint takes a handler, a function, as its last argument",
  ],
  [
    "a function that calls itself",
    `function again(n: u32): u32 { return again(n - 1); }\n${inHandler("again(3);")}`,
    "2:38: again calls itself: functions of the kernel can't",
  ],
  [
    "an async handler",
    `tracepoint("test:event", async (e) => { await e; });`,
    "2:26: async functions and generators can't run in the kernel",
  ],
  [
    "a generator",
    `tracepoint("test:event", function* (e) { yield 1; });`,
    "2:26: async functions and generators can't run in the kernel",
  ],
  [
    "brackets without an end",
    inHandler(`const n = ${"(".repeat(20_000)}1${")".repeat(20_000)};`),
    "3:2009: this is nested too deeply",
  ],
  [
    "a sum without an end",
    inHandler(`const n = 1${" + 1".repeat(20_000)};`),
    ": this is nested too deeply",
  ],
  [
    "blocks without an end",
    inHandler(`${"if (1) {".repeat(900)}${"}".repeat(900)}`),
    ": this is nested too deeply",
  ],
  [
    "a number that no text can say",
    inHandler("const n = e.count & 0x1ffffffffffffffff;"),
    "3:21: 36893488147419103231 does not fit into 64 bits",
  ],
  [
    "text in a column of numbers",
    `const p = eventType("p", { n: "int" });\n${inHandler("p({ n: e.comm });")}`,
    `4:8: n of p is declared as "int", and this is text`,
  ],
  [
    "a stack in a column of texts",
    `const p = eventType("p", { t: "text" });\n${inHandler("p({ t: kstack() });")}`,
    `4:8: t of p is declared as "text", and this is a stack`,
  ],
  [
    "a function of Node",
    inHandler("const n = parseInt('5');"),
    "3:11: parseInt() can't be called in the kernel: it is not a function of a probe file",
  ],
  ["throw", inHandler("throw 1;"), "3:1: throw can't run in the kernel"],
  [
    "a variable of the module that is assigned",
    `let n = 0;\n${inHandler("n += 1;")}`,
    "4:1: n is a variable of the module: in the kernel it is a constant",
  ],
  [
    "memory of the kernel that is assigned",
    inHandler("task().value = 5;"),
    "3:1: this can't be assigned: only variables, and fields of what a map gives, can",
  ],
  [
    "numbers that aren't whole",
    inHandler("const n = e.count * 0.5;"),
    "3:21: 0.5 is not a whole number",
  ],
  [
    "a span where nothing returns",
    inHandler(`span({ name: "x" });`),
    "3:1: span() is for probes that have an entry and a return",
  ],
  [
    "what is known on entry, on return",
    `uprobe("app", "work", (id: u32) => span({ name: "x", end: (ret: u32) => ({ ret, id }) }));`,
    "2:81: id is not defined here",
  ],
  [
    "what is known on entry, as an object",
    `uprobe("app", "work", (id: u32) => span({ name: "x", end: { id } }));`,
    "2:61: this is known on entry",
  ],
  [
    "a number as a name",
    inHandler("instant({ name: e.pid });"),
    "3:17: a name is text, found a number (i32)",
  ],
  [
    "an object in an arg",
    inHandler(`instant({ name: "a", args: { n: task().inner } });`),
    "3:33: struct inner can't be in an event",
  ],
  [
    "a text compared with a number",
    inHandler("if (e.comm === 5) return;"),
    "3:16: the number 5 is never equal to text",
  ],
  [
    "a text that can never be equal",
    inHandler(`if (e.comm === "longer than fifteen") return;`),
    `3:5: this text has at most 15 bytes, it can never be "longer than fifteen"`,
  ],
  [
    "an unknown struct",
    inHandler(`const n = cast("struct nod", e.count);`),
    "3:16: there is no struct nod; did you mean node?",
  ],
  [
    "a name that is declared twice",
    "const limit = 1;\nconst limit = 2;",
    "3:7: syntax: Identifier `limit` has already been declared",
  ],
  ["a name that is declared twice in a handler", inHandler("const a = 1; const a = 2;"), "3:20: "],
  [
    "a function of kymo/probe that goes by another name",
    "const later = interval;\n  later('1s', () => {});",
    "3:3: interval() is called in a way that kymo can't follow: call it by its name",
  ],
  ["a syntax error", `tracepoint("test:event", (e) => { const = 5; });`, "2:41: syntax: "],
  [
    "what the module throws",
    `const a = undefined as unknown as { b: number };\n  a.b++;\n${inHandler("")}`,
    "3:3: Cannot read properties of undefined",
  ],
  [
    "a call outside of a handler",
    `const t = now();\n${inHandler("")}`,
    "2:11: now() has a value only inside of a handler",
  ],
  [
    "a rate that is none",
    "profile('fast', () => {});",
    "2:9: profile takes samples a second: profile(99, …)",
  ],
  ["a duration that is none", "interval('soon', () => {});", `2:1: "soon" is not a duration`],
  ["an enum", "enum A { B }", "2:1: enum is not taken here"],
  [
    "nothing attached",
    "const a = 1;",
    "nothing is attached: no file calls tracepoint, uprobe or another attach function",
  ],
];

test.each(cases)("%s", async (_, code, expected) => {
  const error = await refusal(code);
  expect(
    String(error)
      .replace(/^.*?one-liner\.ts:/, "")
      .split("\n")[0],
  ).toContain(expected);
});

test("every statement's error is said once, with its place and what to do", async () => {
  const error = await refusal(
    inHandler(
      `const a = e.cuont;\nconst b = a + 1;\ninstant({ name: "x", args: { b } });\nwhile (1) {}\nm.set(1);`,
    ),
  );
  expect(error).toBeInstanceOf(ProbeErrors);
  const { errors } = error as ProbeErrors;
  expect(errors.map(({ line, column }) => [line, column])).toEqual([
    [3, 13],
    [6, 1],
    [7, 1],
  ]);
  expect(error.line).toBe(3);
  expect(String(error)).toContain("fix: the kernel takes only loops that end");
});
