/** `kymo doctor` as users run it: through the built command line. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { skipHere, testNeeding } from "../testing/capability.ts";
import type { Check } from "./check.ts";
import { reportText, wrap } from "./report.ts";
import { hasCapability } from "./rights.ts";

const kymo = fileURLToPath(new URL("../../", import.meta.url));
const bin = path.join(kymo, "bin/kymo.mjs");
let directory = "";
beforeAll(() => {
  if (!existsSync(path.join(kymo, "dist/cli.js")))
    execFileSync(process.execPath, [path.join(kymo, "../../scripts/build.mjs"), "kymo"]);
  directory = mkdtempSync(path.join(tmpdir(), "kymo-doctor-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Report {
  readonly schema: number;
  readonly summary: string;
  readonly checks: readonly Check[];
}
function run(
  command: readonly string[],
  cwd = directory,
): { readonly status: number | null; readonly out: string; readonly err: string } {
  const { status, stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
    encoding: "utf8",
    cwd,
  });
  return { status, out: stdout, err: stderr };
}
function report(command: readonly string[], cwd = directory): Report {
  const { status, out, err } = run([...command, "--json"], cwd);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  return JSON.parse(out) as Report;
}
const find = (one: Report, name: string): Check | undefined =>
  one.checks.find((check) => check.name === name);

test("every line says what is, and every no says why", () => {
  const { status, out } = run([process.execPath, bin, "doctor"]);
  expect(status).toBe(0);
  expect(out).toContain("This machine\n");
  expect(out).toContain("Files and tools\n");
  const json = report([process.execPath, bin, "doctor"]);
  expect(json.schema).toBe(1);
  for (const check of json.checks) {
    expect(check.detail).not.toBe("");
    expect(out).toContain(check.name);
  }
  expect(out.trimEnd().split("\n").at(-1)).toBe(json.summary);
});

test("unknown flags and words are wrong usage", () => {
  expect(run([process.execPath, bin, "doctor", "--jsn"])).toMatchObject({ status: 2 });
  expect(run([process.execPath, bin, "doctor", "please"])).toMatchObject({ status: 2 });
  expect(run([process.execPath, bin, "doctor", "--help"]).out).toContain("--json");
});

test("elsewhere than on Linux: words, no errors", () => {
  const other = path.join(directory, "other.mjs");
  writeFileSync(other, 'Object.defineProperty(process, "platform", { value: "darwin" });\n');
  const json = report([process.execPath, "--import", other, bin, "doctor"]);
  expect(find(json, "recording")).toMatchObject({ ok: false });
  expect(find(json, "recording")!.detail).toContain("needs Linux; this is darwin");
  expect(find(json, "CAP_PERFMON")).toBeUndefined();
  expect(find(json, "koffi (system calls)")).toBeUndefined();
  expect(json.summary).toBe("kymo record needs Linux; kymo open, query and convert work here.");
});

test("without the native libraries: words, no errors", () => {
  const copy = path.join(directory, "copy");
  cpSync(path.join(kymo, "bin"), path.join(copy, "bin"), { recursive: true });
  cpSync(path.join(kymo, "dist"), path.join(copy, "dist"), {
    recursive: true,
    filter: (from) => !from.includes(`${path.sep}types`),
  });
  writeFileSync(path.join(copy, "package.json"), '{"type":"module"}');
  const json = report([process.execPath, path.join(copy, "bin/kymo.mjs"), "doctor"]);
  expect(find(json, "DuckDB (SQL)")).toMatchObject({ ok: false });
  if (process.platform !== "linux") return;
  expect(find(json, "koffi (system calls)")).toMatchObject({ ok: false });
  expect(find(json, "perf events")!.detail).toMatch(/^not tried: .*koffi/);
});

testNeeding("linux", "root")(
  "as root, with all capabilities, this machine can be recorded",
  (context) => {
    const json = report([process.execPath, bin, "doctor"]);
    if (find(json, "CAP_SYS_ADMIN")?.ok !== true)
      return skipHere(context, "root without CAP_SYS_ADMIN: a container");
    expect(find(json, "samples of every process")).toMatchObject({ ok: true });
    expect(find(json, "kernel functions")).toMatchObject({ ok: true });
  },
);

describe("as a user without rights", () => {
  const nobody = [
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
    "--bounding-set",
    "-all",
    "--inh-caps",
    "-all",
  ];
  const paranoid = (): number =>
    Number(readFileSync("/proc/sys/kernel/perf_event_paranoid", "utf8"));
  /** Whether that user can read the checkout and run this Node at all. */
  const canRun = (): boolean =>
    run([...nobody, process.execPath, bin, "--version"], "/").status === 0;

  testNeeding(
    "linux",
    "root",
    "setpriv",
  )("what the kernel refuses is said with its reason and a fix", (context) => {
    if (!canRun()) return skipHere(context, `another user cannot read ${kymo}`);
    // Another test may be changing the setting just now: the report counts when it stayed the same.
    let level = paranoid();
    let json = report([...nobody, process.execPath, bin, "doctor"], "/");
    for (let tries = 0; paranoid() !== level && tries < 5; tries++) {
      level = paranoid();
      json = report([...nobody, process.execPath, bin, "doctor"], "/");
    }
    expect(find(json, "user")!.detail).toContain("uid 65534");
    for (const name of ["CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_BPF"])
      expect(find(json, name)).toMatchObject({ ok: false });
    expect(find(json, "space for recordings")).toMatchObject({ ok: false });
    const everything = find(json, "samples of every process")!;
    expect(everything.ok).toBe(level <= 0);
    if (!everything.ok) {
      expect(everything.detail).toMatch(/^perf_event_open\(cpu \d+\): E(ACCES|PERM)$/);
      expect(everything.fix).toContain("kernel.perf_event_paranoid ≤ 0");
    }
    expect(find(json, "user-space samples of yours")!.ok).toBe(level <= 2);
    const scheduling = find(json, "scheduling of every process")!;
    try {
      accessSync("/sys/kernel/tracing/events", constants.R_OK);
    } catch {
      return; // not mounted: nothing to tell
    }
    if (scheduling.ok === false && scheduling.detail.includes("root only"))
      expect(scheduling.fix).toContain("gid=65534");
  });

  testNeeding(
    "linux",
    "root",
    "setpriv",
  )("CAP_PERFMON alone lets it sample every process", (context) => {
    if (!canRun()) return skipHere(context, `another user cannot read ${kymo}`);
    const caps = [
      "setpriv",
      "--reuid",
      "65534",
      "--regid",
      "65534",
      "--clear-groups",
      "--inh-caps",
      "+perfmon",
      "--ambient-caps",
      "+perfmon",
    ];
    const json = report([...caps, process.execPath, bin, "doctor"], "/");
    expect(find(json, "CAP_PERFMON")).toMatchObject({ ok: true });
    expect(find(json, "CAP_SYS_ADMIN")).toMatchObject({ ok: false });
    expect(find(json, "samples of every process")).toMatchObject({ ok: true });
  });
});

test("capabilities are read by their bit", () => {
  const status = "Name:\tnode\nCapEff:\t0000004000000000\nCapBnd:\t000001ffffffffff\n";
  expect(hasCapability(status, 38)).toBe(true);
  expect(hasCapability(status, 39)).toBe(false);
  expect(hasCapability("", 38)).toBe(false);
});

test("long details wrap below themselves, fixes below those", () => {
  const checks: Check[] = [
    { group: "One", name: "a", ok: true, detail: "works" },
    {
      group: "One",
      name: "longer",
      ok: false,
      detail: "one two three four five six seven",
      fix: "do this",
    },
    { group: "Two", name: "b", ok: undefined, detail: "is so" },
  ];
  expect(reportText(checks, 36)).toBe(
    [
      "One",
      "  ✓ a       works",
      "  ✗ longer  one two three four five",
      "            six seven",
      "            fix: do this",
      "",
      "Two",
      "  · b       is so",
    ].join("\n"),
  );
  expect(wrap("averyveryveryveryverylongword b", 10)).toEqual([
    "averyveryveryveryverylongword",
    "b",
  ]);
});
