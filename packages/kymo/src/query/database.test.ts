import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { EMPTY_STRING, NO_ARGS, type Ns, type Trace, TraceBuilder } from "@kymo/trace";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDatabase, type QueryDatabase } from "./database.ts";
import { hostile, originNs, sampleTrace } from "./testing/sample-trace.ts";
import type { PlainValue } from "./values.ts";

const origin = Number(originNs);
let database: QueryDatabase;
beforeAll(async () => {
  database = await openDatabase(sampleTrace());
});
afterAll(() => database.close());

async function rows(sql: string): Promise<readonly (readonly PlainValue[])[]> {
  return (await database.query(sql)).rows;
}
async function objects(sql: string): Promise<{ [name: string]: PlainValue }[]> {
  const result = await database.query(sql);
  return result.rows.map((row) =>
    Object.fromEntries(result.columns.map(({ name }, i) => [name, row[i]!])),
  );
}
/** Sample times are ns since the origin. */
const at = (ns: number): number => origin + ns;

describe("tables", () => {
  test("slice: times, nesting, self time; −1 while open", async () => {
    expect(
      await rows(
        "SELECT name, category, ts, dur, depth, self_dur, utid, upid FROM slice ORDER BY ts",
      ),
    ).toEqual([
      ["outer", "work", at(100), 100, 0, 75, 2, 1],
      ["inner", "work", at(110), 20, 1, 20, 2, 1],
      ["inner", "", at(140), 5, 1, 5, 2, 1],
      [hostile, "", at(210), 10, 0, 10, 3, 1],
      ["open", "", at(300), -1, 0, -1, 2, 1],
    ]);
    expect(
      await rows(
        "SELECT c.ts, p.name FROM slice c JOIN slice p ON c.parent_id = p.id ORDER BY c.ts",
      ),
    ).toEqual([
      [at(110), "outer"],
      [at(140), "outer"],
    ]);
  });

  test("times that 64 bits do not hold are NULL", async () => {
    const builder = new TraceBuilder();
    builder.clock({ domain: "monotonic", originNs: 5n, errorNs: 0 });
    const track = builder.track({ kind: "custom", name: "t" });
    const name = builder.string("n");
    for (const [ts, dur] of [
      [-1e30, 1],
      [0, 1e300],
      [7, 2 ** 40],
      [1e19, 2],
    ] as const)
      builder.slice(track, ts as Ns, dur as Ns, name, EMPTY_STRING, NO_ARGS);
    builder.close();
    const far = await openDatabase(builder.trace);
    const { rows: found } = await far.query("SELECT ts, dur FROM slice ORDER BY id");
    far.close();
    expect(found).toEqual([
      [null, 1],
      [5, null],
      [12, 2 ** 40],
      [null, 2],
    ]);
  });

  test("thread, process, track", async () => {
    expect(await objects("FROM thread")).toEqual([
      {
        ...{ utid: 2, tid: 10, name: "main", upid: 1, start_ts: at(10), end_ts: null },
        is_main_thread: true,
      },
      {
        ...{ utid: 3, tid: 11, name: "worker", upid: 1, start_ts: null, end_ts: at(400) },
        is_main_thread: false,
      },
    ]);
    expect(await objects("FROM process")).toEqual([
      {
        ...{ upid: 1, pid: 10, name: "app", parent_upid: null, parent_pid: 9 },
        ...{ start_ts: at(10), end_ts: null },
      },
    ]);
    expect(
      await rows("SELECT id, name, type, parent_id, utid, upid, cpu, unit FROM track"),
    ).toEqual([
      [0, "cpu 0", "cpu", null, null, null, 0, null],
      [1, "app", "process", null, null, 1, null, null],
      [2, "main", "thread", 1, 2, 1, null, null],
      [3, "worker", "thread", 1, 3, 1, null, null],
      [4, "rss", "counter", 1, null, 1, null, "bytes"],
    ]);
    expect(await rows("SELECT id, utid FROM thread_track")).toEqual([
      [2, 2],
      [3, 3],
    ]);
  });

  test("sched and thread_state", async () => {
    expect(
      await rows("SELECT ts, dur, cpu, utid, end_state, priority FROM sched ORDER BY ts"),
    ).toEqual([
      [at(50), 40, 0, 3, "S", 120],
      [at(90), 35, 0, 2, expect.stringMatching(/^R\+?$/), 100],
      [at(125), -1, 0, 3, null, 120],
    ]);
    const states = await rows(
      "SELECT utid, ts, state, cpu, waker_utid FROM thread_state WHERE utid = 3 ORDER BY ts",
    );
    expect(states).toContainEqual([3, at(50), "Running", 0, null]);
    expect(states).toContainEqual([3, at(90), "S", null, null]);
    expect(states).toContainEqual([3, at(120), "R", null, 2]);
  });

  test("instant, counter, sample, stack_frame", async () => {
    expect(await rows("SELECT ts, name, category, utid FROM instant WHERE name = 'tick'")).toEqual([
      [at(220), "tick", "work", 2],
    ]);
    expect(await rows("SELECT ts, track_id, value FROM counter ORDER BY ts")).toEqual([
      [at(100), 4, 4096],
      [at(200), 4, 8192.5],
    ]);
    expect(
      await rows(
        "SELECT s.ts, s.utid, s.cpu, s.weight, f.name, f.depth FROM sample s LEFT JOIN stack_frame f ON s.callsite_id = f.id ORDER BY ts",
      ),
    ).toEqual([
      [at(150), 2, 0, 1000, "work", 1],
      [at(160), 2, 0, 1000, "_start", 0],
      [at(170), 3, null, 500, null, null],
    ]);
    expect(
      await rows(
        "SELECT id, parent_id, name, module, file, line, address, build_id, inlined FROM stack_frame",
      ),
    ).toEqual([
      [0, null, "_start", "/bin/app", null, null, "0x10", null, false],
      [1, 0, "work", "/bin/app", "app.c", 12, null, "ab", false],
    ]);
    expect(
      await rows("SELECT name, self_ns, total_ns, samples FROM callstack_flamegraph() ORDER BY id"),
    ).toEqual([
      ["_start", 1000, 2000, 1],
      ["work", 1000, 1000, 1],
    ]);
    expect(
      await rows(
        `SELECT name, samples FROM callstack_flamegraph(from_ts := ${at(155)}) ORDER BY id`,
      ),
    ).toEqual([["_start", 1]]);
  });

  test("args: every type, exact integers, array members", async () => {
    expect(
      await objects(
        "SELECT key, flat_key, value_type, int_value, real_value, string_value, bytes_value, display_value FROM args WHERE arg_set_id = (SELECT arg_set_id FROM slice WHERE name = 'outer')",
      ),
    ).toEqual(
      [
        ["foo", "int", 5, null, null, null, "5"],
        ["huge", "int", null, null, null, null, "9223372036854775809"],
        ["big", "int", -(2n ** 60n), null, null, null, String(-(2n ** 60n))],
        ["half", "real", null, 0.5, null, null, "0.5"],
        ["who", "string", null, null, hostile, null, hostile],
        ["yes", "bool", 1, null, null, null, "1"],
        ["raw", "bytes", null, null, null, Buffer.of(0, 255), "00ff"],
        ["list[0]", "int", 1, null, null, null, "1"],
        ["list[1]", "int", 2, null, null, null, "2"],
      ].map(([key, value_type, int_value, real_value, string_value, bytes_value, display]) => ({
        ...{ key, flat_key: String(key).replace(/\[.*/, ""), value_type, int_value, real_value },
        ...{ string_value, bytes_value, display_value: display },
      })),
    );
  });

  test("a declared event type has its own table; its fields keep out of our columns' way", async () => {
    expect(await objects("FROM packet ORDER BY ts")).toEqual([
      {
        ...{ id: expect.any(Number), ts: at(230), dur: null, track_id: 3, utid: 3, upid: 1 },
        ...{
          bytes: 1500,
          to: "10.0.0.1",
          ID_: 77,
          ratio: 0.25,
          ok: false,
          body: Buffer.of(1, 2, 3),
        },
      },
      {
        ...{ id: expect.any(Number), ts: at(231), dur: null, track_id: 3, utid: 3, upid: 1 },
        ...{ bytes: null, to: null, ID_: null, ratio: null, ok: null, body: null },
      },
    ]);
    expect(await rows("SELECT count(*) FROM event_sched")).toEqual([[0]]);
  });

  test("slices and instants of a declared type's category are in its table", async () => {
    const sink = new TraceBuilder();
    const s = (text: string) => sink.string(text);
    sink.eventType({ name: "packet", fields: [{ name: "length", type: "int" }] });
    const track = sink.track({ kind: "custom", name: "tx" });
    const length = (bytes: number) => {
      sink.args.int(s("length"), bytes);
      return sink.args.done();
    };
    sink.slice(track, 10 as Ns, 5 as Ns, s("UDP"), s("packet"), length(60));
    sink.slice(track, 20 as Ns, 5e9 as Ns, s("UDP"), s("packet"), length(61));
    sink.slice(track, 30 as Ns, NaN as Ns, s("UDP"), s("packet"), length(62));
    sink.slice(track, 40 as Ns, 5 as Ns, s("packet"), s("other"), length(63));
    sink.instant(track, 50 as Ns, s("dropped"), s("packet"), length(64));
    sink.close();
    const opened = await openDatabase(sink.trace);
    const { rows: found } = await opened.query(
      "SELECT length, packet.dur, name FROM packet LEFT JOIN slice USING (id) ORDER BY length",
    );
    expect(found).toEqual([
      [60, 5, "UDP"],
      [61, 5e9, "UDP"],
      [62, -1, "UDP"],
      [64, null, null],
    ]);
    opened.close();
  });

  test("flow, log, life, problem, metadata, clock_snapshot, trace_bounds", async () => {
    expect(
      await rows(
        "SELECT o.name, i.name, f.trace_id FROM flow f JOIN slice o ON f.slice_out = o.id JOIN slice i ON f.slice_in = i.id",
      ),
    ).toEqual([["inner", hostile, 7]]);
    expect(await rows("SELECT flow_id, ts, step FROM flow_step ORDER BY ts")).toEqual([
      [7, at(142), "start"],
      [7, at(215), "end"],
    ]);
    expect(await rows("SELECT ts, utid, level, message FROM log")).toEqual([
      [at(310), 3, "warning", "low on memory"],
    ]);
    expect(await rows("SELECT ts, utid, what, detail FROM life ORDER BY ts")).toEqual([
      [at(10), 2, "start", "main"],
      [at(400), 3, "exit", ""],
    ]);
    expect(
      await rows("SELECT kind, message, count, cpu, from_ts, byte_offset FROM problem"),
    ).toEqual([
      ["lost-events", "ring full", 3, 0, at(1), null],
      ["lost-events", "ring full", 4, 0, null, null],
      ["malformed", "odd bytes", null, null, null, 12],
    ]);
    expect(await rows("SELECT name, str_value, int_value FROM metadata ORDER BY name")).toEqual([
      ["host", "box", null],
      ["target.pid", "10", 10],
    ]);
    expect(
      await rows("SELECT snapshot_id, ts, clock_name, clock_value FROM clock_snapshot"),
    ).toEqual([
      [0, at(100), "monotonic", at(100)],
      [0, at(100), "realtime", 1_700_000_000_000_000_000n],
    ]);
    const trace = sampleTrace();
    expect(await rows("FROM trace_bounds")).toEqual([[at(trace.fromNs), at(trace.toNs)]]);
  });

  test("a trace without events has every table, all empty", async () => {
    const empty = new TraceBuilder();
    empty.close();
    const none = await openDatabase(empty.trace);
    const tables = await none.query("SHOW TABLES");
    for (const [name] of tables.rows)
      expect([name, (await none.query(`SELECT count(*) FROM ${name}`)).rows]).toEqual([
        name,
        [[0]],
      ]);
    expect((await none.query("SELECT trace_dur()")).rows).toEqual([[null]]);
    none.close();
  });
});

describe("functions", () => {
  test("arg gives text, arg_int and arg_real numbers; NULL where there is none", async () => {
    const all = (key: string) =>
      rows(
        `SELECT arg(arg_set_id, '${key}'), arg_int(arg_set_id, '${key}'), arg_real(arg_set_id, '${key}') FROM slice WHERE name = 'outer'`,
      );
    expect(await all("foo")).toEqual([["5", 5, 5]]);
    expect(await all("huge")).toEqual([["9223372036854775809", null, 2 ** 63]]);
    expect(await all("big")).toEqual([[String(-(2n ** 60n)), -(2n ** 60n), -(2 ** 60)]]);
    expect(await all("half")).toEqual([["0.5", null, 0.5]]);
    expect(await all("who")).toEqual([[hostile, null, null]]);
    expect(await all("list[1]")).toEqual([["2", 2, 2]]);
    expect(await all("nothing")).toEqual([[null, null, null]]);
    expect(await rows("SELECT count(*) FROM slice WHERE arg_int(arg_set_id, 'foo') > 3")).toEqual([
      [1],
    ]);
    expect(
      await rows("SELECT extract_arg(NULL, 'foo'), arg(999999999, 'foo'), arg(0, NULL)"),
    ).toEqual([[null, null, null]]);
  });

  test("keys may come from a column, long and short", async () => {
    expect(
      await rows(
        "SELECT k, arg(arg_set_id, k) FROM slice, (VALUES ('foo'), ('a key that is much longer than twelve bytes'), ('half'), (NULL)) AS keys(k) WHERE name = 'outer' ORDER BY k",
      ),
    ).toEqual([
      ["a key that is much longer than twelve bytes", null],
      ["foo", "5"],
      ["half", "0.5"],
      [null, null],
    ]);
  });

  test("descendant_slice, ancestor_slice, slice_stack, self_time", async () => {
    const id = (name: string) => `(SELECT min(id) FROM slice WHERE name = '${name}')`;
    expect(await rows(`SELECT name, ts FROM descendant_slice(${id("outer")}) ORDER BY ts`)).toEqual(
      [
        ["inner", at(110)],
        ["inner", at(140)],
      ],
    );
    expect(await rows(`SELECT name FROM ancestor_slice(${id("inner")})`)).toEqual([["outer"]]);
    expect(await rows(`SELECT name FROM slice_stack(${id("inner")}) ORDER BY depth`)).toEqual([
      ["outer"],
      ["inner"],
    ]);
    expect(await rows("FROM descendant_slice(123456)")).toEqual([]);
    expect(await rows("FROM ancestor_slice(NULL)")).toEqual([]);
    expect(
      await rows("SELECT s.name, count(*) FROM slice s, ancestor_slice(s.id) a GROUP BY s.name"),
    ).toEqual([["inner", 2]]);
    expect(await rows(`SELECT self_time(${id("outer")}), self_time(-1), self_time(NULL)`)).toEqual([
      [75, null, null],
    ]);
  });

  test("thread_state_in cuts states to the window", async () => {
    expect(
      await rows(`SELECT ts, dur, state FROM thread_state_in(3, ${at(80)}, 50) ORDER BY ts`),
    ).toEqual([
      [at(80), 10, "Running"],
      [at(90), 30, "S"],
      [at(120), 5, "R"],
      [at(125), 5, "Running"],
    ]);
  });

  test("intervals_intersect and intervals_overlap_count", async () => {
    const setup = `CREATE TABLE a AS SELECT * FROM (VALUES (1, 0, 10), (2, 20, 10)) v(id, ts, dur);
                   CREATE TABLE b AS SELECT * FROM (VALUES (7, 5, 20)) v(id, ts, dur);`;
    expect(
      await rows(
        `${setup} SELECT id_0, id_1, ts, dur FROM intervals_intersect('a', 'b') ORDER BY ts`,
      ),
    ).toEqual([
      [1, 7, 5, 5],
      [2, 7, 20, 5],
    ]);
    expect(
      await rows(
        `${setup} CREATE TABLE c AS FROM a UNION ALL FROM b; SELECT * FROM intervals_overlap_count('c') WHERE value > 0 ORDER BY ts`,
      ),
    ).toEqual([
      [0, 5, 1],
      [5, 5, 2],
      [10, 10, 1],
      [20, 5, 2],
      [25, 5, 1],
    ]);
  });
});

describe("what a query may not do", () => {
  const dir = mkdtempSync(path.join(tmpdir(), "kymo-query-test-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  test.each([
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_parquet('https://example.com/x.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    `COPY slice TO '${dir}/x.csv'`,
    `COPY (SELECT 1) TO '${dir}/x.parquet' (FORMAT parquet)`,
    `ATTACH '${dir}/x.db'`,
    `EXPORT DATABASE '${dir}/x'`,
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET allowed_paths",
    `SET temp_directory = '${dir}'`,
    `CALL enable_logging(storage = 'file', storage_path = '${dir}/log')`,
    "PRAGMA enable_profiling",
    "CREATE SECRET (TYPE s3)",
    "INSERT INTO slice VALUES (1)",
    "COMMIT",
  ])("%s", async (sql) => {
    await expect(database.query(sql)).rejects.toMatchObject({ name: "SqlError" });
    expect(existsSync(path.join(dir, "x.csv"))).toBe(false);
    expect(existsSync(path.join(dir, "x.db"))).toBe(false);
    // The database still works.
    expect(await rows("SELECT count(*) FROM slice")).toEqual([[5]]);
  });

  test("what a script makes or drops is its own", async () => {
    expect(await rows("DROP VIEW slice; CREATE TABLE slice(a INT); FROM slice")).toEqual([]);
    expect(await rows("SELECT count(*) FROM slice")).toEqual([[5]]);
  });
});

describe("errors in words", () => {
  test.each([
    ["selec 1", 'syntax error at or near "selec"\n  line 1: selec 1\n          ^'],
    [
      "SELECT *\nFROM slic",
      'table slic does not exist; did you mean "slice"?\n  line 2: FROM slic\n               ^',
    ],
    [
      "SELECT nam FROM slice",
      'there is no column "nam"; did you mean "name", "last"?\n  line 1: SELECT nam FROM slice\n                 ^',
    ],
    [
      "SELECT lenght('x')",
      "there is no function lenght; did you mean \"length\"?\n  line 1: SELECT lenght('x')\n                 ^",
    ],
    ["", "no SQL statement was given"],
    ["-- nothing\n;;", "no SQL statement was given"],
    ["SELECT ?", "the statement has parameters (? or $1), and there is nothing to fill them"],
  ])("%j", async (sql, message) => {
    await expect(database.query(sql)).rejects.toThrow(
      expect.objectContaining({ name: "SqlError", message }),
    );
  });
  test("an error while rows are computed", async () => {
    await expect(database.query("SELECT name::INT FROM slice")).rejects.toThrow(
      /could not convert string '.*' to INT32/,
    );
  });
  test("text compared with a number says what to use", async () => {
    await expect(
      database.query("SELECT * FROM slice WHERE arg(arg_set_id, 'foo') > 3"),
    ).rejects.toMatchObject({ fix: expect.stringContaining("arg_int()") });
  });
});

describe("sums over SQL equal sums over a plain loop", () => {
  const slice = fc.record({
    track: fc.nat(3),
    ts: fc.nat(5000),
    dur: fc.oneof(
      { weight: 9, arbitrary: fc.nat(2000) },
      { weight: 1, arbitrary: fc.constant(2 ** 33) },
    ),
    name: fc.string({ maxLength: 6, unit: "binary" }),
    foo: fc.option(fc.integer(), { nil: undefined }),
  });
  test("by name, by track, of an argument", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(slice, { maxLength: 60 }), async (slices) => {
        const trace = build(slices);
        const opened = await openDatabase(trace);
        try {
          const byName = new Map<string, number>();
          for (const { name, dur } of slices) {
            const key = name.replace(/\p{Surrogate}/gu, "\ufffd");
            byName.set(key, (byName.get(key) ?? 0) + dur);
          }
          const sums = await opened.query("SELECT name, sum(dur) FROM slice GROUP BY name");
          expect(new Map(sums.rows as [string, number][])).toEqual(byName);
          const total = slices.reduce((sum, { foo }) => sum + (foo ?? 0), 0);
          const given = slices.filter(({ foo }) => foo !== undefined).length;
          expect(
            (
              await opened.query(
                "SELECT count(arg_int(arg_set_id, 'foo')), coalesce(sum(arg_int(arg_set_id, 'foo')), 0), (SELECT coalesce(sum(int_value), 0) FROM slice JOIN args USING (arg_set_id)) FROM slice",
              )
            ).rows,
          ).toEqual([[given, total, total]]);
          const window = slices.filter(({ ts }) => ts >= 1000 && ts < 3000);
          expect(
            (
              await opened.query(
                `SELECT count(*), coalesce(sum(ts), 0) FROM slice WHERE ts >= ${originNs + 1000n} AND ts < ${originNs + 3000n}`,
              )
            ).rows,
          ).toEqual([
            [window.length, plain(window.reduce((sum, { ts }) => sum + originNs + BigInt(ts), 0n))],
          ]);
        } finally {
          opened.close();
        }
      }),
      { numRuns: 40 },
    );
  });
  const plain = (value: bigint): PlainValue =>
    Number.isSafeInteger(Number(value)) ? Number(value) : value;

  function build(
    slices: readonly {
      track: number;
      ts: number;
      dur: number;
      name: string;
      foo: number | undefined;
    }[],
  ): Trace {
    const sink = new TraceBuilder();
    sink.clock({ domain: "monotonic", originNs, errorNs: 0 });
    const tracks = [0, 1, 2, 3].map((i) => sink.track({ kind: "async", name: `t${i}` }));
    for (const { track, ts, dur, name, foo } of slices) {
      let args = NO_ARGS;
      if (foo !== undefined) {
        sink.args.int(sink.string("foo"), foo);
        args = sink.args.done();
      }
      sink.slice(tracks[track]!, ts as Ns, dur as Ns, sink.string(name), EMPTY_STRING, args);
    }
    sink.close();
    return sink.trace;
  }
});

