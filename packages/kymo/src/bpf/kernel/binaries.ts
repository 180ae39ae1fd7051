/** ELF files that probes are put on: found by name, opened once for each question, closed again. */
import { findBinary, libraryNames } from "../../linux/libraries.ts";
import { fileSource } from "../../linux/symbols/byte-source.ts";
import {
  type Elf,
  loadSegments,
  machine,
  offsetOfAddress,
  readElf,
} from "../../linux/symbols/elf.ts";
import type { Missing } from "../schema.ts";
import type { Arch } from "./registers.ts";
import { suggestions } from "./suggest.ts";

export interface Binary {
  /** What the kernel is told. */
  readonly path: string;
  readonly elf: Elf;
  /** Directories that stand for "/", for its debug file. */
  readonly roots: readonly string[];
  /** Where in the file an address lies. */
  offset(address: number): bigint | undefined;
}

/** Opens the file, hands it to `use`, closes it. @returns Missing when there is no such file, or it is none to probe. */
export function withBinary<T>(
  name: string,
  pid: number | undefined,
  arch: Arch,
  use: (binary: Binary) => T | Missing,
): T | Missing {
  const path = findBinary(name, pid);
  if (path === undefined)
    return {
      missing: name.includes("/")
        ? `there is no file ${name}`
        : `there is no library or program ${name}`,
      fix: name.includes("/")
        ? "--pid N finds what that process sees, also in a container"
        : "give its path, or --pid for what a process has loaded",
      ...(name.includes("/") ? {} : { suggestions: suggestions(name, libraryNames()) }),
    };
  let elf: Elf;
  try {
    elf = readElf(fileSource(path));
  } catch (error) {
    return {
      missing: `${path} can't be probed: ${error instanceof Error ? error.message : error}`,
      fix: "name a program or a library: an ELF file; of a script, its interpreter",
    };
  }
  try {
    const wanted = arch === "x64" ? machine.x86_64 : machine.aarch64;
    if (elf.machine !== wanted || !elf.is64)
      return { missing: `${path} is a program for another machine than this ${arch} one` };
    const segments = loadSegments(elf);
    return use({
      path,
      elf,
      roots: pid === undefined ? [""] : [`/proc/${pid}/root`, ""],
      offset: (address) => {
        const offset = offsetOfAddress(segments, address);
        return offset === undefined ? undefined : BigInt(offset);
      },
    });
  } finally {
    elf.source.close();
  }
}
