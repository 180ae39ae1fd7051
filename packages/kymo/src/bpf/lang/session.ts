/**
 * What `kymo/probe` is while probe files run: attach calls, maps, aggregations and event types are written down; the rest
 * are names that the compiler knows inside handlers and that say so when called outside of one.
 */
import { syscallNames, syscallNumber } from "../../linux/syscall-names.ts";
import { suggestions } from "../kernel/suggest.ts";
import { ProbeError } from "../program.ts";
import type { CallSite, ParsedModule } from "./instrument.ts";
import type { FunctionRecord } from "./modules.ts";

const attachKinds = [
  "tracepoint",
  "rawTracepoint",
  "syscall",
  "syscall.exit",
  "syscall.span",
  "anySyscall",
  "anySyscall.exit",
  "anySyscall.span",
  "uprobe",
  "uretprobe",
  "usdt",
  "kprobe",
  "kretprobe",
  "fentry",
  "fexit",
  "profile",
  "perfEvent",
  "interval",
  "begin",
  "end",
  "watchpoint",
] as const;
export type AttachKind = (typeof attachKinds)[number];

const mapKinds = ["hash", "percpuHash", "lru", "array", "percpuArray"] as const;
export type MapKindName = (typeof mapKinds)[number];

const aggregationKinds = [
  "count",
  "sum",
  "avg",
  "min",
  "max",
  "hist",
  "lhist",
  "quantize",
] as const;
export type AggregationKind = (typeof aggregationKinds)[number];

/** What means something inside handlers only. */
export const builtinNames = [
  "now",
  "pid",
  "tid",
  "uid",
  "gid",
  "cpu",
  "comm",
  "ppid",
  "cgroup",
  "random",
  "kstack",
  "ustack",
  "str",
  "kstr",
  "buf",
  "task",
  "cast",
  "range",
  "i8",
  "i16",
  "i32",
  "i64",
  "u8",
  "u16",
  "u32",
  "u64",
  "slice",
  "span",
  "beginSlice",
  "endSlice",
  "instant",
  "counter",
  "sample",
  "flow",
  "mark",
  "print",
  "schedSwitch",
  "schedWaking",
  "thread",
  "process",
  "errnoOf",
  "syscallName",
  "signalName",
  "symbol",
  "address",
  "unit",
  "swap16",
  "swap32",
] as const;
export type BuiltinName = (typeof builtinNames)[number];

export interface Attach {
  readonly kind: AttachKind;
  readonly args: readonly unknown[];
  readonly handler: FunctionRecord;
  readonly site: CallSite;
}

/** A map of the user's, as a value that handlers capture. */
export class MapHandle {
  readonly kind: MapKindName;
  readonly name: string;
  readonly max: number;
  readonly site: CallSite;
  constructor(kind: MapKindName, name: string, max: number, site: CallSite) {
    this.kind = kind;
    this.name = name;
    this.max = max;
    this.site = site;
  }
}

export interface AggregationOptions {
  readonly name: string;
  readonly unit?: string;
  /** Names of the key's parts. */
  readonly key?: readonly string[];
  readonly max: number;
  readonly everyNs: number;
  /** Each period on its own: `every` was given. */
  readonly periods: boolean;
}

export class AggregationHandle {
  readonly kind: AggregationKind;
  readonly options: AggregationOptions;
  readonly buckets: { from: bigint; to: bigint; width: bigint } | undefined;
  readonly site: CallSite;
  constructor(
    kind: AggregationKind,
    options: AggregationOptions,
    buckets: AggregationHandle["buckets"],
    site: CallSite,
  ) {
    this.kind = kind;
    this.options = options;
    this.buckets = buckets;
    this.site = site;
  }
}

export type FieldTypeName = "int" | "real" | "text" | "bool" | "bytes";

/** A declared event type: called in handlers to emit one. */
export class EventTypeHandle {
  readonly name: string;
  readonly fields: readonly { name: string; type: FieldTypeName; unit?: string }[];
  constructor(name: string, fields: EventTypeHandle["fields"]) {
    this.name = name;
    this.fields = fields;
  }
}

/** A named track made while the module ran. */
export class TrackHandle {
  readonly name: string;
  readonly key: readonly (string | number | bigint)[];
  constructor(name: string, key: TrackHandle["key"]) {
    this.name = name;
    this.key = key;
  }
}

export interface SessionOptions {
  /** As in `process.arch`. */
  readonly arch?: string;
  /** The process whose tree is recorded; none: everything is. */
  readonly target?: number | undefined;
}

