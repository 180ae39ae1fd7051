/**
 * npm run demo:packets: records demo/packets.mjs with the probe `packets`: orders and stock in two network namespaces with a
 * veth pair between them, whose queue is stalled for 200 ms. Finds the stall by SQL, and serves the timeline.
 *
 *     orders ×3 ── orders0 ═══ veth ═══ stock0 ── stock
 *              tx queue: tbf             each in its own namespace
 *
 * Namespaces are made for the recording alone, and go with it, after Ctrl-C too. Where they can't be made it is the loopback
 * device, and the stall a stopped receiver; where nothing can be recorded, the recording that ships is opened.
 * `--no-serve` ends after the findings.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { needBuild, needNode, needPackages, root } from "./setup.mjs";

needNode();
needPackages();
needBuild();

const kymo = path.join(root, "packages/kymo/bin/kymo.mjs");
const shipped = "demo/packets.pftrace.gz";
const spaces = ["orders", "stock"].map((name) => `kymo-${name}-${process.pid}`);
process.chdir(root);
mkdirSync(".kymo-demo", { recursive: true });
let trace = ".kymo-demo/packets.pftrace";
rmSync(trace, { force: true });

let asked;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => (asked ??= signal));
process.on("exit", removeNetwork);

removeLeftovers();
const missing = makeNetwork();
if (missing !== undefined)
  console.log(
    `\nno network of its own (${missing}): packets go over the loopback device, and the stall is a stopped receiver`,
  );
const inside = missing === undefined ? spaces : [];
const command = ["record", "--probe", "packages/probes/src/packets.ts", "-o", trace];
console.log(`\n$ kymo ${[...command, "-- node demo/packets.mjs run", ...inside].join(" ")}`);
const recorded =
  (await run([...command, "--", process.execPath, "demo/packets.mjs", "run", ...inside])) === 0 &&
  existsSync(trace) &&
  ask("SELECT count(*) FROM slice WHERE category = 'packet'", "csv") !== "0";
removeNetwork();
if (asked !== undefined) process.exit(130);
if (!recorded) {
  console.log(
    "\nthis machine can't record packets (it needs root, and BPF: kymo doctor says why not); opening the recording that ships with kymo instead",
  );
  trace = shipped;
}

// On the loopback device nothing waits: only the answers tell.
const inQueues = !recorded || missing === undefined;
for (const [question, sql] of questions().filter((_, i) => inQueues || i === 0 || i === 3)) {
  console.log(`\n${question}`);
  console.log(
    sql
      .trim()
      .split("\n")
      .map((line) => `  ${line.replace(/^ {6}/, "")}`)
      .join("\n"),
  );
  process.stdout.write(ask(sql, "table"));
}
if (process.argv.includes("--no-serve")) process.exit(0);
console.log(`\n$ kymo open ${trace}`);
process.exit(await run(["open", trace]));

function questions() {
  const since = "(ts - (SELECT start_ts FROM trace_bounds)) / 1e6";
  return [
    [
      "How long do packets wait, and where?",
      `
      SELECT device, way, queue, count(*) AS packets, sum(length) AS bytes,
        round(quantile_cont(dur, 0.5) / 1e3, 1) AS median_us, round(max(dur) / 1e6, 1) AS longest_ms
      FROM packet WHERE 7000 IN (sport, dport) GROUP BY ALL ORDER BY longest_ms DESC`,
    ],
    [
      "The stall: when did packets wait longer than 10 ms?",
      `
      SELECT device, way, count(*) AS packets, round(min(${since}), 1) AS from_ms,
        round(max(${since} + dur / 1e6), 1) AS to_ms, round(max(dur) / 1e6, 1) AS longest_ms
      FROM packet WHERE dur > 10e6 GROUP BY ALL`,
    ],
    [
      "Which sends were caught in it?",
      `
      SELECT process.name AS process, slice.name AS send, packet.source || ':' || sport AS "from", packet.length,
        seq, round(packet.dur / 1e6, 1) AS waited_ms
      FROM slice JOIN process USING (upid)
      JOIN packet ON packet.ts BETWEEN slice.ts AND slice.ts + slice.dur AND process.name = 'orders-' || sport
      WHERE slice.category = 'mark' AND way = 'tx' ORDER BY packet.dur DESC LIMIT 5`,
    ],
    [
      "Which answers came late?",
      `
      WITH data AS (SELECT * FROM packet WHERE flags LIKE '%PSH%'),
      sent AS (SELECT ts, sport AS port FROM data WHERE dport = 7000 AND way = 'tx'),
      answered AS (SELECT ts + dur AS ts, dport AS port FROM data WHERE sport = 7000 AND way = 'rx')
      SELECT sent.port, round((sent.ts - (SELECT start_ts FROM trace_bounds)) / 1e6, 1) AS sent_ms,
        round((answered.ts - sent.ts) / 1e6, 1) AS answered_after_ms
      FROM sent ASOF JOIN answered ON sent.port = answered.port AND sent.ts <= answered.ts
      ORDER BY answered_after_ms DESC LIMIT 3`,
    ],
  ];
}

/** Two namespaces and a pair of devices. @returns what is missing for that */
function makeNetwork() {
  if (process.platform !== "linux") return "no Linux";
  if (process.getuid() !== 0) return "not root";
  const [orders, stock] = spaces;
  const commands = [
    `ip netns add ${orders}`,
    `ip netns add ${stock}`,
    `ip link add orders0 netns ${orders} type veth peer name stock0 netns ${stock}`,
    `ip -n ${orders} address add 10.99.0.1/24 dev orders0`,
    `ip -n ${stock} address add 10.99.0.2/24 dev stock0`,
    `ip -n ${orders} link set orders0 up`,
    `ip -n ${stock} link set stock0 up`,
    `tc -n ${orders} qdisc replace dev orders0 root tbf rate 1gbit burst 20kb limit 1mb`,
  ];
  for (const command of commands) {
    const [file, ...args] = command.split(" ");
    const { error, status, stderr } = spawnSync(file, args, { encoding: "utf8" });
    if (status === 0) continue;
    removeNetwork();
    return error === undefined
      ? `${command}: ${stderr.trim().split("\n")[0]}`
      : `no ${file}; Debian has it in iproute2`;
  }
  return undefined;
}

function removeNetwork() {
  for (const space of spaces)
    if (existsSync(`/run/netns/${space}`)) spawnSync("ip", ["netns", "del", space]);
}

/** Of demos that were killed. */
function removeLeftovers() {
  const { stdout } = spawnSync("ip", ["netns", "list"], { encoding: "utf8" });
  for (const [space, pid] of (stdout ?? "").matchAll(/^kymo-(?:orders|stock)-(\d+)/gm))
    if (!existsSync(`/proc/${pid}`)) spawnSync("ip", ["netns", "del", space]);
}

/** Runs kymo to its end; a signal from the terminal ends it, and not this. @returns its status */
function run(args) {
  const child = spawn(process.execPath, [kymo, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
}

/** The answer to a query of the recording: the whole table, or for "csv" the one value. */
function ask(sql, format) {
  const text = execFileSync(process.execPath, [kymo, "query", trace, sql, "--format", format], {
    encoding: "utf8",
  });
  return format === "csv" ? text.split("\n")[1] : text;
}
