/** The page while a recording is made: `kymo record --live` on the real kernel, watched in a real browser. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Browser, startBrowser, whyNoBrowser } from "./chromium.ts";

const kymo =
  process.env["KYMO"] ?? fileURLToPath(new URL("../../kymo/bin/kymo.mjs", import.meta.url));

function whyNoTracing(): string | undefined {
  if (process.platform === "linux" && process.getuid?.() === 0) {
    if (readFileSync("/proc/filesystems", "utf8").includes("tracefs")) return undefined;
    console.warn("SKIP (this kernel has no tracefs)");
    return "no tracefs";
  }
  console.warn("SKIP (needs root on Linux for tracepoints)");
  return "not root on Linux";
}

/** Between page and server: a door that can be shut. */
class Door {
  private readonly open = new Set<net.Socket>();
  private isShut = false;
  private readonly server: net.Server;

  constructor(link: URL) {
    this.server = net.createServer((inner) => {
      if (this.isShut) return void inner.destroy();
      const outer = net.connect(Number(link.port), link.hostname);
      for (const socket of [inner, outer]) {
        this.open.add(socket);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => {
          inner.destroy();
          outer.destroy();
        });
      }
      inner.pipe(outer).pipe(inner);
    });
  }
  listen(): Promise<number> {
    return new Promise((resolve) =>
      this.server.listen(0, "127.0.0.1", () =>
        resolve((this.server.address() as net.AddressInfo).port),
      ),
    );
  }
  shut(): void {
    this.isShut = true;
    for (const socket of this.open) socket.destroy();
    this.open.clear();
  }
  unlock(): void {
    this.isShut = false;
  }
  close(): void {
    this.shut();
    this.server.close();
  }
}

const why = whyNoBrowser() ?? whyNoTracing();

