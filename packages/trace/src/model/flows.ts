/** Flow steps in the order they were recorded, and the event each is bound to. */

import { enlarged } from "./rows.ts";
import type { FlowTable } from "./trace.ts";

export class Flows implements FlowTable {
  length = 0;
  id: BigUint64Array = new BigUint64Array(16);
  track: Uint32Array = new Uint32Array(16);
  ts: Float64Array = new Float64Array(16);
  step: Uint8Array = new Uint8Array(16);
  event: Float64Array = new Float64Array(16);

  /** @returns the index of the new step */
  add(id: bigint, track: number, ts: number, step: number, event: number): number {
    const i = this.length++;
    if (i === this.ts.length) {
      const ids = new BigUint64Array(i * 2);
      ids.set(this.id);
      this.id = ids;
      this.track = enlarged(this.track);
      this.ts = enlarged(this.ts);
      this.step = enlarged(this.step);
      this.event = enlarged(this.event);
    }
    this.id[i] = id;
    this.track[i] = track;
    this.ts[i] = ts;
    this.step[i] = step;
    this.event[i] = event;
    return i;
  }
}
