import { readdirSync, readFileSync } from "node:fs";
import { FormatError } from "@kymo/trace";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memorySource } from "./byte-source.ts";
import { addressOfOffset, buildIdOf, loadSegments, readElf } from "./elf.ts";
import { Module } from "./module.ts";
import { codeOffset, makeElf } from "./testing/make-elf.ts";

const kinds = [
  { is64: true, littleEndian: true },
  { is64: true, littleEndian: false },
  { is64: false, littleEndian: true },
  { is64: false, littleEndian: false },
];
const moduleOf = (bytes: Uint8Array): Module => new Module(memorySource(bytes), "/made/file", []);

describe.each(kinds)("ELF, 64 bits $is64, little endian $littleEndian", (kind) => {
  test("functions are found by address and by place in the file", () => {
    const module = moduleOf(
      makeElf({
        ...kind,
        buildId: Uint8Array.of(0xab, 0x01, 0xff, 0x10),
        symbols: [
          { name: "second", address: 0x1280, size: 0x40 },
          { name: "first", address: 0x1200, size: 0x20 },
          { name: "data", address: 0x1240, size: 0x10, type: 1 },
        ],
      }),
    );
    expect(module.frameAt(0x1200)).toEqual({
      name: "first",
      module: "/made/file",
      buildId: "ab01ff10",
      address: 0x1200n,
    });
    expect(module.frameAt(0x121f)).toBe(module.frameAt(0x1200));
    expect(module.frameAtOffset(codeOffset + 0xbf)).toMatchObject({
      name: "second",
      address: 0x1280n,
    });
    expect(module.frameAt(0x1240)).toEqual({
      name: "[file]",
      module: "/made/file",
      buildId: "ab01ff10",
    });
    expect(module.frameAt(0x12c0)).toBe(module.frameAt(0x1240));
    expect(module.symbolCount).toBe(2);
  });

  test("a file with only .dynsym gives what it exports", () => {
    const symbols = [{ name: "exported@@V_1.2", address: 0x1200, size: 8, type: 10 }];
    expect(moduleOf(makeElf({ ...kind, dynamic: true, symbols })).frameAt(0x1204).name).toBe(
      "exported",
    );
  });
});

test("a symbol without a size ends at the next one or with its section", () => {
  const module = moduleOf(
    makeElf({
      codeSize: 0x80,
      symbols: [
        { name: "_start", address: 0x1200, size: 0, type: 0 },
        { name: "loop", address: 0x1220, size: 0, type: 0 },
      ],
    }),
  );
  expect(module.frameAt(0x121f).name).toBe("_start");
  expect(module.frameAt(0x127f).name).toBe("loop");
  expect(module.frameAt(0x1280).name).toBe("[file]");
});

test("labels inside a function do not hide it; local labels never show", () => {
  const module = moduleOf(
    makeElf({
      symbols: [
        { name: "memcpy", address: 0x1200, size: 0x100 },
        { name: "copy_tail", address: 0x1240, size: 0, type: 0, binding: 0 },
        { name: ".L12", address: 0x1310, size: 0, type: 0, binding: 0 },
        { name: "$x", address: 0x1310, size: 0, type: 0, binding: 0 },
      ],
    }),
  );
  expect(module.frameAt(0x1250).name).toBe("memcpy");
  expect(module.frameAt(0x1311).name).toBe("[file]");
});

test.each([
  [["__libc_write", "write", "__write"], "write"],
  [["_ZN3FooC2Ev", "_ZN3FooC1Ev"], "_ZN3FooC1Ev"],
  [["longer", "short"], "short"],
])("of the aliases %j, %s names the function", (names, best) => {
  const module = moduleOf(
    makeElf({ symbols: names.map((name) => ({ name, address: 0x1200, size: 16 })) }),
  );
  expect([best, "Foo::Foo"]).toContain(module.frameAt(0x1200).name);
});

test("a global alias is preferred to a local one, a sized one to an unsized one", () => {
  const module = moduleOf(
    makeElf({
      symbols: [
        { name: "a", address: 0x1200, size: 16, binding: 0 },
        { name: "exported", address: 0x1200, size: 16 },
        { name: "b", address: 0x1200, size: 0 },
      ],
    }),
  );
  expect(module.frameAt(0x120f).name).toBe("exported");
});

test("a build id stands anywhere among the notes", () => {
  const note = (name: string, type: number, value: number[]) => {
    const bytes = new Uint8Array(12 + 4 + Math.ceil(value.length / 4) * 4);
    new DataView(bytes.buffer).setUint32(0, name.length + 1, true);
    new DataView(bytes.buffer).setUint32(4, value.length, true);
    new DataView(bytes.buffer).setUint32(8, type, true);
    bytes.set(Buffer.from(name), 12);
    bytes.set(value, 16);
    return bytes;
  };
  const notes = Buffer.concat([
    note("GNU", 1, [1, 2, 3, 4, 5]),
    note("Go", 3, [9]),
    note("GNU", 3, [0, 0xa]),
  ]);
  expect(buildIdOf(notes, true)).toBe("000a");
  expect(buildIdOf(notes.subarray(0, 30), true)).toBeUndefined();
});

