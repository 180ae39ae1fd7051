/**
 * SQL over 1 M and 10 M slices: opening, then queries as people ask them, beside the plain loop over the same arrays
 * and DuckDB's own table of the same rows. Times are the median of 5 runs, in ms. Goals: docs of the query engine.
 *
 *     npm run bench query            1 M and 10 M slices
 *     node bench/query.bench.mjs 1   1 M only
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
// Node 20 cannot run TypeScript: what is measured is bundled as the command line is.
const dir = mkdtempSync(path.join(root, "packages/kymo/.bench-"));
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
await build({
  stdin: {
    contents: `export { openDatabase } from "./src/query/database.ts";
      export { nestSlices, slicePartsOf } from "./src/query/nesting.ts";
      export { TraceBuilder } from "@kymo/trace";`,
    resolveDir: path.join(root, "packages/kymo"),
    loader: "ts",
  },
  outfile: path.join(dir, "query.mjs"),
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  conditions: ["source"],
  external: ["@duckdb/node-api", "@duckdb/node-bindings", "apache-arrow"],
  logLevel: "warning",
});
const { openDatabase, TraceBuilder } = await import(pathToFileURL(path.join(dir, "query.mjs")).href);
const require = createRequire(path.join(root, "packages/kymo/package.json"));
const { DuckDBInstance } = require("@duckdb/node-api");

const topNames = "SELECT name, sum(dur) AS total FROM slice GROUP BY name ORDER BY total DESC LIMIT 10";
const selfTime = "SELECT name, sum(self_dur) AS total FROM slice GROUP BY name ORDER BY total DESC LIMIT 10";
const argFilter = "SELECT count(*) FROM slice WHERE arg_int(arg_set_id, 'foo') > 3";
const millions = process.argv.slice(2).map(Number).filter((n) => n > 0);
console.log(`${os.cpus().length} × ${os.cpus()[0]?.model}, Node ${process.versions.node}, commit ${commit()}`);
for (const n of millions.length > 0 ? millions : [1, 10]) await measure(n * 1_000_000);

/** 64 threads; trees of 1 + 4 + 5 slices; 500 names; two arguments on every fifth slice, each set its own. */
function makeTrace(count) {
  const sink = new TraceBuilder();
  sink.clock({ domain: "monotonic", originNs: 1_000_000_000_000n, errorNs: 0 });
  const process = sink.track({ kind: "process", name: "app", pid: 1 });
  const threads = Array.from({ length: 64 }, (_, i) =>
    sink.track({ kind: "thread", name: `t${i}`, parent: process, pid: 1, tid: i + 1 }),
  );
  const names = Array.from({ length: 500 }, (_, i) => sink.string(`function_number_${i}`));
  const category = sink.string("bench");
  const foo = sink.string("foo");
  const sequence = sink.string("sequence");
  let made = 0;
  for (let tree = 0; made < count; tree++) {
    const track = threads[tree % 64];
    const start = Math.floor(tree / 64) * 20_000 + (tree % 64) * 7;
    // Outer of 10 µs; four of 2 µs in it; in the first of them five of 0.3 µs.
    const add = (ts, dur) => {
      if (made >= count) return;
      let args = -1;
      if (made % 5 === 0) {
        sink.args.int(foo, (made / 5) % 10);
        sink.args.int(sequence, made);
        args = sink.args.done();
      }
      sink.slice(track, ts, dur, names[(made * 7919) % 500], category, args);
      made++;
    };
    add(start, 10_000);
    for (let i = 0; i < 4; i++) add(start + i * 2_400, 2_000);
    for (let i = 0; i < 5; i++) add(start + i * 390, 300);
    if (tree % 6_400 === 6_399) sink.watermark(start - 20_000);
  }
  sink.close();
  return sink.trace;
}

