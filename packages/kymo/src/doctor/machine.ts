/** What kymo needs on every system: Node, the native libraries, disk, a browser. */
import { accessSync, constants, readFileSync, statfsSync } from "node:fs";
import { arch, cpus, release, totalmem, type } from "node:os";
import { delimiter, join } from "node:path";
import { openerFor } from "../server/browser.ts";
import { type Check, Checks, groups, messageOf } from "./check.ts";

export function machineChecks(): readonly Check[] {
  const checks = new Checks(groups.machine);
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  checks.note(
    "system",
    `${type()} ${release()}, ${arch()}, ${cpus().length} CPUs, ${gib(totalmem())} of memory`,
  );
  checks.note("Node", `${process.version} (20.19 or newer is needed)`);
  if (process.platform === "linux") checks.note("container", containerOf());
  return checks.all;
}

function containerOf(): string {
  const found: string[] = [];
  if (exists("/.dockerenv")) found.push("Docker");
  if (exists("/run/.containerenv")) found.push("Podman");
  const init = readText("/proc/1/environ")
    ?.split("\0")
    .find((one) => one.startsWith("container="));
  if (init !== undefined) found.push(init.slice("container=".length));
  return found.length === 0 ? "none seen" : found.join(", ");
}

/** @param directory  where a recording would be written */
export async function fileChecks(directory: string): Promise<readonly Check[]> {
  const checks = new Checks(groups.files);
  if (process.platform === "linux")
    await library(checks, "koffi (system calls)", () => import("koffi"), "recording");
  await library(checks, "DuckDB (SQL)", () => import("@duckdb/node-api"), "kymo query");
  disk(checks, directory);
  limits(checks);
  browser(checks);
  return checks.all;
}

async function library(
  checks: Checks,
  name: string,
  load: () => Promise<unknown>,
  use: string,
): Promise<void> {
  try {
    await load();
    checks.yes(name, "loads");
  } catch (error) {
    checks.no(
      name,
      `does not load, so there is no ${use}: ${messageOf(error)}`,
      "install without --omit=optional, on Linux, macOS or Windows (x64 or arm64)",
    );
  }
}

function disk(checks: Checks, directory: string): void {
  const name = "space for recordings";
  try {
    accessSync(directory, constants.W_OK);
  } catch (error) {
    checks.no(
      name,
      `${directory}: ${(error as NodeJS.ErrnoException).code}`,
      "record with -o FILE into a directory of yours",
    );
    return;
  }
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  const text = `${(free / 2 ** 30).toFixed(1)} GiB free in ${directory}`;
  if (free >= 2 ** 30) checks.yes(name, text);
  else checks.no(name, text, "record with -o FILE on a larger disk, or with --max-size");
}

function limits(checks: Checks): void {
  const text = process.platform === "linux" ? readText("/proc/self/limits") : undefined;
  const limit = (name: string): string | undefined =>
    new RegExp(`^${name}\\s+(\\d+|unlimited)`, "m").exec(text ?? "")?.[1];
  const size = limit("Max file size");
  if (size !== undefined && size !== "unlimited")
    checks.no(
      "file size limit",
      `${(Number(size) / 2 ** 20).toFixed(0)} MiB (ulimit -f)`,
      "ulimit -f unlimited",
    );
  const open = limit("Max open files");
  const needed = cpus().length * 12 + 64;
  if (open !== undefined && Number(open) < needed)
    checks.no(
      "open files limit",
      `${open} (ulimit -n); about ${needed} are needed`,
      `ulimit -n ${Math.max(1024, needed)}`,
    );
}

function browser(checks: Checks): void {
  const name = "browser";
  const opener = openerFor(process.platform, process.env);
  if (opener === undefined)
    checks.no(
      name,
      "this machine shows no desktop: kymo open prints a link instead",
      "open the link where you sit, through ssh -L if that is another machine",
    );
  else if (process.platform === "linux" && !onPath(opener[0]!))
    checks.no(
      name,
      `${opener[0]} is not installed: kymo open prints a link instead`,
      "install xdg-utils",
    );
  else checks.yes(name, `kymo open starts it through ${opener[0]}`);
}

function onPath(program: string): boolean {
  const { PATH: path = "" } = process.env;
  return path.split(delimiter).some((directory) => exists(join(directory, program)));
}
function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // not there, or not ours to read: the check then says nothing
  }
}
