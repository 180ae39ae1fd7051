/**
 * Files that are no trace, or only a part of one, through the command line: a clear message, exit status 1, within 5 s and
 * 256 MiB, and never a stack trace. What is cut short behind a readable start is a trace with a problem: exit status 0.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testNeeding } from "../testing/capability.ts";

const kymo = fileURLToPath(new URL("../../bin/kymo.mjs", import.meta.url));
const MAX_MS = 5000;
const MAX_RSS_BYTES = 256 * 2 ** 20;
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), "kymo-hostile-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
  readonly maxRssBytes: number;
}

/** Runs kymo with a small heap; at its end it tells its peak memory on file descriptor 3. */
function run(args: readonly string[], input?: Uint8Array, heapMb = 160): Promise<Ended> {
  // Not resourceUsage().maxRSS where it can be helped: Linux counts in what the parent held when it forked.
  const tell = `import fs from "node:fs";
    process.on("exit", () => {
      const high = process.platform === "linux" && /VmHWM:\\s+(\\d+)/.exec(fs.readFileSync("/proc/self/status", "utf8"));
      fs.writeSync(3, String(1024 * (high ? Number(high[1]) : process.resourceUsage().maxRSS)));
    });`;
  const hook = `data:text/javascript,${encodeURIComponent(tell)}`;
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [`--max-old-space-size=${heapMb}`, "--import", hook, kymo, ...args],
      { cwd: dir, stdio: ["pipe", "pipe", "pipe", "pipe"] },
    );
    const texts = ["", "", "", ""];
    for (const fd of [1, 2, 3])
      child.stdio[fd]?.on("data", (chunk) => {
        texts[fd] += String(chunk);
      });
    child.stdin?.on("error", () => {}); // it may stop reading early
    child.stdin?.end(input ?? "");
    child.once("error", reject);
    child.once("close", (status) =>
      resolve({
        status,
        stdout: texts[1]!,
        stderr: texts[2]!,
        ms: performance.now() - started,
        maxRssBytes: Number(texts[3]),
      }),
    );
  });
}

function expectBounds({ ms, maxRssBytes, stderr, stdout }: Ended): void {
  expect(ms).toBeLessThan(MAX_MS);
  expect(maxRssBytes).toBeGreaterThan(0);
  expect(maxRssBytes).toBeLessThan(MAX_RSS_BYTES);
  expect(stderr + stdout).not.toMatch(/^\s+at /m);
}

/** Both commands refuse `bytes` with words that match. */
async function expectRefused(name: string, bytes: Uint8Array, words: RegExp): Promise<void> {
  const file = path.join(dir, name);
  writeFileSync(file, bytes);
  for (const args of [
    ["info", file],
    ["convert", file, path.join(dir, "out.json")],
  ]) {
    const ended = await run(args);
    expect(ended.stderr).toMatch(words);
    expect(ended.status).toBe(1);
    expectBounds(ended);
    expect(ended.stderr.trim().split("\n").length).toBeLessThanOrEqual(3);
  }
  expect(existsSync(path.join(dir, "out.json"))).toBe(false);
  expect(readdirSync(dir).filter((each) => each.endsWith(".tmp"))).toEqual([]);
}

const event = '{"ph":"X","name":"work","pid":1,"tid":1,"ts":1,"dur":2},\n';

