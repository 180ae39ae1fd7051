/**
 * The pictures of the README and docs, of a recording of demo/shop.mjs: node scripts/screenshots.mjs [TRACE] [OUT-DIR].
 *
 *     timeline-{light,dark}   as it opens           stall-{light,dark}   the planted stall, its read() selected
 *     state, area, search, flame, narrow, losses, empty, help, dense
 *
 * Needs Debian's chromium.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { root } from "./setup.mjs";

const kymo = path.join(root, "packages/kymo/bin/kymo.mjs");
const [
  trace = path.join(root, ".kymo-demo/shop.pftrace"),
  out = path.join(root, "docs/images"),
  only = "",
] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const running = [];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
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
  const shoot = async (name, size, act, hash = "") => {
    if (only !== "" && !name.includes(only)) return;
    const page = await browser.newPage({ viewport: size, colorScheme });
    const suffix = `${hash === "" ? "" : `#${hash}`}`;
    await page.goto(url + suffix);
    await shown(page);
    await act(page);
    await settled(page);
    await page.screenshot({ path: path.join(out, `${name}-${colorScheme}.png`) });
    await page.close();
  };
  await shoot("timeline", view, () => {});
  await shoot("narrow", { width: 1280, height: 800 }, () => {});
  const stall = findStall();
  if (stall === undefined)
    console.log("no read() of a shop-checkout longer than 100 ms: no pictures of the stall");
  else {
    const air = stall.dur * 0.3;
    const hash = `from=${Math.round(stall.ts - air)}&to=${Math.round(stall.ts + stall.dur + air)}`;
    const middle = stall.ts + stall.dur / 2;
    await shoot("stall", view, (page) => click(page, stall.tid, "slice", middle), hash);
    await shoot("state", view, (page) => click(page, stall.tid, "thread_state", middle), hash);
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
  await shoot("dense", view, (page) => page.locator(".view canvas").press("c"));
  await shoot("help", view, (page) => page.keyboard.press("?"));
  if (only === "" || "empty".includes(only)) {
    const page = await browser.newPage({ viewport: view, colorScheme });
    await page.goto(new URL("/", url).href.replace(/\?.*/, ""));
    await page.waitForTimeout(800);
    await page.screenshot({ path: path.join(out, `empty-${colorScheme}.png`) });
    await page.close();
  }
}

/** Starts `kymo open`; its address. */
function serve(file) {
  const server = spawn(process.execPath, [kymo, "open", file, "--no-browser"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(server);
  return new Promise((resolve, reject) => {
    let text = "";
    server.stdout.on("data", (chunk) => {
      text += chunk;
      const found = /http:\/\/\S+/.exec(text);
      if (found) resolve(found[0]);
    });
    server.on("exit", (code) => reject(new Error(`kymo open ended with ${code}`)));
  });
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
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [kymo, "query", "--format", "json", trace, sql],
    {
      encoding: "utf8",
    },
  );
  if (status !== 0) throw new Error(`kymo query: ${stderr}`);
  return JSON.parse(stdout)[0];
}

/** Where on the page the thread's row of a kind shows the moment `ns`. */
async function place(page, tid, kind, ns) {
  const { lines, rows, canvasLeft, range } = await page.evaluate(() => window.__kymo.state);
  const index = lines.findIndex(({ id }) => id === `tid ${tid}`);
  if (index < 0) throw new Error(`tid ${tid} has no line`);
  const row = rows.find((each) => each.kind === kind && each.y >= lines[index].y);
  const width = await page.locator(".view").evaluate((element) => element.clientWidth);
  return {
    x: canvasLeft + ((ns - range.from) / (range.to - range.from)) * width,
    y: row.y + row.height / 2,
  };
}
async function click(page, tid, kind, ns) {
  const at = await place(page, tid, kind, ns);
  await page.mouse.click(at.x, at.y);
  await page.waitForFunction(() => window.__kymo.state.selection !== undefined);
  await page.mouse.move(5, 300);
  await page.waitForTimeout(300);
}
