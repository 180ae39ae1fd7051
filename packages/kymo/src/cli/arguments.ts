/** Command-line flags: declared once, parsed strictly, printed as help; unknown names suggest the nearest. */
import { UsageError } from "./command.ts";

export interface Flag {
  readonly type: "boolean" | "string" | "number";
  readonly short?: string;
  /** Shown after the name in the help: FILE, SECS, … */
  readonly value?: string;
  readonly help: string;
  readonly default?: string | number | boolean;
  /** The flag may be given more than once; its value is then a list. */
  readonly many?: boolean;
}
export type Flags = { readonly [name: string]: Flag };
type ValueOf<Type extends Flag["type"]> = Type extends "boolean"
  ? boolean
  : Type extends "number"
    ? number
    : string;
export type Values<F extends Flags> = {
  readonly [Name in keyof F]: F[Name]["many"] extends true
    ? readonly ValueOf<F[Name]["type"]>[]
    : F[Name] extends { readonly default: unknown }
      ? ValueOf<F[Name]["type"]>
      : ValueOf<F[Name]["type"]> | undefined;
};
export interface Parsed<F extends Flags> {
  readonly values: Values<F>;
  readonly positionals: readonly string[];
  /** Everything after `--`, or undefined when there was no `--`. */
  readonly rest: readonly string[] | undefined;
}

/**
 * Parses `argv` against `flags`. Flags may stand anywhere before `--`; `--name=value` and `--name value` both work.
 * `options.stopAtPositional`: the first positional ends the flags (for `kymo record CMD ARGS…`).
 * @throws UsageError for an unknown flag (with the nearest name), a missing or malformed value.
 */
export function parseFlags<const F extends Flags>(
  flags: F,
  argv: readonly string[],
  options: { readonly stopAtPositional?: boolean } = {},
): Parsed<F> {
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) values[name] = flag.many ? [] : flag.default;
  const positionals: string[] = [];
  let rest: string[] | undefined;
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === "--") {
      rest = argv.slice(i + 1);
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      positionals.push(arg);
      if (!options.stopAtPositional) continue;
      positionals.push(...argv.slice(i + 1));
      break;
    }
    const equals = arg.startsWith("--") ? arg.indexOf("=") : -1;
    const given = equals < 0 ? arg : arg.slice(0, equals);
    const name = nameOf(flags, given);
    const flag = flags[name]!;
    if (flag.type === "boolean") {
      if (equals >= 0) throw new UsageError(`${given} takes no value`);
      values[name] = true;
      continue;
    }
    const text = equals >= 0 ? arg.slice(equals + 1) : argv[++i];
    if (text === undefined)
      throw new UsageError(`${given} needs a value: ${given} ${flag.value ?? "VALUE"}`);
    const value = flag.type === "number" ? Number(text) : text;
    if (flag.type === "number" && (text.trim() === "" || Number.isNaN(value)))
      throw new UsageError(`${given} needs a number, not "${text}"`);
    if (flag.many) (values[name] as unknown[]).push(value);
    else values[name] = value;
  }
  return { values: values as Values<F>, positionals, rest };
}

function nameOf(flags: Flags, given: string): string {
  if (given.startsWith("--") && Object.hasOwn(flags, given.slice(2))) return given.slice(2);
  for (const [name, flag] of Object.entries(flags)) if (given === `-${flag.short}`) return name;
  const names = Object.keys(flags).map((name) => `--${name}`);
  const near = nearest(given, names);
  throw new UsageError(
    `unknown flag ${given}${near === undefined ? "" : `: did you mean ${near}?`}`,
  );
}

/** The table of flags for a command's help. */
export function helpFlags(flags: Flags): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const head = `  ${flag.short ? `-${flag.short}, ` : "    "}--${name}${flag.type === "boolean" ? "" : ` ${flag.value ?? "VALUE"}`}`;
    const fallback =
      flag.default === undefined || flag.default === false || flag.default === ""
        ? ""
        : ` (default ${flag.default})`;
    return [head, `${flag.help}${fallback}`] as const;
  });
  const width = Math.min(30, Math.max(...rows.map(([head]) => head.length)) + 2);
  return rows
    .map(([head, help]) =>
      head.length + 2 > width ? `${head}\n${" ".repeat(width)}${help}` : head.padEnd(width) + help,
    )
    .join("\n");
}

/** The candidate closest to `text` by edit distance, when it is close enough to be what was meant. */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(text.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(text, candidate);
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++)
      row[j] = Math.min(
        previous[j]! + 1,
        row[j - 1]! + 1,
        previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    previous = row;
  }
  return previous[b.length]!;
}
