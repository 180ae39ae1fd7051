/** Runs handlers in this kernel with BPF_PROG_TEST_RUN, to compare with the interpreter. */

import type { Libc } from "../../../linux/libc.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../../../linux/libc.ts";
import type { MapModel } from "../../ir/memory.ts";
import { hex } from "../../ir/memory.ts";
import type { Handler, MapSpec } from "../../ir.ts";
import { Bpf, MapType, ProgramType, programSleepable } from "../../kernel/bpf.ts";
import type { Program } from "../../program.ts";

const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;

/** Maps that live as long as this object, and programs that live for one run. */
export class KernelRun {
  readonly bpf: Bpf;
  readonly #maps = new Map<MapSpec, number>();
  readonly #rings = new Map<MapSpec, RingReader>();

  constructor(libc: Libc, maps: readonly MapSpec[]) {
    this.bpf = new Bpf(libc);
    for (const spec of maps) {
      const type = MapType[typeNames[spec.kind]];
      const fd = this.bpf.createMap({ ...spec, type });
      this.#maps.set(spec, fd);
      if (spec.kind === "ring") this.#rings.set(spec, new RingReader(libc, fd, spec.max));
    }
  }

  /** With file descriptors in place of maps. */
  linked(program: Program, handler: Handler): Uint8Array {
    const instructions = program.instructions.slice();
    const view = new DataView(instructions.buffer);
    for (const { instruction, map } of program.mapReferences)
      view.setInt32(instruction * 8 + 4, this.#maps.get(handler.maps[map]!)!, true);
    return instructions;
  }

  /** As a program of the type "syscall": its context is any bytes. @throws BpfError with the log when it is refused. */
  load(program: Program, handler: Handler): number {
    return this.bpf.load({
      type: ProgramType.syscall,
      name: program.name,
      instructions: this.linked(program, handler),
      flags: programSleepable,
    });
  }

  /** @returns the low 32 bits of the program's result. */
  run(program: number, context: Uint8Array): number {
    return this.bpf.testRun(program, { context }).result;
  }

  close(program: number): void {
    this.bpf.close(program);
  }

  /** Makes arrays zero and hashes empty. */
  reset(): void {
    for (const [spec, fd] of this.#maps) {
      if (spec.kind === "ring") {
        this.#rings.get(spec)!.drain();
        continue;
      }
      const value = new Uint8Array(spec.valueBytes);
      for (const key of this.#keys(spec, fd)) {
        if (spec.kind === "array") this.bpf.update(fd, key, value);
        else this.bpf.delete(fd, key);
      }
    }
  }

  /** `key: value` in order of keys. */
  contents(spec: MapSpec): string[] {
    const fd = this.#maps.get(spec)!;
    const value = new Uint8Array(spec.valueBytes);
    return this.#keys(spec, fd)
      .filter((key) => this.bpf.lookup(fd, key, value))
      .map((key) => {
        this.bpf.lookup(fd, key, value);
        return `${hex(key)}: ${hex(value)}`;
      })
      .sort();
  }

  /** Records since the last time. */
  records(ring: MapSpec): Uint8Array[] {
    return this.#rings.get(ring)!.drain();
  }

  #keys(spec: MapSpec, fd: number): Uint8Array[] {
    const keys: Uint8Array[] = [];
    const next = new Uint8Array(spec.keyBytes);
    while (this.bpf.nextKey(fd, keys.at(-1), next)) keys.push(next.slice());
    return keys;
  }
}

const typeNames = {
  hash: "hash",
  "percpu-hash": "percpuHash",
  "lru-hash": "lruHash",
  array: "array",
  "percpu-array": "percpuArray",
  "stack-trace": "stackTrace",
  ring: "ring",
} as const;

/** Consumer page, producer page, then the data; all of it for the life of the process. */
class RingReader {
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #mask: number;

  constructor(libc: Libc, fd: number, size: number) {
    const page = libc.pageBytes;
    const at = (length: number, protection: number) => {
      const address = libc.mmap(length, protection, MAP_SHARED, fd);
      if (typeof address === "number") throw new Error(`mmap(ring): errno ${-address}`);
      return libc.view(address, length);
    };
    const all = at(2 * page + 2 * size, PROT_READ);
    this.#consumer = new BigUint64Array(at(page, PROT_READ | PROT_WRITE), 0, 1);
    this.#producer = new BigUint64Array(all, page, 1);
    this.#bytes = new Uint8Array(all, 2 * page);
    this.#view = new DataView(all, 2 * page);
    this.#mask = size - 1;
  }

  drain(): Uint8Array[] {
    const records: Uint8Array[] = [];
    let position = Number(this.#consumer[0]);
    const end = Number(Atomics.load(this.#producer, 0));
    while (position < end) {
      const at = position & this.#mask;
      const header = this.#view.getUint32(at, true);
      if ((header & BUSY) !== 0) break;
      const length = header & ~(BUSY | DISCARDED);
      if ((header & DISCARDED) === 0) records.push(this.#bytes.slice(at + 8, at + 8 + length));
      position += (length + 15) & ~7;
    }
    this.#consumer[0] = BigInt(position);
    return records;
  }
}

/** What differs between the kernel's maps and the interpreter's; undefined when nothing does. */
export function difference(
  kernel: KernelRun,
  models: ReadonlyMap<MapSpec, MapModel>,
): string | undefined {
  for (const [spec, model] of models) {
    const isRing = spec.kind === "ring";
    const have = isRing ? kernel.records(spec).map(hex) : kernel.contents(spec);
    const want = isRing
      ? model.records.map(hex)
      : [...model.entries].map(([key, value]) => `${key}: ${hex(value)}`).sort();
    const at = have.findIndex((entry, i) => entry !== want[i]);
    if (at >= 0) return `${spec.name}: the kernel has ${have[at]}, the interpreter ${want[at]}`;
    if (have.length !== want.length)
      return `${spec.name}: the kernel has ${have.length} entries, the interpreter ${want.length}`;
  }
  return undefined;
}
