/** What this user may do on Linux: capabilities, the perf settings, tracefs, BPF, kernel names. Looks only. */
import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { perfEventParanoid } from "../linux/perf-event.ts";
import { readKernelSymbols } from "../linux/symbols/kallsyms.ts";
import { findTracefs } from "../linux/tracefs.ts";
import { type Check, Checks, groups } from "./check.ts";

/** Bits of CapEff, from the kernel's include/uapi/linux/capability.h. */
const capabilities: readonly (readonly [name: string, bit: number, gives: string])[] = [
  ["CAP_PERFMON", 38, "every process's samples and scheduling"],
  [
    "CAP_SYS_ADMIN",
    21,
    "the same on kernels before 5.8, mounting tracefs, files of deleted programs",
  ],
  ["CAP_BPF", 39, "probes"],
  ["CAP_SYS_PTRACE", 19, "other users' processes: their maps and files"],
  ["CAP_SYSLOG", 34, "kernel addresses while kernel.kptr_restrict is 1"],
  ["CAP_IPC_LOCK", 14, "ring buffers beyond kernel.perf_event_mlock_kb"],
];

/** Whether the process has a capability, by number, from the text of /proc/self/status. */
export function hasCapability(status: string, bit: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(bit)) & 1n) === 1n;
}

export function rightsChecks(): readonly Check[] {
  const checks = new Checks(groups.rights);
  const status = readText("/proc/self/status") ?? "";
  checks.note("user", userName());
  for (const [name, bit, gives] of capabilities) {
    if (hasCapability(status, bit)) checks.yes(name, gives);
    else checks.no(name, `missing: ${gives}`);
  }
  paranoid(checks, hasCapability(status, 38) || hasCapability(status, 21));
  memory(checks, hasCapability(status, 14));
  tracefs(checks);
  bpf(checks);
  return checks.all;
}

function userName(): string {
  const uid = process.geteuid?.();
  try {
    return `${userInfo().username} (uid ${uid})`;
  } catch {
    return `uid ${uid}`; // a uid that no user has
  }
}

const paranoidMeaning: readonly (readonly [from: number, text: string])[] = [
  [3, "users may record nothing on Debian, Ubuntu and Android kernels; elsewhere as at 2"],
  [2, "users may record their own processes, in user space only"],
  [1, "users may record their own processes, kernel included"],
  [0, "users may sample whole CPUs, but not read tracepoints"],
  [-1, "users may record everything"],
];

function paranoid(checks: Checks, privileged: boolean): void {
  const name = "kernel.perf_event_paranoid";
  const level = perfEventParanoid();
  if (level === undefined) {
    checks.no(
      name,
      "this kernel has no perf events",
      "use a kernel with CONFIG_PERF_EVENTS; in a container, see docs/permissions.md",
    );
    return;
  }
  const meaning =
    paranoidMeaning.find(([from]) => level >= from)?.[1] ?? paranoidMeaning.at(-1)![1];
  const text = `${level}: ${meaning}`;
  if (privileged) checks.yes(name, `${text}; does not bind you`);
  else if (level <= -1) checks.yes(name, text);
  else checks.no(name, text, "run with sudo, or: sudo sysctl kernel.perf_event_paranoid=-1");
}

function memory(checks: Checks, unlimited: boolean): void {
  const kb = Number(readText("/proc/sys/kernel/perf_event_mlock_kb"));
  if (!Number.isFinite(kb) || kb <= 0) return;
  const text = `${kb} KiB of ring buffer for each CPU`;
  if (unlimited) checks.yes("kernel.perf_event_mlock_kb", `${text}; does not bind you`);
  else checks.note("kernel.perf_event_mlock_kb", text);
}

function tracefs(checks: Checks): void {
  const found = findTracefs();
  if (found.ok) checks.yes("tracefs", found.path);
  else if (process.geteuid?.() === 0)
    checks.yes("tracefs", `${found.reason}; kymo record mounts it`);
  else checks.no("tracefs", found.reason, found.fix);
}

function bpf(checks: Checks): void {
  const btf = existsSync("/sys/kernel/btf/vmlinux");
  if (btf) checks.yes("BTF", "/sys/kernel/btf/vmlinux: the kernel describes its types");
  else
    checks.no(
      "BTF",
      "this kernel does not describe its types",
      "use a kernel with CONFIG_DEBUG_INFO_BTF",
    );
}

export function nameChecks(): readonly Check[] {
  const checks = new Checks(groups.names);
  const start = performance.now();
  const kernel = readKernelSymbols("/proc", "/sys");
  if (kernel.hidden !== undefined)
    checks.no("kernel functions", kernel.hidden.reason, kernel.hidden.fix);
  else
    checks.yes(
      "kernel functions",
      `${kernel.count} in /proc/kallsyms, read in ${(performance.now() - start).toFixed(0)} ms`,
    );
  if (existsSync("/usr/lib/debug/.build-id")) checks.yes("debug files", "/usr/lib/debug/.build-id");
  else
    checks.note(
      "debug files",
      "none below /usr/lib/debug: stripped programs show what they export and where functions start",
    );
  return checks.all;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // older kernels lack it
  }
}
