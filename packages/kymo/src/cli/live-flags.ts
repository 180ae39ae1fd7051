/** Flags of commands that record: the live view. */
import type { ViewOptions } from "../live/record-live.ts";
import { UsageError } from "./command.ts";

export const liveFlags: {
  readonly live: { readonly type: "boolean"; readonly help: string };
  readonly port: { readonly type: "number"; readonly value: string; readonly help: string };
} = {
  live: { type: "boolean", help: "show the recording in the browser while it is made" },
  port: { type: "number", value: "N", help: "port of the live view; any free one if left out" },
};

/** @returns undefined when no live view is wanted. @throws UsageError */
export function viewOf(values: {
  readonly live: boolean | undefined;
  readonly port: number | undefined;
  readonly open: boolean | undefined;
}): ViewOptions | undefined {
  const { live, port, open } = values;
  if (port !== undefined && !live) throw new UsageError("--port is for --live");
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new UsageError(`--port must be a whole number from 0 to 65535, not ${port}`);
  return live ? { browser: open === true, ...(port !== undefined && { port }) } : undefined;
}
