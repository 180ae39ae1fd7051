/**
 * span(): a slice from where a function or system call begins to where it returns.
 *
 *     functions      a "begin" record on entry and an "end" record on return. One program sees both (uprobe session);
 *                    it answers 1 on entry when nothing was begun, and the return is not looked at. Without sessions
 *                    there are two programs, and a word of bits for each thread: was a slice begun in this call?
 *     system calls   what span() was given is kept for the thread; the return makes one slice record of it
 */
import type { Expr, MapSpec } from "../ir.ts";
import { u32, u64 } from "../ir.ts";
import { type Probe, ProbeError } from "../program.ts";
import { type EventSchema, isMissing, type Missing } from "../schema.ts";
import type { Field } from "../site.ts";
import { compare, compute, constant, isZero, plus, zero } from "./builder.ts";
import { collecting, fail, type Lowering, type SpanPlan } from "./context.ts";
import {
  argsOf,
  categoryOf,
  Emission,
  type FieldOf,
  nameOf,
  type Options,
  optionsOf,
} from "./emit.ts";
import { withFix } from "./errors.ts";
import { helper } from "./helpers.ts";
import { lowerBody, newLowering } from "./lower.ts";
import { copyMemory, lookup, roomFor } from "./map-calls.ts";
import { fieldValue } from "./memory.ts";
import type { FunctionRecord } from "./modules.ts";
import {
  argumentsOf,
  eventOf,
  found,
  type Loading,
  noteAll,
  onlyWhere,
  probe,
} from "./parameters.ts";
import { type Part, place } from "./record.ts";
import type { Attach } from "./session.ts";
import { type Node, references } from "./syntax.ts";
import { known, type Value } from "./values.ts";

/** Whether a handler, or a function that it may call, names span. */
export function usesSpan({ unit }: Loading, handler: FunctionRecord): boolean {
  const seen = new Set<FunctionRecord["node"]>();
  const uses = (record: FunctionRecord): boolean => {
    if (seen.has(record.node)) return false;
    seen.add(record.node);
    for (const name of references(record.node)) {
      const value = valueNamed(record, name);
      if (unit.session.builtins.get(value) === "span") return true;
      const inner = unit.session.functionOf(value);
      if (inner !== undefined && uses(inner)) return true;
    }
    return false;
  };
  return uses(handler);
}

function valueNamed({ scope }: FunctionRecord, name: string): unknown {
  try {
    return Object.hasOwn(scope, name) ? scope[name]!() : undefined;
  } catch (error) {
    if (error instanceof ReferenceError) return undefined;
    throw error;
  }
}

const spanOptions = ["name", "track", "category", "args", "end"];

/** What span() was given; `end` makes args when the function returns. */
interface Begun {
  readonly node: Node;
  readonly options: Options;
}

/** A plan that takes the options of each span() and lowers its beginning. */
function planning(
  begin: (begun: Begun) => void,
): SpanPlan & { readonly begun: Begun[]; lowering?: Lowering } {
  const plan = {
    begun: [] as Begun[],
    lowering: undefined as unknown as Lowering,
    begin(node: Node, value: Value) {
      const options = optionsOf(plan.lowering, "span", value, node, spanOptions, ["name"]);
      if (!options.has("name")) return;
      const begun = { node, options };
      plan.begun.push(begun);
      begin(begun);
    },
  };
  return plan;
}

/** Args of the return: `end: (ret) => ({ … })`, or an object that needs nothing of it. */
function endArgs(
  l: Lowering,
  begun: Begun | undefined,
  emission: Emission,
  result: Value,
): ReturnType<typeof argsOf> {
  const given = begun?.options.get("end");
  if (given === undefined) return () => [];
  const { value, node } = given;
  const made = onReturn(l, value, result, node);
  return argsOf(l, emission, { value: made, node });
}

