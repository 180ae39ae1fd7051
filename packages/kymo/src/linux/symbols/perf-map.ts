/**
 * Names of code made at run time, from the file that JITs write: /tmp/perf-PID.map, a line for each function:
 *
 *     3ef414c0 398 RegExp:[{(]
 *     7f1200001000 1c4 JS:*parse /srv/app.js:10:3
 *
 * The traced process writes it, so it is hostile until shown otherwise: a regular file of the right owner, read up
 * to a limit, only what was added since the last look.
 *
 * @see https://github.com/torvalds/linux/blob/master/tools/perf/Documentation/jit-interface.txt
 */

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { FrameInfo } from "@kymo/trace";
import { sourceName } from "./demangle/index.ts";
import { lastAtMost, sortByAddress } from "./symbol-table.ts";

const fileLimit = 64 * 1024 * 1024;
const lineLimit = 4096;
/** A file that grew is read again at most this often. */
const rereadMs = 250;
/** Functions looked back over for one that is long enough: JITs reuse memory, entries overlap. */
const overlapLimit = 32;

export class PerfMap {
  readonly #paths: readonly string[];
  readonly #owners: ReadonlySet<number>;
  readonly #now: () => number;
  #nextLookMs = Number.NEGATIVE_INFINITY;
  #position = 0;
  #tail = "";
  #starts: number[] = [];
  #ends: number[] = [];
  #names: string[] = [];
  #sorted: { readonly starts: Float64Array; readonly order: Uint32Array } | undefined;
  readonly #frames: Map<string, FrameInfo> = new Map();

  /**
   * @param paths   tried in order until one can be opened
   * @param owners  uids whose file is believed
   */
  constructor(
    paths: readonly string[],
    owners: Iterable<number>,
    now: () => number = performance.now.bind(performance),
  ) {
    this.#paths = paths;
    this.#owners = new Set(owners);
    this.#now = now;
  }

  /** The function at an address of the process; undefined when the file does not say. One object for each name. */
  frame(address: number): FrameInfo | undefined {
    let entry = this.#find(address);
    if (entry < 0 && this.#readMore()) entry = this.#find(address);
    if (entry < 0) return undefined;
    const text = this.#names[entry]!;
    let frame = this.#frames.get(text);
    if (frame === undefined) {
      frame = jitFrame(text);
      this.#frames.set(text, frame);
    }
    return frame;
  }

  #find(address: number): number {
    if (this.#starts.length === 0) return -1;
    if (this.#sorted === undefined) {
      const addresses = Float64Array.from(this.#starts);
      const order = sortByAddress(addresses, addresses.length);
      this.#sorted = { order, starts: Float64Array.from(order, (entry) => addresses[entry]!) };
    }
    const { starts, order } = this.#sorted;
    const last = lastAtMost(starts, address);
    let newest = -1;
    for (let at = last; at >= 0 && at > last - overlapLimit; at--) {
      const entry = order[at]!;
      if (address < this.#ends[entry]! && entry > newest) newest = entry;
    }
    return newest;
  }

  /** @returns whether anything was added */
  #readMore(): boolean {
    const now = this.#now();
    if (now < this.#nextLookMs) return false;
    this.#nextLookMs = now + rereadMs;
    for (const path of this.#paths) {
      let fd: number;
      try {
        fd = openSync(
          path,
          constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_NOCTTY,
        );
      } catch {
        continue; // most processes have no such file
      }
      try {
        const stat = fstatSync(fd);
        if (stat.isFile() && this.#owners.has(stat.uid)) return this.#readFrom(fd, stat.size);
      } finally {
        closeSync(fd);
      }
    }
    return false;
  }

  #readFrom(fd: number, size: number): boolean {
    if (size < this.#position) {
      // Written anew: another run of the same pid.
      this.#position = 0;
      this.#tail = "";
      this.#starts = [];
      this.#ends = [];
      this.#names = [];
      this.#sorted = undefined;
    }
    const before = this.#starts.length;
    const bytes = Buffer.alloc(Math.min(1024 * 1024, Math.max(0, size - this.#position)));
    while (this.#position < Math.min(size, fileLimit)) {
      const count = readSync(fd, bytes, 0, bytes.length, this.#position);
      if (count === 0) break;
      this.#position += count;
      this.#parse(bytes.toString("latin1", 0, count));
    }
    if (this.#starts.length !== before) this.#sorted = undefined;
    return this.#starts.length !== before;
  }

  #parse(text: string): void {
    const lines = (this.#tail + text).split("\n");
    this.#tail = lines.pop()!.slice(0, lineLimit);
    for (const line of lines) {
      const match = /^(?:0x)?([0-9a-f]{1,16}) (?:0x)?([0-9a-f]{1,8}) (.+)$/i.exec(
        line.slice(0, lineLimit),
      );
      if (match === null) continue;
      const start = Number.parseInt(match[1]!, 16);
      if (start >= 2 ** 53) continue;
      this.#starts.push(start);
      this.#ends.push(start + Number.parseInt(match[2]!, 16));
      this.#names.push(Buffer.from(match[3]!, "latin1").toString());
    }
  }
}

/** V8 says tier, name, file and line in one: `JS:*parse /srv/app.js:10:3`; the tiers of a function are one frame's name. */
export function jitFrame(text: string): FrameInfo {
  const module = "[jit]";
  const v8 = /^(?:JS|LazyCompile|Function|Script|Eval):[*~^+]?(\S*) (.+?):(\d+)(?::\d+)?$/.exec(
    text,
  );
  if (v8 === null) return { name: sourceName(text), module };
  return { name: v8[1] === "" ? "(anonymous)" : v8[1]!, file: v8[2]!, line: Number(v8[3]), module };
}
