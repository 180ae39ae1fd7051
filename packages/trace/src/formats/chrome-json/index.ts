import type { Format } from "../format.ts";
import { detectChromeJson } from "./detect.ts";

export const format: Format = {
  name: "chrome-json",
  title: "Chrome JSON trace events",
  extensions: [".json", ".trace"],
  spec: "https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU",
  detect: detectChromeJson,
  stream: async (sink) => new (await import("./reader.ts")).ChromeJsonReader(sink),
  writer: async (out) => new (await import("./writer.ts")).ChromeJsonWriter(out),
};
