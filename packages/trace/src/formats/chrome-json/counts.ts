/** Oddities of a file: counted while reading, reported as one problem a kind at the end. */
import type { Problem, ProblemKind, TraceSink } from "../../model/sink.ts";

export type Oddity =
  | "garbage"
  | "tooLong"
  | "noPhase"
  | "noTime"
  | "noDuration"
  | "negativeDuration"
  | "badArgs"
  | "badMetadata"
  | "badCounter"
  | "badMember"
  | "endName"
  | "asyncEndName"
  | "asyncEnd"
  | "flowId"
  | "asyncId"
  | "lateSort"
  | "stacks"
  | "farTime";

const oddities: { readonly [Name in Oddity]: readonly [ProblemKind, string] } = {
  garbage: ["malformed", "bytes between the events are no JSON and were passed over"],
  tooLong: ["malformed", "an event or a member is longer than 16 MiB and was passed over"],
  noPhase: ["malformed", 'events without a phase ("ph") were left out'],
  noTime: ["malformed", 'events without a time ("ts") were left out'],
  noDuration: ["malformed", 'complete events ("X") without "dur" are shown as still open'],
  negativeDuration: ["malformed", "complete events with a negative duration are shown with none"],
  badArgs: ["malformed", "arguments that are no JSON, or nested too deep, were left out"],
  badMetadata: ["malformed", "metadata events whose arguments are not as specified were left out"],
  badCounter: ["malformed", "counter values that are no numbers were left out"],
  badMember: ["malformed", "members beside the events that are not as specified were left out"],
  endName: [
    "malformed",
    'end events ("E") name another slice than the innermost open one of their thread, which they end',
  ],
  asyncEndName: [
    "malformed",
    'async end events ("e") name another slice than the innermost open one, which they end',
  ],
  asyncEnd: ["unmatched-end", 'async end events ("e", "F") have no begin'],
  flowId: ["malformed", "flow events without an id were left out"],
  asyncId: ["malformed", "async events without an id were left out"],
  lateSort: [
    "unsupported",
    "sort indices that come after the first event of their track were left out",
  ],
  stacks: ["malformed", 'samples name a stack that "stackFrames" does not have'],
  farTime: [
    "clock",
    "times are more than 104 days from the first event: they are exact to less than 1 ns",
  ],
};

export class OddityCounts {
  readonly #counts = new Map<Oddity, { count: number; byteOffset: number }>();
  /** Events of phases that are not read, by phase. */
  readonly #phases = new Map<number, { count: number; byteOffset: number }>();

  add(oddity: Oddity, byteOffset: number): void {
    const entry = this.#counts.get(oddity);
    if (entry === undefined) this.#counts.set(oddity, { count: 1, byteOffset });
    else entry.count++;
  }
  addPhase(phase: number, byteOffset: number): void {
    const entry = this.#phases.get(phase);
    if (entry === undefined) this.#phases.set(phase, { count: 1, byteOffset });
    else entry.count++;
  }
  count(oddity: Oddity): number {
    return this.#counts.get(oddity)?.count ?? 0;
  }

  report(sink: TraceSink): void {
    for (const [oddity, { count, byteOffset }] of this.#counts) {
      const [kind, message] = oddities[oddity];
      sink.problem({ kind, message, count, byteOffset } satisfies Problem);
    }
    for (const [phase, { count, byteOffset }] of this.#phases)
      sink.problem({
        kind: "unsupported",
        message: `events of phase ${JSON.stringify(String.fromCharCode(phase))} are not read yet`,
        count,
        byteOffset,
      });
  }
}
