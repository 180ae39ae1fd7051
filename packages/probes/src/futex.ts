/** Waiting for locks: a slice for each futex wait, and how long they were, by process. */
import { hash, now, pid, quantize, slice, syscall, tid, type u32, type u64 } from "kymo/probe";

const commandMask = 0x7f;
const wait = 0;
const waitBitset = 9;
const lockPi = 6;

interface Waiting {
  since: u64;
  address: u64;
}
const waiting = hash<u32, Waiting>({ max: 16_384 });
const waits = quantize({ name: "futex wait", unit: "ns", key: ["pid"] });

syscall("futex", (e) => {
  const command = e.op & commandMask;
  if (command !== wait && command !== waitBitset && command !== lockPi) return;
  waiting.set(tid(), { since: now(), address: e.uaddr });
});

syscall.exit("futex", (e) => {
  const entry = waiting.take(tid());
  if (entry === undefined) return;
  waits.add(pid(), now() - entry.since);
  return slice({
    name: "lock wait",
    category: "lock",
    start: entry.since,
    args: { address: entry.address, ret: e.ret },
  });
});
