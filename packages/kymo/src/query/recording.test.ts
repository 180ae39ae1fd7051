/** One real recording, looked at from all sides: what it says must agree with itself, in every form it can take. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { DuckDBInstance } from "@duckdb/node-api";
import { readTrace, type Trace, TraceBuilder } from "@kymo/trace";
import { tableFromIPC } from "apache-arrow";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { openTraceFile } from "../files/open.ts";
import { testNeeding } from "../testing/capability.ts";
import { openDatabase, type QueryDatabase } from "./database.ts";
import type { PlainValue } from "./values.ts";

const kymo = fileURLToPath(new URL("../../bin/kymo.mjs", import.meta.url));
const demo = fileURLToPath(new URL("../../../../demo/shop.mjs", import.meta.url));
const traced = testNeeding("linux", "root", "tracepoints");
let dir = "";
let file = "";
let made: Promise<{ readonly trace: Trace; readonly database: QueryDatabase }> | undefined;

beforeAll(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), "kymo-recording-"));
  file = path.join(dir, "shop.pftrace");
});
afterAll(async () => {
  (await made)?.database.close();
  rmSync(dir, { recursive: true, force: true });
});

function run(...args: string[]): { readonly stdout: Buffer; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [kymo, ...args], {
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`kymo ${args.join(" ")}: ${status}\n${stderr}`);
  return { stdout, stderr: String(stderr) };
}

/** Recorded by the first test that needs it. */
function recording(): NonNullable<typeof made> {
  made ??= (async () => {
    run("record", "-q", "-o", file, "--", process.execPath, demo);
    const trace = await openTraceFile(file);
    return { trace, database: await openDatabase(trace) };
  })();
  return made;
}
async function rows(sql: string): Promise<readonly (readonly PlainValue[])[]> {
  return (await (await recording()).database.query(sql)).rows;
}
async function readBytes(bytes: Uint8Array): Promise<Trace> {
  const builder = new TraceBuilder();
  await readTrace(new Blob([bytes as Uint8Array<ArrayBuffer>]).stream(), "cut.pftrace", builder);
  return builder.trace;
}

describe("what it says agrees with itself", () => {
  const overlaps = (table: string, by: string) => `
    SELECT count(*) FROM (
      SELECT ts, dur, lead(ts) OVER (PARTITION BY ${by} ORDER BY ts) AS next FROM ${table}
    ) WHERE next IS NOT NULL AND (dur < 0 OR ts + dur > next)`;

  traced(
    "a CPU runs one thread at a time, a thread has one state and is in one system call",
    async () => {
      expect(await rows(overlaps("sched", "cpu"))).toEqual([[0]]);
      expect(await rows(overlaps("thread_state", "utid"))).toEqual([[0]]);
      const syscalls = "(SELECT * FROM slice WHERE category = 'syscall')";
      expect(await rows(overlaps(syscalls, "utid"))).toEqual([[0]]);
      const [[switches, calls]] = (await rows(
        "SELECT (SELECT count(*) FROM sched), (SELECT count(*) FROM slice WHERE category = 'syscall')",
      )) as [[number, number]];
      expect(Math.min(switches, calls)).toBeGreaterThan(100);
    },
  );

  traced("nothing runs longer than there is time", async () => {
    const [[bad]] = (await rows(`
      SELECT count(*) FROM (SELECT cpu, sum(dur) AS busy FROM sched WHERE dur >= 0 GROUP BY cpu), trace_bounds
      WHERE busy > end_ts - start_ts`)) as [[number]];
    expect(bad).toBe(0);
    expect(
      await rows(`SELECT count(*) FROM (
        SELECT sum(dur) AS known, max(ts + dur) - min(ts) AS lifetime
        FROM thread_state WHERE dur >= 0 GROUP BY utid) WHERE known > lifetime`),
    ).toEqual([[0]]);
  });

  traced(
    "states and CPUs tell the same of who ran, but for switches that the kernel did not report",
    async () => {
      const { trace } = await recording();
      const unreported = trace.problems.reduce(
        (sum, { kind, count }) =>
          kind === "unsupported" || kind === "lost-events" ? sum + (count ?? 1) : sum,
        0,
      );
      const differing = await rows(`
      SELECT name, tid, a, b FROM (SELECT utid, sum(dur) AS a FROM thread_state WHERE state = 'Running' AND dur >= 0 GROUP BY utid)
      FULL JOIN (SELECT utid, sum(dur) AS b FROM sched WHERE dur >= 0 GROUP BY utid) USING (utid)
      LEFT JOIN thread USING (utid)
      WHERE a IS DISTINCT FROM b`);
      if (unreported === 0) expect(differing).toEqual([]);
      else expect(differing.length).toBeLessThanOrEqual(unreported);
    },
  );

  traced("samples stand for the CPU time that was used", async () => {
    const found = await rows(`
      SELECT sampled / used FROM (SELECT utid, sum(weight) AS sampled FROM sample GROUP BY utid)
      JOIN (SELECT utid, sum(dur) AS used FROM sched WHERE dur >= 0 GROUP BY utid) USING (utid) WHERE used > 200e6`);
    expect(found.length).toBeGreaterThan(0);
    for (const [ratio] of found) {
      expect(ratio).toBeGreaterThan(0.8);
      expect(ratio).toBeLessThan(1.2);
    }
  });

  traced("every system call that returned says what", async () => {
    const [[calls, silent]] = (await rows(`
      SELECT count(*), count(*) FILTER (arg_int(arg_set_id, 'ret') IS NULL)
      FROM slice WHERE category = 'syscall' AND name NOT IN ('exit', 'exit_group', 'rt_sigreturn')`)) as [
      [number, number],
    ];
    const [[threads]] = (await rows("SELECT count(*) FROM thread")) as [[number]];
    // One a thread may be cut off by its end or the recording's.
    expect(silent).toBeLessThanOrEqual(threads);
    expect(calls).toBeGreaterThan(10 * silent);
  });
});

