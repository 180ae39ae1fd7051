/**
 * The pictures of the README and docs, of a recording of demo/shop.mjs: node scripts/screenshots.mjs [TRACE] [OUT-DIR].
 *
 *     timeline-{light,dark}   as it opens           stall-{light,dark}   the planted stall, what woke it selected
 *     slice, tooltip, area, search, flame, narrow, losses, empty, help, dense
 *     live                    the demo while it is recorded; needs what kymo record needs
 *     packets, packet         of a recording of demo/packets.mjs instead: the stall of the queue, a packet in it selected
 *
 * Needs Debian's chromium.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { chromiumArgs, chromiumPath } from "./chromium.mjs";
import { root } from "./setup.mjs";

const kymo = path.join(root, "packages/kymo/bin/kymo.mjs");
const [
  trace = path.join(root, ".kymo-demo/shop.pftrace"),
  out = path.join(root, "docs/images"),
  only = "",
] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const running = [];
/** Addresses, once they are served. */
let lossy;
let alone;
const browser = await chromium.launch({
  executablePath: chromiumPath,
  args: ["--headless", ...chromiumArgs],
});
try {
  const url = await serve(trace);
  for (const colorScheme of ["light", "dark"]) await takeAll(url, colorScheme);
} finally {
  await browser.close();
  for (const server of running) server.kill("SIGINT");
}

async function takeAll(url, colorScheme) {
  const view = { width: 1440, height: 900 };
  const shoot = async (name, size, act, hash = "", from = url) => {
    if (only !== "" && !name.includes(only)) return;
    const page = await browser.newPage({ viewport: size, colorScheme });
    const suffix = `${hash === "" ? "" : `#${hash}`}`;
    await page.goto(from + suffix);
    await shown(page);
    // Whose machine it was is no part of the picture.
    await page.evaluate(() =>
      document.styleSheets[0].insertRule(".topbar .facts > :nth-child(n + 4) { display: none }"),
    );
    await act(page);
    await settled(page);
    await page.screenshot({ path: path.join(out, `${name}-${colorScheme}.png`) });
    await page.close();
  };
  await shoot("timeline", view, () => {});
  await shoot("narrow", { width: 1280, height: 800 }, () => {});
  const packet = findPacket();
  if (packet !== undefined) {
    await takePackets(packet, view, shoot);
    return;
  }
  const stall = findStall();
  if (stall === undefined)
    console.log("no read() of a shop-checkout longer than 100 ms: no pictures of the stall");
  else {
    const air = stall.dur * 0.3;
    const hash = `from=${Math.round(stall.ts - air)}&to=${Math.round(stall.ts + stall.dur + air)}`;
    const middle = stall.ts + stall.dur / 2;
    await shoot("slice", view, (page) => click(page, stall.tid, "slice", middle), hash);
    await shoot(
      "stall",
      view,
      async (page) => {
        // Room for both ends of the arrow: who waited, and who let go.
        for (const title of ["CPUs", "shop-resize", "shop-frontend"])
          await page.locator(".tree .line", { hasText: title }).first().click();
        await settled(page);
        await click(page, stall.tid, "thread_state", middle);
      },
      hash,
    );
    await shoot(
      "tooltip",
      view,
      async (page) => {
        const at = await place(page, stall.tid, "thread_state", middle);
        await page.mouse.move(at.x - 3, at.y);
        await page.mouse.move(at.x, at.y);
        await page.waitForTimeout(400);
      },
      hash,
    );
  }
  const drag = async (page) => {
    const { canvasLeft, canvasTop, lines } = await page.evaluate(() => window.__kymo.state);
    const first = lines.find(({ title }) => title.startsWith("shop")) ?? lines[0];
    await page.mouse.move(canvasLeft + 420, first.y + 8);
    await page.mouse.down();
    await page.mouse.move(canvasLeft + 760, Math.min(canvasTop + 560, first.y + 300), { steps: 6 });
    await page.mouse.up();
    await page.waitForTimeout(500);
  };
  await shoot("area", view, drag);
  await shoot("flame", view, async (page) => {
    await drag(page);
    await page.getByRole("tab", { name: /flame/i }).click();
    await page.waitForTimeout(500);
  });
  await shoot("search", view, async (page) => {
    await page.keyboard.press("/");
    await page.keyboard.type("fsync");
    await page.waitForTimeout(500);
    await page.keyboard.press("Enter");
    await page.waitForTimeout(500);
  });
  await shoot("losses", view, () => {}, "", await lossyUrl());
  await shoot("dense", view, (page) => page.locator(".view canvas").press("c"));
  await shoot("help", view, (page) => page.keyboard.press("?"));
  if (only === "" || "live".includes(only)) await takeLive(view, colorScheme);
  if (only === "" || "empty".includes(only)) {
    const page = await browser.newPage({ viewport: view, colorScheme });
    await page.goto(await servePage());
    await page.waitForTimeout(800);
    await page.screenshot({ path: path.join(out, `empty-${colorScheme}.png`) });
    await page.close();
  }
}

