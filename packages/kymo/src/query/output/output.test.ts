import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { TraceBuilder } from "@kymo/trace";
import { tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase, type QueryDatabase } from "../database.ts";
import { hostile, sampleTrace } from "../testing/sample-trace.ts";
import { arrowStream } from "./arrow.ts";
import { csvText } from "./csv.ts";
import { jsonText } from "./json.ts";
import { tableLines } from "./table.ts";

const dir = mkdtempSync(path.join(tmpdir(), "kymo-output-test-"));
const writable = path.join(dir, "result.parquet");
let database: QueryDatabase;
beforeAll(async () => {
  database = await openDatabase(sampleTrace(), { writable });
});
afterAll(() => {
  database.close();
  rmSync(dir, { recursive: true, force: true });
});

/** A value of every kind that has its own way of being written. */
const everything = `SELECT 1::TINYINT AS tiny, 9007199254740993::BIGINT AS big, (-170141183460469231731687303715884105727)::HUGEINT AS huge,
  18446744073709551615::UBIGINT AS unsigned, 1.5::DOUBLE AS real, 'NaN'::DOUBLE AS nan, '-Infinity'::DOUBLE AS infinite,
  -12.340::DECIMAL(10, 3) AS exact, true AS yes, NULL::INTEGER AS nothing, '' AS empty, 'a "b", c' || chr(10) || 'd' AS text,
  '\\x00\\xFFz'::BLOB AS bytes, DATE '2026-01-02' AS day, TIMESTAMP '2026-01-02 03:04:05.678901' AS moment,
  [1, NULL] AS list, {'a': 'x', 'b': 2} AS struct, MAP {'k': 1} AS map, INTERVAL 90 MINUTE AS span,
  'b'::ENUM('a', 'b') AS choice`;

async function text(pieces: AsyncIterable<string>): Promise<string> {
  let all = "";
  for await (const piece of pieces) all += piece;
  return all;
}
async function bytes(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}
const csv = async (sql: string): Promise<string> => text(csvText(await database.stream(sql)));
const json = async (sql: string): Promise<unknown> =>
  JSON.parse(await text(jsonText(await database.stream(sql))));
const arrow = async (sql: string): Promise<ReturnType<typeof tableFromIPC>> =>
  tableFromIPC(await bytes(arrowStream(await database.stream(sql))));

/** RFC 4180 by the book; `quoted` tells "" from nothing. */
function parseCsv(source: string): { readonly value: string; readonly quoted: boolean }[][] {
  const rows: { value: string; quoted: boolean }[][] = [];
  let row: { value: string; quoted: boolean }[] = [];
  for (let i = 0; i < source.length; ) {
    let value = "";
    const quoted = source[i] === '"';
    if (quoted) {
      for (i++; source[i] !== '"' || source[i + 1] === '"'; i++) {
        value += source[i];
        if (source[i] === '"') i++;
        if (i >= source.length) throw new Error("a quote is not closed");
      }
      i++;
    } else
      while (i < source.length && source[i] !== "," && source[i] !== "\n") value += source[i++];
    row.push({ value, quoted });
    if (source[i] === "\n") {
      rows.push(row);
      row = [];
    } else if (source[i] !== ",") throw new Error(`expected , or a line end at ${i}`);
    i++;
  }
  if (row.length > 0) throw new Error("the last line does not end");
  return rows;
}

test("csv: a header line, then rows, by RFC 4180", async () => {
  const [head, row, ...rest] = parseCsv(await csv(everything));
  expect(rest).toEqual([]);
  const named = Object.fromEntries(head!.map(({ value }, i) => [value, row![i]!.value]));
  expect(named).toMatchObject({
    ...{ tiny: "1", big: "9007199254740993", huge: "-170141183460469231731687303715884105727" },
    ...{ unsigned: "18446744073709551615", real: "1.5", nan: "NaN", infinite: "-Infinity" },
    ...{ exact: "-12.340", yes: "true", nothing: "", empty: "", text: 'a "b", c\nd' },
    ...{ bytes: "\\x00\\xFFz", day: "2026-01-02", moment: "2026-01-02 03:04:05.678901" },
    ...{ list: "[1, NULL]", span: "01:30:00", choice: "b" },
  });
  const quoted = (name: string): boolean =>
    row![head!.findIndex(({ value }) => value === name)]!.quoted;
  expect([quoted("nothing"), quoted("empty")]).toEqual([false, true]);
});

test("csv: any text comes back, and a result without rows is its header", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme" }), async (value) => {
      const literal = `'${value.replaceAll("'", "''").replaceAll("\0", "")}'`;
      const [, row] = parseCsv(await csv(`SELECT ${literal} AS a, ${literal} AS b`));
      expect(row!.map((field) => field.value)).toEqual([
        value.replaceAll("\0", ""),
        value.replaceAll("\0", ""),
      ]);
    }),
    { numRuns: 50 },
  );
  expect(await csv('SELECT id, name AS "a,b" FROM slice WHERE false')).toBe('id,"a,b"\n');
  expect(parseCsv(await csv("SELECT name FROM slice WHERE dur = 10"))[1]).toEqual([
    { value: hostile, quoted: true },
  ]);
});

