/** Perf records made by hand, for tests: the bytes that the kernel would write with the attributes that attach.ts asks for. */
import { type RecordBytes, type RecordSource, recordBytes } from "../../linux/perf-ring.ts";
import { RecordType } from "./records.ts";

export const originNs: bigint = 0x1_0000_0000n * 5n + 123n;

export interface SampleTask {
  readonly id: number;
  readonly pid: number;
  readonly tid: number;
  /** ns since `originNs`. */
  readonly ts: number;
}

/** A sample with raw tracepoint data: `fill` writes it into a view of `rawBytes` zeroes. */
export function rawSample(
  task: SampleTask,
  rawBytes: number,
  fill: (raw: DataView) => void,
): Uint8Array {
  // The kernel pads { size u32, raw } to a multiple of 8.
  const rawSize = Math.ceil((4 + rawBytes) / 8) * 8 - 4;
  const bytes = new Uint8Array(32 + 4 + rawSize);
  const view = sampleHead(bytes, task);
  view.setUint32(32, rawSize, true);
  fill(new DataView(bytes.buffer, 36, rawSize));
  return bytes;
}

export function callchainSample(task: SampleTask, chain: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(32 + 8 + 8 * chain.length);
  const view = sampleHead(bytes, task);
  view.setBigUint64(32, BigInt(chain.length), true);
  for (const [i, ip] of chain.entries())
    view.setBigUint64(40 + 8 * i, BigInt.asUintN(64, ip), true);
  return bytes;
}

function sampleHead(bytes: Uint8Array, { id, pid, tid, ts }: SampleTask): DataView {
  const view = header(bytes, RecordType.sample, 0);
  view.setBigUint64(8, BigInt(id), true);
  view.setUint32(16, pid, true);
  view.setUint32(20, tid, true);
  view.setBigUint64(24, originNs + BigInt(ts), true);
  return view;
}

/** Any other record: `body` bytes between header and trailer, a multiple of 8. */
export function sideBand(
  type: number,
  misc: number,
  { id, pid, tid, ts }: SampleTask,
  body: number,
  fill: (body: DataView, bytes: Uint8Array) => void,
): Uint8Array {
  const bytes = new Uint8Array(8 + body + 24);
  const view = header(bytes, type, misc);
  fill(new DataView(bytes.buffer, 8, body), bytes.subarray(8, 8 + body));
  view.setUint32(8 + body, pid, true);
  view.setUint32(8 + body + 4, tid, true);
  view.setBigUint64(8 + body + 8, originNs + BigInt(ts), true);
  view.setBigUint64(8 + body + 16, BigInt(id), true);
  return bytes;
}

function header(bytes: Uint8Array, type: number, misc: number): DataView {
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint16(4, misc, true);
  view.setUint16(6, bytes.byteLength, true);
  return view;
}

/** Writes an ASCII text. */
export function putText(view: DataView, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) view.setUint8(at + i, text.charCodeAt(i));
}

/** Records in memory, as a ring would give them. */
export class MemorySource implements RecordSource {
  readonly cpu: number;
  readonly bytes: RecordBytes;
  at = 0;
  size = 0;
  readonly #records: readonly Uint8Array[];
  #next = 0;
  #end = 0;
  #offset = 0;

  constructor(cpu: number, records: readonly Uint8Array[]) {
    this.cpu = cpu;
    this.#records = records;
    const length = records.reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.bytes = recordBytes(new ArrayBuffer(length + 8));
    let at = 0;
    for (const record of records) {
      this.bytes.u8.set(record, at);
      at += record.byteLength;
    }
  }

  refresh(): void {
    this.#end = this.#records.length;
  }

  next(): boolean {
    if (this.#next >= this.#end) return false;
    this.at = this.#offset;
    this.size = this.#records[this.#next++]!.byteLength;
    this.#offset += this.size;
    return true;
  }

  release(): void {}
}
