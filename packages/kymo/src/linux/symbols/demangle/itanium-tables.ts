/** The codes of the Itanium ABI: operators, built-in types, abbreviations of std. */
import type { Node } from "./cpp-nodes.ts";

export const operators: ReadonlyMap<string, string> = new Map([
  ["nw", "new"],
  ["na", "new[]"],
  ["dl", "delete"],
  ["da", "delete[]"],
  ["aw", "co_await"],
  ["ps", "+"],
  ["ng", "-"],
  ["ad", "&"],
  ["de", "*"],
  ["co", "~"],
  ["pl", "+"],
  ["mi", "-"],
  ["ml", "*"],
  ["dv", "/"],
  ["rm", "%"],
  ["an", "&"],
  ["or", "|"],
  ["eo", "^"],
  ["aS", "="],
  ["pL", "+="],
  ["mI", "-="],
  ["mL", "*="],
  ["dV", "/="],
  ["rM", "%="],
  ["aN", "&="],
  ["oR", "|="],
  ["eO", "^="],
  ["ls", "<<"],
  ["rs", ">>"],
  ["lS", "<<="],
  ["rS", ">>="],
  ["eq", "=="],
  ["ne", "!="],
  ["lt", "<"],
  ["gt", ">"],
  ["le", "<="],
  ["ge", ">="],
  ["ss", "<=>"],
  ["nt", "!"],
  ["aa", "&&"],
  ["oo", "||"],
  ["pp", "++"],
  ["mm", "--"],
  ["cm", ","],
  ["pm", "->*"],
  ["pt", "->"],
  ["cl", "()"],
  ["ix", "[]"],
  ["qu", "?"],
  ["ds", ".*"],
]);

/** Code, name, and what a literal of the type ends with (undefined: it is written with a cast). */
export const builtinTypes: ReadonlyMap<string, Node> = new Map(
  (
    [
      ["v", "void"],
      ["w", "wchar_t"],
      ["b", "bool"],
      ["c", "char"],
      ["a", "signed char"],
      ["h", "unsigned char"],
      ["s", "short"],
      ["t", "unsigned short"],
      ["i", "int", ""],
      ["j", "unsigned int", "u"],
      ["l", "long", "l"],
      ["m", "unsigned long", "ul"],
      ["x", "long long", "ll"],
      ["y", "unsigned long long", "ull"],
      ["n", "__int128"],
      ["o", "unsigned __int128"],
      ["f", "float"],
      ["d", "double"],
      ["e", "long double"],
      ["g", "__float128"],
      ["z", "..."],
      ["Dd", "decimal64"],
      ["De", "decimal128"],
      ["Df", "decimal32"],
      ["Dh", "half"],
      ["Di", "char32_t"],
      ["Ds", "char16_t"],
      ["Du", "char8_t"],
      ["Da", "auto"],
      ["Dc", "decltype(auto)"],
      ["Dn", "decltype(nullptr)"],
    ] as const
  ).map(([code, text, literal]) => [code, { kind: "builtin", text, literal }]),
);

const name = (text: string): Node => ({ kind: "name", text });
const std = (text: string): Node => ({ kind: "nested", scope: name("std"), name: name(text) });
const ofChar = (text: string, ...more: readonly string[]): Node => ({
  kind: "template",
  name: std(text),
  args: [
    name("char"),
    ...["char_traits", ...more].map(
      (one): Node => ({ kind: "template", name: std(one), args: [name("char")] }),
    ),
  ],
});

/** S and a letter: the short form, and the one whose constructor has a name. */
export const standardNames: ReadonlyMap<string, { readonly short: Node; readonly full: Node }> =
  new Map([
    ["a", { short: std("allocator"), full: std("allocator") }],
    ["b", { short: std("basic_string"), full: std("basic_string") }],
    ["s", { short: std("string"), full: ofChar("basic_string", "allocator") }],
    ["i", { short: std("istream"), full: ofChar("basic_istream") }],
    ["o", { short: std("ostream"), full: ofChar("basic_ostream") }],
    ["d", { short: std("iostream"), full: ofChar("basic_iostream") }],
  ]);
