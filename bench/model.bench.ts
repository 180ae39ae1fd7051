/**
 * The trace model: what a call, a batch and a held slice cost, beside the plain alternatives.
 *
 *     npm run bench model
 */
import {
  BatchReplayer,
  BatchSink,
  EMPTY_STRING,
  type EventBatch,
  NO_ARGS,
  type Ns,
  TraceBuilder,
  type TraceSink,
  type TrackId,
} from "@kymo/trace";
import { bench, do_not_optimize, run, summary } from "mitata";

// Not exported by the package: only the benchmark asks for it by itself.
const sort = new URL("../packages/trace/src/model/sort.ts", import.meta.url);
const { sortedOrder } = (await import(sort.href)) as {
  sortedOrder(ts: Float64Array, n: number): Uint32Array;
};

const SLICES = 200_000;

/** Pairs, two deep, in order: SLICES slices on one thread. */
function callInto(sink: TraceSink): void {
  const track = sink.track({ kind: "thread", name: "main", tid: 1 });
  const [outer, inner] = [sink.string("outer"), sink.string("inner")];
  for (let i = 0; i < SLICES / 2; i++) {
    const ts = i * 100;
    sink.begin(track, ts as Ns, outer, EMPTY_STRING, NO_ARGS);
    sink.begin(track, (ts + 10) as Ns, inner, EMPTY_STRING, NO_ARGS);
    sink.end(track, (ts + 50) as Ns, NO_ARGS);
    sink.end(track, (ts + 90) as Ns, NO_ARGS);
  }
}

interface EventObject {
  readonly phase: "B" | "E";
  readonly track: number;
  readonly ts: number;
  readonly name: string;
}

function* generated(): Generator<EventObject> {
  for (let i = 0; i < SLICES / 2; i++) {
    const ts = i * 100;
    yield { phase: "B", track: 0, ts, name: "outer" };
    yield { phase: "B", track: 0, ts: ts + 10, name: "inner" };
    yield { phase: "E", track: 0, ts: ts + 50, name: "" };
    yield { phase: "E", track: 0, ts: ts + 90, name: "" };
  }
}

/** The builder behind an interface of event objects: the same work, called for each. */
function builtFromObjects(events: Iterable<EventObject>): TraceBuilder {
  const builder = new TraceBuilder();
  const track = builder.track({ kind: "thread", name: "main", tid: 1 });
  for (const event of events)
    if (event.phase === "B")
      builder.begin(track, event.ts as Ns, builder.string(event.name), EMPTY_STRING, NO_ARGS);
    else builder.end(track, event.ts as Ns, NO_ARGS);
  builder.close();
  return builder;
}

/** What a trace of plain objects would be: a tree of nodes. */
interface SliceObject {
  readonly ts: number;
  dur: number;
  readonly name: string;
  readonly children: SliceObject[];
}
function treeOfObjects(): SliceObject[] {
  const roots: SliceObject[] = [];
  const open: SliceObject[] = [];
  for (const { phase, ts, name } of generated()) {
    if (phase === "B") {
      const slice: SliceObject = { ts, dur: NaN, name, children: [] };
      (open.at(-1)?.children ?? roots).push(slice);
      open.push(slice);
    } else {
      const slice = open.pop()!;
      slice.dur = ts - slice.ts;
    }
  }
  return roots;
}

function built(): TraceBuilder {
  const builder = new TraceBuilder();
  callInto(builder);
  builder.close();
  return builder;
}

function batched(): EventBatch {
  const sink = new BatchSink();
  callInto(sink);
  return sink.flush();
}

