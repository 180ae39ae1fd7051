/** Scheduling and lives of threads → ftrace bundles, one for each CPU and flush. */
import { type LifeKind, NO_TRACK, type StringId, type TrackId } from "../../model/sink.ts";
import { Bundle, BundleKind } from "./bundle.ts";
import type { ClockWriter } from "./clock-writer.ts";
import { KYMO_UUID, KymoEvent } from "./kymo.ts";
import type { Packets } from "./packets.ts";
import {
  CLONE_THREAD,
  FtraceEvent,
  HARD_IRQ_FLAG,
  SchedProcessExec,
  SchedProcessExit,
  SchedSwitch,
  SchedWaking,
  STATE_LETTERS,
  STATE_PREEMPTED,
  TaskNewtask,
  TaskRename,
} from "./records.ts";
import type { Runner, TrackWriter } from "./track-writer.ts";
import { isCpu, isInt32, TrackState } from "./tracks.ts";

const DEFAULT_PRIORITY = 120;
const SWAPPER = "swapper";

export class SchedWriter {
  private readonly packets: Packets;
  private readonly tracks: TrackWriter;
  private readonly clocks: ClockWriter;
  private readonly bundles: (Bundle<TrackState> | undefined)[] = [];
  private bundleSerial = 0;
  private readonly idle = new TrackState({ kind: "thread", name: SWAPPER }, 0, undefined);

  constructor(packets: Packets, tracks: TrackWriter, clocks: ClockWriter) {
    this.packets = packets;
    this.tracks = tracks;
    this.clocks = clocks;
  }

  /** A new section: its readers don't know who runs. */
  restart(): void {
    this.close();
    for (const bundle of this.bundles) if (bundle !== undefined) bundle.running = undefined;
  }

  /** Another track takes the number of this CPU. */
  forget(cpu: number): void {
    const bundle = this.bundles[cpu];
    if (bundle !== undefined) bundle.running = undefined;
  }

  /** Events of this CPU were lost: what comes next does not go on from what came before. */
  lost(cpu: number): void {
    const bundle = this.bundle(cpu);
    this.closeBundle(bundle);
    bundle.running = undefined;
    const packet = this.packets.startUntimed(0);
    bundle.write(this.packets.out, ++this.bundleSerial, true);
    this.packets.endPacket(packet);
  }

  switch(
    cpu: TrackId,
    time: number,
    previous: TrackId,
    state: StringId,
    next: TrackId,
    priority: number,
  ): void {
    const on = this.tracks.at(cpu);
    const from = this.runner(previous);
    const to = this.runner(next);
    const bits = on.cpu < 0 ? undefined : stateBits(this.packets.texts.get(state), from);
    if (bits === undefined || !schedulable(from) || !schedulable(to) || !isInt32(priority)) {
      this.packets.kymo(KymoEvent.switch, time, KYMO_UUID, [
        ["cpu", this.tracks.uuidOf(on)],
        ["previous", this.tracks.uuidOf(from)],
        ["state", this.packets.texts.get(state)],
        ["next", this.tracks.uuidOf(to)],
        ["priority", { real: priority }],
      ]);
      return;
    }
    this.tracks.own(on);
    if (from !== null) this.tracks.own(from);
    if (to !== null) this.tracks.own(to);
    const bundle = this.bundle(on.cpu);
    const inOrder = time >= bundle.runningSince;
    if (inOrder && bundle.running === from) {
      this.makeRoom(bundle, time, BundleKind.switch);
      const comm = this.comm(bundle, to);
      bundle.addSwitch(this.clocks.bootOrigin, time, bits, to?.tid ?? 0, priority, comm);
    } else {
      this.makeRoom(bundle, time, BundleKind.event);
      const fromTid = from?.tid ?? 0;
      const full = bundle.startEvent(
        this.clocks.bootOrigin,
        time,
        fromTid,
        FtraceEvent.schedSwitch,
      );
      full.string(SchedSwitch.prevComm, from?.name ?? SWAPPER);
      full.uint(SchedSwitch.prevPid, fromTid);
      full.int(SchedSwitch.prevPrio, from?.priority ?? DEFAULT_PRIORITY);
      full.uint(SchedSwitch.prevState, bits);
      full.string(SchedSwitch.nextComm, to?.name ?? SWAPPER);
      full.uint(SchedSwitch.nextPid, to?.tid ?? 0);
      full.int(SchedSwitch.nextPrio, priority);
      bundle.endEvent();
    }
    if (inOrder) {
      bundle.running = to;
      bundle.runningSince = time;
    }
    if (from !== null) from.lastCpu = on.cpu;
    if (to !== null) {
      to.lastCpu = on.cpu;
      to.priority = priority;
    }
  }

