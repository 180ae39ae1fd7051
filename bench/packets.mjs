/**
 * The probe `packets` while a program sends as many UDP datagrams as it can over a veth pair: packets a second without and with
 * the probe, what was lost at which of its places, and bytes in the file for each packet event.
 *
 *     node bench/packets.mjs [--seconds 5] [--buffer-mb 64] [--bytes 64]
 *
 * Needs root, BPF, cc, iproute2. Each packet is two events: it goes out at one device, and comes in at the other.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const argument = (name, fallback) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const seconds = argument("--seconds", 5);
const bufferMb = argument("--buffer-mb", 64);
const bytes = argument("--bytes", 64);
const kymo =
  process.env.KYMO ?? fileURLToPath(new URL("../packages/kymo/bin/kymo.mjs", import.meta.url));
const probe = fileURLToPath(new URL("../packages/probes/src/packets.ts", import.meta.url));

const missing = [
  process.platform === "linux" && process.getuid() === 0 ? undefined : "root on Linux",
  installed("cc") ? undefined : "a C compiler (Debian: gcc)",
  installed("ip") ? undefined : "ip (Debian: iproute2)",
].filter(Boolean);
if (missing.length > 0) {
  console.log(`SKIP packets: needs ${missing.join(", ")}`);
  process.exit(0);
}

const sender = `
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
enum { batch = 64 };
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(int argc, char **argv) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9000)};
  inet_pton(AF_INET, "10.96.0.2", &to.sin_addr);
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  connect(s, (struct sockaddr *)&to, sizeof to);
  static char contents[1500];
  struct iovec piece = {contents, atoi(argv[2])};
  struct mmsghdr messages[batch];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < batch; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1};
  for (double end = now() + atof(argv[1]); now() < end;) sendmmsg(s, messages, batch, 0);
}
`;
const receiver = `
#include <arpa/inet.h>
#include <sys/socket.h>
int main(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9000)};
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  bind(s, (struct sockaddr *)&at, sizeof at);
  for (char contents[2048];;) recv(s, contents, sizeof contents, 0);
}
`;

const dir = mkdtempSync(path.join(tmpdir(), "kymo-bench-"));
const [from, to] = [`kymo-from-${process.pid}`, `kymo-to-${process.pid}`];
let receiving;
process.on("SIGINT", () => process.exit(130));
process.on("exit", () => {
  receiving?.kill();
  for (const space of [from, to]) spawnSync("ip", ["netns", "del", space], { stdio: "ignore" });
  rmSync(dir, { recursive: true, force: true });
});

for (const [name, source] of [
  ["sender", sender],
  ["receiver", receiver],
]) {
  writeFileSync(path.join(dir, `${name}.c`), source);
  execFileSync("cc", ["-O2", "-o", path.join(dir, name), path.join(dir, `${name}.c`)]);
}
for (const command of [
  `netns add ${from}`,
  `netns add ${to}`,
  `link add from0 netns ${from} type veth peer name to0 netns ${to}`,
  `-n ${from} address add 10.96.0.1/24 dev from0`,
  `-n ${to} address add 10.96.0.2/24 dev to0`,
  `-n ${from} link set from0 up`,
  `-n ${to} link set to0 up`,
])
  execFileSync("ip", command.split(" "));
receiving = spawn("ip", ["netns", "exec", to, path.join(dir, "receiver")], { stdio: "ignore" });
const flood = ["ip", "netns", "exec", from, path.join(dir, "sender"), String(seconds), String(bytes)];

execFileSync(flood[0], [...flood.slice(1, 5), "1", String(bytes)]);
console.log(
  `${bytes} bytes of UDP a packet, ${seconds} s, ${cpus().length} CPUs: ${cpus()[0].model}`,
);
const bare = sentBy(() => execFileSync(flood[0], flood.slice(1)));
console.log(`without the probe  ${rate(bare)} packets/s`);

const trace = path.join(dir, "packets.pftrace");
let said;
const sent = sentBy(() => {
  const args = ["probe", probe, "-o", trace, "--buffer-mb", String(bufferMb), "--", ...flood];
  said = spawnSync(process.execPath, [kymo, ...args], { encoding: "utf8" });
});
if (said.status !== 0) throw new Error(said.stderr);
console.log(`with the probe     ${rate(sent)} packets/s, ring of ${bufferMb} MiB`);
const [{ n }] = ask("select count(*) as n from packet where device in ('from0', 'to0')");
const lost = ask("select message, sum(count) as n from problem where kind = 'lost-events' group by 1");
const seen = Number(n);
console.log(`events             ${seen.toLocaleString("en")} of ${(2 * sent).toLocaleString("en")}`);
for (const { message, n } of lost)
  console.log(`  lost             ${Number(n).toLocaleString("en")} at ${/at (\S+);/.exec(message)?.[1]}`);
const missed = lost
  .filter(({ message }) => !message.includes("kfree_skb"))
  .reduce((sum, { n }) => sum + Number(n), 0);
console.log(`  seen + lost      ${(seen + missed).toLocaleString("en")}`);
const [{ drops }] = ask("select count(*) as drops from packet_drop");
const raw = statSync(trace).size;
const events = seen + Number(drops);
const gzipped = gzipSync(readFileSync(trace), { level: 6 }).length;
console.log(
  `file               ${(raw / 1e6).toFixed(1)} MB, ${(gzipped / 1e6).toFixed(2)} MB under gzip: ${(raw / events).toFixed(0)} and ${(gzipped / events).toFixed(1)} bytes an event (with ${Number(drops).toLocaleString("en")} drops)`,
);
console.log(said.stderr.trim().split("\n")[0].replace(/^.*?: /, "kymo               "));
process.exit(0);

/** Packets that the device has sent meanwhile. */
function sentBy(act) {
  const before = sentSoFar();
  act();
  return sentSoFar() - before;
}
function sentSoFar() {
  const text = execFileSync("ip", ["-n", from, "-j", "-s", "link", "show", "from0"], {
    encoding: "utf8",
  });
  return JSON.parse(text)[0].stats64.tx.packets;
}
function rate(packets) {
  return Math.round(packets / seconds).toLocaleString("en");
}
function ask(sql) {
  const args = [kymo, "query", trace, sql, "--format", "json"];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
}
function installed(command) {
  return spawnSync("which", [command], { stdio: "ignore" }).status === 0;
}
