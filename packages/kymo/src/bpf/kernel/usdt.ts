import type { EventSchema, Missing } from "../schema.ts";
import type { Arch } from "./registers.ts";
export function usdtSchema(
  path: string,
  provider: string,
  name: string,
  pid: number | undefined,
  arch: Arch,
): EventSchema | Missing {
  return { missing: `todo ${path} ${provider}:${name} ${pid} ${arch}` };
}
