/** A kernel from a table: a few events and one struct, the same on every machine. */
import type { IntType } from "../../ir.ts";
import { i32, i64, u8, u16, u32, u64 } from "../../ir.ts";
import { suggestions } from "../../kernel/suggest.ts";
import type { AttachTarget } from "../../program.ts";
import type { CType, EventField, EventSchema, Kernel, Member, Missing } from "../../schema.ts";

const int = (type: IntType): CType => ({
  kind: "int",
  type,
  name: `${type.signed ? "i" : "u"}${type.bits}`,
});

export function struct(name: string, bytes: number, fields: Record<string, Member>): CType {
  return {
    kind: "struct",
    name,
    bytes,
    member: (field) => fields[field],
    members: () => Object.keys(fields),
  };
}

/**
 * value i32 @0 · next *node @8 · low 3 bits, high 5 bits, deep −8 … 7 @16 · items u16[4] @24 · name char[16] @32 ·
 * inner { depth u64 } @48 · address u8[4] @56
 */
const node: CType = {
  kind: "struct",
  name: "node",
  bytes: 64,
  member: (name) => nodeMembers[name],
  members: () => Object.keys(nodeMembers),
};
const nodeMembers: Record<string, Member> = {
  value: { type: int(i32), bitOffset: 0 },
  next: { type: { kind: "pointer", to: node }, bitOffset: 64 },
  low: { type: int(u32), bitOffset: 128, bitSize: 3 },
  high: { type: int(u32), bitOffset: 131, bitSize: 5 },
  deep: { type: int(i32), bitOffset: 136, bitSize: 4 },
  items: { type: { kind: "array", of: int(u16), length: 4, elementBytes: 2 }, bitOffset: 192 },
  name: { type: { kind: "chars", bytes: 16 }, bitOffset: 256 },
  inner: {
    type: struct("inner", 8, { depth: { type: int(u64), bitOffset: 0 } }),
    bitOffset: 384,
  },
  address: { type: { kind: "array", of: int(u8), length: 4, elementBytes: 1 }, bitOffset: 448 },
};

const load = (name: string, offset: number, type: IntType): EventField => ({
  name,
  type: int(type),
  access: { how: "load", offset, type },
  pointee: "kernel",
});
const pointer = (
  name: string,
  offset: number,
  to: CType,
  pointee: EventField["pointee"],
): EventField => ({
  name,
  type: { kind: "pointer", to },
  access: { how: "load", offset, type: u64 },
  pointee,
});

/** Of test:event, 64 bytes: where its fields lie. */
export const eventFields: readonly EventField[] = [
  load("pid", 8, i32),
  load("flags", 12, u32),
  load("count", 16, u64),
  load("delta", 24, i64),
  {
    name: "comm",
    type: { kind: "chars", bytes: 16 },
    access: { how: "inline", offset: 32 },
    pointee: "kernel",
  },
  {
    name: "path",
    type: { kind: "chars" },
    access: { how: "dataLocation", offset: 48, relative: false },
    pointee: "kernel",
  },
  load("small", 52, u8),
];

function answer(
  label: string,
  target: AttachTarget,
  fields: readonly EventField[],
  result?: EventField,
): EventSchema {
  return { label, target, fields, notes: [], ...(result === undefined ? {} : { result }) };
}

function missing(what: string, name: string, names: readonly string[]): Missing {
  return { missing: `there is no ${what} ${name}`, suggestions: suggestions(name, names) };
}

/** @param without attach kinds that this kernel doesn't have */
export function fakeKernel({ sessions = true }: { readonly sessions?: boolean } = {}): Kernel {
  const types: Record<string, CType> = { node, task_struct: node };
  const result = load("ret", 80, i64);
  return {
    release: "6.18.0-fake",
    arch: "x64",
    type: (name) => types[name] ?? missing("struct", name, Object.keys(types)),
    tracepoint: (category, event) =>
      category === "test" && event === "event"
        ? answer("tracepoint:test:event", { kind: "tracepoint", category, event }, eventFields)
        : missing("tracepoint", `${category}:${event}`, ["test:event"]),
    rawTracepoint: (event) =>
      event === "walk"
        ? answer("rawTracepoint:walk", { kind: "raw-tracepoint", event, btf: true }, [
            { ...load("preempt", 0, u8), type: { kind: "bool" } },
            pointer("prev", 8, node, "direct"),
            pointer("next", 16, node, "direct"),
          ])
        : missing("raw tracepoint", event, ["walk"]),
    syscall: (name, at) => {
      if (name !== "openat") return missing("system call", name, ["openat"]);
      const target: AttachTarget = { kind: "raw-tracepoint", event: `sys_${at}`, btf: true };
      const only = { field: load("id", 0, i64), equals: 257n };
      return at === "enter"
        ? {
            ...answer("syscall:openat", target, [
              load("dfd", 8, i32),
              pointer("filename", 16, { kind: "chars" }, "user"),
              pointer("argv", 24, { kind: "pointer", to: { kind: "chars" } }, "user"),
            ]),
            only,
          }
        : { ...answer("syscall.exit:openat", target, [], load("ret", 8, i64)), only };
    },
    anySyscall: (at) => {
      const target: AttachTarget = { kind: "raw-tracepoint", event: `sys_${at}`, btf: true };
      const ret = at === "exit" ? load("ret", 8, i64) : undefined;
      return answer(`syscall:*:${at}`, target, [load("id", 0, i64)], ret);
    },
    kprobe: (symbol) => ({ missing: `kprobes are not here (${symbol})`, fix: "use fentry" }),
    fentry: (name, at) =>
      answer(
        `fentry:${name}`,
        { kind: "fentry", function: name, at },
        [pointer("file", 0, node, "direct")],
        at === "return" ? load("ret", 8, i64) : undefined,
      ),
    uprobe: (path, where, at) => {
      if (path !== "app" || where !== "work") return missing("function", where, ["work"]);
      if (at === "session" && !sessions) return { missing: "no uprobe sessions" };
      const args = [0, 1, 2].map((i) => load(String(i), i * 8, i64));
      return answer(
        `uprobe:${path}:${where}`,
        { kind: "uprobe", path, offsets: [0x1000n], at },
        at === "return" ? [] : args.map((field) => ({ ...field, pointee: "user" as const })),
        at === "entry" ? undefined : result,
      );
    },
    usdt: (_path, provider, name) => missing("static probe", `${provider}:${name}`, []),
    perfEvent: (name) =>
      name === "page-faults"
        ? { type: 1, config: 2 }
        : missing("perf event", name, ["page-faults"]),
  };
}
