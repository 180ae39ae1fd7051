import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { skipHere, testNeeding } from "../../../testing/capability.ts";
import { demangle, sourceName } from "./index.ts";

/** Linker name, full text, name alone: as `c++filt -i` and `c++filt -i -p` of binutils 2.40 write them. */
const cpp: readonly (readonly [symbol: string, full: string, name: string])[] = [
  ["_Z1fv", "f()", "f"],
  [
    "_ZN4node9inspector5Agent5StartEv",
    "node::inspector::Agent::Start()",
    "node::inspector::Agent::Start",
  ],
  [
    "_ZNSt6vectorIiSaIiEE9push_backEOi",
    "std::vector<int, std::allocator<int> >::push_back(int&&)",
    "std::vector<int, std::allocator<int> >::push_back",
  ],
  [
    "_ZNSsC1ERKSs",
    "std::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string(std::string const&)",
    "std::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string",
  ],
  [
    "_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_PKc",
    "std::basic_ostream<char, std::char_traits<char> >& std::operator<< <std::char_traits<char> >(std::basic_ostream<char, std::char_traits<char> >&, char const*)",
    "std::operator<< <std::char_traits<char> >",
  ],
  ["_ZN1AD2Ev.cold", "A::~A() [clone .cold]", "A::~A [clone .cold]"],
  ["_ZNK1AcvbEv", "A::operator bool() const", "A::operator bool"],
  ["_ZN1AcvT_IiEEv", "A::operator int<int>()", "A::operator int<int>"],
  [
    "_ZZ4mainENKUliE_clEi",
    "main::{lambda(int)#1}::operator()(int) const",
    "main::{lambda(int)#1}::operator()",
  ],
  ["_Z1fPFvidE", "f(void (*)(int, double))", "f"],
  ["_Z1fM1AFivE", "f(int (A::*)())", "f"],
  ["_Z1fRA4_Kc", "f(char const (&) [4])", "f"],
  ["_Z1gIJidEEvDpT_", "void g<int, double>(int, double)", "g<int, double>"],
  ["_Z1gIJEEvDpT_", "void g<>()", "g<>"],
  ["_ZN12_GLOBAL__N_11fEv", "(anonymous namespace)::f()", "(anonymous namespace)::f"],
  ["_ZTVN1A1BE", "vtable for A::B", "vtable for A::B"],
  ["_ZThn16_N1A1fEv", "non-virtual thunk to A::f()", "non-virtual thunk to A::f()"],
  ["_ZGVZ1fvE1x", "guard variable for f()::x", "guard variable for f()::x"],
  ["_Z1fB5cxx11v", "f[abi:cxx11]()", "f[abi:cxx11]"],
  ["_Z1fIXadL_ZN1A1gEiEEEvv", "void f<&A::g>()", "f<&A::g>"],
  ["_Z1fILb1ELin5ELj3EEvv", "void f<true, -5, 3u>()", "f<true, -5, 3u>"],
];
const rust: readonly (readonly [symbol: string, name: string])[] = [
  ["_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"],
  [
    "_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE.llvm.7",
    "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop",
  ],
  ["_RNvNtCs1234_4core3fmt5write", "core::fmt::write"],
  ["_RNCNvCs6xxl1lAjzDf_1a4mains_0", "a::main::{closure#1}"],
  ["_RINvCs6xxl1lAjzDf_1a5konstKb1_Kc78_Kln5_EB2_", "a::konst::<true, 'x', -5>"],
  [
    "_RINvNtNtCs6xxl1lAjzDf_1a5inner4deepu10nicode_2yaNtB6_2SqEB6_",
    "a::inner::deep::ünicode::<a::Sq>",
  ],
  ["_RINvCs1_1a1fDNtNtCs2_4core3fmt5DebugEL_EB2_", "a::f::<dyn core::fmt::Debug>"],
  ["_RINvCs1_1a1fFUKCPhOxEzEB2_", 'a::f::<unsafe extern "C" fn(*const u8, *mut i64) -> !>'],
  [
    "_RINvCs1_1a1fDG_INtNtCs2_4core3ops2FnTRL0_hEEp6OutputbEL_EB2_",
    "a::f::<dyn for<'a> core::ops::Fn<(&'a u8,), Output = bool>>",
  ],
];

