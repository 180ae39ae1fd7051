/** `kymo query`: SQL over a trace file, as a table, CSV, JSON, Arrow or Parquet. */
import { createReadStream } from "node:fs";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Problem } from "@kymo/trace";
import { openTraceFile } from "../../files/open.ts";
import { inWords, OutputFile, renameTarget } from "../../files/output.ts";
import type { OpenOptions, QueryDatabase, QueryStream } from "../../query/database.ts";
import { helpFlags, nearest, parseFlags } from "../arguments.ts";
import { type Command, UsageError, UserError } from "../command.ts";
import { printable } from "../printable.ts";

const flags = {
  format: {
    type: "string",
    value: "FORMAT",
    default: "table",
    help: "table, csv, json, arrow (IPC stream) or parquet",
  },
  output: {
    type: "string",
    short: "o",
    value: "FILE",
    help: "write there, not to standard output",
  },
  file: { type: "string", short: "f", value: "FILE", help: "read the SQL from a file" },
} as const;

const formats = ["table", "csv", "json", "arrow", "parquet"] as const;
type Format = (typeof formats)[number];

export const command: Command = {
  summary: "ask a trace in SQL",
  help: `kymo query FILE "SQL" [--format table|csv|json|arrow|parquet] [-o FILE]

Runs SQL over a trace. Of several statements, the last one's rows are printed.
The SQL may also come from a file (--file) or from standard input (kymo query FILE -).

${helpFlags(flags)}

Tables: slice, instant, counter, sched, thread_state, sample, thread, process, track, args,
stack_frame, flow, log, problem, metadata, clock_snapshot and one for each declared event type.
ts and dur are nanoseconds; dur is -1 while open. docs/sql.md describes every column and function.

Examples:
  kymo query t.pftrace "SELECT name, count(*), sum(dur) FROM slice GROUP BY name ORDER BY 3 DESC LIMIT 10"
  kymo query t.pftrace "SHOW TABLES"
  kymo query t.pftrace "DESCRIBE slice"
  kymo query t.pftrace "FROM sched" --format parquet -o sched.parquet`,

  async run(args) {
    // SQL may begin with a comment, which is no flag.
    const { values, positionals } = parseFlags(
      flags,
      args.map((arg) => (/^--\s/.test(arg) ? `\n${arg}` : arg)),
    );
    const format = formatOf(values.format);
    const [file, given, ...extra] = positionals;
    if (file === undefined) throw new UsageError('a trace file is missing: kymo query FILE "SQL"');
    if (extra.length > 0)
      throw new UsageError(`one SQL text is expected, "${extra[0]}" is too many: quote the SQL`);
    if (values.file !== undefined && given !== undefined)
      throw new UsageError("the SQL is given twice: as an argument and by --file");
    const binary = format === "arrow" || format === "parquet";
    if (binary && values.output === undefined && process.stdout.isTTY)
      throw new UsageError(`${format} is not for a terminal: give -o FILE, or pipe it`);
    if (file === "-" && given === "-" && values.file === undefined)
      throw new UsageError("the trace and the SQL can not both be standard input");
    const sql = await readSql(values.file, given);
    const trace = await openTraceFile(file);
    noteDamage(trace.problems);
    const { openDatabase } = await import("../../query/database.ts");
    const run = async <Result>(
      options: OpenOptions,
      use: (database: QueryDatabase) => Promise<Result>,
    ): Promise<Result> => {
      const database = await openDatabase(trace, options);
      try {
        return await use(database);
      } finally {
        database.close();
      }
    };
    if (format === "parquet") await writeParquet(run, sql, values.output);
    else
      await run({}, async (database) =>
        writePieces(await encode(await database.stream(sql), format), values.output),
      );
    return 0;
  },
};

/** Rows of half a file look like any others: what is missing must be said. */
function noteDamage(problems: readonly Problem[]): void {
  const damage = problems.filter(({ kind }) => kind === "truncated" || kind === "malformed");
  if (damage.length === 0) return;
  const [first] = damage;
  console.error(`note: ${printable(first!.message)}`);
  console.error("  all problems of the trace: FROM problem");
}

function formatOf(name: string): Format {
  const format = formats.find((known) => known === name);
  if (format !== undefined) return format;
  const near = nearest(name, formats);
  throw new UsageError(
    `--format ${name} is unknown: ${near === undefined ? `it is one of ${formats.join(", ")}` : `did you mean ${near}?`}`,
  );
}

async function readSql(file: string | undefined, given: string | undefined): Promise<string> {
  if (file !== undefined) {
    try {
      return await readFile(file, "utf8");
    } catch (error) {
      throw new UserError(`the SQL could not be read: ${(error as Error).message}`);
    }
  }
  if (given === undefined)
    throw new UsageError(
      'the SQL is missing: kymo query FILE "SELECT …" (or - for standard input)',
    );
  if (given !== "-") return given;
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString("utf8");
}

type Pieces = AsyncIterable<string | Uint8Array>;

async function encode(stream: QueryStream, format: Exclude<Format, "parquet">): Promise<Pieces> {
  switch (format) {
    case "table": {
      const { tableLines } = await import("../../query/output/table.ts");
      return lines(tableLines(stream));
    }
    case "csv":
      return (await import("../../query/output/csv.ts")).csvText(stream);
    case "json":
      return (await import("../../query/output/json.ts")).jsonText(stream);
    case "arrow":
      return (await import("../../query/output/arrow.ts")).arrowStream(stream);
  }
}
async function* lines(source: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of source) yield `${line}\n`;
}

/** Waits for whoever reads the output, whatever the size of the result; a file appears only when it is whole. */
async function writePieces(pieces: Pieces, output = "-"): Promise<void> {
  const file = await OutputFile.create(output, { gzip: false });
  try {
    for await (const piece of pieces) {
      file.write(typeof piece === "string" ? Buffer.from(piece) : piece);
      await file.drain();
    }
    await file.finish();
  } catch (error) {
    await file.abort();
    throw error;
  }
}

/**
 * DuckDB writes the file itself: the one path that this database may write. It is made under another name beside the
 * output and renamed when whole; for standard output, pipes and devices, in a directory of its own.
 */
async function writeParquet(
  run: <Result>(
    options: OpenOptions,
    use: (database: QueryDatabase) => Promise<Result>,
  ) => Promise<Result>,
  sql: string,
  output = "-",
): Promise<void> {
  const fail = (error: unknown): never => {
    throw inWords(error, output);
  };
  const target = output === "-" ? undefined : await renameTarget(output).catch(fail);
  const directory =
    target === undefined
      ? await mkdtemp(path.join(tmpdir(), "kymo-query-"))
      : path.dirname(path.resolve(target));
  const name = `.${path.basename(target ?? "result")}.${process.pid}.parquet`;
  const writable = path.join(directory, name);
  try {
    // Found out before the work, in words.
    await writeFile(writable, "", { mode: 0o600 }).catch(fail);
    await run({ writable }, (database) => database.writeParquet(sql)).catch((error: Error) => {
      // DuckDB's words name its temporary file.
      const isFull = /No space left on device/.test(error.message);
      throw isFull ? inWords({ code: "ENOSPC" }, output) : error;
    });
    if (target === undefined) await writePieces(createReadStream(writable), output);
    else await rename(writable, target).catch(fail);
  } finally {
    await rm(target === undefined ? directory : writable, { recursive: true, force: true });
  }
}
