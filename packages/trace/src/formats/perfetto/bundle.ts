/**
 * The scheduling events of one CPU between two flushes: an FtraceEventBundle.
 *
 * Switches and wakings go into CompactSched columns (≈ 8 bytes each); what the columns cannot say stands beside
 * them as full events. Inside one bundle everything is in time order and no two events of different
 * kinds have the same timestamp, so that a reader can merge the kinds back without guessing: the caller
 * closes the bundle when the next event would break that (`fits`).
 */
import { ProtoWriter, WireType } from "../../wire/protobuf.ts";
import { CompactSched, FtraceEvent, FtraceEventBundle, TracePacket } from "./records.ts";

export const BundleKind = { none: 0, switch: 1, waking: 2, event: 3 } as const;
/** A bundle that has grown to this is closed, so that none outgrows memory. */
const FULL_BYTES = 1 << 17;
const FULL_EVENTS = 1 << 14;
const TWO_32 = 2 ** 32;

/** Adds a timestamp: absolute for the first of a column, then what passed since the one before. */
export interface ClockOrigin {
  readonly high: number;
  readonly low: number;
}
export function clockOrigin(absoluteNs: bigint): ClockOrigin {
  const bits = BigInt.asUintN(64, absoluteNs);
  return { high: Number(bits >> 32n), low: Number(bits & 0xffff_ffffn) };
}
/** Writes `origin + time` as a 64-bit varint; `time` is an integer of either sign. */
export function writeAbsolute(out: ProtoWriter, origin: ClockOrigin, time: number): void {
  const low = origin.low + (((time % TWO_32) + TWO_32) % TWO_32);
  const carry = low >= TWO_32 ? 1 : 0;
  out.varint64(origin.high + Math.floor(time / TWO_32) + carry, low - carry * TWO_32);
}

export class Bundle<Thread> {
  readonly cpu: number;
  /** Who runs here: null the idle task, undefined not known. Set by the latest switch by time. */
  running: Thread | null | undefined;
  runningSince: number = -Infinity;
  /** Differs for every bundle of every CPU: what a comm index was given for. */
  serial: number;

  private newest = -Infinity;
  private newestKind: number = BundleKind.none;
  private count = 0;
  private comms = 0;
  private switches = 0;
  private wakings = 0;
  private lastSwitch = 0;
  private lastWaking = 0;
  private flagged = false;
  private readonly table = new ProtoWriter(256);
  private readonly switchTimes = new ProtoWriter();
  private readonly switchStates = new ProtoWriter();
  private readonly switchPids = new ProtoWriter();
  private readonly switchPriorities = new ProtoWriter();
  private readonly switchComms = new ProtoWriter();
  private readonly wakingTimes = new ProtoWriter(256);
  private readonly wakingPids = new ProtoWriter(256);
  private readonly wakingCpus = new ProtoWriter(256);
  private readonly wakingPriorities = new ProtoWriter(256);
  private readonly wakingComms = new ProtoWriter(256);
  private readonly wakingFlags = new ProtoWriter(256);
  private readonly events = new ProtoWriter(256);

