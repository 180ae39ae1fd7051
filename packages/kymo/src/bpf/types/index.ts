/**
 * Declarations for probe files: the tracepoints, system calls and structs of the running kernel, so that an editor
 * completes `e.next_comm` and `task.real_parent.tgid`, and tsc checks them.
 *
 *     kymo types -o kernel.d.ts     one file that adds to the interfaces of "kymo/probe"
 */
import { release } from "node:os";
import { syscallNames } from "../../linux/syscall-names.ts";
import { BtfKind } from "../kernel/btf.ts";
import type { BtfTypes } from "../kernel/btf-types.ts";
import type { Arch } from "../kernel/registers.ts";
import { suggestions } from "../kernel/suggest.ts";
import { syscallArguments } from "../kernel/syscalls.ts";
import {
  eventCategories,
  eventsOf,
  rawTracepointSchema,
  rawTracepoints,
  tracepointSchema,
} from "../kernel/tracepoints.ts";
import { isMissing } from "../schema.ts";
import { StructWriter, tsKey, tsType } from "./ts-type.ts";

export interface TypesOptions {
  /** Structs wanted beside those that raw tracepoints have as arguments: "task_struct". */
  readonly structs: readonly string[];
  readonly arch: Arch;
  /** Where tracefs is mounted; without it there are no tracepoints, and system calls have no arguments. */
  readonly tracefs: string | undefined;
  /** Without BTF there are no raw tracepoints and no structs. */
  readonly types: BtfTypes | undefined;
}

/** What people look at first; only those that the kernel has. */
export const usualStructs: readonly string[] = [
  ..."task_struct mm_struct vm_area_struct signal_struct cred files_struct nsproxy".split(" "),
  ..."file inode dentry super_block path qstr address_space folio page".split(" "),
  ..."sock sock_common inet_sock tcp_sock udp_sock sk_buff net_device socket".split(" "),
  ..."ethhdr iphdr ipv6hdr tcphdr udphdr".split(" "),
  ..."request request_queue bio gendisk block_device".split(" "),
  ..."rq cfs_rq sched_entity cgroup kernfs_node pt_regs linux_binprm".split(" "),
];

/** What tsType writes. */
const usedTypes = "bool cstr i16 i32 i64 i8 ptr Struct text u16 u32 u64 u8".split(" ");

/** The text of the file. @throws Error in words for a struct that this kernel doesn't have */
export function typeDeclarations(options: TypesOptions): string {
  const { types } = options;
  const roots = new Set<string>();
  for (const name of options.structs) roots.add(knownStruct(name, types));
  return [
    `// Tracepoints, system calls and structs of Linux ${release()} (${options.arch}), written by kymo types.\n`,
    "// Another kernel has others: write the file again there.\n",
    `import type { ${usedTypes.join(", ")} } from "kymo/probe";\n`,
    'declare module "kymo/probe" {\n',
    "  interface Tracepoints {\n",
    ...tracepoints(options),
    "  }\n\n  interface RawTracepoints {\n",
    ...rawTracepointList(types, roots),
    "  }\n\n  interface Syscalls {\n",
    ...syscalls(options),
    "  }\n\n  interface Structs {\n",
    ...structs(types, roots),
    "  }\n}\n",
  ].join("");
}

function knownStruct(name: string, types: BtfTypes | undefined): string {
  if (types === undefined) throw new Error("this kernel does not describe its types (no BTF)");
  const plain = name.replace(/^(struct|union) /, "");
  if (types.btf.find(plain, BtfKind.struct, BtfKind.union, BtfKind.typedef) !== 0) return plain;
  const names = function* (): Generator<string> {
    for (const one of types.btf.named(BtfKind.struct, BtfKind.union)) yield one.name;
  };
  const [near] = suggestions(plain, names());
  throw new Error(
    `this kernel has no struct ${plain}${near === undefined ? "" : `: did you mean ${near}?`}`,
  );
}

function* tracepoints({ tracefs, types }: TypesOptions): Generator<string> {
  if (tracefs === undefined) return;
  for (const category of eventCategories(tracefs))
    for (const event of eventsOf(tracefs, category)) {
      const schema = tracepointSchema(tracefs, category, event, types);
      if (isMissing(schema)) continue;
      const fields = schema.fields.map(
        ({ name, type }) => `      readonly ${tsKey(name)}: ${tsType(type)};\n`,
      );
      yield `    ${JSON.stringify(`${category}:${event}`)}: {\n${fields.join("")}    };\n`;
    }
}

/** Adds the structs that arguments point at to `roots`. */
function* rawTracepointList(types: BtfTypes | undefined, roots: Set<string>): Generator<string> {
  if (types === undefined) return;
  for (const name of usualStructs)
    if (types.btf.find(name, BtfKind.struct, BtfKind.union) !== 0) roots.add(name);
  for (const event of rawTracepoints(types.btf)) {
    const schema = rawTracepointSchema(event, types);
    if (isMissing(schema)) continue;
    const parameters = schema.fields.map(({ name, type }) => {
      if (type.kind === "pointer" && type.to.kind === "struct" && type.to.name !== "")
        roots.add(type.to.name);
      return `${parameterName(name)}: ${tsType(type)}`;
    });
    yield `    ${tsKey(event)}: [${parameters.join(", ")}];\n`;
  }
}

/** Labels of tuples can't be numbers or quoted. */
function parameterName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : `arg${name}`;
}

function* syscalls({ arch, tracefs, types }: TypesOptions): Generator<string> {
  for (const name of syscallNames(arch)) {
    if (name === undefined) continue;
    const known = syscallArguments(name, { arch, tracefs, types });
    const fields =
      known?.map((argument) => `${tsKey(argument.name)}: ${tsType(argument.type)}`) ??
      [0, 1, 2, 3, 4, 5].map((index) => `arg${index}: u64`);
    const text = fields.map((field) => `readonly ${field}`).join("; ");
    yield `    ${tsKey(name)}: {${text === "" ? "" : ` ${text} `}};\n`;
  }
}

/** The roots with all that they hold, and what the usual ones and those asked for point at. */
function* structs(types: BtfTypes | undefined, roots: Set<string>): Generator<string> {
  if (types === undefined) return;
  const writer = new StructWriter(types);
  const idOf = (name: string): number =>
    types.btf.find(name, BtfKind.struct, BtfKind.union) || types.btf.find(name, BtfKind.typedef);
  const wanted = new Set(roots);
  const done = new Set<string>();
  for (const name of wanted) {
    if (done.has(name)) continue;
    done.add(name);
    const id = idOf(name);
    if (id === 0) continue;
    for (const held of writer.uses(id).held) wanted.add(held);
    yield `    ${tsKey(name)}: ${writer.body(id, "    ")};\n`;
  }
}
