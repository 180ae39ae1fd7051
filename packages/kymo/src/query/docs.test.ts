/** docs/sql.md says what is there: its queries run, its tables have the columns it lists. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDatabase, type QueryDatabase } from "./database.ts";
import { sampleTrace } from "./testing/sample-trace.ts";
import { tableNames, viewNames } from "./trace-tables.ts";

const text = readFileSync(new URL("../../../../docs/sql.md", import.meta.url), "utf8");
let database: QueryDatabase;
beforeAll(async () => {
  database = await openDatabase(sampleTrace());
});
afterAll(() => database.close());

describe("queries", () => {
  const queries = [...text.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql]) => sql!);
  test("there are at least ten", () => expect(queries.length).toBeGreaterThanOrEqual(10));
  test.each(queries)("%s", async (sql) => {
    expect((await database.query(sql)).columns.length).toBeGreaterThan(0);
  });
});

describe("tables", () => {
  const sections = new Map(
    [...text.matchAll(/^### `(\w+)`\n([\s\S]*?)(?=^#)/gm)].map(([, name, body]) => [
      name!,
      [...body!.matchAll(/^\| `(\w+)` \| ([A-Z]+) \|/gm)].map(([, column, type]) => [column, type]),
    ]),
  );
  test.each(tableNames)("%s", async (name) => {
    const described = await database.query(
      `SELECT column_name, column_type FROM (DESCRIBE ${name})`,
    );
    expect(sections.get(name)).toEqual(described.rows);
  });
  test("no table is described that is not there, every view is named", () => {
    expect([...sections.keys()].sort()).toEqual([...tableNames].sort());
    for (const name of viewNames) expect(text).toContain(`\`${name}\``);
  });
});

test("every function of the database is named", async () => {
  const functions = await database.query(
    "SELECT DISTINCT function_name FROM duckdb_functions() WHERE NOT internal ORDER BY 1",
  );
  expect(functions.rows.length).toBeGreaterThan(15);
  for (const [name] of functions.rows) {
    if (String(name).startsWith("__") || name === "extract_arg") continue;
    const family = String(name).replace(/^time_(from|to)_(ns|us|ms|s)$/, "time_$1_ms");
    expect(text).toContain(`\`${family}(`);
  }
});
