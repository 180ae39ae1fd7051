/** The functions of kymo/probe that have a value inside handlers. */
import type { Expr, IntType } from "../ir.ts";
import { i64, u32, u64 } from "../ir.ts";
import { compute, constant, plus } from "./builder.ts";
import { fail, type Lowering } from "./context.ts";
import { ints } from "./data-type.ts";
import { emitCounter, emitEnd, emitInstant, emitSlice, optionsOf } from "./emit.ts";
import { emitFlow, emitMark, emitSample, emitSwitch, emitWaking } from "./emit-events.ts";
import { helper } from "./helpers.ts";
import type { Argument } from "./map-calls.ts";
import { memberOf, readPlace, structNamed } from "./memory.ts";
import type { BuiltinName } from "./session.ts";
import type { Node } from "./syntax.ts";
import { readText } from "./text.ts";
import {
  type Address,
  describe,
  known,
  type Named,
  type Pointer,
  type Value,
  word,
} from "./values.ts";
import { knownInteger, narrow, toWord } from "./words.ts";

type Args = readonly Argument[];

/** @param node the call */
export function callBuiltin(
  l: Lowering,
  name: BuiltinName | "track",
  args: Args,
  node: Extract<Node, { type: "CallExpression" }>,
): Value {
  const { build } = l;
  const [first, second] = args;
  const one = (): Argument => first ?? fail(l, node, `${name} needs an argument`);
  const half = (expr: Expr, high: boolean): Value =>
    high
      ? word(compute(">>", expr, constant(32)), u32)
      : word({ op: "cast", type: u32, value: expr }, u32);
  const int = ints[name];
  if (int !== undefined) return castTo(l, one(), int);
  switch (name) {
    case "now":
      return word(build.call(helper.ktimeNs), u64);
    case "pid":
      return half(build.call(helper.pidTgid), true);
    case "tid":
      return half(build.call(helper.pidTgid), false);
    case "uid":
      return half(build.call(helper.uidGid), false);
    case "gid":
      return half(build.call(helper.uidGid), true);
    case "cpu":
      if (first !== undefined) return { kind: "track", of: { kind: "cpu", id: first.value } };
      return { kind: "word", expr: build.call(helper.cpu), type: u32, cpu: true };
    case "comm":
      return { kind: "text", from: "comm", bytes: 16 };
    case "cgroup":
      return word(build.call(helper.cgroup), u64);
    case "random":
      return word(build.call(helper.random), u32);
    case "task":
      return currentTask(l, node);
    case "ppid": {
      const parent = read(l, currentTask(l, node), "real_parent", node);
      return read(l, parent, "tgid", node);
    }
    case "kstack":
    case "ustack": {
      const frames = knownInteger(first?.value ?? known(64)) ?? -1n;
      if (frames < 1n || frames > 127n)
        return fail(l, one().node, `${name} takes a number of frames, 1 … 127`);
      return {
        kind: "stack",
        space: name === "kstack" ? "kernel" : "user",
        frames: Number(frames),
      };
    }
    case "str":
    case "kstr": {
      const max = second === undefined ? undefined : knownInteger(second.value);
      if (second !== undefined && max === undefined)
        return fail(l, second.node, "the length of a text must be known beforehand");
      const memory = name === "str" ? "user" : "kernel";
      const text = readText(l, one().value, memory, max, {
        value: one().node,
        max: second?.node ?? node,
      });
      return args[2] === undefined ? text : lateText(l, text, args[2]);
    }
    case "buf": {
      const bytes = second === undefined ? undefined : knownInteger(second.value);
      if (bytes === undefined || bytes < 1n || bytes > 4096n)
        return fail(
          l,
          second?.node ?? node,
          "buf takes an address and a known number of bytes, 1 … 4096",
        );
      const from = one().value;
      const memory = from.kind === "pointer" && from.memory !== "direct" ? from.memory : "user";
      const kernel = from.kind === "pointer" && from.memory === "direct";
      return {
        kind: "bytes",
        memory: kernel ? "kernel" : memory,
        address: toWord(l, from, one().node).expr,
        bytes: Number(bytes),
      };
    }
    case "cast":
      return castPointer(l, args, node);
    case "swap16":
    case "swap32":
      return swapped(l, one(), name === "swap16" ? 16 : 32);
    case "errnoOf":
      return named(l, "errno", one());
    case "syscallName":
      return named(l, "syscall", one());
    case "signalName":
      return named(l, "signal", one());
    case "symbol":
      return named(l, "symbol", one());
    case "address":
      return addressOf(l, one());
    case "unit": {
      if (second?.value.kind !== "known" || typeof second.value.value !== "string")
        return fail(l, node, 'unit takes a value and its unit: unit(e.ret, "bytes")');
      return { kind: "unit", value: one().value, unit: second.value.value };
    }
    case "thread":
    case "process":
      return {
        kind: "track",
        of: { kind: name, ...(first === undefined ? {} : { id: first.value }) },
      };
    case "track": {
      const [label, ...key] = args;
      if (label?.value.kind !== "known" || typeof label.value.value !== "string")
        return fail(
          l,
          label?.node ?? node,
          "the name of a track is known beforehand",
          'what varies is its key: track("queue", id)',
        );
      const values = key.map(({ value }) => value);
      return { kind: "track", of: { kind: "named", name: label.value.value, key: values } };
    }
    case "instant":
    case "beginSlice":
      return emitInstant(l, name, node, first?.value);
    case "endSlice":
      return emitEnd(l, node, first?.value);
    case "slice":
      return emitSlice(l, node, first?.value);
    case "counter":
      return emitCounter(l, node, first?.value);
    case "flow":
      return emitFlow(l, node, first?.value);
    case "mark":
      return emitMark(l, node, one());
    case "sample":
      return emitSample(l, node, first?.value);
    case "schedSwitch":
      return emitSwitch(l, node, first?.value);
    case "schedWaking":
      return emitWaking(l, node, first?.value);
    case "span":
      if (l.spans === undefined)
        return fail(
          l,
          node,
          "span() is for probes that have an entry and a return",
          "use it in uprobe, syscall.span or anySyscall.span; slice({ start, … }) works everywhere",
        );
      l.spans.begin(node, first?.value ?? known(undefined));
      return { kind: "nothing" };
    case "print":
      return fail(l, node, "print is written with a template: print`…`");
    case "range":
      return fail(l, node, "range() is for loops: for (const i of range(8)) …");
    default:
      return fail(l, node, `${name} can't be called here`);
  }
}

