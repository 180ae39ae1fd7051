/** `kymo query` and `kymo info` as they are run: the built command line, its output and its exit status. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { tableFromIPC } from "apache-arrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testNeeding } from "../testing/capability.ts";

const bin = fileURLToPath(new URL("../../bin/kymo.mjs", import.meta.url));
let dir: string;
let file: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "kymo-command-test-"));
  file = path.join(dir, "t.json");
  const events = [
    { ph: "M", name: "process_name", pid: 7, tid: 7, args: { name: "sh\u001bop" } },
    { ph: "X", name: "checkout", pid: 7, tid: 7, ts: 10, dur: 5.5, args: { foo: 5 } },
    { ph: "X", name: 'price "a",b', pid: 7, tid: 7, ts: 11, dur: 2 },
    { ph: "E", name: "never begun", pid: 7, tid: 8, ts: 20 },
  ];
  writeFileSync(file, JSON.stringify({ traceEvents: events }));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function kymo(
  args: readonly string[],
  input = "",
): { status: number | null; out: Buffer; err: string } {
  const run = spawnSync(process.execPath, [bin, ...args], { input, maxBuffer: 2 ** 28 });
  return { status: run.status, out: run.stdout, err: run.stderr.toString() };
}

describe("query", () => {
  test("csv, json, arrow and parquet to standard output and to a file", () => {
    const sql = "SELECT name, dur FROM slice ORDER BY ts";
    expect(kymo(["query", file, sql, "--format", "csv"]).out.toString()).toBe(
      'name,dur\ncheckout,5500\n"price ""a"",b",2000\n',
    );
    expect(JSON.parse(kymo(["query", file, sql, "--format=json"]).out.toString())).toEqual([
      { name: "checkout", dur: 5500 },
      { name: 'price "a",b', dur: 2000 },
    ]);
    const arrow = kymo(["query", file, sql, "--format", "arrow"]).out;
    expect(tableFromIPC(arrow).numRows).toBe(2);
    expect(kymo(["query", file, sql, "--format", "parquet"]).out.subarray(0, 4).toString()).toBe(
      "PAR1",
    );
    for (const format of ["csv", "arrow", "parquet"]) {
      const output = path.join(dir, `out.${format}`);
      expect(kymo(["query", file, sql, "--format", format, "-o", output])).toMatchObject({
        ...{ status: 0, err: "" },
      });
      expect(statSync(output).size).toBeGreaterThan(10);
      expect(statSync(output).mode & 0o777).toBe(0o600);
    }
    expect(readFileSync(path.join(dir, "out.arrow")).equals(arrow)).toBe(true);
    // Nothing half-made is left.
    expect(readdirSync(dir).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("the SQL from standard input, from a file, with a comment in front", () => {
    const two = "CREATE TABLE t AS SELECT 41 AS a;\nSELECT a + 1 AS b FROM t;";
    const sqlFile = path.join(dir, "q.sql");
    writeFileSync(sqlFile, two);
    expect(kymo(["query", file, "-", "--format", "csv"], two).out.toString()).toBe("b\n42\n");
    expect(kymo(["query", file, "--file", sqlFile, "--format", "csv"]).out.toString()).toBe(
      "b\n42\n",
    );
    expect(kymo(["query", file, "-- one\nSELECT 1 AS a", "--format", "csv"]).out.toString()).toBe(
      "a\n1\n",
    );
  });

  test("a reader that stops early ends the query quietly", () => {
    const run = spawnSync(
      "sh",
      [
        "-c",
        `"${process.execPath}" "${bin}" query "${file}" "FROM range(3000000)" --format csv | head -n 2`,
      ],
      { encoding: "utf8" },
    );
    expect([run.stdout, run.stderr]).toEqual(["range\n0\n", ""]);
  });

  test("SQL errors: words, a caret, exit 1", () => {
    const { status, err, out } = kymo(["query", file, "SELECT nam FROM slice"]);
    expect(status).toBe(1);
    expect(out.length).toBe(0);
    expect(err).toBe(
      'there is no column "nam"; did you mean "name", "last"?\n  line 1: SELECT nam FROM slice\n                 ^\n',
    );
    expect(kymo(["query", file, "COPY slice TO 'x.csv'"]).status).toBe(1);
  });

  test.each([
    [["query"], "a trace file is missing"],
    [["query", "FILE"], "the SQL is missing"],
    [["query", "FILE", "SELECT", "1"], "quote the SQL"],
    [["query", "FILE", "SELECT 1", "--format", "cvs"], "did you mean csv?"],
    [["query", "FILE", "SELECT 1", "--file", "x"], "the SQL is given twice"],
    [["query", "-", "-"], "can not both be standard input"],
    [["info"], "a trace file is missing"],
    [["info", "FILE", "more"], "more is too many"],
    [["info", "FILE", "--top", "x"], "--top needs a number"],
  ])("wrong usage: %j", (args, message) => {
    const { status, err } = kymo(args.map((arg) => (arg === "FILE" ? file : arg)));
    expect([status, err]).toEqual([2, expect.stringContaining(message)]);
  });

  test.each([
    [["query", "FILE", "SELECT 1", "-o", "/nonexistent/x"], "its directory does not exist"],
    [
      ["query", "FILE", "SELECT 1", "--format", "parquet", "-o", "/nonexistent/x"],
      "its directory does not exist",
    ],
    [["query", "FILE", "--file", "/nonexistent/q.sql"], "the SQL could not be read"],
  ])("what cannot be opened: %j", (args, message) => {
    const { status, err } = kymo(args.map((arg) => (arg === "FILE" ? file : arg)));
    expect([status, err]).toEqual([1, expect.stringContaining(message)]);
  });
});

describe("info", () => {
  test("contents, problems and what they mean", () => {
    const { status, out } = kymo(["info", file]);
    const text = out.toString();
    expect(status).toBe(0);
    expect(text).toContain("Chrome JSON");
    expect(text).toMatch(/slice +2\n/);
    expect(text).toMatch(/unmatched-end × 1: .*\n +ends without a begin/);
    expect(text).not.toContain("\u001b");
  });
  test("--json is one object, the same for a gzip of the file but for its size", () => {
    const packed = path.join(dir, "t.json.gz");
    writeFileSync(packed, gzipSync(readFileSync(file)));
    const plain = JSON.parse(kymo(["info", file, "--json"]).out.toString());
    const zipped = JSON.parse(kymo(["info", packed, "--json"]).out.toString());
    expect(plain).toMatchObject({
      ...{ format: "chrome-json", bytes: statSync(file).size, durationNs: 5500 },
      ...{ events: expect.any(Number), from: "10000", to: "15500" },
    });
    expect(plain.eventsByKind.slice).toBe(2);
    expect(zipped).toMatchObject({ compression: "gzip", bytes: statSync(packed).size });
    expect(zipped.eventsByKind).toEqual(plain.eventsByKind);
  });
  test("--strict: the rules of a Perfetto file, kept and broken; other formats are told so", () => {
    const perfetto = path.join(dir, "t.pftrace");
    expect(kymo(["convert", file, perfetto])).toMatchObject({ status: 0 });
    const clean = kymo(["info", perfetto, "--strict"]);
    expect([clean.status, clean.err]).toEqual([0, ""]);
    expect(clean.out.toString()).toMatch(/kept +interning/);
    expect(clean.out.toString()).not.toContain("BROKEN");
    // A track event on track 99, which nothing describes: TracePacket{timestamp 5, sequence 7, flags 1, track_event{type instant, track 99}}.
    const event = [0x48, 3, 0x58, 99];
    const packet = [0x40, 5, 0x50, 7, 0x68, 1, 0x5a, event.length, ...event];
    const broken = path.join(dir, "broken.pftrace.gz");
    writeFileSync(broken, gzipSync(Buffer.from([0x0a, packet.length, ...packet])));
    const found = kymo(["info", broken, "--strict"]);
    expect(found.status).toBe(1);
    expect(found.out.toString()).toMatch(/BROKEN +descriptor/);
    expect(found.out.toString()).toContain("fix: write a TrackDescriptor");
    const json = JSON.parse(kymo(["info", broken, "--strict", "--json"]).out.toString());
    expect(json.strict).toContainEqual(expect.objectContaining({ rule: "descriptor", count: 1 }));
    expect(kymo(["info", file, "--strict"])).toMatchObject({
      status: 1,
      err: expect.stringContaining("--strict checks Perfetto files"),
    });
  });
  test("the trace from standard input", () => {
    expect(kymo(["info", "-"], readFileSync(file, "utf8")).out.toString()).toMatch(/slice +2\n/);
  });
});

describe.each(["query", "info"])("%s: files that are no trace", (command) => {
  const rest = command === "query" ? ["SELECT 1"] : [];
  test.each<[string, (name: string) => void]>([
    [
      "garbage",
      (name) =>
        writeFileSync(name, Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 37) % 251))),
    ],
    ["empty", (name) => writeFileSync(name, "")],
    ["missing", () => {}],
    ["directory", () => {}],
  ])("%s: words, exit 1", (kind, make) => {
    const name = kind === "directory" ? dir : path.join(dir, `${kind}.bin`);
    make(name);
    const { status, err } = kymo([command, name, ...rest]);
    expect(status).toBe(1);
    expect(err).not.toMatch(/\n\s+at /);
    expect(err.length).toBeGreaterThan(10);
  });
  test("cut short: what was read is there, and the rest is a problem", () => {
    const cut = path.join(dir, "cut.json");
    writeFileSync(cut, readFileSync(file).subarray(0, -60));
    const { status, err } = kymo([command, cut, ...rest]);
    // The problem is in what `info` prints; rows of a query can't show it.
    const note = command === "query" ? expect.stringMatching(/^note: .* ends before/) : "";
    expect([status, err]).toEqual([0, note]);
  });
  testNeeding("root", "setpriv")("a file that may not be read: words, exit 1", () => {
    const secret = path.join(dir, "secret.json");
    writeFileSync(secret, readFileSync(file), { mode: 0o600 });
    // Another user who can reach the checkout and the directory, but not the file.
    const run = spawnSync(
      "setpriv",
      ["--reuid=65534", "--clear-groups", process.execPath, bin, command, secret, ...rest],
      { encoding: "utf8" },
    );
    expect([run.status, run.stderr]).toEqual([1, expect.stringContaining("may not read")]);
  });
});
