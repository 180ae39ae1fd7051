/** The running kernel's own types, read once for the process. */
import { readFileSync } from "node:fs";
import { Btf } from "./btf.ts";
import { BtfTypes } from "./btf-types.ts";

const path = "/sys/kernel/btf/vmlinux";
let known: BtfTypes | "none" | undefined;

/** @returns undefined where the kernel has no BTF, or of a kind from the future. */
export function kernelTypes(): BtfTypes | undefined {
  known ??= read() ?? "none";
  return known === "none" ? undefined : known;
}

function read(): BtfTypes | undefined {
  try {
    return new BtfTypes(new Btf(readFileSync(path)));
  } catch {
    return undefined; // without types, raw tracepoints give plain numbers: the schemas' notes say so
  }
}