function onReturn(l: Lowering, value: Value, result: Value, node: Node): Value {
  const record =
    value.kind === "function"
      ? value.record
      : value.kind === "known" && typeof value.value === "function"
        ? l.session.functionOf(value.value)
        : undefined;
  if (record === undefined) {
    const fields = value.kind === "object" ? [...value.fields.values()] : [];
    for (const field of fields)
      if (field.value.kind !== "known") fail(l, field.node, "this is known on entry", entryFix);
    if (value.kind === "object" || (value.kind === "known" && typeof value.value === "object"))
      return value;
    return fail(
      l,
      node,
      "end is a function of the result, or an object",
      "end: (ret) => ({ ret })",
    );
  }
  try {
    return l.inline(record, [result], node);
  } catch (error) {
    if (!(error instanceof ProbeError) || !error.message.includes("is not defined here"))
      throw error;
    throw withFix(error, entryFix);
  }
}
const entryFix =
  "end is run on return, with the result alone: what is known on entry goes into args";

/** Slices end where they began: on the thread. */
function onThread(l: Lowering, { options }: Begun): void {
  const given = options.get("track");
  if (given === undefined || given.value.kind === "broken") return;
  if (
    given.value.kind === "track" &&
    given.value.of.kind === "thread" &&
    given.value.of.id === undefined
  )
    return;
  fail(
    l,
    given.node,
    "a span is on the track of its thread",
    "for another track: keep the start in a map, and emit slice({ track, start, … }) on return",
  );
}

export function functionSpan(
  loading: Loading,
  attach: Attach,
  schemaAt: (at: "entry" | "return" | "session") => EventSchema | Missing,
): Probe[] {
  const session = schemaAt("session");
  if (!isMissing(session)) return [sessionSpan(loading, attach, session)];
  const entry = found(attach, schemaAt("entry"), 1);
  const back = found(attach, schemaAt("return"), 1);
  return twoPrograms(loading, attach, entry, back);
}

/** What begin and end of one handler's spans have in common. */
function callOf({ unit }: Loading, attach: Attach): number {
  return unit.session.attached.indexOf(attach);
}

function emitBegin(l: Lowering, begun: Begun, call: number): void {
  onThread(l, begun);
  const { options, node } = begun;
  const emission = new Emission(l, node);
  emission.needPid();
  const name = nameOf(l, emission, options.get("name")!);
  const category = categoryOf(l, options.get("category"));
  const args = argsOf(l, emission, options.get("args"));
  emission.emit((field) => ({
    kind: "begin",
    track: { kind: "thread" },
    name: name(field),
    category,
    args: args(field),
    call,
  }));
}

function emitEnd(
  l: Lowering,
  begun: readonly Begun[],
  call: number,
  result: Value,
  node: Node,
): void {
  const emission = new Emission(l, node);
  emission.needPid();
  const [first, ...more] = begun;
  for (const other of more)
    if (other.options.has("end") || first?.options.has("end"))
      fail(l, other.node, "where a handler has several span() calls, none can have end");
  const args = endArgs(l, first, emission, result);
  emission.emit((field) => ({
    kind: "end",
    track: { kind: "thread" },
    name: { type: "const-text", value: "" },
    category: "",
    args: args(field),
    call,
  }));
}

/** One program for both sides. */
function sessionSpan(loading: Loading, attach: Attach, schema: EventSchema): Probe {
  const call = callOf(loading, attach);
  const begunFlag: { local?: Expr & { op: "local" } } = {};
  const plan = planning((begun) => {
    emitBegin(l, begun, call);
    l.build.assign(begunFlag.local!.local, zero);
  });
  const entrySchema = withoutResult(schema);
  const l = newLowering(
    loading.unit,
    attach.handler,
    // 1 keeps the return from being looked at.
    { label: schema.label, schema: entrySchema, result: 1n, resultOf: () => begunFlag.local! },
    plan,
  );
  plan.lowering = l;
  noteAll(loading, schema);
  const local = l.build.local();
  begunFlag.local = { op: "local", local };
  const entry = l.build.inBlock(() => {
    l.build.assign(local, constant(1));
    lowerBody(l, argumentsOf(l, entrySchema));
    l.build.add({ op: "return", value: begunFlag.local! });
  });
  const back = l.build.inBlock(() => {
    collecting(
      l,
      () => emitEnd(l, plan.begun, call, resultOf(l, schema), attach.handler.node),
      undefined,
    );
    l.build.add({ op: "return", value: zero });
  });
  l.build.add({
    op: "if",
    condition: { op: "kfunc", name: "bpf_session_is_return", args: [] },
    then: back,
    else: entry,
  });
  return probe(loading, attach, l, schema.target);
}

