/** What aggregations say on the terminal and leave in a trace: keys as what they are, stacks by name, periods. */
import path from "node:path";
import { afterAll, describe, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { Workplace } from "./run.ts";

const place = new Workplace();
afterAll(() => place.clean());
const dd = path.basename(place.own("dd"));
const probing = testNeeding("linux", "root", "tracepoints", "bpf");
const probingC = testNeeding("linux", "root", "tracepoints", "bpf", "cc");

describe("keys are shown as what they are", () => {
  const cases: readonly (readonly [what: string, code: string, line: RegExp])[] = [
    ["system calls", "calls.add(syscallName(e.id))", /^ {2}openat +[\d,]+$/m],
    [
      "errors and bools, several parts",
      'if (comm() === "cat") calls.add(comm(), errnoOf(e.ret), e.ret < 0)',
      /^ {2}cat +ENOENT +true +\d+$/m,
    ],
    [
      "a type that was written",
      "typed.add([syscallName(e.id), u32(7)])",
      /^ {2}openat +7 +[\d,]+$/m,
    ],
    ["addresses", "calls.add(address(0x0100007f))", /^ {2}127\.0\.0\.1 +[\d,]+$/m],
    [
      "choices, of which another is longer",
      'calls.add(e.ret < 0 ? "not" : "done"); calls.add("all of them")',
      /^ {2}all of them +[\d,]+$[\s\S]*^ {2}done +[\d,]+$/m,
    ],
  ];
  for (const [what, add, line] of cases)
    probing(what, () => {
      const code = `const calls = count(); const typed = count<[u32, u32]>();
        anySyscall.exit((e) => { ${add} })`;
      const { stdout, stderr } = place.oneLiner(code, "cat /no/such/file 2> /dev/null");
      expect(stdout, stderr).toMatch(line);
    });

  probing("signals", () => {
    const { stdout, stderr } = place.oneLiner(
      'const sent = count(); tracepoint("signal:signal_generate", (e) => sent.add(signalName(e.sig)))',
      "sleep 9 & kill -USR2 $!; wait",
    );
    expect(stdout, stderr).toMatch(/^ {2}SIGUSR2 +1$/m);
  });

  probing("counters and the table have the same words", () => {
    const file = place.write(
      "calls.ts",
      `import { anySyscall, comm, count, syscallName } from "kymo/probe";
       const calls = count();
       anySyscall((e) => { if (comm() === "${dd}") calls.add(syscallName(e.id)); });`,
    );
    const command = [
      place.path(dd),
      ..."if=/dev/zero of=/dev/null bs=1 count=500 status=none".split(" "),
    ];
    const { count } = place.run("calls", ["probe", file, "--", ...command]);
    expect(
      count("SELECT count FROM aggregation WHERE name = 'calls' AND key = 'write'"),
    ).toBeGreaterThanOrEqual(500);
    expect(
      count(
        "SELECT count(*) FROM counter c JOIN track t ON t.id = c.track_id WHERE t.name = 'calls write'",
      ),
    ).toBeGreaterThan(0);
  });
});

describe("stacks as keys", () => {
  probingC(
    "of a program: names, innermost first, equal ones together, also when it has ended",
    () => {
      const program = place.compile(
        "stacks",
        `__attribute__((noinline)) void leaf(void) { asm volatile(""); }
       __attribute__((noinline)) void middle(void) { leaf(); asm volatile(""); }
       int main(void) { for (int i = 0; i < 300; i++) middle(); }`,
        ...["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"],
      );
      const { stdout, stderr } = place.oneLiner(
        `const stacks = count(); uprobe("${program}", "leaf", () => stacks.add(ustack()))`,
        `${program}; ${program}`,
      );
      expect(stdout, stderr).toMatch(/^stacks\n {2}600\n {6}leaf\n(?: {6}middle\n)? {6}main\n/);
    },
  );

  probing("of the kernel: without what the probe itself adds, in keys, values and events", () => {
    const own = /bpf_prog|bpf_trace_run|__traceiter|__bpf_trace/;
    const switched = `comm() === "sleep"`;
    for (const code of [
      `const stacks = count(); rawTracepoint("sched_switch", () => { if (${switched}) stacks.add(kstack()); })`,
      `interface Left { at: u64; stack: kstack }
       const left = hash<u32, Left>();
       rawTracepoint("sched_switch", (_, prev, next) => {
         if (${switched}) left.set(tid(), { at: now(), stack: kstack() });
         const was = left.get(next.pid);
         if (was !== undefined) instant({ name: "back", args: { stack: was.stack } });
       })`,
      `rawTracepoint("sched_switch", () => { if (${switched}) instant({ name: "left", args: { stack: kstack() } }); })`,
    ]) {
      const { stdout, stderr } = place.oneLiner(code, "sleep 0.01; sleep 0.01");
      expect(stdout, stderr).toMatch(/(stack=\[|\n {6})__schedule\b/);
      expect(stdout).not.toMatch(own);
    }
  });
});

describe("periods", () => {
  // 100 writes of one byte, again and again, for about a second.
  const script = `for i in 1 2 3 4 5; do ./${dd} if=/dev/zero of=/dev/null bs=1 count=100 status=none; sleep 0.2; done`;
  const numbers = (text: string, pattern: RegExp): number[] =>
    [...text.matchAll(pattern)].map(([, number]) => Number(number!.replaceAll(",", "")));

  probing("of a count: each is told, together they are the total", () => {
    const { stdout, stderr } = place.oneLiner(
      `const w = count({ every: "100ms" }); syscall("write", () => { if (comm() === "${dd}") w.add(); })`,
      script,
    );
    const told = numbers(stdout, /^w: ([\d,]+)$/gm);
    const [total] = numbers(stdout, /^w, in all: ([\d,]+)$/gm);
    expect(total, stderr).toBe(500);
    expect(told.length).toBeGreaterThan(3);
    expect(told.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(500);
    expect(Math.max(...told)).toBeLessThan(500);
    expect(told).toContain(0);
  });

  probing("of a maximum: what was largest in it, not before", () => {
    const { stdout, stderr } = place.oneLiner(
      `const m = max({ every: "100ms", unit: "bytes" }); syscall.exit("write", (e) => { if (comm() === "${dd}") m.add(e.ret); })`,
      `./${dd} if=/dev/zero of=/dev/null bs=4096 count=1 status=none; sleep 0.5; ${script}`,
    );
    expect(stdout, stderr).toMatch(/^m \(bytes\): 4,096\n[\s\S]*^m \(bytes\): 1\n/m);
    expect(stdout).toMatch(/^m \(bytes\): none$/m);
    expect(stdout).toMatch(/^m \(bytes\), in all: 4,096$/m);
  });

  probing("of a histogram: a line each, with quantiles", () => {
    const { stdout, stderr } = place.oneLiner(
      `const h = hist({ every: "100ms" }); syscall.exit("write", (e) => { if (comm() === "${dd}") h.add(e.ret); })`,
      script,
    );
    expect(stdout, stderr).toMatch(
      /^h: \d+ in all, p50 ≈ 1, p90 ≈ 1, p99 ≈ 1|^h: \d+ in all, p50 ≈ 2/m,
    );
    expect(stdout).toMatch(/^h, in all\n {2}\[1\] +500 █+$/m);
  });

  probing("are what the timeline draws", () => {
    const file = place.write(
      "periods.ts",
      `import { comm, count, syscall } from "kymo/probe";
       const w = count({ every: "100ms" });
       syscall("write", () => { if (comm() === "${dd}") w.add(); });`,
    );
    const { count } = place.run("periods", ["probe", file, "--", "bash", "-c", script]);
    expect(
      count(
        "SELECT max(value) FROM counter c JOIN track t ON t.id = c.track_id WHERE t.name = 'w'",
      ),
    ).toBeLessThan(500);
    expect(count("SELECT count FROM aggregation WHERE name = 'w'")).toBe(500);
  });
});

probing("a map that is full is told", () => {
  const add = "const c = count({ max: MAX }); begin(() => { c.add(1); c.add(2); c.add(3); })";
  const full = place.oneLiner(add.replace("MAX", "2"), "true");
  expect(full.stdout.match(/^ {2}\d +1$/gm)).toHaveLength(2);
  expect(full.stdout).toContain("  c has no room for more than 2 keys, others were not counted");
  expect(place.oneLiner(add.replace("MAX", "4"), "true").stdout).not.toContain("room");
});

probing("begin, interval and end add to the same aggregation", () => {
  const { stdout, stderr } = place.oneLiner(
    `const c = count(); begin(() => c.add("begin")); interval("50ms", () => c.add("tick"));
     end(() => { c.add("end"); c.add("end"); })`,
    "sleep 0.4",
  );
  expect(stdout, stderr).toMatch(/^ {2}begin +1$/m);
  expect(stdout).toMatch(/^ {2}end +2$/m);
  expect(Number(/^ {2}tick +(\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(2);
});
