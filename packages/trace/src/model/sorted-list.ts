/** Few and rich events (life, log): objects in order of time, moved to the trace as the watermark passes them. */
export class SortedList<T extends { readonly ts: number }> {
  readonly #list: T[];
  #waiting: T[] = [];

  /** @param list  owned by the trace; kept ascending in ts, equal times in order of arrival */
  constructor(list: T[]) {
    this.#list = list;
  }

  add(event: T): void {
    this.#waiting.push(event);
  }

  /** @returns what was moved: every waiting event earlier than `limit` */
  drain(limit: number): readonly T[] {
    if (this.#waiting.length === 0) return [];
    const moved = this.#waiting.filter(({ ts }) => ts < limit).sort(byTime);
    this.#waiting = this.#waiting.filter(({ ts }) => ts >= limit);
    const late = moved.length > 0 && moved[0]!.ts < (this.#list.at(-1)?.ts ?? -Infinity);
    for (const event of moved) this.#list.push(event);
    if (late) this.#list.sort(byTime);
    return moved;
  }
}

function byTime(x: { readonly ts: number }, y: { readonly ts: number }): number {
  return x.ts - y.ts;
}
