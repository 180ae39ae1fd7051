/** Why threads do not run: for each time off the CPU of more than 1 ms, a slice with the stack it went to sleep with. */
import {
  hash,
  kstack,
  now,
  rawTracepoint,
  slice,
  thread,
  type u32,
  type u64,
  ustack,
} from "kymo/probe";

const longNs = 1_000_000;

interface Left {
  at: u64;
  kernel: kstack;
  user: ustack;
}
const left = hash<u32, Left>({ max: 16_384 });

rawTracepoint("sched_switch", (preempt, prev, next) => {
  if (!preempt && prev.pid !== 0)
    left.set(prev.pid, { at: now(), kernel: kstack(32), user: ustack(32) });
  const since = left.take(next.pid);
  if (since === undefined || now() - since.at < longNs) return;
  return slice({
    track: thread(next.pid),
    name: "off CPU",
    category: "sched",
    start: since.at,
    args: { kernel: since.kernel, user: since.user },
  });
});
