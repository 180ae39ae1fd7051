/** The probe files that ship with kymo (packages/probes): found by name, and used by `kymo record` itself. */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Beside the built command line; in a checkout that isn't built, where they are written. */
const folders = ["./probes/", "../../../probes/src/"].map((relative) =>
  fileURLToPath(new URL(relative, import.meta.url)),
);

function folder(): string | undefined {
  return folders.find((path) => existsSync(path));
}

/** The file of a shipped probe, by its name without ".ts"; undefined when there is none. */
export function shippedProbe(name: string): string | undefined {
  const within = folder();
  if (within === undefined || !/^[\w-]+$/.test(name)) return undefined;
  const file = path.join(within, `${name}.ts`);
  return existsSync(file) ? file : undefined;
}

/** The file that the user means: as named, or else the shipped probe of that name. */
export function probeFile(name: string): string {
  return existsSync(name) ? name : (shippedProbe(name) ?? name);
}

/** What a probe file is called in words: a shipped one by its name, any other by its path. */
export function probeName(file: string): string {
  const name = path.basename(file, ".ts");
  return shippedProbe(name) === file ? name : file;
}

/** All names, sorted. */
export function shippedProbes(): readonly string[] {
  const within = folder();
  if (within === undefined) return [];
  return readdirSync(within)
    .filter((name) => /^[\w-]+\.ts$/.test(name))
    .map((name) => name.slice(0, -3))
    .sort();
}
