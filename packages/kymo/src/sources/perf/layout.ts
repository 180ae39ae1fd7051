/** Where the fields of the tracepoints lie, from the kernel's format files; offsets from the start of a sample record. */
import { type EventFormat, fieldOffset, taskStateLetters } from "../../linux/event-format.ts";
import { payloadAt } from "./records.ts";

/** A sample with RAW: the payload is { size u32, raw data }. */
const rawAt = payloadAt + 4;

export interface SwitchLayout {
  readonly prevComm: number;
  readonly prevPid: number;
  readonly prevState: number;
  readonly nextComm: number;
  readonly nextPid: number;
  readonly nextPrio: number;
  /** The letter for a state's bit. */
  readonly stateLetters: ReadonlyMap<number, string>;
  /** The bits of states that nothing comes back from: "X" and "Z". */
  readonly deadStates: number;
  /** A record with all of these fields is at least so long. */
  readonly bytes: number;
}
export interface WakingLayout {
  readonly flags: number;
  readonly comm: number;
  readonly pid: number;
  readonly targetCpu: number;
  readonly bytes: number;
}
export interface SyscallEnterLayout {
  readonly id: number;
  /** Six arguments of 8 bytes. */
  readonly args: number;
  readonly bytes: number;
}
export interface SyscallExitLayout {
  readonly ret: number;
  readonly bytes: number;
}
export interface ExecLayout {
  readonly filename: number;
  readonly bytes: number;
}
export interface SignalLayout {
  readonly signal: number;
  readonly code: number;
  readonly bytes: number;
}

/** @throws Error in words when this kernel's event has other fields than kymo knows. */
export function switchLayout(format: EventFormat): SwitchLayout {
  const stateLetters = taskStateLetters(format);
  let deadStates = 0;
  for (const [bit, letter] of stateLetters) if (letter === "X" || letter === "Z") deadStates |= bit;
  return {
    prevComm: rawAt + fieldOffset(format, "prev_comm", 16),
    prevPid: rawAt + fieldOffset(format, "prev_pid", 4),
    prevState: rawAt + fieldOffset(format, "prev_state", 8),
    nextComm: rawAt + fieldOffset(format, "next_comm", 16),
    nextPid: rawAt + fieldOffset(format, "next_pid", 4),
    nextPrio: rawAt + fieldOffset(format, "next_prio", 4),
    stateLetters,
    deadStates,
    bytes: rawAt + dataBytes(format),
  };
}
export function wakingLayout(format: EventFormat): WakingLayout {
  return {
    flags: rawAt + fieldOffset(format, "common_flags", 1),
    comm: rawAt + fieldOffset(format, "comm", 16),
    pid: rawAt + fieldOffset(format, "pid", 4),
    targetCpu: rawAt + fieldOffset(format, "target_cpu", 4),
    bytes: rawAt + dataBytes(format),
  };
}
export function syscallEnterLayout(format: EventFormat): SyscallEnterLayout {
  return {
    id: rawAt + fieldOffset(format, "id", 8),
    args: rawAt + fieldOffset(format, "args", 48),
    bytes: rawAt + dataBytes(format),
  };
}
export function syscallExitLayout(format: EventFormat): SyscallExitLayout {
  return { ret: rawAt + fieldOffset(format, "ret", 8), bytes: rawAt + dataBytes(format) };
}
export function execLayout(format: EventFormat): ExecLayout {
  return { filename: rawAt + fieldOffset(format, "filename", 4), bytes: rawAt + dataBytes(format) };
}
export function signalLayout(format: EventFormat): SignalLayout {
  return {
    signal: rawAt + fieldOffset(format, "sig", 4),
    code: rawAt + fieldOffset(format, "code", 4),
    bytes: rawAt + dataBytes(format),
  };
}
/** A `__data_loc` field: low half the offset in the raw data, high half the length. */
export function dataLocation(
  u32: Uint32Array,
  at: number,
  field: number,
): { from: number; length: number } {
  const value = u32[(at + field) >> 2]!;
  return { from: rawAt + (value & 0xffff), length: value >>> 16 };
}

function dataBytes(format: EventFormat): number {
  let end = 0;
  for (const { offset, size } of format.fields.values()) end = Math.max(end, offset + size);
  return end;
}
