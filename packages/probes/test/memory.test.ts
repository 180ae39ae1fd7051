/** Shipped probes about memory and functions of programs. */
import { afterAll, describe, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { Workplace } from "./run.ts";

const work = new Workplace();
afterAll(() => work.clean());
const probing = testNeeding("linux", "root", "tracepoints", "bpf", "cc");

describe("faults", () => {
  probing("page faults, as getrusage counts them", () => {
    const program = work.compile(
      "touch",
      `#include <stdio.h>
       #include <stdlib.h>
       #include <sys/mman.h>
       #include <sys/resource.h>
       int main(void) {
         struct rusage before, after;
         getrusage(RUSAGE_SELF, &before);
         char *p = mmap(0, 4096 * 4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
         madvise(p, 4096 * 4000, MADV_NOHUGEPAGE);
         for (int i = 0; i < 4000; i++) p[4096 * i] = 1;
         getrusage(RUSAGE_SELF, &after);
         printf("%ld\\n", after.ru_minflt - before.ru_minflt);
         return 0;
       }`,
    );
    const ran = work.probe("faults", [program]);
    expect(ran.status).toBe(0);
    const counted = Number(/^\d+$/m.exec(ran.stdout)?.[0]);
    expect(counted).toBeGreaterThanOrEqual(4000);
    const seen = ran.count(
      "select count(*) from instant i join thread t using (utid) where i.name = 'page fault (write)' and t.name = 'touch'",
    );
    expect(seen).toBeGreaterThanOrEqual(counted);
    expect(seen).toBeLessThan(counted * 1.2);
  });
});

describe("malloc", () => {
  probing("what is held follows what was asked and freed", () => {
    const program = work.compile(
      "hold",
      `#include <stdlib.h>
       int main(void) {
         void *held[1000];
         for (int i = 0; i < 1000; i++) held[i] = malloc(1000);
         for (int i = 0; i < 1000; i++) free(held[i]);
         return 0;
       }`,
      "-fno-builtin",
    );
    const ran = work.probe("malloc", [program]);
    expect(ran.status).toBe(0);
    const most = ran.count(
      "select max(value) from counter c join counter_track t on c.track_id = t.id join process p using (upid) where t.name = 'malloc held' and p.name = 'hold'",
    );
    expect(most).toBeGreaterThanOrEqual(1_000_000);
    expect(most).toBeLessThan(1_200_000);
  });
});

describe("function", () => {
  probing("a slice for each call of a function, as long as it took", () => {
    const program = work.compile(
      "worker",
      `#include <unistd.h>
       __attribute__((noinline)) int work(int i) { usleep(i % 2 ? 2000 : 100); return i; }
       int main(void) { int sum = 0; for (int i = 0; i < 100; i++) sum += work(i); return sum == 4950 ? 0 : 1; }`,
    );
    const ran = work.probe("function", [program], { args: [program, "work"] });
    expect(ran.status).toBe(0);
    expect(ran.count("select count(*) from slice where name = 'work'")).toBe(100);
    expect(
      ran.count("select count(*) from slice where name = 'work' and dur > 1900000"),
    ).toBeGreaterThanOrEqual(50);
    expect(ran.stdout + ran.stderr).toContain("work");
  });
});
