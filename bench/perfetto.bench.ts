/**
 * Perfetto protobuf: decoding a file of slices, writing events, and the size of a switch.
 *
 *     npm run bench -- perfetto [SLICES]
 *
 * The plain alternative to our reader is protobufjs decoding the same packets into objects, without doing anything
 * with them: interning, tracks, clocks and the trace itself come on top of ours.
 */

import {
  formats,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  TraceBuilder,
  type TraceSink,
} from "@kymo/trace";
import protobuf from "protobufjs";

const perfetto = formats.find(({ name }) => name === "perfetto");
if (perfetto?.writer === undefined || perfetto.stream === undefined)
  throw new Error("the perfetto format is not registered");
const { writer: newWriter, stream: newReader } = perfetto;

const SLICES = Number(process.argv[2] ?? 300_000);
const PAIRS = 7;
const PUSH_BYTES = 256 * 1024;

async function collected(write: (sink: TraceSink) => void): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const writer = await newWriter((bytes) => {
    pieces.push(bytes.slice());
  });
  write(writer);
  writer.close();
  return new Uint8Array(Buffer.concat(pieces));
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}
async function timed(run: () => void | Promise<void>): Promise<number> {
  globalThis.gc?.();
  const from = performance.now();
  await run();
  return performance.now() - from;
}

/** Nested slices of 8 threads, 2000 names, arguments on one in five. */
function slices(sink: TraceSink): void {
  sink.clock({ domain: "monotonic", originNs: 10n ** 14n, errorNs: 0 });
  const process = sink.track({ kind: "process", name: "app", pid: 1 });
  const threads = Array.from({ length: 8 }, (_, i) =>
    sink.track({ kind: "thread", name: `worker ${i}`, pid: 1, tid: i + 1, parent: process }),
  );
  const names = Array.from({ length: 2000 }, (_, i) => sink.string(`Name::of_${i}`));
  const category = sink.string("io");
  const key = sink.string("bytes");
  for (let i = 0; i < SLICES / 2; i++) {
    const thread = threads[i % 8]!;
    const ts = i * 1000;
    sink.begin(thread, ts as Ns, names[(i * 7) % 2000]!, category, NO_ARGS);
    let args = NO_ARGS;
    if (i % 5 === 0) {
      sink.args.int(key, i);
      args = sink.args.done();
    }
    sink.begin(thread, (ts + 100) as Ns, names[(i * 13) % 2000]!, category, args);
    sink.end(thread, (ts + 400) as Ns, NO_ARGS);
    sink.end(thread, (ts + 900) as Ns, NO_ARGS);
    if (i % 10_000 === 0) sink.watermark(ts as Ns);
  }
}

function switches(sink: TraceSink, count: number): void {
  sink.clock({ domain: "monotonic", originNs: 10n ** 14n, errorNs: 0 });
  const cpus = [0, 1, 2, 3].map((cpu) => sink.track({ kind: "cpu", name: `CPU ${cpu}`, cpu }));
  const threads = Array.from({ length: 64 }, (_, i) =>
    sink.track({ kind: "thread", name: `worker-${i}`, tid: 20_000 + i, pid: 20_000 }),
  );
  const running = cpus.map(() => NO_TRACK);
  const sleeping = sink.string("S");
  // 80,000 switches a second, flushed every 250 ms as a recording is.
  for (let i = 0; i < count; i++) {
    const next = i % 3 === 0 ? NO_TRACK : threads[(i * 7) % threads.length]!;
    const ts = i * 12_500 + ((i * 7919) % 5000);
    sink.switch(cpus[i % 4]!, ts as Ns, running[i % 4]!, sleeping, next, 120);
    running[i % 4] = next;
    if (i % 20_000 === 19_999) sink.watermark(ts as Ns);
  }
}

