import type { Probe } from "../program.ts";
import type { EventSchema, Missing } from "../schema.ts";
import type { FunctionRecord } from "./modules.ts";
import type { Loading } from "./parameters.ts";
import { type Attach, errorAt } from "./session.ts";

export function usesSpan(_loading: Loading, _handler: FunctionRecord): boolean {
  return false;
}
export function functionSpan(
  _loading: Loading,
  attach: Attach,
  _schemaAt: (at: "entry" | "return" | "session") => EventSchema | Missing,
): Probe[] {
  throw errorAt(attach.site, "span() is not there yet");
}
export function syscallSpan(
  _loading: Loading,
  attach: Attach,
  _enter: EventSchema,
  _exit: EventSchema,
): Probe[] {
  throw errorAt(attach.site, "span() is not there yet");
}
