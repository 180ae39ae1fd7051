/** The built page as `kymo open` serves it: the same page, the server's engine, SQL, and what it says when it is gone. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
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

  test("a connection that was lost comes back by itself, with the view as it was", async () => {
    // Between page and server: a door that can be shut.
    const { hostname, port, search } = new URL(link);
    const open = new Set<net.Socket>();
    let shut = false;
    const door = net.createServer((inner) => {
      if (shut) return void inner.destroy();
      const outer = net.connect(Number(port), hostname);
      for (const socket of [inner, outer]) {
        open.add(socket);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => {
          inner.destroy();
          outer.destroy();
        });
      }
      inner.pipe(outer).pipe(inner);
    });
    await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
    const page = await browser.context.newPage();
    try {
      const { port: doorPort } = door.address() as net.AddressInfo;
      await page.goto(`http://127.0.0.1:${doorPort}/${search}`);
      await whenShown(page);
      await page.locator(".view canvas").focus();
      await page.keyboard.press("w");
      const before = await page.evaluate(() => window.__kymo.state.range);
      shut = true;
      for (const socket of open) socket.destroy();
      await page.getByText("the connection to kymo was lost").waitFor();
      shut = false;
      await page.getByText("the connection to kymo was lost").waitFor({ state: "detached" });
      expect(await page.evaluate(() => window.__kymo.state.range)).toEqual(before);
      // And the engine draws again.
      await page.evaluate(() => window.__kymo.resetStats());
      await page.keyboard.press("w");
      await page.waitForFunction(() => {
        const { stats, stripAge } = window.__kymo.state;
        return stats.strips > 0 && stripAge === 0;
      });
    } finally {
      await page.close();
      door.close();
      for (const socket of open) socket.destroy();
    }
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
