/** Programs into the kernel: one module, as toolchain.ts is. */
export { Features } from "../bpf/kernel/features.ts";
export { loadSession } from "../bpf/kernel/session.ts";
