import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  decodeMessage,
  type EngineMessage,
  encodeMessage,
  type PageMessage,
} from "@kymo/trace/engine";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { openerFor } from "./browser.ts";
import { hostFile } from "./engine-host.ts";
import { serveTrace, type TraceServer } from "./serve.ts";

const dir = mkdtempSync(path.join(tmpdir(), "kymo-serve-"));
const trace = path.join(dir, "naïve trace.json");
const page = path.join(dir, "page");
let server: TraceServer;
let token: string;

function events(count: number): object[] {
  return Array.from({ length: count }, (_, i) => ({
    ph: "X",
    name: `step ${i % 10}`,
    ts: 10 * i,
    dur: 5,
    pid: 7,
    tid: 7 + (i % 2),
    args: { n: i },
  }));
}
beforeAll(async () => {
  mkdirSync(path.join(page, "assets"), { recursive: true });
  writeFileSync(path.join(page, "index.html"), "<!doctype html><title>kymo</title>");
  writeFileSync(path.join(page, "assets/app.js"), "export {};");
  writeFileSync(path.join(dir, "secret.txt"), "secret");
  writeFileSync(trace, JSON.stringify({ traceEvents: events(1000) }));
  server = await serveTrace(trace, { page, engines: await hostFile(trace) });
  token = new URL(server.url).searchParams.get("token")!;
});
afterAll(async () => {
  await server?.close();
  rmSync(dir, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: unknown };
  readonly body: Buffer;
}
/** A raw request: the path goes out as it is, headers may lie. */
function ask(target: string, headers: object = {}, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { port } = server;
    const sent = request({
      host: "127.0.0.1",
      port,
      path: target,
      method,
      headers: { ...headers },
    });
    sent.on("error", reject);
    sent.on("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: Buffer.concat(parts),
        }),
      );
    });
    sent.end();
  });
}

test("the link gives the page, with a policy that allows nothing inline, foreign or evaluated", async () => {
  const { status, headers, body } = await ask(`/?token=${token}`);
  expect([status, body.toString()]).toEqual([200, "<!doctype html><title>kymo</title>"]);
  expect(headers["x-content-type-options"]).toBe("nosniff");
  expect(headers["referrer-policy"]).toBe("no-referrer");
  const policy = String(headers["content-security-policy"]);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self';");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toMatch(/unsafe|\*|https?:/);
});

test("without the token, or with another, there is no page, no trace and no engine", async () => {
  for (const query of ["", "?token=", "?token=x", `?token=${token}x`, `?Token=${token}`]) {
    for (const target of ["/", "/index.html", "/trace"])
      expect((await ask(target + query)).status, target + query).toBe(403);
    expect(await dial(`/engine${query}`)).toBe(403);
  }
  expect((await ask("/assets/app.js")).status).toBe(200);
});

test("a request by another name is refused: DNS rebinding", async () => {
  for (const host of [
    "evil.example",
    `evil.example:${server.port}`,
    "127.0.0.1.evil.example",
    "[::2]",
  ]) {
    expect((await ask(`/?token=${token}`, { host })).status, host).toBe(403);
    expect((await ask("/assets/app.js", { host })).status, host).toBe(403);
    expect(await dial(`/engine?token=${token}`, { host })).toBe(403);
  }
  for (const host of [`localhost:${server.port}`, "127.0.0.1:9", "LOCALHOST", "[::1]:80"])
    expect((await ask(`/?token=${token}`, { host })).status, host).toBe(200);
});

test("a page of another origin is refused", async () => {
  const own = `http://127.0.0.1:${server.port}`;
  for (const origin of [
    "http://evil.example",
    "null",
    `https://127.0.0.1:${server.port}`,
    "http://127.0.0.1:1",
  ]) {
    expect((await ask(`/trace?token=${token}`, { origin })).status).toBe(403);
    expect(await dial(`/engine?token=${token}`, { origin })).toBe(403);
  }
  expect((await ask(`/trace?token=${token}`, { origin: own })).status).toBe(200);
  expect(await dial(`/engine?token=${token}`, { origin: own })).toBe(101);
});

test("nothing outside the page's build can be asked for", async () => {
  for (const target of [
    "/../secret.txt",
    "/assets/../../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "/assets/..%5c..%5csecret.txt",
    "//secret.txt",
    "/assets",
    "/assets/",
    "/secret.txt",
    `/${dir}/secret.txt`,
    "/__proto__",
  ]) {
    const { status, body } = await ask(`${target}?token=${token}`);
    expect([400, 404], target).toContain(status);
    expect(body.toString()).not.toContain("secret\n");
  }
  expect((await ask(`/?token=${token}`, {}, "POST")).status).toBe(405);
  expect((await ask(`http://[/?token=${token}`)).status).toBe(400);
});

test("the trace file is sent as it is", async () => {
  const { status, headers, body } = await ask(`/trace?token=${token}`);
  expect(status).toBe(200);
  expect(body.equals(readFileSync(trace))).toBe(true);
  expect(headers["content-disposition"]).toBe(
    "attachment; filename*=UTF-8''na%C3%AFve%20trace.json",
  );
  const head = await ask(`/trace?token=${token}`, {}, "HEAD");
  expect([head.body.length, head.headers["content-length"]]).toEqual([0, String(body.length)]);
});

