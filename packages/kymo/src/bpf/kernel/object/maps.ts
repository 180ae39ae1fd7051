/** Maps of a `.bpf.o`: those it declares in .maps, and one for each section of globals. */

import type { MapKind, MapSpec } from "../../ir.ts";
import { ProbeError } from "../../program.ts";
import { MapType } from "../bpf.ts";
import { type Btf, BtfKind } from "../btf.ts";
import type { ObjectParts, ObjectSection } from "./read.ts";

/** Where a relocation's symbol points: the map, by section and offset in it. */
export interface ObjectMaps {
  readonly all: readonly MapSpec[];
  /** A map that is declared: by section and offset of its symbol. */
  declared(section: number, offset: number): MapSpec | undefined;
  /** The map that holds a section of globals. */
  globals(section: number): MapSpec | undefined;
}

const kinds: ReadonlyMap<number, MapKind> = new Map([
  [MapType.hash, "hash"],
  [MapType.percpuHash, "percpu-hash"],
  [MapType.lruHash, "lru-hash"],
  [MapType.array, "array"],
  [MapType.percpuArray, "percpu-array"],
  [MapType.stackTrace, "stack-trace"],
  [MapType.ring, "ring"],
]);

/** @throws ProbeError for a map of a kind that kymo can't make */
export function readMaps({ sections, symbols, btf }: ObjectParts): ObjectMaps {
  const declared = new Map<string, MapSpec>();
  const globals = new Map<number, MapSpec>();
  const key = (section: number, offset: number): string => `${section}:${offset}`;
  for (const section of sections) {
    if (section.name === ".maps")
      for (const symbol of symbols)
        if (symbol.section === section.index && symbol.kind === "other")
          declared.set(key(section.index, symbol.offset), declaredMap(btf, symbol.name));
    if (isGlobals(section)) globals.set(section.index, globalsMap(section));
  }
  return {
    all: [...declared.values(), ...globals.values()],
    declared: (section, offset) => declared.get(key(section, offset)),
    globals: (section) => globals.get(section),
  };
}

function isGlobals({ name, bytes }: ObjectSection): boolean {
  return /^\.(rodata|data|bss)(\.|$)/.test(name) && bytes.length > 0;
}

function globalsMap({ name, bytes }: ObjectSection): MapSpec {
  return {
    kind: "array",
    name,
    keyBytes: 4,
    valueBytes: bytes.length,
    max: 1,
    contents: bytes,
    readOnly: name.startsWith(".rodata"),
  };
}

/**
 * `struct { __uint(type, …); __uint(max_entries, …); __type(key, u32); … } name`: numbers are lengths of arrays that
 * members point at, types are what members point at.
 */
function declaredMap(btf: Btf, name: string): MapSpec {
  const variable = btf.find(name, BtfKind.variable);
  const struct = btf.resolve(btf.target(variable));
  if (variable === 0 || btf.kind(struct) !== BtfKind.struct)
    throw new ProbeError(`the map ${name} is not described by BTF`);
  const numbers = new Map<string, number>();
  const sizes = new Map<string, number>();
  for (const member of btf.members(struct)) {
    const target = btf.resolve(btf.target(btf.resolve(member.type)));
    if (member.name === "key" || member.name === "value") sizes.set(member.name, btf.bytes(target));
    else if (btf.kind(target) === BtfKind.array) numbers.set(member.name, btf.array(target).length);
  }
  const type = numbers.get("type") ?? 0;
  const kind = kinds.get(type);
  if (kind === undefined)
    throw new ProbeError(`the map ${name} is of type ${type}, which kymo does not make`);
  if (numbers.has("pinning") || numbers.has("map_flags"))
    throw new ProbeError(`the map ${name} asks for flags or to be pinned, which kymo does not do`);
  return {
    kind,
    name,
    keyBytes: kind === "ring" ? 0 : (numbers.get("key_size") ?? sizes.get("key") ?? 0),
    valueBytes: kind === "ring" ? 0 : (numbers.get("value_size") ?? sizes.get("value") ?? 0),
    max: numbers.get("max_entries") ?? 1,
  };
}
