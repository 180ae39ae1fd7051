/**
 * CO-RE: code of a `.bpf.o` that depends on how the kernel lays its structs out names what it wants, by the types of the
 * file's own BTF; here that is looked up in the running kernel's BTF and written into the instructions.
 *
 *     { instruction 10, type struct task_struct___mine, "0:2", byte offset }
 *        ─► member `real_parent` of the kernel's task_struct ─► the offset of the load
 *
 * @see https://docs.kernel.org/bpf/llvm_reloc.html#co-re-relocations
 */
import { Fields } from "../../../linux/symbols/elf.ts";
import { type Btf, BtfKind } from "../btf.ts";

export interface CoreRelocation {
  /** Byte offset of the instruction in its section. */
  readonly offset: number;
  /** In the object's BTF. */
  readonly type: number;
  /** Indices, from the type on: "0:2:1". */
  readonly access: string;
  readonly kind: number;
}

const Kind = {
  fieldOffset: 0,
  fieldBytes: 1,
  fieldExists: 2,
  fieldSigned: 3,
  fieldLeftShift: 4,
  fieldRightShift: 5,
  localType: 6,
  targetType: 7,
  typeExists: 8,
  typeBytes: 9,
  enumExists: 10,
  enumValue: 11,
  typeMatches: 12,
} as const;

const recordBytes = 16;

/** The relocations of each section, by its name. */
export function readCoreRelocations(
  extension: Uint8Array,
  stringOf: (offset: number) => string,
): Map<string, CoreRelocation[]> {
  const bySection = new Map<string, CoreRelocation[]>();
  const fields = new Fields(extension, true, true);
  const header = fields.u32(4);
  if (fields.u16(0) !== 0xeb9f || header < 32) return bySection;
  const start = header + fields.u32(24);
  const end = Math.min(extension.length, start + fields.u32(28));
  const size = fields.u32(start);
  if (size < recordBytes) return bySection;
  for (let at = start + 4; at + 8 <= end; ) {
    const name = stringOf(fields.u32(at));
    const count = fields.u32(at + 4);
    const all = bySection.get(name) ?? [];
    bySection.set(name, all);
    at += 8;
    for (let i = 0; i < count && at + size <= end; i++, at += size)
      all.push({
        offset: fields.u32(at),
        type: fields.u32(at + 4),
        access: stringOf(fields.u32(at + 8)),
        kind: fields.u32(at + 12),
      });
  }
  return bySection;
}

/** What a relocation comes to here; undefined when this kernel has nothing of the kind. */
export interface CoreValue {
  readonly value: bigint;
  /** Of the field that is loaded or stored: the instruction's width follows it. */
  readonly fieldBytes?: number;
}

export function resolveCore(
  relocation: CoreRelocation,
  own: Btf,
  kernel: Btf,
): CoreValue | undefined {
  const { kind, type, access } = relocation;
  const number = (value: number): CoreValue => ({ value: BigInt(value) });
  if (kind === Kind.localType) return number(type);
  if (!/^\d{1,9}(:\d{1,9})*$/.test(access)) return undefined;
  const indices = access.split(":").map(Number);
  const target = sameType(own, type, kernel);
  if (kind === Kind.enumExists || kind === Kind.enumValue) {
    const wanted = [...own.enumerators(own.resolve(type)).keys()][indices[0] ?? 0];
    const found =
      target === 0 || wanted === undefined
        ? undefined
        : kernel.enumerators(target).get(essential(wanted));
    if (kind === Kind.enumExists) return number(found === undefined ? 0 : 1);
    return found === undefined ? undefined : { value: found };
  }
  switch (kind) {
    case Kind.typeExists:
    case Kind.typeMatches:
      return number(target === 0 ? 0 : 1);
    case Kind.targetType:
      return target === 0 ? undefined : number(target);
    case Kind.typeBytes:
      return target === 0 ? undefined : number(kernel.bytes(target));
  }
  const field = target === 0 ? undefined : sameField(own, type, indices, kernel, target);
  if (kind === Kind.fieldExists) return number(field === undefined ? 0 : 1);
  return field === undefined ? undefined : fieldValue(kind, field, kernel);
}

/** `task_struct___mine` stands for the kernel's `task_struct`. */
function essential(name: string): string {
  const flavour = name.lastIndexOf("___");
  return flavour > 0 ? name.slice(0, flavour) : name;
}

