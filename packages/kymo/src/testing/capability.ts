/**
 * What a test needs of its machine. A need that can't be met skips the test and says why; where it could be met by
 * installing a package, a skip under CI=true is a failure instead.
 */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { type TestAPI, type TestContext, test } from "vitest";

/** Commands by name, files by absolute path, or one of the machine's abilities. */
export type Need = "linux" | "root" | "tracepoints" | "bpf" | (string & {});

/** What scripts/setup.mjs installs before the tests, so that CI has no reason to skip. */
const installed: ReadonlySet<string> = new Set(
  "perf chromium cc strace setpriv nm c++filt addr2line readelf clang bpftool openssl ip tc python3".split(
    " ",
  ),
);

/** `test`, or a loud skip when a need is not met. */
export function testNeeding(...needs: readonly Need[]): TestAPI | TestAPI["skip"] {
  const missing = needs.map(whyNot).find((reason) => reason !== undefined);
  if (missing === undefined) return test;
  if (missing.installable && process.env["CI"] === "true") {
    return ((name: string) =>
      test(name, () =>
        Promise.reject(new Error(`CI must be able to run this: ${missing.reason}`)),
      )) as unknown as TestAPI;
  }
  console.warn(`SKIP (${missing.reason})`);
  return test.skip;
}

/** Skips the rest of a test that finds out only while it runs that this machine can't. Loud, and not a pass. */
export function skipHere(context: TestContext, reason: string): never {
  console.warn(`SKIP (${reason})`);
  return context.skip(reason);
}

function whyNot(
  need: Need,
): { readonly reason: string; readonly installable: boolean } | undefined {
  const no = (reason: string) => ({ reason, installable: false });
  if (need === "linux")
    return process.platform === "linux"
      ? undefined
      : no(`needs Linux, this is ${process.platform}`);
  if (need === "root") return process.getuid?.() === 0 ? undefined : no("needs root");
  if (need === "tracepoints") {
    if (process.platform !== "linux" || process.getuid?.() !== 0)
      return no("needs root on Linux for tracepoints");
    return readFileSync("/proc/filesystems", "utf8").includes("tracefs")
      ? undefined
      : no("this kernel has no tracefs");
  }
  if (need === "bpf") {
    if (process.platform !== "linux" || process.getuid?.() !== 0)
      return no("needs root on Linux for BPF programs");
    return existsSync("/sys/kernel/btf/vmlinux") ? undefined : no("this kernel has no BTF");
  }
  if (path.isAbsolute(need)) return existsSync(need) ? undefined : no(`this system has no ${need}`);
  return commandPath(need) === undefined
    ? { reason: `${need} is not installed`, installable: installed.has(need) }
    : undefined;
}

/** Where a command is on the PATH; undefined when it is not. */
export function commandPath(command: string): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(path.delimiter)
    .map((dir) => path.join(dir, command))
    .find((file) => existsSync(file));
}