export class Session {
  readonly attached: Attach[] = [];
  readonly eventTypes: EventTypeHandle[] = [];
  /** By the function that the name is. */
  readonly builtins: Map<unknown, BuiltinName | "track"> = new Map();
  readonly eventTypeOf: Map<unknown, EventTypeHandle> = new Map();
  /** What modules import from kymo/probe. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Set once the modules run. */
  functionOf: (value: unknown) => FunctionRecord | undefined = () => undefined;
  readonly #recorded = new Map<unknown, (site: CallSite, args: readonly unknown[]) => unknown>();

  constructor({ arch = process.arch, target }: SessionOptions = {}) {
    const values: Record<string, unknown> = {};
    for (const kind of attachKinds) {
      const attach = this.#record(kind, (site, args) => this.#attach(kind, site, args));
      const [name, member] = kind.split(".") as [string, string | undefined];
      if (member === undefined) values[name] = attach;
      else (values[name] as Record<string, unknown>)[member] = attach;
    }
    for (const kind of mapKinds)
      values[kind] = this.#record(kind, (site, args) => newMap(kind, site, args));
    for (const kind of aggregationKinds)
      values[kind] = this.#record(kind, (site, args) => newAggregation(kind, site, args));
    values["eventType"] = this.#record("eventType", (site, args) => this.#eventType(site, args));
    values["track"] = this.#record("track", (site, args) => newTrack(site, args));
    this.builtins.set(values["track"], "track");
    values["syscallNumber"] = this.#record("syscallNumber", (site, [name]) =>
      numberOf(site, arch, name),
    );
    values["targetPid"] = this.#record("targetPid", () => target ?? 0);
    for (const name of builtinNames) {
      const builtin = this.#record(name, (site) => {
        throw errorAt(site, `${name}() has a value only inside of a handler`);
      });
      this.builtins.set(builtin, name);
      values[name] = builtin;
    }
    // In a one-liner it stands before Node's own, whose argv and env are wanted, too.
    Object.setPrototypeOf(values["process"], globalThis.process);
    this.values = values;
  }

  /** What an instrumented call of a function of kymo/probe calls. */
  called(module: ParsedModule, call: number, callee: unknown): unknown {
    const recorded = this.#recorded.get(callee);
    if (recorded === undefined) {
      if (typeof callee === "function") return callee;
      throw errorAt(module.calls[call]!, "kymo/probe has no such function");
    }
    return (...args: unknown[]) => recorded(module.calls[call]!, args);
  }

  #record(name: string, run: (site: CallSite, args: readonly unknown[]) => unknown): unknown {
    const value = () => {
      throw new ProbeError(
        `${name}() is called in a way that kymo can't follow: call it by its name`,
      );
    };
    this.#recorded.set(value, run);
    return value;
  }

  #attach(kind: AttachKind, site: CallSite, all: readonly unknown[]): void {
    const value = all.at(-1);
    const handler = this.functionOf(value);
    if (handler === undefined)
      throw errorAt(
        site,
        typeof value === "function"
          ? `the handler of ${kind} is not a function written in a probe file`
          : `${kind} takes a handler, a function, as its last argument`,
      );
    this.attached.push({ kind, args: all.slice(0, -1), handler, site });
  }

  #eventType(site: CallSite, [name, fields]: readonly unknown[]): unknown {
    if (typeof name !== "string" || typeof fields !== "object" || fields === null)
      throw errorAt(
        site,
        `eventType takes a name and its fields: eventType("packet", { len: "int" })`,
      );
    const handle = new EventTypeHandle(
      name,
      Object.entries(fields).map(([field, type]) => {
        const [kind, unit] = Array.isArray(type) ? type : [type, undefined];
        if (!["int", "real", "text", "bool", "bytes"].includes(String(kind)))
          throw errorAt(
            site,
            `field ${field} of ${name} is ${JSON.stringify(kind)}; it can be "int", "real", "text", "bool" or "bytes"`,
          );
        return { name: field, type: kind, ...(unit === undefined ? {} : { unit: String(unit) }) };
      }),
    );
    if (this.eventTypes.some((other) => other.name === name))
      throw errorAt(site, `event type ${name} is declared twice`);
    this.eventTypes.push(handle);
    const emit = this.#record(name, () => {
      throw errorAt(site, `${name}(…) emits an event: call it inside of a handler`);
    });
    this.eventTypeOf.set(emit, handle);
    return emit;
  }
}

export function errorAt(
  site: CallSite,
  message: string,
  fix?: string,
  argument?: number,
): ProbeError {
  const offset = argument === undefined ? site.offset : (site.argumentAt[argument] ?? site.offset);
  return new ProbeError(message, { file: site.module.source, offset }, fix);
}

