/**
 * What records in the ring of a `.bpf.o` mean. Nothing in the file says which struct a ring holds, so it is found by
 * these rules, the first that gives one:
 *
 *     1. the map's own `__type(value, struct T)`
 *     2. a struct named as the ring, without its plural s, or with `_event`, `_record` or `_t`: events → struct event
 *     3. the struct that an otherwise unused global points at: `const struct event *unused;`
 *
 * Members named ts, time, timestamp or start (u64, ns of the monotonic clock) are the time, duration or dur(ation)_ns a
 * slice's length, tid and pid the thread, tgid its process (without a tgid, pid is the process where there is a tid), and
 * name or what a text that names the event. The rest are arguments.
 */
import { ProbeError } from "../../program.ts";
import type { CType } from "../../schema.ts";
import type { Field, ForeignRecord, SiteArg } from "../../site.ts";
import { type Btf, BtfKind } from "../btf.ts";
import { BtfTypes } from "../btf-types.ts";

const nestingLimit = 8;

/** @returns undefined when no rule finds a struct */
export function recordOf(btf: Btf, ring: string): ForeignRecord | undefined {
  const id = structOf(btf, ring);
  if (id === 0) return undefined;
  const types = new BtfTypes(btf);
  const members = new Map<string, Field>();
  fieldsOf(btf, types, id, 0, "", members, nestingLimit);
  const take = (...names: readonly string[]): Field | undefined => {
    for (const name of names) {
      const field = members.get(name);
      if (field === undefined) continue;
      members.delete(name);
      return field;
    }
    return undefined;
  };
  const time = take("ts", "time", "timestamp", "time_ns", "ts_ns", "start", "start_ns");
  const duration = take("duration", "duration_ns", "dur", "dur_ns");
  const tid = take("tid");
  const process = tid === undefined ? take("tgid") : take("tgid", "pid");
  const thread = tid ?? take("pid");
  const label = take("name", "what");
  const args: SiteArg[] = [...members].map(([key, value]) => ({ key, value }));
  return {
    name: btf.name(id),
    bytes: btf.bytes(id),
    ...(time === undefined ? {} : { time }),
    ...(duration === undefined ? {} : { duration }),
    ...(thread === undefined ? {} : { thread }),
    ...(process === undefined ? {} : { process }),
    ...(label === undefined ? {} : { label }),
    args,
  };
}

function structOf(btf: Btf, ring: string): number {
  const map = btf.resolve(btf.target(btf.find(ring, BtfKind.variable)));
  const value = [...btf.members(map)].find(({ name }) => name === "value");
  if (value !== undefined) {
    const target = btf.resolve(btf.target(btf.resolve(value.type)));
    if (btf.kind(target) === BtfKind.struct) return target;
  }
  const stem = ring.replace(/s$/, "");
  for (const name of [
    ring,
    stem,
    `${ring}_event`,
    `${stem}_event`,
    `${stem}_record`,
    `${stem}_t`,
  ]) {
    const named = btf.find(name, BtfKind.struct) || btf.resolve(btf.find(name, BtfKind.typedef));
    if (btf.kind(named) === BtfKind.struct) return named;
  }
  for (const { id } of btf.named(BtfKind.variable)) {
    const pointer = btf.resolve(btf.target(id));
    const target = btf.resolve(btf.target(pointer));
    const isMarker = btf.kind(pointer) === BtfKind.pointer && btf.kind(target) === BtfKind.struct;
    if (isMarker && btf.name(target) !== "") return target;
  }
  return 0;
}

function fieldsOf(
  btf: Btf,
  types: BtfTypes,
  struct: number,
  base: number,
  prefix: string,
  into: Map<string, Field>,
  depth: number,
): void {
  for (const { name, type, bitOffset, bitSize } of btf.members(btf.resolve(struct))) {
    if (bitSize !== undefined) continue; // the decoder reads whole bytes
    const offset = base + bitOffset / 8;
    const known = types.type(type);
    const key = name === "" ? prefix : `${prefix}${name}`;
    if (known.kind === "struct") {
      const inner = name === "" ? prefix : `${key}.`;
      if (depth > 0) fieldsOf(btf, types, type, offset, inner, into, depth - 1);
      continue;
    }
    const field = fieldOf(known, offset);
    if (field !== undefined) into.set(key, field);
  }
}

function fieldOf(type: CType, offset: number): Field | undefined {
  switch (type.kind) {
    case "int":
    case "enum": {
      const bytes = (type.type.bits / 8) as 1 | 2 | 4 | 8;
      return { type: type.type.signed ? "int" : "uint", offset, bytes };
    }
    case "bool":
      return { type: "bool", offset, bytes: 1 };
    case "chars":
      return type.bytes === undefined ? undefined : { type: "text", offset, bytes: type.bytes };
    case "pointer":
      return { type: "uint", offset, bytes: 8 };
    case "array":
      return { type: "bytes", offset, bytes: type.length * type.elementBytes };
    default:
      return undefined;
  }
}

/** @throws ProbeError in words: what the user can add to the source */
export function requireRecord(btf: Btf, ring: string): ForeignRecord {
  const record = recordOf(btf, ring);
  if (record !== undefined) return record;
  throw new ProbeError(
    `nothing says what the ring ${ring} holds`,
    undefined,
    `name the struct ${ring.replace(/s$/, "")}, or add: const struct NAME *unused __attribute__((unused));`,
  );
}
