/** Probe files to programs: one module, so that loading it is one import, and who needs no compiler never does. */
export { compile } from "../bpf/codegen/index.ts";
export { openKernel } from "../bpf/kernel/index.ts";
export { loadProbes } from "../bpf/lang/index.ts";
