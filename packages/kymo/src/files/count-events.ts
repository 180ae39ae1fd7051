/** A sink in front of another that counts the events and keeps the problems that pass. */
import { forward, type Problem, type TraceSink } from "@kymo/trace";

/** Problems kept word for word; beyond that only counted. */
const MAX_KEPT = 100;

export interface EventCount {
  readonly sink: TraceSink;
  readonly events: number;
  readonly problems: readonly Problem[];
  readonly problemCount: number;
}

export function countEvents(to: TraceSink): EventCount {
  let events = 0;
  let problemCount = 0;
  const problems: Problem[] = [];
  const sink: TraceSink = {
    ...forward(to),
    // A begin and its end are one slice.
    begin: (track, ts, name, category, args) => {
      events++;
      to.begin(track, ts, name, category, args);
    },
    slice: (track, ts, dur, name, category, args) => {
      events++;
      to.slice(track, ts, dur, name, category, args);
    },
    instant: (track, ts, name, category, args) => {
      events++;
      to.instant(track, ts, name, category, args);
    },
    typed: (type, track, ts, args) => {
      events++;
      to.typed(type, track, ts, args);
    },
    counter: (track, ts, value) => {
      events++;
      to.counter(track, ts, value);
    },
    sample: (thread, ts, stack, weight, cpu) => {
      events++;
      to.sample(thread, ts, stack, weight, cpu);
    },
    switch: (cpu, ts, previous, state, next, priority) => {
      events++;
      to.switch(cpu, ts, previous, state, next, priority);
    },
    waking: (thread, ts, waker, targetCpu) => {
      events++;
      to.waking(thread, ts, waker, targetCpu);
    },
    life: (thread, ts, what, detail) => {
      events++;
      to.life(thread, ts, what, detail);
    },
    flow: (id, track, ts, step, bind) => {
      events++;
      to.flow(id, track, ts, step, bind);
    },
    log: (track, ts, level, message) => {
      events++;
      to.log(track, ts, level, message);
    },
    problem: (problem) => {
      problemCount++;
      if (problems.length < MAX_KEPT) problems.push(problem);
      to.problem(problem);
    },
  };
  return {
    sink,
    problems,
    get events() {
      return events;
    },
    get problemCount() {
      return problemCount;
    },
  };
}
