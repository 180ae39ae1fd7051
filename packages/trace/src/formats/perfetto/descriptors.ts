/** What packets say of processes, threads and the system, apart from track descriptors. */
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import type { Machine } from "./machine.ts";
import {
  ProcessDescriptor,
  ProcessTree,
  SystemInfo,
  ThreadDescriptor,
  TreeProcess,
  TreeThread,
  Utsname,
} from "./records.ts";
import type { Sequence } from "./sequence.ts";

export function readProcessTree(tree: ProtoReader, sequence: Sequence, machine: Machine): void {
  const entry = new ProtoReader();
  while (tree.next())
    if (tree.field === ProcessTree.processes) {
      entry.into(tree);
      let pid = -1;
      let ppid = -1;
      let name = "";
      while (entry.next())
        if (entry.field === TreeProcess.pid) pid = entry.int32();
        else if (entry.field === TreeProcess.ppid) ppid = entry.int32();
        else if (entry.field === TreeProcess.cmdline) name ||= entry.text();
      if (pid < 0) continue;
      if (ppid >= 0) machine.parentPids.set(pid, ppid);
      if (!sequence.isKymo) machine.process(pid, name);
    } else if (tree.field === ProcessTree.threads) {
      entry.into(tree);
      let tid = -1;
      let tgid = -1;
      let name = "";
      while (entry.next())
        if (entry.field === TreeThread.tid) tid = entry.int32();
        else if (entry.field === TreeThread.tgid) tgid = entry.int32();
        else if (entry.field === TreeThread.name) name = entry.text();
      if (tid > 0 && tgid > 0) machine.treeThread(tid, tgid, name);
    }
}

/** The default thread of a legacy sequence. */
export function readThread(thread: ProtoReader, sequence: Sequence, machine: Machine): void {
  let pid = -1;
  let tid = -1;
  let name = "";
  while (thread.next())
    if (thread.field === ThreadDescriptor.pid) pid = thread.int32();
    else if (thread.field === ThreadDescriptor.tid) tid = thread.signed();
    else if (thread.field === ThreadDescriptor.threadName) name = thread.text();
    else if (thread.field === ThreadDescriptor.referenceTimestampUs)
      sequence.referenceUs = thread.signed();
  if (tid < 0) return;
  sequence.pid = pid;
  sequence.tid = tid;
  const entry = machine.thread(tid, Infinity, name, pid >= 0 ? pid : undefined);
  machine.rename(entry, name);
}

export function readProcess(process: ProtoReader, machine: Machine): void {
  let pid = -1;
  let name = "";
  while (process.next())
    if (process.field === ProcessDescriptor.pid) pid = process.int32();
    else if (process.field === ProcessDescriptor.processName) name = process.text();
    else if (process.field === ProcessDescriptor.cmdline) name ||= process.text();
  if (pid >= 0) machine.process(pid, name);
}

/** Of uname; "" where it is not said. */
export function readSystemInfo(info: ProtoReader): {
  readonly release: string;
  readonly arch: string;
} {
  let release = "";
  let arch = "";
  while (info.next()) {
    if (info.field !== SystemInfo.utsname) continue;
    const names = new ProtoReader().into(info);
    while (names.next())
      if (names.field === Utsname.release) release = names.text();
      else if (names.field === Utsname.machine) arch = names.text();
  }
  return { release, arch };
}
