import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { FormatError } from "@kymo/trace";
import fc from "fast-check";
import { expect, test } from "vitest";
import { skipHere, testNeeding } from "../../testing/capability.ts";
import type { CType } from "../schema.ts";
import { Btf, BtfKind } from "./btf.ts";
import { BtfTypes } from "./btf-types.ts";

/** Writes BTF: types as words after their name, which is text. */
function btfBytes(
  types: readonly (readonly [
    name: string,
    kind: number,
    count: number,
    ...words: (number | string)[],
  ])[],
  base?: { readonly strings: number },
): Uint8Array {
  const strings: string[] = base === undefined ? [""] : [];
  let length = base === undefined ? 1 : 0;
  const offsets = new Map<string, number>();
  const text = (name: string): number => {
    if (name === "") return 0;
    const known = offsets.get(name);
    if (known !== undefined) return known;
    const at = length + (base?.strings ?? 0);
    offsets.set(name, at);
    strings.push(name);
    length += name.length + 1;
    return at;
  };
  const words: number[] = [];
  for (const [name, kind, count, ...rest] of types) {
    const flag = kind >= 0x100 ? 0x8000_0000 : 0;
    words.push(text(name), (((kind & 0xff) << 24) | count | flag) >>> 0);
    for (const word of rest) words.push(typeof word === "string" ? text(word) : word);
  }
  const names = Buffer.from(`${strings.join("\0")}\0`, "latin1");
  const bytes = Buffer.alloc(24 + 4 * words.length + names.length);
  bytes.writeUInt16LE(0xeb9f, 0);
  bytes.writeUInt8(1, 2);
  bytes.writeUInt32LE(24, 4);
  bytes.writeUInt32LE(0, 8);
  bytes.writeUInt32LE(4 * words.length, 12);
  bytes.writeUInt32LE(4 * words.length, 16);
  bytes.writeUInt32LE(names.length, 20);
  for (const [index, word] of words.entries()) bytes.writeUInt32LE(word >>> 0, 24 + 4 * index);
  names.copy(bytes, 24 + 4 * words.length);
  return bytes;
}

const { int, pointer, array, struct, union, typedef } = BtfKind;
const isSized = 0x100; // the flag of structs with bit fields, of signed enums
const signed = 1 << 24;
/** struct node { struct node *next; char name[16]; union { unsigned id:4, rest:28; unsigned whole; }; kind_t kind; } */
const sample = btfBytes([
  ["int", int, 0, 4, signed | 32], // 1
  ["char", int, 0, 1, signed | 8], // 2
  ["unsigned int", int, 0, 4, 32], // 3
  ["node", struct | isSized, 4, 40, "next", 5, 0, "name", 6, 64, "", 7, 192, "kind", 9, 256], // 4
  ["", pointer, 0, 4], // 5
  ["", array, 0, 0, 2, 1, 16], // 6
  ["", union | isSized, 3, 4, "id", 3, 4 << 24, "rest", 3, (28 << 24) | 4, "whole", 3, 0], // 7
  ["", BtfKind.enum | isSized, 2, 4, "LOW", -1, "HIGH", 3], // 8
  ["kind_t", typedef, 0, 8], // 9
]);

test("members of a struct, through anonymous ones, cycles, bit fields, typedefs", () => {
  const types = new BtfTypes(new Btf(sample));
  const node = types.type(types.btf.find("node", struct));
  if (node.kind !== "struct") throw new Error(node.kind);
  expect([node.name, node.bytes]).toEqual(["node", 40]);
  expect(node.members()).toEqual(["next", "name", "id", "rest", "whole", "kind"]);
  expect(node.member("name")).toEqual({ type: { kind: "chars", bytes: 16 }, bitOffset: 64 });
  expect(node.member("rest")).toMatchObject({ bitOffset: 196, bitSize: 28 });
  expect(node.member("whole")).toMatchObject({ bitOffset: 192 });
  expect(node.member("nothing")).toBeUndefined();
  const next = node.member("next")?.type;
  expect(next?.kind === "pointer" && next.to).toBe(node);
  const kind = node.member("kind")?.type as Extract<CType, { kind: "enum" }>;
  expect([kind.name, kind.type.signed]).toEqual(["kind_t", true]);
  expect([...kind.members]).toEqual([
    ["LOW", -1n],
    ["HIGH", 3n],
  ]);
});

