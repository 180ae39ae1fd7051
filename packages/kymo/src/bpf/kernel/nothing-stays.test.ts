/** After kymo ends, however it ends, bpftool finds none of its programs and links. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { testNeeding } from "../../testing/capability.ts";
import { buildTarget } from "./testing/target.ts";

interface Listed {
  readonly programs: number;
  readonly links: number;
}

/** Programs of this name, and links to them: other sessions on this machine don't matter. */
function listed(name: string): Listed {
  const list = (what: string): readonly Record<string, unknown>[] =>
    JSON.parse(execFileSync("bpftool", ["-j", what, "list"], { encoding: "utf8" }) || "[]");
  const ids = list("prog")
    .filter((program) => program["name"] === name)
    .map((program) => program["id"]);
  return {
    programs: ids.length,
    links: list("link").filter((link) => ids.includes(link["prog_id"])).length,
  };
}

/** The kernel frees what a dead process held a moment later. */
async function eventually(name: string, wanted: Listed): Promise<void> {
  await expect.poll(() => listed(name), { timeout: 60_000 }).toEqual(wanted);
}

testNeeding(
  "linux",
  "root",
  "bpf",
  "bpftool",
  "cc",
)(
  "programs and links are gone when the process ends, also by kill -9",
  { timeout: 180_000 },
  async () => {
    const target = buildTarget();
    try {
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        const name = `kymo${process.pid}${signal.slice(3, 4)}`;
        const child = spawn(
          process.execPath,
          [
            ...["--conditions=source", "--import", "tsx"],
            fileURLToPath(new URL("./testing/attached-child.ts", import.meta.url)),
            name,
            target.path,
          ],
          { stdio: ["ignore", "pipe", "inherit"] },
        );
        const [said] = await once(child.stdout, "data");
        expect(String(said)).toBe("attached\n");
        // A typed raw tracepoint and a session have links; a tracepoint and a clock have perf events.
        expect(listed(name)).toEqual({ programs: 4, links: 2 });
        child.kill(signal);
        await once(child, "exit");
        await eventually(name, { programs: 0, links: 0 });
      }
    } finally {
      target.remove();
    }
  },
);
