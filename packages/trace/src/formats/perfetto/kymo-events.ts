/** The events of category "kymo" → the sink calls they stand for. */
import {
  type ClockDomain,
  type EventTypeId,
  type EventTypeInfo,
  NO_STACK,
  NO_TRACK,
  type Ns,
  type Problem,
  type StackId,
  type TrackId,
} from "../../model/sink.ts";
import {
  CLOCK_DOMAINS,
  FIELD_TYPES,
  FLOW_BINDS,
  FLOW_STEPS,
  LIFE_KINDS,
  LOG_LEVELS,
  PROBLEM_KINDS,
} from "../../model/words.ts";
import type { ReaderContext } from "./context.ts";
import { KymoEvent, SCHEMA_VERSION } from "./kymo.ts";
import type { Sequence } from "./sequence.ts";
import type { TrackTable } from "./track-table.ts";

type Fields = ReadonlyMap<string, number | bigint | string | boolean>;
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
          if (isDomain(domain)) readings.push([domain, whole(value)]);
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
        const what = oneOf(fields, "what", LIFE_KINDS);
        sink.life(track(), ts, what, sink.string(text(fields, "detail")));
        return;
      }
      case KymoEvent.sample: {
        const cpu = number(fields, "cpu");
        sink.sample(track(), ts, event.stack ?? NO_STACK, number(fields, "weight"), cpu);
        return;
      }
      case KymoEvent.log: {
        const level = oneOf(fields, "level", LOG_LEVELS);
        sink.log(track(), ts, level, sink.string(text(fields, "message")));
        return;
      }
      case KymoEvent.flow: {
        const step = oneOf(fields, "step", FLOW_STEPS);
        const bind = oneOf(fields, "bind", FLOW_BINDS);
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
    domain: oneOf(fields, "domain", CLOCK_DOMAINS),
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
/** The first of `allowed` for what is none of them. */
function oneOf<Word extends string>(fields: Fields, key: string, allowed: readonly Word[]): Word {
  const value = text(fields, key);
  return allowed.find((word) => word === value) ?? allowed[0]!;
}
function isDomain(text: string): text is ClockDomain {
  return (CLOCK_DOMAINS as readonly string[]).includes(text);
}

function problemOf(fields: Fields): Problem {
  const problem: { -readonly [key in keyof Problem]: Problem[key] } = {
    kind: oneOf(fields, "kind", PROBLEM_KINDS),
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
    const known = FIELD_TYPES.find((each) => each === type);
    if (typeof name !== "string" || known === undefined) continue;
    const field = { name, type: known };
    fields.push(typeof unit === "string" ? { ...field, unit } : field);
  }
  return fields;
}
