/** What is in the kernel, by whose descriptors hold it: other sessions on the machine don't matter. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

type Kind = "prog" | "link";

/** Ids of all programs or links there are. */
export function inKernel(kind: Kind): Set<number> {
  const list = execFileSync("bpftool", ["-j", kind, "list"], { encoding: "utf8" }) || "[]";
  return new Set((JSON.parse(list) as { id: number }[]).map(({ id }) => id));
}

/** Ids of what a process's descriptors hold. */
export function heldBy(pid: number | string, kind: Kind): number[] {
  const dir = `/proc/${pid}/fdinfo`;
  return namesIn(dir).flatMap((fd) => {
    try {
      const text = readFileSync(`${dir}/${fd}`, "utf8");
      return [...text.matchAll(new RegExp(`^${kind}_id:\\s*(\\d+)$`, "gm"))].map(([, id]) =>
        Number(id),
      );
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** Programs and links that stay although no process holds them. */
export function leftBehind(): string[] {
  return (["prog", "link"] as const).flatMap((kind) => {
    const before = inKernel(kind);
    const held = new Set(
      namesIn("/proc")
        .filter((name) => /^\d+$/.test(name))
        .flatMap((pid) => heldBy(pid, kind)),
    );
    // What is gone by now was on its way out.
    const after = inKernel(kind);
    return [...before].filter((id) => !held.has(id) && after.has(id)).map((id) => `${kind} ${id}`);
  });
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return []; // the process is gone
  }
}
