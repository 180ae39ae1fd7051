/**
 * A real browser for tests: Debian's chromium driven by playwright-core, and the page built from the sources as they
 * are now, served on a free port of the loopback with the files a test gives.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { chromiumArgs, chromiumPath } from "../../../scripts/chromium.mjs";

/** Why browser tests can't run here; undefined when they can. A machine for CI must be able to. */
export function whyNoBrowser(): string | undefined {
  if (chromiumPath !== undefined) return undefined;
  const reason = "chromium is not installed (apt-get install chromium, or set CHROMIUM)";
  if (process.env["CI"] === "true") throw new Error(`CI must be able to run this: ${reason}`);
  console.warn(`SKIP (${reason})`);
  return reason;
}

/** Builds the page into a directory of its own. */
export async function buildPage(): Promise<string> {
  const dir = mkdtempSync(path.join(os.tmpdir(), "kymo-ui-"));
  await build({
    configFile: fileURLToPath(new URL("../vite.config.ts", import.meta.url)),
    logLevel: "error",
    build: { outDir: dir, emptyOutDir: true },
  });
  return dir;
}

const types: { readonly [extension: string]: string } = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** `/files/NAME` is a trace, everything else the page. */
export function serveFiles(dir: string, files: ReadonlyMap<string, Uint8Array>): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://127.0.0.1");
    const name = /^\/files\/([\w.-]+)$/.exec(pathname)?.[1];
    const file = path.join(dir, pathname === "/" ? "index.html" : pathname);
    const body =
      name === undefined
        ? file.startsWith(dir) && existsSync(file)
          ? readFileSync(file)
          : undefined
        : files.get(name);
    if (body === undefined) {
      response.writeHead(404).end();
      return;
    }
    const type = name === undefined ? types[path.extname(file)] : undefined;
    response.writeHead(200, { "content-type": type ?? "application/octet-stream" }).end(body);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
export const addressOf = (server: Server): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

export interface Browser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

export async function startBrowser(): Promise<Browser> {
  const profile = mkdtempSync(path.join(os.tmpdir(), "kymo-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath!,
    headless: true,
    viewport: { width: 1280, height: 800 },
    args: chromiumArgs,
  });
  return {
    context,
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** Waits until the whole trace is there and drawn. */
export async function whenShown(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const state = window.__kymo?.state;
    return state?.done && state.stats.strips > 0 && state.stripAge === 0;
  });
}
