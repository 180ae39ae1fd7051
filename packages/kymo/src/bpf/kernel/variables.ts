/** Variables of a running process by name, for watchpoints: where its memory has them now. */
import { type Mapping, parseMaps } from "../../linux/symbols/address-space.ts";
import { demangle } from "../../linux/symbols/demangle/index.ts";
import { type Elf, loadSegments, readElf } from "../../linux/symbols/elf.ts";
import { type ElfFunction, ElfFunctions } from "../../linux/symbols/elf-functions.ts";
import { findFile, openFile, readMapsText } from "../../linux/symbols/process-files.ts";
import type { Missing, Variable } from "../schema.ts";
import { suggestions } from "./suggest.ts";

/** @param name `counter`, `app::counter`, `libfoo:counter` (of a file that the process has mapped) */
export function variableOf(pid: number, name: string): Variable | Missing {
  const maps = readMapsText("/proc", pid);
  if (maps === undefined) return { missing: `there is no process ${pid}` };
  const [, file, symbol = name] = /^([^:]+):(?!:)(.+)$/s.exec(name) ?? [];
  const files = new Map<string, Mapping>();
  for (const mapping of parseMaps(maps))
    if (mapping.path.startsWith("/") && !files.has(mapping.path)) files.set(mapping.path, mapping);
  const mapped = [...files.values()].filter(
    ({ path }) => file === undefined || isNamed(path, file),
  );
  if (mapped.length === 0) {
    const names = [...files.keys()].map((path) => path.slice(path.lastIndexOf("/") + 1));
    return {
      missing: `process ${pid} has not mapped ${file}`,
      suggestions: suggestions(file ?? "", names),
    };
  }
  const known = new Set<string>();
  for (const mapping of mapped) {
    const found = inFile(pid, mapping, symbol, known);
    if (found !== undefined) return found;
  }
  return {
    missing: `${file ?? `process ${pid}`} has no variable ${symbol}`,
    suggestions: suggestions(symbol, known),
    ...(known.size === 0 ? { fix: "use an unstripped build, or give its address" } : {}),
  };
}

/** `libc` is libc.so.6, `app` is /opt/app/bin/app; a path is that file. */
function isNamed(path: string, name: string): boolean {
  if (name.includes("/")) return path === name;
  const base = path.slice(path.lastIndexOf("/") + 1);
  return [name, `lib${name}`].some(
    (one) => base === one || base.startsWith(`${one}.so`) || base.startsWith(`${one}-`),
  );
}

/** @param known  gets the names that are there, where the wanted one is not */
function inFile(
  pid: number,
  mapping: Mapping,
  wanted: string,
  known: Set<string>,
): Variable | undefined {
  const found = findFile("/proc", [pid], mapping);
  if (found === undefined) return undefined;
  const source = openFile(found);
  try {
    const elf = readElf(source);
    const base = baseOf(elf, mapping);
    if (base === undefined) return undefined;
    const variables = new ElfFunctions(elf, found.path, [`/proc/${pid}/root`, ""], "variable");
    const [first] = named(variables, wanted);
    if (first !== undefined) return { address: BigInt(base + first.address), bytes: first.size };
    for (const { name } of variables.all()) known.add(demangle(name));
    return undefined;
  } catch {
    return undefined; // no ELF file (a .jar, a data file mapped executable): it has no variables
  } finally {
    source.close();
  }
}

function named(variables: ElfFunctions, name: string): ElfFunction[] {
  const linked = variables.named(name);
  return linked.length > 0 ? linked : variables.inSource(name);
}

/** What the addresses of the file's symbols count from. `mapping` is of code. */
function baseOf(elf: Elf, { start, end, offset }: Mapping): number | undefined {
  const segment = loadSegments(elf).find(
    ({ offset: from, fileSize }) => from < offset + (end - start) && offset < from + fileSize,
  );
  return segment && start - (segment.address - segment.offset + offset);
}
