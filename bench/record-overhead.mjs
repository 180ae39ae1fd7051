/**
 * What recording costs a program that does nothing but switch: 4 threads in 2 pairs, each pair passing a byte through pipes.
 * The same events by nobody, by `perf record`, and by `kymo record`, interleaved; medians, and the ratio of the added times.
 *
 *     node bench/record-overhead.mjs [--pairs 7] [--seconds 10] [--all-events]
 *
 * Needs root, perf and a C compiler. `--all-events` adds what kymo records by default: system calls of the target,
 * CPU samples with stacks, memory counters (perf records the first two as well).
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const argument = (name, fallback) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const pairs = argument("--pairs", 7);
const seconds = argument("--seconds", 10);
const allEvents = process.argv.includes("--all-events");
const kymo =
  process.env.KYMO ?? fileURLToPath(new URL("../packages/kymo/bin/kymo.mjs", import.meta.url));

const missing = [
  process.platform === "linux" && process.getuid() === 0 ? undefined : "root on Linux",
  installed("perf") ? undefined : "perf (Debian: linux-perf)",
  installed("cc") ? undefined : "a C compiler (Debian: gcc)",
].filter(Boolean);
if (missing.length > 0) {
  console.log(`SKIP record-overhead: needs ${missing.join(", ")}`);
  process.exit(0);
}

const storm = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
struct pair { int there[2], back[2]; };
static long rounds;
static void pass(int in, int out, int first) {
  char byte = 0;
  for (long i = 0; i < rounds; i++) {
    if (first && write(out, &byte, 1) != 1) exit(2);
    if (read(in, &byte, 1) != 1) exit(2);
    if (!first && write(out, &byte, 1) != 1) exit(2);
  }
}
static void *ping(void *p) { pass(((struct pair *)p)->back[0], ((struct pair *)p)->there[1], 1); return 0; }
static void *pong(void *p) { pass(((struct pair *)p)->there[0], ((struct pair *)p)->back[1], 0); return 0; }
int main(int argc, char **argv) {
  struct pair pairs[2];
  pthread_t threads[4];
  struct timespec from, to;
  struct rusage usage;
  rounds = atol(argv[1]);
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < 2; i++) {
    if (pipe(pairs[i].there) || pipe(pairs[i].back)) return 2;
    pthread_create(&threads[2 * i], 0, ping, &pairs[i]);
    pthread_create(&threads[2 * i + 1], 0, pong, &pairs[i]);
  }
  for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
  clock_gettime(CLOCK_MONOTONIC, &to);
  getrusage(RUSAGE_SELF, &usage);
  printf("%.6f %ld\\n", to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9, usage.ru_nvcsw + usage.ru_nivcsw);
  return 0;
}
`;

const dir = mkdtempSync(path.join(tmpdir(), "kymo-bench-"));
try {
  run();
} finally {
  rmSync(dir, { recursive: true });
}

function run() {
  const program = path.join(dir, "storm");
  writeFileSync(`${program}.c`, storm);
  execFileSync("cc", ["-O2", "-pthread", "-o", program, `${program}.c`]);
  const probe = measure([program, "100000"]);
  const rounds = String(Math.round((100_000 * seconds) / probe.seconds));
  const workload = [program, rounds];

  const perfData = path.join(dir, "perf.data");
  const trace = path.join(dir, "trace.pftrace");
  const perfEvents = ["-e", "sched:sched_switch", "-e", "sched:sched_waking"];
  if (allEvents)
    perfEvents.push("-e", "raw_syscalls:*", "-e", "cpu-clock", "-g", "-F", "999");
  const perf = ["perf", "record", "-q", "-B", "-N", "-o", perfData, "-a", "-k", "mono", ...perfEvents, "--"];
  const options = allEvents
    ? []
    : "--no-syscalls --no-samples --no-counters --no-block --no-marks".split(" ");
  const own = [process.execPath, kymo, "record", "-o", trace, ...options, "--"];

  const results = { none: [], perf: [], kymo: [] };
  let lost = 0;
  let kymoBytesPerEvent = 0;
  let perfBytesPerEvent = 0;
  const takes = {
    none: () => measure(workload),
    perf: () => measure([...perf, ...workload]),
    kymo: () => measure([...own, ...workload]),
  };
  for (let i = 0; i < pairs; i++) {
    // Who comes after whom changes, and no run pays for writing back the file of the one before.
    for (const name of i % 2 === 0 ? ["none", "perf", "kymo"] : ["kymo", "perf", "none"]) {
      const result = takes[name]();
      results[name].push(result);
      if (name === "kymo") {
        const [, seen, dropped] = /([\d,]+) events, ([\d,]+) lost/.exec(result.stderr) ?? [];
        lost += Number(dropped?.replaceAll(",", ""));
        kymoBytesPerEvent = statSync(trace).size / Number(seen?.replaceAll(",", ""));
      }
      if (name === "perf" && i === pairs - 1)
        perfBytesPerEvent = statSync(perfData).size / perfSamples(perfData);
      for (const file of [perfData, `${perfData}.old`, trace]) rmSync(file, { force: true });
      spawnSync("sync");
    }
    console.log(
      `run ${i + 1}: none ${last(results.none)}, perf ${last(results.perf)}, kymo ${last(results.kymo)}`,
    );
  }
  const none = median(results.none.map((r) => r.seconds));
  const added = (list) => median(list.map((r) => r.seconds)) - none;
  const noneCpu = median(results.none.map((r) => r.cpuSeconds));
  const addedCpu = (list) => median(list.map((r) => r.cpuSeconds)) - noneCpu;
  console.log(`
${cpus()[0].model}, ${cpus().length} CPUs, Node ${process.versions.node}; ${pairs} interleaved runs each
switches/s without recording  ${Math.round(median(results.none.map((r) => r.switches / r.seconds))).toLocaleString("en-US")}
median time                   none ${none.toFixed(3)} s · perf +${added(results.perf).toFixed(3)} s · kymo +${added(results.kymo).toFixed(3)} s
added time, kymo / perf       ${(added(results.kymo) / added(results.perf)).toFixed(2)}   (goal ≤ 1.2)
median CPU time               none ${noneCpu.toFixed(2)} s · perf +${addedCpu(results.perf).toFixed(2)} s · kymo +${addedCpu(results.kymo).toFixed(2)} s (workload and recorder)
added CPU time, kymo / perf   ${(addedCpu(results.kymo) / addedCpu(results.perf)).toFixed(2)}
lost by kymo                  ${lost} in ${pairs} runs
bytes/event                   kymo ${kymoBytesPerEvent.toFixed(1)} · perf.data ${perfBytesPerEvent.toFixed(1)}`);
}

/** Time of the workload by its own clock, and CPU time of everything that ran: workload and recorder. */
function measure(command) {
  const script = '"$@" || exit 1; times';
  const result = spawnSync("sh", ["-c", script, "sh", ...command], { encoding: "utf8", cwd: dir });
  if (result.status !== 0) throw new Error(`${command.join(" ")}: ${result.stderr}`);
  const [first, , children] = result.stdout.trim().split("\n");
  const [time, switches] = first.split(" ").map(Number);
  let cpuSeconds = 0;
  for (const [, minutes, seconds] of children.matchAll(/(\d+)m([\d.]+)s/g))
    cpuSeconds += 60 * Number(minutes) + Number(seconds);
  return { seconds: time, cpuSeconds, switches, stderr: result.stderr };
}

function perfSamples(file) {
  const text = spawnSync("perf", ["report", "--stats", "-i", file], { encoding: "utf8" }).stdout;
  return Number(/SAMPLE events:\s*(\d+)/.exec(text)?.[1] ?? Number.NaN);
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
function last(list) {
  const { seconds, cpuSeconds } = list[list.length - 1];
  return `${seconds.toFixed(3)} s (CPU ${cpuSeconds.toFixed(2)} s)`;
}
function installed(command) {
  return (process.env.PATH ?? "").split(":").some((dir) => existsSync(path.join(dir, command)));
}
