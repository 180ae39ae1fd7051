/** Every system call of the target as a slice, with what it returned. */
import { anySyscall, errnoOf, span, syscallName } from "kymo/probe";

anySyscall.span((e) =>
  span({
    name: syscallName(e.id),
    category: "syscall",
    end: (exit) => ({ ret: exit.ret, errno: errnoOf(exit.ret) }),
  }),
);
