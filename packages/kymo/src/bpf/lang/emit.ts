/** Emission: the options that say what is emitted, its record, and the slices, instants and counters. */
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
import { constant, currentPid } from "./builder.ts";
import { at, fail, type Lowering } from "./context.ts";
import { helper } from "./helpers.ts";
import { type Encoded, encode, encodeText, integerPart, type Part, place } from "./record.ts";
import { TrackHandle } from "./session.ts";
import type { Node } from "./syntax.ts";
import { asText } from "./text.ts";
import { describe, known, nothing, type Track, type Value } from "./values.ts";
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
    this.#pid = integerPart(this.#l, currentPid(this.#l.build), u32);
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

const missingName = (node: Node): Given => ({ node, value: known("") });

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
