/** `kymo convert`: one trace format into another, streamed: memory does not grow with the file. */
import { stat } from "node:fs/promises";
import { type Format, formats, hasExtension, type Problem } from "@kymo/trace";
import { countEvents, type EventCount } from "../../files/count-events.ts";
import { readTraceFile } from "../../files/open.ts";
import { OutputFile } from "../../files/output.ts";
import { helpFlags, nearest, parseFlags } from "../arguments.ts";
import { type Command, UsageError, UserError } from "../command.ts";
import { printable } from "../printable.ts";

const flags = {
  to: { type: "string", value: "FORMAT", help: "format to write (default: by OUT's extension)" },
  from: { type: "string", value: "FORMAT", help: "format of IN (default: by its content)" },
  quiet: { type: "boolean", short: "q", help: "say nothing when all went well" },
} as const;

/** Problems of the input that are shown, at most. */
const SHOWN_PROBLEMS = 10;
/** No progress line before this. */
const PROGRESS_AFTER_MS = 1000;

export const command: Command = {
  summary: "one trace format into another, of any size",
  help: `kymo convert IN OUT [--to FORMAT] [--from FORMAT]

Reads the trace IN (its format is found by content; .gz and .zst are opened through) and writes it as OUT, in the format
that OUT's extension or --to names. "-" is standard input or output. OUT ending in .gz is compressed. OUT appears
only when it is whole, readable by you alone; IN is never written to. What a format cannot hold: docs/formats.md.

${helpFlags(flags)}

Formats:
${formats.map((format) => `  ${format.name.padEnd(14)}${waysOf(format).padEnd(14)}${format.extensions.map(dotted).join(" ")}`).join("\n")}

Examples:
  kymo convert trace.json trace.pftrace
  kymo convert t.pftrace t.json.gz
  curl -s https://example.com/t.json.gz | kymo convert - t.pftrace`,

  async run(args) {
    const { values, positionals } = parseFlags(flags, args);
    const [input, output, ...extra] = positionals;
    if (input === undefined || output === undefined)
      throw new UsageError("two files are expected: kymo convert IN OUT");
    if (extra.length > 0) throw new UsageError(`two files are expected, ${extra[0]} is too many`);
    const to = formatToWrite(output, values.to);
    const from = values.from === undefined ? undefined : formatToRead(values.from);
    await refuseSameFile(input, output);
    await convert(input, output, from, to, values.quiet ?? false);
    return 0;
  },
};

