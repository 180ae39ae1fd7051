/**
 * The words that a sink's calls choose from, as values: for readers that must check them and writers that number them.
 * The order is part of the batch format and of FlowTable.step.
 */
import type {
  ClockDomain,
  EventTypeInfo,
  FlowBind,
  FlowStep,
  LifeKind,
  LogLevel,
  ProblemKind,
  TrackInfo,
} from "./sink.ts";

/** An object, so that a word left out does not compile. */
function words<Word extends string>(all: { readonly [word in Word]: true }): readonly Word[] {
  return Object.keys(all) as Word[];
}

export const CLOCK_DOMAINS: readonly ClockDomain[] = words<ClockDomain>({
  monotonic: true,
  boottime: true,
  realtime: true,
  tsc: true,
  unknown: true,
});
export const PROBLEM_KINDS: readonly ProblemKind[] = words<ProblemKind>({
  "lost-events": true,
  truncated: true,
  malformed: true,
  unsupported: true,
  "unmatched-end": true,
  late: true,
  clock: true,
});
export const TRACK_KINDS: readonly TrackInfo["kind"][] = words<TrackInfo["kind"]>({
  host: true,
  process: true,
  thread: true,
  cpu: true,
  counter: true,
  async: true,
  custom: true,
});
type FieldType = EventTypeInfo["fields"][number]["type"];
export const FIELD_TYPES: readonly FieldType[] = words<FieldType>({
  int: true,
  real: true,
  text: true,
  bool: true,
  bytes: true,
});
export const LIFE_KINDS: readonly LifeKind[] = words<LifeKind>({
  start: true,
  rename: true,
  exec: true,
  exit: true,
});
export const LOG_LEVELS: readonly LogLevel[] = words<LogLevel>({
  debug: true,
  info: true,
  warning: true,
  error: true,
});
export const FLOW_STEPS: readonly FlowStep[] = words<FlowStep>({
  start: true,
  step: true,
  end: true,
});
export const FLOW_BINDS: readonly FlowBind[] = words<FlowBind>({
  last: true,
  enclosing: true,
  next: true,
});
