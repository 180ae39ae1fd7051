/** What kymo's own writer says in metadata events beside the format (write-rows.ts), read back. */
import type { ClockDomain, ClockInfo, Problem } from "../../model/sink.ts";
import { CLOCK_DOMAINS, PROBLEM_KINDS } from "../../model/words.ts";
import type { ProcessEntry, ThreadEntry } from "./tracks.ts";
import { isRecord, type JsonRecord } from "./values.ts";

/** Names of clocks in Chrome's own metadata ("clock-domain"). */
export const chromeClocks: { readonly [name: string]: ClockDomain } = {
  LINUX_CLOCK_MONOTONIC: "monotonic",
  LINUX_CLOCK_BOOTTIME: "boottime",
  LINUX_CLOCK_REALTIME: "realtime",
};
const clockDomains = new Set<unknown>(CLOCK_DOMAINS);
const problemKinds = new Set<unknown>(PROBLEM_KINDS);

/** "kymo_clock"; undefined when it is not as written. */
export function ownClock({ domain, origin_ns: origin }: JsonRecord): ClockInfo | undefined {
  if (!isDomain(domain) || !isInteger64(origin)) return undefined;
  return { domain, originNs: BigInt(origin), errorNs: 0 };
}

export function describeProcess(process: ProcessEntry, value: JsonRecord): void {
  const { pid, parent_pid: parentPid, holder } = value;
  if (pid === null || typeof pid === "number") process.pid = pid;
  if (typeof parentPid === "number") process.parentPid = parentPid;
  process.isHolder = holder === true;
}

export function describeThread(thread: ThreadEntry, value: JsonRecord): void {
  const { kind, cpu, pid, tid } = value;
  if (kind === "cpu" || kind === "async" || kind === "custom" || kind === "process")
    thread.kind = kind;
  if (typeof cpu === "number") thread.cpu = cpu;
  if (typeof pid === "number") thread.pid = pid;
  if (typeof tid === "number") thread.tid = tid;
}

/** "kymo.clock_snapshots"; what is not as written is left out. */
export function ownSnapshots(value: unknown): (readonly (readonly [ClockDomain, bigint])[])[] {
  if (!Array.isArray(value)) return [];
  return value
    .filter(isSnapshot)
    .map((readings) => readings.map(([domain, ns]) => [domain, BigInt(ns)] as const));
}

/** "kymo.problems"; what is not as written is left out. */
export function ownProblems(value: unknown): Problem[] {
  return Array.isArray(value) ? value.filter(isProblem) : [];
}

function isSnapshot(value: unknown): value is readonly (readonly [ClockDomain, string])[] {
  const isReading = (reading: unknown): boolean =>
    Array.isArray(reading) && isDomain(reading[0]) && isInteger64(reading[1]);
  return Array.isArray(value) && value.every(isReading);
}
function isProblem(value: unknown): value is Problem & JsonRecord {
  if (!isRecord(value)) return false;
  const { kind, message, count, cpu, from, to, byteOffset } = value;
  const numbers = [count, cpu, from, to, byteOffset];
  return (
    problemKinds.has(kind) &&
    typeof message === "string" &&
    numbers.every((each) => each === undefined || typeof each === "number")
  );
}
const isDomain = (value: unknown): value is ClockDomain => clockDomains.has(value);
const isInteger64 = (value: unknown): value is string =>
  typeof value === "string" && /^-?\d{1,19}$/.test(value);
