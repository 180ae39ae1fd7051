/**
 * The clocks of the file: what ClockSnapshots say, and on which origin timestamps are written.
 *
 * Ftrace bundles are on boottime. Its distance from the trace clock is taken from the first snapshot that has both, and kept
 * until it changes by more than noise, so that times come back exactly.
 */
import type { ClockDomain, ClockInfo } from "../../model/sink.ts";
import { WireType } from "../../wire/protobuf.ts";
import { type ClockOrigin, clockOrigin, writeAbsolute } from "./bundle.ts";
import {
  builtinClock,
  DELTA_CLOCK,
  END_CLOCK,
  KYMO_UUID,
  KymoEvent,
  LATE_CLOCK,
  SECTION_CLOCK,
} from "./kymo.ts";
import type { Packets } from "./packets.ts";
import { BuiltinClock, Clock, ClockSnapshot, TracePacket } from "./records.ts";

/** Readings of monotonic and boottime are taken one after the other: a smaller change of their distance is noise. */
const CLOCK_NOISE_NS = 1_000_000n;
const MAX_SNAPSHOTS_BEFORE_EVENTS = 256;

export type Snapshot = readonly (readonly [ClockDomain, bigint])[];

export class ClockWriter {
  private readonly packets: Packets;
  private readonly beforeChange: () => void;
  info: ClockInfo = { domain: "unknown", originNs: 0n, errorNs: 0 };
  /** Boottime minus trace clock; taken as 0 while it is not known. */
  private bootOffset = 0n;
  private bootKnown = false;
  /** Boottime at time 0. */
  bootOrigin: ClockOrigin = clockOrigin(0n);
  private waiting: Snapshot[] = [];
  private lastSnapshot: Snapshot | undefined;

  /** @param beforeChange called when bundles will be written with another distance from then on */
  constructor(packets: Packets, beforeChange: () => void) {
    this.packets = packets;
    this.beforeChange = beforeChange;
  }

  set(info: ClockInfo): void {
    this.info = { ...info };
    this.packets.primaryClock = builtinClock(info.domain);
    this.packets.origin = clockOrigin(info.originNs);
    this.bootOrigin = this.packets.origin;
  }

  snapshot(readings: Snapshot): void {
    if (this.packets.section !== 0) this.writeSnapshot(readings);
    else if (this.waiting.length < MAX_SNAPSHOTS_BEFORE_EVENTS) this.waiting.push([...readings]);
  }

  /** Before a section's first packet: what is known of boottime. */
  prepare(): void {
    for (const readings of this.waiting) this.learnBootOffset(readings);
  }

  /** In a section's prologue: the snapshots taken before it, or again the last. */
  repeat(): void {
    const { waiting } = this;
    this.waiting = [];
    if (waiting.length > 0) for (const readings of waiting) this.writeSnapshot(readings);
    else if (this.lastSnapshot !== undefined) this.writeSnapshot(this.lastSnapshot);
  }

  /**
   * The ClockSnapshot of the packet being written: our four sequence clocks, the trace clock and boottime at `time`,
   * and what else was read then.
   */
  writeClocks(time: number, others: Snapshot): void {
    const { out } = this.packets;
    const snapshot = out.open(TracePacket.clockSnapshot);
    const clock = (id: number, origin: ClockOrigin, reading: number, incremental = false): void => {
      const entry = out.open(ClockSnapshot.clocks);
      out.uint(Clock.clockId, id);
      out.tag(Clock.timestamp, WireType.varint);
      writeAbsolute(out, origin, reading);
      if (incremental) out.uint(Clock.isIncremental, 1);
      out.close(entry);
    };
    const zero: ClockOrigin = { high: 0, low: 0 };
    clock(DELTA_CLOCK, this.packets.origin, time, true);
    clock(SECTION_CLOCK, zero, time - this.packets.sectionStart);
    clock(END_CLOCK, this.packets.origin, time, true);
    clock(LATE_CLOCK, this.packets.origin, time, true);
    clock(this.packets.primaryClock, this.packets.origin, time);
    if (this.packets.primaryClock !== BuiltinClock.boottime)
      clock(BuiltinClock.boottime, this.bootOrigin, time);
    for (const [domain, reading] of others) {
      const id = builtinClock(domain);
      if (id !== this.packets.primaryClock && id !== BuiltinClock.boottime)
        clock(id, clockOrigin(reading), 0);
    }
    out.uint(ClockSnapshot.primaryTraceClock, this.packets.primaryClock);
    out.close(snapshot);
    this.packets.lastTime = time;
    this.packets.lastEnd = time;
    this.packets.lastLate = time;
  }

  /** @returns whether ftrace timestamps must be written with another offset from now on */
  private learnBootOffset(readings: Snapshot): boolean {
    if (this.packets.primaryClock === BuiltinClock.boottime) return false;
    const own = readings.find(([domain]) => domain === this.info.domain)?.[1];
    const boot = readings.find(([domain]) => domain === "boottime")?.[1];
    if (own === undefined || boot === undefined) return false;
    const offset = boot - own;
    const change = offset - this.bootOffset;
    if (this.bootKnown && change < CLOCK_NOISE_NS && change > -CLOCK_NOISE_NS) return false;
    this.bootKnown = true;
    this.beforeChange();
    this.bootOffset = offset;
    this.bootOrigin = clockOrigin(this.info.originNs + offset);
    return true;
  }

  private writeSnapshot(readings: Snapshot): void {
    this.learnBootOffset(readings);
    this.lastSnapshot = [...readings];
    const own = readings.find(([domain]) => domain === this.info.domain)?.[1];
    if (own !== undefined) {
      const time = Number(own - this.info.originNs);
      if (Number.isSafeInteger(time) && time >= this.packets.sectionStart) {
        const packet = this.packets.startUntimed(0);
        this.writeClocks(time, readings);
        this.packets.endPacket(packet);
      }
    }
    this.packets.kymo(KymoEvent.clockSnapshot, this.packets.lastTime, KYMO_UUID, readings);
  }
}
