/** Counters that are sampled, not traced: memory of the recorded processes, and what kymo itself costs. */
import { NO_TRACK, type Ns, type TraceSink, type TrackId } from "@kymo/trace";
import { residentBytes } from "../../linux/proc.ts";
import type { Process, Tasks } from "./tasks.ts";

/** One read of /proc costs about 15 µs: with more processes than this, the first ones are followed. */
const processLimit = 64;
const memoryIntervalNs = 100_000_000;
const ownIntervalNs = 1_000_000_000;

/** CPU time of all of kymo's threads so far. */
export function ownCpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

export class Counters {
  readonly #sink: TraceSink;
  readonly #tasks: Tasks;
  readonly #memory: boolean;
  readonly #pageBytes: number;
  readonly #tracks = new Map<Process, { readonly track: TrackId; last: number }>();
  readonly #host: TrackId;
  #ownTrack: TrackId = NO_TRACK;
  #lostTrack: TrackId = NO_TRACK;
  #nextMemoryNs = 0;
  #nextOwnNs = 0;

  constructor(sink: TraceSink, tasks: Tasks, host: TrackId, memory: boolean, pageBytes: number) {
    this.#sink = sink;
    this.#tasks = tasks;
    this.#host = host;
    this.#memory = memory;
    this.#pageBytes = pageBytes;
  }

  round(ts: Ns, lost: number): void {
    if (this.#memory && ts >= this.#nextMemoryNs) {
      this.#nextMemoryNs = ts + memoryIntervalNs - 1_000_000; // rounds are about as long: don't skip every second one
      this.#sampleMemory(ts);
    }
    if (ts >= this.#nextOwnNs) {
      this.#nextOwnNs = ts + ownIntervalNs;
      this.finish(ts, lost);
    }
  }

  /** kymo's own CPU time so far and the records lost so far. */
  finish(ts: Ns, lost: number): void {
    if (this.#ownTrack === NO_TRACK) {
      const parent = this.#host;
      this.#ownTrack = this.#sink.track({
        kind: "counter",
        name: "kymo CPU time",
        parent,
        unit: "ns",
      });
      this.#lostTrack = this.#sink.track({
        kind: "counter",
        name: "kymo lost events",
        parent,
        unit: "count",
      });
    }
    const cpuNs = ownCpuNs();
    this.#sink.counter(this.#ownTrack, ts, cpuNs);
    this.#sink.counter(this.#lostTrack, ts, lost);
    this.#sink.metadata("kymo.cpu_ns", String(cpuNs));
  }

  #sampleMemory(ts: Ns): void {
    let followed = 0;
    for (const process of this.#tasks.processes) {
      if (!process.inTree || process.exited) continue;
      if (followed++ === processLimit) break;
      const bytes = residentBytes(process.pid, this.#pageBytes);
      // A process that is exiting has given its memory back but is still listed: not a reading of what it used.
      if (bytes === undefined || bytes === 0) continue;
      let counter = this.#tracks.get(process);
      if (counter === undefined) {
        const track = this.#sink.track({
          kind: "counter",
          name: "resident memory",
          parent: process.track,
          unit: "bytes",
        });
        counter = { track, last: -1 };
        this.#tracks.set(process, counter);
      }
      if (counter.last === bytes) continue;
      counter.last = bytes;
      this.#sink.counter(counter.track, ts, bytes);
    }
    for (const process of this.#tracks.keys()) if (process.exited) this.#tracks.delete(process);
  }
}
