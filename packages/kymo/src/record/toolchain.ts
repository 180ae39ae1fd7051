/**
 * What takes probe files into the kernel, from their syntax to the loaded programs: one module, so that starting it is one
 * import of one file, and commands without probes never load it.
 */
export { compile } from "../bpf/codegen/index.ts";
export { Features } from "../bpf/kernel/features.ts";
export { openKernel } from "../bpf/kernel/index.ts";
export { loadSession } from "../bpf/kernel/session.ts";
export { loadProbes } from "../bpf/lang/index.ts";
