/**
 * CPU samples ("P" events and the file's "samples"): they name a node of "stackFrames", which usually comes after them,
 * so they are held until the end of the file.
 */
import { NO_STACK, type Ns, type StackId, type TraceSink, type TrackId } from "../../model/sink.ts";
import { ascii, spells } from "../../wire/json-bytes.ts";
import type { OddityCounts } from "./counts.ts";
import type { EventFields } from "./event.ts";
import { idText, isRecord, type JsonRecord } from "./values.ts";

interface HeldSample {
  readonly thread: TrackId;
  readonly ts: Ns;
  /** Index of the stack's key; −1: none. */
  readonly stack: number;
  readonly weight: number;
  readonly cpu: number;
}

export class HeldSamples {
  readonly #sink: TraceSink;
  readonly #odd: OddityCounts;
  readonly #samples: HeldSample[] = [];
  readonly #stackKeys = new Map<string, number>();
  readonly #stacks = new Map<string, StackId>();
  /** The file's "stackFrames". */
  frames: JsonRecord = {};

  constructor(sink: TraceSink, odd: OddityCounts) {
    this.#sink = sink;
    this.#odd = odd;
  }

  hold(b: Uint8Array, e: EventFields, thread: TrackId, ts: Ns): void {
    let weight = 1;
    let cpu = -1;
    for (let i = 0; i < 4 * e.extraCount; i += 4) {
      const [from, to, valueFrom, valueTo] = e.extras.subarray(i, i + 4) as unknown as number[];
      const value = Number(ascii(b, valueFrom!, Math.min(valueTo!, valueFrom! + 40)));
      if (Number.isNaN(value)) continue;
      if (spells(b, from!, to!, "weight")) weight = value;
      else if (spells(b, from!, to!, "cpu")) cpu = value;
    }
    let stack = -1;
    if (e.stackTo !== 0) {
      const key = idText(b, e.stackFrom, e.stackTo);
      stack = this.#stackKeys.get(key) ?? this.#stackKeys.size;
      this.#stackKeys.set(key, stack);
    }
    this.#samples.push({ thread, ts, stack, weight, cpu });
  }

  give(byteOffset: number): void {
    const stacks = [...this.#stackKeys.keys()].map((key) => this.#stack(key, byteOffset));
    for (const { thread, ts, stack, weight, cpu } of this.#samples)
      this.#sink.sample(thread, ts, stack < 0 ? NO_STACK : stacks[stack]!, weight, cpu);
  }

  /** From the innermost frame outwards by a loop: a file may nest frames without end, or in a ring. */
  #stack(key: string, byteOffset: number): StackId {
    const path: { readonly key: string; readonly frame: JsonRecord }[] = [];
    const seen = new Set<string>();
    let at: string | undefined = key;
    let top: StackId = NO_STACK;
    while (at !== undefined && !seen.has(at)) {
      seen.add(at);
      const known = this.#stacks.get(at);
      if (known !== undefined) {
        top = known;
        break;
      }
      const frame: unknown = Object.hasOwn(this.frames, at) ? this.frames[at] : undefined;
      if (!isRecord(frame)) {
        this.#odd.add("stacks", byteOffset);
        break;
      }
      path.push({ key: at, frame });
      const { parent } = frame;
      at = typeof parent === "string" || typeof parent === "number" ? String(parent) : undefined;
    }
    for (const { key: id, frame } of path.reverse()) {
      top = this.#sink.stack(top, this.#frame(frame));
      this.#stacks.set(id, top);
    }
    return top;
  }

  #frame(frame: JsonRecord): ReturnType<TraceSink["frame"]> {
    // "category" is where the function is; the rest is what kymo's own writer adds.
    const { name, category, file, line, address, build_id: buildId, inlined } = frame;
    return this.#sink.frame({
      name: String(name ?? ""),
      ...(typeof category === "string" && category !== "" && { module: category }),
      ...(typeof file === "string" && { file }),
      ...(typeof line === "number" && { line }),
      ...(typeof address === "string" &&
        /^0x[\da-f]{1,16}$/.test(address) && { address: BigInt(address) }),
      ...(typeof buildId === "string" && { buildId }),
      ...(typeof inlined === "boolean" && { inlined }),
    });
  }
}
