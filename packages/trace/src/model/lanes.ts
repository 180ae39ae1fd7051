/**
 * When each lane of a track is free again, and the first free one: a linear search while there are few lanes, a tree of
 * minima (node i over 2i and 2i + 1) once there are many.
 */
const FEW = 32;
const NO_TREE = new Float64Array(0);

export class Lanes {
  length = 0;
  /** End of the last slice of each lane; Infinity while it is open. */
  #ends: number[] = [];
  /** Minima of the tree; its leaves are at [size, size + length). Size 0: no tree. */
  #tree = NO_TREE;
  #size = 0;

  clear(): void {
    this.length = 0;
    this.#ends = [];
    this.#size = 0;
  }

  /** First lane ≥ `from` that is free at `ts`; `length` or `from` when that would be a new one. */
  firstFree(from: number, ts: number): number {
    if (this.#size > 0) return this.#searchTree(from, ts);
    const ends = this.#ends;
    let lane = from;
    while (lane < this.length && ends[lane]! > ts) lane++;
    return lane;
  }

  set(lane: number, end: number): void {
    for (; this.length <= lane; this.length++) this.#ends.push(-Infinity);
    this.#ends[lane] = end;
    if (this.length <= FEW) return;
    if (this.length > this.#size) this.#plant();
    let node = this.#size + lane;
    this.#tree[node] = end;
    for (node >>= 1; node > 0; node >>= 1)
      this.#tree[node] = Math.min(this.#tree[2 * node]!, this.#tree[2 * node + 1]!);
  }

  #plant(): void {
    this.#size = 2 ** Math.ceil(Math.log2(this.length + 1));
    this.#tree = new Float64Array(2 * this.#size).fill(-Infinity);
    this.#tree.set(this.#ends, this.#size);
    for (let node = this.#size - 1; node > 0; node--)
      this.#tree[node] = Math.min(this.#tree[2 * node]!, this.#tree[2 * node + 1]!);
  }

  #searchTree(from: number, ts: number): number {
    if (from >= this.length) return from;
    const tree = this.#tree;
    let node = this.#size + from;
    // Up until a subtree at or right of `from` holds a free lane, then down to its first.
    while (tree[node]! > ts) {
      while (node & 1) node >>= 1;
      if (node === 0) return this.#size;
      node++;
    }
    while (node < this.#size) node = tree[2 * node]! <= ts ? 2 * node : 2 * node + 1;
    return node - this.#size;
  }
}
