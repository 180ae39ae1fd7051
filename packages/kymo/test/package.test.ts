/** The package as its users get it: packed, installed elsewhere, and run where the FFI can't load. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const packageDir = fileURLToPath(new URL("..", import.meta.url));
const kymo = path.join(packageDir, "bin/kymo.mjs");
let dir: string;
let input: string;

beforeAll(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), "kymo-package-"));
  input = path.join(dir, "in.json");
  const events = [
    { ph: "M", name: "process_name", pid: 7, tid: 7, args: { name: "shop" } },
    { ph: "X", name: "checkout", cat: "web", pid: 7, tid: 7, ts: 10, dur: 5.5 },
    { ph: "X", name: "price", cat: "web", pid: 7, tid: 7, ts: 11, dur: 2 },
  ];
  writeFileSync(input, JSON.stringify({ traceEvents: events }));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const question = "SELECT name, dur FROM slice ORDER BY ts";
const answer = "name,dur\ncheckout,5500\nprice,2000\n";

test("the packed package installs elsewhere and works", { timeout: 300_000 }, () => {
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--pack-destination", dir], {
      cwd: packageDir,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  ) as { filename: string; files: { path: string }[] }[];
  const files = packed!.files.map((file) => file.path);
  expect(files).toContain("dist/cli.js");
  expect(files).toContain("dist/ui/index.html");
  expect(files).toContain("LICENSE");
  expect(files).toContain("README.md");
  expect(files.filter((file) => /\.test\.|fixture|testing|\.worker\.ts$/.test(file))).toEqual([]);
  const home = path.join(dir, "elsewhere");
  execFileSync(
    "npm",
    [
      "install",
      "--prefix",
      home,
      "--no-audit",
      "--no-fund",
      "--prefer-offline",
      path.join(dir, packed!.filename),
    ],
    { stdio: "ignore" },
  );
  const installed = path.join(home, "node_modules/.bin/kymo");
  const run = (...args: string[]) => spawnSync(installed, args, { cwd: dir, encoding: "utf8" });
  expect(run("query", input, question, "--format", "csv")).toMatchObject({
    status: 0,
    stdout: answer,
  });
  expect(run("convert", input, path.join(dir, "out.pftrace")).status).toBe(0);
  expect(run("query", path.join(dir, "out.pftrace"), question, "--format", "csv")).toMatchObject({
    status: 0,
    stdout: answer,
  });
  const script = path.join(home, "script.mts");
  writeFileSync(
    script,
    `import { openDatabase, openTraceFile, type Trace } from "kymo";
const trace: Trace = await openTraceFile(${JSON.stringify(input)});
const database = await openDatabase(trace);
const { rows } = await database.query("SELECT count(*) FROM slice");
const wrong: string = rows; // the types are there: this line must not compile
console.log(String(rows[0]![0]));
`,
  );
  const tsc = path.join(packageDir, "../../node_modules/.bin/tsc");
  const compiled = spawnSync(
    tsc,
    ["--strict", "--target", "es2023", "--module", "nodenext", "--skipLibCheck", script],
    { cwd: home, encoding: "utf8" },
  );
  expect(compiled.stdout.match(/error TS\d+/g), compiled.stdout).toEqual(["error TS2322"]);
  expect(
    spawnSync(process.execPath, [path.join(home, "script.mjs")], { encoding: "utf8" }),
  ).toMatchObject({ status: 0, stdout: "2\n" });
});

test("without the FFI, formats and queries work and recording says why it can't", () => {
  const hooks = `
    export async function resolve(specifier, context, next) {
      if (specifier === "koffi" || specifier.startsWith("@koromix/")) throw Object.assign(new Error("Cannot find the native module"), { code: "ERR_MODULE_NOT_FOUND" });
      return next(specifier, context);
    }`;
  const register = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(hooks)}");`;
  const run = (...args: string[]) =>
    spawnSync(
      process.execPath,
      ["--import", `data:text/javascript,${encodeURIComponent(register)}`, kymo, ...args],
      { cwd: dir, encoding: "utf8" },
    );
  expect(run("query", input, question, "--format", "csv")).toMatchObject({
    status: 0,
    stdout: answer,
  });
  expect(run("convert", input, path.join(dir, "ffi.pftrace")).status).toBe(0);
  expect(run("info", path.join(dir, "ffi.pftrace")).status).toBe(0);
  expect(run("doctor").status).toBe(0);
  const record = run("record", "-o", path.join(dir, "no.pftrace"), "--", "true");
  expect(record.status).toBe(1);
  expect(record.stderr).not.toMatch(/\n\s+at /);
  expect(record.stderr).toMatch(/koffi/);
});

test("nothing but capture imports the FFI when it loads", () => {
  const dist = path.join(packageDir, "dist");
  const importers = readdirSync(dist)
    .filter((file) => file.endsWith(".js"))
    .filter((file) => /^import .*"koffi"/m.test(readFileSync(path.join(dist, file), "utf8")));
  const reachable = staticImports(path.join(dist, "cli.js"));
  expect(importers.filter((file) => reachable.has(file))).toEqual([]);
});

function staticImports(entry: string, seen = new Set<string>()): Set<string> {
  const name = path.basename(entry);
  if (seen.has(name)) return seen;
  seen.add(name);
  for (const [, file] of readFileSync(entry, "utf8").matchAll(
    /^(?:import|export)[^"\n]*"\.\/([^"]+)"/gm,
  ))
    staticImports(path.join(path.dirname(entry), file!), seen);
  return seen;
}
