/**
 * Static probes (USDT): places that programs offer, with arguments in registers or memory.
 *
 * One probe may have many places, each with its arguments elsewhere. Places whose arguments lie alike share a number,
 * the attach cookie; a field that differs asks for it.
 */
import { readStaticProbes, type StaticProbe } from "../../linux/symbols/static-probes.ts";
import type { IntType } from "../ir.ts";
import { u64 } from "../ir.ts";
import type { EventField, EventSchema, FieldAccess, Missing } from "../schema.ts";
import { withBinary } from "./binaries.ts";
import { intType } from "./btf-types.ts";
import { type Arch, type Registers, registersOf } from "./registers.ts";
import { suggestions } from "./suggest.ts";

const argumentsLimit = 12;

export function usdtSchema(
  file: string,
  provider: string,
  name: string,
  pid: number | undefined,
  arch: Arch,
): EventSchema | Missing {
  return withBinary(file, pid, arch, (binary): EventSchema | Missing => {
    const all = readStaticProbes(binary.elf);
    const probes = all.filter(
      (one) => one.name === name && (provider === "" || one.provider === provider),
    );
    if (probes.length === 0) return missingProbe(binary.path, all, provider, name);
    const specs = [...new Set(probes.map((one) => one.arguments.join(" ")))];
    const offsets: bigint[] = [];
    const semaphores: bigint[] = [];
    const cookies: bigint[] = [];
    for (const probe of probes) {
      const offset = binary.offset(probe.address);
      if (offset === undefined) continue;
      offsets.push(offset);
      semaphores.push(probe.semaphore === 0 ? 0n : (binary.offset(probe.semaphore) ?? 0n));
      cookies.push(BigInt(specs.indexOf(probe.arguments.join(" "))));
    }
    if (offsets.length === 0)
      return { missing: `${provider}:${name} is not in a part of ${binary.path} that is loaded` };
    const notes: string[] = [];
    const fields = fieldsOf(probes, specs, registersOf(arch), notes);
    return {
      label: `usdt:${binary.path}:${probes[0]!.provider}:${name}`,
      target: {
        kind: "uprobe",
        path: binary.path,
        offsets,
        at: "entry",
        ...(pid === undefined ? {} : { pid }),
        ...(semaphores.some((one) => one !== 0n) ? { semaphores } : {}),
        ...(specs.length > 1 ? { cookies } : {}),
      },
      fields,
      notes,
    };
  });
}

function fieldsOf(
  probes: readonly StaticProbe[],
  specs: readonly string[],
  registers: Registers,
  notes: string[],
): EventField[] {
  const bySpec = specs.map((spec) => probes.find((one) => one.arguments.join(" ") === spec)!);
  const count = Math.min(argumentsLimit, ...bySpec.map((one) => one.arguments.length));
  const fields: EventField[] = [];
  for (let index = 0; index < count; index++) {
    const accesses = bySpec.map((one) => argumentAccess(one.arguments[index]!, registers));
    const unknown = accesses.indexOf(undefined);
    if (unknown >= 0) {
      notes.push(
        `argument ${index} is where it can't be read from: ${bySpec[unknown]!.arguments[index]}`,
      );
      continue;
    }
    const known = accesses as readonly Argument[];
    const [first] = known as readonly [Argument];
    const isSame = known.every(
      (one) => JSON.stringify(one, asText) === JSON.stringify(first, asText),
    );
    const { type } = known.reduce((widest, one) =>
      one.type.bits > widest.type.bits ? one : widest,
    );
    fields.push({
      name: String(index),
      type: { kind: "int", type, name: nameOf(type) },
      access: isSame ? first.access : { how: "byCookie", access: known.map((one) => one.access) },
      pointee: "user",
    });
  }
  return fields;
}

const asText = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value;

function nameOf({ bits, signed }: IntType): string {
  return `${signed ? "i" : "u"}${bits}`;
}

interface Argument {
  readonly type: IntType;
  readonly access: FieldAccess;
}

/**
 * `-4@%edi`, `8@-16(%rbp)`, `4@$5` of x86-64; `-4@w0`, `8@[sp, 16]`, `4@5` of arm64: size (minus: signed) and operand.
 * @returns undefined for operands that need more than one register, or an address of the program's
 */
export function argumentAccess(text: string, registers: Registers): Argument | undefined {
  const [, sign, size, operand] = /^(-?)(\d+)f?@(.+)$/.exec(text) ?? [];
  if (operand === undefined) return undefined;
  const type = intType(Number(size), sign === "-");
  if (type === undefined) return undefined;
  const constant = /^\$?(-?(?:0x[0-9a-f]+|\d+))$/i.exec(operand)?.[1];
  if (constant !== undefined) {
    const value = constant.startsWith("-") ? -BigInt(constant.slice(1)) : BigInt(constant);
    return { type, access: { how: "constant", value } };
  }
  const register = registers.named(operand.replace(/^%/, ""));
  if (register !== undefined)
    return {
      type,
      access: { how: "load", offset: register.offset, type: narrower(type, register.bytes) },
    };
  const memory =
    /^(?<displacement>-?(?:0x[0-9a-f]+|\d+))?\(%(?<register>\w+)\)$/i.exec(operand) ??
    /^\[(?<register>\w+)(?:, *#?(?<displacement>-?\d+))?\]$/.exec(operand);
  const base = registers.named(memory?.groups?.["register"] ?? "");
  if (memory === null || base === undefined) return undefined;
  const displacement = Number(memory.groups?.["displacement"] ?? 0);
  return {
    type,
    access: { how: "indirect", offset: base.offset, displacement, type, memory: "user" },
  };
}

/** A part of a register holds no more than it is wide: the rest of a larger argument is not there. */
function narrower(type: IntType, bytes: number): IntType {
  return 8 * bytes < type.bits ? (intType(bytes, type.signed) ?? u64) : type;
}

function missingProbe(
  path: string,
  all: readonly StaticProbe[],
  provider: string,
  name: string,
): Missing {
  if (all.length === 0) return { missing: `${path} has no static probes` };
  const wanted = provider === "" ? name : `${provider}:${name}`;
  return {
    missing: `${path} has no static probe ${wanted}`,
    suggestions: suggestions(
      wanted,
      all.map((one) => `${one.provider}:${one.name}`),
    ),
  };
}
