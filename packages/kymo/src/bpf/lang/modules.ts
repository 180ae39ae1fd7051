/**
 * Runs probe files in Node, from the imports up. Each module is a data: URL of its own; what it imports from other probe
 * files comes through a second, generated one that exports the values of the module that has run:
 *
 *     a.ts ── imports ./b.ts ──►  data:…b  (run first)
 *                                 data:…export const { f } = values of b   ◄── imported by data:…a
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { SourceFile } from "../ir.ts";
import { suggestions } from "../kernel/suggest.ts";
import { ProbeError } from "../program.ts";
import {
  type Import,
  type Instrumented,
  importedName,
  instrument,
  type ParsedModule,
  parsedModule,
  probeModule,
  sourceUrl,
} from "./instrument.ts";
import { type FunctionNode, parse, references, semanticError } from "./syntax.ts";

/** A function of a module that has run: its syntax, and the values of the names it uses. */
export interface FunctionRecord {
  readonly module: ParsedModule;
  readonly node: FunctionNode;
  readonly scope: Readonly<Record<string, () => unknown>>;
}

type Namespace = Readonly<Record<string, unknown>>;

/** What instrumented modules call, by session: under Symbol.for("kymo.probe") of the global object. */
interface Hooks {
  call(file: number, call: number, callee: unknown): unknown;
  fn(file: number, id: number, value: unknown, scope: FunctionRecord["scope"]): unknown;
  import(file: number, specifier: string): Promise<Namespace>;
  meta(file: number): object;
  values(file: number): Namespace;
}

const registryKey = Symbol.for("kymo.probe");
const globals = globalThis as Record<symbol, unknown>;
if (globals[registryKey] === undefined) globals[registryKey] = new Map();
const registry = globals[registryKey] as Map<string, Hooks>;
let sessions = 0;

/** What errors call code that has no file. */
export const oneLiner = "one-liner.ts";

export class Modules {
  /** By file index; the trees too. */
  readonly parsed: ParsedModule[] = [];
  readonly functions: WeakMap<object, FunctionRecord> = new WeakMap();
  readonly #session: string = `${process.pid}.${++sessions}`;
  readonly #byPath = new Map<string, ParsedModule>();
  readonly #running = new Map<string, Promise<Namespace>>();
  readonly #values = new Map<number, Namespace>();
  readonly #probeValues: Namespace;

  /**
   * @param probeValues what `kymo/probe` exports to the modules of this session
   * @param called      told of each call of a function of kymo/probe: what is called instead
   */
  constructor(
    probeValues: Namespace,
    called: (module: ParsedModule, call: number, callee: unknown) => unknown,
  ) {
    this.#probeValues = probeValues;
    registry.set(this.#session, {
      call: (file, call, callee) => called(this.parsed[file]!, call, callee),
      fn: (file, id, value, scope) => {
        const module = this.parsed[file]!;
        this.functions.set(value as object, { module, node: module.functions[id]!, scope });
        return value;
      },
      import: (file, specifier) => this.#importDynamically(this.parsed[file]!, specifier),
      meta: (file) => metaOf(this.parsed[file]!.source.path),
      values: (file) => (file < 0 ? this.#probeValues : this.#values.get(file)!),
    });
  }

  get files(): readonly SourceFile[] {
    return this.parsed.map(({ source }) => source);
  }

  /** Modules keep what they hold until the process ends, but can no longer call in. */
  close(): void {
    registry.delete(this.#session);
  }

  /** @throws ProbeError for syntax errors, import cycles, files that are not there, and what the module throws. */
  async runFile(file: string): Promise<Namespace> {
    return this.#run(path.resolve(file), []);
  }

  async runCode(code: string): Promise<Namespace> {
    const module = this.#parse(oneLiner, code);
    return this.#runModule(module, []);
  }

  /** A module's tree, parsed but not run, for its types. undefined when it can't be read. */
  typesOf(from: ParsedModule, specifier: string): ParsedModule | undefined {
    if (!isRelative(specifier)) return undefined;
    const file = resolveRelative(from.source.path, specifier);
    if (file === undefined || !isScript(file)) return undefined;
    return this.#byPath.get(file) ?? this.#parse(file, readFileSync(file, "utf8"));
  }

  #parse(file: string, text: string): ParsedModule {
    const source = { path: file, text };
    const module = parsedModule(this.parsed.length, source, parse(source));
    this.parsed.push(module);
    this.#byPath.set(file, module);
    return module;
  }

