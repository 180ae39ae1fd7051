/** TCP: the life of each connection as slices of its states, and retransmissions. */
import { address, hash, instant, now, slice, tracepoint, track, type u64 } from "kymo/probe";

const states = [
  "",
  "established",
  "syn sent",
  "syn received",
  "fin wait 1",
  "fin wait 2",
  "time wait",
  "closed",
  "close wait",
  "last ack",
  "listening",
  "closing",
  "new syn received",
];
const tcp = 6;
const ipv4 = 2;

const since = hash<u64, u64>({ max: 16_384 });

tracepoint("sock:inet_sock_set_state", (e) => {
  if (e.protocol !== tcp) return;
  const socket = e.skaddr;
  const start = since.take(socket);
  if (e.newstate !== 7) since.set(socket, now());
  if (start === undefined) return;
  return slice({
    track: track("tcp", e.sport, e.dport),
    name: states[e.oldstate],
    category: "tcp",
    start,
    args: {
      from: e.family === ipv4 ? address(e.saddr) : address(e.saddr_v6),
      to: e.family === ipv4 ? address(e.daddr) : address(e.daddr_v6),
      sport: e.sport,
      dport: e.dport,
    },
  });
});

tracepoint("tcp:tcp_retransmit_skb", (e) =>
  instant({
    track: track("tcp", e.sport, e.dport),
    name: "retransmit",
    category: "tcp",
    args: {
      from: e.family === ipv4 ? address(e.saddr) : address(e.saddr_v6),
      to: e.family === ipv4 ? address(e.daddr) : address(e.daddr_v6),
      sport: e.sport,
      dport: e.dport,
      state: states[e.state],
    },
  }),
);
