/** Runs compiled probes in the interpreter, and reads what they emitted as the decoder will. */
import { interpret } from "../../ir/interpret.ts";
import { MapModel, type Memory, readWord } from "../../ir/memory.ts";
import type { IntType, MapSpec } from "../../ir.ts";
import type { ProbeSet } from "../../program.ts";
import type { Kernel } from "../../schema.ts";
import type { Site, Value } from "../../site.ts";
import { loadProbes } from "../index.ts";
import { fakeKernel } from "./fake-kernel.ts";

export type Shown = bigint | string | boolean | readonly bigint[];
export interface Emitted {
  readonly site: Site;
  readonly name: Shown | undefined;
  readonly args: Readonly<Record<string, Shown>>;
  /** Of any field. */
  value(field: Value): Shown;
}

/** Tid 22 of process 11, on CPU 3. */
export const world = { pid: 11n, tid: 22n, cpu: 3n, uid: 1000n, gid: 100n };

export class Machine {
  readonly set: ProbeSet;
  readonly maps: Map<MapSpec, MapModel>;
  /** Of bpf_ktime_get_ns. */
  now = 1_000n;
  comm = "worker";
  /** What task() points at. */
  readonly task: Uint8Array = new Uint8Array(64);
  /** Told of memory when task() is called: for addresses to be put into it. */
  onTask: (memory: Memory) => void = () => {};
  /** What other helpers do. */
  call: (callee: number | string, args: readonly bigint[], memory: Memory) => bigint = (callee) => {
    throw new RangeError(`helper ${callee} is not expected here`);
  };

  constructor(set: ProbeSet) {
    this.set = set;
    this.maps = new Map(set.maps.map((spec) => [spec, new MapModel(spec)]));
  }

  static async load(code: string, kernel: Kernel = fakeKernel()): Promise<Machine> {
    return new Machine(await loadProbes({ code }, kernel));
  }

  /** Runs a probe by its place in the file. @returns its result and what it emitted */
  run(
    probe: number,
    context: Uint8Array = new Uint8Array(128),
  ): { readonly result: bigint; readonly emitted: readonly Emitted[] } {
    const ring = this.maps.get(this.set.ring)!;
    const before = ring.records.length;
    const result = interpret(this.set.probes[probe]!.handler, {
      context,
      maps: this.maps,
      call: (callee, args, memory) => this.#help(callee, args, memory),
    });
    return { result, emitted: ring.records.slice(before).map((record) => this.#decode(record)) };
  }

  #help(callee: number | string, args: readonly bigint[], memory: Memory): bigint {
    switch (callee) {
      case 5:
        return this.now;
      case 8:
        return world.cpu;
      case 14:
        return (world.pid << 32n) | world.tid;
      case 15:
        return (world.gid << 32n) | world.uid;
      case 16: {
        const bytes = memory.must(args[0]!, Number(args[1]));
        bytes.fill(0);
        bytes.set(Buffer.from(this.comm).subarray(0, bytes.length - 1));
        return 0n;
      }
      case 158:
        this.onTask(memory);
        return memory.addressOf(this.task);
      default:
        return this.call(callee, args, memory);
    }
  }

  #decode(record: Uint8Array): Emitted {
    const site = this.set.sites[Number(word(record, 0, 4, false))]!;
    const value = (field: Value) => show(field, record);
    return {
      site,
      name: "name" in site && site.name !== undefined ? value(site.name) : undefined,
      args: Object.fromEntries(
        ("args" in site ? site.args : []).map(({ key, value: field }) => [key, value(field)]),
      ),
      value,
    };
  }
}

function word(bytes: Uint8Array, offset: number, length: number, signed: boolean): bigint {
  const type: IntType = { bits: (length * 8) as IntType["bits"], signed };
  const read = readWord(bytes.subarray(offset, offset + length), type);
  return signed ? BigInt.asIntN(64, read) : BigInt.asUintN(64, read);
}

function show(field: Value, record: Uint8Array): Shown {
  switch (field.type) {
    case "const-int":
    case "const-text":
      return field.value;
    case "int":
    case "uint":
      return word(record, field.offset, field.bytes, field.type === "int");
    case "name":
      return word(record, field.offset, field.bytes, true);
    case "bool":
      return record[field.offset] !== 0;
    case "choice":
      return field.texts[Number(word(record, field.offset, field.bytes, false))] ?? "";
    case "text": {
      const bytes = record.subarray(field.offset, field.offset + field.bytes);
      const end = bytes.indexOf(0);
      return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
    }
    case "address":
      return [...record.subarray(field.offset, field.offset + field.bytes)].join(".");
    case "bytes":
      return Buffer.from(record.subarray(field.offset, field.offset + field.bytes)).toString("hex");
    default: {
      const count = Number(word(record, field.offset, 8, true)) / 8;
      return Array.from({ length: Math.max(count, 0) }, (_, i) =>
        word(record, field.offset + 8 + 8 * i, 8, false),
      );
    }
  }
}

/** A context of 128 bytes with words at offsets. */
export function contextWith(words: Readonly<Record<number, bigint>>): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  for (const [offset, value] of Object.entries(words))
    view.setBigUint64(Number(offset), BigInt.asUintN(64, value), true);
  return bytes;
}

/** test:event, with its texts. */
export function event(fields: {
  readonly pid?: number;
  readonly flags?: number;
  readonly count?: bigint;
  readonly delta?: bigint;
  readonly comm?: string;
  readonly path?: string;
  readonly small?: number;
}): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setInt32(8, fields.pid ?? 0, true);
  view.setUint32(12, fields.flags ?? 0, true);
  view.setBigUint64(16, fields.count ?? 0n, true);
  view.setBigInt64(24, fields.delta ?? 0n, true);
  bytes.set(Buffer.from(fields.comm ?? "").subarray(0, 16), 32);
  const path = Buffer.from(`${fields.path ?? ""}\0`);
  view.setUint32(48, (path.length << 16) | 64, true);
  bytes[52] = fields.small ?? 0;
  bytes.set(path, 64);
  return bytes;
}

/** What an expression over `e` of test:event gives. */
export async function evaluate(
  expression: string,
  fields: Parameters<typeof event>[0] = {},
  before = "",
): Promise<Shown> {
  const code = `${before}
tracepoint("test:event", (e) => instant({ name: "x", args: { x: ${expression} } }));`;
  const machine = await Machine.load(code);
  return machine.run(0, event(fields)).emitted[0]!.args["x"]!;
}