async function measure(count) {
  console.log(`\n${count / 1e6} M slices`);
  let started = performance.now();
  const trace = makeTrace(count);
  console.log(`  building the trace took ${ms(performance.now() - started)} ms (not counted below)`);
  started = performance.now();
  const database = await openDatabase(trace);
  const opening = performance.now() - started;
  const origin = 1_000_000_000_000n;
  const middle = BigInt(Math.floor((trace.fromNs + trace.toNs) / 2)) + origin;
  const windowNs = Math.round((trace.toNs - trace.fromNs) / 30);
  const window = `WHERE ts >= ${middle} AND ts < ${middle + BigInt(windowNs)}`;
  // A slice with nine others in it, in the middle.
  const [[some]] = (
    await database.query(`SELECT id FROM slice WHERE depth = 0 AND ts >= ${middle} ORDER BY ts LIMIT 1`)
  ).rows;
  const fresh = await openDatabase(trace);
  const rows = [
    ["open the database", [opening], ""],
    ["FROM process (first query)", [await once(fresh, "SELECT count(*) FROM process")], ""],
    ["self time, first (nesting is computed)", [await once(fresh, selfTime)], "160"],
    ["arg filter, first (arguments are indexed)", [await once(fresh, argFilter)], ""],
  ];
  fresh.close();
  const asked = [
    ["top names by sum(dur)", topNames, "60"],
    ["window of 1/30 of the trace", `SELECT count(*), sum(dur) FROM slice ${window}`, "40–49"],
    ["self time by name", selfTime, "160"],
    ["arg_int(arg_set_id, 'foo') > 3", argFilter, "2.5–18"],
    ["descendants of a slice", `SELECT count(*) FROM descendant_slice(${some})`, "2.3"],
    ["ancestors of a slice", `SELECT count(*) FROM ancestor_slice(${some} + 5)`, "0.9"],
  ];
  for (const [title, sql, goal] of asked) rows.push([title, await repeat(() => database.query(sql)), goal]);
  rows.push(["top names, plain loop over the arrays", await repeat(() => plainTopNames(trace)), "32"]);
  rows.push(...(await duckdbTable(database, count)));
  console.log(`  ${"".padEnd(46)}${"ms".padStart(9)}${"ns/row".padStart(9)}   goal at 10 M, ms`);
  for (const [title, times, goal] of rows) {
    const median = times.sort((a, b) => a - b)[times.length >> 1];
    console.log(
      `  ${title.padEnd(46)}${ms(median).padStart(9)}${((median * 1e6) / count).toFixed(1).padStart(9)}   ${goal}`,
    );
  }
  database.close();
}

/** The alternative: copy the rows to a DuckDB table, then query that. */
async function duckdbTable(database, count) {
  // The same columns by SQL, so that both hold the same rows; in a database without our locks.
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const { rows } = await database.query(
    "SELECT name, count(*), min(dur), max(dur) FROM slice GROUP BY name ORDER BY name",
  );
  await connection.run(
    `CREATE TABLE slice AS SELECT 'function_number_' || (i * 7919) % ${rows.length} AS name, 300 + i % 1000 AS dur, i * 10 AS ts FROM range(${count}) r(i)`,
  );
  const table = await repeat(() => connection.runAndReadAll(topNames));
  connection.closeSync();
  instance.closeSync();
  const copied = await once(database, "CREATE TABLE copy AS SELECT ts, dur, name FROM slice; SELECT count(*) FROM copy");
  return [
    ["(DuckDB's own table: top names)", table, "60"],
    ["(copying ts, dur, name to a DuckDB table)", [copied], ""],
  ];
}

function plainTopNames(trace) {
  const sums = new Float64Array(trace.strings.length);
  for (const row of trace.rows) {
    if (row.kind !== "slice") continue;
    for (const { length, key, dur } of row.chunks)
      for (let i = 0; i < length; i++) sums[key[i]] += dur[i];
  }
  return [...sums.keys()].sort((a, b) => sums[b] - sums[a]).slice(0, 10);
}

async function once(database, sql) {
  const started = performance.now();
  await database.query(sql);
  return performance.now() - started;
}
async function repeat(run) {
  const times = [];
  for (let i = 0; i < 5; i++) {
    const started = performance.now();
    await run();
    times.push(performance.now() - started);
  }
  return times;
}
function ms(value) {
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
}
function commit() {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  } catch {
    return "unknown"; // not a checkout: the figures have no commit
  }
}
