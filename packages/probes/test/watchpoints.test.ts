/** Watchpoints by the name of a variable, in a program that is running. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { afterAll, beforeAll, expect } from "vitest";
import { skipHere, testNeeding } from "../../kymo/src/testing/capability.ts";
import { kymo, Workplace } from "./run.ts";

const place = new Workplace();
const probing = testNeeding("linux", "root", "tracepoints", "bpf", "cc");

const library = `
long still, busy, other[4];
void turn(void) { busy++; other[2]++; }`;
const source = `
#include <unistd.h>
void turn(void);
static short ticks;
int main(void) {
  for (;;) { usleep(2000); ticks++; turn(); __asm__ volatile("" : : "r"(&ticks) : "memory"); }
}`;
let child: ChildProcess | undefined;
beforeAll(() => {
  try {
    place.compile("libturns.so", library, "-shared", "-fPIC");
    const program = place.compile(
      "turner",
      source,
      `-L${place.dir}`,
      "-lturns",
      `-Wl,-rpath,${place.dir}`,
    );
    child = spawn(program, { stdio: "ignore" });
  } catch {
    child = undefined; // without a compiler nothing here runs
  }
});
afterAll(() => {
  child?.kill();
  place.clean();
});

const watch = (what: string) =>
  spawnSync(
    process.execPath,
    [
      ...[kymo, "probe", "-d", "0.3", "-e"],
      `const writes = count(); watchpoint({ pid: ${child?.pid}, ${what} }, () => writes.add(comm()))`,
    ],
    { encoding: "utf8", timeout: 50_000 },
  );

probing("a variable of the program, and one of a library", (context) => {
  const refused = /^.*perf_event_open.*$/m.exec(watch('symbol: "ticks"').stderr);
  if (refused !== null) return skipHere(context, refused[0]);
  for (const name of ["ticks", "turner:ticks", "busy", "libturns:busy", "turns:busy"]) {
    const { stdout, stderr } = watch(`symbol: "${name}"`);
    expect(Number(/^ {2}turner +(\d+)$/m.exec(stdout)?.[1]), stderr).toBeGreaterThan(5);
  }
  // Of the array only its first word is watched.
  for (const name of ["still", "other"])
    expect(watch(`symbol: "${name}"`).stdout).toBe("writes: nothing was added\n");
});

probing("a name that is not there: what is close, in the file that was meant", () => {
  expect(watch('symbol: "tocks"').stderr).toContain(
    `process ${child?.pid} has no variable tocks; did you mean ticks`,
  );
  expect(watch('symbol: "libturns:bussy"').stderr).toContain(
    "libturns has no variable bussy; did you mean busy?",
  );
  expect(watch('symbol: "libturn:busy"').stderr).toContain("has not mapped libturn");
  expect(watch("bytes: 4").stderr).toContain("address is a number, or symbol the name");
});