  constructor(cpu: number, serial: number) {
    this.cpu = cpu;
    this.serial = serial;
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** Whether an event of this kind at `time` may join what is already here. */
  fits(time: number, kind: number): boolean {
    if (time < this.newest || (time === this.newest && kind !== this.newestKind)) return false;
    return this.count < FULL_EVENTS && this.events.length < FULL_BYTES;
  }

  /** Adds a name to the bundle's table. */
  comm(name: string): number {
    this.table.string(CompactSched.internTable, name);
    return this.comms++;
  }

  addSwitch(
    origin: ClockOrigin,
    time: number,
    state: number,
    pid: number,
    priority: number,
    comm: number,
  ): void {
    this.note(time, BundleKind.switch);
    if (this.switches++ === 0) writeAbsolute(this.switchTimes, origin, time);
    else this.switchTimes.varint(time - this.lastSwitch);
    this.lastSwitch = time;
    this.switchStates.varint(state);
    this.switchPids.varint(pid);
    this.switchPriorities.varintSigned(priority);
    this.switchComms.varint(comm);
  }

  addWaking(
    origin: ClockOrigin,
    time: number,
    pid: number,
    targetCpu: number,
    priority: number,
    comm: number,
    flags: number,
  ): void {
    this.note(time, BundleKind.waking);
    if (this.wakings++ === 0) writeAbsolute(this.wakingTimes, origin, time);
    else this.wakingTimes.varint(time - this.lastWaking);
    this.lastWaking = time;
    this.wakingPids.varint(pid);
    this.wakingCpus.varintSigned(targetCpu);
    this.wakingPriorities.varintSigned(priority);
    this.wakingComms.varint(comm);
    this.wakingFlags.varint(flags);
    if (flags !== 0) this.flagged = true;
  }

  /** Starts a full event: its message is `kind`. Returns the writer; `endEvent` closes both. */
  startEvent(origin: ClockOrigin, time: number, pid: number, kind: number): ProtoWriter {
    this.note(time, BundleKind.event);
    this.outer = this.events.open(FtraceEventBundle.event);
    // In this order: trace_processor has a fast path for it.
    this.events.tag(FtraceEvent.timestamp, WireType.varint);
    writeAbsolute(this.events, origin, time);
    this.events.uint(FtraceEvent.pid, pid);
    this.inner = this.events.open(kind);
    return this.events;
  }
  endEvent(): void {
    this.events.close(this.inner);
    this.events.close(this.outer);
  }
  private outer: number = 0;
  private inner = 0;

  private note(time: number, kind: number): void {
    this.newest = time;
    this.newestKind = kind;
    this.count++;
  }

  /** Appends the bundle to the TracePacket open in `out` and starts an empty one. */
  write(out: ProtoWriter, nextSerial: number, lost = false): void {
    const bundle = out.open(TracePacket.ftraceEvents);
    out.uint(FtraceEventBundle.cpu, this.cpu);
    if (lost) out.uint(FtraceEventBundle.lostEvents, 1);
    out.raw(this.events.view());
    if (this.switches + this.wakings > 0) {
      const compact = out.open(FtraceEventBundle.compactSched);
      out.raw(this.table.view());
      if (this.switches > 0) {
        out.blob(CompactSched.switchTimestamp, this.switchTimes.view());
        out.blob(CompactSched.switchPrevState, this.switchStates.view());
        out.blob(CompactSched.switchNextPid, this.switchPids.view());
        out.blob(CompactSched.switchNextPrio, this.switchPriorities.view());
        out.blob(CompactSched.switchNextCommIndex, this.switchComms.view());
      }
      if (this.wakings > 0) {
        out.blob(CompactSched.wakingTimestamp, this.wakingTimes.view());
        out.blob(CompactSched.wakingPid, this.wakingPids.view());
        out.blob(CompactSched.wakingTargetCpu, this.wakingCpus.view());
        out.blob(CompactSched.wakingPrio, this.wakingPriorities.view());
        out.blob(CompactSched.wakingCommIndex, this.wakingComms.view());
        if (this.flagged) out.blob(CompactSched.wakingCommonFlags, this.wakingFlags.view());
      }
      out.close(compact);
    }
    out.close(bundle);
    for (const column of this.columns) column.clear();
    this.newest = -Infinity;
    this.newestKind = BundleKind.none;
    this.count = 0;
    this.comms = 0;
    this.switches = 0;
    this.wakings = 0;
    this.flagged = false;
    this.serial = nextSerial;
  }

  private get columns(): readonly ProtoWriter[] {
    return [
      this.table,
      this.switchTimes,
      this.switchStates,
      this.switchPids,
      this.switchPriorities,
      this.switchComms,
      this.wakingTimes,
      this.wakingPids,
      this.wakingCpus,
      this.wakingPriorities,
      this.wakingComms,
      this.wakingFlags,
      this.events,
    ];
  }
}
