/**
 * A sink that hands every call on unchanged: what a filter starts from.
 *
 *     const withoutCounters: TraceSink = { ...forward(sink), counter() {} };
 */
import type { TraceSink } from "../model/sink.ts";

export function forward(sink: TraceSink): TraceSink {
  return {
    args: sink.args,
    clock: (clock) => sink.clock(clock),
    clockSnapshot: (readings) => sink.clockSnapshot(readings),
    metadata: (key, value) => sink.metadata(key, value),
    string: (text) => sink.string(text),
    track: (info) => sink.track(info),
    eventType: (info) => sink.eventType(info),
    frame: (info) => sink.frame(info),
    stack: (parent, frame) => sink.stack(parent, frame),
    begin: (track, ts, name, category, args) => sink.begin(track, ts, name, category, args),
    end: (track, ts, args) => sink.end(track, ts, args),
    slice: (track, ts, dur, name, category, args) =>
      sink.slice(track, ts, dur, name, category, args),
    instant: (track, ts, name, category, args) => sink.instant(track, ts, name, category, args),
    typed: (type, track, ts, args) => sink.typed(type, track, ts, args),
    counter: (track, ts, value) => sink.counter(track, ts, value),
    sample: (thread, ts, stack, weight, cpu) => sink.sample(thread, ts, stack, weight, cpu),
    switch: (cpu, ts, previous, state, next, priority) =>
      sink.switch(cpu, ts, previous, state, next, priority),
    waking: (thread, ts, waker, targetCpu) => sink.waking(thread, ts, waker, targetCpu),
    life: (thread, ts, what, detail) => sink.life(thread, ts, what, detail),
    flow: (id, track, ts, step, bind) => sink.flow(id, track, ts, step, bind),
    log: (track, ts, level, message) => sink.log(track, ts, level, message),
    problem: (problem) => sink.problem(problem),
    watermark: (ts) => sink.watermark(ts),
    close: () => sink.close(),
  };
}
