/**
 * A small web shop under load, made to be traced: several processes, CPU work, file I/O, a lock, and one
 * planted stall. Needs nothing but Node. `npm run demo` records it.
 *
 *     shop-frontend ──pipe──► shop-checkout ×2 ──┐
 *                                                ├─ inventory lock (a token in a pipe: take = read, give = write)
 *     shop-resize  (CPU: the busiest process)    │
 *     shop-report  (writes and syncs a file) ────┘  once it keeps the lock far too long: that is the stall
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const LOCK_READ = 3;
const LOCK_WRITE = 4;
const token = Buffer.from("L");
const self = fileURLToPath(import.meta.url);
const [role = "shop", secondsText = "3"] = process.argv.slice(2);
const runMs = Number(secondsText) * 1000;
process.title = role;
const startMs = performance.now();
const elapsedMs = () => performance.now() - startMs;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function take() {
  fs.readSync(LOCK_READ, Buffer.alloc(1), 0, 1, null);
}
function give() {
  fs.writeSync(LOCK_WRITE, token);
}
function burn(ms) {
  const end = performance.now() + ms;
  let digest = Buffer.alloc(64);
  while (performance.now() < end) digest = createHash("sha512").update(digest).digest();
  return digest;
}

const roles = {
  /** Starts the others and waits for them. */
  async shop() {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), "kymo-shop-"));
    const lock = openPipe(dir);
    fs.writeSync(lock.write, token);
    const start = (name, ...args) =>
      spawn(process.execPath, [self, name, secondsText, ...args], {
        stdio: ["pipe", "pipe", "inherit", lock.read, lock.write],
      });
    const checkouts = [start("shop-checkout"), start("shop-checkout")];
    const others = [start("shop-resize"), start("shop-report", dir)];
    const exits = [...checkouts, ...others].map((child) => new Promise((resolve) => child.on("exit", resolve)));
    process.title = "shop-frontend";
    const latenciesMs = await serve(checkouts);
    for (const child of checkouts) child.stdin.end();
    const codes = await Promise.all(exits);
    fs.rmSync(dir, { recursive: true, force: true });
    latenciesMs.sort((a, b) => a - b);
    const at = (q) => latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * q))].toFixed(1);
    console.log(`shop: ${latenciesMs.length} requests, median ${at(0.5)} ms, p99 ${at(0.99)} ms, slowest ${at(1)} ms`);
    if (codes.some((code) => code !== 0)) process.exitCode = 1;
  },
  /** One request per line: price it, take the lock, book it, write it down. */
  async "shop-checkout"() {
    const log = fs.openSync(path.join(os.tmpdir(), `kymo-shop-orders-${process.pid}`), "w", 0o600);
    fs.unlinkSync(path.join(os.tmpdir(), `kymo-shop-orders-${process.pid}`));
    let pending = "";
    for await (const chunk of process.stdin) {
      pending += chunk;
      const lines = pending.split("\n");
      pending = lines.pop();
      for (const line of lines) {
        burn(2);
        take();
        burn(1);
        give();
        fs.writeSync(log, `${line} ${"order ".repeat(40)}\n`);
        process.stdout.write(`${line}\n`);
      }
    }
  },
  /** Pictures to scale, without end: the busiest process. */
  async "shop-resize"() {
    while (elapsedMs() < runMs * 0.95) {
      burn(24);
      await sleep(3);
    }
  },
  /** Writes a report every 250 ms. At 40 % of the run it forgets to give the lock back first: the planted stall. */
  async "shop-report"() {
    const file = path.join(process.argv[4], "report");
    let stalled = false;
    while (elapsedMs() < runMs * 0.9) {
      const stall = !stalled && elapsedMs() > runMs * 0.4;
      if (stall) take();
      const fd = fs.openSync(file, "w", 0o600);
      for (let i = 0; i < 16; i++) fs.writeSync(fd, Buffer.alloc(256 * 1024, i));
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      if (stall) {
        await sleep(180);
        give();
        stalled = true;
      }
      await sleep(250);
    }
  },
};

/** A named pipe opened at both ends, so that every process can hold both. */
function openPipe(dir) {
  const file = path.join(dir, "lock");
  const made = spawnSync("mkfifo", ["-m", "600", file]);
  if (made.status !== 0) throw new Error("shop: mkfifo failed; is it on the PATH?");
  const read = fs.openSync(file, fs.constants.O_RDWR);
  return { read, write: fs.openSync(file, fs.constants.O_RDWR) };
}

/** Sends requests to the checkouts in turn, at most two each under way; resolves with all latencies. */
async function serve(checkouts) {
  const latenciesMs = [];
  let next = 0;
  await Promise.all(
    checkouts.map(async (checkout) => {
      const sentMs = new Map();
      let underWay = 0;
      let wake = () => {};
      let pending = "";
      checkout.stdout.on("data", (chunk) => {
        pending += chunk;
        const lines = pending.split("\n");
        pending = lines.pop();
        for (const line of lines) {
          latenciesMs.push(performance.now() - sentMs.get(line));
          sentMs.delete(line);
          underWay--;
        }
        wake();
      });
      while (elapsedMs() < runMs) {
        if (underWay < 2) {
          const id = String(next++);
          sentMs.set(id, performance.now());
          underWay++;
          checkout.stdin.write(`${id}\n`);
          await sleep(6);
        } else await new Promise((resolve) => (wake = resolve));
      }
      while (underWay > 0) await new Promise((resolve) => (wake = resolve));
    }),
  );
  return latenciesMs;
}

const run = Object.hasOwn(roles, role) ? roles[role] : undefined;
if (run === undefined) throw new Error(`shop: unknown role ${role}`);
await run();
