/** Events from any language: programs of every language that is here, recorded as a user would. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterAll, describe, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { kymo, type Ran, Workplace } from "./run.ts";

const work = new Workplace();
afterAll(() => work.clean());
const needs = ["linux", "root", "tracepoints", "bpf"] as const;
const recording = testNeeding(...needs);
const inC = testNeeding(...needs, "cc");

/** Nothing but marks, so that a busy machine loses none. */
const alone = ["--no-sched", "--no-samples", "--no-counters"];
const slices = `SELECT s.name, s.depth, s.dur >= 0 AS ended, t.tid = p.pid AS leader
  FROM slice s JOIN thread t USING (utid) JOIN process p ON p.upid = t.upid WHERE s.category = 'mark' ORDER BY s.ts`;
const slice = (name: string, depth = 0) => ({ name, depth, ended: true, leader: true });
const instants = "SELECT name FROM instant WHERE category = 'mark' ORDER BY ts";
const counters = `SELECT t.name, c.value FROM counter c JOIN track t ON t.id = c.track_id
  WHERE t.name LIKE 'queue%' ORDER BY c.ts`;

/** The same story in each language: how the program is made, and whether it can pass numbers. */
interface Language {
  readonly name: string;
  readonly needs: readonly string[];
  command(): readonly string[];
}

const cProgram = `int main(void) {
  kymo_start("outer"); kymo_start("inner"); kymo_instant("tick"); kymo_counter("queue", 42); kymo_stop(); kymo_stop();
  return 0;
}`;
/** The story, as the language's snippet has it said. */
const inNumbers = (mark: (what: number, name: string) => string): string =>
  [
    mark(-1, "outer"),
    mark(-1, "inner"),
    mark(-3, "tick"),
    mark(-1042, "queue"),
    mark(-2, ""),
    mark(-2, ""),
  ].join("\n");
const inWords = (mark: (words: string) => string): string =>
  ["start:outer", "start:inner", "instant:tick", "counter:queue=42", "stop", "stop"]
    .map(mark)
    .join("\n");

