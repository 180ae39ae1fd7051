/** Frames and call stacks, each stored once: a stack is a node of a prefix tree. */

import { enlarged } from "./rows.ts";
import { type FrameId, type FrameInfo, NO_STACK, type StackId } from "./sink.ts";
import type { StackTable } from "./trace.ts";

export class Frames {
  readonly list: FrameInfo[] = [];
  readonly #ids = new Map<string, FrameId>();

  intern(info: FrameInfo): FrameId {
    const key = `${info.name}\0${info.file ?? ""}\0${info.line ?? ""}\0${info.module ?? ""}\0${info.buildId ?? ""}\0${info.address ?? ""}\0${info.inlined ?? ""}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.list.length as FrameId;
    this.list.push({ ...info });
    this.#ids.set(key, id);
    return id;
  }
}

/** Columns and the open-addressing hash table over them: (parent, frame) → node. */
export class Stacks implements StackTable {
  length = 0;
  parent: Int32Array = new Int32Array(256);
  frame: Int32Array = new Int32Array(256);
  #slots = new Int32Array(512).fill(-1);

  intern(parent: StackId, frame: FrameId): StackId {
    if (parent < NO_STACK || parent >= this.length)
      throw new RangeError(`stack ${parent} of ${this.length}`);
    const mask = this.#slots.length - 1;
    let slot = hash(parent, frame) & mask;
    for (;;) {
      const id = this.#slots[slot]!;
      if (id < 0) break;
      if (this.parent[id] === parent && this.frame[id] === frame) return id as StackId;
      slot = (slot + 1) & mask;
    }
    const id = this.length++;
    if (id === this.parent.length) {
      this.parent = enlarged(this.parent);
      this.frame = enlarged(this.frame);
    }
    this.parent[id] = parent;
    this.frame[id] = frame;
    this.#slots[slot] = id;
    if (this.length * 2 > this.#slots.length) this.#rehash();
    return id as StackId;
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    const mask = this.#slots.length - 1;
    for (let id = 0; id < this.length; id++) {
      let slot = hash(this.parent[id]!, this.frame[id]!) & mask;
      while (this.#slots[slot]! >= 0) slot = (slot + 1) & mask;
      this.#slots[slot] = id;
    }
  }
}

function hash(parent: number, frame: number): number {
  let h = Math.imul(parent, 0x9e3779b1) ^ Math.imul(frame, 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}
