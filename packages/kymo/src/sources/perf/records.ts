/**
 * perf records as kymo asks for them: every event has sample_type IDENTIFIER | TID | TIME (and CALLCHAIN or RAW), with
 * sample_id_all, so that the id, the task and the time are at fixed places.
 *
 *     sample:  header 8 · id u64 @8 · pid u32 @16 · tid u32 @20 · time u64 @24 · payload @32
 *     others:  header 8 · body · pid u32 · tid u32 · time u64 · id u64
 *
 * @see perf_event_open(2), "MMAP layout"
 */
import type { Ns } from "@kymo/trace";
import { SampleType } from "../../linux/perf-event.ts";
import type { RecordSource } from "../../linux/perf-ring.ts";

export const RecordType = {
  lost: 2,
  comm: 3,
  exit: 4,
  fork: 7,
  sample: 9,
  mmap2: 10,
  lostSamples: 13,
  switch: 14,
  switchCpuWide: 15,
} as const;

/** Bits 13 and 14 of `misc` mean something else for each type. */
export const Misc = {
  commExec: 0x2000,
  switchOut: 0x2000,
  switchOutPreempt: 0x4000,
  mmapBuildId: 0x4000,
} as const;

export const commonSampleType: number = SampleType.identifier | SampleType.tid | SampleType.time;

export const headerBytes = 8;
export const payloadAt = 32;
/** The trailer of records that are not samples. */
export const trailerBytes = 24;

/** Callchain entries from here up are markers: what follows is kernel, user, … */
export const contextFirstLo = 0xffff_f001;
export const contextKernelLo = 0xffff_ff80; // −128
export const contextUserLo = 0xffff_fe00; // −512

/**
 * Time of the source's current record, ns since the origin. Over 32-bit halves: a BigInt costs 30 times as much.
 * −Infinity for a record too short to have one: it is handled, and found malformed, at once.
 */
export function recordTime(source: RecordSource, originHi: number, originLo: number): Ns {
  const { u32 } = source.bytes;
  const { at, size } = source;
  if (size < payloadAt) return -Infinity as Ns;
  const word =
    u32[at >> 2] === RecordType.sample ? (at + 24) >> 2 : (at + size - trailerBytes + 8) >> 2;
  return ((u32[word + 1]! - originHi) * 2 ** 32 + (u32[word]! - originLo)) as Ns;
}

/** A text that ends with a NUL or at `end`. */
export function readText(u8: Uint8Array, at: number, end: number): string {
  let length = 0;
  while (at + length < end && u8[at + length] !== 0) length++;
  return textDecoder.decode(u8.subarray(at, at + length));
}
const textDecoder = new TextDecoder();

/** An unsigned 64-bit value as a bigint: ids and addresses only, never in the hot path. */
export function readU64(u32: Uint32Array, at: number): bigint {
  return (BigInt(u32[(at >> 2) + 1]!) << 32n) | BigInt(u32[at >> 2]!);
}
