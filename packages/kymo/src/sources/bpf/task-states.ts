/**
 * The kernel's bits of a task's state, as sched_switch has them, and the letters that ps and the trace use.
 *
 * @see the kernel's include/linux/sched.h: TASK_REPORT and the states around it
 */
const interruptible = 0x1;
const uninterruptible = 0x2;
const stopped = 0x4;
const traced = 0x8;
const exitDead = 0x10;
const exitZombie = 0x20;
const parked = 0x40;
const dead = 0x80;
/** With `uninterruptible`: an idle kernel thread that doesn't count as load. */
const noLoad = 0x400;
/** Waiting for a lock of a real-time kernel. */
const lockWait = 0x1000;

/** Highest first: a task that is dying is nothing else. */
const letters: readonly (readonly [number, string])[] = [
  [dead | exitDead, "X"],
  [exitZombie, "Z"],
  [parked, "P"],
  [traced, "t"],
  [stopped, "T"],
  [uninterruptible | lockWait, "D"],
  [interruptible, "S"],
];

/** "R" for 0: the task was preempted and runs on when it may. */
export function stateLetter(state: number): string {
  if ((state & uninterruptible) !== 0 && (state & noLoad) !== 0) return "I";
  return letters.find(([bits]) => (state & bits) !== 0)?.[1] ?? "R";
}

/** Nothing comes back from it. */
export function isDead(state: number): boolean {
  return (state & (dead | exitDead | exitZombie)) !== 0;
}