describe.skipIf(why !== undefined)("kymo record --live", () => {
  const names = Array.from({ length: 5 }, (_, i) => `mark-${i}`);
  let dir: string;
  let file: string;
  let browser: Browser;
  let recorder: ChildProcess;
  let door: Door;
  let page: Page;
  let said = "";

  beforeAll(async () => {
    if (!existsSync(kymo)) throw new Error("kymo is not built: npm run build");
    dir = mkdtempSync(path.join(os.tmpdir(), "kymo-live-"));
    file = path.join(dir, "watched.pftrace");
    // Runs the programs it is told the names of; something happens all the time.
    const script = path.join(dir, "work.sh");
    writeFileSync(
      script,
      `cd ${dir}\n${process.execPath} tick.cjs &\ntick=$!\nwhile read name; do ./$name 0.3 & done\nkill $tick\nwait\n`,
    );
    writeFileSync(path.join(dir, "tick.cjs"), "setInterval(() => process.cpuUsage(), 10);");
    for (const name of names) copyFileSync("/bin/sleep", path.join(dir, name));
    recorder = spawn(
      process.execPath,
      [kymo, "record", "--live", "-o", file, "--", "/bin/sh", script],
      { stdio: ["pipe", "ignore", "pipe"] },
    );
    const link = await new Promise<string>((resolve, reject) => {
      recorder.stderr!.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        const found = /http:\/\/\S+/.exec(said)?.[0];
        if (found) resolve(found);
      });
      recorder.on("exit", (code) => reject(new Error(`kymo record ended with ${code}: ${said}`)));
    });
    door = new Door(new URL(link));
    browser = await startBrowser();
    page = await browser.context.newPage();
    await page.goto(`http://127.0.0.1:${await door.listen()}/${new URL(link).search}`);
    await page.waitForFunction(() => window.__kymo?.state.following);
  });
  afterAll(async () => {
    await browser?.close();
    door?.close();
    recorder?.kill("SIGKILL");
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  const state = () => page.evaluate(() => window.__kymo.state);
  const until = (what: "live" | "following" | "paused", is: boolean) =>
    page.waitForFunction(([key, value]) => window.__kymo.state[key] === value, [what, is] as const);
  /** The end of what is shown moves on. */
  const grows = async () => {
    const { end } = await state();
    await page.waitForFunction((before) => window.__kymo.state.end > before, end);
  };

  test("a process is on the page soon after it was started", async () => {
    const delays: number[] = [];
    const filter = page.getByPlaceholder("Filter tracks");
    await filter.fill("mark-");
    for (const name of names) {
      const startedAt = Date.now();
      recorder.stdin!.write(`${name}\n`);
      const shown = await page.waitForFunction((title) => {
        const { lines, stripRows } = window.__kymo.state;
        const rows = lines.find((line) => line.title === title)?.rows ?? [];
        return rows.some((row) => stripRows.includes(row)) && Date.now();
      }, name);
      delays.push(((await shown.jsonValue()) as number) - startedAt);
    }
    await filter.fill("");
    console.log(`from start to sight: ${delays.join(", ")} ms (goal < 1000)`);
    // A guard against hangs; the figure above is what is wanted.
    expect(Math.min(...delays)).toBeLessThan(10_000);
  });

  test("every kind of row is drawn up to now", async () => {
    const painted = (kind: string) =>
      page.waitForFunction((wanted) => {
        const { rows, canvasTop } = window.__kymo.state;
        const row = rows.find((each) => each.kind === wanted);
        const canvas = document.querySelector<HTMLCanvasElement>(".view canvas");
        const context = canvas?.getContext("2d");
        if (!row || !canvas || !context) return false;
        // Before the line of now, in the middle of the row: more than a line of the grid.
        const y = Math.round(row.y - canvasTop + row.height / 2);
        const { data } = context.getImageData(0, y, Math.round(canvas.width * 0.96), 1);
        const words = new Uint32Array(data.buffer);
        return words.subarray(-40).filter((word) => word !== words[0]).length > 4;
      }, kind);
    for (const kind of ["sched", "thread_state", "slice"]) await painted(kind);
  });

  test("the view follows until it is moved away, by key or mouse, and again when it is told to", async () => {
    const width = ({ range }: { range: { from: number; to: number } }) => range.to - range.from;
    const before = await state();
    await page.waitForFunction((to) => window.__kymo.state.range.to > to, before.range.to);
    expect(width(await state())).toBeCloseTo(width(before), -2);
    const stays = async () => {
      await until("following", false);
      await page.keyboard.up("a");
      const { range } = await state();
      await grows();
      expect((await state()).range).toEqual(range);
    };
    await page.locator(".view canvas").focus();
    await page.keyboard.press("a");
    await stays();
    await page.keyboard.press("l");
    await until("following", true);
    await page.waitForFunction(() => {
      const { range, end } = window.__kymo.state;
      return end > range.from && end < range.to + 1e9;
    });
    // By mouse: shift and drag the past into view.
    const box = (await page.locator(".view canvas").boundingBox())!;
    await page.mouse.move(box.x + 200, box.y + 200);
    await page.keyboard.down("Shift");
    await page.mouse.down();
    await page.mouse.move(box.x + 500, box.y + 200, { steps: 4 });
    await page.mouse.up();
    await page.keyboard.up("Shift");
    await stays();
    await page.getByRole("button", { name: "Follow", exact: true }).click();
    await until("following", true);
    expect(await page.getByRole("button", { name: "Following" }).getAttribute("aria-pressed")).toBe(
      "true",
    );
  });

  test("paused, nothing moves and what has come is counted; resumed, all of it is there", async () => {
    await page.locator(".view canvas").focus();
    await page.keyboard.press("Space");
    await until("paused", true);
    const frozen = await state();
    await page.waitForFunction(
      (before) => window.__kymo.state.arrived > before + 20,
      frozen.arrived,
    );
    const now = await state();
    expect([now.end, now.range, now.events]).toEqual([frozen.end, frozen.range, frozen.events]);
    await page.getByText(/events since/).waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await until("paused", false);
    await until("following", true);
    expect((await state()).events).toBeGreaterThanOrEqual(now.arrived);
    await grows();
  });

  test("a connection that was lost comes back by itself, and the recording was not held up", async () => {
    const { events } = await state();
    door.shut();
    await page.getByText("the connection to kymo was lost").waitFor();
    door.unlock();
    await page.getByText("the connection to kymo was lost").waitFor({ state: "detached" });
    await page.waitForFunction((before) => window.__kymo.state.events > before, events);
    await grows();
    expect((await state()).following).toBe(true);
  });

  test("a tab that slept shows what happened meanwhile", async () => {
    const devtools = await browser.context.newCDPSession(page);
    const { end } = await state();
    await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    await page.waitForFunction((before) => window.__kymo.state.end > before + 1.4e9, end);
    await grows();
  });

  test("ends with the recording, whose file is whole, and is served until Ctrl-C", async () => {
    recorder.stdin!.end();
    await page.getByText("The recording has ended").waitFor();
    const last = await state();
    expect([last.live, last.following]).toEqual([false, false]);
    expect(said).toContain("still live: http");
    expect(said).toMatch(/watched\.pftrace: .* 0 lost/);
    // The engine goes on answering.
    await page.evaluate(() => window.__kymo.resetStats());
    await page.locator(".view canvas").focus();
    await page.keyboard.press("w");
    await page.waitForFunction(() => {
      const { stats, stripAge } = window.__kymo.state;
      return stats.strips > 0 && stripAge === 0;
    });
    const ended = new Promise((resolve) => recorder.once("exit", resolve));
    recorder.kill("SIGINT");
    expect(await ended).toBe(0);
    // What was seen is in the file: the same events, by the same names.
    const { openTraceFile } = (await import(path.join(path.dirname(kymo), "../dist/index.js"))) as {
      openTraceFile(file: string): Promise<{ readonly length: number }>;
    };
    const opened = await openTraceFile(file);
    expect(opened.length).toBe(last.events);
  });
});
