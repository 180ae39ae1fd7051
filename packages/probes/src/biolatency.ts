/** Block I/O latency as a histogram for each device: nothing but the histogram leaves the kernel. */
import { hash, now, quantize, tracepoint, type u32, type u64 } from "kymo/probe";

const issuedAt = hash<[u32, u64], u64>({ max: 16_384 });
const latency = quantize({ name: "block I/O latency", unit: "ns", key: ["dev"] });

tracepoint("block:block_rq_issue", (e) => {
  issuedAt.set([e.dev, e.sector], now());
});

tracepoint("block:block_rq_complete", (e) => {
  const start = issuedAt.take([e.dev, e.sector]);
  if (start !== undefined) latency.add(e.dev, now() - start);
});
