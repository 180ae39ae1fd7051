/** All entries of an aggregation's map: values of CPUs put together, keys as what they are. */
import { type Bpf, BpfError } from "../../bpf/kernel/bpf.ts";
import type { Aggregation } from "../../bpf/program.ts";

/** What a key has gathered. */
export interface Tally {
  /** How often something was added; for sums, minima and maxima it is not counted: 0. */
  count: bigint;
  /** sum, min or max; the sum of avg. */
  value: bigint;
}

/** One entry of the map. */
export interface MapEntry extends Tally {
  /** The key's bytes; overwritten by the next entry. */
  readonly key: Uint8Array;
  /** Of hist, lhist and quantize. */
  readonly bucket: number;
}

/** Entries of one call: large enough that calls are few, small enough that memory is. */
const batchEntries = 4096;
/** A hash bucket with more entries than a batch is asked for again with more room, up to this. */
const batchEntriesMost = 2 ** 20;

export class MapReader {
  readonly #bpf: Bpf;
  readonly #aggregation: Aggregation;
  readonly #fd: number;
  readonly #keyBytes: number;
  readonly #copies: number;
  /** Bytes of one CPU's value. */
  readonly #stride: number;
  #room: number;
  #keys: Uint8Array;
  #values: DataView;

  /** `possibleCpus`: per-CPU maps have a value for each. */
  constructor(bpf: Bpf, aggregation: Aggregation, fd: number, possibleCpus: number) {
    const { map } = aggregation;
    this.#bpf = bpf;
    this.#aggregation = aggregation;
    this.#fd = fd;
    this.#keyBytes = map.keyBytes;
    this.#copies = map.kind.startsWith("percpu") ? possibleCpus : 1;
    this.#stride = this.#copies > 1 ? (map.valueBytes + 7) & ~7 : map.valueBytes;
    this.#room = Math.min(batchEntries, Math.max(64, map.max));
    [this.#keys, this.#values] = this.#buffers();
  }

  #buffers(): [Uint8Array, DataView] {
    return [
      new Uint8Array(this.#room * this.#keyBytes),
      new DataView(new ArrayBuffer(this.#room * this.#stride * this.#copies)),
    ];
  }

  /** Entries that nothing was added to are left out. @throws BpfError */
  forEach(handle: (entry: MapEntry) => void): void {
    const position = new Uint8Array(Math.max(4, this.#keyBytes));
    for (let first = true; ; ) {
      let batch: { readonly count: number; readonly end: boolean };
      try {
        batch = this.#bpf.lookupBatch(
          this.#fd,
          position,
          first,
          this.#keys,
          new Uint8Array(this.#values.buffer),
          this.#room,
        );
      } catch (error) {
        if (
          !(error instanceof BpfError) ||
          error.errno !== noSpace ||
          this.#room >= batchEntriesMost
        )
          throw error;
        this.#room *= 8;
        [this.#keys, this.#values] = this.#buffers();
        continue;
      }
      first = false;
      for (let i = 0; i < batch.count; i++) this.#entry(i, handle);
      if (batch.end || batch.count === 0) return;
    }
  }

  /** As forEach, and nothing is left. What programs add in between is lost. @throws BpfError */
  take(handle: (entry: MapEntry) => void): void {
    const keys: Uint8Array[] = [];
    this.forEach((entry) => {
      keys.push(entry.key.slice());
      handle(entry);
    });
    const nothing = new Uint8Array(this.#stride * this.#copies);
    for (const key of keys)
      if (this.#aggregation.map.kind.endsWith("array")) this.#bpf.update(this.#fd, key, nothing);
      else this.#bpf.delete(this.#fd, key);
  }

  #entry(index: number, handle: (entry: MapEntry) => void): void {
    const key = this.#keys.subarray(index * this.#keyBytes, (index + 1) * this.#keyBytes);
    const total = this.#total(index * this.#stride * this.#copies);
    if (total === undefined) return;
    const { kind } = this.#aggregation;
    const bucket =
      kind === "hist" || kind === "lhist" || kind === "quantize"
        ? new DataView(key.buffer, key.byteOffset + this.#keyBytes - 4, 4).getUint32(0, true)
        : 0;
    handle({ key, bucket, ...total });
  }

  /** The values of all CPUs together; undefined when nothing was added. */
  #total(at: number): Tally | undefined {
    const { kind } = this.#aggregation;
    let count = 0n;
    let value: bigint | undefined;
    for (let copy = 0; copy < this.#copies; copy++) {
      const of = at + copy * this.#stride;
      const first = this.#values.getBigInt64(of, true);
      switch (kind) {
        case "sum":
          value = BigInt.asIntN(64, (value ?? 0n) + first);
          break;
        case "avg":
          value = BigInt.asIntN(64, (value ?? 0n) + first);
          count += this.#values.getBigUint64(of + 8, true);
          break;
        case "min":
        case "max":
          if (this.#values.getBigUint64(of + 8, true) === 0n) break;
          if (value === undefined || (kind === "min" ? first < value : first > value))
            value = first;
          break;
        default:
          count += BigInt.asUintN(64, first);
      }
    }
    const counted = kind !== "sum" && kind !== "min" && kind !== "max";
    if (counted ? count === 0n : value === undefined) return undefined;
    return { count, value: value ?? 0n };
  }
}

/** ENOSPC */
const noSpace = 28;
