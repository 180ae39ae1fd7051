/** Linker names into the names of the source. TODO(C++, Rust): their names stay as the linker has them. */

export function demangle(symbol: string): string {
  return symbol;
}

/** What people call it: demangled, without the version a linker may have added (`memcpy@@GLIBC_2.14`). */
export function sourceName(symbol: string): string {
  const at = symbol.indexOf("@");
  if (at <= 0) return demangle(symbol);
  return symbol.endsWith("@plt")
    ? `${demangle(symbol.slice(0, -4))}@plt`
    : demangle(symbol.slice(0, at));
}
