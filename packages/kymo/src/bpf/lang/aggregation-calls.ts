/** `add` of aggregations: adds in the kernel, on memory of the CPU's own. The layout is aggregation.ts's. */
import { bucketCount, quantizeBits } from "../aggregation.ts";
import type { Expr } from "../ir.ts";
import { i64, u32, u64 } from "../ir.ts";
import { compare, compute, constant, currentPid, plus, sum, zero } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { storeData } from "./data.ts";
import { describeType, layoutOf } from "./data-type.ts";
import { keyTypeOf } from "./keys.ts";
import { type Argument, lookupOrCreate, roomFor } from "./map-calls.ts";
import type { TypedAggregation } from "./registry.ts";
import type { AggregationHandle } from "./session.ts";
import type { Node } from "./syntax.ts";
import { describe, nothing, type Value } from "./values.ts";
import { toWord } from "./words.ts";

/** @throws ProbeError for a key of another type than before, and for values that are no numbers */
export function addTo(
  l: Lowering,
  handle: AggregationHandle,
  args: readonly Argument[],
  node: Node,
): Value {
  const { kind, options } = handle;
  const takesValue = kind !== "count";
  const usage = takesValue ? "add(value) or add(key, value)" : "add() or add(key)";
  if (takesValue && args.length === 0)
    return fail(l, node, `${options.name}.add takes a value: ${usage}`);
  const key = keyOf(takesValue ? args.slice(0, -1) : args);
  const inferred = key === undefined ? undefined : keyTypeOf(l, key.value);
  if (key !== undefined && inferred === undefined && key.value.kind !== "broken")
    return fail(
      l,
      key.node,
      `${describe(key.value)} can't be a key`,
      "numbers, texts, tuples of them",
    );
  const to = l.registry.aggregationOf(handle, inferred);
  if ((to.key === undefined) !== (key === undefined))
    return fail(
      l,
      node,
      to.key === undefined
        ? `${options.name} has no key: it was used without one before`
        : `${options.name} has a key of type ${describeType(to.key)}: ${usage}`,
    );
  const value = takesValue
    ? l.build.keep(toWord(l, args.at(-1)!.value, args.at(-1)!.node).expr)
    : constant(1);
  const bucket = to.layout.bucketAt === undefined ? undefined : bucketOf(l, handle, value);
  const at = keyAt(l, to, key, bucket);
  const found = lookupOrCreate(l, to, at, to.spec.valueBytes);
  l.build.when(compare("!=", found, zero), () => update(l, handle, found, value));
  return nothing;
}

/** Several arguments are the parts of one key. */
function keyOf(args: readonly Argument[]): Argument | undefined {
  const [first] = args;
  if (first === undefined || args.length === 1) return first;
  return { value: { kind: "tuple", items: args.map(({ value }) => value) }, node: first.node };
}

function keyAt(
  l: Lowering,
  to: TypedAggregation,
  key: Argument | undefined,
  bucket: Expr | undefined,
): Expr {
  const { build } = l;
  const { bytes, pidAt, bucketAt } = to.layout;
  const at = roomFor(l, bytes, `key of ${to.spec.name}`);
  if (key === undefined || to.key === undefined) {
    build.store(u32, at, 0, bucket ?? zero);
    return at;
  }
  const padded = layoutOf(to.key).bytes % 4 !== 0;
  if (padded) build.add({ op: "zero", to: at, offset: 0, bytes: Math.ceil(bytes / 8) * 8 });
  storeData(l, key.value, to.key, at, key.node, padded);
  if (pidAt !== undefined) build.store(u32, at, pidAt, currentPid(build));
  if (bucketAt !== undefined) build.store(u32, at, bucketAt, bucket!);
  return at;
}

function update(l: Lowering, handle: AggregationHandle, to: Expr, value: Expr): void {
  const { build } = l;
  const add = (offset: number, what: Expr) =>
    build.store(u64, to, offset, sum(build.load(u64, "direct", to, offset), what));
  switch (handle.kind) {
    case "sum":
      add(0, value);
      return;
    case "avg":
      add(0, value);
      add(8, constant(1));
      return;
    case "min":
    case "max": {
      const current = build.load(i64, "direct", to, 0);
      const unset = compare("==", build.load(u64, "direct", to, 8), zero);
      const better = compare(handle.kind === "min" ? "<" : ">", value, current, true);
      build.when({ op: "or", left: unset, right: better }, () => {
        build.store(i64, to, 0, value);
        build.store(u64, to, 8, constant(1));
      });
      return;
    }
    default:
      add(0, constant(1));
  }
}

/** As bucketOf() of aggregation.ts, in the kernel. */
function bucketOf(l: Lowering, handle: AggregationHandle, value: Expr): Expr {
  const { build } = l;
  const bucket = build.local();
  const result: Expr = { op: "local", local: bucket };
  const below = (limit: bigint, then: () => void, otherwise: () => void) =>
    build.when(compare("<", value, constant(limit), true), then, otherwise);
  if (handle.kind === "lhist") {
    const { from, to, width } = handle.buckets!;
    const buckets = { kind: handle.kind, buckets: handle.buckets! } as const;
    const beyond = constant(bucketCount(buckets) - 1);
    below(
      from,
      () => build.assign(bucket, zero),
      () =>
        below(
          to,
          () => {
            const above: Expr = plus(value, -from);
            const index: Expr = compute("/", above, constant(width));
            build.assign(bucket, plus(index, 1));
          },
          () => build.assign(bucket, beyond),
        ),
    );
    return result;
  }
  const first = handle.kind === "hist" ? 1n : 2n ** BigInt(quantizeBits);
  below(
    0n,
    () => build.assign(bucket, zero),
    () =>
      below(
        first,
        () => build.assign(bucket, plus(value, 1)),
        () => {
          const power = log2(l, value);
          if (handle.kind === "hist") build.assign(bucket, plus(power, 2));
          else build.assign(bucket, quantized(l, value, power));
        },
      ),
  );
  return result;
}

/** 1 + 8 + (power − 3) · 8 + (the three bits below the highest) */
function quantized(l: Lowering, value: Expr, power: Expr): Expr {
  const shift = l.build.keep(plus(power, -quantizeBits));
  const top: Expr = compute(">>", value, shift);
  const scaled: Expr = compute("<<", shift, constant(quantizeBits));
  return plus(sum(scaled, top), 1);
}

/** Of a value > 0, by halving. */
function log2(l: Lowering, value: Expr): Expr {
  const { build } = l;
  const [rest, power] = [build.local(), build.local()];
  const left: Expr = { op: "local", local: rest };
  const found: Expr = { op: "local", local: power };
  build.assign(rest, value);
  build.assign(power, zero);
  for (const shift of [32, 16, 8, 4, 2, 1])
    build.when(compare(">=", left, constant(2n ** BigInt(shift))), () => {
      build.assign(power, plus(found, shift));
      if (shift > 1) build.assign(rest, compute(">>", left, constant(shift)));
    });
  return found;
}