  waking(thread: TrackId, time: number, waker: TrackId, targetCpu: number): void {
    const woken = this.tracks.at(thread);
    const by = this.runner(waker);
    if (!woken.isThread || !schedulable(by) || !isInt32(targetCpu)) {
      this.packets.kymo(KymoEvent.waking, time, KYMO_UUID, [
        ["thread", this.tracks.uuidOf(woken)],
        ["waker", this.tracks.uuidOf(by)],
        ["target_cpu", { real: targetCpu }],
      ]);
      return;
    }
    this.tracks.own(woken);
    if (by !== null) this.tracks.own(by);
    // The columns don't say who woke: a reader takes who ran on that CPU then, or nobody in an interrupt.
    const bundle = this.bundle(by === null ? (isCpu(targetCpu) ? targetCpu : 0) : by.lastCpu);
    const implied = bundle.running === by && time >= bundle.runningSince;
    if (implied || by === null) {
      this.makeRoom(bundle, time, BundleKind.waking);
      const comm = this.comm(bundle, woken);
      const flags = implied ? 0 : HARD_IRQ_FLAG;
      const { tid, priority } = woken;
      bundle.addWaking(this.clocks.bootOrigin, time, tid, targetCpu, priority, comm, flags);
      return;
    }
    this.makeRoom(bundle, time, BundleKind.event);
    const full = bundle.startEvent(this.clocks.bootOrigin, time, by.tid, FtraceEvent.schedWaking);
    full.string(SchedWaking.comm, woken.name);
    full.uint(SchedWaking.pid, woken.tid);
    full.int(SchedWaking.prio, woken.priority);
    full.uint(SchedWaking.success, 1);
    full.int(SchedWaking.targetCpu, targetCpu);
    bundle.endEvent();
  }

  life(on: TrackState, time: number, what: LifeKind, text: string): void {
    this.tracks.own(on);
    const bundle = this.bundle(on.lastCpu);
    this.makeRoom(bundle, time, BundleKind.event);
    const origin = this.clocks.bootOrigin;
    if (what === "start") {
      const isMain = on.tid === on.pid;
      const parentPid = on.parent?.info.parentPid;
      const creator = isMain ? (isInt32(parentPid) && parentPid > 0 ? parentPid : 0) : on.pid;
      const task = bundle.startEvent(origin, time, creator, FtraceEvent.taskNewtask);
      task.uint(TaskNewtask.pid, on.tid);
      task.string(TaskNewtask.comm, text);
      task.uint(TaskNewtask.cloneFlags, isMain ? 0 : CLONE_THREAD);
    } else if (what === "rename") {
      const task = bundle.startEvent(origin, time, on.tid, FtraceEvent.taskRename);
      task.uint(TaskRename.pid, on.tid);
      task.string(TaskRename.oldcomm, on.name);
      task.string(TaskRename.newcomm, text);
    } else if (what === "exec") {
      const exec = bundle.startEvent(origin, time, on.tid, FtraceEvent.schedProcessExec);
      exec.string(SchedProcessExec.filename, text);
      exec.uint(SchedProcessExec.pid, on.tid);
      exec.uint(SchedProcessExec.oldPid, on.tid);
    } else {
      const exit = bundle.startEvent(origin, time, on.tid, FtraceEvent.schedProcessExit);
      if (text !== "") exit.string(SchedProcessExit.comm, text);
      exit.uint(SchedProcessExit.pid, on.tid);
      exit.uint(SchedProcessExit.tgid, on.pid);
      exit.int(SchedProcessExit.prio, on.priority);
    }
    bundle.endEvent();
  }

  private runner(id: TrackId): Runner {
    return id === NO_TRACK ? null : this.tracks.at(id);
  }

  private bundle(cpu: number): Bundle<TrackState> {
    let bundle = this.bundles[cpu];
    if (bundle === undefined) {
      bundle = new Bundle(cpu, ++this.bundleSerial);
      this.bundles[cpu] = bundle;
    }
    return bundle;
  }

  private makeRoom(bundle: Bundle<TrackState>, time: number, kind: number): void {
    if (!bundle.fits(time, kind)) this.closeBundle(bundle);
  }

  private comm(bundle: Bundle<TrackState>, thread: Runner): number {
    const named = thread ?? this.idle;
    const { cpu, serial } = bundle;
    if (named.commSerials[cpu] !== serial) {
      named.comms[cpu] = bundle.comm(named.name);
      named.commSerials[cpu] = serial;
    }
    return named.comms[cpu]!;
  }

  private closeBundle(bundle: Bundle<TrackState>): void {
    if (bundle.isEmpty) return;
    const packet = this.packets.startUntimed(0);
    bundle.write(this.packets.out, ++this.bundleSerial);
    this.packets.endPacket(packet);
  }

  close(): void {
    for (const bundle of this.bundles) if (bundle !== undefined) this.closeBundle(bundle);
  }
}

function schedulable(thread: Runner): boolean {
  return thread === null || thread.isThread;
}

/** `state` as sched_switch reports it; undefined for a text that is no state. */
function stateBits(state: string, previous: Runner): number | undefined {
  // What the idle task leaves in says nothing: the kernel writes R.
  if (previous === null) return 0;
  if (state === "R") return STATE_PREEMPTED;
  const bit = STATE_LETTERS.indexOf(state as "S");
  return bit < 0 ? undefined : 1 << bit;
}