traced("every prefix opens, with ever more events", async () => {
  await recording();
  const bytes = readFileSync(file);
  let last = 0;
  // From where the first packet is whole; dense at the start, where declarations are.
  for (let length = 4096; length < bytes.length; length = Math.ceil(length * 1.15) + 1) {
    const { length: events } = await readBytes(bytes.subarray(0, length));
    expect(events).toBeGreaterThanOrEqual(last * 0.98); // the last, open entries may differ
    last = events;
  }
  expect(last).toBeGreaterThan(1000);
});

traced("converted to JSON and back, it keeps what docs/formats.md says", async () => {
  const { trace } = await recording();
  const json = path.join(dir, "shop.json");
  const back = path.join(dir, "back.pftrace");
  run("convert", file, json);
  run("convert", json, back);
  const again = await openTraceFile(back);
  const database = await openDatabase(again);
  try {
    for (const sql of [
      "SELECT name, category, count(*), sum(dur) FROM slice WHERE category = 'syscall' GROUP BY ALL ORDER BY ALL",
      "SELECT ts, value FROM counter ORDER BY ALL",
      "SELECT ts, sum(weight), count(*) FROM sample GROUP BY ts ORDER BY ts",
      "SELECT f.name, count(*) FROM sample s JOIN stack_frame f ON s.callsite_id = f.id GROUP BY ALL ORDER BY ALL",
      "SELECT key, display_value, count(*) FROM slice s JOIN args USING (arg_set_id) WHERE category = 'syscall' GROUP BY ALL ORDER BY ALL",
      "SELECT pid, name FROM process ORDER BY ALL",
      "SELECT name, str_value FROM metadata ORDER BY ALL",
    ]) {
      const before = await rows(sql);
      expect(before.length).toBeGreaterThan(0);
      expect((await database.query(sql)).rows, sql).toEqual(before);
    }
    // Scheduling becomes slices on the CPUs' rows.
    const [[switches]] = (await rows("SELECT count(*) FROM sched")) as [[number]];
    const onCpus = await database.query(
      "SELECT count(*) FROM slice JOIN track ON track_id = track.id WHERE track.type = 'cpu'",
    );
    expect(onCpus.rows).toEqual([[switches]]);
    expect(again.clock.originNs + BigInt(again.fromNs)).toBe(
      trace.clock.originNs + BigInt(trace.fromNs),
    );
  } finally {
    database.close();
  }
});

traced("all output formats of a query say the same", async () => {
  await recording();
  const sql = `SELECT sched.ts, dur, cpu, tid, dur / 7 AS real, regexp_replace(name, '[^a-z]', '_', 'g') AS name
    FROM sched JOIN thread USING (utid) ORDER BY sched.ts, cpu`;
  const text = (values: readonly unknown[]) => values.map(String);
  const query = (format: string): Buffer => run("query", file, sql, "--format", format).stdout;
  const json = (JSON.parse(String(query("json"))) as { [name: string]: unknown }[]).map((row) =>
    text(Object.values(row)),
  );
  expect(json.length).toBeGreaterThan(100);
  const csv = String(query("csv")).trim().split("\n").slice(1);
  expect(csv.map((line) => line.split(","))).toEqual(json);
  const arrow = tableFromIPC(query("arrow"));
  expect(arrow.toArray().map((row: { toArray(): unknown[] }) => text(row.toArray()))).toEqual(json);
  const parquet = path.join(dir, "sched.parquet");
  run("query", file, sql, "--format", "parquet", "-o", parquet);
  const connection = await (await DuckDBInstance.create(":memory:")).connect();
  const read = await connection.runAndReadAll(`FROM '${parquet}'`);
  expect(read.getRows().map(text)).toEqual(json);
  connection.closeSync();
});
