/** Block I/O: one slice for each request from the driver to its completion, on a track for each device and direction. */
import { hash, now, quantize, slice, tracepoint, track, type u32, type u64 } from "kymo/probe";

interface Issued {
  at: u64;
  bytes: u32;
}
const issued = hash<[u32, u64], Issued>({ max: 16_384 });
const latency = quantize({ name: "block I/O latency", unit: "ns", key: ["dev"] });

tracepoint("block:block_rq_issue", (e) => {
  issued.set([e.dev, e.sector], { at: now(), bytes: e.bytes });
});

tracepoint("block:block_rq_complete", (e) => {
  const request = issued.take([e.dev, e.sector]);
  if (request === undefined) return;
  latency.add(e.dev, now() - request.at);
  return slice({
    track: track("block", e.dev >> 20, e.dev & 0xfffff),
    name: e.rwbs,
    category: "block",
    start: request.at,
    args: { sector: e.sector, bytes: request.bytes, error: e.error },
  });
});
