/** Ends of active slices in ascending order, for counting without walking through them all. */

/** Most tracks never need any: room is made with the first. */
const NONE = new Float64Array(0);

export class SortedEnds {
  /** In use: [head, tail). Removing the earliest moves only `head`. */
  #ends = NONE;
  #head = 0;
  #tail = 0;

  get length(): number {
    return this.#tail - this.#head;
  }
  /** Infinity when there is none. */
  get earliest(): number {
    return this.#head < this.#tail ? this.#ends[this.#head]! : Infinity;
  }

  set(ends: Float64Array): void {
    this.#ends = new Float64Array(Math.max(64, ends.length * 2));
    this.#ends.set(ends);
    this.#ends.subarray(0, ends.length).sort();
    this.#head = 0;
    this.#tail = ends.length;
  }

  add(end: number): void {
    const at = this.#firstAbove(end);
    if (this.#head > 0 && at - this.#head < this.#tail - at) {
      this.#ends.copyWithin(this.#head - 1, this.#head, at);
      this.#head--;
      this.#ends[at - 1] = end;
      return;
    }
    if (this.#tail === this.#ends.length) {
      const shift = this.#head;
      this.#makeRoom();
      this.#insert(at - shift, end);
    } else this.#insert(at, end);
  }

  #insert(at: number, end: number): void {
    this.#ends.copyWithin(at + 1, at, this.#tail);
    this.#ends[at] = end;
    this.#tail++;
  }

  #makeRoom(): void {
    const used = this.#ends.subarray(this.#head, this.#tail);
    const larger = new Float64Array(Math.max(64, used.length * 2));
    larger.set(used);
    this.#ends = larger;
    this.#tail = used.length;
    this.#head = 0;
  }

  /** Takes away one that is open (Infinity). */
  removeOpen(): void {
    this.#tail--;
  }

  /** Takes away all that are earlier than `ts`. @returns how many */
  removeBefore(ts: number): number {
    const before = this.#head;
    while (this.#head < this.#tail && this.#ends[this.#head]! < ts) this.#head++;
    return this.#head - before;
  }

  /** How many are > ts. */
  countAbove(ts: number): number {
    return this.#tail - this.#firstAbove(ts);
  }
  /** How many are ≥ end. */
  countAtLeast(end: number): number {
    let [low, high] = [this.#head, this.#tail];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! < end) low = middle + 1;
      else high = middle;
    }
    return this.#tail - low;
  }

  #firstAbove(ts: number): number {
    let [low, high] = [this.#head, this.#tail];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! <= ts) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
