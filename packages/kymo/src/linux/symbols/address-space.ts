/** What is mapped where in one process: sorted, non-overlapping, shared with forked children until one changes it. */

export interface Mapping {
  readonly start: number;
  readonly end: number;
  /** Of `start` in the file. */
  readonly offset: number;
  readonly path: string;
  /** Hex, of the file the kernel mapped, when it said. */
  readonly buildId: string | undefined;
}

/** More executable mappings than this and the oldest by address are forgotten: a JIT that maps without end. */
const mappingLimit = 65_536;

export class AddressSpace {
  #mappings: Mapping[];
  #shared = false;

  constructor(mappings: Mapping[] = []) {
    this.#mappings = mappings;
  }

  get count(): number {
    return this.#mappings.length;
  }

  /** The same mappings for a child. Costs nothing until one of the two changes. */
  fork(): AddressSpace {
    const child = new AddressSpace(this.#mappings);
    this.#shared = true;
    child.#shared = true;
    return child;
  }

  /** Adds a mapping; what it covers of older ones goes, their remainders stay. */
  add(mapping: Mapping): void {
    if (!(mapping.end > mapping.start)) return;
    if (this.#shared) {
      this.#mappings = this.#mappings.slice();
      this.#shared = false;
    }
    const list = this.#mappings;
    let from = this.#indexAfter(mapping.start);
    if (from > 0 && list[from - 1]!.end > mapping.start) from--;
    let to = from;
    const kept: Mapping[] = [];
    for (; to < list.length && list[to]!.start < mapping.end; to++) {
      const old = list[to]!;
      if (old.start < mapping.start) kept.push({ ...old, end: mapping.start });
      if (old.end > mapping.end) {
        const cut = mapping.end - old.start;
        kept.push({ ...old, start: mapping.end, offset: old.offset + cut });
      }
    }
    kept.push(mapping);
    kept.sort((a, b) => a.start - b.start);
    list.splice(from, to - from, ...kept);
    if (list.length > mappingLimit) list.shift();
  }

  find(address: number): Mapping | undefined {
    const mapping = this.#mappings[this.#indexAfter(address) - 1];
    return mapping !== undefined && address < mapping.end ? mapping : undefined;
  }

  /** The mappings before and behind an address, or the one that has it: nearest first. */
  around(address: number): readonly Mapping[] {
    const after = this.#indexAfter(address);
    return [this.#mappings[after - 1], this.#mappings[after]].filter((one) => one !== undefined);
  }

  /** Index of the first mapping that starts after `address`. */
  #indexAfter(address: number): number {
    const list = this.#mappings;
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list[middle]!.start <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * Executable mappings in the text of /proc/PID/maps, ascending:
 *
 *     7f39ea957000-7f39ea97d000 r-xp 00001000 fe:00 338944      /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
 */
export function parseMaps(text: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of text.split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ \d+ *(.*)$/.exec(line);
    if (match === null) continue;
    const [start, end, offset] = [match[1]!, match[2]!, match[3]!].map((hex) =>
      Number.parseInt(hex, 16),
    );
    if (end! >= 2 ** 53) continue; // [vsyscall] of x86 is in the kernel's half
    const path = match[4]!.replace(/\\012/g, "\n");
    mappings.push({
      start: start!,
      end: end!,
      offset: offset!,
      path: path === "" ? "//anon" : path,
      buildId: undefined,
    });
  }
  return mappings;
}
