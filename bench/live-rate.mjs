/**
 * A live view under load: a synthetic source makes events at a given rate, the page follows them in headless chromium
 * without a GPU, as with `kymo record --live`.
 *
 *     node bench/live-rate.mjs [--rate 500000] [--seconds 60] [--threads 64] [--screenshot FILE]
 *
 * The source runs in a worker of its own, as a capture does: half of its events are switches on 4 CPUs, the rest begin and
 * end slices. Printed: intervals between frames, how far the page is behind the source, memory, what was left out.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { chromiumArgs, chromiumPath } from "../scripts/chromium.mjs";

const kymo = await import("../packages/kymo/dist/index.js");
const intervalGoalMs = 33;

if (isMainThread) await main();
else produce(workerData);

async function main() {
  const { chromium } = await import("playwright-core");
  const option = (name, fallback) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? fallback : process.argv[at + 1];
  };
  const rate = Number(option("rate", 500_000));
  const seconds = Number(option("seconds", 60));
  const threads = Number(option("threads", 64));
  const dir = mkdtempSync(path.join(os.tmpdir(), "kymo-live-rate-"));
  const context = await chromium.launchPersistentContext(dir, {
    executablePath: chromiumPath,
    headless: true,
    viewport: { width: 1600, height: 1000 },
    args: chromiumArgs,
  });
  const live = await kymo.serveLive({ file: "synthetic.pftrace", browser: false });
  try {
    const page = await context.newPage();
    await page.goto(live.url);
    const startedAt = Date.now();
    const source = new Worker(fileURLToPath(import.meta.url), {
      workerData: { feed: live.feed, rate, seconds, threads, startedAt },
      transferList: [live.feed],
    });
    const ended = new Promise((resolve) => source.once("message", resolve));
    await page.waitForFunction(() => window.__kymo?.state.live && window.__kymo.state.following);
    await page.evaluate(() => {
      const stamps = [];
      window.__stamps = stamps;
      const tick = (now) => {
        stamps.push(now);
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    });
    const behind = [];
    let mostMb = 0;
    const watch = setInterval(async () => {
      mostMb = Math.max(mostMb, residentMb());
      const end = await page.evaluate(() => window.__kymo.state.end).catch(() => undefined);
      if (end !== undefined) behind.push(Date.now() - startedAt - end / 1e6);
    }, 250);
    const { made } = await ended;
    clearInterval(watch);
    const { intervals, state } = await page.evaluate(() => ({
      intervals: window.__stamps.slice(1).map((stamp, i) => stamp - window.__stamps[i]),
      state: window.__kymo.state,
    }));
    if (option("screenshot")) await page.screenshot({ path: option("screenshot") });
    const at = quantiles(intervals);
    const late = quantiles(behind);
    console.log(
      `${made.toLocaleString("en")} events in ${seconds} s (${Math.round(made / seconds).toLocaleString("en")}/s), ${threads} threads`,
    );
    console.log(
      `frames: ${intervals.length}, median ${at(0.5).toFixed(1)} ms, p95 ${at(0.95).toFixed(1)}, longest ${at(1).toFixed(1)}; our work ${state.stats.costMedian.toFixed(1)}, p95 ${state.stats.costP95.toFixed(1)}; strips answered in ${state.stats.stripWaitMedian.toFixed(1)} ms median, ${state.stats.stripWaitP95.toFixed(1)} p95`,
    );
    console.log(
      `the page is behind the source by ${late(0.5).toFixed(0)} ms median, ${late(0.95).toFixed(0)} p95, ${late(1).toFixed(0)} at most`,
    );
    console.log(
      `this process (source, engine, server): at most ${mostMb.toFixed(0)} MiB resident, ${((mostMb * 2 ** 20) / state.arrived).toFixed(0)} B an event`,
    );
    console.log(`left out of the view: ${state.leftOut.toLocaleString("en")} events`);
    const met = at(0.95) <= intervalGoalMs + 0.4;
    console.log(
      `${met ? "met   " : "MISSED"}  interval between frames, p95: ${at(0.95).toFixed(1)} ms (goal ≤ ${intervalGoalMs})`,
    );
    process.exitCode = met ? 0 : 1;
  } finally {
    await context.close();
    await live.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

function quantiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

function residentMb() {
  const pages = Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]);
  return (pages * 4096) / 2 ** 20;
}

/** Events as a capture would make them: rounds of some ms, a watermark after each. */
async function produce({ feed, rate, seconds, threads: threadCount, startedAt }) {
  const { parentPort } = await import("node:worker_threads");
  const { NO_ARGS, viewerSink } = kymo;
  const sink = viewerSink(feed);
  sink.clock({ domain: "monotonic", originNs: 0n, errorNs: 0 });
  const words = ["parse", "query", "render", "encode", "lookup", "flush", "merge", "route"];
  const host = sink.track({ kind: "host", name: "synthetic" });
  const cpus = Array.from({ length: 4 }, (_, cpu) =>
    sink.track({ kind: "cpu", name: `CPU ${cpu}`, cpu, parent: host }),
  );
  const tracks = [];
  for (let p = 0; tracks.length < threadCount; p++) {
    const pid = 1000 + 100 * p;
    const process = sink.track({ kind: "process", name: `${words[p % 8]}-service-${p}`, pid, parent: host });
    for (let t = 0; t < 8 && tracks.length < threadCount; t++)
      tracks.push(
        sink.track({ kind: "thread", name: `worker-${t}`, parent: process, pid, tid: pid + t }),
      );
  }
  const names = Array.from({ length: 200 }, (_, i) =>
    sink.string(`${words[i % 8]}_${words[(i >> 3) % 8]}_${i}`),
  );
  const [category, sleeping] = [sink.string("bench"), sink.string("S")];
  const depth = tracks.map(() => 0);
  const running = cpus.map(() => -1);
  let seed = 1;
  const random = (n) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  let made = 0;
  let ts = 0;
  const round = () => {
    const now = (Date.now() - startedAt) * 1e6;
    const count = Math.floor((rate * Math.min(now, seconds * 1e9)) / 1e9) - made;
    const step = (now - ts) / Math.max(1, count);
    for (let i = 0; i < count; i++, made++) {
      ts += step;
      if (made % 2 === 0) {
        const c = random(cpus.length);
        const next = random(tracks.length);
        if (running.includes(next)) {
          sink.instant(tracks[next], ts, names[0], category, NO_ARGS);
          continue;
        }
        const previous = running[c];
        sink.switch(cpus[c], ts, previous < 0 ? -1 : tracks[previous], sleeping, tracks[next], 120);
        running[c] = next;
      } else {
        const t = random(tracks.length);
        if (depth[t] > 0 && (depth[t] > 5 || random(2) === 0)) {
          depth[t]--;
          sink.end(tracks[t], ts, NO_ARGS);
        } else {
          depth[t]++;
          sink.begin(tracks[t], ts, names[random(names.length)], category, NO_ARGS);
        }
      }
      if (i % 16_384 === 16_383) sink.watermark(ts);
    }
    ts = now;
    sink.watermark(ts);
    if (now < seconds * 1e9) setTimeout(round, 5);
    else {
      parentPort.postMessage({ made });
      setTimeout(() => sink.close(), 1000);
    }
  };
  round();
}