describe("refused", () => {
  test.each([
    ["empty.json", new Uint8Array(0), /is empty/],
    ["zeros.pftrace", new Uint8Array(1 << 20), /no known trace format: .* bytes 00 00/],
    ["text.json", Buffer.from("hello world\n".repeat(90_000)), /text "hello world/],
    ["words.json", Buffer.from('{"name": "a package", "version": "1.0.0"}'), /no/],
    ["brackets.json", Buffer.from("[".repeat(1 << 20)), /no/],
    ["braces.json", Buffer.from('{"a":'.repeat(200_000)), /no/],
    ["string.json", Buffer.from(`[{"ph":"X","name":"${"a".repeat(40 << 20)}`), /no whole trace/],
    ["elf.pftrace", Buffer.from("\x7fELF\x02\x01\x01"), /a program \(ELF\)/],
    ["zip.json", Buffer.from("PK\x03\x04 and so on"), /zip archive/],
    ["header.json.gz", Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), /gzip/],
    ["twice.json.gz", gzipSync(gzipSync(Buffer.from(`[${event}`))), /gzip within/],
  ])("%s", (name, bytes, words) => expectRefused(name, bytes, words));

  test("a megabyte of random bytes", async () => {
    for (let i = 0; i < 3; i++)
      await expectRefused(`random-${i}.pftrace`, randomBytes(1 << 20), /: .*(at byte \d+)/);
  });
  test("packets that claim 4 GiB", async () => {
    const length = [0x80, 0x80, 0x80, 0x80, 0x10];
    await expectRefused("claim.pftrace", Buffer.from([0x0a, ...length, 1, 2, 3, 4]), /./);
  });
  test("zstd windows and sizes of gigabytes", async () => {
    const magic = [0x28, 0xb5, 0x2f, 0xfd];
    await expectRefused("w.zst", Buffer.from([...magic, 0, 0xf8, 1, 0, 0, 1, 2, 3]), /window of/);
    const size = [0, 0, 0, 0, 1, 0, 0, 0];
    await expectRefused("s.zst", Buffer.from([...magic, 0xe0, ...size, 1, 0, 0]), /window of/);
  });
  test("gzip that expands a thousand times", async () => {
    const blanks = Buffer.alloc(160 << 20, 0x20);
    blanks.write(`[${event}`);
    const bomb = gzipSync(blanks);
    expect(blanks.length / bomb.length).toBeGreaterThan(1000);
    await expectRefused("blanks.json.gz", bomb, /made to fill the memory/);
    const events = gzipSync(Buffer.alloc(160 << 20, event));
    await expectRefused("events.json.gz", events, /made to fill the memory/);
  });
  test("zstd that expands ten thousand times", async () => {
    // One frame of 2000 RLE blocks of 128 KiB, in 8 kB.
    const block = (last: number) => [
      ...[0, 8, 16].map((n) => (((131_072 << 3) | 2 | last) >> n) & 255),
      0,
    ];
    const blocks = Array.from({ length: 2000 }, () => block(0)).flat();
    const bytes = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x38, ...blocks, ...block(1)];
    await expectRefused("blanks.zst", Buffer.from(bytes), /made to fill the memory/);
  });
  test("more tracks than can be shown", async () => {
    const lines = Array.from(
      { length: 300_000 },
      (_, i) => `{"ph":"X","pid":1,"tid":${i},"ts":1,"dur":2}`,
    );
    writeFileSync(path.join(dir, "tracks.json"), `[${lines.join(",\n")}]`);
    for (const args of [
      ["info", "tracks.json"],
      ["query", "tracks.json", "FROM slice"],
    ]) {
      const ended = await run(args, undefined, 2000);
      expect(ended.stderr).toMatch(/^tracks.json: the trace has more than 262144 tracks/);
      expect(ended.status).toBe(1);
    }
  });
  test("what is no file", async () => {
    mkdirSync(path.join(dir, "folder"));
    for (const [file, words] of [
      ["missing.json", /missing.json: no such file/],
      ["folder", /folder is a directory/],
      ["/dev/zero", /is a device/],
      ["text.json/x", /not a directory/],
    ] as const) {
      writeFileSync(path.join(dir, "text.json"), "x");
      const ended = await run(["info", file]);
      expect(ended.stderr).toMatch(words);
      expect(ended.status).toBe(1);
      expectBounds(ended);
    }
  });
  test("an output that cannot be, or is the input", async () => {
    const input = path.join(dir, "in.json");
    writeFileSync(input, `[${event}`);
    for (const [output, words, status] of [
      ["in.json", /is the input itself/, 1],
      ["folder2/out.json", /directory does not exist/, 1],
      ["out.xyz", /no extension that names a format/, 2],
      ["out.json.zst", /zstd can be read, not written/, 2],
    ] as const) {
      const ended = await run(["convert", input, output]);
      expect(ended.stderr).toMatch(words);
      expect(ended.status).toBe(status);
    }
    const unknown = await run(["convert", input, "x.json", "--to", "crome-json"]);
    expect(unknown.stderr).toMatch(/did you mean chrome-json/);
    expect(unknown.status).toBe(2);
  });
});

describe("cut short", () => {
  const file = `{"displayTimeUnit":"ns","traceEvents":[\n${event.repeat(5000)}${event.slice(0, -2)}\n],"otherData":{"host":"x"}}`;

  test("JSON keeps what was whole, and says so", async () => {
    const whole = file.length;
    const inEvent = file.indexOf("{", 100_000) + 20;
    for (const length of [60, 90, inEvent, file.indexOf("\n]"), whole - 30, whole - 1]) {
      const input = path.join(dir, "cut.json");
      writeFileSync(input, file.slice(0, length));
      const ended = await run(["convert", input, "-", "--to", "json"]);
      expectBounds(ended);
      if (ended.status === 1) {
        expect(length).toBeLessThan(100);
        expect(ended.stderr).toMatch(/no whole trace event/);
        continue;
      }
      expect(ended.stderr).toMatch(/ends before its JSON does/);
      const asked = await run(["query", input, "SELECT 1"]);
      expect(asked.stderr).toMatch(/^note: .*ends before its JSON does/);
      expect(JSON.parse(ended.stdout)).toHaveProperty("traceEvents");
    }
  });

  test("gzip keeps what was whole, and says so", async () => {
    const packed = gzipSync(Buffer.from(file));
    for (const share of [0.3, 0.7, 0.99]) {
      const cut = packed.subarray(0, Math.floor(packed.length * share));
      const ended = await run(["convert", "-", "-", "--to", "chrome-json"], cut);
      expectBounds(ended);
      expect(ended.stderr).toMatch(/gzip data is cut short/);
      expect(ended.status).toBe(0);
      expect(JSON.parse(ended.stdout).traceEvents.length).toBeGreaterThan(5);
    }
  });

  test("a Perfetto file keeps what was whole", async () => {
    const input = path.join(dir, "whole.json");
    const output = path.join(dir, "whole.pftrace");
    writeFileSync(input, file);
    expect((await run(["convert", input, output])).status).toBe(0);
    const bytes = readFileSync(output);
    for (const length of [1, 2, 10, 100, bytes.length >> 1, bytes.length - 1]) {
      writeFileSync(path.join(dir, "cut.pftrace"), bytes.subarray(0, length));
      const ended = await run(["info", path.join(dir, "cut.pftrace")]);
      expectBounds(ended);
      expect([0, 1]).toContain(ended.status);
    }
  });
});

