/**
 * Methods of maps: get set take delete has increment.
 *
 * `get` of a number is the number at that time. `get` of a struct is the map's own memory: its fields can be assigned, as
 * those of an object that a Map of JavaScript gives. `take` is get and delete; a struct is copied first.
 */
import type { Expr } from "../ir.ts";
import { u32 } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import { compare, compute, constant, isZero, zero } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { stackLimit, storeData } from "./data.ts";
import { type DataType, layoutOf } from "./data-type.ts";
import { helper, noExist } from "./helpers.ts";
import { memoryType, readPlace } from "./memory.ts";
import type { TypedMap } from "./registry.ts";
import type { MapHandle } from "./session.ts";
import type { Node } from "./syntax.ts";
import { chunks } from "./text.ts";
import { bool, known, nothing, type Optional, type Place, type Value, word } from "./values.ts";
import { toWord } from "./words.ts";

const mapMethods: readonly string[] = ["get", "set", "take", "delete", "has", "increment"];

export interface Argument {
  readonly value: Value;
  readonly node: Node;
}

/** @throws ProbeError for a key or value that isn't of the map's type */
export function callMap(
  l: Lowering,
  handle: MapHandle,
  { name: method, at }: { readonly name: string; readonly at: Node },
  args: readonly Argument[],
  node: Node,
): Value {
  const map = l.registry.mapOf(handle);
  const needs = { set: 2, increment: [1, 2] }[method as "set"] ?? 1;
  const [least, most] = Array.isArray(needs) ? needs : [needs, needs];
  if (!mapMethods.includes(method)) {
    const near = suggestions(method, mapMethods)[0];
    return fail(
      l,
      at,
      `maps have no ${method}${near === undefined ? "" : `; did you mean ${near}?`}`,
      `they have ${mapMethods.join(", ")}`,
    );
  }
  if (args.length < least! || args.length > most!)
    return fail(
      l,
      node,
      `${handle.name}.${method} takes ${needs === 1 ? "a key" : "a key and a value"}`,
    );
  const [key, value] = args as [Argument, Argument | undefined];
  const single = singleValue(l, map, key);
  switch (method) {
    case "get":
      return single === undefined
        ? get(l, map, lookup(l, map, keyAt(l, map, key, handle)))
        : readPlace(l, single);
    case "has":
      return bool(compare("!=", lookup(l, map, keyAt(l, map, key, handle)), zero));
    case "set":
      if (single !== undefined) storeData(l, value!.value, map.value, single.base, value!.node);
      else set(l, map, keyAt(l, map, key, handle), value!);
      return nothing;
    case "delete":
      return bool(
        isZero(
          l.build.keep(
            l.build.call(
              helper.mapDelete,
              l.build.mapArgument(map.spec),
              keyAt(l, map, key, handle),
            ),
          ),
        ),
      );
    case "take":
      return take(l, map, keyAt(l, map, key, handle));
    default:
      return increment(l, map, single, key, value, node, handle);
  }
}

/** The value of an array of one, without a look-up. */
function singleValue(l: Lowering, map: TypedMap, key: Argument): Place | undefined {
  if (map.spec.kind !== "array" || map.spec.max !== 1) return undefined;
  if (key.value.kind !== "known" || Number(key.value.value) !== 0) return undefined;
  const base: Expr = { op: "mapValue", map: l.build.map(map.spec), offset: 0 };
  return placeAt(l, base, map.value);
}

function placeAt(l: Lowering, base: Expr, type: DataType): Place {
  return {
    kind: "place",
    base,
    offset: 0,
    type: memoryType(l, type),
    memory: "direct",
    writable: true,
    indexable: true,
  };
}

/** Memory for a value on its way: on the stack, or in memory of the CPU's own when it is large. */
export function roomFor(l: Lowering, bytes: number, name: string): Expr {
  if (bytes <= stackLimit) return l.build.slotAddress(l.build.slot(bytes, name));
  const { build } = l;
  const spec = l.registry.scratch(bytes, l.nextScratch());
  const key = build.slot(4, "zero");
  build.store(u32, build.slotAddress(key), 0, zero);
  const found = build.keep(
    build.call(helper.mapLookup, build.mapArgument(spec), build.slotAddress(key)),
  );
  // An array's only entry is there: this is for the verifier.
  build.add({
    op: "if",
    condition: isZero(found),
    then: [{ op: "return", value: constant(l.result) }],
    else: [],
  });
  return found;
}

function keyAt(l: Lowering, map: TypedMap, key: Argument, handle: MapHandle): Expr {
  const at = roomFor(l, layoutOf(map.key).bytes, `key of ${handle.name}`);
  storeData(l, key.value, map.key, at, key.node);
  return at;
}

export function lookup(l: Lowering, map: { readonly spec: TypedMap["spec"] }, key: Expr): Expr {
  return l.build.keep(l.build.call(helper.mapLookup, l.build.mapArgument(map.spec), key));
}

function get(l: Lowering, map: TypedMap, found: Expr): Value {
  const place = placeAt(l, found, map.value);
  const present = compare("!=", found, zero);
  if (!isScalar(map.value))
    return { kind: "optional", present, value: readPlace(l, place), decays: false };
  return snapshot(l, present, place, () => {});
}

