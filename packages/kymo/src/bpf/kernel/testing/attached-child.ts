/** A process of its own that attaches and waits: for tests of what is left when it is killed. Arguments: a name, a program. */
import { loadLibc } from "../../../linux/libc.ts";
import { isMissing } from "../../schema.ts";
import { openKernel } from "../index.ts";
import { loadCounting } from "./counting.ts";

const [, , name = "", file = ""] = process.argv;
const libc = await loadLibc();
const kernel = await openKernel(libc);
const schemas = [
  kernel.rawTracepoint("sys_enter"),
  kernel.tracepoint("sched", "sched_process_exec"),
  kernel.uprobe(file, "work", "session"),
];
const targets = schemas.map((schema) => {
  if (isMissing(schema)) throw new Error(schema.missing);
  return schema.target;
});
const { session } = loadCounting(libc, ...targets.map((target) => ({ target, name })), {
  target: { kind: "profile", hz: 99 },
  name,
});
session.attach();
console.log("attached");
setInterval(() => {}, 1000);
