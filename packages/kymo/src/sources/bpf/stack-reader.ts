/** Callstacks of records: addresses in the record itself, or an id into a stack-trace map. */
import { NO_STACK, type StackId } from "@kymo/trace";
import { Bpf } from "../../bpf/kernel/bpf.ts";
import type { Field } from "../../bpf/site.ts";
import { type RecordBytes, recordBytes } from "../../linux/perf-ring.ts";
import type { CaptureContext } from "../perf/extra.ts";
import { Stacks } from "../perf/stacks.ts";
import { type Read, readNumber } from "./fields.ts";
import type { MapDescriptors } from "./request.ts";

export type StackField = Extract<
  Field,
  { readonly type: "kernel-stack" | "user-stack" | "stack-id" }
>;

export function isStackField(field: { readonly type: string }): field is StackField {
  return field.type === "kernel-stack" || field.type === "user-stack" || field.type === "stack-id";
}

/** The addresses of one stack, innermost first: `count` u64 from byte `at` of `bytes` on. */
export interface Addresses {
  bytes: RecordBytes;
  at: number;
  count: number;
}

/** What the kernel puts between the place that is probed and the program's call for a stack. */
const probingName =
  /^(bpf_prog_|bpf_trace_run\d|bpf_trampoline_|bpf_get_stack|__bpf_trace_|__bpf_prog_|__traceiter_|trace_call_bpf|perf_trace_|(kprobe|uprobe)_multi_link_|bpf_link_prog_run)/;
const rememberedLimit = 65_536;

export class StackReader {
  readonly #bpf: Bpf;
  readonly #maps: MapDescriptors;
  readonly #symbols: CaptureContext["symbols"];
  readonly #stacks: Stacks;
  /** By the halves of an address. */
  readonly #probing = new Map<number, Map<number, boolean>>();
  readonly #found: Addresses = { bytes: recordBytes(new ArrayBuffer(8)), at: 0, count: 0 };

  constructor({ libc, sink, symbols }: CaptureContext, maps: MapDescriptors) {
    this.#bpf = new Bpf(libc);
    this.#maps = maps;
    this.#symbols = symbols;
    this.#stacks = new Stacks(sink, symbols);
  }

  /** All stacks of a record as one: user frames call kernel frames, in whatever order the fields are. */
  stackOf(fields: readonly StackField[], pid: Read<number>): Read<StackId> {
    const readers = [...fields]
      .sort((a, b) => Number(isKernel(a)) - Number(isKernel(b)))
      .map((field) => ({ addresses: this.#addressesOf(field), kernel: isKernel(field) }));
    return (bytes, at) => {
      let stack = NO_STACK;
      for (const { addresses, kernel } of readers) {
        const { bytes: from, at: start, count } = addresses(bytes, at);
        if (count > 0)
          stack = this.#stacks.onTop(stack, pid(bytes, at), from.u32, start, count, kernel);
      }
      return stack;
    };
  }

  /** Names of the functions, innermost first. */
  namesOf(field: StackField, pid: Read<number>): Read<readonly string[]> {
    const addresses = this.#addressesOf(field);
    const kernel = isKernel(field);
    return (bytes, at) => {
      const { bytes: from, at: start, count } = addresses(bytes, at);
      return Array.from({ length: count }, (_, i) => {
        const word = (start >> 2) + 2 * i;
        const ip = (BigInt(from.u32[word + 1]!) << 32n) | BigInt(from.u32[word]!);
        return this.#symbols.frame(pid(bytes, at), i === 0 ? ip : ip - 1n, kernel).name;
      });
    };
  }

  /** What is found is overwritten by the next call. */
  #addressesOf(field: StackField): Read<Addresses> {
    const read = field.type === "stack-id" ? this.#fromMap(field) : this.#fromRecord(field);
    if (!isKernel(field)) return read;
    return (bytes, at) => {
      const found = read(bytes, at);
      while (found.count > 0 && this.#isProbing(found)) {
        found.at += 8;
        found.count--;
      }
      return found;
    };
  }

  /** Whether the innermost frame is of the probe itself, or of how the kernel called it. */
  #isProbing({ bytes: { u32 }, at }: Addresses): boolean {
    const [lo, hi] = [u32[at >> 2]!, u32[(at >> 2) + 1]!];
    let known = this.#probing.get(hi);
    if (known === undefined) {
      known = new Map();
      this.#probing.set(hi, known);
    }
    let probing = known.get(lo);
    if (probing === undefined) {
      const ip = (BigInt(hi) << 32n) | BigInt(lo);
      probing = probingName.test(this.#symbols.frame(0, ip, true).name);
      if (known.size < rememberedLimit) known.set(lo, probing);
    }
    return probing;
  }

  #fromRecord({ offset, bytes: fieldBytes }: StackField): Read<Addresses> {
    if (offset % 8 !== 0) throw new RangeError(`a stack at offset ${offset} is not aligned`);
    const most = (fieldBytes - 8) >> 3;
    const found = this.#found;
    return (bytes, at) => {
      found.bytes = bytes;
      found.at = at + offset + 8;
      // Less than 0: −errno, as for the user stack of a kernel thread.
      found.count = Math.max(0, Math.min(most, bytes.i32[(at + offset) >> 2]! >> 3));
      return found;
    };
  }

  #fromMap(field: Extract<StackField, { readonly type: "stack-id" }>): Read<Addresses> {
    const fd = this.#maps.get(field.map);
    if (fd === undefined) throw new RangeError(`no map ${field.map.name}`);
    const id = readNumber({ type: "int", offset: field.offset, bytes: field.bytes });
    const key = new Int32Array(1);
    const keyBytes = new Uint8Array(key.buffer);
    const value = recordBytes(new ArrayBuffer(field.map.valueBytes));
    const found = this.#found;
    return (bytes, at) => {
      key[0] = id(bytes, at);
      found.bytes = value;
      found.at = 0;
      found.count = 0;
      if (key[0] < 0 || !this.#bpf.lookup(fd, keyBytes, value.u8)) return found;
      const most = value.u32.length >> 1;
      while (
        found.count < most &&
        (value.u32[2 * found.count]! | value.u32[2 * found.count + 1]!) !== 0
      )
        found.count++;
      return found;
    };
  }
}

function isKernel(field: StackField): boolean {
  return field.type === "stack-id" ? field.stack === "kernel" : field.type === "kernel-stack";
}
