/** The events of category "kymo" → the sink calls they stand for. */
import {
  type ClockDomain,
  type EventTypeId,
  type EventTypeInfo,
  type FlowBind,
  type FlowStep,
  type LifeKind,
  type LogLevel,
  NO_STACK,
  NO_TRACK,
  type Ns,
  type Problem,
  type ProblemKind,
  type StackId,
  type TrackId,
} from "../../model/sink.ts";
import type { ReaderContext } from "./context.ts";
import { KymoEvent, SCHEMA_VERSION } from "./kymo.ts";
import type { Sequence } from "./sequence.ts";
import type { TrackTable } from "./track-table.ts";

type Fields = ReadonlyMap<string, number | bigint | string | boolean>;
const DOMAINS: readonly string[] = ["monotonic", "boottime", "realtime", "tsc", "unknown"];
const KINDS: readonly string[] = [
  "lost-events",
  "truncated",
  "malformed",
  "unsupported",
  "unmatched-end",
  "late",
  "clock",
];
const LIVES: readonly string[] = ["start", "rename", "exec", "exit"];
const LEVELS: readonly string[] = ["debug", "info", "warning", "error"];
const STEPS: readonly string[] = ["start", "step", "end"];
const BINDS: readonly string[] = ["last", "enclosing", "next"];
const FIELD_TYPES: readonly unknown[] = ["int", "real", "text", "bool", "bytes"];
const MAX_TYPES = 4096;

export interface KymoEventInput {
  readonly name: string;
  readonly fields: Fields;
  readonly ts: Ns;
  /** Of the event; for events that stand on the track they are about. */
  readonly track: () => TrackId;
  readonly stack: StackId;
  readonly flows: readonly bigint[];
}

export class KymoEvents {
  private readonly context: ReaderContext;
  private readonly tracks: TrackTable;
  private readonly metadata = new Map<string, string>();
  private readonly types = new Map<number, EventTypeId>();
  private lastSnapshot = "";

  constructor(context: ReaderContext, tracks: TrackTable) {
    this.context = context;
    this.tracks = tracks;
  }

  /** The declared type that an event's name stands for. */
  typeOf(sequence: Sequence, nameIid: number): EventTypeId | undefined {
    const id = sequence.types.get(nameIid);
    return id === undefined ? undefined : this.types.get(id);
  }

  read(event: KymoEventInput, sequence: Sequence): void {
    const { sink } = this.context;
    const { fields, ts, track } = event;
    switch (event.name) {
      case KymoEvent.trace:
        if (number(fields, "schema") > SCHEMA_VERSION)
          this.context.count(
            "unsupported",
            `written by a newer kymo (schema ${number(fields, "schema")}, we know ${SCHEMA_VERSION}); some of it may be missing`,
          );
        return;
      case KymoEvent.metadata: {
        const key = text(fields, "key");
        const value = text(fields, "value");
        if (this.metadata.get(key) === value) return;
        this.metadata.set(key, value);
        sink.metadata(key, value);
        return;
      }
      case KymoEvent.eventType:
        this.eventType(fields, sequence);
        return;
      case KymoEvent.clockSnapshot: {
        const readings: [ClockDomain, bigint][] = [];
        for (const [domain, value] of fields)
          if (DOMAINS.includes(domain)) readings.push([domain as ClockDomain, whole(value)]);
        // Every section repeats the last one.
        const key = readings.join(" ");
        if (key === this.lastSnapshot) return;
        this.lastSnapshot = key;
        sink.clockSnapshot(readings);
        return;
      }
      case KymoEvent.problem:
        sink.problem(problemOf(fields));
        return;
      case KymoEvent.watermark:
        sink.watermark(ts);
        return;
      case KymoEvent.switch: {
        const cpu = this.trackOf(fields, "cpu");
        const previous = this.trackOf(fields, "previous");
        const next = this.trackOf(fields, "next");
        const state = sink.string(text(fields, "state"));
        if (cpu === NO_TRACK) this.context.count("malformed", "switches without a CPU");
        else sink.switch(cpu, ts, previous, state, next, number(fields, "priority"));
        return;
      }
      case KymoEvent.waking: {
        const thread = this.trackOf(fields, "thread");
        const waker = this.trackOf(fields, "waker");
        if (thread === NO_TRACK) this.context.count("malformed", "wakings without a thread");
        else sink.waking(thread, ts, waker, number(fields, "target_cpu"));
        return;
      }
      case KymoEvent.life: {
        const what = oneOf(fields, "what", LIVES) as LifeKind;
        sink.life(track(), ts, what, sink.string(text(fields, "detail")));
        return;
      }
      case KymoEvent.sample: {
        const cpu = number(fields, "cpu");
        sink.sample(track(), ts, event.stack ?? NO_STACK, number(fields, "weight"), cpu);
        return;
      }
      case KymoEvent.log: {
        const level = oneOf(fields, "level", LEVELS) as LogLevel;
        sink.log(track(), ts, level, sink.string(text(fields, "message")));
        return;
      }
      case KymoEvent.flow: {
        const step = oneOf(fields, "step", STEPS) as FlowStep;
        const bind = oneOf(fields, "bind", BINDS) as FlowBind;
        for (const id of event.flows) sink.flow(id, track(), ts, step, bind);
        return;
      }
      default:
        this.context.count("unsupported", `events "${event.name}" of category kymo are not known`);
    }
  }