/** The number in the map's memory, kept before `then` does something to it. */
function snapshot(l: Lowering, present: Expr, place: Place, then: () => void): Optional {
  const { build } = l;
  const local = build.local();
  let value: Value = known(0);
  build.when(
    present,
    () => {
      value = readPlace(l, place);
      const expr =
        value.kind === "pointer" ? value.expr : toWord(l, value, undefined as never).expr;
      build.assign(local, expr);
      then();
    },
    () => build.assign(local, zero),
  );
  const kept = build.fix(local);
  const read = value as Value;
  if (read.kind === "pointer")
    return { kind: "optional", present, value: { ...read, expr: kept }, decays: false };
  const { type, bool: isBool } = read as { type: { bits: 64; signed: boolean }; bool?: true };
  const kind = isBool === true ? bool(kept) : word(kept, type);
  return { kind: "optional", present, value: kind, decays: false };
}

const isScalar = (type: DataType) =>
  type.kind === "int" || type.kind === "bool" || type.kind === "pointer";

function set(l: Lowering, map: TypedMap, key: Expr, value: Argument): void {
  const { build } = l;
  if (map.spec.kind === "array" || map.spec.kind === "percpu-array") {
    const found = lookup(l, map, key);
    build.when(compare("!=", found, zero), () =>
      storeData(l, value.value, map.value, found, value.node),
    );
    return;
  }
  const from = roomFor(l, map.spec.valueBytes, "value");
  storeData(l, value.value, map.value, from, value.node);
  build.eval(build.call(helper.mapUpdate, build.mapArgument(map.spec), key, from, constant(0)));
}

function take(l: Lowering, map: TypedMap, key: Expr): Value {
  const { build } = l;
  const found = lookup(l, map, key);
  const present = compare("!=", found, zero);
  const remove = () => build.eval(build.call(helper.mapDelete, build.mapArgument(map.spec), key));
  const place = placeAt(l, found, map.value);
  if (isScalar(map.value)) return snapshot(l, present, place, remove);
  const copy = roomFor(l, map.spec.valueBytes, "taken");
  build.when(present, () => {
    copyMemory(l, copy, found, map.spec.valueBytes);
    remove();
  });
  const value = readPlace(l, { ...place, base: copy });
  return { kind: "optional", present, value, decays: false };
}

/** More bytes than this are copied by a call. */
const inlineCopy = 64;

/** Between direct memory, both 8-aligned. */
export function copyMemory(l: Lowering, to: Expr, from: Expr, bytes: number): void {
  const { build } = l;
  if (bytes > inlineCopy) {
    build.eval(build.call(helper.readKernel, to, constant(bytes), from));
    return;
  }
  for (const { at, type } of chunks(bytes, 0))
    build.store(type, to, at, build.load(type, "direct", from, at));
}

function increment(
  l: Lowering,
  map: TypedMap,
  single: Place | undefined,
  key: Argument,
  by: Argument | undefined,
  node: Node,
  handle: MapHandle,
): Value {
  const { build } = l;
  const { value } = map;
  if (value.kind !== "int")
    return fail(l, node, `${handle.name}.increment: its values are no numbers`);
  const step = by === undefined ? constant(1) : build.keep(toWord(l, by.value, by.node).expr);
  const add = (to: Expr) => {
    const { bits } = value.type;
    const percpu = map.spec.kind === "percpu-hash" || map.spec.kind === "percpu-array";
    if (!percpu && (bits === 32 || bits === 64))
      build.add({ op: "atomicAdd", bits, to, offset: 0, value: step });
    else {
      const before = build.load(value.type, "direct", to, 0);
      const sum: Expr = compute("+", before, step);
      build.store(value.type, to, 0, sum);
    }
  };
  if (single !== undefined) {
    add(single.base);
    return nothing;
  }
  const at = keyAt(l, map, key, handle);
  const found = lookupOrCreate(l, map, at, map.spec.valueBytes);
  build.when(compare("!=", found, zero), () => add(found));
  return nothing;
}

/** Address of the value; a key that isn't there is made, with zeroes. 0 when the map is full. */
export function lookupOrCreate(
  l: Lowering,
  map: { readonly spec: TypedMap["spec"] },
  key: Expr,
  valueBytes: number,
): Expr {
  const { build } = l;
  const found = build.local();
  const search = () => build.call(helper.mapLookup, build.mapArgument(map.spec), key);
  build.assign(found, search());
  const address: Expr = { op: "local", local: found };
  if (map.spec.kind === "array" || map.spec.kind === "percpu-array") return address;
  build.when(isZero(address), () => {
    const empty = build.slotAddress(build.slot(valueBytes, "zeroes"));
    build.add({ op: "zero", to: empty, offset: 0, bytes: Math.ceil(valueBytes / 8) * 8 });
    const update = build.call(
      helper.mapUpdate,
      build.mapArgument(map.spec),
      key,
      empty,
      constant(noExist),
    );
    build.eval(update);
    build.assign(found, search());
  });
  return address;
}
