export * from "./formats/format.ts";
export { formats } from "./formats/registry.gen.ts";
export * from "./model/builder.ts";
export * from "./model/sink.ts";
export * from "./model/trace.ts";
export { detectFormat, HEAD_BYTES, hasExtension } from "./read/detect.ts";
export type { Compression, ExpansionLimits } from "./read/expand.ts";
export * from "./read/read.ts";
