/**
 * Chrome JSON into columns, beside JSON.parse of the same bytes, which only makes objects.
 *
 *     npm run bench chrome-json
 *
 * Runs are interleaved, and the medians of their CPU time printed. The events are made here: nested slices on 64 threads, 2000
 * names, arguments on every fifth, flows and counters now and then.
 */
import {
  type ArgSetId,
  formats,
  NO_ARGS,
  type StringId,
  TraceBuilder,
  type TraceSink,
  type TrackId,
} from "@kymo/trace";

const SLICES = 300_000;
const ROUNDS = 7;
const CHUNK_BYTES = 256 * 1024;

/** Takes everything and keeps nothing: what is left is the reader. */
class NullSink implements TraceSink {
  #ids = 0;
  readonly args = {
    int: (): void => {},
    real: (): void => {},
    text: (): void => {},
    bool: (): void => {},
    bytes: (): void => {},
    open: (): void => {},
    close: (): void => {},
    done: (): ArgSetId => NO_ARGS,
  };
  clock(): void {}
  clockSnapshot(): void {}
  metadata(): void {}
  string(): StringId {
    return ++this.#ids as StringId;
  }
  track(): TrackId {
    return this.#ids++ as TrackId;
  }
  eventType(): never {
    throw new Error("Chrome JSON declares no event types");
  }
  frame(): never {
    throw new Error("no samples here");
  }
  stack(): never {
    throw new Error("no samples here");
  }
  begin(): void {}
  end(): void {}
  slice(): void {}
  instant(): void {}
  typed(): void {}
  counter(): void {}
  sample(): void {}
  switch(): void {}
  waking(): void {}
  life(): void {}
  flow(): void {}
  log(): void {}
  problem(): void {}
  watermark(): void {}
  close(): void {}
}

function makeTrace(slices: number): Uint8Array {
  let state = 12345;
  const random = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const lines: string[] = [];
  const micros = (ns: number): string => (ns / 1000).toFixed(3);
  const clocks = new Float64Array(64).fill(1e9);
  for (let made = 0; made < slices; ) {
    const thread = random(64);
    const place = `"pid":${1000 + (thread >> 3)},"tid":${2000 + thread}`;
    let from = clocks[thread]!;
    let dur = 2000 + random(2_000_000);
    clocks[thread] = from + dur + random(5000);
    for (let depth = random(8); depth >= 0 && made < slices; depth--, made++) {
      const name = random(2000);
      const args =
        random(5) === 0
          ? `,"args":{"count":${random(100_000)},"url":"https://example.com/item/${random(1000)}"}`
          : "";
      lines.push(
        `{"ph":"X","name":"Render::doWork_${name}","cat":"cat.${name % 20}",${place},"ts":${micros(from)},"dur":${micros(dur)}${args}}`,
      );
      if (random(100) === 0)
        lines.push(
          `{"ph":"s","name":"flow","cat":"flow","id":${made},${place},"ts":${micros(from)}}`,
        );
      from += random(200);
      dur = Math.max(0, dur - 1000);
    }
    if (random(10) === 0)
      lines.push(
        `{"ph":"C","name":"counter_${random(16)}",${place},"ts":${micros(from)},"args":{"value":${random(5000)}}}`,
      );
  }
  return new TextEncoder().encode(`{"traceEvents":[\n${lines.join(",\n")}\n]}\n`);
}

const chromeJson = formats.find(({ name }) => name === "chrome-json")!;
const bytes = makeTrace(SLICES);
async function read(sink: TraceSink): Promise<void> {
  const reader = await chromeJson.stream!(sink);
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    reader.push(bytes.subarray(at, at + CHUNK_BYTES));
  reader.end();
  sink.close();
}

const ways: { readonly [name: string]: () => Promise<void> } = {
  "JSON.parse alone": async () => {
    JSON.parse(new TextDecoder().decode(bytes));
  },
  "reader, into nothing": () => read(new NullSink()),
  "reader, into the trace": () => read(new TraceBuilder()),
  "reader into the writer": async () => {
    let written = 0;
    const writer = await chromeJson.writer!((piece) => {
      written += piece.length;
    });
    await read(writer);
    if (written < bytes.length / 2) throw new Error("the writer lost events");
  },
};

const times = new Map(Object.keys(ways).map((name) => [name, [] as number[]]));
for (let round = 0; round <= ROUNDS; round++)
  for (const [name, run] of Object.entries(ways)) {
    // CPU time of this process: others may share the machine. Garbage collected by helper threads counts.
    const from = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(from);
    // The first round warms up.
    if (round > 0) times.get(name)!.push((user + system) / 1000);
  }
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;
const plain = median(times.get("JSON.parse alone")!);
console.log(
  `${SLICES.toLocaleString("en")} slices, ${(bytes.length / 1e6).toFixed(1)} MB; medians of ${ROUNDS}`,
);
for (const [name, values] of times) {
  const ms = median(values);
  console.log(
    `${name.padEnd(24)}${ms.toFixed(0).padStart(6)} ms  ${(SLICES / ms / 1000).toFixed(2)} M slices/s  ` +
      `${(bytes.length / ms / 1000).toFixed(0).padStart(4)} MB/s  ${(plain / ms).toFixed(2)} × JSON.parse`,
  );
}
