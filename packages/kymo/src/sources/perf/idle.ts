/**
 * CPUs whose way out of idle the kernel doesn't report.
 *
 * Kernels have been seen whose idle task of one CPU is stuck in perf's recursion guard: no tracepoint fires in it, for
 * any user of perf, and sched_switch never says which thread follows it. Context-switch records (PERF_RECORD_SWITCH) do,
 * but cost two records a switch. So every CPU is watched that way only until it has shown that it reports properly; one
 * that does not stays watched. Neither is watched while it switches often and has next to no idle time to report.
 */

/** What one round has seen of a CPU. */
export interface CpuSwitches {
  /** sched_switch records so far. */
  readonly switches: number;
  /** Those that went to the idle task. */
  readonly toIdle: number;
}

/** So long a watched CPU may take to show that it reports properly; one that never left idle is then taken for a good one. */
const decideNs = 2_000_000_000;
/** No CPU is watched that for so long … */
const busyNs = 200_000_000;
/** … it has switched more often than this a second … */
const busySwitchesPerSecond = 50_000;
/** … and gone idle on fewer of the switches than this. */
const busyIdleShare = 0.001;

interface CpuState {
  verdict: "undecided" | "silent";
  watched: boolean;
  /** When it was last turned on. */
  watchedSinceNs: number;
  /** Where the time began over which it is judged. */
  sinceNs: number;
  since: CpuSwitches;
}

export class IdleWatch {
  readonly #watch: (cpu: number, on: boolean) => void;
  readonly #cpus: Map<number, CpuState>;

  /** `watch` turns the context-switch records of a CPU on or off; they are on at first. */
  constructor(cpus: readonly number[], watch: (cpu: number, on: boolean) => void) {
    this.#watch = watch;
    this.#cpus = new Map(
      cpus.map((cpu) => [
        cpu,
        {
          verdict: "undecided",
          watched: true,
          watchedSinceNs: 0,
          sinceNs: 0,
          since: { switches: 0, toIdle: 0 },
        },
      ]),
    );
  }

  /** A context-switch record has told that the CPU left idle; `reported`: sched_switch had told before. */
  leftIdle(cpu: number, reported: boolean): void {
    const state = this.#cpus.get(cpu);
    if (state === undefined) return;
    if (!reported) state.verdict = "silent";
    else if (state.verdict === "undecided") this.#trust(cpu);
  }

  round(nowNs: number, countsOf: (cpu: number) => CpuSwitches): void {
    for (const [cpu, state] of this.#cpus) {
      if (
        state.verdict === "undecided" &&
        state.watched &&
        nowNs - state.watchedSinceNs > decideNs
      ) {
        this.#trust(cpu);
        continue;
      }
      const counts = countsOf(cpu);
      const switches = counts.switches - state.since.switches;
      const toIdle = counts.toIdle - state.since.toIdle;
      const ns = nowNs - state.sinceNs;
      const seldomIdle = toIdle <= busyIdleShare * switches;
      if (state.watched ? ns < busyNs : seldomIdle && ns < busyNs) continue;
      state.sinceNs = nowNs;
      state.since = counts;
      const busy = seldomIdle && switches > (busySwitchesPerSecond * ns) / 1e9;
      if (state.watched === !busy) continue;
      state.watched = !busy;
      if (!busy) state.watchedSinceNs = nowNs;
      this.#watch(cpu, !busy);
    }
  }

  #trust(cpu: number): void {
    this.#cpus.delete(cpu);
    this.#watch(cpu, false);
  }
}
