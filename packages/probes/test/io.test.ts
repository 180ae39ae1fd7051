/** Shipped probes about disks and the network. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, describe, expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";
import { Workplace } from "./run.ts";

const work = new Workplace();
afterAll(() => work.clean());
const probing = testNeeding("linux", "root", "tracepoints", "bpf");

/** Requests that all disks have completed. */
function completed(): number {
  return readFileSync("/proc/diskstats", "utf8")
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, , name]) =>
        /^(vd|sd|nvme\d+n)[a-z\d]*$/.test(name!) && !/\d$/.test(name!.replace(/^nvme\d+n\d+$/, "")),
    )
    .reduce(
      (sum, fields) => sum + Number(fields[3]) + Number(fields[7]) + Number(fields[14] ?? 0),
      0,
    );
}

describe("biosnoop", () => {
  probing("a slice for each request, as the kernel's own counts have them", () => {
    const before = completed();
    const ran = work.probe("biosnoop", [
      "bash",
      "-c",
      "for i in $(seq 30); do dd if=/dev/zero of=written bs=64k count=1 conv=fsync status=none; done",
    ]);
    const after = completed();
    expect(ran.status).toBe(0);
    const seen = ran.count("select count(*) from slice where category = 'block'");
    // The counts were taken around the whole of it: other requests may come before and after the recording.
    expect(seen).toBeGreaterThanOrEqual(30);
    expect(seen).toBeLessThanOrEqual(after - before + 5);
    expect(ran.count("select count(*) from slice where category = 'block' and dur <= 0")).toBe(0);
    expect(
      ran.count("select count(*) from slice where category = 'block' and name = 'write'"),
    ).toBeGreaterThanOrEqual(30);
    expect(
      ran.count("select sum(arg_int(arg_set_id, 'bytes')) from slice where name = 'write'"),
    ).toBeGreaterThanOrEqual(30 * 65_536);
  });
});

describe("biolatency", () => {
  probing("the histogram alone", () => {
    const ran = work.probe("biolatency", [
      "bash",
      "-c",
      "for i in $(seq 10); do dd if=/dev/zero of=written bs=64k count=1 conv=fsync status=none; done",
    ]);
    expect(ran.status).toBe(0);
    expect(ran.count("select count(*) from slice where category = 'block'")).toBe(0);
    expect(ran.stdout + ran.stderr).toMatch(/block I\/O latency[\s\S]*\[.*\)/);
  });
});

describe("tcp", () => {
  probing("the states of each connection", () => {
    const script = `
      const net = require("node:net");
      const server = net.createServer((socket) => socket.end("hello")).listen(0, "127.0.0.1", () => {
        let left = 25;
        const next = () => {
          if (left-- === 0) return server.close();
          net.connect(server.address().port, "127.0.0.1").on("data", () => {}).on("close", next);
        };
        next();
      });`;
    const ran = work.probe("tcp", [process.execPath, "-e", script]);
    expect(ran.status).toBe(0);
    expect(
      ran.count(
        "select count(*) from slice where name = 'syn sent' and arg(arg_set_id, 'to') = '127.0.0.1'",
      ),
    ).toBe(25);
    // Both ends of each connection are on this machine.
    expect(
      ran.count("select count(*) from slice where name = 'established'"),
    ).toBeGreaterThanOrEqual(50);
  });
});

describe("ssl", () => {
  testNeeding(
    "linux",
    "root",
    "tracepoints",
    "bpf",
    "openssl",
  )("sizes of what is written and read", () => {
    work.write("plain.txt", "x".repeat(1000));
    const made = spawnSync(
      "openssl",
      "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost".split(
        " ",
      ),
      { cwd: work.dir },
    );
    expect(made.status).toBe(0);
    const script = `
      sleep 4 | openssl s_server -accept 44331 -cert cert.pem -key key.pem -quiet -naccept 1 > received.txt 2>/dev/null &
      sleep 1
      (cat plain.txt; sleep 1) | openssl s_client -connect 127.0.0.1:44331 -quiet > /dev/null 2>&1
      wait; true`;
    const ran = work.probe("ssl", ["bash", "-c", script]);
    expect(ran.status).toBe(0);
    expect(
      ran.count(
        "select count(*) from slice where name = 'SSL_write' and arg_int(arg_set_id, 'bytes') = 1000",
      ),
    ).toBe(1);
    expect(
      ran.count(
        "select coalesce(sum(arg_int(arg_set_id, 'bytes')), 0) from slice where name = 'SSL_read' and arg_int(arg_set_id, 'bytes') > 0",
      ),
    ).toBeGreaterThanOrEqual(1000);
  });
});
