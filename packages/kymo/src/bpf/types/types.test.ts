/** `kymo types`: what is written is what the kernel says, and TypeScript understands it. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test, vi } from "vitest";
import { command } from "../../cli/commands/types.ts";
import { testNeeding } from "../../testing/capability.ts";
import { kernelTypes } from "../kernel/vmlinux.ts";
import { typeDeclarations } from "./index.ts";

afterEach(() => vi.restoreAllMocks());

const packageRoot = fileURLToPath(new URL("../../../", import.meta.url));
const arch = process.arch === "arm64" ? "arm64" : "x64";

test("without tracefs and BTF there are system calls, with numbered arguments", () => {
  const text = typeDeclarations({ structs: [], arch, tracefs: undefined, types: undefined });
  expect(text).toContain("interface Tracepoints {\n  }");
  expect(text).toContain("openat: { readonly arg0: u64;");
});

const kernelTest = testNeeding("linux", "root", "bpf", "tracepoints");
const declarations = (structs: readonly string[]): string =>
  typeDeclarations({ structs, arch, tracefs: "/sys/kernel/tracing", types: kernelTypes() });

/** What stands behind a name: up to the line that ends it. */
function declared(text: string, name: string): string {
  const from = text.indexOf(`\n    ${name}: `);
  return from < 0
    ? `no ${name}`
    : text.slice(from, text.indexOf("\n    }", from) + 6).slice(0, 20_000);
}

kernelTest("fields of events and members of structs, anonymous ones looked through", () => {
  const text = declarations(["nf_conn"]);
  const event = declared(text, '"sched:sched_switch"');
  expect(event).toContain("readonly next_pid: i32;");
  expect(event).toContain("readonly next_comm: text;");
  expect(declared(text, "sched_switch")).toContain('preempt: bool, prev: ptr<"task_struct">');
  expect(declared(text, "openat")).toContain("readonly dfd: i32; readonly filename: cstr;");
  expect(declared(text, "task_struct")).toContain("readonly pid: i32;");
  expect(declared(text, "nf_conn")).toContain("readonly ct_general:");
  // In an anonymous struct in an anonymous union.
  expect(declared(text, "sk_buff")).toContain('readonly next: ptr<"sk_buff">;');
  expect(() => declarations(["tsk_struct"])).toThrow("did you mean task_struct?");
});

const user = `
import { rawTracepoint, tracepoint, type i32, type Syscalls } from "kymo/probe";
tracepoint("sched:sched_switch", (e) => { const pid: i32 = e.next_pid; void pid; });
rawTracepoint("sched_switch", (preempt, prev) => { const tgid: i32 = prev.real_parent.tgid; void [preempt, tgid]; });
// @ts-expect-error there is no such field
tracepoint("sched:sched_switch", (e) => void e.nxt_pid);
export const call: Syscalls["openat"]["filename"] = "text";
`;

kernelTest("tsc checks a probe against the file", { timeout: 120_000 }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), "kymo-types-"));
  try {
    mkdirSync(path.join(directory, "node_modules"));
    symlinkSync(packageRoot, path.join(directory, "node_modules/kymo"));
    writeFileSync(path.join(directory, "kernel.d.ts"), declarations([]));
    writeFileSync(path.join(directory, "user.ts"), user);
    writeFileSync(path.join(directory, "package.json"), '{"type":"module"}');
    writeFileSync(
      path.join(directory, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          ...{ strict: true, target: "es2023", module: "nodenext", noEmit: true, types: [] },
          customConditions: ["source"],
          allowImportingTsExtensions: true,
        },
        include: ["*.ts"],
      }),
    );
    const tsc = path.join(packageRoot, "../../node_modules/typescript/bin/tsc");
    const { stdout, status } = spawnSync(process.execPath, [tsc, "-p", directory], {
      encoding: "utf8",
    });
    expect({ stdout, status }).toEqual({ stdout: "", status: 0 });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

kernelTest("the command writes the file", async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "kymo-types-"));
  try {
    const file = path.join(directory, "kernel.d.ts");
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await command.run(["-o", file])).toBe(0);
    expect(readFileSync(file, "utf8")).toContain('declare module "kymo/probe"');
    await expect(command.run(["-o", file, "tsk_struct"])).rejects.toThrow(
      "did you mean task_struct?",
    );
    await expect(command.run(["-o", path.join(directory, "no/file")])).rejects.toThrow("ENOENT");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
