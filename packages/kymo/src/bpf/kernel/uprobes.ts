import type { EventSchema, Missing } from "../schema.ts";
import type { Arch } from "./registers.ts";
export function uprobeSchema(
  path: string,
  where: string,
  at: "entry" | "return" | "session",
  pid: number | undefined,
  arch: Arch,
): EventSchema | Missing {
  return { missing: `todo ${path} ${where} ${at} ${pid} ${arch}` };
}
