/** Texts in pages that nobody has touched: what a program that has just started passes on. */
import { afterAll, beforeAll, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { Workplace } from "./run.ts";

const place = new Workplace();
afterAll(() => place.clean());
const probing = testNeeding("linux", "root", "tracepoints", "bpf", "cc");

/** Far from everything else in the file: reading that brings no page of these texts with it. */
const source = `
#include <fcntl.h>
#include <unistd.h>
#define FAR 262144
static const struct { char before[FAR], text[FAR]; } words[3] = {
  { .text = "said by a function" }, { .text = "/no/such/file" }, { .text = "/no/such/program" } };
__attribute__((noinline)) void say(const char *what) { asm volatile("" : : "r"(what) : "memory"); }
int main(void) {
  say(words[0].text);
  open(words[1].text, O_RDONLY);
  execl(words[2].text, "nothing", (char *)0);
}`;
let program = "";
beforeAll(() => {
  program = place.compile("fresh", source);
});

const cases: readonly (readonly [what: string, code: string, expected: RegExp])[] = [
  [
    "a uprobe prints",
    `uprobe(PATH, "say", (what: cstr) => print\`it is \${what}\`)`,
    /^it is said by a function$/m,
  ],
  [
    "a span is named",
    "uprobe(PATH, 'say', (what: cstr) => span({ name: str(what) }))",
    /\bsaid by a function\b/,
  ],
  [
    "a uprobe compares, and adds as a key",
    "const c = count(); uprobe(PATH, 'say', (what: cstr) => { if (str(what).startsWith('said')) c.add(str(what)); })",
    /^ {2}said by a function +1$/m,
  ],
  [
    "a uprobe has bytes",
    `uprobe(PATH, "say", (what: u64) => print\`\${buf(what, 4)}\`)`,
    /^73616964$/m,
  ],
  [
    "a system call prints",
    `syscall("openat", (e) => { if (comm() === "fresh") print\`opens \${str(e.filename)}\`; })`,
    /^opens \/no\/such\/file$/m,
  ],
  [
    "a system call's span",
    "syscall.span('openat', (e) => { if (comm() === 'fresh') span({ name: 'open', args: { path: str(e.filename) } }); })",
    /\bopen\b.* path=\/no\/such\/file\b/,
  ],
  [
    "a tracepoint",
    "tracepoint('syscalls:sys_enter_execve', (e) => { if (comm() === 'fresh') instant({ name: str(e.filename) }); })",
    /\/no\/such\/program\b/,
  ],
];
for (const [what, code, expected] of cases)
  probing(what, () => {
    const { status, stdout, stderr } = place.oneLiner(
      code.replaceAll("PATH", JSON.stringify(program)).replaceAll("'", '"'),
      program,
    );
    expect(stdout, stderr).toMatch(expected);
    expect(stderr).not.toMatch(/could not be read/);
    expect(status).not.toBeNull();
  });
