/** The types of the running kernel and its modules, read once for the process. */
import { readdirSync, readFileSync } from "node:fs";
import { Btf } from "./btf.ts";
import { BtfTypes } from "./btf-types.ts";

const directory = "/sys/kernel/btf";
let known: BtfTypes | "none" | undefined;

/** @returns undefined where the kernel has no BTF, or of a kind from the future. */
export function kernelTypes(): BtfTypes | undefined {
  known ??= read() ?? "none";
  return known === "none" ? undefined : known;
}

function read(): BtfTypes | undefined {
  try {
    return new BtfTypes(new Btf(readFileSync(`${directory}/vmlinux`)));
  } catch {
    return undefined; // without types, raw tracepoints give plain numbers: the schemas' notes say so
  }
}

const modules = new Map<string, BtfTypes>();

/** Types of each loaded module, which go on from the kernel's. For what the kernel itself doesn't have. */
export function* moduleTypes(): Generator<BtfTypes> {
  const kernel = kernelTypes();
  if (kernel === undefined) return;
  for (const name of readdirSync(directory)) {
    if (name === "vmlinux") continue;
    let types = modules.get(name);
    try {
      types ??= new BtfTypes(new Btf(readFileSync(`${directory}/${name}`), kernel.btf));
    } catch {
      continue; // unloaded just now, or made for another kernel
    }
    modules.set(name, types);
    yield types;
  }
}