/** str(p, max, { late: false }) */
function lateText(l: Lowering, text: Value, { value, node }: Argument): Value {
  const options = optionsOf(l, "str", value, node, ["late"]);
  const late = options.get("late")?.value;
  if (late === undefined) return text;
  if (late.kind !== "known" || typeof late.value !== "boolean")
    return fail(l, node, "late is true or false, and known beforehand");
  if (text.kind === "text" && text.from !== "comm" && text.from.memory === "user")
    return { ...text, late: late.value };
  return fail(
    l,
    node,
    "only text in the program's memory can be read late",
    "str(p, 64, { late: false })",
  );
}

function castTo(l: Lowering, { value, node }: Argument, type: IntType): Value {
  const integer = knownInteger(value);
  if (integer !== undefined)
    return known(
      type.signed ? BigInt.asIntN(type.bits, integer) : BigInt.asUintN(type.bits, integer),
    );
  return narrow(toWord(l, value, node), type);
}

function currentTask(l: Lowering, node: Node): Pointer {
  const to = structNamed(l, "task_struct");
  if (to.kind !== "struct")
    return fail(l, node, "task() needs the kernel's types (BTF), which this kernel doesn't have");
  return { kind: "pointer", expr: l.build.call(helper.taskBtf), to, memory: "direct" };
}

function read(l: Lowering, value: Value, name: string, node: Node): Value {
  if (value.kind !== "pointer" && value.kind !== "place") return value;
  const member = memberOf(l, value, name, node);
  return member.kind === "place" ? readPlace(l, member) : member;
}

function castPointer(
  l: Lowering,
  args: Args,
  node: Extract<Node, { type: "CallExpression" }>,
): Value {
  const [name, from] = args;
  if (name?.value.kind !== "known" || typeof name.value.value !== "string" || from === undefined)
    return fail(l, node, 'cast takes the name of a struct and an address: cast("struct sock", p)');
  const bare = name.value.value.replace(/^(struct|union|enum) /, "");
  const to = l.kernel.type(bare);
  if ("missing" in to) {
    const near = to.suggestions?.[0];
    return fail(
      l,
      name.node,
      `${to.missing}${near === undefined ? "" : `; did you mean ${near}?`}`,
      to.fix,
    );
  }
  const memory = from.value.kind === "pointer" && from.value.memory === "user" ? "user" : "kernel";
  return { kind: "pointer", expr: toWord(l, from.value, from.node).expr, to, memory };
}

/** Network byte order and back. */
function swapped(l: Lowering, { value, node }: Argument, bits: 16 | 32): Value {
  const given = l.build.keep(toWord(l, value, node).expr);
  const type: IntType = { bits, signed: false };
  const bytes = bits / 8;
  let result: Expr | undefined;
  for (let i = 0; i < bytes; i++) {
    const shifted: Expr = compute(">>", given, constant(8 * i));
    const byte: Expr = compute("&", shifted, constant(0xff));
    const placed: Expr = compute("<<", byte, constant(8 * (bytes - 1 - i)));
    result = result === undefined ? placed : compute("|", result, placed);
  }
  return word(result!, type);
}

function named(l: Lowering, of: Named["of"], { value, node }: Argument): Value {
  const given = toWord(l, value, node);
  if (of !== "errno") return { kind: "named", of, word: given };
  // Errnos come as results: −2 is ENOENT.
  return { kind: "named", of, word: { ...given, type: i64 } };
}

/** address(e.saddr): 4 or 16 bytes in memory, or a u32, in network order. */
function addressOf(l: Lowering, { value, node }: Argument): Address {
  const integer = knownInteger(value);
  if (integer !== undefined)
    return { kind: "address", bytes: 4, from: { word: constant(integer) } };
  if (value.kind === "word") return { kind: "address", bytes: 4, from: { word: value.expr } };
  if (value.kind === "place") {
    const { type } = value;
    const bytes =
      type.kind === "array"
        ? type.length * type.elementBytes
        : type.kind === "struct" || type.kind === "chars"
          ? type.bytes
          : undefined;
    if (bytes === 4 || bytes === 16)
      return {
        kind: "address",
        bytes,
        from: { memory: value.memory, address: plus(value.base, value.offset) },
      };
  }
  if (value.kind === "text" && value.from !== "comm" && (value.bytes === 4 || value.bytes === 16))
    return { kind: "address", bytes: value.bytes, from: value.from };
  return fail(l, node, `an address is 4 or 16 bytes, found ${describe(value)}`);
}