test("json: numbers while exact, then text; bytes as base64; NaN as null", async () => {
  expect(await json(everything)).toEqual([
    {
      ...{ tiny: 1, big: "9007199254740993", huge: "-170141183460469231731687303715884105727" },
      ...{ unsigned: "18446744073709551615", real: 1.5, nan: null, infinite: null, exact: -12.34 },
      ...{ yes: true, nothing: null, empty: "", text: 'a "b", c\nd', bytes: "AP96" },
      ...{ day: "2026-01-02", moment: "2026-01-02 03:04:05.678901", list: [1, null] },
      ...{ struct: { a: "x", b: 2 }, map: [{ key: "k", value: 1 }], span: "01:30:00", choice: "b" },
    },
  ]);
  expect(await json("SELECT 1 AS a WHERE false")).toEqual([]);
  expect(await json("SELECT 1 AS a, 2 AS a, 3 AS a")).toEqual([{ a: 1, "a:1": 2, "a:2": 3 }]);
  expect(await json("SELECT name FROM slice WHERE dur = 10")).toEqual([{ name: hostile }]);
  expect(((await json("FROM range(5000)")) as unknown[]).length).toBe(5000);
});

test("arrow: the library reads every type back", async () => {
  const table = await arrow(everything);
  const row = table.get(0)!.toJSON() as { [name: string]: unknown };
  const { bytes: blob, huge, moment } = row;
  expect(row).toMatchObject({
    ...{ tiny: 1, big: 9007199254740993n, unsigned: 18446744073709551615n, real: 1.5 },
    ...{ nan: Number.NaN, infinite: Number.NEGATIVE_INFINITY, yes: true, nothing: null, empty: "" },
    ...{ text: 'a "b", c\nd', list: "[1, NULL]", choice: "b", span: "01:30:00" },
  });
  expect([...(blob as Uint8Array)]).toEqual([0, 255, 122]);
  expect(table.schema.fields.map((field) => String(field.type)).slice(0, 8)).toEqual([
    ...["Int8", "Int64", "Decimal[38e0]", "Uint64", "Float64", "Float64", "Float64"],
    "Decimal[10e+3]",
  ]);
  expect(BigInt(String(huge))).toBe(-170141183460469231731687303715884105727n);
  expect(Number(moment)).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 678) + 0.901);
});

test("arrow: batches, NULLs at their places, and an empty result with its schema", async () => {
  const table = await arrow(
    "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE 'n' || i END AS name, i % 2 = 0 AS even FROM range(150000) r(i) ORDER BY i",
  );
  expect([table.numRows, table.batches.length]).toEqual([150_000, 3]);
  let wrong = 0;
  for (let i = 0; i < table.numRows; i++) {
    const name = table.getChild("name")!.get(i);
    if (name !== (i % 3 === 0 ? null : `n${i}`)) wrong++;
    if (table.getChild("even")!.get(i) !== (i % 2 === 0)) wrong++;
  }
  expect(wrong).toBe(0);
  const none = await arrow("SELECT 1 AS a, 'x' AS b WHERE false");
  expect([none.numRows, none.schema.names]).toEqual([0, ["a", "b"]]);
});

test("parquet: DuckDB reads the same rows back, and nothing else can be written", async () => {
  expect(
    await database.writeParquet(
      "CREATE TABLE t AS SELECT 1 AS a; SELECT id, ts, dur, name, (SELECT a FROM t) AS a FROM slice ORDER BY ts -- last",
    ),
  ).toBe(5);
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const read = await connection.runAndReadAll(
    `SELECT id, ts, dur, name, a FROM '${writable}' ORDER BY ts`,
  );
  expect(read.getRowsJson()).toEqual(
    await (async () => {
      const chunks = await database.query("SELECT id, ts, dur, name, 1 FROM slice ORDER BY ts");
      return chunks.rows.map(([id, ts, dur, name, a]) => [`${id}`, `${ts}`, `${dur}`, name, a]);
    })(),
  );
  connection.closeSync();
  instance.closeSync();
  for (const sql of [
    `SELECT 1) TO '${dir}/evil.csv' --`,
    "CREATE TABLE x(a INT)",
    "selec",
    "",
    "SELECT nam FROM slice",
  ])
    await expect(database.writeParquet(sql)).rejects.toMatchObject({ name: "SqlError" });
  expect(() => readFileSync(path.join(dir, "evil.csv"))).toThrow();
});

test("table: aligned, numbers to the right, long values and many rows cut with a note", async () => {
  const table = async (sql: string): Promise<string> => {
    const lines: string[] = [];
    for await (const line of tableLines(await database.stream(sql))) lines.push(line);
    return lines.join("\n");
  };
  expect(
    await table("SELECT * FROM (VALUES (5, 'a', NULL), (1234, 'bcd', 1.5)) v(n, text, x)"),
  ).toBe(
    [
      "   n  text     x",
      "────  ────  ────",
      "   5  a     NULL",
      "1234  bcd    1.5",
      "(2 rows)",
    ].join("\n"),
  );
  expect(await table("SELECT '漢字' AS a, 'é' AS b UNION ALL SELECT 'x', 'y' ORDER BY a")).toBe(
    ["a     b", "────  ─", "x     y", "漢字  é", "(2 rows)"].join("\n"),
  );
  const long = await table("SELECT repeat('x', 500) AS t, i FROM range(300) r(i)");
  expect(long.split("\n").length).toBe(203);
  expect(long).toContain("(300 rows, the first 200 are shown; --format csv prints all)");
  expect(long).toContain(`${"x".repeat(99)}…`);
  expect(long).not.toContain("x".repeat(100));
  // Names come from the traced machine: no escape sequence reaches the terminal.
  expect(await table("SELECT chr(27) || '[2J' || chr(8238) || chr(10) AS t")).toContain(
    "\\u001b[2J\\u202e\\n",
  );
});

test("an empty trace prints headers", async () => {
  const sink = new TraceBuilder();
  sink.close();
  const empty = await openDatabase(sink.trace);
  expect(await text(csvText(await empty.stream("SELECT ts, name FROM slice")))).toBe("ts,name\n");
  empty.close();
});
