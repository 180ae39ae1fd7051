import { expect, test } from "vitest";
import { splitStatements } from "./statements.ts";

test.each<[string, string[]]>([
  ["select 1", ["select 1"]],
  ["select 1; select 2;", ["select 1", " select 2"]],
  [";; \n ;", []],
  ["-- only; a comment", []],
  ["/* a; /* b; */ c; */", []],
  ["select ';' ; select 2", ["select ';' ", " select 2"]],
  ["select 'it''s; fine'; x", ["select 'it''s; fine'", " x"]],
  ['select ";""; " ; x', ['select ";""; " ', " x"]],
  ["select E'a\\';b'; x", ["select E'a\\';b'", " x"]],
  ["select 'a\\'; x", ["select 'a\\'", " x"]],
  ["select name'x;'; y", ["select name'x;'", " y"]],
  ["select $$ ; $$; x", ["select $$ ; $$", " x"]],
  ["select $a$ ; $$ $a$; x", ["select $a$ ; $$ $a$", " x"]],
  ["select $1; x", ["select $1", " x"]],
  ["select a -- x;\n, b; c", ["select a -- x;\n, b", " c"]],
  ["select 'never closed; x", ["select 'never closed; x"]],
  ["select /* never closed; x", ["select /* never closed; x"]],
])("%j", (sql, statements) => {
  expect(splitStatements(sql)).toEqual(statements);
});
