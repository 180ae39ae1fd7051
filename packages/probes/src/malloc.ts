/** Memory asked of malloc and given back: sizes as a histogram, and a counter of what is held, by process. */
import {
  counter,
  hash,
  pid,
  quantize,
  tid,
  type u32,
  type u64,
  uprobe,
  uretprobe,
} from "kymo/probe";

const library = "libc";
const asked = hash<u32, u64>({ max: 16_384 });
const sizes = hash<u64, u64>({ max: 1_000_000 });
const held = hash<u32, u64>({ max: 4096 });
const histogram = quantize({ name: "malloc size", unit: "bytes" });

uprobe(library, "malloc", (size: u64) => {
  asked.set(tid(), size);
  histogram.add(size);
});

uretprobe(library, "malloc", (pointer: u64) => {
  const size = asked.take(tid());
  if (size === undefined || pointer === 0) return;
  sizes.set(pointer, size);
  held.increment(pid(), size);
  return counter({ name: "malloc held", unit: "bytes", value: held.get(pid()) ?? 0 });
});

uprobe(library, "free", (pointer: u64) => {
  const size = sizes.take(pointer);
  if (size === undefined) return;
  held.increment(pid(), -size);
  return counter({ name: "malloc held", unit: "bytes", value: held.get(pid()) ?? 0 });
});
