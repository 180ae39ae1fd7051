/**
 * From the file to the first event on standard output: `kymo probe FILE` without and with what it has cached, and bpftrace
 * with the same probe. Interleaved, medians; a program that opens a file every millisecond is there before.
 *
 *     node bench/probe-start.mjs [--rounds 15]
 *
 * Needs root and BPF; bpftrace where it is. On a machine with other work the fastest runs say more than the medians. KYMO is
 * another kymo.mjs to measure, NODE another Node.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const argument = (name, fallback) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const rounds = argument("--rounds", 15);
const kymo =
  process.env.KYMO ?? fileURLToPath(new URL("../packages/kymo/bin/kymo.mjs", import.meta.url));
const node = process.env.NODE ?? process.execPath;
const goals = { cold: 250, warm: 150 };

if (process.platform !== "linux" || process.getuid() !== 0) {
  console.log("SKIP probe-start: needs root on Linux");
  process.exit(0);
}

const dir = mkdtempSync(path.join(tmpdir(), "kymo-start-"));
const file = path.join(dir, "opens.ts");
writeFileSync(
  file,
  `import { instant, str, syscall } from "kymo/probe";
syscall("openat", (e) => instant({ name: str(e.filename) }));
`,
);
const bpftraceFile = path.join(dir, "opens.bt");
writeFileSync(
  bpftraceFile,
  'tracepoint:syscalls:sys_enter_openat { printf("event %s %d %s\\n", comm, tid, str(args->filename)); }\n',
);
// Certificates that Node is told to read at each start cost it 30 ms; they say nothing about kymo.
const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
const withCache = (name) => ({ ...env, XDG_CACHE_HOME: path.join(dir, name) });
const event = /^(event |\d\d:\d\d:\d\d\.)/m;
const hasBpftrace = spawnSync("bpftrace", ["--version"]).status === 0;

const ways = [
  { name: "kymo, cold", of: (round) => [node, [kymo, "probe", file], withCache(`cold-${round}`)] },
  { name: "kymo, warm", of: () => [node, [kymo, "probe", file], withCache("warm")] },
  ...(hasBpftrace
    ? [
        {
          name: "bpftrace",
          of: () => [
            "sh",
            ["-c", 'ulimit -l unlimited 2>/dev/null; exec bpftrace -B line "$0"', bpftraceFile],
            env,
          ],
        },
      ]
    : []),
];
const opener = spawn(process.execPath, [
  "-e",
  'const fs = require("node:fs"); setInterval(() => fs.closeSync(fs.openSync("/dev/null")), 1);',
]);
try {
  await firstEvent(...ways[1].of()); // fills the warm cache, and the page cache
  const times = new Map(ways.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const { name, of } of ways) times.get(name).push(await firstEvent(...of(round)));
  const median = (name) => times.get(name).sort((a, b) => a - b)[rounds >> 1];
  const version = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim();
  const bare = Array.from({ length: rounds }, () => elapsed(node, ["-e", "0"])).sort((a, b) => a - b);
  console.log(
    `file → first event, ms; ${rounds} interleaved runs, Node ${version}, ${cpus().length} CPUs, load ${loadavg()[0].toFixed(1)}\n`,
  );
  console.log(`${"".padEnd(14)}median  fastest  slowest${hasBpftrace ? "  of bpftrace's" : ""}`);
  for (const [name, all] of times) {
    const share = hasBpftrace ? `${(median(name) / median("bpftrace")).toFixed(2)} ×`.padStart(16) : "";
    console.log(
      `${name.padEnd(14)}${[median(name), all[0], all.at(-1)].map((ms, i) => ms.toFixed(0).padStart(i === 0 ? 6 : 9)).join("")}${share}`,
    );
  }
  console.log(`${"node -e 0".padEnd(14)}${bare[rounds >> 1].toFixed(0).padStart(6)}${bare[0].toFixed(0).padStart(9)}`);
  const reached = (name, goal) =>
    `${name} ${median(`kymo, ${name}`) < goal ? "<" : "≥"} ${goal} ms${median(`kymo, ${name}`) < goal ? "" : " (missed)"}`;
  console.log(`\ngoals: ${reached("cold", goals.cold)}, ${reached("warm", goals.warm)}`);
} finally {
  opener.kill();
  rmSync(dir, { recursive: true, force: true });
}

/** ms until the command prints its first event; it is ended then. */
function firstEvent(command, args, environment) {
  return new Promise((resolve, reject) => {
    const from = performance.now();
    const child = spawn(command, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    let ms;
    child.stderr.on("data", (text) => {
      said += text;
    });
    child.stdout.on("data", (text) => {
      said += text;
      if (ms !== undefined || !event.test(said)) return;
      ms = performance.now() - from;
      child.kill("SIGINT");
    });
    child.on("exit", () =>
      ms === undefined ? reject(new Error(`${command} printed no event:\n${said}`)) : resolve(ms),
    );
  });
}

function elapsed(command, args) {
  const from = performance.now();
  spawnSync(command, args, { env });
  return performance.now() - from;
}