test("an executable segment wins where two hold the same byte of the file", () => {
  const elf = readElf(memorySource(makeElf({})));
  const segments = [
    { type: 1, flags: 4, offset: 0, address: 0x400000, fileSize: 0x2000 },
    { type: 1, flags: 5, offset: 0x1000, address: 0x501000, fileSize: 0x1000 },
    { type: 4, flags: 5, offset: 0, address: 0x900000, fileSize: 0x9000 },
  ];
  const loads = loadSegments({ ...elf, segments });
  expect(addressOfOffset(loads, 0x1010)).toBe(0x501010);
  expect(addressOfOffset(loads, 0x10)).toBe(0x400010);
  expect(addressOfOffset(loads, 0x2000)).toBeUndefined();
});

test.each([
  ["nothing", []],
  [
    "text",
    Array.from(Buffer.from("#!/bin/sh\necho hello, this is no program at all, but a script\n")),
  ],
  ["an unknown class", [0x7f, 0x45, 0x4c, 0x46, 9, 1, 1, ...Array(57).fill(0)]],
  ["half a header", Array.from(makeElf({}).subarray(0, 60))],
])("%s is not an ELF file", (_, bytes) => {
  expect(() => readElf(memorySource(Uint8Array.from(bytes)))).toThrow(FormatError);
});

test("any bytes, cut and changed anywhere: words or a module, never a crash, a hang or a big allocation", () => {
  const fixtures = new URL("fixtures/", import.meta.url);
  const files = readdirSync(fixtures).filter((name) => /\.(elf|so|debug)$/.test(name));
  const bases = [
    ...files.map((name) => new Uint8Array(readFileSync(new URL(name, fixtures)))),
    ...kinds.map((kind) =>
      makeElf({
        ...kind,
        symbols: [
          { name: "f", address: 0x1200, size: 9 },
          { name: "g", address: 0x1202, size: 0 },
        ],
      }),
    ),
  ];
  // Most lengths and offsets are in the first bytes and in the section headers at the end.
  const change = fc.tuple(
    fc.nat(),
    fc.constantFrom(1, 2, 4, 8),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  );
  let largest = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...bases),
      fc.array(change, { minLength: 1, maxLength: 12 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.boolean(),
      (base, changes, cut, atTheEnds) => {
        const bytes = base.slice(0, Math.ceil(base.length * (cut < 0.7 ? 1 : cut)));
        const view = new DataView(bytes.buffer);
        for (const [seed, width, value] of changes) {
          const span = atTheEnds ? Math.min(600, bytes.length) : bytes.length;
          const near = seed % Math.max(1, span);
          const at = atTheEnds && seed & 1 ? bytes.length - 1 - near : near;
          for (let i = 0; i < width && at + i < bytes.length; i++)
            view.setUint8(at + i, Number((value >> BigInt(8 * i)) & 255n));
        }
        let module: Module;
        try {
          module = moduleOf(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
          return;
        }
        largest = Math.max(largest, module.byteLength);
        for (const address of [0, 1, 0x1200, 0x1203, 0x401000, 2 ** 31, 2 ** 52])
          expect(typeof module.frameAt(address).name).toBe("string");
        for (const offset of [0, codeOffset, 0x1010, 2 ** 40]) module.frameAtOffset(offset);
      },
    ),
    { numRuns: 3000 },
  );
  expect(largest).toBeLessThan(16 * 1024 * 1024);
});

test("a small file whose headers all claim the same megabytes costs little", () => {
  // 60,000 sections, each said to be a relocation table or stubs or notes over all of the file.
  const base = makeElf({ symbols: [{ name: "f", address: 0x1200, size: 9 }] });
  const count = 60_000;
  const bytes = new Uint8Array(base.length + count * 64);
  bytes.set(base);
  const view = new DataView(bytes.buffer);
  const names = Buffer.from("\0.rela.plt\0.plt\0.note.gnu.build-id\0.text\0.dynsym\0");
  bytes.set(names, 0x200);
  view.setBigUint64(40, BigInt(base.length), true);
  view.setUint16(60, count, true);
  view.setUint16(62, 1, true);
  const kinds = [
    [4, 1],
    [1, 11],
    [7, 16],
    [1, 36],
    [11, 42],
  ] as const;
  for (let i = 1; i < count; i++) {
    const at = base.length + i * 64;
    const [type, name] = i === 1 ? [3, 0] : kinds[i % kinds.length]!;
    view.setUint32(at, name, true);
    view.setUint32(at + 4, type, true);
    view.setBigUint64(at + 8, 6n, true);
    view.setBigUint64(at + 24, i === 1 ? 0x200n : 0n, true);
    view.setBigUint64(at + 32, i === 1 ? BigInt(names.length) : BigInt(bytes.length), true);
    view.setUint32(at + 40, 1, true);
  }
  const start = performance.now();
  const module = moduleOf(bytes);
  module.frameAt(0x1200);
  expect(performance.now() - start).toBeLessThan(2000);
});
