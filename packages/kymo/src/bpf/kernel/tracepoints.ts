/** Tracepoints: of tracefs with the fields that their `format` files list, raw ones with the arguments that BTF tells. */
import { readdirSync, readFileSync } from "node:fs";
import type { EventFormat } from "../../linux/event-format.ts";
import { parseEventFormat } from "../../linux/event-format.ts";
import { u64 } from "../ir.ts";
import type { CType, EventField, EventSchema, FieldAccess, Missing } from "../schema.ts";
import { type Btf, BtfKind } from "./btf.ts";
import type { BtfTypes } from "./btf-types.ts";
import { cType, intNamed } from "./c-type.ts";
import { suggestions } from "./suggest.ts";

/** A raw tracepoint takes at most so many arguments. */
const rawArgumentsLimit = 12;

/** @param tracefs  where it is mounted */
export function tracepointSchema(
  tracefs: string,
  category: string,
  event: string,
  types: BtfTypes | undefined,
): EventSchema | Missing {
  const format = readFormat(tracefs, category, event);
  if (format === undefined) return missingTracepoint(tracefs, category, event);
  return {
    label: `tracepoint:${category}:${event}`,
    target: { kind: "tracepoint", category, event },
    fields: fieldsOf(format, category === "syscalls" ? "user" : "kernel", types),
    notes: [],
  };
}

function readFormat(tracefs: string, category: string, event: string): EventFormat | undefined {
  if (!/^[\w.-]+$/.test(category) || !/^[\w.-]+$/.test(event)) return undefined;
  try {
    return parseEventFormat(readFileSync(`${tracefs}/events/${category}/${event}/format`, "utf8"));
  } catch {
    return undefined; // no such event here
  }
}

/** What programs can read of the record: not `common_…`, whose place holds the registers. */
function fieldsOf(
  format: EventFormat,
  pointee: EventField["pointee"],
  types: BtfTypes | undefined,
): EventField[] {
  const fields: EventField[] = [];
  for (const { name, type: text, offset, size, signed } of format.fields.values()) {
    if (name.startsWith("common_")) continue;
    const dynamic = /^__(data|rel)_loc (.*)$/.exec(text);
    // Arguments of system calls fill 8 bytes, whatever they are: an int is the low half.
    const int = pointee === "user" && size === 8 ? intNamed(text, types) : undefined;
    const type: CType =
      int === undefined
        ? cType(dynamic?.[2] ?? text, dynamic === null ? size : 0, signed, types)
        : { kind: "int", type: int, name: text };
    let access: FieldAccess;
    if (dynamic !== null) access = { how: "dataLocation", offset, relative: dynamic[1] === "rel" };
    else if (type.kind === "chars" || type.kind === "array" || type.kind === "struct")
      access = { how: "inline", offset };
    else if (type.kind === "int" || type.kind === "enum")
      access = { how: "load", offset, type: type.type };
    else if (type.kind === "bool")
      access = { how: "load", offset, type: { bits: 8, signed: false } };
    else if (type.kind === "pointer") access = { how: "load", offset, type: u64 };
    else continue; // 128 bits and the like: no register holds it
    // Text of unknown length has no `bytes`.
    fields.push({
      name,
      type: dynamic !== null && type.kind === "chars" ? { kind: "chars" } : type,
      access,
      pointee: access.how === "load" ? pointee : "direct",
    });
  }
  return fields;
}

function missingTracepoint(tracefs: string, category: string, event: string): Missing {
  const categories = eventCategories(tracefs);
  if (!categories.includes(category))
    return {
      missing: `this kernel has no tracepoints of ${category}`,
      suggestions: suggestions(category, categories).map((near) => `${near}:${event}`),
    };
  return {
    missing: `this kernel has no tracepoint ${category}:${event}`,
    suggestions: suggestions(event, eventsOf(tracefs, category)).map(
      (near) => `${category}:${near}`,
    ),
  };
}

/** Directories of tracefs that hold events: `sched`, `block`, … */
export function eventCategories(tracefs: string): string[] {
  return directories(`${tracefs}/events`);
}
export function eventsOf(tracefs: string, category: string): string[] {
  return directories(`${tracefs}/events/${category}`);
}
function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return []; // not mounted, or not ours to read
  }
}

/**
 * A raw tracepoint: its arguments are those of the kernel's own call, each in a 64-bit word of the context.
 * @param types  undefined: arguments have no types and are named "0", "1", …
 */
export function rawTracepointSchema(
  event: string,
  types: BtfTypes | undefined,
  modules: () => Iterable<BtfTypes> = () => [],
): EventSchema | Missing {
  const label = `rawTracepoint:${event}`;
  if (types === undefined) {
    const fields = Array.from({ length: rawArgumentsLimit }, (_, index) => untyped(index));
    const target = { kind: "raw-tracepoint", event, btf: false } as const;
    const notes = ["this kernel has no BTF: arguments are numbers without types"];
    return { label, target, fields, notes };
  }
  const own = typedRawTracepoint(event, types, "direct");
  if (own !== undefined) return own;
  // A module's: programs are bound to the kernel's types only, so there its pointers are read like any address.
  for (const module of modules()) {
    const found = typedRawTracepoint(event, module, "kernel");
    if (found !== undefined) return found;
  }
  const near = suggestions(event, rawTracepoints(types.btf));
  return { missing: `this kernel has no raw tracepoint ${event}`, suggestions: near };
}

function typedRawTracepoint(
  event: string,
  types: BtfTypes,
  pointee: "direct" | "kernel",
): EventSchema | undefined {
  const parameters = rawTracepointParameters(types.btf, event);
  if (parameters === undefined) return undefined;
  return {
    label: `rawTracepoint:${event}`,
    target: { kind: "raw-tracepoint", event, btf: pointee === "direct" },
    fields: parameters.map(({ name, type: id }, index) => {
      const type = types.type(id);
      const int =
        type.kind === "int" || type.kind === "enum"
          ? type.type
          : type.kind === "bool"
            ? ({ bits: 8, signed: false } as const)
            : u64;
      return {
        name: name === "" ? String(index) : name,
        type,
        access: { how: "load", offset: 8 * index, type: int },
        pointee,
      };
    }),
    notes: [],
  };
}

function untyped(index: number): EventField {
  return {
    name: String(index),
    type: { kind: "int", type: u64, name: "u64" },
    access: { how: "load", offset: 8 * index, type: u64 },
    pointee: "kernel",
  };
}

/** Arguments of a raw tracepoint; undefined when there is none of that name. Names are from the function that calls it. */
export function rawTracepointParameters(
  btf: Btf,
  event: string,
): readonly { readonly name: string; readonly type: number }[] | undefined {
  const typedef = rawTracepointType(btf, event);
  if (typedef === 0) return undefined;
  const parameters = btf.parameters(btf.target(btf.resolve(typedef))).slice(1);
  const caller = btf.find(`__traceiter_${event}`, BtfKind.function);
  const names = caller === 0 ? [] : btf.parameters(btf.target(caller)).slice(1);
  return parameters.map(({ name, type }, index) => ({ name: names[index]?.name || name, type }));
}

/** The BTF id that a program of type tracing names to be attached to a raw tracepoint; 0 when there is none. */
export function rawTracepointType(btf: Btf, event: string): number {
  return btf.find(`btf_trace_${event}`, BtfKind.typedef);
}

export function* rawTracepoints(btf: Btf): Generator<string> {
  for (const { name } of btf.named(BtfKind.typedef))
    if (name.startsWith("btf_trace_")) yield name.slice("btf_trace_".length);
}