  #run(file: string, chain: readonly string[], at?: Place): Promise<Namespace> {
    if (chain.includes(file)) {
      const cycle = [...chain.slice(chain.indexOf(file)), file].map((one) => path.basename(one));
      throw new ProbeError(
        `these files import each other: ${cycle.join(" → ")}`,
        at,
        "move what they share to a file of its own",
      );
    }
    let run = this.#running.get(file);
    if (run === undefined) {
      run = this.#read(file, chain, at);
      this.#running.set(file, run);
    }
    return run;
  }

  async #read(file: string, chain: readonly string[], at?: Place): Promise<Namespace> {
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      throw new ProbeError(`can't read ${file}: ${(error as NodeJS.ErrnoException).code}`, at);
    }
    return this.#runModule(this.#byPath.get(file) ?? this.#parse(file, text), chain);
  }

  async #runModule(module: ParsedModule, chain: readonly string[]): Promise<Namespace> {
    const instrumented: Instrumented = instrument(module, this.#session);
    const addresses = new Map<string, string>();
    for (const one of instrumented.imports) {
      if (!addresses.has(one.specifier))
        addresses.set(one.specifier, await this.#address(module, one, chain));
    }
    const text = instrumented.text(({ specifier }) => addresses.get(specifier)!);
    let values: Namespace;
    try {
      values = (await import(/* @vite-ignore */ dataUrl(text))) as Namespace;
    } catch (error) {
      throw error instanceof SyntaxError
        ? (semanticError(module.source) ?? thrownBy(error, this.files))
        : thrownBy(error, this.files);
    }
    this.#values.set(module.file, values);
    return values;
  }

  async #address(module: ParsedModule, at: Import, chain: readonly string[]): Promise<string> {
    const { specifier } = at;
    if (specifier === probeModule) {
      checkNames(module, specifier, this.#probeValues);
      return this.#facade(-1, this.#probeValues);
    }
    const place = { file: module.source, offset: at.start };
    const file = absoluteOf(specifier, module.source.path, place);
    if (!path.isAbsolute(file)) return file;
    if (!isRelative(specifier) || !isScript(file)) return pathToFileURL(file).href;
    const values = await this.#run(file, [...chain, module.source.path], place);
    checkNames(module, specifier, values);
    return this.#facade(this.#byPath.get(file)!.file, values);
  }

  #facade(file: number, values: Namespace): string {
    const names = Object.keys(values).filter((name) => name !== "default");
    const from = `globalThis[Symbol.for("kymo.probe")].get(${JSON.stringify(this.#session)}).values(${file})`;
    const rest = "default" in values ? "export default m.default;" : "";
    return dataUrl(`const m = ${from}; export const { ${names.join(", ")} } = m; ${rest}`);
  }

  async #importDynamically(module: ParsedModule, specifier: string): Promise<Namespace> {
    if (specifier === probeModule) return this.#probeValues;
    const file = absoluteOf(specifier, module.source.path, undefined);
    if (isRelative(specifier) && isScript(file)) return this.#run(file, [module.source.path]);
    const url = path.isAbsolute(file) ? pathToFileURL(file).href : file;
    return (await import(/* @vite-ignore */ url)) as Namespace;
  }
}

/** @throws ProbeError for an imported value that the module doesn't export */
function checkNames(module: ParsedModule, from: string, values: Namespace): void {
  const used = references(module.program);
  for (const node of module.program.body) {
    if (node.type !== "ImportDeclaration" || node.source.value !== from) continue;
    for (const specifier of node.specifiers) {
      const name = importedName(specifier);
      const isType = node.importKind === "type" || !used.has(specifier.local.name);
      if (name === "*" || isType || name in values) continue;
      const near = suggestions(name, Object.keys(values))[0];
      throw new ProbeError(
        `${from} exports no ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
        { file: module.source, offset: specifier.start },
      );
    }
  }
}

type Place = { readonly file: SourceFile; readonly offset: number } | undefined;

function dataUrl(text: string): string {
  return `data:text/javascript;charset=utf-8,${encodeURIComponent(text)}`;
}

const isRelative = (specifier: string) => /^\.{1,2}\/|^\//.test(specifier);
const isScript = (file: string) => /\.[cm]?[jt]s$/.test(file);

/** A file's path, or a specifier that Node knows by itself (node:fs). */
function absoluteOf(specifier: string, from: string, at: Place): string {
  if (specifier.startsWith("node:") || specifier.startsWith("data:")) return specifier;
  if (isRelative(specifier)) {
    const file = resolveRelative(from, specifier);
    if (file !== undefined) return file;
    throw new ProbeError(`there is no ${specifier} beside this file`, at);
  }
  try {
    const base = path.isAbsolute(from) ? from : path.join(process.cwd(), from);
    return createRequire(base).resolve(specifier);
  } catch {
    throw new ProbeError(`can't find the package ${specifier} from here`, at, "is it installed?");
  }
}

/** `./x.js` may be written for x.ts, and `./x` for either. */
function resolveRelative(from: string, specifier: string): string | undefined {
  const file = path.resolve(path.dirname(from), specifier);
  const candidates = [file, file.replace(/\.js$/, ".ts"), `${file}.ts`, `${file}.js`];
  return candidates.find((candidate) => isScriptOrData(candidate) && existsSync(candidate));
}

const isScriptOrData = (file: string) => path.extname(file) !== "";

function metaOf(file: string): object {
  const url = sourceUrl(file);
  return {
    url,
    filename: file,
    dirname: path.dirname(file),
    resolve: (specifier: string) => new URL(specifier, url).href,
  };
}

/** What a module threw while it ran, at the place of it that the stack names. */
function thrownBy(error: unknown, files: readonly SourceFile[]): ProbeError {
  if (error instanceof ProbeError && error.file !== undefined) return error;
  const fix = error instanceof ProbeError ? error.fix : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  for (const line of stack.split("\n")) {
    // By the name that it gives itself, or by all of its text.
    const file = files.find(
      ({ path: file }) =>
        line.includes(`${sourceUrl(file)}:`) ||
        line.includes(encodeURIComponent(`# sourceURL=${sourceUrl(file)}\n`)),
    );
    const place = /:(\d+):(\d+)\)?$/.exec(line);
    if (file === undefined || place === null) continue;
    const before = file.text.split("\n").slice(0, Number(place[1]) - 1);
    const offset = before.reduce((sum, text) => sum + text.length + 1, 0);
    const indent = /^\s*/.exec(file.text.slice(offset))![0].length;
    return new ProbeError(message, { file, offset: offset + indent }, fix);
  }
  return new ProbeError(message, undefined, fix);
}
