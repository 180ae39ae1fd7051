/** tracefs: where it is mounted, and the layout of each tracepoint's raw data as the kernel describes it. */
import { readFileSync } from "node:fs";
import { errnoName } from "./errno.ts";
import { type EventFormat, parseEventFormat } from "./event-format.ts";
import type { Libc } from "./libc.ts";

export type Tracefs =
  | { readonly ok: true; readonly path: string; readonly note?: string }
  | { readonly ok: false; readonly reason: string; readonly fix: string };

const places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] as const;

/** Looks where tracefs is, and whether this user may read it; changes nothing. */
export function findTracefs(): Tracefs {
  let denied = false;
  for (const path of places) {
    try {
      readFileSync(`${path}/events/header_page`);
      return { ok: true, path };
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      denied ||= code === "EACCES" || code === "EPERM";
    }
  }
  return denied
    ? {
        ok: false,
        reason: "tracefs is readable by root only",
        // Its files are readable by root and their group (0440): opening the directory is not enough, giving it a group is.
        fix: `run with sudo, or: sudo mount -o remount,mode=750,gid=${process.getegid?.() ?? 0} /sys/kernel/tracing`,
      }
    : {
        ok: false,
        reason: "tracefs is not mounted",
        fix: "sudo mount -t tracefs tracefs /sys/kernel/tracing",
      };
}

/** Finds tracefs and, as perf does, mounts it for root when it isn't mounted yet; `note` says so. */
export function findOrMountTracefs(libc: Libc): Tracefs {
  const found = findTracefs();
  if (found.ok || process.geteuid?.() !== 0) return found;
  const result = libc.mount("tracefs", places[0], "tracefs");
  if (result < 0 && errnoName(-result) !== "EBUSY")
    return { ...found, reason: `${found.reason}; mount(${places[0]}): ${errnoName(-result)}` };
  const again = findTracefs();
  return again.ok ? { ...again, note: `mounted tracefs on ${places[0]}` } : again;
}

/** The format of `sched/sched_switch` and the like; undefined when this kernel doesn't have the event. */
export function readEventFormat(tracefs: string, event: string): EventFormat | undefined {
  let text: string;
  try {
    text = readFileSync(`${tracefs}/events/${event}/format`, "utf8");
  } catch {
    return undefined; // not built into this kernel
  }
  return parseEventFormat(text);
}
