/**
 * Probes through the built command line, in the real kernel: each needs root, BPF and (for typed events) BTF, and skips
 * with the reason elsewhere. What a probe says is compared with what is known of the program that was probed.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Trace } from "@kymo/trace";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { openTraceFile } from "../../files/open.ts";
import { testNeeding } from "../../testing/capability.ts";

const kymo =
  process.env["KYMO"] ?? fileURLToPath(new URL("../../../bin/kymo.mjs", import.meta.url));
const probeTest = testNeeding("linux", "root", "bpf", "tracepoints");
let dir = "";
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "kymo-probe-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string) => path.join(dir, name);

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
const run = (command: string, ...args: readonly string[]): Ended =>
  spawnSync(process.execPath, [kymo, command, ...args], { encoding: "utf8", maxBuffer: 2 ** 28 });
const probe = (...args: readonly string[]): Ended => run("probe", ...args);

/** dd and sleep under names of this test's own: what runs beside it may use them, too. */
const [copier, napper] = [`dd${process.pid}`, `nap${process.pid}`];
const asNamed = (name: string): string | undefined =>
  process.env["PATH"]
    ?.split(":")
    .map((folder) => path.join(folder, name))
    .find((one) => existsSync(one));
beforeAll(() => {
  symlinkSync(asNamed("dd") ?? "/bin/dd", file(copier));
  symlinkSync(asNamed("sleep") ?? "/bin/sleep", file(napper));
});

/** Reads and writes of one byte each: exactly so many of them. */
const dd = (count: number) => [
  ...[file(copier), "status=none", "if=/dev/zero", "of=/dev/null"],
  ...["bs=1", `count=${count}`],
];
const eventCount = (trace: Trace, kind: string): number =>
  trace.rows.reduce((sum, row) => sum + (row.kind === kind ? row.length : 0), 0);
const exitOf = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
/** Waits for a text on the child's standard output or error. */
function said(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let all = "";
    const add = (chunk: Buffer): void => {
      all += chunk;
      if (all.includes(text)) resolve();
    };
    child.stdout?.on("data", add);
    child.stderr?.on("data", add);
    child.once("exit", () => reject(new Error(`ended without saying ${text}: ${all}`)));
  });
}

