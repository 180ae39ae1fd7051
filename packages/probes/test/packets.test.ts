/**
 * Packets between two network namespaces that nothing else uses, against what the kernel counts itself: `ip -s link`,
 * `tc -s qdisc`, nstat, and the sequence numbers of TCP.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { afterAll, afterEach, beforeEach, expect, type TestContext } from "vitest";
import { skipHere, testNeeding } from "../../kymo/src/testing/capability.ts";
import { Workplace } from "./run.ts";

const work = new Workplace();
const probing = testNeeding("linux", "root", "tracepoints", "bpf", "ip", "tc");
const [left, right] = [`kymo-left-${process.pid}`, `kymo-right-${process.pid}`];
const node = process.execPath;

/** What a device has counted. */
interface Counted {
  readonly tx: { readonly packets: number; readonly bytes: number };
  readonly rx: { readonly packets: number; readonly bytes: number };
}

let refused: string | undefined;
beforeEach(() => {
  refused = undefined;
  for (const command of [
    `ip netns add ${left}`,
    `ip netns add ${right}`,
    `ip link add left0 address 02:00:00:00:00:01 netns ${left} type veth peer name right0 address 02:00:00:00:00:02 netns ${right}`,
    ...[left, right].flatMap((space, i) => {
      const device = ["left0", "right0"][i];
      const [own, other] = i === 0 ? [1, 2] : [2, 1];
      const link = `lladdr 02:00:00:00:00:0${other} dev ${device} nud permanent`;
      return [
        // No neighbours to look for, and without IPv6 no routers and groups: nobody else sends.
        ipv6(space, false),
        `ip -n ${space} address add 10.97.0.${own}/24 dev ${device}`,
        `ip -n ${space} link set ${device} up`,
        `ip -n ${space} neighbour add 10.97.0.${other} ${link}`,
      ];
    }),
  ]) {
    const { status, stderr } = spawnSync("bash", ["-c", command], { encoding: "utf8" });
    if (status !== 0) refused ??= `${command}: ${stderr.trim()}`;
  }
});
afterEach(removeSpaces);
afterAll(() => {
  removeSpaces();
  work.clean();
});
function removeSpaces(): void {
  for (const space of [left, right]) spawnSync("ip", ["netns", "del", space]);
}
function ipv6(space: string, on: boolean): string {
  const setting = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
  return `ip netns exec ${space} sh -c 'echo ${on ? 0 : 1} > ${setting}'`;
}
/** Namespaces and pairs of devices aren't allowed everywhere. */
function needNetwork(context: TestContext): void {
  if (refused !== undefined) skipHere(context, refused);
}

function counted(space: string, device: string): Counted {
  const text = execFileSync("ip", ["-n", space, "-j", "-s", "link", "show", device], {
    encoding: "utf8",
  });
  return (JSON.parse(text) as { stats64: Counted }[])[0]!.stats64;
}

/** Sends datagrams of `bytes` from `port`, one after the other. */
function sending(space: string, to: string, port: number, count: number, bytes: number): string {
  const script = `
    const socket = require("node:dgram").createSocket("udp4");
    socket.bind(${port}, async () => {
      for (let i = 0; i < ${count}; i++)
        await new Promise((done) => socket.send(Buffer.alloc(${bytes}), 9700, "${to}", done));
      socket.close();
    });`;
  return `ip netns exec ${space} ${node} -e '${script}'`;
}

probing("as many packets and bytes, both ways, as the devices count", (context) => {
  needNetwork(context);
  const devices = [
    [left, "left0"],
    [right, "right0"],
  ] as const;
  const before = devices.map(([space, device]) => counted(space, device));
  const ran = work.probe("packets", [
    "bash",
    "-c",
    `${sending(left, "10.97.0.2", 9701, 300, 100)}
     ${sending(right, "10.97.0.1", 9702, 200, 60)}`,
  ]);
  expect(ran.status).toBe(0);
  const after = devices.map(([space, device]) => counted(space, device));
  for (const [i, [, device]] of devices.entries())
    for (const way of ["tx", "rx"] as const)
      expect(
        ran.query(
          `select count(*) as packets, coalesce(sum(length), 0) as bytes from packet where device = '${device}' and way = '${way}'`,
        ),
        `${device} ${way}`,
      ).toEqual([
        {
          packets: after[i]![way].packets - before[i]![way].packets,
          bytes: after[i]![way].bytes - before[i]![way].bytes,
        },
      ]);
  // Ethernet 14, IPv4 20, UDP 8.
  expect(
    ran.query(`select device, way, source, target, sport, length, protocol, count(*) as n
      from packet where dport = 9700 group by all order by sport, way desc`),
  ).toEqual([
    ...["tx", "rx"].map((way) => ({
      ...{ device: way === "tx" ? "left0" : "right0", way, source: "10.97.0.1" },
      ...{ target: "10.97.0.2", sport: 9701, length: 142, protocol: 17, n: 300 },
    })),
    ...["tx", "rx"].map((way) => ({
      ...{ device: way === "tx" ? "right0" : "left0", way, source: "10.97.0.2" },
      ...{ target: "10.97.0.1", sport: 9702, length: 102, protocol: 17, n: 200 },
    })),
  ]);
  expect(
    ran
      .query(
        "select distinct track.name from slice join track on track.id = slice.track_id where slice.category = 'packet' and (track.name like '%left0%' or track.name like '%right0%') order by 1",
      )
      .map(({ name }) => name),
  ).toEqual(["net left0 rx 0", "net left0 tx 0", "net right0 rx 0", "net right0 tx 0"]);
});

