/**
 * What an event costs a program that marks it by a system call that fails (docs/events-from-any-language.md), in ns of its own
 * CPU time: in C and in Python; beside the plain call that fails while nobody records, a write of 16 bytes to /dev/null, and
 * system calls that mark nothing, which are looked at, too. Interleaved; medians.
 *
 *     node bench/marks.mjs [--rounds 7]
 *
 * "marks": kymo record with nothing else. "default": beside scheduling, samples and all other system calls. "outside": a program
 * that isn't recorded while another one is.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const at = process.argv.indexOf("--rounds");
const rounds = at < 0 ? 7 : Number(process.argv[at + 1]);
const kymo =
  process.env.KYMO ?? fileURLToPath(new URL("../packages/kymo/bin/kymo.mjs", import.meta.url));
const goals = { C: 300, Python: 500 };

const missing = [
  process.platform === "linux" && process.getuid() === 0 ? undefined : "root on Linux",
  installed("cc") ? undefined : "a C compiler (Debian: gcc)",
  installed("taskset") ? undefined : "taskset (Debian: util-linux)",
  cpus().length > 1 ? undefined : "two CPUs",
].filter(Boolean);
if (missing.length > 0) {
  console.log(`SKIP marks: needs ${missing.join(", ")}`);
  process.exit(0);
}

const inC = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
enum { rounds = 50000 };
static double now(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
#define TIME(what, calls, code) do { double from = now(); for (int i = 0; i < rounds; i++) { code; } \\
  fprintf(out, "%s %.1f\\n", what, (now() - from) / rounds / calls); } while (0)
int main(int argc, char **argv) {
  FILE *out = fopen(argv[1], "w");
  int null = open("/dev/null", O_WRONLY);
  TIME("warm", 1, syscall(SYS_getppid));
  TIME("mark", 2, faccessat(-1, "request", -932, 0); faccessat(-2, "", -932, 0));
  TIME("write", 1, write(null, "request 16 bytes", 16));
  TIME("getppid", 1, syscall(SYS_getppid));
  TIME("access", 1, access("/nowhere", R_OK));
}
`;
const inPython = `
import os, sys, time
rounds = 50000
out = open(sys.argv[1], "w")
null = os.open("/dev/null", os.O_WRONLY)
def measure(what, calls, code):
    loop = compile("for i in range(rounds): " + code, what, "exec")
    start = time.thread_time_ns()
    exec(loop, {"rounds": rounds, "access": os.access, "write": os.write, "getppid": os.getppid, "null": null})
    print(what, (time.thread_time_ns() - start) / rounds / calls, file=out)
measure("warm", 1, "getppid()")
measure("mark", 2, "access('request', -932, dir_fd=-1); access('', -932, dir_fd=-2)")
measure("write", 1, "write(null, b'request 16 bytes')")
measure("getppid", 1, "getppid()")
measure("access", 1, "access('/nowhere', 4)")
`;

const dir = mkdtempSync(path.join(tmpdir(), "kymo-bench-"));
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
const file = (name, text) => {
  writeFileSync(path.join(dir, name), text);
  return path.join(dir, name);
};
const program = path.join(dir, "marks");
execFileSync("cc", ["-O2", "-w", "-o", program, file("marks.c", inC)]);
const results = path.join(dir, "results");
const last = String(cpus().length - 1);
const languages = { C: ["taskset", "-c", last, program, results] };
const python = file("marks.py", inPython);
if (installed("python3"))
  languages.Python = ["taskset", "-c", last, realPython(), python, results];

const trace = path.join(dir, "trace.pftrace");
const only = ["--no-sched", "--no-syscalls", "--no-samples", "--no-counters"];
const record = (flags, command) =>
  execFileSync(process.execPath, [kymo, "record", ...flags, "-o", trace, "--", ...command], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
const ways = {
  alone: (command) => execFileSync(command[0], command.slice(1)),
  marks: (command) => checked(() => record(only, command), 100_000),
  default: (command) => checked(() => record([], command), 100_000),
  outside: (command) => outside(command),
};

/** A recording of something else goes on meanwhile. */
async function outside(command) {
  const other = spawn("sleep", ["60"]);
  const args = [kymo, "record", ...only, "-o", trace, "--pid", String(other.pid)];
  const recorder = spawn(process.execPath, args, { stdio: "ignore" });
  const ended = new Promise((resolve) => recorder.once("exit", resolve));
  // It is there when its probe is: a failing call costs more then. Two seconds are enough by far.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  execFileSync(command[0], command.slice(1));
  recorder.kill("SIGINT");
  await ended;
  other.kill();
}

let lostInAll = 0;
/** Every event is in the trace, or the figures say nothing. */
function checked(run, expected) {
  run();
  const query = `SELECT (SELECT count(*) FROM slice WHERE category = 'mark') * 2 AS events, (SELECT coalesce(sum(count), 0) FROM problem WHERE kind = 'lost-events') AS lost`;
  const [row] = JSON.parse(
    execFileSync(process.execPath, [kymo, "query", trace, query, "--format", "json"], {
      encoding: "utf8",
    }),
  );
  lostInAll += expected - Number(row.events);
}

const figures = new Map();
for (let round = 0; round < rounds; round++)
  for (const [language, command] of Object.entries(languages))
    for (const [way, run] of Object.entries(ways)) {
      await run(command);
      for (const line of spawnSync("cat", [results], { encoding: "utf8" }).stdout.trim().split("\n")) {
        const [what, ns] = line.split(" ");
        const key = `${language} ${what} ${way}`;
        figures.set(key, [...(figures.get(key) ?? []), Number(ns)]);
      }
    }
const median = (key) => figures.get(key).toSorted((a, b) => a - b)[Math.floor(rounds / 2)];

console.log(`ns of CPU time a call, medians of ${rounds} rounds on ${cpus()[0].model}`);
const labelWidth = 42;
console.log(`${"".padEnd(labelWidth)}${Object.keys(ways).map((way) => way.padStart(9)).join("")}`);
const words = {
  mark: "an event (a call that fails)",
  write: "write 16 bytes to /dev/null",
  getppid: "another system call: getppid",
  access: "access of a file that isn't there",
};
for (const language of Object.keys(languages))
  for (const [what, label] of Object.entries(words)) {
    const row = Object.keys(ways).map((way) => median(`${language} ${what} ${way}`).toFixed(0).padStart(9));
    console.log(`${language}: ${label}`.padEnd(labelWidth) + row.join(""));
  }
for (const language of Object.keys(languages)) {
  const added = median(`${language} mark marks`) - median(`${language} mark alone`);
  console.log(
    `${language}: an event adds ${added.toFixed(0)} ns to the call that fails (goal: ${goals[language]})`,
  );
}
console.log(`events lost in all recordings: ${lostInAll}`);

function installed(name) {
  return spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
}

/** Past wrappers that choose a version. */
function realPython() {
  return execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();
}
