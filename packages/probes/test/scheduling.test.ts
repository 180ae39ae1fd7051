/** Shipped probes about scheduling and waiting. */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { afterAll, describe, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { Workplace } from "./run.ts";

const work = new Workplace();
afterAll(() => work.clean());
const probing = testNeeding("linux", "root", "tracepoints", "bpf");

describe("sched", () => {
  probing("CPU time by thread, as the kernel accounts it", () => {
    const script = `
      const before = process.cpuUsage();
      const end = Date.now() + 1000;
      while (Date.now() < end);
      const usage = process.cpuUsage(before);
      console.log(usage.user + usage.system);
    `;
    const ran = work.probe("sched", [process.execPath, "-e", script]);
    expect(ran.status).toBe(0);
    const accounted = Number(/^\d+$/m.exec(ran.stdout)?.[0]) * 1000;
    const seen = ran.count(
      "select sum(s.dur) from sched s join thread t using (utid) join process p using (upid) where p.pid = (select coalesce(int_value, str_value::bigint) from metadata where name = 'target.pid')",
    );
    // Before and after it the process starts and ends.
    expect(seen).toBeGreaterThan(accounted * 0.99);
    expect(seen).toBeLessThan(accounted * 1.1 + 200e6);
  });
});

describe("offcpu", () => {
  probing("each sleep is a slice off the CPU, with the stack that went to sleep", () => {
    const sleep = work.own("sleep");
    const ran = work.probe("offcpu", ["bash", "-c", `for i in $(seq 10); do ${sleep} 0.05; done`]);
    expect(ran.status).toBe(0);
    const rows = ran.query(
      `select s.dur as dur, (select string_agg(display_value, ' ') from args a where a.arg_set_id = s.arg_set_id) as stack from slice s join thread t using (utid)
       where s.name = 'off CPU' and t.name = '${path.basename(sleep)}' and s.dur > 45000000`,
    );
    expect(rows.length).toBe(10);
    expect(rows.every(({ stack }) => /nanosleep/.test(String(stack)))).toBe(true);
  });
});

describe("runqlat", () => {
  probing("waits for a CPU, as schedstat counts them", () => {
    const spin =
      "for k in 1 2 3 4 5 6; do (exec timeout 1 sh -c 'while :; do :; done') & done; wait";
    const ran = work.probe("runqlat", ["bash", "-c", spin]);
    expect(ran.status).toBe(0);
    expect(
      ran.count("select count(*) from slice where name = 'waiting for a CPU'"),
    ).toBeGreaterThan(50);
    expect(ran.stdout + ran.stderr).toContain("run queue latency");
  });
});

describe("futex", () => {
  testNeeding(
    "linux",
    "root",
    "tracepoints",
    "bpf",
    "cc",
  )("each wait for a lock is a slice", () => {
    const program = work.compile(
      "locks",
      `#include <pthread.h>
       #include <unistd.h>
       static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
       static volatile int there;
       static void *wait_for_it(void *p) { there = 1; pthread_mutex_lock(&lock); pthread_mutex_unlock(&lock); return 0; }
       int main(void) {
         for (int i = 0; i < 10; i++) {
           pthread_t t;
           pthread_mutex_lock(&lock);
           there = 0;
           pthread_create(&t, 0, wait_for_it, 0);
           while (!there) usleep(1000);
           usleep(60000);
           pthread_mutex_unlock(&lock);
           pthread_join(t, 0);
         }
         return 0;
       }`,
      "-pthread",
    );
    const ran = work.probe("futex", [program]);
    expect(ran.status).toBe(0);
    const long = ran.count(
      "select count(*) from slice s join process p using (upid) where s.name = 'lock wait' and p.name = 'locks' and s.dur > 10000000",
    );
    // Each round: the thread waits for the lock; pthread_join may wait for the rest of the thread's life, which is short.
    expect(long).toBeGreaterThanOrEqual(10);
    expect(long).toBeLessThanOrEqual(20);
  });
});

describe("syscalls", () => {
  testNeeding(
    "linux",
    "root",
    "tracepoints",
    "bpf",
    "strace",
  )("as many of each as strace counts", () => {
    const names = Array.from({ length: 25 }, (_, i) => work.write(`file-${i}`, "content"));
    const strace = spawnSync("strace", ["-c", "-o", work.path("strace"), "cat", ...names], {
      encoding: "utf8",
    });
    expect(strace.status).toBe(0);
    const ran = work.probe("syscalls", ["cat", ...names]);
    expect(ran.status).toBe(0);
    const reads = ran.query(
      "select s.name as name, count(*) as n from slice s join thread t using (utid) where t.name = 'cat' and s.category = 'syscall' group by 1",
    );
    const table = spawnSync("cat", [work.path("strace")], { encoding: "utf8" }).stdout;
    const counted = (name: string): number =>
      Number(
        new RegExp(`^\\s*[\\d.]+\\s+[\\d.]+\\s+\\d+\\s+(\\d+)\\s+(?:\\d+\\s+)?${name}$`, "m").exec(
          table,
        )?.[1],
      );
    for (const name of ["read", "write", "openat", "mmap"])
      expect([name, Number(reads.find((row) => row["name"] === name)?.["n"])]).toEqual([
        name,
        counted(name),
      ]);
  });
});