probing("flags and sequence numbers of a TCP connection over IPv6", (context) => {
  needNetwork(context);
  const bytes = 100_000;
  for (const command of [
    ipv6(left, true),
    ipv6(right, true),
    `ip -n ${left} address add fd00:97::1/64 dev left0 nodad`,
    `ip -n ${right} address add fd00:97::2/64 dev right0 nodad`,
  ])
    execFileSync("bash", ["-c", command]);
  const server = `require("node:net").createServer((s) => s.resume().on("end", () => process.exit())).listen(9703, "fd00:97::2", () => console.log())`;
  const client = `require("node:net").connect(9703, "fd00:97::2").end(Buffer.alloc(${bytes}))`;
  const ran = work.probe("packets", [
    "bash",
    "-c",
    `coproc ip netns exec ${right} ${node} -e '${server}'
     read -r <&\${COPROC[0]}
     ip netns exec ${left} ${node} -e '${client}'
     wait`,
  ]);
  expect(ran.status).toBe(0);
  const sent = "from packet where device = 'left0' and way = 'tx' and dport = 9703";
  expect(
    ran.query(
      `select count(*) as n, min(source) as source, min(target) as target ${sent} and flags = 'SYN'`,
    ),
  ).toEqual([{ n: 1, source: "fd00:97::1", target: "fd00:97::2" }]);
  expect(
    ran.count(
      "select count(*) from packet where device = 'left0' and way = 'rx' and flags = 'SYN ACK'",
    ),
  ).toBe(1);
  // SYN takes one number; the packet with FIN may have data: Ethernet 14, IPv6 40, TCP 32 with timestamps.
  const [syn, fin] = ["flags = 'SYN'", "flags like '%FIN%'"].map(
    (which) =>
      ran.query(`select seq, length ${sent} and ${which} limit 1`)[0] as {
        seq: number;
        length: number;
      },
  );
  expect((fin!.seq - syn!.seq - 1 + fin!.length - 86 + 2 ** 32) % 2 ** 32).toBe(bytes);
});

probing("packets wait in a full queue, and what does not fit is dropped", (context) => {
  needNetwork(context);
  // 10 kB/s, the first packet at once, and room for three.
  execFileSync(
    "tc",
    `-n ${left} qdisc add dev left0 root tbf rate 80kbit burst 1100 limit 3200`.split(" "),
  );
  const ran = work.probe("packets", [
    "bash",
    "-c",
    `${sending(left, "10.97.0.2", 9704, 12, 1000)}; sleep 1`,
  ]);
  expect(ran.status).toBe(0);
  const queue = execFileSync("tc", ["-n", left, "-s", "qdisc", "show", "dev", "left0"], {
    encoding: "utf8",
  });
  const [, sent, dropped] = /Sent \d+ bytes (\d+) pkt \(dropped (\d+)/.exec(queue)!.map(Number);
  expect(dropped).toBeGreaterThan(0);
  expect(
    ran.count("select count(*) from packet_drop where sport = 9704 and reason = 'QDISC_DROP'"),
  ).toBe(dropped);
  expect(
    ran.count("select count(*) from packet where sport = 9704 and way = 'tx' and device = 'left0'"),
  ).toBe(sent);
  // The queue lets 1042 bytes through each 104 ms: the last of three waited for those before it.
  expect(
    ran.count("select max(dur) from packet where sport = 9704 and way = 'tx'"),
  ).toBeGreaterThan(200e6);
});

probing("states of connections, and retransmissions when the other side is gone", (context) => {
  needNetwork(context);
  const server = `require("node:net").createServer((s) => s.resume().on("end", () => process.exit())).listen(9705, "10.97.0.2", () => console.log())`;
  const client = `
    const { execFileSync } = require("node:child_process");
    const peer = (...words) => execFileSync("ip", ["-n", "${right}", "address", ...words, "10.97.0.2/24", "dev", "right0"]);
    const socket = require("node:net").connect(9705, "10.97.0.2", () => {
      peer("del");
      socket.write("anybody there?");
      setTimeout(() => { peer("add"); socket.end(); }, 700);
    });`;
  const ran = work.probe("tcp", [
    "bash",
    "-c",
    `coproc ip netns exec ${right} ${node} -e '${server}'
     read -r <&\${COPROC[0]}
     ip netns exec ${left} ${node} -e '${client}'
     wait`,
  ]);
  expect(ran.status).toBe(0);
  const text = execFileSync("ip", ["netns", "exec", left, "cat", "/proc/net/snmp"], {
    encoding: "utf8",
  });
  const [names, values] = text
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  const resent = Number(values![names!.indexOf("RetransSegs")]);
  expect(resent).toBeGreaterThan(0);
  expect(
    ran.count(
      "select count(*) from instant where name = 'retransmit' and arg_int(arg_set_id, 'dport') = 9705",
    ),
  ).toBe(resent);
  const states = ran
    .query(
      "select name from slice where category = 'tcp' and arg_int(arg_set_id, 'dport') = 9705 order by ts",
    )
    .map(({ name }) => name);
  expect(states.slice(0, 2)).toEqual(["syn sent", "established"]);
});