/** The packet that waited longest, among the processes that send and their device's queues. */
async function takePackets({ ts, dur, track }, view, shoot) {
  const hash = (air) => `from=${Math.round(ts - air * dur)}&to=${Math.round(ts + (1 + air) * dur)}`;
  const filter = async (page, text) => {
    await page.getByPlaceholder("Filter tracks").fill(text);
    await settled(page);
  };
  await shoot("packets", view, (page) => filter(page, "orders"), hash(0.8));
  await shoot(
    "packet",
    view,
    async (page) => {
      await filter(page, "net ");
      await clickLine(page, ({ title }) => title === track, "slice", ts + dur / 2);
    },
    hash(0.3),
  );
}

/** The demo, some seconds into its recording. */
async function takeLive(viewport, colorScheme) {
  const dir = mkdtempSync(path.join(os.tmpdir(), "kymo-live-"));
  const args = [kymo, "record", "--live", "-o", path.join(dir, "shop.pftrace"), "--"];
  const recorder = spawn(process.execPath, [...args, "node", path.join(root, "demo/shop.mjs")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  try {
    const link = await linkOf(recorder, recorder.stderr);
    const page = await browser.newPage({ viewport, colorScheme });
    await page.goto(link);
    await page.waitForFunction(() => window.__kymo?.state.end > 3.5e9);
    await page.evaluate(() =>
      document.styleSheets[0].insertRule(".topbar .facts > :nth-child(n + 3) { display: none }"),
    );
    await page.screenshot({ path: path.join(out, `live-${colorScheme}.png`) });
    await page.close();
  } finally {
    recorder.kill("SIGTERM");
    await new Promise((resolve) => recorder.once("exit", resolve));
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The trace with two intervals of lost events put in, as a recording of a machine too busy has them. */
async function lossyUrl() {
  if (lossy !== undefined) return lossy;
  const { formats, readTrace, TraceBuilder, replayTrace } = await import(
    "../packages/trace/dist/index.js"
  );
  const builder = new TraceBuilder();
  const bytes = readFileSync(trace);
  await readTrace(
    (async function* () {
      yield bytes;
    })(),
    path.basename(trace),
    builder,
  );
  const pieces = [];
  const sink = await formats
    .find(({ name }) => name === "perfetto")
    .writer((bytes) => {
      pieces.push(Buffer.from(bytes));
    });
  const { fromNs, toNs } = builder.trace;
  for (const [at, dur, cpu, count] of [
    [0.38, 0.05, 0, 8120],
    [0.72, 0.015, 1, 1312],
  ])
    builder.problem({
      kind: "lost-events",
      cpu,
      count,
      from: fromNs + at * (toNs - fromNs),
      to: fromNs + (at + dur) * (toNs - fromNs),
      message: "the kernel's ring buffer was full; raise --buffer-mb",
    });
  replayTrace(builder.trace, sink);
  const dir = mkdtempSync(path.join(os.tmpdir(), "kymo-pictures-"));
  const file = path.join(dir, path.basename(trace));
  writeFileSync(file, Buffer.concat(pieces));
  running.push({ kill: () => rmSync(dir, { recursive: true, force: true }) });
  lossy = await serve(file);
  return lossy;
}

/** Starts `kymo open`; its address. */
function serve(file) {
  const server = spawn(process.execPath, [kymo, "open", file, "--no-browser"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(server);
  return linkOf(server, server.stdout);
}

/** The first link that a kymo prints. */
function linkOf(server, stream) {
  return new Promise((resolve, reject) => {
    let text = "";
    stream.on("data", (chunk) => {
      text += chunk;
      const found = /http:\/\/\S+/.exec(text);
      if (found) resolve(found[0]);
    });
    server.on("exit", (code) => reject(new Error(`kymo ended with ${code}: ${text}`)));
  });
}

/** The page alone, with no trace: its address. */
async function servePage() {
  if (alone !== undefined) return alone;
  const dir = path.join(root, "packages/kymo/dist/ui");
  const types = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
  };
  const server = createServer((request, response) => {
    const name = path.normalize(new URL(request.url, "http://x").pathname);
    const file = path.join(dir, name === "/" ? "index.html" : name);
    if (!file.startsWith(dir) || !existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, {
      "content-type": types[path.extname(file)] ?? "application/octet-stream",
    });
    response.end(readFileSync(file));
  });
  running.push({ kill: () => server.close() });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  alone = `http://127.0.0.1:${server.address().port}/`;
  return alone;
}

async function shown(page) {
  await page.waitForFunction(
    () => window.__kymo?.state.done && window.__kymo.state.rowsDrawn > 0,
    undefined,
    {
      timeout: 30_000,
    },
  );
  await settled(page);
}
/** The newest strip is the one for the view, and has been for a few frames. */
async function settled(page) {
  await page.waitForFunction(() => window.__kymo.state.stripAge === 0);
  await page.waitForTimeout(300);
}

/** The longest read() of a shop-checkout's own thread: it waits for the lock that shop-report keeps. */
function findStall() {
  const sql = `
    select s.ts - (select min(ts) from (select min(ts) as ts from slice union all select min(ts) from sched)) as ts, s.dur, t.tid
    from slice s join thread t on t.utid = s.utid join process p on p.upid = t.upid
    where s.name = 'read' and s.dur > 100e6 and p.name like 'shop-checkout%' and t.tid = p.pid
    order by s.dur desc limit 1`;
  return ask(sql)[0];
}

/** The packet that waited longest, more than 100 ms, of a recording that has such. */
function findPacket() {
  const tables = ask(
    "select count(*) as n from information_schema.tables where table_name = 'packet'",
  );
  if (tables[0].n === 0) return undefined;
  return ask(`
    select packet.ts - (select start_ts from trace_bounds) as ts, packet.dur, track.name as track
    from packet join track on track.id = packet.track_id where packet.dur > 100e6 order by packet.dur desc limit 1`)[0];
}

function ask(sql) {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [kymo, "query", "--format", "json", trace, sql],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`kymo query: ${stderr}`);
  return JSON.parse(stdout);
}

/** Where on the page the thread's row of a kind shows the moment `ns`. */
function place(page, tid, kind, ns) {
  return placeOfLine(page, ({ id }) => id === `tid ${tid}`, kind, ns);
}
async function placeOfLine(page, isLine, kind, ns) {
  const { lines, rows, canvasLeft, range } = await page.evaluate(() => window.__kymo.state);
  const index = lines.findIndex(isLine);
  if (index < 0)
    throw new Error(`no such line among ${lines.map(({ title }) => title).join(", ")}`);
  const row = rows.find((each) => each.kind === kind && each.y >= lines[index].y);
  const width = await page.locator(".view").evaluate((element) => element.clientWidth);
  return {
    x: canvasLeft + ((ns - range.from) / (range.to - range.from)) * width,
    y: row.y + row.height / 2,
  };
}
function click(page, tid, kind, ns) {
  return clickLine(page, ({ id }) => id === `tid ${tid}`, kind, ns);
}
async function clickLine(page, isLine, kind, ns) {
  const at = await placeOfLine(page, isLine, kind, ns);
  await page.mouse.click(at.x, at.y);
  await page.waitForFunction(() => window.__kymo.state.selection !== undefined);
  await page.mouse.move(5, 300);
  await page.waitForTimeout(300);
}
