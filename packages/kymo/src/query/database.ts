/**
 * SQL over a trace, by DuckDB. The tables are the trace's own arrays, scanned in place (scan.ts): opening costs
 * some milliseconds whatever the size, and a query reads only the columns that it names.
 *
 *     const database = await openDatabase(trace);
 *     const { columns, rows } = await database.query("SELECT name, sum(dur) FROM slice GROUP BY name");
 *
 * Queries see the trace and nothing else: no files, no network, no extensions, no settings.
 */
import type {
  DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBType,
} from "@duckdb/node-api";
import type duckdb from "@duckdb/node-bindings";
import type { Trace } from "@kymo/trace";
import { UserError } from "../cli/command.ts";
import { registerFunctions } from "./functions.ts";
import { type Bindings, loadBindings, registerScan, TextTypes } from "./scan.ts";
import { SqlError, sqlError } from "./sql-error.ts";
import { splitStatements } from "./statements.ts";
import { tableSources, viewer } from "./trace-tables.ts";
import { type PlainValue, plainValue } from "./values.ts";
import { tableView, viewStatements } from "./views.ts";

export interface OpenOptions {
  /** The one file that may be written, by `writeParquet` (or COPY … TO this very path). */
  readonly writable?: string;
}

export interface QueryColumn {
  readonly name: string;
  readonly type: DuckDBType;
}
export interface QueryStream {
  readonly columns: readonly QueryColumn[];
  /** To be read to its end, or `return`ed; errors while rows are computed are thrown here. @throws SqlError */
  readonly chunks: AsyncIterableIterator<DuckDBDataChunk>;
}
export interface QueryRows {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly PlainValue[])[];
  /** There were more rows than `limit`. */
  readonly truncated: boolean;
}

/** @throws UserError when DuckDB has no binary for this platform */
export async function openDatabase(
  trace: Trace,
  options: OpenOptions = {},
): Promise<QueryDatabase> {
  const api = await load();
  const instance = await api.DuckDBInstance.create(":memory:", {
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  });
  const connection = await instance.connect();
  try {
    await declare(loadBindings(), connection, trace);
    if (options.writable !== undefined)
      await connection.run(`SET allowed_paths = [${quoteText(options.writable)}]`);
    // Memory is the limit: without a directory of its own DuckDB would spill into the current one.
    await connection.run("SET temp_directory = ''");
    await connection.run("SET enable_external_access = false");
    await connection.run("SET lock_configuration = true");
  } catch (error) {
    instance.closeSync();
    throw error;
  } finally {
    connection.closeSync();
  }
  return new QueryDatabase(api, instance, options.writable);
}

async function load(): Promise<Api> {
  try {
    return await import("@duckdb/node-api");
  } catch (error) {
    throw new UserError(
      `SQL is not available here: DuckDB could not be loaded (${firstLine(error)})`,
      "npm install without --omit=optional, on Linux, macOS or Windows (x64 or arm64)",
    );
  }
}

async function declare(
  bindings: Bindings,
  connection: DuckDBConnection,
  trace: Trace,
): Promise<void> {
  const view = viewer(trace);
  const texts = new TextTypes(bindings);
  const { plain, withParameters } = tableSources(trace, view);
  const raw = (connection as unknown as { readonly connection: duckdb.Connection }).connection;
  for (const source of [...plain, ...withParameters]) registerScan(bindings, raw, source, texts);
  registerFunctions(bindings, raw, view);
  texts.declaring = true;
  for (const source of plain) await connection.run(tableView(source.name, source.take([]).columns));
  for (const statement of viewStatements) await connection.run(statement);
  texts.declaring = false;
}

export class QueryDatabase {
  readonly #api: Api;
  readonly #instance: DuckDBInstance;
  readonly #writable: string | undefined;
  constructor(api: Api, instance: DuckDBInstance, writable?: string) {
    this.#api = api;
    this.#instance = instance;
    this.#writable = writable;
  }

