import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect } from "vitest";
import type { MapSpec } from "../bpf/ir.ts";
import type { ProbeSet } from "../bpf/program.ts";
import { testNeeding } from "../testing/capability.ts";
import { cachedProbes, forgetProbes, keepProbes, type Sources } from "./probe-cache.ts";

const cacheTest = testNeeding("linux");
let dir: string;
let sources: Sources;
let set: ProbeSet;
const before = process.env["XDG_CACHE_HOME"];
const file = (name: string) => path.join(dir, name);
const cache = () => file("cache/kymo/probes");
const program = {
  name: "p",
  instructions: Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0),
  mapReferences: [],
  kfuncReferences: [],
  lines: [],
  stackBytes: 0,
};

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "kymo-cache-"));
  process.env["XDG_CACHE_HOME"] = file("cache");
  writeFileSync(file("probe.ts"), "1");
  writeFileSync(file("shared.ts"), "2");
  sources = { files: [file("probe.ts")], argv: ["a"], build: "-ABCDEFGH.js" };
  const ring: MapSpec = { kind: "ring", name: "ring", keyBytes: 0, valueBytes: 0, max: 65_536 };
  const losses: MapSpec = { kind: "array", name: "losses", keyBytes: 4, valueBytes: 8, max: 1 };
  const files = ["probe.ts", "shared.ts"].map((name, i) => ({
    path: file(name),
    text: `${i + 1}`,
  }));
  const handler = {
    name: "p",
    files,
    maps: [ring, losses],
    slots: [],
    localCount: 0,
    body: [{ op: "return", value: { op: "const", value: 0n } } as const],
    result: 0n,
  };
  set = {
    files,
    probes: [
      {
        label: "tracepoint:a:b",
        target: { kind: "tracepoint", category: "a", event: "b" },
        handler,
      },
    ],
    sites: [],
    eventTypes: [],
    aggregations: [],
    maps: [],
    ring,
    losses,
    notes: [],
    repeatable: true,
  };
});
afterEach(() => {
  if (before === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = before;
  rmSync(dir, { recursive: true, force: true });
});
const keep = (): void => keepProbes(sources, { set, programs: [program] });

cacheTest(
  "the same sources get what was kept, with maps that are the same objects everywhere",
  () => {
    expect(cachedProbes(sources)).toBeUndefined();
    keep();
    const kept = cachedProbes(sources)!;
    expect(kept.programs).toEqual([program]);
    expect(kept.set.ring).toBe(kept.set.probes[0]!.handler.maps[0]);
    expect(kept.set.sites).toEqual([]);
    forgetProbes(sources);
    expect(cachedProbes(sources)).toBeUndefined();
  },
);

cacheTest("another text, import, argument or build is another thing", () => {
  keep();
  expect(cachedProbes({ ...sources, argv: ["b"] })).toBeUndefined();
  expect(cachedProbes({ ...sources, build: "-ABCDEFGI.js" })).toBeUndefined();
  expect(cachedProbes({ ...sources, build: undefined })).toBeUndefined();
  writeFileSync(file("shared.ts"), "3");
  expect(cachedProbes(sources)).toBeUndefined();
  writeFileSync(file("shared.ts"), "2");
  expect(cachedProbes(sources)).toBeDefined();
  writeFileSync(file("probe.ts"), "3");
  expect(cachedProbes(sources)).toBeUndefined();
});

cacheTest("what is damaged, or may be somebody else's, is not there", () => {
  keep();
  const [name] = readdirSync(cache());
  const entry = path.join(cache(), name!);
  const whole = readFileSync(entry);
  for (const bytes of [
    whole.subarray(0, whole.length - 1),
    whole.subarray(0, 8),
    Buffer.alloc(0),
  ]) {
    writeFileSync(entry, bytes);
    expect(cachedProbes(sources)).toBeUndefined();
  }
  const flipped = Buffer.from(whole);
  flipped[whole.length - 9]! ^= 1;
  writeFileSync(entry, flipped);
  expect(cachedProbes(sources)).toBeUndefined();
  writeFileSync(entry, whole);
  expect(cachedProbes(sources)).toBeDefined();
  chmodSync(cache(), 0o777);
  expect(cachedProbes(sources)).toBeUndefined();
});

cacheTest("only probes that would be the same again are kept, and not for ever", () => {
  const [probe] = set.probes;
  const target = { kind: "uprobe", path: "/bin/sh", offsets: [0n], at: "entry" } as const;
  for (const other of [
    { repeatable: false },
    { notes: ["something is left out"] },
    { probes: [{ ...probe!, target }] },
  ])
    keepProbes(sources, { set: { ...set, ...other }, programs: [program] });
  expect(cachedProbes(sources)).toBeUndefined();
  for (let i = 0; i < 70; i++)
    keepProbes({ ...sources, argv: [String(i)] }, { set, programs: [program] });
  expect(readdirSync(cache())).toHaveLength(64);
});

testNeeding(
  "linux",
  "root",
  "bpf",
)("the second start takes what the first one kept, and --no-cache neither takes nor keeps", () => {
  const kymo = process.env["KYMO"] ?? fileURLToPath(new URL("../../bin/kymo.mjs", import.meta.url));
  const says = (word: string, ...flags: readonly string[]): string => {
    const probe = file(`${word}.ts`);
    writeFileSync(
      probe,
      `import { begin, print } from "kymo/probe"; begin(() => print\`${word}\`);`,
    );
    const args = [kymo, "probe", probe, ...flags, "--", "true"];
    const ended = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(ended.status, ended.stderr).toBe(0);
    return ended.stdout;
  };
  expect(says("one", "--no-cache")).toBe("one\n");
  expect(existsSync(cache())).toBe(false);
  expect(says("one")).toBe("one\n");
  const [one] = readdirSync(cache());
  expect(says("two")).toBe("two\n");
  const two = readdirSync(cache()).find((name) => name !== one)!;
  // As if each had been compiled to the other: only who looks there can tell.
  renameSync(path.join(cache(), one!), path.join(cache(), "other"));
  renameSync(path.join(cache(), two), path.join(cache(), one!));
  expect(says("one")).toBe("two\n");
  expect(says("one", "--no-cache")).toBe("one\n");
});