describe("convert", () => {
  testNeeding("/dev/full")("a full disk: words", async () => {
    writeFileSync(path.join(dir, "in.json"), `[${event.repeat(20_000)}`);
    const ended = await run(["convert", "in.json", "/dev/full", "--to", "json"]);
    expect(ended.stderr).toMatch(/the disk is full/);
    expect(ended.status).toBe(1);
    expectBounds(ended);
  });

  testNeeding("/dev/full")("a device is written to, never replaced", async () => {
    writeFileSync(path.join(dir, "in.json"), `[${event}`);
    // By a link, so that a mistake costs the link only.
    symlinkSync("/dev/full", path.join(dir, "full"));
    for (const format of ["csv", "json", "arrow", "parquet"]) {
      const ended = await run(["query", "in.json", "FROM slice", "--format", format, "-o", "full"]);
      expect(ended.stderr).toMatch(/full: the disk is full/);
      expect(ended.status).toBe(1);
      expect(lstatSync(path.join(dir, "full")).isSymbolicLink()).toBe(true);
    }
  });

  test("names in a trace do not reach the terminal as control characters", async () => {
    const name = "\u001b[31mred";
    const begin = { ph: "M", name: "thread_name", pid: 1, tid: 1, args: { name } };
    writeFileSync(
      path.join(dir, "in.json"),
      JSON.stringify([
        begin,
        { ph: "E", pid: 1, tid: 1, ts: 1 },
        { ph: "X", name, pid: 1, tid: 1, ts: 2, dur: 1 },
      ]),
    );
    for (const args of [
      ["info", "in.json"],
      ["convert", "in.json", "x.pftrace"],
      ["query", "in.json", "FROM slice"],
      ["query", "in.json", "FROM problem"],
    ]) {
      const { stdout, stderr, status } = await run(args);
      expect(status).toBe(0);
      expect(stdout + stderr).not.toContain("\u001b");
    }
  });

  test("stopped by a signal, it leaves nothing and keeps what was there", async () => {
    writeFileSync(path.join(dir, "kept.json"), "old");
    const child = spawn(process.execPath, [kymo, "convert", "-", "kept.json"], { cwd: dir });
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += String(chunk);
    });
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.stdin.on("error", () => {}); // it stops reading
    child.stdin.write(`[${event.repeat(20_000)}`);
    // Begun for certain once its temporary file is there.
    while (
      child.exitCode === null &&
      !readdirSync(dir).some((name) => name.startsWith(".kept.json"))
    )
      await new Promise((resolve) => setTimeout(resolve, 10));
    // Nothing more comes, and the pipe stays open: it must not wait for it.
    child.kill("SIGINT");
    const status = await closed;
    child.stdin.destroy();
    expect(stderr).toMatch(/stopped; nothing was written/);
    expect(status).toBe(1);
    expect(readFileSync(path.join(dir, "kept.json"), "utf8")).toBe("old");
    expect(readdirSync(dir).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("its reader may stop early", async () => {
    writeFileSync(path.join(dir, "in.json"), `[${event.repeat(100_000)}`);
    const child = spawn(process.execPath, [kymo, "convert", "in.json", "-", "--to", "json"], {
      cwd: dir,
    });
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += String(chunk);
    });
    child.stdout.once("data", () => child.stdout.destroy());
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  test("gzip out, standard input and output, through a pipe", async () => {
    const input = Buffer.from(`[${event.repeat(100)}`);
    const first = await run(["convert", "-", "piped.json.gz", "-q"], input);
    expect(first.stderr).toBe("");
    expect(first.status).toBe(0);
    const second = await run(["convert", "piped.json.gz", "-", "--to", "json"]);
    expect(second.stderr).toMatch(/chrome-json \(gzip\) → chrome-json: 100 events/);
    const { traceEvents } = JSON.parse(second.stdout) as { traceEvents: { ph: string }[] };
    expect(traceEvents.filter(({ ph }) => ph === "X").length).toBe(100);
  });
});
