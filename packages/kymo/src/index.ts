/** The scripting API: the trace model and formats, opening files, and SQL over them. */
export * from "@kymo/trace";
export { openTraceFile, readTraceFile } from "./files/open.ts";
export { viewerSink } from "./live/capture-end.ts";
export { type LiveOptions, type LiveServer, serveLive } from "./live/serve-live.ts";
export { openDatabase } from "./query/database.ts";
export * from "./source.ts";