function withoutResult(schema: EventSchema): EventSchema {
  const { result: _, ...rest } = schema;
  return rest;
}

function resultOf(l: Lowering, schema: EventSchema): Value {
  return schema.result === undefined ? known(undefined) : fieldValue(l, schema.result);
}

/** A bit for each call that is on its way in a thread, the innermost lowest: 1 when a slice was begun. */
function twoPrograms(
  loading: Loading,
  attach: Attach,
  entry: EventSchema,
  back: EventSchema,
): Probe[] {
  const { unit } = loading;
  const calls = unit.registry.hash("kymo_calls", 4, 8);
  const call = callOf(loading, attach);
  const flag: { local?: number } = {};
  const plan = planning((begun) => {
    emitBegin(l, begun, call);
    l.build.assign(flag.local!, constant(1));
    pushCall(l, calls, constant(1));
  });
  const l = newLowering(unit, attach.handler, { label: entry.label, schema: entry }, plan);
  plan.lowering = l;
  noteAll(loading, entry);
  const local = l.build.local();
  flag.local = local;
  pushCall(l, calls, zero);
  lowerBody(l, argumentsOf(l, entry));
  const { handler } = attach;
  const after = newLowering(unit, handler, { label: back.label, schema: back });
  popCall(after, calls, () =>
    collecting(
      after,
      () => emitEnd(after, plan.begun, call, resultOf(after, back), handler.node),
      undefined,
    ),
  );
  return [probe(loading, attach, l, entry.target), probe(loading, attach, after, back.target)];
}

function threadKey(l: Lowering): Expr {
  const key = l.build.slotAddress(l.build.slot(4, "thread"));
  l.build.store(u32, key, 0, l.build.call(helper.pidTgid));
  return key;
}

/** On entry a 0 is pushed; span() makes it a 1. */
function pushCall(l: Lowering, calls: MapSpec, bit: Expr): void {
  const { build } = l;
  const key = threadKey(l);
  const bits = lookup(l, { spec: calls }, key);
  const before = build.load(u64, "direct", bits, 0);
  if (bit === zero)
    build.when(
      compare("!=", bits, zero),
      () => build.store(u64, bits, 0, compute("<<", before, constant(1))),
      () => {
        const empty = build.slotAddress(build.slot(8, "calls"));
        build.store(u64, empty, 0, zero);
        build.eval(build.call(helper.mapUpdate, build.mapArgument(calls), key, empty, zero));
      },
    );
  else
    build.when(compare("!=", bits, zero), () =>
      build.store(u64, bits, 0, compute("|", before, bit)),
    );
}

function popCall(l: Lowering, calls: MapSpec, whenBegun: () => void): void {
  const { build } = l;
  const bits = lookup(l, { spec: calls }, threadKey(l));
  build.when(compare("!=", bits, zero), () => {
    const before = build.keep(build.load(u64, "direct", bits, 0));
    build.store(u64, bits, 0, compute(">>", before, constant(1)));
    build.when(compute("&", before, constant(1)), whenBegun);
  });
}

/** System calls that don't return, by number: their entry would be kept forever. */
const endless: Readonly<Record<"x64" | "arm64", readonly number[]>> = {
  x64: [60, 231],
  arm64: [93, 94],
};

/** Of the kept value: the start, ns, then the parts. */
const startBytes = 8;

