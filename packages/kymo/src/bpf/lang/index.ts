/**
 * Probe files to what runs in the kernel.
 *
 *     files ─ modules.ts: run in Node ─► attach calls, maps, functions with their syntax and captured values
 *           ─ attach.ts: ask the kernel what each place is ─► lower.ts: handler by handler ─► ProbeSet
 */
import { type Probe, ProbeError, type ProbeSet } from "../program.ts";
import type { Kernel } from "../schema.ts";
import { probesOf } from "./attach.ts";
import { Types } from "./data-type.ts";
import { ProbeErrors } from "./errors.ts";
import { type ParsedModule, probeModule } from "./instrument.ts";
import type { Unit } from "./lower.ts";
import { Modules, oneLiner } from "./modules.ts";
import { Registry } from "./registry.ts";
import { isRepeatable } from "./repeatable.ts";
import { Session } from "./session.ts";
import { type Node, parse, references } from "./syntax.ts";

export interface LoadOptions {
  /** What probe files see behind process.argv[1]. */
  readonly argv?: readonly string[];
  /** Probes of user programs are for this process only. */
  readonly pid?: number;
  /** The process that is recorded, with its descendants: `targetPid()`. None: everything is. */
  readonly target?: number;
}

/**
 * Runs probe files and compiles their handlers.
 *
 * @throws ProbeError for everything that is wrong in them, at its place; ProbeErrors when it is more than one thing
 */
export async function loadProbes(
  files: readonly string[] | { readonly code: string },
  kernel: Kernel,
  options: LoadOptions = {},
): Promise<ProbeSet> {
  const session = new Session({ arch: kernel.arch, target: options.target });
  const modules = new Modules(session.values, (module: ParsedModule, call, callee) =>
    session.called(module, call, callee),
  );
  session.functionOf = (value) =>
    typeof value === "function" ? modules.functions.get(value) : undefined;
  const { argv } = process;
  try {
    if ("code" in files) {
      process.argv = [argv[0]!, "-e", ...(options.argv ?? [])];
      await modules.runCode(withImports(files.code, Object.keys(session.values)));
    } else
      for (const file of files) {
        process.argv = [argv[0]!, file, ...(options.argv ?? [])];
        await modules.runFile(file);
      }
  } finally {
    process.argv = argv;
    modules.close();
  }
  const types = new Types(modules);
  const registry = new Registry(types);
  const unit: Unit = { session, kernel, registry, types, errors: [] };
  const probes: Probe[] = [];
  for (const attach of session.attached) {
    try {
      probes.push(...probesOf({ unit, files: modules.files, pid: options.pid }, attach));
    } catch (error) {
      if (!(error instanceof ProbeError)) throw error;
      unit.errors.push(error);
    }
  }
  if (unit.errors.length === 0 && probes.length === 0)
    throw new ProbeError(
      "nothing is attached: no file calls tracepoint, uprobe or another attach function",
    );
  if (unit.errors.length > 0) throw ProbeErrors.of(unit.errors);
  return {
    files: modules.files,
    probes,
    sites: registry.sites,
    eventTypes: session.eventTypes,
    aggregations: registry.aggregations,
    maps: registry.maps,
    ring: registry.ring,
    losses: registry.losses,
    notes: [...registry.notes],
    repeatable: isRepeatable(modules.parsed),
  };
}

/** A one-liner needs no imports: it has all of kymo/probe that it names and doesn't declare itself. */
function withImports(code: string, names: readonly string[]): string {
  const program = parse({ path: oneLiner, text: code });
  const named = references(program);
  const declared = new Set(program.body.flatMap(declaredNames));
  const used = names.filter((name) => named.has(name) && !declared.has(name));
  // Behind it, so that places in it stay what they are.
  return used.length === 0
    ? code
    : `${code}\nimport { ${used.join(", ")} } from ${JSON.stringify(probeModule)};`;
}

function declaredNames(node: Node): string[] {
  switch (node.type) {
    case "ImportDeclaration":
      return node.specifiers.map(({ local }) => local.name);
    case "VariableDeclaration":
      return node.declarations.flatMap(({ id }) => [...references(id)]);
    case "FunctionDeclaration":
    case "ClassDeclaration":
      return node.id === null ? [] : [node.id.name];
    default:
      return [];
  }
}

export { ProbeErrors };