async function convert(
  input: string,
  output: string,
  from: Format | undefined,
  to: Format & Required<Pick<Format, "writer">>,
  quiet: boolean,
): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new UserError("stopped; nothing was written"));
  // Before there is a file that a signal could leave behind.
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  try {
    await convertUntil(stop.signal, input, output, from, to, quiet);
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

async function convertUntil(
  signal: AbortSignal,
  input: string,
  output: string,
  from: Format | undefined,
  to: Format & Required<Pick<Format, "writer">>,
  quiet: boolean,
): Promise<void> {
  const out = await OutputFile.create(output, { gzip: /\.gz$/i.test(output) });
  const progress = new ProgressLine(input === "-" ? undefined : await sizeOf(input));
  const started = performance.now();
  let count: EventCount | undefined;
  try {
    count = countEvents(await to.writer(out.write));
    const read = await readTraceFile(input, count.sink, {
      signal,
      drain: () => out.drain(),
      onProgress: ({ bytesRead }) => progress.show(bytesRead),
      // A format that is named is believed.
      ...(from && { formats: [{ ...from, detect: () => 100 }] }),
    });
    await out.finish();
    progress.clear();
    const seconds = (performance.now() - started) / 1000;
    if (!quiet || count.problemCount > 0)
      console.error(
        `${read.format}${read.compression === "none" ? "" : ` (${read.compression})`} → ${to.name}: ` +
          `${count.events.toLocaleString("en")} events, ${megabytes(read.bytesRead)} → ${megabytes(out.bytes)}${/\.gz$/i.test(output) ? " before gzip" : ""}, ${seconds.toFixed(1)} s`,
      );
    reportProblems(count.problems, count.problemCount);
  } catch (error) {
    progress.clear();
    await out.abort();
    throw error;
  }
}

function formatToWrite(
  output: string,
  name: string | undefined,
): Format & Required<Pick<Format, "writer">> {
  if (/\.zst$/i.test(output))
    throw new UsageError("zstd can be read, not written; let OUT end in .gz or in no compression");
  const found =
    name !== undefined
      ? formatNamed(name, "--to")
      : formats.find((format) => hasExtension(format, output));
  if (found === undefined)
    throw new UsageError(
      `${output === "-" ? "standard output has" : `${output} has`} no extension that names a format; give --to: ${writable().join(", ")}`,
    );
  const { writer } = found;
  if (writer === undefined)
    throw new UsageError(
      `${found.name} can be read, not written; written are ${writable().join(", ")}`,
    );
  return { ...found, writer };
}

function formatToRead(name: string): Format {
  const found = formatNamed(name, "--from");
  if (found.stream === undefined)
    throw new UsageError(`${found.name} can be written, not read from one stream`);
  return found;
}

/** By its name, or by its extension without the dot. */
function formatNamed(name: string, flag: string): Format {
  const found = formats.find((format) => format.name === name || hasExtension(format, `x.${name}`));
  if (found !== undefined) return found;
  const names = formats.map((format) => format.name);
  const near = nearest(name, names);
  throw new UsageError(
    `${flag} ${name}: no such format; ${near === undefined ? `there are ${names.join(", ")}` : `did you mean ${near}?`}`,
  );
}

const writable = (): string[] =>
  formats.filter((format) => format.writer !== undefined).map((format) => format.name);

async function refuseSameFile(input: string, output: string): Promise<void> {
  if (input === "-" || output === "-") return;
  const [from, to] = await Promise.all(
    [stat(input), stat(output)].map((each) => each.catch(() => undefined)),
  );
  if (from !== undefined && to !== undefined && from.ino === to.ino && from.dev === to.dev)
    throw new UserError(`${output} is the input itself; give OUT another name`);
}

async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

function reportProblems(problems: readonly Problem[], total: number): void {
  if (total === 0) return;
  console.error(`${total} ${total === 1 ? "problem" : "problems"} in the input:`);
  for (const { message, count } of problems.slice(0, SHOWN_PROBLEMS))
    console.error(
      `  ${count !== undefined && count > 1 ? `${count.toLocaleString("en")} × ` : ""}${printable(message)}`,
    );
  if (total > SHOWN_PROBLEMS)
    console.error(`  … and ${total - SHOWN_PROBLEMS} more: kymo info shows them`);
}

/** One line on a terminal, rewritten in place. */
class ProgressLine {
  readonly #size: number | undefined;
  readonly #started = performance.now();
  #shown = 0;

  constructor(size: number | undefined) {
    this.#size = size;
  }
  show(bytesRead: number): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#started < PROGRESS_AFTER_MS) return;
    if (now - this.#shown < 200) return;
    this.#shown = now;
    const share = this.#size
      ? ` of ${megabytes(this.#size)} (${Math.floor((100 * bytesRead) / this.#size)} %)`
      : "";
    process.stderr.write(`\r\u001b[K${megabytes(bytesRead)} read${share}`);
  }
  clear(): void {
    if (this.#shown > 0) process.stderr.write("\r\u001b[K");
  }
}

const megabytes = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
function dotted(extension: string): string {
  return extension.startsWith(".") ? extension : `.${extension}`;
}
function waysOf(format: Format): string {
  const reads = format.stream !== undefined || format.blobs !== undefined;
  if (reads && format.writer !== undefined) return "reads, writes";
  return reads ? "reads" : "writes";
}
