/** Callchains → stacks: addresses to frames to nodes of the sink's prefix tree, each looked up once. */
import { type FrameId, type FrameInfo, NO_STACK, type StackId, type TraceSink } from "@kymo/trace";
import { contextFirstLo, contextKernelLo, contextUserLo } from "./records.ts";

/** What stacks need of linux/symbols: equal frames are one object. */
export interface FrameSource {
  frame(pid: number, ip: bigint, kernel: boolean): FrameInfo;
}

/** The kernel's own limit is /proc/sys/kernel/perf_event_max_stack, 127 by default. */
const maxDepth = 1024;
/** Frame ids below this pack with a stack id into one exact float64 key. */
const frameRadix = 2 ** 24;

export class Stacks {
  readonly #sink: TraceSink;
  readonly #symbols: FrameSource;
  readonly #frames = new WeakMap<FrameInfo, FrameId>();
  readonly #nodes = new Map<number, StackId>();
  readonly #chain = new Int32Array(maxDepth);

  constructor(sink: TraceSink, symbols: FrameSource) {
    this.#sink = sink;
    this.#symbols = symbols;
  }

  /**
   * The stack of `count` addresses at byte `at` of `u32`, innermost first, with context markers between them.
   * Callers' addresses point behind their call, so the byte before is what gets a name.
   */
  stack(pid: number, u32: Uint32Array, at: number, count: number): StackId {
    const chain = this.#chain;
    let depth = 0;
    let kernel = false;
    let known = false;
    let innermost = true;
    for (let i = 0, word = at >> 2; i < count && depth < maxDepth; i++, word += 2) {
      const lo = u32[word]!;
      const hi = u32[word + 1]!;
      if (hi === 0xffff_ffff && lo >= contextFirstLo) {
        kernel = lo === contextKernelLo;
        known = kernel || lo === contextUserLo;
        innermost = true;
        continue;
      }
      if (known && (lo | hi) !== 0) chain[depth++] = this.#frame(pid, hi, lo, kernel, innermost);
      innermost = false;
    }
    return this.#onTop(NO_STACK, depth);
  }

  /**
   * The stack of `count` addresses without markers at byte `at` of `u32`, innermost first, all of the kernel or all of the
   * process, called by `parent`.
   */
  onTop(
    parent: StackId,
    pid: number,
    u32: Uint32Array,
    at: number,
    count: number,
    kernel: boolean,
  ): StackId {
    const depth = Math.min(count, maxDepth);
    let used = 0;
    for (let i = 0, word = at >> 2; i < depth; i++, word += 2) {
      const lo = u32[word]!;
      const hi = u32[word + 1]!;
      if ((lo | hi) !== 0) this.#chain[used++] = this.#frame(pid, hi, lo, kernel, i === 0);
    }
    return this.#onTop(parent, used);
  }

  /** The first `depth` frames of the chain on `parent`. */
  #onTop(parent: StackId, depth: number): StackId {
    let stack = parent;
    for (let i = depth - 1; i >= 0; i--) {
      const frame = this.#chain[i]!;
      const key = (stack + 1) * frameRadix + frame;
      let node = this.#nodes.get(key);
      if (node === undefined) {
        node = this.#sink.stack(stack, frame as FrameId);
        if (frame < frameRadix) this.#nodes.set(key, node);
      }
      stack = node;
    }
    return stack;
  }

  #frame(pid: number, hi: number, lo: number, kernel: boolean, innermost: boolean): FrameId {
    const ip = ((BigInt(hi) << 32n) | BigInt(lo)) - (innermost ? 0n : 1n);
    const info = this.#symbols.frame(pid, ip, kernel);
    let frame = this.#frames.get(info);
    if (frame === undefined) {
      frame = this.#sink.frame(info);
      this.#frames.set(info, frame);
    }
    return frame;
  }
}