function options(
  site: CallSite,
  kind: string,
  given: unknown,
  known: readonly string[],
): Record<string, unknown> {
  if (given === undefined) return {};
  if (typeof given !== "object" || given === null)
    throw errorAt(site, `${kind} takes its options as an object`);
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    const near = suggestions(key, known)[0];
    throw errorAt(
      site,
      `${kind} has no option ${key}${near === undefined ? "" : `; did you mean ${near}?`}`,
      `options: ${known.join(", ")}`,
    );
  }
  return given as Record<string, unknown>;
}

/** More entries than this are likely a slip: 16 M. */
const entriesLimit = 2 ** 24;

function entries(site: CallSite, kind: string, max: unknown): number {
  if (typeof max === "number" && Number.isInteger(max) && max >= 1 && max <= entriesLimit)
    return max;
  throw errorAt(
    site,
    `${kind}: max is ${String(max)}; it is a number of entries, 1 … ${entriesLimit}`,
  );
}

function newMap(kind: MapKindName, site: CallSite, [given]: readonly unknown[]): MapHandle {
  const isArray = kind === "array" || kind === "percpuArray";
  const parts =
    typeof given === "number" ? { max: given } : options(site, kind, given, ["max", "name"]);
  const max = entries(site, kind, parts["max"] ?? (isArray ? 1 : 10_240));
  return new MapHandle(kind, String(parts["name"] ?? site.variable ?? kind), max, site);
}

function newAggregation(
  kind: AggregationKind,
  site: CallSite,
  all: readonly unknown[],
): AggregationHandle {
  const buckets = kind === "lhist" ? bucketsOf(site, all) : undefined;
  const given = options(
    site,
    kind,
    all.find((one) => typeof one === "object"),
    [
      ...["name", "unit", "key", "max", "every"],
      ...(kind === "lhist" ? ["from", "to", "width"] : []),
    ],
  );
  const { name, unit, key, max, every } = given;
  if (key !== undefined && !(Array.isArray(key) && key.every((one) => typeof one === "string")))
    throw errorAt(site, `${kind}: key is the names of the key's parts: key: ["comm", "pid"]`);
  return new AggregationHandle(
    kind,
    {
      name: String(name ?? site.variable ?? kind),
      ...(unit === undefined ? {} : { unit: String(unit) }),
      ...(key === undefined ? {} : { key: key as string[] }),
      max: entries(site, kind, max ?? 10_240),
      everyNs: every === undefined ? 1e9 : nanoseconds(every, site),
      periods: every !== undefined,
    },
    buckets,
    site,
  );
}

function bucketsOf(site: CallSite, all: readonly unknown[]): AggregationHandle["buckets"] {
  const numbers = all.filter((one) => typeof one === "number");
  const given = (all.find((one) => typeof one === "object") ?? {}) as Record<string, unknown>;
  const [from, to, width] = [
    numbers[0] ?? given["from"],
    numbers[1] ?? given["to"],
    numbers[2] ?? given["width"],
  ].map((one) => (Number.isInteger(one) ? BigInt(one as number) : undefined));
  if (from === undefined || to === undefined || width === undefined || width < 1n || to <= from)
    throw errorAt(
      site,
      "lhist takes whole numbers from < to and the width of a bucket: lhist(0, 100, 10)",
    );
  if ((to - from) / width > 10_000n)
    throw errorAt(
      site,
      `lhist: ${(to - from) / width} buckets; at most 10000`,
      "make width larger",
    );
  return { from, to, width };
}

function newTrack(site: CallSite, [name, ...key]: readonly unknown[]): TrackHandle {
  if (typeof name !== "string") throw errorAt(site, 'track takes a name: track("queue", id)');
  return new TrackHandle(name, key as TrackHandle["key"]);
}

/** −1: this machine has no such call, another one has. */
function numberOf(site: CallSite, arch: string, name: unknown): number {
  if (typeof name !== "string") throw errorAt(site, 'syscallNumber takes a name: "openat"');
  const number = syscallNumber(arch, name);
  if (number !== undefined) return number;
  const names = [...syscallNames("x64"), ...syscallNames("arm64")].filter(
    (one) => one !== undefined,
  );
  if (names.includes(name)) return -1;
  const near = suggestions(name, names)[0];
  throw errorAt(
    site,
    `there is no system call ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
    undefined,
    0,
  );
}

const unitsNs: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 6e10 };

/** 1000000 or "1ms". @throws ProbeError */
export function nanoseconds(given: unknown, site: CallSite): number {
  const match = typeof given === "string" ? /^(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m)$/.exec(given) : null;
  const ns = match === null ? given : Math.round(Number(match[1]) * unitsNs[match[2]!]!);
  if (typeof ns === "number" && Number.isInteger(ns) && ns > 0) return ns;
  throw errorAt(site, `${JSON.stringify(given)} is not a duration`, 'nanoseconds, or "10ms", "1s"');
}
