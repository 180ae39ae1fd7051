/** The types of the running kernel and its modules, read once for the process. */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import { type Libc, MAP_PRIVATE, PROT_READ } from "../../linux/libc.ts";
import { Btf } from "./btf.ts";
import { BtfTypes } from "./btf-types.ts";

const directory = "/sys/kernel/btf";
let known: BtfTypes | "none" | undefined;

/**
 * With a `libc` the first call is quicker where the kernel lets the types be mapped (Linux 6.16): copying 5 MB takes longer than
 * everything that is then done with them.
 *
 * @returns undefined where the kernel has no BTF, or of a kind from the future
 */
export function kernelTypes(libc?: Libc): BtfTypes | undefined {
  known ??= read(libc) ?? "none";
  return known === "none" ? undefined : known;
}

function read(libc: Libc | undefined): BtfTypes | undefined {
  const file = `${directory}/vmlinux`;
  try {
    const bytes = libc === undefined ? undefined : mapped(libc, file);
    return new BtfTypes(new Btf(bytes ?? readFileSync(file)));
  } catch {
    return undefined; // without types, raw tracepoints give plain numbers: the schemas' notes say so
  }
}

/** The file in memory, for as long as this process lives. undefined: it can only be read. @throws as openSync */
function mapped(libc: Libc, file: string): Uint8Array | undefined {
  const fd = openSync(file, "r");
  try {
    const { size } = fstatSync(fd);
    const at = libc.mmap(size, PROT_READ, MAP_PRIVATE, fd);
    return typeof at === "number" ? undefined : new Uint8Array(libc.view(at, size));
  } finally {
    closeSync(fd);
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
