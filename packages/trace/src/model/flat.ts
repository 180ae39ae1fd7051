/** Rows whose events have no duration: instants, counters and samples, one row each per track. */
import type { Pending, PendingBlock } from "./pending.ts";
import type { BuiltRow, OpenChunk } from "./rows.ts";
import type { Target } from "./stream.ts";

export type FlatKind = "instant" | "counter" | "sample";

/** How the six columns of a pending event (pending.ts) map to a chunk's; ts is the same in both. */
export interface FlatColumns<Kind extends FlatKind> {
  write(chunk: OpenChunk<Kind>, at: number, block: PendingBlock, i: number): void;
  read(chunk: OpenChunk<Kind>, at: number, into: Pending): void;
}

/** value type + 1, a id, b name, c category, d args */
export const INSTANT: FlatColumns<"instant"> = {
  write(chunk, at, block, i) {
    chunk.type[at] = block.value[i]!;
    chunk.id[at] = block.a[i]!;
    chunk.key[at] = block.b[i]!;
    chunk.category[at] = block.c[i]!;
    chunk.args[at] = block.d[i]!;
  },
  read({ ts, type, id, key, category, args }, at, into) {
    into.append(ts[at]!, type[at]!, id[at]!, key[at]!, category[at]!, args[at]!, false);
  },
};
/** value the counter's value */
export const COUNTER: FlatColumns<"counter"> = {
  write(chunk, at, block, i) {
    chunk.value[at] = block.value[i]!;
  },
  read({ ts, value }, at, into) {
    into.append(ts[at]!, value[at]!, 0, 0, 0, 0, false);
  },
};
/** value weight, b stack + 1, d cpu */
export const SAMPLE: FlatColumns<"sample"> = {
  write(chunk, at, block, i) {
    chunk.weight[at] = block.value[i]!;
    chunk.key[at] = block.b[i]!;
    chunk.cpu[at] = block.d[i]!;
  },
  read({ ts, weight, key, cpu }, at, into) {
    into.append(ts[at]!, weight[at]!, 0, key[at]!, 0, cpu[at]!, false);
  },
};

export class FlatTarget<Kind extends FlatKind> implements Target {
  readonly #row: BuiltRow<Kind>;
  readonly #columns: FlatColumns<Kind>;
  readonly #span: (from: number, to: number) => void;

  constructor(
    row: BuiltRow<Kind>,
    columns: FlatColumns<Kind>,
    span: (from: number, to: number) => void,
  ) {
    this.#row = row;
    this.#columns = columns;
    this.#span = span;
  }

  get length(): number {
    return this.#row.length;
  }

  take(block: PendingBlock, order: Uint32Array | undefined, from: number, to: number): void {
    const first = order === undefined ? from : order[from]!;
    const last = order === undefined ? to - 1 : order[to - 1]!;
    this.#span(block.ts[first]!, block.ts[last]!);
    for (let at = from; at < to; at++) {
      const i = order === undefined ? at : order[at]!;
      const chunk = this.#row.room();
      const index = chunk.length++;
      chunk.ts[index] = block.ts[i]!;
      this.#columns.write(chunk, index, block, i);
    }
  }

  unbuild(into: Pending): void {
    for (const chunk of this.#row.chunks)
      for (let i = 0; i < chunk.length; i++) this.#columns.read(chunk, i, into);
  }

  restart(): void {
    this.#row.restart();
  }
}
