/**
 * Lines to standard output, written by the capture worker itself. Where nobody reads them fast enough the worker waits,
 * its ring fills, and what doesn't fit is counted as lost, as it would be for a slow disk.
 */
import { writeSync } from "node:fs";

const flushChars = 65_536;
const retryMs = 1;

export class LineOutput {
  /** Nobody reads any more. */
  closed = false;
  #pending = "";

  line(text: string): void {
    this.#pending += `${text}\n`;
    if (this.#pending.length >= flushChars) this.flush();
  }

  flush(): void {
    const bytes = Buffer.from(this.#pending);
    this.#pending = "";
    for (let done = 0; done < bytes.byteLength && !this.closed; ) {
      try {
        done += writeSync(1, bytes, done, bytes.byteLength - done);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EAGAIN") Atomics.wait(sleeper, 0, 0, retryMs);
        else if (code === "EPIPE") this.closed = true;
        else throw error;
      }
    }
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));
