/** Scheduling: who runs on each CPU, in which state threads wait, who woke them. */
import { rawTracepoint, schedSwitch, schedWaking } from "kymo/probe";

rawTracepoint("sched_switch", (preempt, prev, next, prev_state) =>
  schedSwitch({
    previous: prev.pid,
    previousPid: prev.tgid,
    state: preempt ? 0 : prev_state,
    next: next.pid,
    nextPid: next.tgid,
    priority: next.prio,
  }),
);

rawTracepoint("sched_waking", (task) =>
  schedWaking({ thread: task.pid, targetCpu: task.thread_info.cpu }),
);
