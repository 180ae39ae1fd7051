/** `kymo open` as a user runs it: the built program, its thread, its signals. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { decodeMessage, type EngineMessage, encodeMessage } from "@kymo/trace/engine";
import { afterAll, expect, test } from "vitest";
import { WebSocket } from "ws";

const bin = fileURLToPath(new URL("../../bin/kymo.mjs", import.meta.url));
const dir = mkdtempSync(path.join(tmpdir(), "kymo-open-"));
const running: ChildProcess[] = [];
afterAll(() => {
  for (const child of running) if (child.exitCode === null) child.kill("SIGKILL");
  rmSync(dir, { recursive: true });
});

function file(name: string, content: string | Uint8Array): string {
  const at = path.join(dir, name);
  writeFileSync(at, content);
  return at;
}
const events = Array.from({ length: 300 }, (_, i) => ({
  ph: "X",
  name: "step",
  ts: i * 10,
  dur: 5,
  pid: 1,
  tid: 2,
}));
const good = file("good.json", JSON.stringify({ traceEvents: events }));

function kymo(...args: string[]) {
  const child = spawn(process.execPath, [bin, "open", "--no-browser", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.push(child);
  const said = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.err += text;
  });
  const ended = new Promise<number | null>((resolve) => child.on("close", (code) => resolve(code)));
  const links = (count: number): Promise<string[]> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const lines = said.out.split("\n").slice(0, -1);
        if (lines.length >= count) resolve(lines);
      };
      child.stdout.on("data", look);
      void ended.then(() => reject(new Error(`ended without a link: ${said.err}`)));
      look();
    });
  return { child, said, ended, links };
}

test("prints the link, serves the trace through it, ends with 0 on Ctrl-C", async () => {
  const { child, ended, links, said } = kymo(good);
  const [link] = await links(1);
  const { host, search, hostname } = new URL(link!);
  expect(hostname).toBe("127.0.0.1");
  const socket = new WebSocket(`ws://${host}/engine${search}`);
  const done = new Promise<EngineMessage>((resolve) =>
    socket.on("message", (data: Buffer) => {
      const message = decodeMessage(new Uint8Array(data)) as EngineMessage;
      if (message.type === "tracks" && message.done) resolve(message);
    }),
  );
  socket.on("open", () => socket.send(encodeMessage({ type: "hello", version: 1 })));
  expect(await done).toMatchObject({ summary: { name: "good.json", events: 300 } });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  child.kill("SIGINT");
  expect(await ended).toBe(0);
  await closed;
  expect(said.err).toBe("");
});

test("several files get a link each, on ports that follow", async () => {
  const other = file("other.json.gz", gzipSync(JSON.stringify(events)));
  const port = await freePort();
  const { child, ended, links } = kymo("--port", String(port), good, other);
  const lines = await links(2);
  expect(lines[0]).toContain(`good.json: http://127.0.0.1:${port}/?token=`);
  expect(lines[1]).toContain(`other.json.gz: http://127.0.0.1:${port + 1}/?token=`);
  const taken = kymo("--port", String(port), good);
  expect(await taken.ended).toBe(1);
  expect(taken.said.err).toContain(`port ${port} is taken`);
  child.kill("SIGTERM");
  expect(await ended).toBe(0);
});

test.each([
  ["a missing file", path.join(dir, "none"), "no such file"],
  ["an empty file", file("empty", ""), "is empty"],
  [
    "garbage",
    file(
      "garbage",
      Uint8Array.from({ length: 70_000 }, (_, i) => (i * 7919) >>> 3),
    ),
    "no known trace format",
  ],
  ["a directory", dir, "is a directory"],
  [
    "gzip that expands 1000 times",
    file(
      "bomb.json.gz",
      gzipSync(
        Buffer.concat([
          Buffer.from(`{"traceEvents":[${JSON.stringify(events[0])},`),
          Buffer.alloc(200_000_000, " "),
        ]),
      ),
    ),
    "looks made to fill the memory",
  ],
  ["gzip of nothing", file("void.gz", gzipSync("")), "holds nothing"],
])("%s: words on stderr, exit 1, nothing served", async (_, name, words) => {
  const { ended, said } = kymo(name);
  expect(await ended).toBe(1);
  expect(said.out).toBe("");
  expect(said.err).toContain(words);
  expect(said.err).not.toMatch(/^\s+at /m);
});

test("wrong usage is exit 2", async () => {
  for (const args of [[], ["--port", "70000", good], ["--fort", "1", good]]) {
    const { ended, said } = kymo(...args);
    expect(await ended, args.join(" ")).toBe(2);
    expect(said.err).toContain("kymo open --help");
  }
});

/** A port with a free one after it, as far as one can know. */
/** A port that is free, as is the next one: below the ports that the kernel hands out, where nobody takes them meanwhile. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
}
function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
