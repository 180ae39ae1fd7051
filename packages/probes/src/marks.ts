/**
 * Events from any language, with no library: system calls that fail, and what they ask for says what happened. Nothing else is
 * done by them, and a program that isn't recorded only sees them fail.
 *
 *     faccessat(-1, "name", -932)         a slice begins on the thread       (faccessat or faccessat2, whatever libc makes)
 *     faccessat(-2, "", -932)             the innermost one ends
 *     faccessat(-3, "name", -932)         an instant
 *     faccessat(-1000 - n, "name", -932)  the counter "name" of the process is n
 *     faccessat(-id, "", -933)            flow `id` starts at the innermost slice; -934: goes on, -935: ends there
 *     access("kymo:start:name", R_OK)     the same in words, for languages that can't pass such numbers
 */
import {
  anySyscall,
  beginSlice,
  cast,
  counter,
  endSlice,
  flow,
  hash,
  i32,
  instant,
  mark,
  pid,
  rawTracepoint,
  str,
  syscallNumber,
  targetPid,
  task,
  type u8,
  type u32,
  u64,
} from "kymo/probe";

const access = syscallNumber("access");
const faccessat = syscallNumber("faccessat");
const faccessat2 = syscallNumber("faccessat2");

const event = -932;
const flowStart = -933;
const flowStep = -934;
const flowEnd = -935;

const start = -1;
const stop = -2;
const point = -3;
const zero = -1000;

const category = "mark";
const nameBytes = 64;
const wordsBytes = 128;

const target = targetPid();
const inTree = 1;
const stranger = 0;
/** Processes that were looked at: the child of one that is recorded is, too, also when it loses its parent. */
const known = hash<u32, u8>({ max: 65_536 });
const generations = 32;

/** Whether the current process is recorded: the target or a descendant of it. */
function recorded(): boolean {
  if (target === 0) return true;
  const before = known.get(pid());
  if (before !== undefined) return before === inTree;
  let at = u64(task());
  for (let i = 0; i < generations; i++) {
    const ancestor = cast("struct task_struct", at);
    if (ancestor.tgid === target) {
      known.set(pid(), inTree);
      return true;
    }
    if (ancestor.tgid <= 1) break;
    at = u64(ancestor.real_parent);
  }
  known.set(pid(), stranger);
  return false;
}

if (target !== 0) {
  rawTracepoint("sched_process_fork", (_parent, child) => {
    if (recorded()) known.set(child.tgid, inTree);
  });
  rawTracepoint("sched_process_exit", (exited) => {
    if (exited.pid === exited.tgid) known.delete(exited.tgid);
  });
}

anySyscall((e) => {
  if (e.id === faccessat2 || e.id === faccessat) {
    const what = i32(e.arg0);
    const mode = i32(e.arg2);
    if (mode === event) {
      if (!recorded()) return;
      if (what === start) return beginSlice({ name: str(e.arg1, nameBytes), category });
      if (what === stop) return endSlice();
      if (what === point) return instant({ name: str(e.arg1, nameBytes), category });
      if (what <= zero) return counter({ name: str(e.arg1, nameBytes), value: zero - what });
      return;
    }
    if (mode <= flowStart && mode >= flowEnd) {
      if (!recorded()) return;
      if (mode === flowStart) return flow({ id: -what, step: "start" });
      if (mode === flowStep) return flow({ id: -what, step: "step" });
      return flow({ id: -what, step: "end" });
    }
    return inWords(e.arg1);
  }
  if (e.id === access) return inWords(e.arg0);
});

/** An empty path may be one whose page isn't in memory: kymo looks at it when it decodes. */
function inWords(path: u64): void {
  const words = str(path, wordsBytes);
  if ((words.startsWith("kymo:") || words === "") && recorded()) mark(words);
}
