/// <reference types="node" />
/**
 * Packets: a slice for each on its way out (queue → driver) and in (driver → stack), on tracks by device, direction and
 * queue. They are the rows of the table `packet`, with what the packet's own headers say; what the kernel throws away is
 * in `packet_drop`.
 *
 *     tx   net_dev_queue ─────────────── waits in the queue ─────► net_dev_start_xmit (the driver has it)
 *     rx   netif_rx, napi_gro_receive ── waits for the CPU ──────► netif_receive_skb (the stack has it)
 */
import { existsSync, readFileSync } from "node:fs";
import {
  address,
  cast,
  eventType,
  instant,
  lru,
  now,
  type ptr,
  rawTracepoint,
  slice,
  swap16,
  swap32,
  symbol,
  track,
  u32,
  u64,
  unit,
} from "kymo/probe";

// What differs most from packet to packet comes last: files are smaller for it.
const headerFields = {
  source: "text",
  target: "text",
  protocol: "int",
  flags: "text",
  sport: "int",
  dport: "int",
  length: ["int", "bytes"],
  seq: "int",
} as const;
eventType("packet", {
  device: "text",
  netns: "int",
  way: "text",
  queue: "int",
  ...headerFields,
});
eventType("packet_drop", { reason: "text", where: "text", ...headerFields });

const ethernet = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd };
const ip = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 };
const flagNames = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
/** By the low six bits of TCP's flags. */
const flagTexts = Array.from({ length: 64 }, (_, bits) =>
  flagNames.filter((_, i) => bits & (1 << i)).join(" "),
);
/** A header that is not there. */
const unset = 0xffff;
/** Why packets are dropped, as this kernel numbers it. */
const reasons = dropReasons("/sys/kernel/tracing/events/skb/kfree_skb/format");

const queuedAt = lru<u64, u64>({ max: 65_536 });
const arrivedAt = lru<u64, u64>({ max: 65_536 });

rawTracepoint("net_dev_queue", (skb) => queuedAt.set(skb, now()));

rawTracepoint("net_dev_start_xmit", (skb, dev) =>
  emit(skb, dev, "tx", skb.network_header, queuedAt.take(skb) ?? now()),
);

for (const arrival of [
  "netif_rx",
  "napi_gro_receive_entry",
  "netif_receive_skb_entry",
  "netif_receive_skb_list_entry",
])
  rawTracepoint(arrival, (skb) => arrivedAt.set(skb, now()));

// The network header is not set yet: the data starts with it.
rawTracepoint("netif_receive_skb", (skb) =>
  emit(skb, skb.dev, "rx", u64(skb.data) - u64(skb.head), arrivedAt.take(skb) ?? now()),
);

rawTracepoint("kfree_skb", (skb, location, reason) => {
  const h = headers(skb, skb.network_header);
  return instant({
    track: track("net", "dropped"),
    name: reasons[reason],
    category: "packet_drop",
    args: {
      reason: reasons[reason],
      where: symbol(location),
      source: h.source,
      target: h.target,
      protocol: h.protocol,
      flags: h.flags,
      sport: h.sport,
      dport: h.dport,
      length: skb.len,
      seq: h.seq,
    },
  });
});

function emit(skb: ptr<"sk_buff">, dev: ptr<"net_device">, way: string, network: u64, start: u64) {
  const h = headers(skb, network);
  // On its way in, the link's header has been taken off already.
  const link = skb.mac_header === unset ? 0 : u64(skb.data) - u64(skb.head) - skb.mac_header;
  return slice({
    track: track("net", dev.name, way, skb.queue_mapping),
    name: h.name,
    category: "packet",
    start,
    args: {
      device: dev.name,
      netns: dev.nd_net.net.ns.inum,
      way,
      queue: skb.queue_mapping,
      source: h.source,
      target: h.target,
      protocol: h.protocol,
      flags: h.flags,
      sport: h.sport,
      dport: h.dport,
      length: unit(skb.len + link, "bytes"),
      seq: h.seq,
    },
  });
}

/** What the headers at `network` bytes into the packet's buffer say; 0 for ports that it has not. */
function headers(skb: ptr<"sk_buff">, network: u64) {
  const kind = swap16(skb.protocol);
  const isV4 = kind === ethernet.ipv4;
  const isV6 = kind === ethernet.ipv6;
  const isIp = isV4 || isV6;
  const v4 = cast("iphdr", u64(skb.head) + network);
  const v6 = cast("ipv6hdr", u64(skb.head) + network);
  const protocol = isV4 ? v4.protocol : isV6 ? v6.nexthdr : 0;
  const transport = network + (isV4 ? v4.ihl * 4 : 40);
  // Only the first fragment has ports, and only what is not in pages of its own can be read.
  const readable = isIp && transport + 8 <= skb.tail;
  const first = readable && (!isV4 || (swap16(v4.frag_off) & 0x1fff) === 0);
  const isTcp = first && protocol === ip.tcp;
  const isUdp = first && protocol === ip.udp;
  const tcp = cast("tcphdr", u64(skb.head) + transport);
  const isIcmp = protocol === ip.icmp || protocol === ip.icmp6;
  const other = isIcmp ? "ICMP" : isIp ? "IP" : kind === ethernet.arp ? "ARP" : "other";
  return {
    name: isTcp ? "TCP" : isUdp ? "UDP" : other,
    protocol,
    source: isV6 ? address(v6.saddr.in6_u.u6_addr8) : address(u32(isV4 ? v4.saddr : 0)),
    target: isV6 ? address(v6.daddr.in6_u.u6_addr8) : address(u32(isV4 ? v4.daddr : 0)),
    sport: isTcp || isUdp ? swap16(tcp.source) : 0,
    dport: isTcp || isUdp ? swap16(tcp.dest) : 0,
    flags: isTcp ? flagTexts[skb.head[transport + 13] & 63] : "",
    seq: isTcp ? swap32(tcp.seq) : 0,
  };
}

/** Names by number; none where the file can't be read. */
function dropReasons(file: string): string[] {
  const names = ["not dropped"];
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  for (const [, number, name] of text.matchAll(/\{ (\d+), "(\w+)" \}/g))
    if (Number(number) < 1000) names[Number(number)] = name;
  return names;
}
