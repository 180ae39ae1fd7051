/** `kymo probe --watch` in the real kernel: saved files take over from each other while a program goes on. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { decodeMessage, type EngineMessage, encodeMessage } from "@kymo/trace/engine";
import { afterEach, beforeEach, expect } from "vitest";
import { WebSocket } from "ws";
import { testNeeding } from "../testing/capability.ts";

const kymo = process.env["KYMO"] ?? fileURLToPath(new URL("../../bin/kymo.mjs", import.meta.url));
const watchTest = testNeeding("linux", "root", "bpf", "tracepoints");

/** Closes descriptors that are none, one after the other from here on: each call is known by its argument. */
const firstCall = 1_000_000;
const caller = `
const { closeSync } = require("node:fs");
let next = ${firstCall};
setInterval(() => {
  for (let i = 0; i < 20; i++) try { closeSync(next++); } catch {}
}, 1);`;

let dir: string;
let children: ChildProcess[];
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "kymo-swap-"));
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

class Running {
  /** On both streams, as it came. */
  said = "";
  printed = "";
  readonly child: ChildProcess;
  readonly #waiting = new Set<() => void>();

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    children.push(this.child);
    this.child.stdout!.on("data", (text: string) => {
      this.printed += text;
    });
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.said += text;
        for (const look of this.#waiting) look();
      });
  }

  /** Until it has said that. */
  async says(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!this.said.includes(text)) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      this.child.once("exit", () => reject(new Error(`ended without "${text}": ${this.said}`)));
      look();
    });
  }

  async ends(signal: NodeJS.Signals = "SIGINT"): Promise<number | null> {
    const status = new Promise<number | null>((resolve) => this.child.once("exit", resolve));
    this.child.kill(signal);
    return status;
  }

  /** What it holds in the kernel. */
  held(): string[] {
    const folder = `/proc/${this.child.pid}/fd`;
    const links = readdirSync(folder).map((fd) => {
      try {
        return readlinkSync(path.join(folder, fd));
      } catch {
        return ""; // closed just now
      }
    });
    return links.filter((link) => /bpf/.test(link)).sort();
  }
}

/** As many editors do. */
function save(name: string, text: string): void {
  const file = path.join(dir, name);
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

const probe = (version: string, more = ""): string => `
import { count, print, syscall } from "kymo/probe";
import { tag } from "./tag.ts";
const calls = count({ name: "calls of ${version}" });
syscall("close", (e) => {
  if (e.fd < ${firstCall}) return;
  calls.add();
  print\`<\${tag} ${version} \${e.fd}>\`;${more}
});
`;

watchTest(
  "versions follow each other without a gap, a failing one changes nothing, and nothing stays behind",
  async () => {
    save("tag.ts", 'export const tag = "one";');
    save("probe.ts", probe("A"));
    new Running("-e", caller);
    const running = new Running(kymo, "probe", "--watch", path.join(dir, "probe.ts"));
    await running.says("<one A ");
    const held = running.held();
    expect(held.length).toBeGreaterThan(0);

    save("probe.ts", probe("B"));
    await running.says("<one B ");
    save("probe.ts", probe("C", "nope();"));
    await running.says("nope is not defined here");
    await running.says("the version before it runs on");
    save("tag.ts", 'export const tag = "two";');
    save("probe.ts", probe("D"));
    await running.says("<two D ");
    // What it imports is watched, too.
    save("tag.ts", 'export const tag = "three";');
    await running.says("<three D ");
    // The last one is let go when its ring is empty.
    while (running.held().length > held.length) await new Promise((go) => setTimeout(go, 10));
    expect(running.held()).toEqual(held);
    expect(await running.ends()).toBe(0);

    const calls = [...running.printed.matchAll(/<(\w+ \w) (\d+)>/g)];
    const versions = [...new Set(calls.map(([, version]) => version))];
    expect(versions).toEqual(["one A", "one B", "two D", "three D"]);
    const seen = new Set(calls.map(([, , call]) => Number(call)));
    const [first, last] = [Math.min(...seen), Math.max(...seen)];
    expect(last - first + 1).toBe(seen.size);
    // What a version has counted is what it has printed.
    const counted = [...running.printed.matchAll(/calls of \w: ([\d,]+)/g)].map(([, text]) =>
      Number(text!.replaceAll(",", "")),
    );
    expect(counted).toEqual(
      versions.map((version) => calls.filter(([, of]) => of === version).length),
    );
  },
);

watchTest("who watches the page sees why an edit failed, and the events of the next", async () => {
  const source = (name: string) =>
    `import { instant, syscall } from "kymo/probe";\nsyscall("close", (e) => { if (e.fd >= ${firstCall}) instant({ name: ${name} }); });\n`;
  save("probe.ts", source('"before"'));
  new Running("-e", caller);
  const trace = path.join(dir, "t.pftrace");
  const file = path.join(dir, "probe.ts");
  const running = new Running(kymo, "probe", "--watch", "--live", file, "-o", trace);
  await running.says("live: http");
  const link = new URL(/http:\S+/.exec(running.said)![0]);
  const socket = new WebSocket(`ws://${link.host}/engine${link.search}`);
  const told: EngineMessage[] = [];
  socket.on("message", (bytes: Buffer) =>
    told.push(decodeMessage(Uint8Array.from(bytes)) as EngineMessage),
  );
  await new Promise((open) => socket.once("open", open));
  socket.send(encodeMessage({ type: "hello", version: 1 }));
  const until = async (is: (message: EngineMessage) => boolean): Promise<void> => {
    while (!told.some(is)) await new Promise((next) => socket.once("message", next));
  };
  await until((message) => message.type === "tracks" && message.summary.events > 0);
  save("probe.ts", source("nope"));
  await until(
    (message) =>
      message.type === "problems" &&
      message.problems.some((problem) =>
        /probe\.ts:2:\d+: nope is not defined/.test(problem.message),
      ),
  );
  save("probe.ts", source('"after"'));
  await running.says("probes: the new version runs");
  socket.close();
  await running.ends("SIGTERM");
  expect(readFileSync(trace).includes("after")).toBe(true);
});
