/** Line tables that are damaged cost their lines, nothing else. The right ones are checked in bpf/kernel/uprobes.test.ts. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FormatError } from "@kymo/trace";
import fc from "fast-check";
import { expect } from "vitest";
import { testNeeding } from "../../testing/capability.ts";
import { memorySource } from "./byte-source.ts";
import { addressesOfLine, sourceFiles } from "./dwarf-lines.ts";
import { readElf } from "./elf.ts";
import { ElfFunctions } from "./elf-functions.ts";
import { readStaticProbes } from "./static-probes.ts";

testNeeding("linux", "cc")("any bytes: fewer lines, functions and probes, never a crash", () => {
  const directory = mkdtempSync(path.join(tmpdir(), "kymo-lines-"));
  try {
    for (const version of ["-gdwarf-4", "-gdwarf-5"]) {
      const file = path.join(directory, "a.c");
      const out = path.join(directory, "a.so");
      writeFileSync(file, "int f(int x) {\n  return x + 1;\n}\n");
      execFileSync("cc", [version, "-O1", "-shared", "-fPIC", file, "-o", out]);
      const bytes = readFileSync(out);
      const elf = readElf(memorySource(bytes));
      expect(addressesOfLine(elf, "a.c", 1).length).toBeGreaterThan(0);
      expect([...sourceFiles(elf)]).toContain(file);
      const { offset, size } = elf.sections.find(({ name }) => name === ".debug_line")!;
      const place = fc.oneof(
        fc.integer({ min: offset, max: offset + size - 1 }),
        fc.nat(bytes.length - 1),
      );
      fc.assert(
        fc.property(fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 12 }), (changes) => {
          const changed = Uint8Array.from(bytes);
          for (const [at, value] of changes) changed[at] = value;
          try {
            const damaged = readElf(memorySource(changed));
            addressesOfLine(damaged, "a.c", 1);
            sourceFiles(damaged);
            readStaticProbes(damaged);
            for (const one of new ElfFunctions(damaged, out, []).all())
              expect(one.name).not.toBe("");
          } catch (error) {
            if (!(error instanceof FormatError)) throw error;
          }
        }),
        { numRuns: 1000 },
      );
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
