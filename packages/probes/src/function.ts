#!/usr/bin/env -S kymo probe
/** Latency of any user function: `kymo probe function.ts FILE FUNCTION…` gives a slice for each call, and a histogram. */
import { hash, now, quantize, span, tid, type u32, type u64, uprobe, uretprobe } from "kymo/probe";

const [file, ...functions] = process.argv.slice(2);
if (file === undefined || functions.length === 0)
  throw new Error("function.ts: name a program or library, and its functions");

for (const name of functions) {
  const started = hash<u32, u64>({ max: 16_384 });
  const latency = quantize({ name, unit: "ns" });
  uprobe(file, name, () => {
    started.set(tid(), now());
    return span({ name, category: "function" });
  });
  uretprobe(file, name, () => {
    const start = started.take(tid());
    if (start !== undefined) latency.add(now() - start);
  });
}
