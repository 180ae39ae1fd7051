/**
 * A probe on every system call while a program makes nothing but system calls: events a second, losses, what draining costs,
 * and what a call costs the program: with no probe, with kymo's, with the same probe in C (clang -O2, libbpf), and with
 * bpftrace's printf, in CPU time of the program. Interleaved; medians.
 *
 *     node bench/probe-storm.mjs [--seconds 10] [--rounds 5]
 *
 * Needs root, BPF and cc; clang with libbpf's headers, and bpftrace, where they are. The storm is kept on the last CPU, the
 * probes' readers on the others.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const argument = (name, fallback) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const seconds = argument("--seconds", 10);
const rounds = argument("--rounds", 5);
const kymo =
  process.env.KYMO ?? fileURLToPath(new URL("../packages/kymo/bin/kymo.mjs", import.meta.url));

const missing = [
  process.platform === "linux" && process.getuid() === 0 ? undefined : "root on Linux",
  installed("cc") ? undefined : "a C compiler (Debian: gcc)",
  installed("taskset") ? undefined : "taskset (Debian: util-linux)",
  cpus().length > 1 ? undefined : "two CPUs",
].filter(Boolean);
if (missing.length > 0) {
  console.log(`SKIP probe-storm: needs ${missing.join(", ")}`);
  process.exit(0);
}

const storm = `
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static double now(clockid_t clock) { struct timespec t; clock_gettime(clock, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(int argc, char **argv) {
  double seconds = atof(argv[1]), from = now(CLOCK_MONOTONIC), to;
  long calls = 0;
  do {
    for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
    calls += 1000;
    to = now(CLOCK_MONOTONIC);
  } while (to - from < seconds);
  printf("%ld %.9f %.9f\\n", calls, to - from, now(CLOCK_THREAD_CPUTIME_ID));
}
`;
const kymoProbe = `
import { begin, instant, print, rawTracepoint } from "kymo/probe";
begin(() => print\`ready\`);
rawTracepoint("sys_enter", (_, id) => instant({ name: "call", args: { id } }));
`;
const bpfObject = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 24); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } losses SEC(".maps");
struct record { __u32 site, tid; __u64 time, id; __u32 pid, pad; };
SEC("raw_tracepoint/sys_enter") int probe(struct bpf_raw_tracepoint_args *ctx) {
  __u64 task = bpf_get_current_pid_tgid();
  struct record *r = bpf_ringbuf_reserve(&ring, sizeof *r, 0);
  if (!r) {
    __u32 key = 0;
    __u64 *lost = bpf_map_lookup_elem(&losses, &key);
    if (lost) __sync_fetch_and_add(lost, 1);
    return 0;
  }
  r->site = 0;
  r->tid = task;
  r->time = bpf_ktime_get_ns();
  r->pid = task >> 32;
  r->id = ctx->args[1];
  bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
  return 0;
}
char _license[] SEC("license") = "GPL";
`;
const loader = `
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static volatile int over;
static long events;
static void stop(int signal) { over = 1; }
static int one(void *context, void *data, size_t size) { events++; return 0; }
int main(int argc, char **argv) {
  struct bpf_object *object = bpf_object__open(argv[1]);
  if (!object || bpf_object__load(object)) return 2;
  struct bpf_link *link = bpf_program__attach(bpf_object__find_program_by_name(object, "probe"));
  struct ring_buffer *ring = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "ring"), one, 0, 0);
  if (!link || !ring) return 3;
  signal(SIGINT, stop);
  puts("ready");
  fflush(stdout);
  while (!over) {
    ring_buffer__consume(ring);
    usleep(2000);
  }
  bpf_link__destroy(link);
  ring_buffer__consume(ring);
  unsigned key = 0;
  unsigned long lost = 0;
  bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, "losses"), &key, &lost);
  printf("%ld events, %lu lost\\n", events, lost);
  return 0;
}
`;

const dir = mkdtempSync(path.join(tmpdir(), "kymo-storm-"));
const file = (name) => path.join(dir, name);
const stormCpu = cpus().length - 1;
const otherCpus = stormCpu === 1 ? "0" : `0-${stormCpu - 1}`;
try {
  await bench();
} finally {
  rmSync(dir, { recursive: true, force: true });
}

async function bench() {
  writeFileSync(file("storm.c"), storm);
  execFileSync("cc", ["-O2", "-o", file("storm"), file("storm.c")]);
  writeFileSync(file("storm.probe.ts"), kymoProbe);
  const ways = [
    { name: "no probe", start: async () => ({ stop: async () => ({}) }) },
    { name: "kymo", start: () => startKymo(file("storm.pftrace")) },
  ];
  if (buildC()) ways.push({ name: "C, libbpf", start: () => startReader([file("loader"), file("probe.o")]) });
  else console.log("no clang with libbpf (Debian: clang, libbpf-dev): without the probe in C");
  if (installed("bpftrace")) ways.push({ name: "bpftrace", start: startBpftrace });
  else console.log("no bpftrace (Debian: bpftrace): without it");

  const results = new Map(ways.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const { name, start } of ways) results.get(name).push(await measure(start, round === 0 ? seconds : 1));
  const bare = median(results.get("no probe").map(({ ns }) => ns));
  console.log(`${cpus()[0].model}, ${cpus().length} CPUs; storm of getppid, ${rounds} rounds, the first of ${seconds} s`);
  for (const [name, runs] of results) {
    const ns = median(runs.map((run) => run.ns));
    const [long] = runs;
    const drain = long.readerShare === undefined ? "" : `; its reader used ${(100 * long.readerShare).toFixed(1)} % of a core, ${long.readerNs.toFixed(0)} ns an event`;
    const lost = long.lost === undefined ? "" : `, ${long.lost.toLocaleString("en-US")} lost`;
    console.log(
      `  ${name.padEnd(10)} ${ns.toFixed(0).padStart(5)} ns a call${name === "no probe" ? "" : ` (+${(ns - bare).toFixed(0)})`}; ${(long.rate / 1e6).toFixed(2)} M/s for ${seconds} s${lost}${drain}`,
    );
  }
  if (results.has("C, libbpf")) {
    const cost = (name) => median(results.get(name).map((run) => run.ns)) - bare;
    console.log(`added to a call, kymo / C: ${(cost("kymo") / cost("C, libbpf")).toFixed(2)}`);
  }
}

async function measure(start, secs) {
  const probe = await start();
  const before = probe.pid === undefined ? 0 : cpuSeconds(probe.pid);
  const [calls, took, cpu] = execFileSync("taskset", ["-c", String(stormCpu), file("storm"), String(secs)], {
    encoding: "utf8",
  })
    .trim()
    .split(" ")
    .map(Number);
  const used = probe.pid === undefined ? undefined : cpuSeconds(probe.pid) - before;
  const { lost } = await probe.stop();
  return {
    ns: (1e9 * cpu) / calls,
    rate: calls / took,
    lost,
    readerShare: used === undefined ? undefined : used / took,
    readerNs: used === undefined ? undefined : (1e9 * used) / calls,
  };
}

/** A process that says "ready" when it is attached, and the count of what it lost at the end. */
async function startReader(command) {
  const child = spawn("taskset", ["-c", otherCpus, ...command], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  await new Promise((resolve, reject) => {
    const read = (chunk) => {
      text += chunk;
      if (text.includes("ready")) resolve();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", () => reject(new Error(`${command.join(" ")}: ${text}`)));
  });
  return {
    pid: child.pid,
    stop: async () => {
      const exited = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGINT");
      await exited;
      const [, lost] = /([\d,]+) lost/.exec(text) ?? [];
      return { lost: lost === undefined ? undefined : Number(lost.replaceAll(",", "")) };
    },
  };
}

function startKymo(out) {
  const command = [process.execPath, kymo, "probe", file("storm.probe.ts")];
  return startReader([...command, "--no-cost", "--buffer-mb", "16", "-o", out]);
}

/** It prints to a file: a terminal would cost more. */
async function startBpftrace() {
  const out = file("bpftrace.txt");
  const program = 'tracepoint:raw_syscalls:sys_enter { printf("%d %d\\n", tid, args->id); }';
  const child = spawn(
    "taskset",
    ["-c", otherCpus, "sh", "-c", 'ulimit -l unlimited; exec bpftrace -o "$0" -e "$1"', out, program],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let text = "";
  child.stderr.on("data", (chunk) => {
    text += chunk;
  });
  // It writes by whole buffers: something must happen to see it run.
  while (!existsSync(out) || readFileSync(out).length < 1000) {
    if (child.exitCode !== null) throw new Error("bpftrace ended by itself");
    spawnSync(file("storm"), ["0.01"]);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    pid: child.pid,
    stop: async () => {
      const exited = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGINT");
      await exited;
      const losses = text.matchAll(/Lost (\d+) events/g);
      rmSync(out);
      return { lost: [...losses].reduce((sum, [, count]) => sum + Number(count), 0) };
    },
  };
}

function buildC() {
  if (!installed("clang")) return false;
  writeFileSync(file("probe.c"), bpfObject);
  writeFileSync(file("loader.c"), loader);
  const include = `-I/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
  const object = spawnSync("clang", ["-O2", "-g", "-target", "bpf", include, "-c", file("probe.c"), "-o", file("probe.o")], { encoding: "utf8" });
  if (object.status !== 0) return false;
  return spawnSync("cc", ["-O2", "-o", file("loader"), file("loader.c"), "-lbpf"]).status === 0;
}

/** CPU time of all threads of a process so far. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

function installed(command) {
  return (process.env.PATH ?? "").split(path.delimiter).some((folder) => existsSync(path.join(folder, command)));
}
