/** DuckDB's errors in our words: what is wrong, the line it is in, a caret at the place. */
import { UserError } from "../cli/command.ts";

/** The SQL is wrong, or could not be carried out. */
export class SqlError extends UserError {
  override readonly name = "SqlError";
}

/**
 * @example
 * Catalog Error: Table with name slic does not exist!     table slic does not exist; did you mean "slice"?
 * Did you mean "slice"?                               →     line 1: select * from slic
 *                                                                                 ^
 * LINE 1: select * from slic
 *                       ^
 */
export function sqlError(error: unknown): SqlError {
  const text = error instanceof Error ? error.message : String(error);
  const place = /(?:^|\n)LINE (\d+): ?(.*)\n( *)\^/u.exec(text);
  const message = words(place === null ? text : text.slice(0, place.index));
  return new SqlError(place === null ? message : `${message}\n${caret(place)}`, fixFor(message));
}

function words(text: string): string {
  return (
    text
      .replace(/^Failed to extract statements: /, "")
      .replace(/^(?:[A-Z][A-Za-z-]* )*(?:Error|Exception): /, "")
      .replace(/^Table with name (\S+) does not exist!?/, "table $1 does not exist")
      .replace(
        /^(Scalar|Table|Aggregate|Pragma) Function with name (\S+) does not exist!?/i,
        "there is no function $2",
      )
      .replace(/^Referenced column ("[^"]*") not found in FROM clause!?/, "there is no column $1")
      .replace(/\nDid you mean ("[^"]*")\?/, "; did you mean $1?")
      .replace(/\nCandidate bindings: (.*)/, "; did you mean $1?")
      .replace(
        / - file system operations are disabled by configuration/,
        ": queries read the trace only, no files and no network",
      )
      .replace(
        /^Loading external extensions is disabled through configuration/,
        "extensions are not available: queries read the trace only",
      )
      .replace(
        /^Cannot (change configuration option "[^"]*") - the configuration has been locked/,
        "cannot $1: queries run with fixed settings",
      )
      .replace(
        /\. You might need to add explicit type casts\.\n\s*Candidate functions:[\s\S]*/,
        "; cast the argument",
      )
      .replace(/(\S+) is not an? table$/, "$1 can not be changed: it shows the trace")
      .replace(/^Interrupted!?$/, "interrupted")
      // Names of our own machinery mean nothing to the reader.
      .replaceAll('"__', '"')
      .trim()
      .replace(/!$/, "")
      .replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase())
  );
}

function caret([, line, source, indent]: RegExpExecArray): string {
  const head = `LINE ${line}: `;
  const mark = Math.max(0, indent!.length - head.length);
  const shown = `  line ${line}: `;
  return `${shown}${source}\n${" ".repeat(shown.length + mark)}^`;
}

function fixFor(message: string): string | undefined {
  if (/VARCHAR .*(?:INTEGER|DOUBLE|BIGINT)|(?:INTEGER|DOUBLE|BIGINT).* VARCHAR/.test(message))
    return "arg() gives text; arg_int() and arg_real() give numbers";
  return undefined;
}
