/**
 * Functions and lines of programs: where a probe's words point in the file.
 *
 *     malloc · _ZN3app4workEi · app::work · app::work(int) · app::* · 0x1139 · malloc+0x10 · main.c:42
 */
import { openDebugFile } from "../../linux/symbols/debug-files.ts";
import { demangle } from "../../linux/symbols/demangle/index.ts";
import { addressesOfLine, hasLines, sourceFiles } from "../../linux/symbols/dwarf-lines.ts";
import {
  type ElfFunction,
  ElfFunctions,
  wordInLinkerName,
} from "../../linux/symbols/elf-functions.ts";
import { i64 } from "../ir.ts";
import { type EventField, type EventSchema, isMissing, type Missing } from "../schema.ts";
import { type Binary, withBinary } from "./binaries.ts";
import { globPattern, isGlob } from "./glob.ts";
import { type Arch, registersOf } from "./registers.ts";
import { suggestions } from "./suggest.ts";

/** Each place costs a breakpoint; more is rarely meant. */
const placesLimit = 20_000;

export function uprobeSchema(
  file: string,
  where: string,
  at: "entry" | "return" | "session",
  pid: number | undefined,
  arch: Arch,
): EventSchema | Missing {
  return withBinary(file, pid, arch, (binary): EventSchema | Missing => {
    const places = placesOf(binary, where);
    if (isMissing(places)) return places;
    const offsets = new Set<bigint>();
    for (const address of places.addresses) {
      const offset = binary.offset(address);
      if (offset !== undefined) offsets.add(offset);
    }
    if (offsets.size === 0)
      return { missing: `${where} of ${binary.path} is not in a part of the file that is loaded` };
    if (offsets.size > placesLimit)
      return {
        missing: `${where} matches ${offsets.size} functions of ${binary.path}; ${placesLimit} are the most`,
        fix: "use a narrower pattern",
      };
    const registers = registersOf(arch);
    const kind = at === "return" ? "uretprobe" : "uprobe";
    return {
      label: `${kind}:${binary.path}:${where}`,
      target: {
        kind: "uprobe",
        path: binary.path,
        offsets: [...offsets],
        at,
        ...(pid === undefined ? {} : { pid }),
      },
      fields: at === "return" ? [] : registers.arguments.map(argumentField),
      ...(at === "entry" ? {} : { result: registerField("ret", registers.result) }),
      notes: places.notes,
    };
  });
}

function argumentField(offset: number, index: number): EventField {
  return registerField(String(index), offset);
}
function registerField(name: string, offset: number): EventField {
  return {
    name,
    type: { kind: "int", type: i64, name: "i64" },
    access: { how: "load", offset, type: i64 },
    pointee: "user",
  };
}

interface Places {
  readonly addresses: readonly number[];
  readonly notes: readonly string[];
}

function placesOf(binary: Binary, where: string): Places | Missing {
  if (/^0x[0-9a-f]+$/i.test(where)) return { addresses: [Number(where)], notes: [] };
  const functions = new ElfFunctions(binary.elf, binary.path, binary.roots);
  const found = byName(functions, where);
  if (found.length > 0) return placesOfFunctions(found, where);
  const [, symbol, distance] = /^(.+)\+(0x[0-9a-f]+|\d+)$/i.exec(where) ?? [];
  if (symbol !== undefined) {
    const base = byName(functions, symbol);
    const beyond = Number(distance);
    if (base.length > 0)
      return { addresses: base.map(({ address }) => address + beyond), notes: [] };
  }
  const [, source, line] = /^(.*[^:]):(\d+)$/.exec(where) ?? [];
  if (source !== undefined) return placesOfLine(binary, functions, source, Number(line));
  if (isGlob(where)) {
    const pattern = globPattern(where);
    const matching = [...functions.all(wordInLinkerName(where))].filter(
      ({ name, resolver }) =>
        !resolver &&
        !name.endsWith(".cold") &&
        (pattern.test(name) || pattern.test(demangle(name))),
    );
    if (matching.length > 0)
      return { addresses: matching.map(({ address }) => address), notes: [] };
  }
  return missingFunction(binary, functions, where);
}

/** The linker's name, or the source's; else the copies that compilers make of a function under a name of their own. */
function byName(functions: ElfFunctions, name: string): ElfFunction[] {
  const linked = functions.named(name);
  if (linked.length > 0) return linked;
  const source = functions.inSource(name);
  if (source.length > 0) return source;
  if (!/^[\w$]+$/.test(name)) return [];
  const copy = new RegExp(`^${name.replaceAll("$", "\\$")}(\\.(constprop|isra|part)\\.\\d+)+$`);
  return [...functions.all(name)].filter((one) => copy.test(one.name));
}

function placesOfFunctions(found: readonly ElfFunction[], where: string): Places {
  const notes: string[] = [];
  if (found.length > 1)
    notes.push(`${where}: ${found.length} functions have this name, all are probed`);
  if (found.some(({ resolver }) => resolver))
    notes.push(
      `${where} is chosen when a program is loaded: this probes the choice, once for each program; the functions to choose from have longer names (kymo probe --list 'uprobe:FILE:*${where}*')`,
    );
  return { addresses: found.map(({ address }) => address), notes };
}

/** The first address of the line in each function: inlined and templated code has several. */
function placesOfLine(
  binary: Binary,
  functions: ElfFunctions,
  source: string,
  line: number,
): Places | Missing {
  const own = hasLines(binary.elf);
  const elf = own ? binary.elf : openDebugFile(binary.elf, binary.path, binary.roots);
  try {
    if (elf === undefined || !hasLines(elf))
      return {
        missing: `${binary.path} has no line numbers (.debug_line)`,
        fix: "compile it with -g, install its debug file, or name a function",
      };
    const rows = addressesOfLine(elf, source, line);
    const [first] = rows;
    if (first === undefined) {
      const files = sourceFiles(elf);
      const isKnown = [...files].some((one) => one === source || one.endsWith(`/${source}`));
      return isKnown
        ? { missing: `${source} has no code at or after line ${line} in ${binary.path}` }
        : {
            missing: `${binary.path} was not compiled from a file ${source}`,
            suggestions: suggestions(
              source,
              [...files].map((one) => one.slice(one.lastIndexOf("/") + 1)),
            ),
          };
    }
    const starts = [...functions.all()].map(({ address }) => address).sort((a, b) => a - b);
    const lowest = new Map<number, number>();
    for (const { address } of rows) {
      const owner = lastAtMost(starts, address);
      lowest.set(owner, Math.min(lowest.get(owner) ?? Number.POSITIVE_INFINITY, address));
    }
    const notes =
      first.line === line ? [] : [`${source}:${line} has no code: line ${first.line} is probed`];
    return { addresses: [...lowest.values()], notes };
  } finally {
    if (!own) elf?.source.close();
  }
}

function lastAtMost(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function missingFunction(binary: Binary, functions: ElfFunctions, where: string): Missing {
  const names = new Set<string>();
  for (const { name } of functions.all()) names.add(demangle(name));
  if (names.size === 0)
    return {
      missing: `${binary.path} has no symbols`,
      fix: "use an unstripped build, install its debug file, or give an address: 0x…",
    };
  return {
    missing: isGlob(where)
      ? `no function of ${binary.path} matches ${where}`
      : `${binary.path} has no function ${where}`,
    suggestions: suggestions(where, names),
    fix: `what there is: kymo probe --list 'uprobe:${binary.path}:*'`,
  };
}