  private eventType(fields: Fields, sequence: Sequence): void {
    const id = number(fields, "id");
    if (this.types.size >= MAX_TYPES) return;
    sequence.types.set(number(fields, "iid"), id);
    if (this.types.has(id)) return;
    const info: EventTypeInfo = {
      name: text(fields, "name"),
      fields: fieldsOf(text(fields, "fields")),
    };
    this.types.set(id, this.context.sink.eventType(info));
  }

  private trackOf(fields: Fields, key: string): TrackId {
    const uuid = fields.get(key);
    if (typeof uuid !== "number" || !Number.isSafeInteger(uuid) || uuid <= 0) return NO_TRACK;
    return this.tracks.now(this.tracks.of(BigInt(uuid)));
  }
}

/** The trace's clock, as the event "trace" says it. */
export function clockOf(fields: Fields): {
  domain: ClockDomain;
  originNs: bigint;
  errorNs: number;
} {
  return {
    domain: oneOf(fields, "domain", DOMAINS) as ClockDomain,
    originNs: whole(fields.get("origin")),
    errorNs: number(fields, "error"),
  };
}

/** 0 for what is no whole number. */
function whole(value: number | bigint | string | boolean | undefined): bigint {
  if (typeof value === "bigint") return value;
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : 0n;
}

function number(fields: Fields, key: string): number {
  const value = fields.get(key);
  return typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : 0;
}
function text(fields: Fields, key: string): string {
  const value = fields.get(key);
  return typeof value === "string" ? value : "";
}
function oneOf(fields: Fields, key: string, allowed: readonly string[]): string {
  const value = text(fields, key);
  return allowed.includes(value) ? value : allowed[0]!;
}

function problemOf(fields: Fields): Problem {
  const problem: { -readonly [key in keyof Problem]: Problem[key] } = {
    kind: oneOf(fields, "kind", KINDS) as ProblemKind,
    message: text(fields, "message"),
  };
  if (fields.has("count")) problem.count = number(fields, "count");
  if (fields.has("cpu")) problem.cpu = number(fields, "cpu");
  if (fields.has("from")) problem.from = number(fields, "from") as Ns;
  if (fields.has("to")) problem.to = number(fields, "to") as Ns;
  if (fields.has("byteOffset")) problem.byteOffset = number(fields, "byteOffset");
  return problem;
}

/** Fields of an event type, from their JSON; what is none is left out. */
function fieldsOf(json: string): EventTypeInfo["fields"] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return []; // Damaged: the events stay, as instants with arguments.
  }
  if (!Array.isArray(value)) return [];
  const fields: EventTypeInfo["fields"][number][] = [];
  for (const item of value.slice(0, 1000)) {
    if (typeof item !== "object" || item === null) continue;
    const { name, type, unit } = item as { [key: string]: unknown };
    if (typeof name !== "string" || !FIELD_TYPES.includes(type)) continue;
    const field = { name, type: type as "int" };
    fields.push(typeof unit === "string" ? { ...field, unit } : field);
  }
  return fields;
}
