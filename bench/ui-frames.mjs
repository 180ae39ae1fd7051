/**
 * The page over a trace of a million events, served by `kymo open`, in headless chromium without a GPU:
 * how long until the whole trace is drawn, and how evenly frames come while keys and wheel are injected.
 *
 *     node bench/ui-frames.mjs [FILE] [--runs 5]     without a file, one is made: 64 threads of nested slices
 *
 * Each run starts `kymo open` anew, with the browser already up; medians of the runs are judged, all are printed.
 * Goals: first paint ≤ 2 s · interval between frames p95 ≤ 16.7 ms · no shown strip older than 100 ms.
 */
import { spawn } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { chromiumArgs, chromiumPath } from "../scripts/chromium.mjs";

const kymo = fileURLToPath(new URL("../packages/kymo/bin/kymo.mjs", import.meta.url));
if (chromiumPath === undefined) {
  console.log("SKIP ui-frames: chromium is not installed (apt-get install chromium, or set CHROMIUM)");
  process.exit(process.env.CI === "true" ? 1 : 0);
}
const goals = { paintMs: 2000, intervalMs: 16.7, ageMs: 100 };
const dir = mkdtempSync(path.join(os.tmpdir(), "kymo-frames-"));
let server;
let context;
let failed = false;
try {
  const runsAt = process.argv.indexOf("--runs");
  const runs = runsAt < 0 ? 5 : Number(process.argv[runsAt + 1]);
  const given = process.argv[2]?.startsWith("--") ? undefined : process.argv[2];
  const file = given ?? (await makeTrace(path.join(dir, "million.pftrace"), 1_000_000));
  context = await chromium.launchPersistentContext(path.join(dir, "profile"), {
    executablePath: chromiumPath,
    headless: true,
    viewport: { width: 1600, height: 1000 },
    args: chromiumArgs,
  });
  const results = [];
  for (let i = 0; i < runs; i++) results.push(await measure(file, i === 0));
  const median = (key) => results.map((r) => r[key]).sort((x, y) => x - y)[results.length >> 1];
  console.log(`\nmedians of ${runs} runs`);
  verdict("first paint of the whole trace", median("paintMs"), goals.paintMs, "ms from the start of kymo open");
  verdict("interval between frames, p95", median("intervalP95"), goals.intervalMs, "ms");
  verdict("oldest strip shown", median("oldestStripMs"), goals.ageMs, "ms");
} finally {
  await context?.close();
  server?.kill("SIGINT");
  rmSync(dir, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);

/** One `kymo open`, one page: until the whole trace is drawn, then ten seconds of input. */
async function measure(file, first) {
  const page = await context.newPage();
  const { link, startedAt } = await startServer(file);
  const linkMs = performance.timeOrigin + performance.now() - startedAt;
  await page.goto(link, { waitUntil: "commit" });
  const paintedAt = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const look = () => {
          const state = window.__kymo?.state;
          if (state?.done && state.stripCoversTrace && state.stripAge === 0)
            resolve(performance.timeOrigin + performance.now());
          else requestAnimationFrame(look);
        };
        look();
      }),
  );
  const paintMs = paintedAt - startedAt;
  const { events, rowsDrawn, lines } = await page.evaluate(() => {
    const state = window.__kymo.state;
    return { events: state.events, rowsDrawn: state.rowsDrawn, lines: state.lines.length };
  });
  if (first)
    console.log(
      `${path.basename(file)}: ${(statSync(file).size / 1e6).toFixed(1)} MB, ${events.toLocaleString("en")} events, ${lines} lines, ${rowsDrawn} rows in view`,
    );
  await page.waitForTimeout(1000);
  await page.evaluate(() => {
    window.__kymo.resetStats();
    const stamps = [];
    window.__stamps = stamps;
    const tick = (now) => {
      stamps.push(now);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  await inject(page);
  const { intervals, stats } = await page.evaluate(() => {
    const stamps = window.__stamps;
    return {
      intervals: stamps.slice(1).map((stamp, i) => stamp - stamps[i]),
      stats: window.__kymo.state.stats,
    };
  });
  intervals.sort((a, b) => a - b);
  const at = (q) => intervals[Math.min(intervals.length - 1, Math.floor(intervals.length * q))];
  console.log(
    `link after ${linkMs.toFixed(0)} ms, painted after ${paintMs.toFixed(0)} · ${intervals.length} frames: median ${at(0.5).toFixed(1)} ms, p95 ${at(0.95).toFixed(1)}, longest ${at(1).toFixed(1)}; our work ${stats.costMedian.toFixed(1)}, p95 ${stats.costP95.toFixed(1)} · strips answered in ${stats.stripWaitMedian.toFixed(1)} ms median, ${stats.stripWaitP95.toFixed(1)} p95; oldest shown ${stats.oldestStripAge.toFixed(0)}`,
  );
  const ended = new Promise((resolve) => server.once("exit", resolve));
  await page.close();
  server.kill("SIGINT");
  await ended;
  return { paintMs, intervalP95: at(0.95), oldestStripMs: stats.oldestStripAge };
}

function verdict(what, value, goal, unit) {
  // Chromium rounds frame stamps to 0.1 ms: one refresh of 16.67 ms reads as 16.6, 16.7 or 16.8.
  const met = value <= goal + 0.15;
  if (!met) failed = true;
  console.log(`${met ? "met   " : "MISSED"}  ${what}: ${value.toFixed(1)} ${unit} (goal ≤ ${goal})`);
}

/** Ten seconds of a user in a hurry: held keys, zooming wheel, scrolling. */
async function inject(page) {
  await page.mouse.move(900, 500);
  const hold = async (key, ms) => {
    await page.keyboard.down(key);
    await page.waitForTimeout(ms);
    await page.keyboard.up(key);
  };
  for (let round = 0; round < 3; round++) {
    await hold("w", 600);
    await hold("d", 500);
    for (let i = 0; i < 20; i++) {
      await page.mouse.wheel(0, 60);
      await page.waitForTimeout(12);
    }
    await hold("a", 500);
    await page.keyboard.down("Control");
    for (let i = 0; i < 15; i++) {
      await page.mouse.wheel(0, i < 8 ? -80 : 80);
      await page.waitForTimeout(12);
    }
    await page.keyboard.up("Control");
    await hold("s", 700);
    for (let i = 0; i < 20; i++) {
      await page.mouse.wheel(0, -60);
      await page.waitForTimeout(12);
    }
  }
}

function startServer(file) {
  const startedAt = performance.timeOrigin + performance.now();
  server = spawn(process.execPath, [kymo, "open", "--no-browser", file], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Promise((resolve, reject) => {
    let text = "";
    const read = (chunk) => {
      text += chunk;
      const link = /http:\/\/\S+/.exec(text)?.[0];
      if (link) resolve({ link, startedAt });
    };
    server.stdout.setEncoding("utf8").on("data", read);
    server.stderr.setEncoding("utf8").on("data", read);
    server.on("exit", (code) => reject(new Error(`kymo open ended with ${code}: ${text}`)));
  });
}

/** 8 processes of 8 threads, slices nested up to 8 deep, 2 % counter values. The same bytes every time. */
async function makeTrace(file, count) {
  const { formats, NO_ARGS } = await import("../packages/trace/dist/index.js");
  const out = createWriteStream(file);
  const format = formats.find(({ name }) => name === "perfetto");
  const sink = await format.writer((bytes) => {
    out.write(Buffer.from(bytes));
  });
  let seed = 0x9e3779b9;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  sink.clock({ domain: "monotonic", originNs: 1_000_000_000n, errorNs: 0 });
  const names = Array.from({ length: 2000 }, (_, i) => sink.string(`Module${i % 40}::work_${i}`));
  const category = sink.string("bench");
  const threads = [];
  const counters = [];
  for (let p = 0; p < 8; p++) {
    const pid = 100 + 100 * p;
    const parent = sink.track({ kind: "process", name: `process-${p}`, pid });
    for (let t = 0; t < 8; t++) {
      const track = sink.track({ kind: "thread", name: `thread-${t}`, parent, pid, tid: pid + t });
      threads.push({ track, now: 0, ends: [] });
    }
    counters.push(sink.track({ kind: "counter", name: "load", parent }));
  }
  for (let made = 0; made < count; made++) {
    const thread = threads[made % threads.length];
    thread.now += random() * 400;
    while (thread.ends.length > 0 && thread.ends.at(-1) <= thread.now) thread.ends.pop();
    if (thread.ends.length >= 8) thread.now = thread.ends.pop();
    const room = (thread.ends.at(-1) ?? Infinity) - thread.now;
    const dur = Math.max(20, Math.min(room, 12_000 * random() ** 3));
    const name = names[Math.floor(random() ** 3 * names.length)];
    sink.slice(thread.track, thread.now, dur, name, category, NO_ARGS);
    thread.ends.push(thread.now + dur);
    if (made % 50 === 0) sink.counter(counters[made % 8], thread.now, Math.floor(random() * 1000));
  }
  sink.watermark(Math.max(...threads.map(({ now, ends }) => Math.max(now, ...ends))));
  sink.close();
  await new Promise((resolve) => out.end(resolve));
  return file;
}
