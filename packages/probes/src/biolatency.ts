/** Block I/O latency as a histogram for each disk: nothing but the histogram leaves the kernel. */
import { type cstr, hash, now, type ptr, quantize, rawTracepoint, type u64 } from "kymo/probe";

const issued = hash<ptr<"request">, u64>({ max: 16_384 });
const latency = quantize<cstr<32>>({ name: "block I/O latency", unit: "ns", key: ["disk"] });

rawTracepoint("block_rq_issue", (request) => issued.set(request, now()));

rawTracepoint("block_rq_complete", (request) => {
  const start = issued.take(request);
  if (start !== undefined) latency.add(request.q.disk.disk_name, now() - start);
});
