/** The running kernel, as the compiler of probes asks for it: BTF, tracefs and ELF files of this machine. */
import { release } from "node:os";
import type { Libc } from "../../linux/libc.ts";
import { findOrMountTracefs, type Tracefs } from "../../linux/tracefs.ts";
import type { CType, EventSchema, Kernel, Missing } from "../schema.ts";
import { BtfKind } from "./btf.ts";
import type { BtfTypes } from "./btf-types.ts";
import { type Feature, Features } from "./features.ts";
import { functionSchema } from "./functions.ts";
import { perfEventNamed } from "./perf-events.ts";
import type { Arch } from "./registers.ts";
import { suggestions } from "./suggest.ts";
import { anySyscallSchema, type SyscallMachine, syscallSchema } from "./syscalls.ts";
import { rawTracepointSchema, tracepointSchema } from "./tracepoints.ts";
import { uprobeSchema } from "./uprobes.ts";
import { usdtSchema } from "./usdt.ts";
import { variableOf } from "./variables.ts";
import { kernelTypes, moduleTypes } from "./vmlinux.ts";

/** @throws Error on machines whose registers are not known here. */
export async function openKernel(libc: Libc): Promise<Kernel> {
  if (process.arch !== "x64" && process.arch !== "arm64")
    throw new Error(`probes know x64 and arm64 machines; this is ${process.arch}`);
  const arch: Arch = process.arch;
  const types = kernelTypes(libc);
  const features = new Features(libc, types?.btf);
  let found: Tracefs | undefined;
  const tracefs = (): Tracefs => (found ??= findOrMountTracefs(libc));
  const machine = (): SyscallMachine => {
    const mounted = tracefs();
    return { arch, types, tracefs: mounted.ok ? mounted.path : undefined };
  };
  return {
    release: release(),
    arch,
    type: (name) => typeByName(name, types),
    tracepoint: (category, event) => {
      const mounted = tracefs();
      if (!mounted.ok) return { missing: mounted.reason, fix: mounted.fix };
      return tracepointSchema(mounted.path, category, event, types);
    },
    rawTracepoint: (event) => rawTracepointSchema(event, types, moduleTypes),
    syscall: (name, at) => syscallSchema(name, at, machine()),
    anySyscall: (at) => anySyscallSchema(at, machine()),
    kprobe: (symbol, at) =>
      ifSupported(features.kprobe, () => functionSchema(symbol, "kprobe", at, arch, types)),
    fentry: (name, at) =>
      ifSupported(features.fentry, () => functionSchema(name, "fentry", at, arch, types)),
    uprobe: (path, where, at, pid) => {
      if (at === "session" && !features.uprobeSession.ok) return missing(features.uprobeSession);
      // Which of the two sides it is, a program asks a function that is found by BTF.
      if (at === "session" && types === undefined)
        return { missing: "entry and return in one program need the kernel's types (BTF)" };
      if (!features.uprobeMulti.ok && !features.uprobe.ok) return missing(features.uprobe);
      return uprobeSchema(path, where, at, pid, arch);
    },
    usdt: (path, provider, name, pid) => {
      if (!features.uprobeMulti.ok && !features.uprobe.ok) return missing(features.uprobe);
      return usdtSchema(path, provider, name, pid, arch);
    },
    perfEvent: (name) => perfEventNamed(name, libc),
    variable: variableOf,
    callable: (name) => (types?.btf.find(name, BtfKind.function) ?? 0) !== 0,
  };
}

function ifSupported(feature: Feature, schema: () => EventSchema | Missing): EventSchema | Missing {
  return feature.ok ? schema() : missing(feature);
}

function missing(feature: Feature & { readonly ok: false }): Missing {
  const { reason, fix } = feature;
  return { missing: reason, ...(fix === undefined ? {} : { fix }) };
}

/** The kernel's own, then those of modules: they are read when they are asked for. */
function* typesOf(kernel: BtfTypes): Generator<BtfTypes> {
  yield kernel;
  yield* moduleTypes();
}

/** `task_struct`, also with `struct`, `union` or `enum` before it. */
function typeByName(name: string, types: BtfTypes | undefined): CType | Missing {
  if (types === undefined)
    return {
      missing: "this kernel does not describe its types",
      fix: "use a kernel with CONFIG_DEBUG_INFO_BTF",
    };
  const plain = name.replace(/^(struct|union|enum)\s+/, "");
  const { struct, union, typedef } = BtfKind;
  const kinds = [struct, union, BtfKind.enum, BtfKind.enum64, typedef];
  for (const one of typesOf(types)) {
    const id = one.btf.find(plain, ...kinds);
    if (id !== 0) return one.type(id);
  }
  const names = function* (): Generator<string> {
    for (const one of types.btf.named(struct, union, typedef)) yield one.name;
  };
  return {
    missing: `this kernel has no type ${plain}`,
    suggestions: suggestions(plain, names()),
  };
}