/** The kernel's type of the same name and kind, resolved; 0 when there is none. */
function sameType(own: Btf, type: number, kernel: Btf): number {
  const name = essential(own.name(type) || own.name(own.resolve(type)));
  if (own.kind(type) === BtfKind.typedef)
    return kernel.resolve(kernel.find(name, BtfKind.typedef)) || structNamed(kernel, name);
  const kind = own.kind(own.resolve(type));
  if (kind === BtfKind.enum || kind === BtfKind.enum64)
    return kernel.find(name, BtfKind.enum, BtfKind.enum64);
  if (kind === BtfKind.struct || kind === BtfKind.union) return structNamed(kernel, name);
  return kernel.find(name, kind);
}
function structNamed(kernel: Btf, name: string): number {
  return kernel.find(name, BtfKind.struct, BtfKind.union);
}

interface Field {
  readonly bitOffset: number;
  readonly bitSize: number | undefined;
  readonly type: number;
}

/** Follows the names that `indices` lead to in the object's type through the kernel's. */
function sameField(
  own: Btf,
  type: number,
  indices: readonly number[],
  kernel: Btf,
  target: number,
): Field | undefined {
  const [first = 0, ...rest] = indices;
  let mine = own.resolve(type);
  let field: Field = {
    bitOffset: 8 * first * kernel.bytes(target),
    bitSize: undefined,
    type: target,
  };
  for (const index of rest) {
    const theirs = kernel.resolve(field.type);
    if (own.kind(mine) === BtfKind.array) {
      if (kernel.kind(theirs) !== BtfKind.array) return undefined;
      const { of } = kernel.array(theirs);
      const bitOffset = field.bitOffset + 8 * index * kernel.bytes(of);
      field = { bitOffset, bitSize: undefined, type: of };
      mine = own.resolve(own.array(mine).of);
      continue;
    }
    const member = [...own.members(mine)][index];
    if (member === undefined) return undefined;
    mine = own.resolve(member.type);
    // An anonymous member is no step in the kernel's type: names are looked for through such.
    if (member.name === "") continue;
    const found = memberNamed(kernel, theirs, member.name, new Set());
    if (found === undefined) return undefined;
    field = { ...found, bitOffset: field.bitOffset + found.bitOffset };
  }
  return field;
}

function memberNamed(
  kernel: Btf,
  struct: number,
  name: string,
  seen: Set<number>,
): Field | undefined {
  seen.add(struct);
  for (const member of kernel.members(struct)) {
    const { bitOffset, bitSize, type } = member;
    if (member.name === name) return { bitOffset, bitSize, type };
    const inner = kernel.resolve(type);
    const kind = kernel.kind(inner);
    const isStruct = kind === BtfKind.struct || kind === BtfKind.union;
    if (member.name !== "" || !isStruct || seen.has(inner)) continue;
    const found = memberNamed(kernel, inner, name, seen);
    if (found !== undefined) return { ...found, bitOffset: found.bitOffset + bitOffset };
  }
  return undefined;
}

function fieldValue(kind: number, field: Field, kernel: Btf): CoreValue | undefined {
  const { bitOffset, bitSize, type } = field;
  const real = kernel.resolve(type);
  let bytes = kernel.bytes(real);
  if (bytes === 0) return undefined;
  let from = Math.floor(bitOffset / 8);
  if (bitSize !== undefined) {
    // A bit field is read as the aligned word around it, wide enough to hold all of it.
    from = Math.floor(from / bytes) * bytes;
    while (bitOffset + bitSize - 8 * from > 8 * bytes && bytes < 8) {
      bytes *= 2;
      from = Math.floor(bitOffset / 8 / bytes) * bytes;
    }
  }
  const isRegister = bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8;
  const bits = bitSize ?? 8 * bytes;
  switch (kind) {
    case Kind.fieldOffset:
      return { value: BigInt(from), ...(isRegister ? { fieldBytes: bytes } : {}) };
    case Kind.fieldBytes:
      return { value: BigInt(bytes) };
    case Kind.fieldSigned:
      return { value: isSigned(kernel, real) ? 1n : 0n };
    case Kind.fieldLeftShift:
      return { value: BigInt(64 - (bitOffset + bits - 8 * from)) };
    case Kind.fieldRightShift:
      return { value: BigInt(64 - bits) };
    default:
      return undefined;
  }
}

function isSigned(btf: Btf, type: number): boolean {
  const kind = btf.kind(type);
  if (kind === BtfKind.int) return btf.int(type).signed;
  return (kind === BtfKind.enum || kind === BtfKind.enum64) && btf.isSignedEnum(type);
}
