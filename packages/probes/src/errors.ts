/** System calls that fail: an instant with the errno and the stack that asked for it. */
import { anySyscall, errnoOf, instant, syscallName, ustack } from "kymo/probe";

const eagain = -11;

anySyscall.exit((e) => {
  if (e.ret >= 0 || e.ret < -4095 || e.ret === eagain) return;
  return instant({
    name: errnoOf(e.ret),
    category: "error",
    args: { syscall: syscallName(e.id), stack: ustack() },
  });
});
