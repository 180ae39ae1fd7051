/** What /proc and /sys say about CPUs and tasks, as plain values. Everything may vanish while it is read: then undefined. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface TaskStatus {
  readonly tid: number;
  /** The process (thread group). */
  readonly pid: number;
  /** 0: none (init, kernel threads' parent, or not visible from here). */
  readonly parentPid: number;
  readonly name: string;
}

/** CPUs of this machine that are online, ascending. */
export function onlineCpus(): number[] {
  return parseCpuList(readFileSync("/sys/devices/system/cpu/online", "utf8"));
}

/** How many CPUs this machine may ever have: per-CPU maps of BPF have a value for each. */
export function possibleCpus(): number {
  return parseCpuList(readFileSync("/sys/devices/system/cpu/possible", "utf8")).length;
}

/** "0-2,5" → 0, 1, 2, 5. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const range of text.trim().split(",")) {
    const [first, last = first] = range.split("-").map(Number);
    if (first === undefined || last === undefined || !(last - first < 65_536)) continue;
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return cpus;
}

/** A thread by its tid. Costs about 20 µs. */
export function readTask(tid: number): TaskStatus | undefined {
  const text = readProc(`/proc/${tid}/status`);
  if (text === undefined) return undefined;
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:\\t(.*)$`, "m").exec(text)?.[1];
  const pid = Number(field("Tgid"));
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { tid, pid, parentPid: Number(field("PPid") ?? 0), name: plainName(field("Name") ?? "") };
}

/** The kernel writes \n and \\ in names as escapes. */
function plainName(name: string): string {
  return name.replace(/\\(n|\\)/g, (_, escaped: string) => (escaped === "n" ? "\n" : "\\"));
}

/** The threads of a process, [] when it is gone. */
export function threadsOf(pid: number): number[] {
  return readNumbers(`/proc/${pid}/task`);
}

/** A process and all that descend from it, parents first. */
export function processTree(root: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const pid of readNumbers("/proc")) {
    const parent = readTask(pid)?.parentPid;
    if (parent === undefined) continue;
    const siblings = childrenOf.get(parent);
    if (siblings === undefined) childrenOf.set(parent, [pid]);
    else siblings.push(pid);
  }
  const tree = [root];
  for (let i = 0; i < tree.length; i++) tree.push(...(childrenOf.get(tree[i]!) ?? []));
  return tree;
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number, pageBytes: number): number | undefined {
  const pages = readProc(`/proc/${pid}/statm`)?.split(" ")[1];
  return pages === undefined ? undefined : Number(pages) * pageBytes;
}

/** False in a container with its own process ids: the kernel's scheduling events then show other pids than /proc. */
export function seesHostPids(): boolean {
  try {
    return readlinkSync("/proc/self/ns/pid") === "pid:[4026531836]"; // the first namespace's fixed inode
  } catch {
    return true; // no namespaces in this kernel
  }
}

function readNumbers(directory: string): number[] {
  try {
    return readdirSync(directory).map(Number).filter(Number.isInteger);
  } catch {
    return []; // gone
  }
}
function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // gone, or another user's
  }
}
