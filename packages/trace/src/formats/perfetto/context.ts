/** What the parts of the reader share: the sink, time, and counts of what could not be used. */
import {
  EMPTY_STRING,
  type Ns,
  type ProblemKind,
  type StringId,
  type TraceSink,
} from "../../model/sink.ts";
import { NO_TEXT, type TextId } from "./sequence.ts";

interface Count {
  readonly kind: ProblemKind;
  readonly message: string;
  readonly byteOffset: number;
  count: number;
}
/** Kinds of problems counted apart; a damaged file must not make a list of its own. */
const MAX_KINDS = 256;

export class ReaderContext {
  readonly sink: TraceSink;
  /** Latest time seen, ns since the trace's origin. */
  private newest = 0;
  /** Offset in the file of the packet being read. */
  offset = 0;
  private readonly counts = new Map<string, Count>();
  /** By the sink's StringId. */
  private readonly texts: string[] = [];
  /** How a time since the clocks' base becomes one since the origin; set by `onFirstTime`. */
  shift: number | undefined;
  /** Called before the first event, when the clocks have their base. */
  onFirstTime: () => void = () => {};

  constructor(sink: TraceSink) {
    this.sink = sink;
  }

  /** Counts something that was not used; reported once, at the end. */
  count(kind: ProblemKind, message: string, count = 1): void {
    const known = this.counts.get(message);
    if (known !== undefined) known.count += count;
    else if (this.counts.size < MAX_KINDS)
      this.counts.set(message, { kind, message, count, byteOffset: this.offset });
  }

  /** Reports what was counted. */
  report(): void {
    for (const { kind, message, count, byteOffset } of this.counts.values())
      this.sink.problem({ kind, message, count, byteOffset });
    this.counts.clear();
  }

  ns(time: number): Ns {
    if (this.shift === undefined) this.onFirstTime();
    const at = time + (this.shift ?? 0);
    if (at > this.newest) this.newest = at;
    return at as Ns;
  }

  /** The latest time seen. */
  latest(): Ns {
    if (this.shift === undefined) this.onFirstTime();
    return this.newest as Ns;
  }

  /** The sink's id of a text; `textOf` knows it from then on. */
  readonly string = (text: string): StringId => {
    const id = this.sink.string(text);
    this.texts[id] = text;
    return id;
  };

  /** A text that `string` was given; "" for none. */
  textOf(id: TextId): string {
    return id === NO_TEXT ? "" : (this.texts[id] ?? "");
  }

  /** The id of an interned text; "" where it was never defined (counted). */
  defined(id: TextId, what: string): StringId {
    if (id !== NO_TEXT) return id;
    this.count("malformed", `interned ${what} used before they were defined`);
    return EMPTY_STRING;
  }
}
