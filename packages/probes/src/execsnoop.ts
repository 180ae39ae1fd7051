/** Programs started: an instant on the thread, with the file and the first arguments. */
import { instant, kstr, ppid, str, syscall, tracepoint } from "kymo/probe";

tracepoint("sched:sched_process_exec", (e) =>
  instant({
    name: "exec",
    category: "process",
    args: { file: kstr(e.filename, 256), parent: ppid() },
  }),
);

syscall("execve", (e) =>
  instant({
    name: "execve",
    category: "process",
    args: {
      file: str(e.filename, 256),
      arg0: str(e.argv[0], 64),
      arg1: str(e.argv[1], 64),
      // What is behind the end of argv is none of it.
      arg2: e.argv[1] ? str(e.argv[2], 64) : "",
      arg3: e.argv[1] && e.argv[2] ? str(e.argv[3], 64) : "",
    },
  }),
);
