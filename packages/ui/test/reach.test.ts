/** The page for every hand and eye: fingers, keys alone, forced colours, no motion, narrow windows; folded threads. */
import type { CDPSession, Page } from "playwright-core";
import { beforeEach, describe, expect, test } from "vitest";
import { whenShown, whyNoBrowser } from "./chromium.ts";
import { siteWith } from "./site.ts";
import { chromeTrace, poolTrace } from "./traces.ts";

describe.skipIf(whyNoBrowser() !== undefined)("reach", () => {
  let page: Page;
  const site = siteWith(async () => {
    const files = new Map<string, Uint8Array>([
      ["pool.pftrace", await poolTrace()],
      ["shop.json", chromeTrace()],
    ]);
    return files;
  });
  const { state, open } = site;
  beforeEach(() => {
    ({ page } = site);
  });
  const titles = async () => (await state()).lines.map(({ title }) => title);
  const line = (title: string) => page.locator(".tree .line", { hasText: title }).first();

  test("quieter threads are one line; a click opens it, another closes it", async () => {
    await open("pool.pftrace");
    expect(await titles()).toEqual(["CPUs", "CPU 0", "pool", "main", "9 quieter threads"]);
    await line("9 quieter").click();
    expect(await titles()).toContain("idle-8");
    await line("9 quieter").click();
    expect(await titles()).not.toContain("idle-8");
  });
  test("they are reached by keys alone", async () => {
    await open("pool.pftrace");
    await line("main").focus();
    await page.keyboard.press("ArrowDown");
    expect(await page.evaluate(() => document.activeElement?.getAttribute("aria-expanded"))).toBe(
      "false",
    );
    await page.keyboard.press("Enter");
    expect(await titles()).toContain("idle-0");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown");
    expect(await page.evaluate(() => document.activeElement?.getAttribute("aria-label"))).toMatch(
      /^idle-1, tid 31/,
    );
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    expect(await titles()).not.toContain("idle-0");
  });
  test("a search hit and a link into them open the line", async () => {
    await open("pool.pftrace");
    await page.locator("#search").fill("rare");
    await expect.poll(async () => (await state()).search.total).toBe(1);
    await page.locator("#search").press("Enter");
    await expect.poll(async () => (await state()).selection?.name).toBe("rare");
    expect(await titles()).toContain("idle-4");
    await page.waitForFunction(() => location.hash.includes("sel="));
    const link = page.url();
    await page.goto("about:blank");
    await page.goto(link);
    await whenShown(page);
    await expect.poll(async () => (await state()).selection?.name).toBe("rare");
    expect(await titles()).toContain("idle-4");
  });
  test("a wait's details name its system call and go there", async () => {
    await open("pool.pftrace");
    const { rows, canvasLeft, lines, range } = await state();
    const main = lines.find(({ title }) => title === "main")!;
    const row = rows.find(({ kind, y }) => kind === "thread_state" && y >= main.y)!;
    const width = await page.locator(".view").evaluate((element) => element.clientWidth);
    const x = canvasLeft + ((180e6 - range.from) / (range.to - range.from)) * width;
    await page.mouse.click(x, row.y + 7);
    await page.locator(".details").waitFor();
    expect(await page.locator(".details").innerText()).toContain("in read");
    await page.locator(".details").getByRole("button", { name: "read" }).click();
    await expect.poll(async () => (await state()).selection?.name).toBe("read");
  });
  test.each([1440, 1280, 1024, 700])("at %i px no fact is cut, only left out", async (width) => {
    await page.setViewportSize({ width, height: 800 });
    await open("pool.pftrace");
    const cut = await page.evaluate(() =>
      [...document.querySelectorAll(".parts > span, .entries .entry, .legend .zoom > *")]
        .map((part) => {
          const frame = part.closest(".parts, .entries, .legend")!.getBoundingClientRect();
          const box = part.getBoundingClientRect();
          const shown = box.top < frame.bottom - 2 && box.bottom > frame.top + 2 && box.width > 0;
          return shown && box.right > frame.right + 0.5 ? part.textContent : "";
        })
        .filter(Boolean),
    );
    expect(cut).toEqual([]);
    const facts = page.locator(".topbar .facts");
    if (width >= 1280) {
      expect(await facts.innerText()).toContain("pool --config=main.conf");
      expect(await facts.getAttribute("title")).toContain("/usr/local/bin/pool");
      for (const part of await page.locator(".entries .entry").all())
        expect((await part.boundingBox())!.y).toBeGreaterThan(750);
    }
  });

  test("one finger pans, two pinch around their middle", async () => {
    await open("shop.json");
    const cdp: CDPSession = await site.browser.context.newCDPSession(page);
    await cdp.send("Emulation.setTouchEmulationEnabled", { enabled: true, maxTouchPoints: 2 });
    const touch = (type: "touchStart" | "touchMove" | "touchEnd", ...points: number[]) =>
      cdp.send("Input.dispatchTouchEvent", {
        type,
        touchPoints: points.map((x, id) => ({ x, y: 200, id })),
      });
    const { canvasLeft } = await state();
    const whole = (await state()).range;
    const span = (range: { from: number; to: number }) => range.to - range.from;
    // The moment half way between the fingers stays there.
    const width = await page.locator(".view").evaluate((element) => element.clientWidth);
    const timeAt = (range: { from: number; to: number }, x: number) =>
      range.from + (span(range) * (x - canvasLeft)) / width;
    const middle = timeAt(whole, 700);
    await touch("touchStart", 650, 750);
    for (let by = 10; by <= 150; by += 10) await touch("touchMove", 650 - by, 750 + by);
    await touch("touchEnd");
    const close = (await state()).range;
    expect(span(close)).toBeLessThan(span(whole) * 0.4);
    expect(Math.abs(timeAt(close, 700) - middle)).toBeLessThan(span(whole) * 0.01);
    await touch("touchStart", 800);
    for (let x = 790; x >= 600; x -= 10) await touch("touchMove", x);
    await touch("touchEnd");
    const panned = (await state()).range;
    expect(span(panned)).toBeCloseTo(span(close), -1);
    expect(panned.from - close.from).toBeGreaterThan(span(close) * 0.1);
    // A tap selects.
    const { rows } = await state();
    const slice = rows.find(({ kind }) => kind === "slice")!;
    const y = slice.y + slice.height / 2;
    for (const x of [500, 600, 700, 800]) {
      await cdp.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x, y }] });
      await cdp.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
      await page.waitForTimeout(150);
      if ((await state()).selection) break;
    }
    expect((await state()).selection).toBeDefined();
  });
  test("without motion a fit is there in the next frame", async () => {
    await page.emulateMedia({ reducedMotion: "reduce" });
    await open("shop.json");
    const whole = (await state()).range;
    for (let i = 0; i < 4; i++) await page.keyboard.press("+");
    const after = await page.evaluate(async () => {
      dispatchEvent(new KeyboardEvent("keydown", { key: "0", bubbles: true }));
      await new Promise((resolve) => requestAnimationFrame(resolve));
      return window.__kymo.state.range;
    });
    expect(after).toEqual(whole);
  });
  test("with forced colours events have outlines and lines borders", async () => {
    await page.emulateMedia({ forcedColors: "active" });
    await open("shop.json");
    const border = await line("front").evaluate(
      (element) => getComputedStyle(element).borderTopWidth,
    );
    expect(border).toBe("1px");
    // The left edge of the first labelled slice is drawn in the ink of the text.
    for (let i = 0; i < 8; i++) await page.keyboard.press("+");
    await page.waitForFunction(() => window.__kymo.state.stripAge === 0);
    await page.waitForTimeout(100);
    const outlined = await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>(".view canvas")!;
      const { rows, canvasTop } = window.__kymo.state;
      const row = rows.find(({ kind }) => kind === "slice")!;
      const y = Math.round(row.y - canvasTop) * devicePixelRatio;
      const { data } = canvas.getContext("2d")!.getImageData(0, y, canvas.width, 1);
      let dark = 0;
      for (let i = 0; i < data.length; i += 4)
        if (data[i]! + data[i + 1]! + data[i + 2]! < 200) dark++;
      return dark / canvas.width;
    });
    expect(outlined).toBeGreaterThan(0.3);
  });
});