test.each(cpp)("C++ %s", (symbol, full, name) => {
  expect(demangle(symbol, { params: true })).toBe(full);
  expect(demangle(symbol)).toBe(name);
});

test.each(rust)("Rust %s", (symbol, name) => {
  expect(demangle(symbol)).toBe(name);
});

test.each([
  "main",
  "_Z",
  "_ZN",
  "_ZNE",
  "_Z1",
  "_Z9f",
  "_ZS_",
  "_Z1fT_",
  "_R",
  "_RC",
  "_RNvB_1f",
  "_Z99999999999999999999f",
  "_ZN1AE17h0123456789abcdefE",
  "_Z1fIiE garbage",
])("%s stays as it is", (symbol) => {
  expect(demangle(symbol)).toBe(symbol);
});

test("versions go, stubs keep their mark", () => {
  expect(sourceName("memcpy@@GLIBC_2.14")).toBe("memcpy");
  expect(sourceName("_ZN1A1fEv@plt")).toBe("A::f@plt");
  expect(sourceName("@odd")).toBe("@odd");
});

describe("hostile names", () => {
  test("substitutions that double at each step end at the limit", () => {
    // Each template holds the one before it twice: 2^60 names if written out.
    let symbol = "_Z1f1AI1BE";
    for (let i = 0; i < 60; i++)
      symbol += `S_IS${i === 0 ? "0_" : `${i.toString(36).toUpperCase()}_`}S${i.toString(36).toUpperCase()}_E`;
    const start = performance.now();
    expect(typeof demangle(symbol, { params: true })).toBe("string");
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test.each([
    ["pointers", `_Z1f${"P".repeat(5000)}i`],
    ["templates", `_Z1f${"1AI".repeat(2000)}`],
    ["functions", `_Z1f${"PFv".repeat(2000)}`],
    ["scopes", `_Z${"Z1fvE".repeat(1000)}1g`],
    ["packs", `_Z1fI${"J".repeat(4000)}`],
    ["expressions", `_Z1fIX${"nt".repeat(3000)}`],
    ["Rust types", `_RINvC1a1f${"R".repeat(4000)}hE`],
    ["Rust back references", `_RINvC1a1f${"TB8_B8_".repeat(500)}`],
    ["conversions", `_ZN1Acv${"T_IT_I".repeat(90)}${"E".repeat(180)}IiEEv`],
    ["Rust hashes", `_RINvC1a1f${`INvCs${"1".repeat(2000)}_1a1b`}${"B8_".repeat(2000)}E`],
    ["digits", `_ZN${"1".repeat(8000)}`],
    ["a megabyte", `_Z1f${"i".repeat(1 << 20)}`],
  ])("deep %s: the raw name, at once", (_, symbol) => {
    const start = performance.now();
    demangle(symbol, { params: true });
    demangle(symbol);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test("any mangled-looking text: a string, no error, in bounded time", () => {
    const piece = fc.constantFrom(
      ..."N E I J S_ S0_ S1_ St Ss T_ T0_ TL0__ Dp Dt DT X L Lb1E Lin5E Z U Ul Ut_ E_ C1 D0 cv cl sr fp_ nt ad gt st sZ P R O K A4_ M F v i 1a 3foo 12_GLOBAL__N_1 B R C N v Y s_ K p u .cold $LT$ 17h0123456789abcdef _ __".split(
        " ",
      ),
    );
    const hostile = fc.tuple(
      fc.constantFrom("_Z", "_ZN", "_R", "_RNv", "_ZTV"),
      fc.array(piece, { maxLength: 60 }),
    );
    fc.assert(
      fc.property(hostile, ([prefix, pieces]) => {
        const symbol = prefix + pieces.join("");
        return (
          demangle(symbol).length > 0 && demangle(symbol, { params: true }).length <= 17 * 1024
        );
      }),
      { numRuns: 20_000 },
    );
    fc.assert(
      fc.property(
        fc.string(),
        (text) => demangle(`_Z${text}`).length > 0 && demangle(`_R${text}`).length > 0,
      ),
    );
  });
});

/** Names of `file` for which `keep` holds, and what c++filt makes of them. */
function peerNames(
  file: string,
  keep: RegExp,
  flags: readonly string[],
): [symbol: string, text: string][] {
  const options = {
    encoding: "utf8",
    maxBuffer: 1 << 30,
    stdio: ["pipe", "pipe", "ignore"],
  } satisfies ExecFileSyncOptionsWithStringEncoding;
  const lines = ["", "-D"].flatMap((dynamic) =>
    execFileSync("nm", ["--format=posix", ...(dynamic ? [dynamic] : []), file], options).split(
      "\n",
    ),
  );
  const names = [...new Set(lines.map((line) => line.split(" ")[0]!.replace(/@.*/, "")))].filter(
    (name) => keep.test(name),
  );
  const texts = execFileSync("c++filt", flags, { ...options, input: names.join("\n") }).split("\n");
  return names.map((name, i) => [name, texts[i]!]);
}
/** c++filt writes `>>` instead of `> >` behind an empty pack. */
const spaced = (text: string): string => text.replace(/>(?=>)/g, "> ").replace(/>(?=>)/g, "> ");

testNeeding("c++filt", "nm")("node's own C++ names: as c++filt writes them", (context) => {
  for (const params of [true, false]) {
    const names = peerNames(process.execPath, /^_Z/, params ? ["-i"] : ["-i", "-p"]);
    if (names.length === 0) return skipHere(context, "this node has no symbols");
    const agreeing = names.filter(([symbol, text]) => {
      const ours = demangle(symbol, { params });
      return spaced(params ? ours : ours.replace(/( \[clone [^\]]*\])+$/, "")) === spaced(text);
    });
    const percent = (100 * agreeing.length) / names.length;
    console.log(
      `${names.length} C++ names of node ${params ? "in full" : "without parameters"}: ${percent.toFixed(3)} % as c++filt`,
    );
    expect(percent).toBeGreaterThan(99.9);
  }
});

testNeeding("c++filt", "nm", "rustc").each(["legacy", "v0"])(
  "a Rust program's %s names: as c++filt writes them",
  (scheme) => {
    const directory = mkdtempSync(path.join(tmpdir(), "kymo-rust-"));
    try {
      const source = path.join(directory, "a.rs");
      writeFileSync(
        source,
        'use std::collections::HashMap;\nfn main() { let mut m: HashMap<String, Vec<(u8, &str)>> = HashMap::new(); m.insert("a".into(), vec![(1, "b")]); println!("{:?}", m); }\n',
      );
      const flag =
        scheme === "v0"
          ? ["-C", "symbol-mangling-version=v0"]
          : ["-C", "symbol-mangling-version=legacy", "-Z", "unstable-options"];
      execFileSync("rustc", [...flag, "-o", path.join(directory, "a"), source], {
        stdio: "pipe",
        env: { ...process.env, RUSTC_BOOTSTRAP: "1" },
      });
      const keep = scheme === "v0" ? /^_R/ : /^_ZN.*17h[0-9a-f]{16}E/;
      const names = peerNames(path.join(directory, "a"), keep, ["-i"]);
      const wrong = names.filter(([symbol, text]) => demangle(symbol) !== text);
      console.log(
        `${names.length} ${scheme} Rust names: ${names.length - wrong.length} as c++filt`,
      );
      expect(names.length).toBeGreaterThan(100);
      expect(wrong.slice(0, 3)).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);
