/** The page in a real browser: opens files, moves, selects, searches, and says what is wrong. */
import type { Page } from "playwright-core";
import { beforeEach, describe, expect, test } from "vitest";
import { addressOf, whenShown, whyNoBrowser } from "./chromium.ts";
import { siteWith } from "./site.ts";
import { chromeTrace, perfettoTrace } from "./traces.ts";

describe.skipIf(whyNoBrowser() !== undefined)("page", () => {
  let page: Page;
  const site = siteWith(async () => {
    const pftrace = await perfettoTrace();
    const files = new Map<string, Uint8Array>([
      ["shop.json", chromeTrace()],
      ["cut.json", chromeTrace().subarray(0, 3000)],
      ["box.pftrace", pftrace],
      ["garbage.bin", new Uint8Array(4096).fill(0xa5)],
      ["empty.json", new Uint8Array(0)],
    ]);
    return files;
  });
  const { state, open } = site;
  beforeEach(() => {
    ({ page } = site);
  });

  const spanNow = async () => {
    const { range } = await state();
    return range.to - range.from;
  };
  /** The middle of the first row of a kind on a line, at a share of the view's width. */
  const pointAt = async (title: string, kind: string, share: number) => {
    const { lines, rows, canvasLeft } = await state();
    const line = lines.find((each) => each.title === title)!;
    const row = rows.find((each) => each.kind === kind && each.y >= line.y)!;
    const width = await page.locator(".view").evaluate((element) => element.clientWidth);
    return { x: canvasLeft + width * share, y: row.y + row.height / 2 };
  };

  test("opens a file by ?url= and draws its tracks", async () => {
    await open("shop.json");
    const { lines, rowsDrawn, events, engine, range } = await state();
    expect(engine).toBe("worker");
    expect(events).toBe(chromeEvents);
    expect(lines.map(({ title }) => title)).toEqual(
      expect.arrayContaining(["shop", "front", "worker"]),
    );
    expect(rowsDrawn).toBeGreaterThan(3);
    expect(range.from).toBeLessThanOrEqual(0);
    expect(await page.title()).toBe("shop.json – kymo");
  });

  test("W zooms in at the pointer, S out, A and D pan, 0 shows all", async () => {
    await open("shop.json");
    const whole = await spanNow();
    await page.mouse.move(760, 400);
    await page.keyboard.down("w");
    await page.waitForTimeout(250);
    await page.keyboard.up("w");
    const close = await spanNow();
    expect(close).toBeLessThan(whole * 0.7);
    const before = (await state()).range;
    await page.keyboard.press("d");
    expect((await state()).range.from).toBeGreaterThan(before.from);
    await page.keyboard.press("s");
    expect(await spanNow()).toBeGreaterThan(close);
    await page.keyboard.press("0");
    await page.waitForFunction((span) => {
      const { range } = window.__kymo.state;
      return range.to - range.from >= span * 0.999;
    }, whole);
  });

  test("Ctrl+wheel zooms, the wheel scrolls, Shift+wheel pans", async () => {
    await page.setViewportSize({ width: 1280, height: 190 });
    await open("shop.json");
    const whole = await spanNow();
    // What the window has no room for is said, until the end is in sight.
    await page.locator(".more", { hasText: /^\d+ more \w+ below$/ }).waitFor();
    await page.mouse.move(700, 125);
    await page.mouse.wheel(0, 120);
    await page.waitForFunction(() => window.__kymo.state.scrollTop > 0);
    await page.mouse.wheel(0, 5000);
    await page.waitForFunction(() => {
      const { scrollTop, contentHeight, canvasTop } = window.__kymo.state;
      const { bottom } = document.querySelector(".view")!.getBoundingClientRect();
      return Math.abs(scrollTop + bottom - canvasTop - 24 - contentHeight) <= 1;
    });
    await page.locator(".more").waitFor({ state: "hidden" });
    expect(await spanNow()).toBe(whole);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, -240);
    await page.keyboard.up("Control");
    await page.waitForFunction((span) => {
      const { range } = window.__kymo.state;
      return range.to - range.from < span * 0.8;
    }, whole);
    const { range } = await state();
    await page.keyboard.down("Shift");
    await page.mouse.wheel(0, 60);
    await page.keyboard.up("Shift");
    await page.waitForFunction((from) => window.__kymo.state.range.from > from, range.from);
  });

  test("a click selects and shows details with arguments; . , ↑ walk", async () => {
    await open("shop.json");
    const at = await pointAt("front", "slice", 0.2);
    await page.mouse.click(at.x, at.y);
    await page.waitForFunction(() => window.__kymo.state.selection !== undefined);
    expect((await state()).selection?.name).toBe("request");
    const panel = page.locator(".details");
    await expect.poll(() => panel.textContent()).toContain("GET /cart");
    const first = (await state()).selection!;
    await page.keyboard.press(".");
    await page.waitForFunction((ts) => window.__kymo.state.selection!.ts > ts, first.ts);
    await page.keyboard.press(",");
    await page.waitForFunction((ts) => window.__kymo.state.selection!.ts === ts, first.ts);
    await page.keyboard.press("ArrowDown");
    await page.waitForFunction(() => window.__kymo.state.selection!.name === "query");
    await page.keyboard.press("ArrowUp");
    await page.waitForFunction(() => window.__kymo.state.selection!.name === "request");
    await page.keyboard.press("Escape");
    expect((await state()).selection).toBeUndefined();
  });

  test("the view and the selection come back from the address", async () => {
    await open("shop.json");
    const at = await pointAt("front", "slice", 0.2);
    await page.mouse.dblclick(at.x, at.y);
    await page.waitForFunction(
      () => location.hash.includes("sel=") && location.hash.includes("from="),
    );
    const { selection, range } = await state();
    const { hash } = new URL(page.url());
    await page.goto("about:blank");
    await open("shop.json", hash);
    await page.waitForFunction(() => window.__kymo.state.selection !== undefined);
    const again = await state();
    expect(again.selection).toEqual(selection);
    expect(again.range.from).toBeCloseTo(range.from, -1);
    expect(again.range.to).toBeCloseTo(range.to, -1);
  });

  test("a tooltip says name, duration and path, beside the pointer", async () => {
    await open("shop.json");
    const at = await pointAt("front", "slice", 0.2);
    await page.mouse.move(at.x, at.y);
    const tip = page.locator(".tooltip");
    await tip.waitFor();
    const text = await tip.textContent();
    expect(text).toContain("request");
    expect(text).toContain("shop › front");
    const box = (await tip.boundingBox())!;
    const under =
      at.x >= box.x && at.x <= box.x + box.width && at.y >= box.y && at.y <= box.y + box.height;
    expect(under).toBe(false);
  });

  test("dragging selects an area with live statistics", async () => {
    await open("shop.json");
    const from = await pointAt("front", "slice", 0.1);
    const to = await pointAt("front", "slice", 0.6);
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move(to.x, to.y + 10, { steps: 6 });
    await page.mouse.up();
    expect((await state()).area).toBeDefined();
    await expect.poll(() => page.locator(".stats").textContent()).toContain("request");
    await page.keyboard.press("Escape");
    expect((await state()).area).toBeUndefined();
  });

  test("search counts hits, Enter walks them and opens closed lines", async () => {
    await open("shop.json");
    await page.locator('[role="treeitem"][aria-label^="shop"]').click();
    expect((await state()).lines.map(({ title }) => title)).not.toContain("front");
    await page.keyboard.press("/");
    await page.keyboard.type("query");
    await page.waitForFunction(() => window.__kymo.state.search.total === 40);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => window.__kymo.state.selection?.name === "query");
    expect((await state()).lines.map(({ title }) => title)).toContain("front");
    const first = (await state()).selection!;
    await page.keyboard.press("Enter");
    await page.waitForFunction((ts) => window.__kymo.state.selection!.ts !== ts, first.ts);
    await page.keyboard.press("Shift+Enter");
    await page.waitForFunction((ts) => window.__kymo.state.selection!.ts === ts, first.ts);
  });

  test("the tree is walked and opened by keys", async () => {
    await open("shop.json");
    const shop = page.locator('[role="treeitem"][aria-label^="shop"]');
    await shop.focus();
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => shop.getAttribute("aria-expanded")).toBe("false");
    await page.keyboard.press("Enter");
    await expect.poll(() => shop.getAttribute("aria-expanded")).toBe("true");
    await page.keyboard.press("ArrowDown");
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-level"));
    await expect.poll(focused).toBe("2");
  });

  test("a filter that matches nothing says so and clears", async () => {
    await open("shop.json");
    await page.getByLabel("Filter tracks by name or id").fill("zzz");
    await page.getByText("No track's name or id contains “zzz”.").waitFor();
    await page.getByText("Clear the filter").click();
    await expect.poll(async () => (await state()).lines.length).toBeGreaterThan(2);
  });

  test("dark follows the system, the toggle wins and is remembered", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await open("shop.json");
    const corner = () =>
      page.evaluate(() => {
        const canvas = document.querySelector<HTMLCanvasElement>(".view canvas")!;
        const { data } = canvas.getContext("2d")!.getImageData(2, canvas.height - 2, 1, 1);
        return data[0]!;
      });
    expect((await state()).theme).toBe("dark");
    expect(await corner()).toBeLessThan(60);
    await page.getByLabel("Switch to the light theme").click();
    await expect.poll(corner).toBeGreaterThan(200);
    await page.reload();
    await whenShown(page);
    expect((await state()).theme).toBe("light");
    await page.evaluate(() => localStorage.clear());
  });

  test("a dropped file opens", async () => {
    await page.goto(addressOf(site.server));
    await page.getByText("Open a trace").waitFor();
    const bytes = [...chromeTrace()];
    const transfer = await page.evaluateHandle((content) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(content)], "dropped.json"));
      return data;
    }, bytes);
    await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
    await whenShown(page);
    expect((await state()).events).toBe(chromeEvents);
    expect(await page.locator(".brand").textContent()).toBe("dropped.json");
  });

  test("thread states, CPUs, samples and losses of a recording", async () => {
    await open("box.pftrace");
    const { lines, rows, problems } = await state();
    expect(lines.map(({ title }) => title)).toEqual(
      expect.arrayContaining(["CPUs", "CPU 0", "server", "Other processes"]),
    );
    expect(rows.some(({ kind }) => kind === "thread_state")).toBe(true);
    expect(rows.some(({ kind }) => kind === "sched")).toBe(true);
    expect(problems).toBe(1);
    expect(await page.locator(".badge").textContent()).toContain("12 events lost");
    expect(await page.locator(".legend").textContent()).toContain("Runnable, waits for a CPU");
    const at = await pointAt("server", "thread_state", 0.35);
    await page.mouse.move(at.x, at.y);
    await expect.poll(() => page.locator(".tooltip").textContent()).toContain("Sleeping");
    const lossAt = await pointAt("server", "thread_state", 0.64);
    await page.mouse.move(lossAt.x, lossAt.y);
    await expect.poll(() => page.locator(".tooltip").textContent()).toContain("12 lost on CPU 0");
    await page.keyboard.press("q");
    await page.getByRole("tab", { name: "Flame" }).click();
    await expect.poll(() => page.locator(".flame-head").textContent()).toContain("samples");
    await page.getByRole("tab", { name: "Log" }).click();
    await expect.poll(() => page.locator(".log").textContent()).toContain("lost-events");
  });

  test("a file cut short opens with an amber strip", async () => {
    await open("cut.json");
    await page.getByText("The file ends early; what was read is shown.").waitFor();
    expect((await state()).events).toBeGreaterThan(5);
  });

  test.each(["garbage.bin", "empty.json"])("%s is refused in words", async (name) => {
    await page.goto(`${addressOf(site.server)}/?url=/files/${name}`);
    await page.getByText(`${name} did not open`).waitFor();
    expect((await page.locator(".reason").textContent())?.length).toBeGreaterThan(10);
    await page.getByText("Choose a file…").waitFor();
  });

  test("an address that is not http is refused", async () => {
    await page.goto(`${addressOf(site.server)}/?url=javascript:alert(1)`);
    await page.getByText("not an http address").waitFor();
  });

  test("? shows the keys, Esc hides them", async () => {
    await open("shop.json");
    await page.keyboard.press("?");
    await page.getByText("zoom in, out at the pointer").waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("zoom in, out at the pointer").waitFor({ state: "hidden" });
  });
});

/** 20 requests with 2 queries each on two threads, 8 counter values. */
const chromeEvents = 20 * 3 + 20 + 8;
