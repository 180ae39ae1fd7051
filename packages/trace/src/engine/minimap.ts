/**
 * Busy fraction per pixel over the whole trace: of all CPUs; without scheduling, of the threads that have outermost
 * slices; without those, the density of instants, samples and counters. From the level of detail: costs pixels.
 */
import type { AnyRow, Trace } from "../model/trace.ts";
import type { LevelOfDetail } from "./lod.ts";
import { forEachTick, Runs } from "./runs.ts";

export function* minimapDensity(lod: LevelOfDetail, width: number): Generator<void, Float32Array> {
  const { trace } = lod;
  const density = new Float32Array(width);
  if (!(trace.toNs > trace.fromNs)) return density;
  const cpus = trace.rows.filter((row) => row.kind === "sched" && row.length > 0);
  const rows = cpus.length > 0 ? cpus : outermost(trace);
  const runs = new Runs(width);
  for (const row of rows) {
    addBusy(lod, row, runs, density);
    yield;
  }
  if (rows.length > 0) {
    for (let px = 0; px < width; px++) density[px] = Math.min(1, density[px]! / rows.length);
    return density;
  }
  for (const row of trace.rows) {
    if (row.length === 0) continue;
    forEachTick(row, trace.fromNs, trace.toNs + 1, width, (px, count) => {
      density[px]! += count;
    });
    yield;
  }
  let most = 0;
  for (const count of density) most = Math.max(most, count);
  for (let px = 0; px < width && most > 0; px++) density[px]! /= most;
  return density;
}

function outermost(trace: Trace): AnyRow[] {
  return trace.rows.filter((row) => row.kind === "slice" && row.lane === 0 && row.length > 0);
}

function addBusy(lod: LevelOfDetail, row: AnyRow, runs: Runs, density: Float32Array): void {
  const { fromNs, toNs } = lod.trace;
  const width = density.length;
  runs.fill(row, fromNs, toNs, toNs, lod);
  for (let n = 0; n < runs.length; n++) {
    const x0 = Math.max(0, runs.x0[n]!);
    const x1 = Math.min(width, runs.x1[n]!);
    const first = Math.floor(x0);
    if (first >= width) break;
    const busy = runs.busy[n]!;
    if (busy < 1 || x1 <= first + 1) {
      density[first]! += busy * Math.min(1, x1 - x0);
      continue;
    }
    density[first]! += first + 1 - x0;
    const last = Math.floor(x1);
    for (let px = first + 1; px < last; px++) density[px]!++;
    if (last < width) density[last]! += x1 - last;
  }
}