const documentation = readFileSync(
  new URL("../../../docs/events-from-any-language.md", import.meta.url),
  "utf8",
);
/** What the documentation says to copy. */
function snippet(language: string): string {
  const part = documentation.slice(documentation.indexOf("## To copy"));
  const found = new RegExp(`\\n\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(part);
  if (found === null) throw new Error(`no snippet for ${language}`);
  return found[1]!;
}

const languages: readonly Language[] = [
  { name: "C", needs: ["cc"], command: () => [work.compile("marks-c", snippet("c") + cProgram)] },
  {
    name: "C with musl",
    needs: ["musl-gcc"],
    command: () => {
      const source = work.write("marks-musl.c", snippet("c") + cProgram);
      built("musl-gcc", "-static", "-o", work.path("marks-musl"), source);
      return [work.path("marks-musl")];
    },
  },
  {
    name: "Python",
    needs: ["python3"],
    command: () => {
      const story = `with marked("outer"):\n  with marked("inner"): instant("tick"); counter("queue", 42)`;
      return ["python3", work.write("marks.py", `${snippet("python")}\n${story}\n`)];
    },
  },
  {
    name: "Rust",
    needs: ["rustc"],
    command: () => {
      const story = `let _outer = Marked::new("outer"); let _inner = Marked::new("inner"); kymo(-3, "tick"); kymo(-1042, "queue");`;
      const source = work.write("marks.rs", `${snippet("rust")}\nfn main() { ${story} }`);
      built("rustc", "-O", "-o", work.path("marks-rust"), source);
      return [work.path("marks-rust")];
    },
  },
  {
    name: "Go",
    needs: ["go"],
    command: () => {
      const story = inNumbers((what, name) => `kymo(${what}, "${name}")`);
      const source = work.write(
        "marks.go",
        `package main\nimport "runtime"\n${snippet("go")}\nfunc main() { runtime.LockOSThread()\n${story}\n}`,
      );
      built("go", "build", "-o", work.path("marks-go"), source);
      return [work.path("marks-go")];
    },
  },
  {
    name: "Ruby",
    needs: ["ruby"],
    command: () => {
      const story = `marked("outer") { marked("inner") { kymo(-3, "tick"); kymo(-1042, "queue") } }`;
      return ["ruby", work.write("marks.rb", `${snippet("ruby")}\n${story}`)];
    },
  },
  {
    name: "Perl",
    needs: ["perl"],
    command: () => {
      const story = inNumbers((what, name) => `kymo(${what}, "${name}");`);
      return ["perl", work.write("marks.pl", `use Config;\n${snippet("perl")}\n${story}`)];
    },
  },
  {
    name: "Node",
    needs: [],
    command: () => {
      const story = `start("outer"); start("inner"); instant("tick"); counter("queue", 42); stop(); stop();`;
      return [process.execPath, work.write("marks.cjs", `${snippet("js")}\n${story}`)];
    },
  },
  ...["bash", "dash", "zsh"].map((shell) => ({
    name: shell,
    needs: [shell],
    command: () => [
      shell,
      work.write("marks.sh", `set -e\n${snippet("sh")}\n${inWords((words) => `kymo ${words}`)}`),
    ],
  })),
  {
    name: "Python, in words",
    needs: ["python3"],
    command: () => [
      "python3",
      "-c",
      `import os\n${inWords((words) => `os.access("kymo:${words}", os.R_OK)`)}`,
    ],
  },
];

function built(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    cwd: work.dir,
    env: { ...process.env, GOFLAGS: "-mod=mod", GO111MODULE: "off", GOCACHE: work.path("go") },
  });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
}

function lost(ran: Ran): number {
  return ran.count("SELECT coalesce(sum(count), 0) FROM problem WHERE kind = 'lost-events'");
}

describe("slices, instants and counters are on the thread that said so, nested as they were", () => {
  for (const { name, needs: own, command } of languages)
    testNeeding(...needs, ...own)(name, () => {
      const ran = work.record(command());
      expect(ran.query(slices)).toEqual([slice("outer"), slice("inner", 1)]);
      expect(ran.query(instants)).toEqual([{ name: "tick" }]);
      expect(ran.query(counters)).toEqual([{ name: "queue", value: 42 }]);
      expect(ran.query("FROM problem WHERE kind != 'lost-events'")).toEqual([]);
    });
});

testNeeding(...needs, "java")("Java asks whether a file can be read, from any thread", () => {
  const source = work.write(
    "Marks.java",
    `public class Marks { ${snippet("java")} public static void main(String[] a) {
       ${inWords((words) => `kymo("${words}");`)} } }`,
  );
  const ran = work.record(["java", source], alone);
  expect(ran.query(slices)).toMatchObject([
    { name: "outer", depth: 0 },
    { name: "inner", depth: 1 },
  ]);
  expect(ran.query(counters)).toEqual([{ name: "queue", value: 42 }]);
});

describe("flows", () => {
  const check = (ran: Ran) =>
    expect(
      ran.query(
        `SELECT a.name AS "from", b.name AS "to" FROM flow f JOIN slice a ON a.id = f.slice_out JOIN slice b ON b.id = f.slice_in
         WHERE a.category = 'mark' ORDER BY f.ts_out`,
      ),
    ).toEqual([
      { from: "asked", to: "queued" },
      { from: "queued", to: "answered" },
    ]);
  testNeeding(...needs, "python3")("go from slice to slice, by id", () => {
    const source = `import os
for name, mode in ("asked", -933), ("queued", -934), ("answered", -935):
    os.access(name, -932, dir_fd=-1); os.access("", mode, dir_fd=-77); os.access("", -932, dir_fd=-2)`;
    check(work.record(["python3", work.write("flow.py", source)], alone));
  });
  testNeeding(...needs, "bash")("in words", () => {
    const said = ["asked flow-start", "queued flow-step", "answered flow-end"].map((one) => {
      const [name, step] = one.split(" ");
      return `[ -r kymo:start:${name} ]; [ -r kymo:${step}:78 ]; [ -r kymo:stop ]`;
    });
    check(work.record(["bash", "-c", said.join("\n")], alone));
  });
});

describe("names", () => {
  const literals = `#define _GNU_SOURCE
    #include <fcntl.h>
    #include <unistd.h>
    int main(void) {
      faccessat(-3, "a literal nobody has touched", -932, 0);
      access("kymo:instant:another one", R_OK);
      return 0;
    }`;
  inC(
    "of literals whose page is not in memory are read later, also when the program has ended",
    () => {
      const program = work.compile("literals", literals);
      const ran = work.record([program], alone);
      expect(ran.query(instants)).toEqual([
        { name: "a literal nobody has touched" },
        { name: "another one" },
      ]);
      // The kernel can't read them: without the address in the record, there is no name.
      const code = `import { instant, str, syscall } from "kymo/probe";
      syscall("faccessat2", (e) => { if (e.mode === -932) instant({ name: "marked", args: { path: str(e.filename, 64, { late: false }) } }); });`;
      const bare = work.run("bare", ["probe", "-e", code, "--", program]);
      expect(
        bare.query("SELECT arg(arg_set_id, 'path') AS path FROM instant WHERE name = 'marked'"),
      ).toEqual([{ path: "" }]);
    },
  );

  testNeeding(...needs, "python3")("are cut after 63 bytes; any UTF-8 is a name", () => {
    const name = "ü".repeat(40);
    const source = `import os\nfor name in "${name}", "日本", "": os.access(name, -932, dir_fd=-3)`;
    const ran = work.record(["python3", work.write("names.py", source)], alone);
    // 63 bytes are 31 of them and a half.
    expect(ran.query(instants)).toEqual([
      { name: `${"ü".repeat(31)}\uFFFD` },
      { name: "日本" },
      { name: "" },
    ]);
  });

  testNeeding(...needs, "bash")("that begin like a mark and are none are a problem", () => {
    const ran = work.record(
      ["bash", "-c", "[ -r kymo:strat:x ]; [ -r kymo:counter:n=many ]"],
      alone,
    );
    expect(ran.query("SELECT kind, count, message FROM problem")).toEqual([
      {
        kind: "malformed",
        count: 2,
        message: expect.stringContaining('"kymo:strat:x"'),
      },
    ]);
  });
});

inC("100,000 events of ten threads: none is lost, each is on its thread", () => {
  const program = work.compile(
    "threads",
    `#define _GNU_SOURCE
     #include <fcntl.h>
     #include <pthread.h>
     #include <stdio.h>
     #include <unistd.h>
     static void *run(void *number) {
       char name[32];
       snprintf(name, sizeof name, "thread %d", gettid());
       for (int i = 0; i < 5000; i++) { faccessat(-1, name, -932, 0); faccessat(-2, "", -932, 0); }
       return number;
     }
     int main(void) {
       pthread_t threads[10];
       for (int i = 0; i < 10; i++) pthread_create(&threads[i], 0, run, 0);
       for (int i = 0; i < 10; i++) pthread_join(threads[i], 0);
       return 0;
     }`,
    "-pthread",
  );
  const ran = work.record([program], [...alone, "--no-syscalls"]);
  expect(lost(ran)).toBe(0);
  const rows = ran.query(
    `SELECT t.tid, s.name, count(*) AS count, max(s.depth) AS depth, min(s.dur) >= 0 AS ended
     FROM slice s JOIN thread t USING (utid) WHERE s.category = 'mark' GROUP BY ALL`,
  );
  expect(rows).toHaveLength(10);
  for (const { tid, ...row } of rows)
    expect(row).toEqual({ name: `thread ${tid}`, count: 5000, depth: 0, ended: true });
});

describe("who is recorded", () => {
  const ask = (name: string) => `[ -r kymo:instant:${name} ]`;

  testNeeding(...needs, "bash")(
    "the target's children, also those that lost their parent; nobody else",
    async () => {
      const [go, done, orphaned] = ["go", "done", "orphaned"].map((name) => work.path(name));
      const wait = (file = "") => `while [ ! -e ${file} ]; do sleep 0.01; done`;
      const other = spawn("bash", ["-c", `${wait(go)}; ${ask("other")}; touch ${done}`]);
      // Nobody before it has marked anything, and its parent is gone when it does.
      const orphan = `while [ $(ps -o ppid= -p $$) = $0 ]; do sleep 0.01; done; ${ask("orphan")}; touch ${orphaned}`;
      const child = `bash -c '${orphan}' $$ &`;
      const target = `bash -c "$1"; touch ${go}; ${wait(done)}; ${wait(orphaned)}; ${ask("target")}`;
      const ran = work.record(["bash", "-c", target, "target", child], alone);
      if (other.exitCode === null) await once(other, "exit");
      expect(ran.query(instants)).toEqual([{ name: "orphan" }, { name: "target" }]);
    },
  );

  testNeeding(...needs, "bash")("with --pid, its children that were there before", () => {
    const loop = `while :; do ${ask("grandchild")}; sleep 0.05; done`;
    const target = spawn("bash", ["-c", `bash -c '${loop}' & echo; wait`]);
    const stranger = spawn("bash", ["-c", loop.replace("grandchild", "stranger")]);
    try {
      const ran = work.record([], ["--pid", String(target.pid), "-d", "1", ...alone]);
      const names = ran.query("SELECT DISTINCT name FROM instant WHERE category = 'mark'");
      expect(names).toEqual([{ name: "grandchild" }]);
    } finally {
      stranger.kill();
      spawnSync("pkill", ["-P", String(target.pid)]);
      target.kill();
    }
  });

  recording("everybody with -a; nobody with --no-marks, and the calls are calls then", () => {
    const command = ["bash", "-c", ask("seen")];
    const all = work.record(command, ["-a", ...alone]);
    expect(all.query(instants)).toEqual([{ name: "seen" }]);
    const none = work.record(command, ["--no-marks", ...alone]);
    expect(none.query(instants)).toEqual([]);
  });

  testNeeding(...needs, "python3")("calls that mark are not drawn as system calls", () => {
    const command = ["python3", "-c", "import os; os.access('x', -932, dir_fd=-3)"];
    const failed = `SELECT count(*) FROM slice s WHERE s.category = 'syscall' AND s.name LIKE 'faccessat%'
      AND arg(s.arg_set_id, 'errno') = 'EINVAL'`;
    expect(work.record(command, alone).count(failed)).toBe(0);
    expect(work.record(command, [...alone, "--no-marks"]).count(failed)).toBe(1);
  });
});

testNeeding(
  "linux",
  "root",
  "setpriv",
)("without the rights the recording goes on and says what it lacks", () => {
  const { stderr } = spawnSync(
    "setpriv",
    [
      "--reuid=65534",
      "--clear-groups",
      process.execPath,
      kymo,
      "record",
      "-o",
      "/dev/null",
      "--",
      "true",
    ],
    { encoding: "utf8", cwd: "/" },
  );
  expect(stderr).toMatch(/not recorded: .*what programs mark.*: root is needed/);
});
