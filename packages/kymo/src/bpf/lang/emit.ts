/** Emission: slice, instant, counter, … become a site and the statement that writes its record. */
import type { Expression } from "oxc-parser";
import type { Expr } from "../ir.ts";
import { u32, u64 } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import {
  type Field,
  recordAt,
  type Site,
  type SiteArg,
  type Value as SiteValue,
  type TrackSelector,
} from "../site.ts";
import { constant } from "./builder.ts";
import { at, fail, type Lowering } from "./context.ts";
import { helper } from "./helpers.ts";
import { type Encoded, encode, encodeText, integerPart, type Part, place } from "./record.ts";
import { type EventTypeHandle, TrackHandle } from "./session.ts";
import type { Node } from "./syntax.ts";
import { asText } from "./text.ts";
import { describe, known, nothing, type Stack, type Track, type Value } from "./values.ts";
import { toWord } from "./words.ts";

export interface Given {
  readonly node: Node;
  readonly value: Value;
}
export type Options = ReadonlyMap<string, Given>;

/** The properties of an emission's argument. @throws ProbeError for names that it doesn't take */
export function optionsOf(
  l: Lowering,
  what: string,
  value: Value | undefined,
  node: Node,
  names: readonly string[],
  required: readonly string[] = [],
): Options {
  if (value?.kind === "broken") return new Map();
  const fields = fieldsOf(value, node);
  if (fields === undefined)
    return fail(l, node, `${what} takes an object: ${what}({ ${names.slice(0, 3).join(", ")} … })`);
  for (const [name, given] of fields) {
    if (names.includes(name)) continue;
    const near = suggestions(name, names)[0];
    return fail(
      l,
      given.node,
      `${what} takes no ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
      `it takes ${names.join(", ")}`,
    );
  }
  for (const name of required) if (!fields.has(name)) return fail(l, node, `${what} needs ${name}`);
  return fields;
}

function fieldsOf(value: Value | undefined, node: Node): Options | undefined {
  if (value?.kind === "object") return value.fields;
  if (value?.kind === "known" && typeof value.value === "object" && value.value !== null)
    return new Map(
      Object.entries(value.value).map(([name, one]) => [name, { node, value: known(one) }]),
    );
  return undefined;
}

type SiteOf<T> = T extends unknown
  ? Omit<T, "id" | "bytes" | "label" | "at" | "pid" | "cpu">
  : never;
export type SiteKind = SiteOf<Site>;

/** Collects the parts of one record. */
export class Emission {
  readonly #l: Lowering;
  readonly #node: Node;
  readonly parts: Part[] = [];
  #pid: Part | undefined;
  #cpu: Part | undefined;

  constructor(l: Lowering, node: Node) {
    this.#l = l;
    this.#node = node;
  }

  /** @returns how to name the value once the parts have their places */
  add(encoded: Encoded): (field: FieldOf) => SiteValue {
    if ("value" in encoded) return () => encoded.value;
    this.parts.push(encoded.part);
    return (field) => field(encoded.part);
  }
  /** For what must be a field even when it is known. */
  addInteger(value: Value, node: Node): (field: FieldOf) => Field {
    const word = toWord(this.#l, value, node);
    const part = integerPart(this.#l, word.expr, word.expr.op === "const" ? u64 : word.type);
    this.parts.push(part);
    return (field) => field(part);
  }
  addPart(part: Part): (field: FieldOf) => Field {
    this.parts.push(part);
    return (field) => field(part);
  }

  needPid(): void {
    if (this.#pid !== undefined) return;
    const { build } = this.#l;
    const both = build.call(helper.pidTgid);
    const pid: Expr = {
      op: "binary",
      operator: ">>",
      signed: false,
      left: both,
      right: constant(32),
    };
    this.#pid = integerPart(this.#l, pid, u32);
    this.parts.push(this.#pid);
  }
  needCpu(): void {
    if (this.#cpu !== undefined) return;
    this.#cpu = integerPart(this.#l, this.#l.build.call(helper.cpu), u32);
    this.parts.push(this.#cpu);
  }

  /** @param before writes more of the record */
  emit(
    make: (field: FieldOf) => SiteKind,
    after?: { bytes: number; write(offset: number): void },
  ): void {
    const l = this.#l;
    const { build, registry } = l;
    const placed = place(this.parts);
    const field: FieldOf = (part) => part.field(placed.offsets.get(part)!);
    const id = registry.site({
      ...make(field),
      bytes: placed.bytes + (after?.bytes ?? 0),
      label: l.label,
      at: at(l, this.#node),
      ...(this.#pid === undefined ? {} : { pid: field(this.#pid) }),
      ...(this.#cpu === undefined ? {} : { cpu: field(this.#cpu) }),
    });
    const tid = build.call(helper.pidTgid);
    const record: Expr = { op: "record" };
    const body = build.inBlock(() => {
      build.store(u32, record, recordAt.site, constant(id));
      build.store(u32, record, recordAt.tid, tid);
      build.store(u64, record, recordAt.time, build.call(helper.ktimeNs));
      for (const part of this.parts) part.write(record, placed.offsets.get(part)!);
      after?.write(placed.bytes);
    });
    build.add({
      op: "emit",
      ring: build.map(registry.ring),
      losses: build.map(registry.losses),
      site: id,
      bytes: placed.bytes + (after?.bytes ?? 0),
      body,
    });
  }
}
export type FieldOf = (part: Part) => Field;

/** @returns the selector, once parts have their places */
export function trackOf(
  l: Lowering,
  emission: Emission,
  given: Given | undefined,
  otherwise: "thread" | "process",
): (field: FieldOf) => TrackSelector {
  const track = given === undefined ? undefined : asTrack(l, given);
  const of = track?.of ?? { kind: otherwise };
  if (of.kind === "named") {
    const key = of.key.map((part) => emission.add(encode(l, part, given!.node)));
    return (field) => ({
      kind: "named",
      name: of.name,
      ...(key.length === 0 ? {} : { key: key.map((part) => part(field)) }),
      under: "host",
    });
  }
  if (of.id !== undefined) {
    const id = emission.addInteger(of.id, given!.node);
    if (of.kind === "thread") return (field) => ({ kind: "thread", tid: id(field) });
    if (of.kind === "process") return (field) => ({ kind: "process", pid: id(field) });
    return (field) => ({ kind: "cpu", cpu: id(field) });
  }
  if (of.kind === "cpu") emission.needCpu();
  else emission.needPid();
  return () => ({ kind: of.kind });
}

function asTrack(l: Lowering, { value, node }: Given): Track {
  if (value.kind === "track") return value;
  if (value.kind === "word" && value.cpu === true) return { kind: "track", of: { kind: "cpu" } };
  if (value.kind === "known" && value.value instanceof TrackHandle) {
    const { name, key } = value.value;
    return { kind: "track", of: { kind: "named", name, key: key.map((one) => known(one)) } };
  }
  return fail(
    l,
    node,
    `expected a track, found ${describe(value)}`,
    'thread(), process(), cpu() or track("name", key)',
  );
}

export function nameOf(
  l: Lowering,
  emission: Emission,
  given: Given,
): (field: FieldOf) => SiteValue {
  const { value, node } = given;
  if (value.kind === "broken") return () => ({ type: "const-text", value: "" });
  if (value.kind === "named") return emission.add(encode(l, value, node));
  const text = asText(l, value);
  if (text !== undefined) return emission.add(encodeText(l, text));
  return fail(
    l,
    node,
    `a name is text, found ${describe(value)}`,
    "a text, str(p), a number by its name (syscallName(e.id)); numbers go into args",
  );
}

export function categoryOf(l: Lowering, given: Given | undefined): string {
  if (given === undefined) return "probe";
  if (given.value.kind === "known" && typeof given.value.value === "string")
    return given.value.value;
  return fail(l, given.node, "a category is a text that is known beforehand");
}

export function argsOf(
  l: Lowering,
  emission: Emission,
  given: Given | undefined,
): (field: FieldOf) => SiteArg[] {
  if (given === undefined || given.value.kind === "broken") return () => [];
  const fields = fieldsOf(given.value, given.node);
  if (fields === undefined)
    return fail(
      l,
      given.node,
      `args are an object, found ${describe(given.value)}`,
      "args: { bytes: e.ret }",
    );
  const made = [...fields].map(([key, { value, node }]) => {
    const unit = value.kind === "unit" ? value.unit : undefined;
    return { key, unit, value: emission.add(encode(l, value, node)) };
  });
  return (field) =>
    made.map(({ key, unit, value }) => ({
      key,
      value: value(field),
      ...(unit === undefined ? {} : { unit }),
    }));
}

type Flow = { readonly id: Field; readonly step: "start" | "step" | "end" };

export function flowOf(
  l: Lowering,
  emission: Emission,
  given: Given | undefined,
): (field: FieldOf) => { readonly flow?: Flow } {
  if (given === undefined || given.value.kind === "broken") return () => ({});
  const { node } = given;
  const fields = optionsOf(l, "flow", given.value, node, ["id", "step"], ["id"]);
  const id = emission.addInteger(fields.get("id")!.value, fields.get("id")!.node);
  const step = fields.get("step")?.value;
  const name = step === undefined ? "step" : step.kind === "known" ? step.value : undefined;
  if (name !== "start" && name !== "step" && name !== "end")
    return fail(l, fields.get("step")!.node, 'the step of a flow is "start", "step" or "end"');
  return (field) => ({ flow: { id: id(field), step: name } });
}

/** What slices and instants have in common. */
const common = ["track", "name", "category", "args", "flow"];

export function emitInstant(
  l: Lowering,
  what: "instant" | "beginSlice",
  node: Node,
  value: Value | undefined,
): Value {
  const options = optionsOf(l, what, value, node, common, ["name"]);
  const emission = new Emission(l, node);
  const track = trackOf(l, emission, options.get("track"), "thread");
  const name = nameOf(l, emission, options.get("name") ?? missingName(node));
  const category = categoryOf(l, options.get("category"));
  const args = argsOf(l, emission, options.get("args"));
  const flow = flowOf(l, emission, options.get("flow"));
  emission.emit((field) => ({
    kind: what === "instant" ? "instant" : "begin",
    track: track(field),
    name: name(field),
    category,
    args: args(field),
    ...flow(field),
  }));
  return nothing;
}

export const missingName = (node: Node): Given => ({ node, value: known("") });

export function emitEnd(l: Lowering, node: Node, value: Value | undefined): Value {
  const options =
    value === undefined
      ? new Map<string, Given>()
      : optionsOf(l, "endSlice", value, node, ["track", "args", "flow"]);
  const emission = new Emission(l, node);
  const track = trackOf(l, emission, options.get("track"), "thread");
  const args = argsOf(l, emission, options.get("args"));
  const flow = flowOf(l, emission, options.get("flow"));
  emission.emit((field) => ({
    kind: "end",
    track: track(field),
    name: { type: "const-text", value: "" },
    category: "",
    args: args(field),
    ...flow(field),
  }));
  return nothing;
}

export function emitSlice(l: Lowering, node: Node, value: Value | undefined): Value {
  const options = optionsOf(
    l,
    "slice",
    value,
    node,
    [...common, "start", "duration"],
    ["name", "start"],
  );
  const start = options.get("start");
  if (start === undefined) return nothing;
  const emission = new Emission(l, node);
  const track = trackOf(l, emission, options.get("track"), "thread");
  const name = nameOf(l, emission, options.get("name")!);
  const category = categoryOf(l, options.get("category"));
  const startAt = emission.addInteger(start.value, start.node);
  const duration = options.get("duration");
  const lasts =
    duration === undefined ? undefined : emission.addInteger(duration.value, duration.node);
  const args = argsOf(l, emission, options.get("args"));
  const flow = flowOf(l, emission, options.get("flow"));
  emission.emit((field) => ({
    kind: "slice",
    track: track(field),
    name: name(field),
    category,
    start: startAt(field),
    ...(lasts === undefined ? {} : { duration: lasts(field) }),
    args: args(field),
    ...flow(field),
  }));
  return nothing;
}

export function emitCounter(l: Lowering, node: Node, value: Value | undefined): Value {
  const options = optionsOf(
    l,
    "counter",
    value,
    node,
    ["track", "name", "value", "unit"],
    ["name", "value"],
  );
  const given = options.get("value");
  if (given === undefined) return nothing;
  const emission = new Emission(l, node);
  const track = trackOf(l, emission, options.get("track"), "process");
  const name = nameOf(l, emission, options.get("name")!);
  const unit = given.value.kind === "unit" ? given.value.unit : options.get("unit")?.value;
  const unitText =
    typeof unit === "object" ? (unit.kind === "known" ? unit.value : undefined) : unit;
  const valueAt = emission.addInteger(given.value, given.node);
  emission.emit((field) => ({
    kind: "counter",
    track: track(field),
    name: name(field),
    ...(typeof unitText === "string" ? { unit: unitText } : {}),
    value: valueAt(field),
  }));
  return nothing;
}

export function emitFlow(l: Lowering, node: Node, value: Value | undefined): Value {
  const options = optionsOf(l, "flow", value, node, ["id", "step", "track"], ["id"]);
  const id = options.get("id");
  if (id === undefined) return nothing;
  const emission = new Emission(l, node);
  const track = trackOf(l, emission, options.get("track"), "thread");
  const fields = new Map([...options].filter(([name]) => name !== "track"));
  const flow = flowOf(l, emission, { node, value: { kind: "object", fields } });
  emission.emit((field) => ({ kind: "flow", track: track(field), flow: flow(field).flow! }));
  return nothing;
}

export function emitMark(l: Lowering, node: Node, given: Given): Value {
  const text = asText(l, given.value);
  if (text === undefined)
    return fail(l, given.node, `a mark is text, found ${describe(given.value)}`, "mark(str(p))");
  const emission = new Emission(l, node);
  const field = emission.add(encodeText(l, text));
  emission.needPid();
  emission.emit((of) => ({ kind: "mark", text: field(of) }));
  return nothing;
}

export function emitSample(l: Lowering, node: Node, value: Value | undefined): Value {
  const options =
    value === undefined
      ? new Map<string, Given>()
      : optionsOf(l, "sample", value, node, ["stacks", "weight"]);
  const given = options.get("stacks")?.value;
  const stacks: readonly Value[] =
    given?.kind === "tuple" ? given.items : given === undefined ? defaultStacks : [given];
  const weight = options.get("weight")?.value;
  const emission = new Emission(l, node);
  const fields = stacks.map((stack) => {
    if (stack.kind !== "stack")
      return fail(l, node, `stacks are kstack() and ustack(), found ${describe(stack)}`);
    const encoded = encode(l, stack, node) as { part: Part };
    return emission.addPart(encoded.part);
  });
  emission.needPid();
  emission.needCpu();
  emission.emit((field) => ({
    kind: "sample",
    stacks: fields.map((stack) => stack(field)),
    weight: weight?.kind === "known" ? Number(weight.value) : l.weight,
  }));
  return nothing;
}
const defaultStacks: readonly Stack[] = [
  { kind: "stack", space: "kernel", frames: 64 },
  { kind: "stack", space: "user", frames: 64 },
];

const switchNumbers = ["previous", "previousPid", "state", "next", "nextPid", "priority"] as const;

export function emitSwitch(l: Lowering, node: Node, value: Value | undefined): Value {
  const names = [...switchNumbers, "previousName", "nextName"];
  const options = optionsOf(l, "schedSwitch", value, node, names, switchNumbers);
  if (options.size === 0) return nothing;
  const emission = new Emission(l, node);
  const numbers = switchNumbers.map((name) => {
    const { value, node } = options.get(name)!;
    return [name, emission.addInteger(value, node)] as const;
  });
  const texts = (["previousName", "nextName"] as const).flatMap((name) => {
    const given = options.get(name);
    if (given === undefined) return [];
    return [[name, nameOf(l, emission, given)] as const];
  });
  emission.needCpu();
  emission.emit((field) => {
    const fields = Object.fromEntries(
      [...numbers, ...texts].map(([name, make]) => [name, make(field)]),
    );
    return { kind: "switch", ...fields } as unknown as SiteKind;
  });
  return nothing;
}

export function emitWaking(l: Lowering, node: Node, value: Value | undefined): Value {
  const options = optionsOf(
    l,
    "schedWaking",
    value,
    node,
    ["thread", "targetCpu", "interrupt"],
    ["thread", "targetCpu"],
  );
  if (options.size === 0) return nothing;
  const emission = new Emission(l, node);
  const integer = (name: string) => {
    const given = options.get(name) ?? { value: known(false), node };
    return emission.addInteger(given.value, given.node);
  };
  const [thread, targetCpu, interrupt] = [
    integer("thread"),
    integer("targetCpu"),
    integer("interrupt"),
  ];
  emission.needCpu();
  emission.emit((field) => ({
    kind: "waking",
    thread: thread(field),
    targetCpu: targetCpu(field),
    interrupt: interrupt(field),
  }));
  return nothing;
}

/** `packet({ len, … })` of a declared event type. */
export function emitTyped(
  l: Lowering,
  handle: EventTypeHandle,
  node: Node,
  value: Value | undefined,
  track: Value | undefined,
): Value {
  const names = handle.fields.map(({ name }) => name);
  const options = optionsOf(l, handle.name, value, node, names);
  const emission = new Emission(l, node);
  const selector = trackOf(
    l,
    emission,
    track === undefined ? undefined : { value: track, node },
    "thread",
  );
  const args = handle.fields.flatMap(({ name, unit }) => {
    const given = options.get(name);
    if (given === undefined) return [];
    return [{ key: name, unit, value: emission.add(encode(l, given.value, given.node)) }];
  });
  emission.emit((field) => ({
    kind: "typed",
    eventType: handle.name,
    track: selector(field),
    args: args.map(({ key, unit, value }) => ({
      key,
      value: value(field),
      ...(unit === undefined ? {} : { unit }),
    })),
  }));
  return nothing;
}

/** print`…${x}…` */
export function emitPrint(
  l: Lowering,
  node: Node,
  pieces: readonly string[],
  values: readonly { readonly value: Value; readonly node: Expression }[],
): Value {
  const emission = new Emission(l, node);
  const made = values.map(({ value, node }) => emission.add(encode(l, value, node)));
  emission.needPid();
  emission.emit((field) => ({
    kind: "print",
    pieces: [...pieces],
    values: made.map((value) => value(field)),
  }));
  return nothing;
}
