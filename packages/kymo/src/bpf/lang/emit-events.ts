/** Emission of what is no slice: samples, flows, marks, the scheduler's events, declared event types, prints. */
import type { Expression } from "oxc-parser";
import type { Value as SiteValue } from "../site.ts";
import { fail, type Lowering } from "./context.ts";
import { Emission, flowOf, type Given, nameOf, optionsOf, type SiteKind, trackOf } from "./emit.ts";
import { encode, encodeText, type Part } from "./record.ts";
import type { EventTypeHandle, FieldTypeName } from "./session.ts";
import type { Node } from "./syntax.ts";
import { asText } from "./text.ts";
import { describe, known, nothing, type Stack, type Value } from "./values.ts";

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
  const args = handle.fields.flatMap(({ name, unit, type }) => {
    const given = options.get(name);
    if (given === undefined) return [];
    const encoded = encode(l, given.value, given.node);
    const is = shownAs("value" in encoded ? encoded.value : encoded.part.field(0));
    if (given.value.kind !== "broken" && !columns[type].includes(is))
      return fail(
        l,
        given.node,
        `${name} of ${handle.name} is declared as "${type}", and this is ${is}`,
      );
    return [{ key: name, unit, value: emission.add(encoded) }];
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

/** What a column takes; all else would be no value in it. */
const columns: { readonly [Type in FieldTypeName]: readonly ReturnType<typeof shownAs>[] } = {
  int: ["a number"],
  real: ["a number"],
  bool: ["a number"],
  text: ["text", "a number"],
  bytes: ["bytes"],
};

function shownAs({ type }: SiteValue): "a number" | "text" | "bytes" | "a stack" {
  switch (type) {
    case "int":
    case "uint":
    case "bool":
    case "const-int":
      return "a number";
    case "bytes":
      return "bytes";
    case "kernel-stack":
    case "user-stack":
    case "stack-id":
      return "a stack";
    default:
      return "text";
  }
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
