/** The built page as `kymo open` serves it: the same page, the server's engine, SQL, and what it says when it is gone. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Browser, startBrowser, whenShown, whyNoBrowser } from "./chromium.ts";
import { perfettoTrace } from "./traces.ts";

const packages = fileURLToPath(new URL("../../", import.meta.url));

describe.skipIf(whyNoBrowser() !== undefined)("served by kymo open", () => {
  let dir: string;
  let browser: Browser;
  let server: ChildProcess;
  let link: string;

  beforeAll(async () => {
    if (!existsSync(path.join(packages, "kymo/dist/ui/index.html")))
      throw new Error("the page is not built: npm run build");
    dir = mkdtempSync(path.join(os.tmpdir(), "kymo-served-"));
    const file = path.join(dir, "box.pftrace");
    writeFileSync(file, await perfettoTrace());
    const bin = path.join(packages, "kymo/bin/kymo.mjs");
    server = spawn(process.execPath, [bin, "open", "--no-browser", file]);
    link = await new Promise((resolve, reject) => {
      let text = "";
      const read = (chunk: Buffer) => {
        text += chunk.toString();
        const found = /http:\/\/\S+/.exec(text)?.[0];
        if (found) resolve(found);
      };
      server.stdout?.on("data", read);
      server.stderr?.on("data", read);
      server.on("exit", (code) => reject(new Error(`kymo open ended with ${code}: ${text}`)));
    });
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    server?.kill("SIGKILL");
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  test("draws, answers SQL, marks the place of an error, and says when the server is gone", async () => {
    const page = await browser.context.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(link);
    await whenShown(page);
    expect(await page.evaluate(() => window.__kymo.state.engine)).toBe("server");
    await page.keyboard.press("q");
    await page.getByRole("tab", { name: "SQL" }).click();
    const ask = async (sql: string) => {
      await page.locator(".sql textarea").fill(sql);
      await page.keyboard.press("Control+Enter");
    };
    await ask("select count(*) as n from sample");
    await expect.poll(() => page.locator(".table-wrap td").textContent()).toBe("29");
    await ask("select nme from slice");
    await expect.poll(() => page.locator(".sql-error").textContent()).toContain("^");
    expect(errors).toEqual([]);
    server.kill("SIGINT");
    await page.getByText("the connection to kymo was lost").waitFor();
    // What is shown stays, and still moves.
    const { range } = await page.evaluate(() => window.__kymo.state);
    await page.locator(".view canvas").hover();
    await page.mouse.wheel(40, 0);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, -200);
    await page.keyboard.up("Control");
    await page.waitForFunction((to) => window.__kymo.state.range.to < to, range.to);
  });
});
