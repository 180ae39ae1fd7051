/** Shipped probes about processes, against what the workload is known to have done. */
import { spawnSync } from "node:child_process";
import { afterAll, describe, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { Workplace } from "./run.ts";

const work = new Workplace();
afterAll(() => work.clean());
const probing = testNeeding("linux", "root", "tracepoints", "bpf");

describe("execsnoop", () => {
  probing("every program that was started, with its file and arguments", () => {
    const own = work.own("true");
    const script = `for i in $(seq 50); do ${own} arg-$i; done; ${own}; ${own} one two three four`;
    const ran = work.probe("execsnoop", ["bash", "-c", script]);
    expect(ran.stderr).not.toContain("were lost");
    expect(ran.stderr).not.toContain("could not be read");
    expect(ran.status).toBe(0);
    const rows = ran.query(
      `select arg(arg_set_id, 'file') as file from instant where name = 'exec' and arg(arg_set_id, 'file') = '${own}'`,
    );
    expect(rows.length).toBe(52);
    expect(
      ran.query(
        "select arg(arg_set_id, 'arg1') as a, arg(arg_set_id, 'arg2') as b, arg(arg_set_id, 'arg3') as c from instant where name = 'execve' and arg(arg_set_id, 'arg1') = 'one'",
      ),
    ).toEqual([{ a: "one", b: "two", c: "three" }]);
    expect(ran.count("select count(*) from problem")).toBe(0);
    expect(
      ran.count(
        "select count(distinct arg(arg_set_id, 'arg1')) from instant where name = 'execve' and arg(arg_set_id, 'arg1') like 'arg-%'",
      ),
    ).toBe(50);
  });
});

describe("exitsnoop", () => {
  probing("how processes ended and how long they lived", () => {
    const script = "sleep 0.3; (exit 3); bash -c 'kill -9 $$'; true";
    const ran = work.probe("exitsnoop", ["bash", "-c", script]);
    expect(ran.status).toBe(0);
    const rows = ran.query(
      `select p.name as process, arg_int(arg_set_id, 'code') as code, arg_int(arg_set_id, 'signal') as signal, arg_int(arg_set_id, 'lived_ns') as lived
       from instant i join process p using (upid) where i.name = 'exited'`,
    );
    const sleep = rows.find(({ process }) => process === "sleep");
    expect(Number(sleep?.["lived"])).toBeGreaterThan(0.3e9);
    expect(Number(sleep?.["lived"])).toBeLessThan(5e9);
    expect(rows.filter(({ code }) => Number(code) === 3).length).toBe(1);
    expect(rows.filter(({ signal }) => Number(signal) === 9).length).toBe(1);
  });
});

describe("signals", () => {
  probing("signals sent and delivered", () => {
    const script = "trap : USR1; for i in $(seq 20); do kill -USR1 $$; done";
    const ran = work.probe("signals", ["bash", "-c", script]);
    expect(ran.status).toBe(0);
    expect(
      ran.count(
        "select count(*) from instant where name = 'signal sent' and arg(arg_set_id, 'signal') = 'SIGUSR1'",
      ),
    ).toBe(20);
    expect(ran.count("select count(*) from instant where name = 'SIGUSR1'")).toBe(20);
  });
});

describe("opensnoop", () => {
  probing("every file that was opened, as strace counts them", () => {
    const names = Array.from({ length: 37 }, (_, i) => work.write(`opened-${i}`, "x"));
    const ran = work.probe("opensnoop", ["cat", ...names]);
    expect(ran.status).toBe(0);
    const rows = ran.query(
      "select arg(arg_set_id, 'path') as path, arg_int(arg_set_id, 'ret') as ret from slice where name = 'open' and arg(arg_set_id, 'path') like '%/opened-%'",
    );
    expect(rows.map(({ path }) => path).toSorted()).toEqual(names.toSorted());
    expect(rows.every(({ ret }) => Number(ret) >= 3)).toBe(true);
  });
});

describe("errors", () => {
  testNeeding(
    "linux",
    "root",
    "tracepoints",
    "bpf",
    "strace",
  )("failing system calls, as strace counts them", () => {
    const script = "for i in $(seq 20); do [ -e /nonexistent/$i ]; done";
    const counted = spawnSync("strace", [
      "-f",
      "-qq",
      "-e",
      "status=failed",
      "-o",
      work.path("strace"),
      "bash",
      "-c",
      `${script}; cat /nonexistent/x; true`,
    ]);
    expect(counted.status).toBe(0);
    const ran = work.probe("errors", ["bash", "-c", `${script}; true`]);
    expect(ran.status).toBe(0);
    const failed = ran.count(
      "select count(*) from instant i join thread t using (utid) where i.name = 'ENOENT' and t.name = 'bash' and arg(arg_set_id, 'syscall') in ('newfstatat', 'stat', 'faccessat2', 'faccessat', 'access')",
    );
    expect(failed).toBeGreaterThanOrEqual(20);
  });
});
