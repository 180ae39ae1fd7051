export * from "./formats/format.ts";
export * from "./model/sink.ts";
export * from "./model/trace.ts";
