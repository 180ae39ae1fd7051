/** Where one SQL statement ends and the next begins, by DuckDB's (PostgreSQL's) lexical rules. */

/**
 * The statements of a script, without the semicolons; pieces of nothing but blanks and comments are left out.
 * Knows '…' and "…" with doubled quotes, E'…' with backslashes, $tag$ … $tag$, -- … and nested comments.
 */
export function splitStatements(sql: string): string[] {
  const statements: string[] = [];
  let start = 0;
  let blank = true;
  const take = (end: number): void => {
    if (!blank) statements.push(sql.slice(start, end));
    start = end + 1;
    blank = true;
  };
  for (let i = 0; i < sql.length; ) {
    const comment = commentEnd(sql, i);
    if (comment > i) {
      i = comment;
      continue;
    }
    const char = sql[i]!;
    if (char === ";") {
      take(i);
      i++;
      continue;
    }
    if (!/\s/.test(char)) blank = false;
    i = tokenEnd(sql, i);
  }
  take(sql.length);
  return statements;
}

/** The end of the comment that starts at `at`; `at` when none does. */
function commentEnd(sql: string, at: number): number {
  if (sql.startsWith("--", at)) {
    const line = sql.indexOf("\n", at);
    return line < 0 ? sql.length : line + 1;
  }
  if (!sql.startsWith("/*", at)) return at;
  let depth = 1;
  let i = at + 2;
  for (; i < sql.length && depth > 0; i++) {
    if (sql.startsWith("/*", i)) {
      depth++;
      i++;
    } else if (sql.startsWith("*/", i)) {
      depth--;
      i++;
    }
  }
  return i;
}

/** The end of the quoted text, name or single character at `at`. */
function tokenEnd(sql: string, at: number): number {
  const char = sql[at]!;
  if (char === "'" || char === '"') return quotedEnd(sql, at, char, false);
  const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
  word.lastIndex = at;
  const name = word.exec(sql)?.[0];
  if (name !== undefined) {
    const end = at + name.length;
    return (name === "E" || name === "e") && sql[end] === "'"
      ? quotedEnd(sql, end, "'", true)
      : end;
  }
  const dollar = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
  dollar.lastIndex = at;
  const tag = dollar.exec(sql)?.[0];
  if (tag === undefined) return at + 1;
  const close = sql.indexOf(tag, at + tag.length);
  return close < 0 ? sql.length : close + tag.length;
}

function quotedEnd(sql: string, at: number, quote: string, backslashes: boolean): number {
  for (let i = at + 1; i < sql.length; i++) {
    if (backslashes && sql[i] === "\\") i++;
    else if (sql[i] === quote) {
      if (sql[i + 1] !== quote) return i + 1;
      i++;
    }
  }
  return sql.length;
}