test("many blocks, rows split over chunks, more texts than an ENUM is made for", async () => {
  const sink = new TraceBuilder();
  sink.clock({ domain: "monotonic", originNs, errorNs: 0 });
  const count = 210_000;
  const tracks = Array.from({ length: 7 }, (_, i) => sink.track({ kind: "async", name: `t${i}` }));
  for (let i = 0; i < count; i++)
    sink.slice(
      tracks[i % 7]!,
      (i * 10) as Ns,
      5 as Ns,
      sink.string(`n${i}`),
      sink.string(`c${i % 300}`),
      NO_ARGS,
    );
  sink.close();
  const opened = await openDatabase(sink.trace);
  const result = await opened.query(
    "SELECT count(*), count(DISTINCT name), count(DISTINCT category), sum(ts), sum(dur), count(*) FILTER (WHERE name = 'n' || (ts - 5000000000000) // 10) FROM slice",
  );
  const times = BigInt(count) * originNs + (10n * BigInt(count) * BigInt(count - 1)) / 2n;
  expect(result.rows).toEqual([[count, count, 300, times, count * 5, count]]);
  opened.close();
});

test("a trace that grows is seen as it is at each query", async () => {
  const sink = new TraceBuilder();
  sink.clock({ domain: "monotonic", originNs, errorNs: 0 });
  const track = sink.track({ kind: "async", name: "t" });
  const opened = await openDatabase(sink.trace);
  const names = async (): Promise<unknown> =>
    (await opened.query("SELECT name FROM slice ORDER BY ts")).rows;
  sink.slice(track, 1 as Ns, 2 as Ns, sink.string("one"), EMPTY_STRING, NO_ARGS);
  sink.watermark(10 as Ns);
  expect(await names()).toEqual([["one"]]);
  sink.slice(track, 20 as Ns, 2 as Ns, sink.string("two"), EMPTY_STRING, NO_ARGS);
  sink.close();
  expect(await names()).toEqual([["one"], ["two"]]);
  opened.close();
});

