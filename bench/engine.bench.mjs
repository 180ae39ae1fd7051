/**
 * The timeline engine over 1 M and 10 M slices in 200 rows, all of them in view: level of detail built, then one
 * frame's query and raster at three zooms, beside the plain scan over the same columns. Best of 21 runs, in ms.
 *
 *     npm run bench engine            1 M and 10 M slices
 *     node bench/engine.bench.mjs 1   1 M only
 */
import { TraceBuilder } from "../packages/trace/dist/index.js";
import { LevelOfDetail } from "../packages/trace/dist/engine/lod.js";
import { Raster } from "../packages/trace/dist/engine/raster.js";
import { Runs } from "../packages/trace/dist/engine/runs.js";
import { encodeMessage } from "../packages/trace/dist/engine/wire.js";

const ROWS = 200;
const WIDTH = 1600;
const RUNS = 21;
const NO_ARGS = -1;

/** Slices with heavy-tailed durations and gaps: a burst of µs, now and then a pause of 0.3 ms. */
function synthetic(slices) {
  const builder = new TraceBuilder();
  const names = Array.from({ length: 4000 }, (_, i) => builder.string(`Worker::step_${i % 53} ${i}`));
  const category = builder.string("bench");
  let state = 0x9e3779b9 | 0;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const exponential = (mean) => -Math.log(random() + 1e-9) * mean;
  for (let row = 0; row < ROWS; row++) {
    const track = builder.track({ kind: "thread", name: `worker-${row}`, tid: row });
    let now = 0;
    for (let i = 0; i < slices / ROWS; i++) {
      now += Math.floor(random() < 0.995 ? 20 + exponential(1500) : exponential(3e5));
      const dur = Math.floor(exponential(random() < 0.01 ? 50_000 : 800));
      builder.slice(track, now, dur, names[Math.floor(random() * random() * 4000)], category, NO_ARGS);
      now += dur;
    }
  }
  builder.watermark(Infinity);
  builder.close();
  return builder.trace;
}

/** Best ms of each function, called in turns: noise only adds. */
function compare(calls) {
  const times = calls.map(() => []);
  for (let round = -3; round < RUNS; round++)
    for (const [i, call] of calls.entries()) {
      const started = performance.now();
      call();
      if (round >= 0) times[i].push(performance.now() - started);
    }
  return times.map((each) => Math.min(...each));
}

const wanted = process.argv[2] === undefined ? [1, 10] : [Number(process.argv[2])];
for (const millions of wanted) {
  const trace = synthetic(millions * 1e6);
  let lod;
  let ms;
  // CPU time, and once before to warm up: other programs do not count.
  for (let round = 0; round < 2; round++) {
    lod = new LevelOfDetail(trace);
    lod.settle();
    const started = process.cpuUsage();
    lod.work(Infinity);
    ms = process.cpuUsage(started).user / 1000;
  }
  console.log(
    `${millions} M slices, ${ROWS} rows, ${WIDTH} px\n  level of detail: ${ms.toFixed(0)} ms, ${(trace.length / ms / 1000).toFixed(1)} M slices/s, ${(lod.bytes / trace.length).toFixed(2)} B/slice`,
  );
  const raster = new Raster(lod);
  const runs = new Runs(WIDTH);
  const rows = trace.rows.map((row) => row.id);
  const all = trace.toNs - trace.fromNs;
  for (const [title, part] of [
    ["all", 1],
    ["1 %", 0.01],
    ["0.01 %", 1e-4],
  ]) {
    const from = part === 1 ? trace.fromNs : trace.fromNs + 0.4 * all;
    const to = from + part * all;
    const fill = (detail) => {
      for (const row of trace.rows) runs.fill(row, from, to, trace.toNs, detail);
    };
    const request = { rows, from, to, width: WIDTH, theme: "dark", highlight: "", labelMinPx: 34 };
    const [query, scan, strip, message] = compare([
      () => fill(lod),
      () => fill(undefined),
      () => raster.strip(1, request),
      () => encodeMessage({ type: "strip", ...raster.strip(1, request) }),
    ]);
    console.log(
      `  ${title.padEnd(7)} query ${query.toFixed(2)}, plain scan ${scan.toFixed(2)} (${(scan / query).toFixed(1)} ×), query + raster + labels ${strip.toFixed(2)}, and encoded for a socket ${message.toFixed(2)}`,
    );
  }
}
