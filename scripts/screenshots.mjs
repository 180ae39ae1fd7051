/**
 * Screenshots of a trace's timeline for the README and docs: node scripts/screenshots.mjs TRACE [OUT-DIR].
 * Needs Debian's chromium.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { root } from "./setup.mjs";

const [trace = path.join(root, ".kymo-demo/shop.pftrace"), out = path.join(root, "docs/images")] =
  process.argv.slice(2);
mkdirSync(out, { recursive: true });
const server = spawn(
  process.execPath,
  [path.join(root, "packages/kymo/bin/kymo.mjs"), "open", trace, "--no-browser"],
  { stdio: ["ignore", "pipe", "inherit"] },
);
const url = await new Promise((resolve) => {
  let text = "";
  server.stdout.on("data", (chunk) => {
    text += chunk;
    const found = /http:\/\/\S+/.exec(text);
    if (found) resolve(found[0]);
  });
});
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
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
for (const colorScheme of ["light", "dark"]) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme });
  await page.goto(url);
  await page
    .waitForFunction(() => window.__kymo?.rowsDrawn > 0, undefined, { timeout: 20_000 })
    .catch(() => {});
  await page.waitForTimeout(1500);
  await page.screenshot({ path: path.join(out, `timeline-${colorScheme}.png`) });
  await page.close();
}
await browser.close();
server.kill("SIGINT");
