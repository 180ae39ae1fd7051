/** How long threads wait for a CPU once they could run: a histogram, and a slice for each wait over 1 ms. */
import { hash, now, quantize, rawTracepoint, slice, thread, type u32, type u64 } from "kymo/probe";

const longNs = 1_000_000;
const runnableSince = hash<u32, u64>({ max: 65_536 });
const latency = quantize({ name: "run queue latency", unit: "ns" });

rawTracepoint("sched_wakeup", (task) => {
  runnableSince.set(task.pid, now());
});
rawTracepoint("sched_wakeup_new", (task) => {
  runnableSince.set(task.pid, now());
});

rawTracepoint("sched_switch", (preempt, prev, next, _prev_state) => {
  if (preempt && prev.pid !== 0) runnableSince.set(prev.pid, now());
  const since = runnableSince.take(next.pid);
  if (since === undefined) return;
  const waited = now() - since;
  latency.add(waited);
  if (waited < longNs) return;
  return slice({
    track: thread(next.pid),
    name: "waiting for a CPU",
    category: "sched",
    start: since,
  });
});