/** @returns the status of the handshake */
function dial(target: string, headers: object = {}): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}${target}`, {
      headers: { ...headers },
    });
    socket.on("open", () => {
      socket.close();
      resolve(101);
    });
    socket.on("unexpected-response", (_, response) => {
      response.resume();
      socket.terminate();
      resolve(response.statusCode!);
    });
    socket.on("error", () => {}); // follows the answer above
  });
}

/** A page as the protocol sees it. */
class Page {
  readonly heard: EngineMessage[] = [];
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  #wake = (): void => {};
  constructor() {
    this.#socket = new WebSocket(`ws://127.0.0.1:${server.port}/engine?token=${token}`);
    this.closed = new Promise((resolve) => this.#socket.on("close", resolve));
    this.#socket.on("message", (data: Buffer) => {
      this.heard.push(decodeMessage(new Uint8Array(data)) as EngineMessage);
      this.#wake();
    });
  }
  async opened(): Promise<this> {
    await new Promise((resolve) => this.#socket.once("open", resolve));
    this.send({ type: "hello", version: 1 });
    return this;
  }
  send(message: PageMessage): void {
    this.#socket.send(encodeMessage(message));
  }
  sendRaw(bytes: Uint8Array | string): void {
    this.#socket.send(bytes);
  }
  async next<Type extends EngineMessage["type"]>(
    type: Type,
    met: (message: Extract<EngineMessage, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<EngineMessage, { type: Type }>> {
    for (;;) {
      const found = this.heard.find((each) => each.type === type && met(each as never));
      if (found !== undefined) return found as never;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
  close(): void {
    this.#socket.close();
  }
}

test("a session: hello, tracks, a strip, details, a query; two pages at a time", async () => {
  const [page, other] = [await new Page().opened(), await new Page().opened()];
  expect(await page.next("hello")).toEqual({
    type: "hello",
    version: 1,
    kind: "server",
    sql: true,
  });
  const { tracks, summary } = await page.next("tracks", ({ done }) => done);
  expect(summary).toMatchObject({ name: "naïve trace.json", events: 1000 });
  const row = tracks.flatMap((track) => track.rows).find(({ kind }) => kind === "slice")!;
  const { fromNs: from, toNs: to } = summary;
  page.send({
    type: "viewport",
    id: 5,
    rows: [row.id],
    from,
    to,
    width: 300,
    theme: "dark",
    highlight: "",
    labelMinPx: 34,
  });
  const strip = await page.next("strip", ({ id }) => id === 5);
  expect(strip.pixels).toBeInstanceOf(Uint32Array);
  expect(strip.pixels).toHaveLength(300);
  expect(strip.pixels.some((pixel) => pixel !== 0)).toBe(true);
  page.send({ type: "details", id: 6, row: row.id, index: 3 });
  const { details } = await page.next("details", ({ id }) => id === 6);
  expect(details).toMatchObject({ dur: 5000, args: { n: expect.any(Number) } });
  page.send({
    type: "sql",
    id: 7,
    sql: "SELECT name, count(*) AS n FROM slice GROUP BY name ORDER BY name LIMIT 2",
  });
  expect(await page.next("sql", ({ id }) => id === 7)).toEqual({
    type: "sql",
    id: 7,
    columns: ["name", "n"],
    rows: [
      ["step 0", 100],
      ["step 1", 100],
    ],
    truncated: false,
  });
  page.send({ type: "sql", id: 8, sql: "SELECT * FROM slic" });
  expect((await page.next("error", ({ id }) => id === 8)).message).toContain("slic");
  expect((await other.next("tracks", ({ done }) => done)).tracks).toEqual(tracks);
  page.close();
  other.close();
});

test("a page that sends no message of the protocol is hung up on; the others go on", async () => {
  const other = await new Page().opened();
  for (const rubbish of [
    new Uint8Array(0),
    Uint8Array.of(1, 2, 3),
    new Uint8Array(64).fill(255),
    "text",
  ]) {
    const page = await new Page().opened();
    page.sendRaw(rubbish);
    expect([1003, 1007]).toContain(await page.closed);
  }
  const tooLong = await new Page().opened();
  tooLong.sendRaw(new Uint8Array(5 * 1024 * 1024));
  expect(await tooLong.closed).toBe(1009);
  other.send({ type: "minimap", id: 3, width: 50 });
  expect((await other.next("minimap")).density).toHaveLength(50);
  other.close();
});

test("a taken port is a plain message", async () => {
  const engines = await hostFile(trace);
  await expect(serveTrace(trace, { page, engines, port: server.port })).rejects.toThrow(
    `port ${server.port} is taken by another program`,
  );
});

test("files that are no trace are refused before anything is served", async () => {
  const cases: [string, string | Uint8Array | undefined, RegExp][] = [
    ["missing", undefined, /no such file/],
    ["empty", "", /empty/],
    ["garbage", new Uint8Array(3000).map((_, i) => (i * 7919) >>> 3), /no known trace format/],
    [".", undefined, /directory/],
  ];
  for (const [name, content, words] of cases) {
    const file = path.join(dir, name);
    if (content !== undefined) writeFileSync(file, content);
    await expect(
      hostFile(file).then((engines) => serveTrace(file, { page, engines })),
    ).rejects.toThrow(words);
  }
});

test("a page that is not built says how to build it", async () => {
  const bare = await serveTrace(trace, {
    page: path.join(dir, "nothing"),
    engines: await hostFile(trace),
  });
  const response = await fetch(bare.url);
  expect([response.status, await response.text()]).toEqual([
    503,
    expect.stringContaining("npm run build"),
  ]);
  await bare.close();
});

test("a browser is opened only where there is a desktop", () => {
  expect(openerFor("linux", {})).toBeUndefined();
  expect(openerFor("linux", { DISPLAY: ":0" })).toEqual(["xdg-open"]);
  expect(openerFor("linux", { WAYLAND_DISPLAY: "wayland-0" })).toEqual(["xdg-open"]);
  expect(openerFor("darwin", {})).toEqual(["open"]);
});
