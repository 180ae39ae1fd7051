/** Kernel functions: kprobes with arguments in registers, fentry and fexit with arguments typed by BTF. */
import { readUnsized } from "../../linux/symbols/byte-source.ts";
import { type IntType, i64, u64 } from "../ir.ts";
import type { CType, EventField, EventSchema, FieldAccess, Missing } from "../schema.ts";
import { BtfKind } from "./btf.ts";
import type { BtfTypes } from "./btf-types.ts";
import { type Arch, registersOf } from "./registers.ts";
import { suggestions } from "./suggest.ts";

export function functionSchema(
  name: string,
  kind: "kprobe" | "fentry",
  at: "entry" | "return",
  arch: Arch,
  types: BtfTypes | undefined,
): EventSchema | Missing {
  const label = `${labels[kind][at]}:${name}`;
  const id = types?.btf.find(name, BtfKind.function) ?? 0;
  if (types === undefined || id === 0) {
    if (kind === "fentry" || !isKernelSymbol(name)) return missingFunction(name, types);
    return {
      label,
      target: { kind, symbol: name, at },
      fields: at === "entry" ? untypedArguments(arch) : [],
      ...(at === "return" ? { result: kprobeResult(arch, longType) } : {}),
      notes: [`the kernel's BTF does not describe ${name}: arguments are 64-bit numbers`],
    };
  }
  const prototype = types.btf.target(id);
  const parameters = types.btf.parameters(prototype);
  const registers = registersOf(arch);
  const returned = types.type(types.btf.target(prototype));
  const fields = parameters.flatMap((parameter, index): EventField[] => {
    const register = registers.arguments[index];
    // A kprobe's context has six registers; what is on the stack, fentry alone sees.
    if (kind === "kprobe" && register === undefined) return [];
    const type = types.type(parameter.type);
    const offset = kind === "kprobe" ? register! : 8 * index;
    const access: FieldAccess = { how: "load", offset, type: wordOf(type) };
    const field = parameter.name || String(index);
    return [{ name: field, type, access, pointee: kind === "fentry" ? "direct" : "kernel" }];
  });
  if (kind === "kprobe")
    return {
      label,
      target: { kind, symbol: name, at },
      fields: at === "entry" ? fields : [],
      ...(at === "return" ? { result: kprobeResult(arch, returned) } : {}),
      notes: [],
    };
  const result: EventField = {
    name: "ret",
    type: returned,
    access: { how: "load", offset: 8 * parameters.length, type: wordOf(returned) },
    pointee: "kernel",
  };
  return {
    label,
    target: { kind, function: name, at },
    fields,
    ...(at === "return" ? { result } : {}),
    notes: [],
  };
}

const labels = {
  kprobe: { entry: "kprobe", return: "kretprobe" },
  fentry: { entry: "fentry", return: "fexit" },
} as const;

const longType: CType = { kind: "int", type: i64, name: "long" };

function kprobeResult(arch: Arch, type: CType): EventField {
  const access: FieldAccess = { how: "load", offset: registersOf(arch).result, type: wordOf(type) };
  return { name: "ret", type, access, pointee: "kernel" };
}

function untypedArguments(arch: Arch): EventField[] {
  return registersOf(arch).arguments.map((offset, index) => ({
    name: String(index),
    type: longType,
    access: { how: "load", offset, type: i64 },
    pointee: "kernel",
  }));
}

/** What a register holds of a value of this type. */
function wordOf(type: CType): IntType {
  if (type.kind === "int" || type.kind === "enum") return type.type;
  return type.kind === "bool" ? { bits: 8, signed: false } : u64;
}

function isKernelSymbol(name: string): boolean {
  if (!/^[\w.]+$/.test(name)) return false;
  try {
    const symbols = Buffer.from(readUnsized("/proc/kallsyms", kallsymsLimit));
    // `address letter name`, then a tab before a module's name.
    return symbols.includes(` ${name}\n`) || symbols.includes(` ${name}\t`);
  } catch {
    return true; // not readable: attaching tells
  }
}
const kallsymsLimit = 256 * 1024 * 1024;

function missingFunction(name: string, types: BtfTypes | undefined): Missing {
  const names = function* (): Generator<string> {
    if (types === undefined) return;
    for (const one of types.btf.named(BtfKind.function)) yield one.name;
  };
  return {
    missing: `this kernel has no function ${name} that can be probed`,
    suggestions: suggestions(name, names()),
  };
}
