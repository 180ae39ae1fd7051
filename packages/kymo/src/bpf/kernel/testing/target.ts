/** A program to be probed: built from C when a test needs it, with line numbers, static probes and a C++ name. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/**
 * One note of <sys/sdt.h>'s kind: that header may not be installed. Two places of one probe, arguments elsewhere each,
 * and a semaphore.
 */
const source = `#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

volatile unsigned short semaphore __attribute__((section(".probes"), used));
volatile long watched;

#define PROBE(spec, ...) \\
  __asm__ volatile("990: nop\\n" \\
    ".pushsection .note.stapsdt,\\"?\\",\\"note\\"\\n.balign 4\\n.4byte 992f-991f, 994f-993f, 3\\n" \\
    "991: .asciz \\"stapsdt\\"\\n992: .balign 4\\n" \\
    "993: .8byte 990b\\n.8byte _.stapsdt.base\\n.8byte semaphore\\n" \\
    ".asciz \\"demo\\"\\n.asciz \\"step\\"\\n.asciz \\"" spec "\\"\\n994: .balign 4\\n.popsection\\n" \\
    ".ifndef _.stapsdt.base\\n.pushsection .stapsdt.base,\\"aG\\",\\"progbits\\",.stapsdt.base,comdat\\n" \\
    ".weak _.stapsdt.base\\n.hidden _.stapsdt.base\\n_.stapsdt.base: .space 1\\n.size _.stapsdt.base, 1\\n.popsection\\n.endif\\n" \\
    :: __VA_ARGS__)

int cpp_work(int id) __asm__("_ZN3app4workEi");
__attribute__((noipa)) int cpp_work(int id) { return id + 1; }

__attribute__((noipa)) int work(int id, const char *what) {
  if (what[0] == 'x')
    id += 100;
  return 2 * id;
}

__attribute__((noipa)) int worse(int id) { return id; }

int main(int argc, char **argv) {
  int id = argc > 1 ? atoi(argv[1]) : 1;
  if (argc > 2) {
    printf("%p\\n", (void *)&watched);
    fflush(stdout);
    char line[16];
    while (read(0, line, 1) > 0) {
      watched = id++;
      printf("done\\n");
      fflush(stdout);
    }
    return 0;
  }
  long wide = id;
  PROBE("-4@%0 4@$7", "r"(id));
  PROBE("-8@%0 4@$8", "m"(wide));
  printf("%d %d %d %d\\n", work(id, "x"), cpp_work(id), worse(id), semaphore);
  return 0;
}
`;

/** The line (from 1) that contains this text. */
export function lineOf(text: string): number {
  return source.split("\n").findIndex((line) => line.includes(text)) + 1;
}

export interface Target {
  readonly path: string;
  readonly directory: string;
  /** Runs it to its end. @returns what it printed */
  run(id: number): string;
  remove(): void;
}

/** @param flags  for the compiler */
export function buildTarget(...flags: readonly string[]): Target {
  const directory = mkdtempSync(path.join(tmpdir(), "kymo-target-"));
  const file = path.join(directory, "target.c");
  const program = path.join(directory, "target");
  writeFileSync(file, source);
  execFileSync("cc", ["-O1", "-g", ...flags, "-o", program, file]);
  return {
    path: program,
    directory,
    run: (id) => execFileSync(program, [String(id)], { encoding: "utf8" }),
    remove: () => rmSync(directory, { recursive: true }),
  };
}