/** Bare columns: what the shape of the interface costs by itself. */
class BareColumns {
  length = 0;
  readonly ts = new Float64Array(2 * SLICES);
  readonly name = new Uint32Array(2 * SLICES);
  readonly phase = new Uint8Array(2 * SLICES);
  begin(ts: number, name: number): void {
    const i = this.length++;
    this.ts[i] = ts;
    this.name[i] = name;
  }
  end(ts: number): void {
    const i = this.length++;
    this.ts[i] = ts;
    this.phase[i] = 1;
  }
}
const bare = new BareColumns();
summary(() => {
  bench(`${SLICES} slices into bare columns, by call`, () => {
    bare.length = 0;
    for (let i = 0; i < SLICES / 2; i++) {
      bare.begin(i * 100, 1);
      bare.begin(i * 100 + 10, 2);
      bare.end(i * 100 + 50);
      bare.end(i * 100 + 90);
    }
    do_not_optimize(bare.length);
  });
  bench("the same from event objects, by generator, to bare columns", () => {
    bare.length = 0;
    for (const { phase, ts, name } of generated())
      if (phase === "B") bare.begin(ts, name.length);
      else bare.end(ts);
    do_not_optimize(bare.length);
  });
});

summary(() => {
  bench(`${SLICES} slices, begin and end by call`, () => do_not_optimize(built())).gc("inner");
  bench("the same from event objects, by generator", () =>
    do_not_optimize(builtFromObjects(generated())),
  ).gc("inner");
  bench("the same as a tree of objects, no columns", () => do_not_optimize(treeOfObjects())).gc(
    "inner",
  );
});

const batch = batched();
summary(() => {
  bench(`${SLICES} slices into a batch`, () => do_not_optimize(batched())).gc("inner");
  bench("replay of that batch into a builder", () => {
    const builder = new TraceBuilder();
    new BatchReplayer(builder).replay(batch);
    builder.close();
    do_not_optimize(builder);
  }).gc("inner");
});

// Eight sources, each in order: how events of eight CPUs arrive.
const interleaved = Float64Array.from(
  { length: SLICES },
  (_, i) => ((i % 25_000) * 8 + Math.floor(i / 25_000)) * 10,
);
summary(() => {
  bench(`order of ${SLICES} times in 8 runs, merged`, () =>
    do_not_optimize(sortedOrder(interleaved, SLICES)),
  );
  bench("the same by a comparator", () =>
    do_not_optimize(
      Uint32Array.from({ length: SLICES }, (_, i) => i).sort(
        (x, y) => interleaved[x]! - interleaved[y]!,
      ),
    ),
  );
});

const depths = Float64Array.from({ length: SLICES }, (_, i) => i);
summary(() => {
  const typed = new Float64Array(16);
  bench("a stack of ends in a typed array", () => {
    let top = 0;
    for (const end of depths) {
      if (top > 2) top = 0;
      typed[top++] = end;
    }
    do_not_optimize(top);
  });
  bench("the same in a plain array, truncated by length", () => {
    const plain: number[] = [];
    for (const end of depths) {
      if (plain.length > 2) plain.length = 0;
      plain.push(end);
    }
    do_not_optimize(plain.length);
  });
});

await run();
reportMemory(2_000_000);

/** Bytes held by a built trace, and the most taken on the way. */
function reportMemory(slices: number): void {
  const collect = globalThis.gc;
  if (collect === undefined) {
    console.log("memory: run node with --expose-gc");
    return;
  }
  collect();
  const before = taken();
  let peak = before;
  const builder = new TraceBuilder();
  const track: TrackId = builder.track({ kind: "thread", name: "main", tid: 1 });
  const name = builder.string("work");
  for (let i = 0; i < slices / 2; i++) {
    const ts = i * 100;
    builder.begin(track, ts as Ns, name, EMPTY_STRING, NO_ARGS);
    builder.slice(track, (ts + 10) as Ns, 40 as Ns, name, EMPTY_STRING, NO_ARGS);
    builder.end(track, (ts + 90) as Ns, NO_ARGS);
    // A reader's watermark, now and then.
    if (i % 50_000 === 0) {
      builder.watermark(ts as Ns);
      peak = Math.max(peak, taken());
    }
  }
  peak = Math.max(peak, taken());
  builder.close();
  peak = Math.max(peak, taken());
  collect();
  const held = taken() - before;
  console.log(
    `\nmemory: ${(held / slices).toFixed(1)} bytes held a slice (${slices} slices, ${builder.trace.length} in rows), at most ${((peak - before) / slices).toFixed(1)} a slice on the way`,
  );
}

function taken(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