  /**
   * Runs the statements of `sql` one by one; the result is the last one's. What they make (tables, views, macros)
   * is gone afterwards.
   * @param signal  aborting it stops the query, which then throws "interrupted"
   * @throws SqlError with the place of the fault
   */
  async stream(sql: string, signal?: AbortSignal): Promise<QueryStream> {
    const connection = await this.#instance.connect();
    const interrupt = (): void => connection.interrupt();
    signal?.addEventListener("abort", interrupt);
    const close = (): void => {
      signal?.removeEventListener("abort", interrupt);
      connection.closeSync();
    };
    try {
      if (signal?.aborted) throw new SqlError("interrupted");
      const result = await runAll(this.#api, connection, sql);
      return {
        columns: result.columnNames().map((name, i) => ({ name, type: result.columnType(i) })),
        chunks: chunksOf(result, close),
      };
    } catch (error) {
      close();
      throw error instanceof SqlError ? error : sqlError(error);
    }
  }

  /** The first `limit` rows of the last statement's result. @throws SqlError */
  async query(
    sql: string,
    limit: number = Number.POSITIVE_INFINITY,
    signal?: AbortSignal,
  ): Promise<QueryRows> {
    const { columns, chunks } = await this.stream(sql, signal);
    const rows: PlainValue[][] = [];
    let truncated = false;
    for await (const chunk of chunks) {
      const wanted = Math.min(chunk.rowCount, limit - rows.length);
      const values = columns.map((_, i) => chunk.getColumnVector(i));
      for (let row = 0; row < wanted; row++)
        rows.push(values.map((vector) => plainValue(vector.getItem(row))));
      truncated = wanted < chunk.rowCount;
      if (truncated) break;
    }
    return {
      columns: columns.map(({ name, type }) => ({ name, type: type.toString() })),
      rows,
      truncated,
    };
  }

  /** Writes the last statement's result to the `writable` file. @returns its rows. @throws SqlError */
  async writeParquet(sql: string): Promise<number> {
    if (this.#writable === undefined) throw new Error("openDatabase was given no writable file");
    const statements = splitStatements(sql);
    const last = statements.pop();
    const connection = await this.#instance.connect();
    try {
      // The last statement by itself first: its faults are reported in its own words, and only a query may go on.
      const script = [...statements, last ?? ""].join(";\n");
      await runAll(this.#api, connection, script, { onlyPrepareLast: true });
      const copied = await connection.run(
        `COPY (\n${last}\n) TO ${quoteText(this.#writable)} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)`,
      );
      return copied.rowsChanged;
    } catch (error) {
      throw error instanceof SqlError ? error : sqlError(error);
    } finally {
      connection.closeSync();
    }
  }

  close(): void {
    this.#instance.closeSync();
  }
}

type Api = typeof import("@duckdb/node-api");
type Result = Awaited<ReturnType<DuckDBConnection["stream"]>>;

async function runAll(
  api: Api,
  connection: DuckDBConnection,
  sql: string,
  options: { readonly onlyPrepareLast?: boolean } = {},
): Promise<Result> {
  if (splitStatements(sql).length === 0)
    throw new SqlError(
      "no SQL statement was given",
      'kymo query FILE "SELECT * FROM slice LIMIT 10"',
    );
  const statements = await connection.extractStatements(sql);
  const { count } = statements;
  // Closing the connection rolls back: what a script makes or drops is its own.
  await connection.run("BEGIN TRANSACTION");
  for (let i = 0; ; i++) {
    const prepared = await statements.prepare(i);
    try {
      if (!isAllowed(api, prepared.statementType))
        throw new SqlError(
          `${api.StatementType[prepared.statementType] ?? "this statement"} is not available: queries read the trace only`,
        );
      if (prepared.parameterCount > 0)
        throw new SqlError(
          "the statement has parameters (? or $1), and there is nothing to fill them",
        );
      if (i < count - 1) await prepared.run();
      else {
        if (options.onlyPrepareLast && prepared.statementType !== api.StatementType.SELECT)
          throw new SqlError("the last statement is not a query: it has no rows to write");
        return await prepared.stream();
      }
    } finally {
      prepared.destroySync();
    }
  }
}
/** What a statement may be: it looks at the trace, or at what the script itself made. Settings are locked. */
function isAllowed(api: Api, type: number): boolean {
  const { StatementType: t } = api;
  const allowed: readonly number[] = [
    ...[t.SELECT, t.INSERT, t.UPDATE, t.EXPLAIN, t.DELETE, t.PREPARE, t.CREATE, t.EXECUTE, t.ALTER],
    ...[t.ANALYZE, t.VARIABLE_SET, t.SET, t.CREATE_FUNC, t.DROP, t.RELATION],
  ];
  return allowed.includes(type);
}

async function* chunksOf(
  result: Result,
  close: () => void,
): AsyncIterableIterator<DuckDBDataChunk> {
  try {
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) return;
      yield chunk;
    }
  } catch (error) {
    throw sqlError(error);
  } finally {
    close();
  }
}

function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}
