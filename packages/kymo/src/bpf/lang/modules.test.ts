import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ProbeSet } from "../program.ts";
import { loadProbes } from "./index.ts";
import { builtinNames } from "./session.ts";
import { fakeKernel } from "./testing/fake-kernel.ts";
import { event, Machine } from "./testing/run.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "kymo-probe-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Writes files and loads the first. */
async function load(files: Record<string, string>, argv?: string[]): Promise<ProbeSet> {
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
  const first = path.join(dir, Object.keys(files)[0]!);
  return loadProbes([first], fakeKernel(), argv === undefined ? {} : { argv });
}
const argsOf = (set: ProbeSet, context = event({})) =>
  new Machine(set).run(0, context).emitted[0]!.args;

test("functions, constants, maps and types of other files are captured", async () => {
  const set = await load({
    "a.probe.ts": `#!/usr/bin/env -S kymo probe
      import { instant, tracepoint } from "kymo/probe";
      import type { Key } from "./b.ts";
      import { counts, limit as most, twice, type Value } from "./b.js";
      import def, * as all from "./b.ts";
      tracepoint("test:event", (e) => {
        counts.set([e.pid, 1], { n: most });
        return instant({ name: def, args: { x: twice(e.flags) + all.limit, n: counts.get([e.pid, 1])?.n } });
      });`,
    "b.ts": `import { hash, type u32, type u64 } from "kymo/probe";
      import { three } from "./c.ts";
      export type Key = readonly [pid: u32, other: u32];
      export interface Value { n: u64 }
      export const counts = hash<Key, Value>();
      export const limit = 40;
      export default "named in b";
      export function twice(x: u64): u64 { return x * 2 + three; }`,
    "c.ts": "export const three: number = 3;",
  });
  expect(argsOf(set, event({ flags: 5 }))).toEqual({ x: 53n, n: 40n });
  expect(set.sites[0]).toMatchObject({ name: { type: "const-text", value: "named in b" } });
  expect(set.files.map((file) => path.basename(file.path))).toEqual(["a.probe.ts", "b.ts", "c.ts"]);
});

test("loops over names attach a handler each, with the values of their round", async () => {
  const set = await load({
    "a.ts": `import { instant, tracepoint } from "kymo/probe";
      const attach = (n: number) => tracepoint("test:event", () => instant({ name: "x", args: { n } }));
      for (const n of [1, 2]) attach(n * 10);
      const handler = () => instant({ name: "y", args: { n: 99 } });
      tracepoint("test:event", handler);`,
  });
  const machine = new Machine(set);
  expect([0, 1, 2].map((probe) => machine.run(probe).emitted[0]!.args["n"])).toEqual([
    10n,
    20n,
    99n,
  ]);
});

test("process.argv, import.meta and Node's modules are a script's own", async () => {
  const { argv } = process;
  const set = await load(
    {
      "a.ts": `import { readFileSync } from "node:fs";
        import { instant, tracepoint } from "kymo/probe";
        import data from "./data.json" with { type: "json" };
        const [, self, ...words] = process.argv;
        const own = readFileSync(new URL("./other.txt", import.meta.url), "utf8");
        const same = self === import.meta.filename;
        tracepoint("test:event", () => instant({ name: own, args: { words: words.length, first: words[0], same, n: data.n } }));`,
      "other.txt": "the other file",
      "data.json": `{ "n": 12 }`,
    },
    ["one", "two"],
  );
  expect(set.sites[0]).toMatchObject({ name: { value: "the other file" } });
  expect(argsOf(set)).toEqual({ words: 2n, first: "one", same: true, n: 12n });
  expect(process.argv).toBe(argv);
});

test("a one-liner has both its arguments and the track of the process", async () => {
  const code = `const [first] = process.argv.slice(2);
    tracepoint("test:event", () => instant({ name: "x", track: process(), args: { first } }));`;
  const set = await loadProbes({ code }, fakeKernel(), { argv: ["one"] });
  expect(set.sites[0]).toMatchObject({ track: { kind: "process" } });
  expect(argsOf(set)).toEqual({ first: "one" });
});

test("a file is run again by the next load", async () => {
  const text = (n: number) =>
    `import { instant, tracepoint } from "kymo/probe"; tracepoint("test:event", () => instant({ name: "x", args: { n: ${n} } }));`;
  expect(argsOf(await load({ "a.ts": text(1) }))).toEqual({ n: 1n });
  expect(argsOf(await load({ "a.ts": text(2) }))).toEqual({ n: 2n });
});

test("files that import each other are refused, with the way around", async () => {
  const loading = load({
    "a.ts": `import { b } from "./b.ts";\nexport const a = b;`,
    "b.ts": `import { c } from "./c.ts";\nexport const b = c;`,
    "c.ts": `import { a } from "./a.ts";\nexport const c = a;`,
  });
  await expect(loading).rejects.toThrow("these files import each other: a.ts → b.ts → c.ts → a.ts");
  await expect(loading).rejects.toMatchObject({
    line: 1,
    column: 19,
    file: path.join(dir, "c.ts"),
  });
});

test.each([
  [`import { x } from "./none.ts"; x;`, "there is no ./none.ts beside this file"],
  [
    `import { tracepont } from "kymo/probe"; tracepont;`,
    "kymo/probe exports no tracepont; did you mean tracepoint?",
  ],
  [`import { x } from "no-such-package"; x;`, "can't find the package no-such-package from here"],
])("%s", async (text, expected) => {
  await expect(load({ "a.ts": text })).rejects.toThrow(expected);
});

test("a one-liner needs no imports", async () => {
  const machine = await Machine.load(`tracepoint("test:event", (e) => print\`\${e.pid}\`)`);
  expect(machine.run(0).emitted[0]!.site.kind).toBe("print");
  const own = await Machine.load(
    `const count = 5, { max } = { max: 6 }; tracepoint("test:event", (e) => { const pid = e.pid; return instant({ name: "x", args: { count, max, pid } }); }) // end`,
  );
  expect(own.run(0, event({ pid: 7 })).emitted[0]!.args).toEqual({ count: 5n, max: 6n, pid: 7n });
});

test("kymo/probe has the names that the compiler knows, and none of them runs in Node alone", async () => {
  const probe: Record<string, unknown> = await import("../../probe/index.ts");
  const { Session } = await import("./session.ts");
  expect(Object.keys(probe).sort()).toEqual(Object.keys(new Session().values).sort());
  for (const name of builtinNames)
    expect(() => (probe[name] as () => void)()).toThrow(`${name}() is kymo's: run this file with`);
});

test("types are taken out without moving a line or column", async () => {
  const set = load({
    "a.ts": `import { tracepoint, type u32 } from "kymo/probe";
interface Shape<T> { readonly at?: T }
declare const nothing: number;
abstract class Box<T> implements Shape<T> { private readonly at?: T; declare x: u32; constructor(at: T) { this.at = at!; } get(this: Box<T>): T | undefined { return this.at as T; } }
const made = new (Box as unknown as { new <T>(at: T): Box<T> })<u32>(5) satisfies Shape<u32>;
function over(a: string): string;
function over(a?: string): string { return <string>a; }
const list: [a: number, b?: string] = [made.get()!, over("b")];
export type { Shape };
tracepoint("test:event", (e: { n: u32 }) => { const x: u32 = list[0]! + e.missing; });`,
  });
  await expect(set).rejects.toMatchObject({ line: 10, column: 75 });
});
