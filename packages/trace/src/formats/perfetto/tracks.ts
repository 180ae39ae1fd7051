/** A track as a TrackDescriptor: what its standard fields say, and the rest in its description. */
import type { TrackInfo } from "../../model/sink.ts";
import type { ProtoWriter } from "../../wire/protobuf.ts";
import { describeExtras } from "./kymo.ts";
import {
  ChildOrdering,
  COUNTER_UNITS,
  CounterDescriptor,
  ProcessDescriptor,
  SiblingMerge,
  ThreadDescriptor,
  TracePacket,
  TrackDescriptor,
} from "./records.ts";

const INT32_MAX = 2 ** 31 - 1;
/** More CPUs than this make trace_processor give up on the file. */
const MAX_CPUS = 1024;

/** What the writer knows of one track. */
export class TrackState {
  readonly info: TrackInfo;
  readonly uuid: number;
  readonly parent: TrackState | undefined;
  /** Its name now, after renames. */
  name: string;
  /** The section its descriptor was last written in; 0 never. */
  section = 0;
  hasOrderedChildren = false;
  /** A reader takes its tid or CPU number for this track: no other track took it over since. */
  ownsNumber = false;
  /** A thread that ftrace events can name: its tid, else 0. */
  readonly tid: number;
  readonly pid: number;
  /** A CPU that ftrace bundles can name, else −1. */
  readonly cpu: number;
  lastCpu = 0;
  priority = 120;
  /** By CPU: index of its name in that CPU's bundle, and the serial of the bundle it is valid for. */
  readonly comms: number[] = [];
  readonly commSerials: number[] = [];

  constructor(info: TrackInfo, uuid: number, parent: TrackState | undefined) {
    this.info = info;
    this.uuid = uuid;
    this.parent = parent;
    this.name = info.name;
    this.cpu = info.kind === "cpu" && isCpu(info.cpu) ? info.cpu : -1;
    const pid = info.kind === "thread" ? (info.pid ?? parent?.info.pid ?? info.tid) : info.pid;
    this.pid = isPid(pid) ? pid : -1;
    const tid = info.tid;
    this.tid = info.kind === "thread" && isPid(tid) && tid > 0 && this.pid >= 0 ? tid : 0;
  }

  get isThread(): boolean {
    return this.tid !== 0;
  }
  get isProcess(): boolean {
    return this.info.kind === "process" && this.pid >= 0;
  }
}

export function isCpu(cpu: number | undefined): cpu is number {
  return cpu !== undefined && Number.isInteger(cpu) && cpu >= 0 && cpu < MAX_CPUS;
}
function isPid(pid: number | undefined): pid is number {
  return pid !== undefined && Number.isInteger(pid) && pid >= 0 && pid <= INT32_MAX;
}
export function isInt32(value: number | undefined): value is number {
  return (
    value !== undefined && Number.isInteger(value) && value >= -INT32_MAX - 1 && value <= INT32_MAX
  );
}

/** Whether the process tree says who forked this process. */
export function hasTreeEntry(track: TrackState): boolean {
  return track.isProcess && isPid(track.info.parentPid);
}

/** Appends the descriptor of `track` to the packet open in `out`. */
export function writeDescriptor(out: ProtoWriter, track: TrackState): void {
  const { info } = track;
  const start = out.open(TracePacket.trackDescriptor);
  out.uint(TrackDescriptor.uuid, track.uuid);
  if (track.parent !== undefined) out.uint(TrackDescriptor.parentUuid, track.parent.uuid);
  let standard: TrackInfo;
  if (track.isProcess) {
    const process = out.open(TrackDescriptor.process);
    out.uint(ProcessDescriptor.pid, track.pid);
    if (isInt32(info.sortIndex)) out.int(ProcessDescriptor.legacySortIndex, info.sortIndex);
    out.string(ProcessDescriptor.processName, track.name);
    out.close(process);
    standard = { kind: "process", name: info.name, pid: track.pid, ...sorted(info) };
    if (hasTreeEntry(track)) standard = { ...standard, parentPid: info.parentPid! };
  } else if (track.isThread) {
    const thread = out.open(TrackDescriptor.thread);
    out.uint(ThreadDescriptor.pid, track.pid);
    out.uint(ThreadDescriptor.tid, track.tid);
    if (isInt32(info.sortIndex)) out.int(ThreadDescriptor.legacySortIndex, info.sortIndex);
    out.string(ThreadDescriptor.threadName, track.name);
    out.close(thread);
    standard = { kind: "thread", name: info.name, pid: track.pid, tid: track.tid, ...sorted(info) };
  } else {
    out.string(TrackDescriptor.name, track.name);
    if (info.kind === "counter") {
      const counter = out.open(TrackDescriptor.counter);
      const unit = info.unit === undefined ? -1 : COUNTER_UNITS.indexOf(info.unit as "ns");
      if (unit > 0) out.uint(CounterDescriptor.unit, unit);
      else if (info.unit !== undefined) out.string(CounterDescriptor.unitName, info.unit);
      out.close(counter);
      standard = { kind: "counter", name: info.name, ...sorted(info) };
      if (info.unit !== undefined) standard = { ...standard, unit: info.unit };
    } else standard = { kind: "custom", name: info.name, ...sorted(info) };
    if (isInt32(info.sortIndex)) out.int(TrackDescriptor.siblingOrderRank, info.sortIndex);
    // Tracks of one name stay apart, as they were declared.
    out.uint(TrackDescriptor.siblingMergeBehavior, SiblingMerge.none);
  }
  if (track.hasOrderedChildren) out.uint(TrackDescriptor.childOrdering, ChildOrdering.explicit);
  const description = describeExtras(info, standard);
  if (description !== undefined) out.string(TrackDescriptor.description, description);
  out.close(start);
}

function sorted(info: TrackInfo): { readonly sortIndex?: number } {
  return isInt32(info.sortIndex) ? { sortIndex: info.sortIndex } : {};
}
