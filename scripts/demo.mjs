/**
 * npm run demo: installs, builds, records the shop (demo/shop.mjs), says what it found by SQL, and serves the timeline.
 * Where this machine can't record (no Linux, no rights) it opens the recording that ships with the repository instead.
 * `--no-serve` ends after the findings.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { needBuild, needNode, needPackages, root } from "./setup.mjs";

needNode();
needPackages();
needBuild();

const kymo = path.join(root, "packages/kymo/bin/kymo.mjs");
const shipped = "demo/shop.pftrace.gz";
process.chdir(root);
mkdirSync(".kymo-demo", { recursive: true });
let trace = ".kymo-demo/shop.pftrace";

console.log("\n$ kymo record -o .kymo-demo/shop.pftrace -- node demo/shop.mjs");
const recorded =
  process.platform === "linux" &&
  spawnSync(process.execPath, [kymo, "record", "-o", trace, "--", "node", "demo/shop.mjs"], {
    stdio: ["ignore", "inherit", "inherit"],
  }).status === 0 &&
  existsSync(trace);
if (!recorded) {
  console.log(
    "\nthis machine can't record (kymo doctor says why); opening the recording that ships with kymo instead",
  );
  trace = shipped;
}

const everything = ask("SELECT count(*) FROM slice WHERE category = 'syscall'", "csv") !== "0";
if (!everything)
  console.log(
    "\nthis recording has no system calls (see the notes above): the stall shows as a sleep, without its cause; sudo npm run demo shows all",
  );

const busiest = [
  "Who was busiest?",
  `SELECT process.name, process.pid, round(sum(sched.dur) / 1e6) AS cpu_ms
   FROM sched JOIN thread USING (utid) JOIN process USING (upid)
   WHERE process.name LIKE 'shop%' GROUP BY ALL ORDER BY cpu_ms DESC LIMIT 5`,
];
const questions = everything
  ? [
      busiest,
      [
        "Which request-handling thread waited longest, where, and who woke it?",
        `SELECT thread.name AS waiting, slice.name AS in_syscall, round(thread_state.dur / 1e6, 1) AS waited_ms, waker.name AS woken_by
         FROM thread_state JOIN thread USING (utid)
         JOIN slice ON slice.utid = thread_state.utid AND slice.category = 'syscall'
           AND slice.ts <= thread_state.ts AND slice.ts + slice.dur >= thread_state.ts + thread_state.dur
         LEFT JOIN thread_state run ON run.utid = thread_state.utid AND run.ts = thread_state.ts + thread_state.dur
         LEFT JOIN thread waker ON waker.utid = run.waker_utid
         WHERE thread.name = 'shop-checkout' AND thread.is_main_thread AND thread_state.state = 'S' AND slice.name = 'read'
         ORDER BY thread_state.dur DESC LIMIT 3`,
      ],
      [
        "Which system calls cost the most time?",
        `SELECT name, count(*) AS calls, round(sum(dur) / 1e6, 1) AS total_ms, round(max(dur) / 1e6, 1) AS longest_ms
         FROM slice WHERE category = 'syscall' AND dur >= 0 AND name IN ('fsync', 'write', 'pwrite64', 'openat', 'read')
         GROUP BY name ORDER BY total_ms DESC LIMIT 5`,
      ],
    ]
  : [
      busiest,
      [
        "Which request-handling thread slept longest?",
        `SELECT thread.name AS waiting, thread.tid, round(thread_state.dur / 1e6, 1) AS slept_ms
         FROM thread_state JOIN thread USING (utid)
         WHERE thread.name = 'shop-checkout' AND thread.is_main_thread AND thread_state.state = 'S'
         ORDER BY thread_state.dur DESC LIMIT 3`,
      ],
    ];
for (const [question, sql] of questions) {
  console.log(`\n${question}`);
  process.stdout.write(ask(sql, "table"));
}
if (process.argv.includes("--no-serve")) process.exit(0);
console.log(`\n$ kymo open ${trace}`);
const server = spawn(process.execPath, [kymo, "open", trace], { stdio: "inherit" });
process.on("SIGINT", () => {}); // the server gets it too and ends by itself
server.on("exit", (code) => process.exit(code ?? 0));

/** The answer to a query of the recording: the whole table, or for "csv" the one value. */
function ask(sql, format) {
  const text = execFileSync(
    process.execPath,
    [kymo, "query", trace, sql.replace(/\s+/g, " "), "--format", format],
    { encoding: "utf8" },
  );
  return format === "csv" ? text.split("\n")[1] : text;
}
