import type { Format } from "../format.ts";
import { detect } from "./detect.ts";

export const format: Format = {
  name: "perfetto",
  title: "Perfetto trace (protobuf)",
  extensions: ["pftrace", "perfetto-trace", "pb", "perfetto"],
  spec: "https://perfetto.dev/docs/reference/trace-packet-proto",
  detect,
  stream: async (sink) => new (await import("./reader.ts")).PerfettoReader(sink),
  writer: async (out) => new (await import("./writer.ts")).PerfettoWriter(out),
};