function samples(sink: TraceSink, count: number): void {
  sink.clock({ domain: "monotonic", originNs: 10n ** 14n, errorNs: 0 });
  const thread = sink.track({ kind: "thread", name: "t", tid: 20_000, pid: 20_000 });
  const frames = Array.from({ length: 500 }, (_, i) =>
    sink.frame({ name: `function_${i}`, module: "/bin/app", address: BigInt(i * 16) }),
  );
  for (let i = 0; i < count; i++) {
    let stack = NO_STACK;
    for (let depth = 0; depth < 20; depth++)
      stack = sink.stack(stack, frames[(i % 50) * 10 + (depth % 10)]!);
    sink.sample(thread, (i * 1_000_000) as Ns, stack, 1_000_000, i % 4);
  }
}

// ── Decode ──────────────────────────────────────────────────────────────────────────────────────

const file = await collected(slices);
const readOurs = async (sink: TraceSink) => {
  const reader = await newReader(sink);
  for (let at = 0; at < file.length; at += PUSH_BYTES)
    reader.push(file.subarray(at, at + PUSH_BYTES));
  reader.end();
};
const field = (type: string, id: number, rule?: string) => ({ type, id, ...(rule && { rule }) });
const Packet = protobuf.Root.fromJSON({
  nested: {
    Packet: {
      fields: {
        timestamp: field("uint64", 8),
        sequence: field("uint32", 10),
        flags: field("uint32", 13),
        event: field("Event", 11),
        interned: field("bytes", 12),
        descriptor: field("bytes", 60),
      },
    },
    Event: {
      fields: {
        categories: field("uint64", 3, "repeated"),
        annotations: field("Annotation", 4, "repeated"),
        type: field("uint32", 9),
        name: field("uint64", 10),
        track: field("uint64", 11),
      },
    },
    Annotation: { fields: { name: field("uint64", 1), int: field("int64", 4) } },
  },
}).lookupType("Packet");
let packets = 0;
const readTheirs = () => {
  const reader = protobuf.Reader.create(file);
  while (reader.pos < reader.len) {
    reader.uint32();
    Packet.decode(reader, reader.uint32());
    packets++;
  }
};

const built: number[] = [];
const theirs: number[] = [];
for (let i = 0; i < PAIRS; i++) {
  built.push(
    await timed(async () => {
      const builder = new TraceBuilder();
      await readOurs(builder);
      builder.close();
      if (builder.trace.length !== SLICES) throw new Error(`${builder.trace.length} slices`);
    }),
  );
  theirs.push(await timed(readTheirs));
}
const ours = median(built);
const other = median(theirs);
console.log(
  `decode ${SLICES} slices (${(file.length / SLICES).toFixed(1)} bytes each), median of ${PAIRS}:`,
);
console.log(
  `  into a built trace ${(SLICES / ours / 1000).toFixed(2)} M slices/s · protobufjs, packets only ${(SLICES / other / 1000).toFixed(2)} M slices/s · ratio of times ${(ours / other).toFixed(2)}`,
);

// ── Write ───────────────────────────────────────────────────────────────────────────────────────

const writes = async (run: (sink: TraceSink) => void, events: number): Promise<string> => {
  let bytes = 0;
  const times: number[] = [];
  for (let i = 0; i < PAIRS; i++) {
    bytes = 0;
    const writer = await newWriter((piece) => {
      bytes += piece.length;
    });
    times.push(
      await timed(() => {
        run(writer);
        writer.close();
      }),
    );
  }
  const ns = (median(times) * 1e6) / events;
  return `${ns.toFixed(0)} ns, ${(bytes / events).toFixed(2)} bytes`;
};
console.log(`write, an event each:`);
console.log(`  begin or end ${await writes(slices, SLICES * 2)}`);
console.log(`  switch ${await writes((sink) => switches(sink, SLICES), SLICES)}`);
console.log(`  sample of 20 frames ${await writes((sink) => samples(sink, 50_000), 50_000)}`);
if (packets === 0) throw new Error("nothing was compared");
