/**
 * The smallest program that shows it ran: it adds 1 to the first word of an array map's value, and can put a word of
 * its context, or its cookie, into the second. Instructions are written out, so that tests of the kernel side need no compiler.
 */
import type { Libc } from "../../../linux/libc.ts";
import type { Handler, MapSpec } from "../../ir.ts";
import type { AttachTarget, ProbeSet, Program } from "../../program.ts";
import { Bpf } from "../bpf.ts";
import { type LoadedSession, loadSession, type SessionOptions } from "../session.ts";

/** One instruction. */
function op(code: number, registers: number, offset: number, immediate: number): number[] {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8(registers, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(immediate, 4);
  return [...bytes];
}

export interface Counting {
  readonly target: AttachTarget;
  /** Runs of other processes don't count. */
  readonly process?: number;
  /** Where in the context the second word is; or the attach cookie, or pointers to follow from the context. */
  readonly remember?: number | "cookie" | readonly number[];
  /** Runs count only when the word at the end of these pointers is this. */
  readonly only?: { readonly path: readonly number[]; readonly equals: number };
  /** The kernel's name for the program: at most 15 characters. */
  readonly name?: string;
  /** What the program returns. */
  readonly result?: number;
}

function countingProgram({
  process: pid,
  remember,
  only,
  name = "counting",
  result = 0,
}: Counting): Program {
  const code: number[] = op(0xbf, 0x16, 0, 0); // r6 = r1
  if (pid !== undefined) {
    code.push(...op(0x85, 0, 0, 14), ...op(0x77, 0, 0, 32)); // r0 = pid_tgid() >> 32
    code.push(...op(0x15, 0, 2, pid), ...op(0xb7, 0, 0, result), ...op(0x95, 0, 0, 0));
  }
  if (only !== undefined) {
    code.push(...op(0xbf, 0x67, 0, 0)); // r7 = r6
    for (const offset of only.path) code.push(...op(0x79, 0x77, offset, 0)); // r7 = *(u64 *)(r7 + offset)
    code.push(...op(0x15, 0x07, 2, only.equals), ...op(0xb7, 0, 0, result), ...op(0x95, 0, 0, 0));
  }
  code.push(...op(0xb7, 0x08, 0, 0)); // r8 = 0
  if (remember === "cookie")
    code.push(...op(0xbf, 0x61, 0, 0), ...op(0x85, 0, 0, 174), ...op(0xbf, 0x08, 0, 0));
  else if (remember !== undefined) {
    code.push(...op(0xbf, 0x68, 0, 0)); // r8 = r6
    for (const offset of typeof remember === "number" ? [remember] : remember)
      code.push(...op(0x79, 0x88, offset, 0)); // r8 = *(u64 *)(r8 + offset)
  }
  const reference = code.length / 8;
  code.push(...op(0x18, 0x21, 0, 0), ...op(0, 0, 0, 0)); // r1 = address of the map's value
  code.push(...op(0xb7, 0x02, 0, 1), ...op(0xdb, 0x21, 0, 0)); // lock *(u64 *)r1 += 1
  if (remember !== undefined) code.push(...op(0x7b, 0x81, 8, 0));
  code.push(...op(0xb7, 0, 0, result), ...op(0x95, 0, 0, 0));
  return {
    name,
    instructions: Uint8Array.from(code),
    mapReferences: [{ instruction: reference, map: 0 }],
    kfuncReferences: [],
    lines: [],
    stackBytes: 0,
  };
}

export interface CountingSession {
  readonly session: LoadedSession;
  /** Runs of the program at this index, and the word it remembered last. */
  read(index?: number): { readonly runs: number; readonly word: bigint };
}

/** Loads, but does not attach. */
export function loadCounting(libc: Libc, ...all: readonly Counting[]): CountingSession {
  return loadCountingWith(libc, {}, ...all);
}

export function loadCountingWith(
  libc: Libc,
  options: SessionOptions,
  ...all: readonly Counting[]
): CountingSession {
  const ring: MapSpec = { kind: "ring", name: "ring", keyBytes: 0, valueBytes: 0, max: 65_536 };
  const losses: MapSpec = { kind: "array", name: "losses", keyBytes: 4, valueBytes: 8, max: 1 };
  const programs = new Map<Handler, Program>();
  const hits: MapSpec[] = [];
  const probes = all.map((counting, index) => {
    const map: MapSpec = {
      kind: "array",
      name: `hits${index}`,
      keyBytes: 4,
      valueBytes: 16,
      max: 1,
    };
    hits.push(map);
    const handler: Handler = {
      name: "counting",
      files: [],
      maps: [map],
      slots: [],
      localCount: 0,
      body: [],
      result: 0n,
    };
    programs.set(handler, countingProgram(counting));
    return { label: counting.target.kind, target: counting.target, handler };
  });
  const set: ProbeSet = {
    files: [],
    probes,
    sites: [],
    eventTypes: [],
    aggregations: [],
    maps: [ring, losses, ...hits],
    ring,
    losses,
    notes: [],
  };
  const session = loadSession(libc, set, (handler) => programs.get(handler)!, options);
  const bpf = new Bpf(libc);
  return {
    session,
    read: (index = 0) => {
      const value = new Uint8Array(16);
      bpf.lookup(session.maps.get(hits[index]!)!, new Uint8Array(4), value);
      const view = new DataView(value.buffer);
      return { runs: Number(view.getBigUint64(0, true)), word: view.getBigUint64(8, true) };
    },
  };
}
