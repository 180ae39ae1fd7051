/** Processes that ended: how long they lived, with which code or signal. */
import { instant, now, rawTracepoint } from "kymo/probe";

rawTracepoint("sched_process_exit", (task) => {
  if (task.pid !== task.tgid) return;
  return instant({
    name: "exited",
    category: "process",
    args: {
      lived_ns: now() - task.start_time,
      code: (task.exit_code >> 8) & 0xff,
      signal: task.exit_code & 0x7f,
    },
  });
});
