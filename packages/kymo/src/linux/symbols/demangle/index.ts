/**
 * Linker names into the names of the source: C++ (Itanium ABI) and Rust (both schemes). Anything else stays as it is,
 * and so does a name that is malformed or past the limits: a hostile one costs milliseconds at most, never an error.
 */
import { type CppOptions, demangleCpp } from "./itanium.ts";
import { demangleRust } from "./rust.ts";

/**
 * @param options  by default functions are named as profilers do, without parameters and return type:
 *                 `v8::internal::Heap::CollectGarbage`
 */
export function demangle(symbol: string, options: CppOptions = { params: false }): string {
  if (!/^_{1,3}[ZR]/.test(symbol)) return symbol;
  return demangleRust(symbol) ?? demangleCpp(symbol, options) ?? symbol;
}

/** What people call it: demangled, without the version a linker may have added (`memcpy@@GLIBC_2.14`). */
export function sourceName(symbol: string): string {
  const at = symbol.indexOf("@");
  if (at <= 0) return demangle(symbol);
  return symbol.endsWith("@plt")
    ? `${demangle(symbol.slice(0, -4))}@plt`
    : demangle(symbol.slice(0, at));
}
