/**
 * A format as small as one can be, to try the house's plumbing and `checkFormat` itself: a line a call, tabs between.
 *
 *     kymo-fake                        magic
 *     T  thread  "main"  8             the next track: kind, name, tid
 *     S  0  100  50  "work"            slice: track, ts, dur ("open"), name
 *     C  1  120  4.5                   counter: track, ts, value
 */

import { forward } from "../filters/forward.ts";
import { type ByteSink, type Format, FormatError, type StreamReader } from "../formats/format.ts";
import {
  type ArgsBuilder,
  EMPTY_STRING,
  NO_ARGS,
  type Ns,
  type StringId,
  type TraceSink,
  type TrackId,
} from "../model/sink.ts";

const MAGIC = "kymo-fake\n";
const MAX_LINE = 4096;
const DROPPED_ARGS: ArgsBuilder = {
  int() {},
  real() {},
  text() {},
  bool() {},
  bytes() {},
  open() {},
  close() {},
  done: () => NO_ARGS,
};

export const fakeFormat: Format = {
  name: "fake",
  title: "Fake",
  extensions: [".fake"],
  spec: "this file",
  detect: (head) => (new TextDecoder().decode(head.subarray(0, MAGIC.length)) === MAGIC ? 100 : 0),
  stream: async (sink) => new FakeReader(sink),
  writer: async (out) => fakeWriter(out),
};

/** Threads, processes and counters with their complete slices and values; no parents. */
export function keepWhat(sink: TraceSink): TraceSink {
  const { string, slice } = forward(sink);
  return {
    ...forward(sink),
    args: DROPPED_ARGS,
    clock() {},
    metadata() {},
    track: ({ kind, name, tid }) => sink.track({ kind, name, ...(tid !== undefined && { tid }) }),
    begin() {},
    end() {},
    slice: (track, ts, dur, name) => slice(track, ts, dur, name, string(""), NO_ARGS),
    instant() {},
    typed() {},
    sample() {},
    switch() {},
    waking() {},
    life() {},
    flow() {},
    log() {},
    problem() {},
  };
}

function fakeWriter(out: ByteSink): TraceSink {
  const encoder = new TextEncoder();
  const line = (...fields: readonly (string | number)[]) => {
    void out(encoder.encode(`${fields.join("\t")}\n`));
  };
  void out(encoder.encode(MAGIC));
  const strings: string[] = [];
  let tracks = 0;
  const nothing = () => {};
  const none = <Id>() => 0 as Id;
  return {
    args: DROPPED_ARGS,
    clock: nothing,
    clockSnapshot: nothing,
    metadata: nothing,
    string: (text) => (strings.push(text) - 1) as StringId,
    track({ kind, name, tid }) {
      line("T", kind, JSON.stringify(name), tid ?? "");
      return tracks++ as TrackId;
    },
    eventType: none,
    frame: none,
    stack: none,
    begin: nothing,
    end: nothing,
    slice: (track, ts, dur, name) =>
      line("S", track, ts, Number.isNaN(dur) ? "open" : dur, JSON.stringify(strings[name])),
    instant: nothing,
    typed: nothing,
    counter: (track, ts, value) => line("C", track, ts, String(value)),
    sample: nothing,
    switch: nothing,
    waking: nothing,
    life: nothing,
    flow: nothing,
    log: nothing,
    problem: nothing,
    watermark: nothing,
    close: nothing,
  };
}

class FakeReader implements StreamReader {
  readonly #sink: TraceSink;
  readonly #tracks: TrackId[] = [];
  readonly #decoder = new TextDecoder("utf-8", { fatal: false });
  #rest = "";
  #magic = false;
  #lines = 0;

  constructor(sink: TraceSink) {
    this.#sink = sink;
  }

  push(chunk: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line);
    if (this.#rest.length > MAX_LINE) throw new FormatError("fake", 0, "a line without end");
  }

  end(): void {
    if (!this.#magic) throw new FormatError("fake", 0, "expected the line kymo-fake");
    if (this.#rest !== "")
      this.#sink.problem({ kind: "truncated", message: "the last line is cut short" });
    this.#sink.watermark(Infinity as Ns);
  }

  #line(line: string): void {
    this.#lines++;
    if (!this.#magic) {
      if (`${line}\n` !== MAGIC) throw new FormatError("fake", 0, "expected the line kymo-fake");
      this.#magic = true;
      return;
    }
    if (!this.#call(line.split("\t")))
      this.#sink.problem({ kind: "malformed", message: `line ${this.#lines} is damaged` });
  }

  #call([what, first = "", second = "", third = "", fourth = ""]: readonly string[]): boolean {
    if (what === "T") {
      const name = textOf(second);
      if (name === undefined || !["thread", "process", "counter", "cpu", "async"].includes(first))
        return false;
      const kind = first as "thread";
      const track = { kind, name, ...(third !== "" && { tid: Number(third) }) };
      this.#tracks.push(this.#sink.track(track));
      return true;
    }
    const track = this.#tracks[Number(first)];
    if (track === undefined || !/^\d+$/.test(second)) return false;
    const ts = Number(second) as Ns;
    if (what === "C" && third !== "") {
      this.#sink.counter(track, ts, Number(third));
      return true;
    }
    const name = textOf(fourth);
    if (what !== "S" || name === undefined) return false;
    const dur = (third === "open" ? NaN : Number(third)) as Ns;
    this.#sink.slice(track, ts, dur, this.#sink.string(name), EMPTY_STRING, NO_ARGS);
    return true;
  }
}

function textOf(json: string): string | undefined {
  try {
    const text: unknown = JSON.parse(json);
    return typeof text === "string" ? text : undefined;
  } catch {
    // Damaged text damages its line: the caller reports it.
    return undefined;
  }
}