export function syscallSpan(
  loading: Loading,
  attach: Attach,
  enter: EventSchema,
  exit: EventSchema,
): Probe[] {
  const { unit } = loading;
  noteAll(loading, enter);
  const made: Kept[] = [];
  const plan = planning((begun) => {
    if (made.length > 0)
      fail(l, begun.node, "a handler of system calls has one span()", "choose its name with ?:");
    onThread(l, begun);
    made.push(keep(l, begun, (bytes) => unit.registry.hash("kymo_calls", 4, bytes)));
  });
  const l = newLowering(unit, attach.handler, { label: enter.label, schema: enter }, plan);
  plan.lowering = l;
  onlyWhere(l, enter);
  const number =
    enter.only === undefined ? enter.fields.find(({ name }) => name === "id") : undefined;
  if (number !== undefined) leaveEndless(l, fieldValue(l, number), endless[unit.kernel.arch]);
  lowerBody(l, [eventOf(withoutResult(enter))]);
  const after = newLowering(unit, attach.handler, { label: exit.label, schema: exit });
  const [only] = made;
  if (only !== undefined) collecting(after, () => emitKept(after, only, exit), undefined);
  else if (l.errors.length === 0)
    collecting(
      l,
      () =>
        fail(
          l,
          attach.handler.node,
          "this handler never calls span()",
          "syscall(…) is for handlers without",
        ),
      undefined,
    );
  return [probe(loading, attach, l, enter.target), probe(loading, attach, after, exit.target)];
}

function leaveEndless(l: Lowering, id: Value, numbers: readonly number[]): void {
  if (id.kind !== "word") return;
  const held = l.build.keep(id.expr);
  for (const number of numbers)
    l.build.add({
      op: "if",
      condition: compare("==", held, constant(number)),
      then: [{ op: "return", value: constant(l.result) }],
      else: [],
    });
}

interface Kept {
  readonly begun: Begun;
  readonly spec: MapSpec;
  readonly bytes: number;
  readonly offsets: ReadonlyMap<Part, number>;
  readonly site: (field: FieldOf) => {
    readonly name: ReturnType<ReturnType<typeof nameOf>>;
    readonly category: string;
    readonly args: ReturnType<ReturnType<typeof argsOf>>;
  };
}

/** Keeps what the slice will need, for the thread. */
function keep(l: Lowering, begun: Begun, mapOf: (bytes: number) => MapSpec): Kept {
  const { build } = l;
  const { options, node } = begun;
  const emission = new Emission(l, node);
  const name = nameOf(l, emission, options.get("name")!);
  const category = categoryOf(l, options.get("category"));
  const args = argsOf(l, emission, options.get("args"));
  const { offsets, bytes } = place(emission.parts, startBytes);
  const spec = mapOf(bytes);
  const value = roomFor(l, bytes, "call");
  // The verifier wants every byte of it written.
  build.add({ op: "zero", to: value, offset: 0, bytes });
  for (const part of emission.parts) part.write(value, offsets.get(part)!);
  build.store(u64, value, 0, build.call(helper.ktimeNs));
  build.eval(build.call(helper.mapUpdate, build.mapArgument(spec), threadKey(l), value, zero));
  const site: Kept["site"] = (field) => ({ name: name(field), category, args: args(field) });
  return { begun, spec, bytes, offsets, site };
}

function emitKept(l: Lowering, kept: Kept, exit: EventSchema): void {
  const { build } = l;
  const { begun, spec, bytes, offsets, site } = kept;
  onlyWhere(l, exit);
  const key = threadKey(l);
  const value = lookup(l, { spec }, key);
  build.add({
    op: "if",
    condition: isZero(value),
    then: [{ op: "return", value: zero }],
    else: [],
  });
  const emission = new Emission(l, begun.node);
  emission.needPid();
  const copy: Part = {
    bytes,
    align: 8,
    field: (offset) => ({ type: "uint", offset, bytes: 8 }),
    write: (to, offset) => {
      copyMemory(l, plus(to, offset), value, bytes);
      for (const [part, at] of offsets) part.readAgain?.(l, to, offset + at);
    },
  };
  const startAt = emission.addPart(copy);
  const more = endArgs(l, begun, emission, eventOf(exit, "result"));
  emission.emit((field) => {
    const start = startAt(field);
    const inside = (part: Part): Field => part.field(start.offset + offsets.get(part)!);
    const { name, category, args } = site(inside);
    return {
      kind: "slice",
      track: { kind: "thread" },
      name,
      category,
      start,
      args: [...args, ...more(field)],
    };
  });
  build.eval(build.call(helper.mapDelete, build.mapArgument(spec), key));
}
