/** Binary heap of cursors: always advances the one whose next event comes first. */
export interface Cursor {
  /** Time of the next event. */
  readonly ts: number;
  /** Decides between cursors at the same time: lower first. */
  readonly rank: number;
}

export class Heap<T extends Cursor> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }
  get first(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    let at = this.#items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, this.#items[parent]!)) break;
      this.#items[at] = this.#items[parent]!;
      at = parent;
    }
    this.#items[at] = item;
  }

  /** The first item has advanced: puts it in its new place. */
  settle(): void {
    const items = this.#items;
    const item = items[0]!;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++;
      if (!before(items[child]!, item)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }

  /** Removes the first item. */
  shift(): void {
    const last = this.#items.pop();
    if (last === undefined || this.#items.length === 0) return;
    this.#items[0] = last;
    this.settle();
  }
}

function before(x: Cursor, y: Cursor): boolean {
  return x.ts < y.ts || (x.ts === y.ts && x.rank < y.rank);
}
