/** The page over some files, in a real browser: one server and one browser for a file of tests, a fresh page for each. */
import { rmSync } from "node:fs";
import type { Server } from "node:http";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { TestState } from "../src/test-state.ts";
import {
  addressOf,
  type Browser,
  buildPage,
  serveFiles,
  startBrowser,
  whenShown,
} from "./chromium.ts";

export interface Site {
  /** Of the running test. */
  readonly page: Page;
  /** What went wrong in it, by the page's own words: nothing, when the test ends. */
  readonly errors: string[];
  readonly server: Server;
  readonly browser: Browser;
  state(): Promise<TestState>;
  /** Goes to a file by its name, and waits until it is drawn. */
  open(name: string, hash?: string): Promise<void>;
}

/** Call it inside of `describe`: it sets up, and takes down what it set up. */
export function siteWith(files: () => Promise<ReadonlyMap<string, Uint8Array>>): Site {
  let dir: string | undefined;
  let server: Server | undefined;
  let browser: Browser | undefined;
  let page: Page | undefined;
  let errors: string[] = [];
  beforeAll(async () => {
    const content = await files();
    dir = await buildPage();
    server = await serveFiles(dir, content);
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(async () => {
    page = await browser!.context.newPage();
    errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
  });
  afterEach(async () => {
    await page?.close();
    expect(errors).toEqual([]);
  });
  return {
    get page() {
      return page!;
    },
    get errors() {
      return errors;
    },
    get server() {
      return server!;
    },
    get browser() {
      return browser!;
    },
    state: () => page!.evaluate(() => window.__kymo.state),
    open: async (name, hash = "") => {
      await page!.goto(`${addressOf(server!)}/?url=/files/${name}${hash}`);
      await whenShown(page!);
    },
  };
}