describe("without -o", () => {
  probeTest("every event is a line, and the command's status is kymo's", () => {
    const ended = probe(
      "-e",
      'syscall("openat", (e) => { if (comm() === "cat") instant({ name: str(e.filename), args: { flags: e.flags } }); })',
      "--",
      "cat",
      "/no/such/file",
    );
    expect(ended.status).toBe(1);
    const lines = ended.stdout.split("\n").filter((line) => line.includes("/no/such/file"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{6} {2}cat\/\d+ +\/no\/such\/file {2}flags=\d+$/);
  });

  probeTest("prints and aggregations are what the programs did", () => {
    const ended = probe(
      "-e",
      `const calls = count({ name: "calls" });
       const bytes = hist({ name: "bytes", unit: "bytes" });
       begin(() => print\`starts\`);
       syscall.exit("write", (e) => {
         if (comm() !== "${copier}" || e.ret !== 1) return;
         calls.add(comm());
         bytes.add(e.ret);
       });
       end(() => print\`ends\`);`,
      "--",
      ...dd(500),
    );
    expect(ended.status, ended.stderr).toBe(0);
    const lines = ended.stdout.trimEnd().split("\n");
    expect(lines[0]).toBe("starts");
    expect(lines).toContain("ends");
    expect(lines).toContain(`  ${copier}  500`);
    expect(lines.some((line) => /^ {2}\[1\] {2}500 █{40}$/.test(line))).toBe(true);
  });

  probeTest("a reader that stops reading ends it", async () => {
    const child = spawn("sh", [
      "-c",
      `"$0" "$1" probe -e 'syscall("write", () => instant({ name: "w" }))' | head -n 1`,
      process.execPath,
      kymo,
    ]);
    await said(child, "w");
    expect(await exitOf(child)).toBe(0);
  });
});

describe("with -o", () => {
  probeTest("each call is one slice of its thread, with its arguments", async () => {
    const out = file("slices.pftrace");
    const ended = probe(
      "-e",
      `syscall.span("write", (e) => { if (comm() === "${copier}") return span({ name: "write", args: { fd: e.fd, count: e.count } }); })`,
      "-o",
      out,
      "--",
      ...dd(300),
    );
    expect(ended.status, ended.stderr).toBe(0);
    expect(ended.stdout).toBe("");
    const trace = await openTraceFile(out);
    expect(trace.problems).toEqual([]);
    const threads = trace.tracks.flatMap((track, id) =>
      track.kind === "thread" && trace.trackName(id as never) === copier ? [id] : [],
    );
    expect(threads).toHaveLength(1);
    const slices = trace.rowsOf(threads[0] as never).filter(({ kind }) => kind === "slice");
    expect(slices.reduce((sum, { length }) => sum + length, 0)).toBe(300);
    const cost = [...trace.metadata].filter(([key]) => key.startsWith("kymo.probe."));
    expect(cost.length).toBeGreaterThan(0);
    for (const [, value] of cost) expect(JSON.parse(value).runs).toBeGreaterThan(300);
    const info = run("info", out);
    expect(info.stdout).toMatch(/probe cost +\S.*: [\d,]+ runs, \d+ ns each/);
  });

  probeTest("a slice that is recorded long after it began is in time", async () => {
    const out = file("nap.pftrace");
    const ended = probe(
      "-e",
      `syscall.span("clock_nanosleep", () => { if (comm() === "${napper}") return span({ name: "nap" }); })`,
      "-o",
      out,
      "--",
      file(napper),
      "0.7",
    );
    expect(ended.status, ended.stderr).toBe(0);
    const trace = await openTraceFile(out);
    expect(trace.problems).toEqual([]);
    expect(eventCount(trace, "slice")).toBe(1);
  });

  probeTest("declared types and aggregations are tables", () => {
    const out = file("types.pftrace");
    const ended = probe(
      "-e",
      `const wrote = eventType("wrote", { fd: "int", who: "text" });
       const calls = count({ name: "calls" });
       syscall("write", (e) => {
         if (comm() !== "${copier}" || e.count !== 1) return;
         wrote({ fd: e.fd, who: comm() });
         calls.add(e.fd);
       });`,
      "-o",
      out,
      "--",
      ...dd(120),
    );
    expect(ended.status, ended.stderr).toBe(0);
    expect(ended.stdout).toBe("calls\n  1  120\n");
    const query = run(
      "query",
      out,
      `SELECT (SELECT count(*) FROM wrote WHERE fd = 1 AND who = '${copier}') AS events, name, key, count FROM aggregation`,
      "--format",
      "json",
    );
    expect(query.status, query.stderr).toBe(0);
    expect(JSON.parse(query.stdout)).toEqual([
      { events: 120, name: "calls", key: "1", count: 120 },
    ]);
  });

  probeTest("stacks of a probe are samples with names of functions", async () => {
    const out = file("stacks.pftrace");
    const ended = probe(
      "-e",
      `syscall("write", () => { if (comm() === "${copier}") sample({ stacks: [kstack(), ustack()] }); })`,
      "-o",
      out,
      "--",
      ...dd(50),
    );
    expect(ended.status, ended.stderr).toBe(0);
    const trace = await openTraceFile(out);
    expect(eventCount(trace, "sample")).toBeGreaterThanOrEqual(50);
    expect(trace.frames.some(({ module }) => module === "[kernel.kallsyms]")).toBe(true);
    expect(
      trace.frames.some(
        ({ module, name }) => /libc|\/dd$/.test(module ?? "") && /write/.test(name),
      ),
    ).toBe(true);
  });

  probeTest("with everything else in one file: kymo record --probe", async () => {
    const out = file("all.pftrace");
    const script = file("writes.probe.ts");
    writeFileSync(
      script,
      `import { syscall, instant, comm } from "kymo/probe";
       syscall("write", (e) => { if (comm() === "${copier}" && e.count === 1) return instant({ name: "one byte" }); });`,
    );
    const ended = run("record", "--probe", script, "-o", out, "--", ...dd(200));
    expect(ended.status, ended.stderr).toBe(0);
    const trace = await openTraceFile(out);
    const id = trace.strings.find("one byte");
    const hits = trace.rows.reduce((sum, row) => {
      if (row.kind !== "instant") return sum;
      for (const chunk of row.chunks as readonly { length: number; key: ArrayLike<number> }[])
        for (let i = 0; i < chunk.length; i++) if (chunk.key[i] === id) sum++;
      return sum;
    }, 0);
    expect(hits).toBe(200);
    expect(eventCount(trace, "sched")).toBeGreaterThan(0);
    expect(eventCount(trace, "slice")).toBeGreaterThan(400); // dd's system calls
  });
});

describe("the end", () => {
  probeTest(
    "Ctrl-C: detached first, nothing lost, end handlers run, aggregations read",
    async () => {
      const child = spawn(process.execPath, [
        kymo,
        "probe",
        "-e",
        'const calls = count({ name: "calls" }); begin(() => print`ready`); syscall("write", () => calls.add()); end(() => print`over`);',
      ]);
      let stdout = "";
      child.stdout.on("data", (chunk) => {
        stdout += chunk;
      });
      await said(child, "ready");
      spawnSync(file(copier), dd(1000).slice(1));
      child.kill("SIGINT");
      expect(await exitOf(child)).toBe(0);
      expect(stdout).toContain("over\n");
      expect(Number(/calls: ([\d,]+)/.exec(stdout)![1]!.replace(/,/g, ""))).toBeGreaterThanOrEqual(
        1000,
      );
    },
  );

  probeTest("what is lost is counted: events and losses are all that happened", async () => {
    const out = file("lost.pftrace");
    const ended = probe(
      "-e",
      `const all = count({ name: "all" });
       syscall("write", (e) => { if (comm() === "${copier}") { all.add(); instant({ name: "write", args: { a: e.fd, b: e.buf, c: e.count } }); } });`,
      "--buffer-mb",
      "0.0625",
      "-o",
      out,
      "--",
      ...dd(300_000),
    );
    expect(ended.status, ended.stderr).toBe(0);
    const all = Number(/all: ([\d,]+)/.exec(ended.stdout)![1]!.replace(/,/g, ""));
    const trace = await openTraceFile(out);
    const lost = trace.problems
      .filter(({ kind }) => kind === "lost-events")
      .reduce((sum, { count = 0 }) => sum + count, 0);
    const name = trace.strings.find("write");
    let events = 0;
    for (const row of trace.rows)
      if (row.kind === "instant")
        for (const chunk of row.chunks as readonly { length: number; key: ArrayLike<number> }[])
          for (let i = 0; i < chunk.length; i++) if (chunk.key[i] === name) events++;
    expect(all).toBeGreaterThanOrEqual(300_000);
    expect(events + lost).toBe(all);
    if (lost > 0) expect(ended.stderr).toContain("raise --buffer-mb");
  });
});

describe("what is wrong is said", () => {
  probeTest("a wrong field: where, what is meant, and no file", () => {
    const script = file("wrong.probe.ts");
    writeFileSync(
      script,
      'import { syscall, instant, str } from "kymo/probe";\n\nsyscall("openat", (e) => instant({ name: str(e.filenam) }));\n',
    );
    const out = file("none.pftrace");
    const ended = probe(script, "-o", out, "-d", "1");
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain(`${script}:3:48: `);
    expect(ended.stderr).toContain("did you mean filename?");
    const lines = ended.stderr.split("\n");
    const caret = lines.find((line) => line.trim().endsWith("^"))!;
    const source = lines[lines.indexOf(caret) - 1]!;
    expect(source.slice(caret.indexOf("^"))).toMatch(/^filenam/);
    expect(existsSync(out)).toBe(false);
  });

  probeTest("a probe that can't be attached leaves no file, and its command does not run", () => {
    const out = file("unattached.pftrace");
    const ended = probe(
      "-e",
      'watchpoint({ pid: 4194303, address: 0x1000n, bytes: 8, access: "write" }, () => instant({ name: "x" }))',
      "-o",
      out,
      "--",
      "echo",
      "ran",
    );
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain("there is no process 4194303");
    expect(ended.stdout).toBe("");
    expect(existsSync(out)).toBe(false);
  });

  probeTest("-p has the events of that process alone, also of probes at system calls", () => {
    const one = spawn("dd", ["if=/dev/zero", "of=/dev/null", "bs=1"], { stdio: "ignore" });
    const other = spawn("dd", ["if=/dev/zero", "of=/dev/null", "bs=1"], { stdio: "ignore" });
    try {
      const ended = probe(
        ...["-p", String(one.pid), "-d", "0.5", "-e"],
        "const calls = count(); anySyscall(() => calls.add(pid())); const samples = count(); profile(99, () => samples.add(pid()))",
      );
      expect(ended.status).toBe(0);
      const pids = [...ended.stdout.matchAll(/^ +(\d+) +[\d,]+$/gm)].map(([, pid]) => Number(pid));
      expect(pids).toEqual([one.pid, one.pid]);
    } finally {
      one.kill();
      other.kill();
    }
  });

  probeTest("wrong usage is status 2", () => {
    expect(probe().status).toBe(2);
    expect(probe("-e", "1", "--").status).toBe(2);
    expect(probe("-e", "1", "--buffer-mb", "0").status).toBe(2);
    expect(probe("-e", "1", "-p", "1", "--", "true").status).toBe(2);
  });
});

probeTest("a script with its own arguments runs by itself", () => {
  const script = file("args.probe.ts");
  writeFileSync(
    script,
    `#!/usr/bin/env -S kymo probe
import { begin, print } from "kymo/probe";
const [word] = process.argv.slice(2);
begin(() => print\`said \${word ?? "nothing"}\`);
`,
  );
  const ended = probe(script, "hello", "-d", "0.2");
  expect(ended.status, ended.stderr).toBe(0);
  expect(ended.stdout).toBe("said hello\n");
});

probeTest("--list names what can be probed, with fields where few are left", () => {
  expect(probe("--list", "syscall:openat").stdout).toContain("    filename: cstr\n");
  const all = probe("--list").stdout.split("\n");
  expect(all).toContain("tracepoint:sched:sched_switch");
  expect(all.length).toBeGreaterThan(500);
});
