export * from "@kymo/trace";
export * from "./source.ts";
