/** Hands finished bytes to a ByteSink one piece at a time, and keeps what comes while it is busy. */
import type { ByteSink } from "../format.ts";

export class Output {
  private readonly sink: ByteSink;
  private readonly waiting: Uint8Array[] = [];
  private busy: Promise<void> | undefined;
  private failure: { readonly error: unknown } | undefined;
  /** Bytes that `send` took and the sink has not accepted yet. */
  queuedBytes = 0;

  constructor(sink: ByteSink) {
    this.sink = sink;
  }

  /**
   * @returns true when `bytes` is still in use after the call: the caller must write on in another buffer
   * @throws what the sink threw, at once or, when it failed later, at the next call
   */
  send(bytes: Uint8Array): boolean {
    this.check();
    if (bytes.length === 0) return false;
    if (this.busy !== undefined) {
      this.waiting.push(bytes);
      this.queuedBytes += bytes.length;
      return true;
    }
    const accepted = this.sink(bytes);
    if (accepted === undefined) return false;
    this.queuedBytes += bytes.length;
    this.busy = this.drain(accepted, bytes.length);
    return true;
  }

  /** Resolves when everything sent has been accepted. @throws what the sink threw */
  async drained(): Promise<void> {
    await this.busy;
    this.check();
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure.error;
  }

  private async drain(accepted: Promise<void>, size: number): Promise<void> {
    try {
      await accepted;
      this.queuedBytes -= size;
      for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
        await this.sink(next);
        this.queuedBytes -= next.length;
      }
    } catch (error) {
      this.failure = { error };
      this.waiting.length = 0;
    } finally {
      this.busy = undefined;
    }
  }
}