test("queries at the same time do not disturb each other", async () => {
  const results = await Promise.all(
    Array.from({ length: 8 }, (_, i) => rows(`SELECT count(*) + ${i} FROM slice`)),
  );
  expect(results).toEqual(Array.from({ length: 8 }, (_, i) => [[5 + i]]));
});

test("query stops at its limit and says so", async () => {
  const result = await database.query("SELECT * FROM range(10000)", 3);
  expect(result.rows).toEqual([[0], [1], [2]]);
  expect(result.truncated).toBe(true);
  expect((await database.query("SELECT * FROM range(3)", 3)).truncated).toBe(false);
});

test("a query can be stopped while it works, and before", async () => {
  const endless =
    "SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b WHERE a.range > b.range";
  const stop = new AbortController();
  const running = database.query(endless, 10, stop.signal);
  setTimeout(() => stop.abort(), 100);
  await expect(running).rejects.toMatchObject({ name: "SqlError", message: "interrupted" });
  await expect(database.query("SELECT 1", 10, stop.signal)).rejects.toThrow("interrupted");
  expect(await rows("SELECT count(*) FROM slice")).toEqual([[5]]);
});

test("event types and fields of any name have their table and columns", async () => {
  const sink = new TraceBuilder();
  const names = [
    "",
    'a"b; DROP TABLE x --',
    "nul\0",
    "\ud800",
    "SLICE",
    "Packet",
    "packet",
    "__slice",
    "callstack_flamegraph",
    "slice_pre",
  ];
  const track = sink.track({ kind: "async", name: "t" });
  for (const name of names) {
    const type = sink.eventType({
      name,
      fields: names.map((field) => ({ name: field, type: "int" as const })),
    });
    sink.args.int(sink.string("Packet"), 6);
    sink.typed(type, track, 5 as Ns, sink.args.done());
  }
  sink.close();
  const opened = await openDatabase(sink.trace);
  const tables = (await opened.query("SHOW TABLES")).rows.map(([name]) => name);
  const expected = [
    "event",
    'a"b; DROP TABLE x --',
    "nul_",
    "_",
    "event_SLICE",
    "Packet",
    "event_packet",
  ];
  expect(tables).toEqual(expect.arrayContaining(expected));
  for (const name of expected) {
    const quoted = name.replaceAll('"', '""');
    const { rows: found } = await opened.query(`SELECT "Packet", packet_ FROM "${quoted}"`);
    expect(found).toEqual([[6, null]]);
  }
  opened.close();
});
