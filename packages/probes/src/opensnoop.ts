/** Files opened, by whom, and what came of it: one slice for each open. */
import { span, str, syscall } from "kymo/probe";

syscall.span("openat", (e) =>
  span({
    name: "open",
    category: "file",
    args: { path: str(e.filename, 256), flags: e.flags },
    end: (exit) => ({ ret: exit.ret }),
  }),
);
