import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testNeeding } from "../../testing/capability.ts";
import { memorySource } from "./byte-source.ts";
import { loadSegments, readElf, segmentFlag } from "./elf.ts";
import { Symbolizer } from "./index.ts";
import { readLiteral } from "./literals.ts";
import { makeElf } from "./testing/make-elf.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "kymo-literals-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes).toString().split("\0", 1)[0];

/** Where the code is mapped, and a literal's address, when the program is loaded at `bias`. */
function placed(file: string, literal: string, bias: number) {
  const bytes = readFileSync(file);
  const segments = loadSegments(readElf(memorySource(bytes)));
  const code = segments.find(({ flags }) => (flags & segmentFlag.exec) !== 0)!;
  const at = bytes.indexOf(literal);
  const holder = segments.find(({ offset, fileSize }) => at >= offset && at < offset + fileSize)!;
  const page = code.offset % 4096;
  return {
    address: bias + holder.address + at - holder.offset,
    mapping: {
      start: bias + code.address - page,
      end: bias + code.address + code.fileSize,
      offset: code.offset - page,
      path: file,
      buildId: undefined,
    },
  };
}

const program = `const char *here = "a literal of the program"; char changing[] = "can be written";
int main(void) { return here[0] + changing[0] == 0; }`;

testNeeding("cc")(
  "literals beside the code are found, whatever the linker did; what may change is not",
  () => {
    for (const flags of [["-pie", "-fPIE"], ["-no-pie"], ["-Wl,-z,noseparate-code"]]) {
      const file = path.join(directory, `program${flags.join("")}`.replaceAll(",", ""));
      writeFileSync(`${file}.c`, program);
      execFileSync("cc", ["-O1", ...flags, "-o", file, `${file}.c`]);
      const source = memorySource(readFileSync(file));
      for (const bias of [0, 0x5581_0000_0000]) {
        const { mapping, address } = placed(file, "a literal of the program", bias);
        expect(text(readLiteral(source, mapping, address, 64))).toBe("a literal of the program");
        expect(text(readLiteral(source, mapping, address + 2, 9))).toBe("literal o");
        expect(
          readLiteral({ ...source }, { ...mapping, buildId: "00" }, address, 64),
        ).toBeUndefined();
        const written = placed(file, "can be written", bias);
        expect(readLiteral(source, mapping, written.address, 64)).toBeUndefined();
        expect(readLiteral(source, mapping, mapping.start + 2 ** 40, 64)).toBeUndefined();
      }
      const { mapping, address } = placed(file, "a literal of the program", 0x5581_0000_0000);
      const symbols = new Symbolizer({ proc: path.join(directory, "no-proc") });
      const { start, end, offset } = mapping;
      symbols.map(9, { start, length: end - start, offset, path: file });
      expect(text(symbols.literal(9, BigInt(address), 64))).toBe("a literal of the program");
      expect(symbols.literal(10, BigInt(address), 64)).toBeUndefined();
    }
  },
);

test("a file without code, or that is none, has no literals", () => {
  const mapping = { start: 0x1000, end: 0x2000, offset: 0x900_0000, path: "", buildId: undefined };
  expect(readLiteral(memorySource(makeElf({})), mapping, 0x1200, 8)).toBeUndefined();
  expect(() => readLiteral(memorySource(new Uint8Array(9)), mapping, 0x1200, 8)).toThrow("ELF");
});