test("split BTF goes on where its base ends", () => {
  const base = new Btf(sample);
  const view = new DataView(sample.buffer, sample.byteOffset);
  const own = btfBytes([["mine", struct, 1, 8, "held", 5, 0]], {
    strings: view.getUint32(20, true),
  });
  const split = new Btf(own, base);
  expect(split.firstId).toBe(10);
  const id = split.find("mine", struct);
  expect(id).toBe(10);
  const mine = new BtfTypes(split).type(id);
  const held = mine.kind === "struct" ? mine.member("held")?.type : undefined;
  expect(held?.kind === "pointer" && held.to).toMatchObject({ kind: "struct", name: "node" });
  expect(split.find("node", struct)).toBe(4);
});

test("an array of itself is a type like any other", () => {
  const types = new BtfTypes(new Btf(btfBytes([["", array, 0, 0, 1, 1, 4]])));
  const type = types.type(1);
  expect(type.kind === "array" && type.of).toBe(type);
  expect(types.btf.bytes(1)).toBe(0);
});

test("any bytes: an error of format or answers, never a hang", () => {
  const look = (bytes: Uint8Array): void => {
    let types: BtfTypes;
    try {
      types = new BtfTypes(new Btf(bytes));
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      return;
    }
    for (let id = 0; id < Math.min(types.btf.endId, 64); id++) {
      const type = types.type(id);
      types.btf.bytes(id);
      if (type.kind === "struct") for (const name of type.members().slice(0, 64)) type.member(name);
      if (type.kind === "enum") void type.members.size;
      if (type.kind === "pointer") void type.to.kind;
      types.btf.parameters(id);
    }
    types.btf.find("node", struct);
  };
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { maxLength: 8 }),
      fc.nat(sample.length),
      (changes, length) => {
        const bytes = Uint8Array.from(sample);
        for (const [at, value] of changes) bytes[at] = value;
        look(bytes);
        look(bytes.slice(0, length));
      },
    ),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), look));
});

const vmlinux = "/sys/kernel/btf/vmlinux";

testNeeding(
  "linux",
  vmlinux,
  "bpftool",
)("this kernel's types are as bpftool dumps them", () => {
  const btf = new Btf(readFileSync(vmlinux));
  const text = execFileSync("bpftool", ["btf", "dump", "file", vmlinux], {
    encoding: "utf8",
    maxBuffer: 1024 ** 3,
  });
  expect(btf.endId - 1).toBe(text.match(/^\[\d+\]/gm)?.length);
  for (const name of ["task_struct", "sk_buff", "sock", "file", "request"]) {
    const [, id, size, body] =
      new RegExp(
        `^\\[(\\d+)\\] STRUCT '${name}' size=(\\d+) vlen=\\d+\\n((?:\\t.*\\n)*)`,
        "m",
      ).exec(text) ?? [];
    expect([btf.find(name, struct), btf.bytes(Number(id))]).toEqual([Number(id), Number(size)]);
    const theirs = [
      ...body!.matchAll(/'(.*)' type_id=(\d+) bits_offset=(\d+)(?: bitfield_size=(\d+))?/g),
    ];
    expect(theirs.length).toBeGreaterThan(5);
    expect(
      [...btf.members(Number(id))].map(({ name: member, type, bitOffset, bitSize }) => [
        member === "" ? "(anon)" : member,
        type,
        bitOffset,
        bitSize,
      ]),
    ).toEqual(
      theirs.map(([, member, type, offset, bits]) => [
        member,
        Number(type),
        Number(offset),
        bits === undefined ? undefined : Number(bits),
      ]),
    );
  }
});

testNeeding("linux", vmlinux)("types of modules go on from the kernel's", (context) => {
  const modules = readdirSync("/sys/kernel/btf").filter((name) => name !== "vmlinux");
  const [module] = modules;
  if (module === undefined || !existsSync(`/sys/kernel/btf/${module}`))
    return skipHere(context, "no module is loaded");
  const base = new Btf(readFileSync(vmlinux));
  const split = new Btf(readFileSync(`/sys/kernel/btf/${module}`), base);
  expect(split.firstId).toBe(base.endId);
  expect(split.find("task_struct", struct)).toBe(base.find("task_struct", struct));
});
