/** Names of signals by number. */
import { constants } from "node:os";

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals)
    // These share numbers with the names people know better.
    .filter(([name]) => name !== "SIGIOT" && name !== "SIGPOLL" && name !== "SIGUNUSED")
    .map(([name, number]) => [number as number, name]),
);

/** "SIGTERM" for 15; "signal 40" where there is no name. */
export function signalName(signal: number): string {
  return names.get(signal) ?? `signal ${signal}`;
}
