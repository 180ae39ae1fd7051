/** One line of `kymo doctor`: something that works here or not, why not, and what would change that. */
export interface Check {
  readonly group: string;
  readonly name: string;
  /** undefined: neither good nor bad, just how it is. */
  readonly ok: boolean | undefined;
  /** What was found, or why it does not work. */
  readonly detail: string;
  readonly fix?: string;
}

export const groups = {
  machine: "This machine",
  rights: "Rights",
  record: "What can be recorded (each was tried just now)",
  probes: "What can be probed (each was tried just now)",
  names: "Names of functions",
  files: "Files and tools",
} as const;

/** Collects checks of one group; `name` is asked once. */
export class Checks {
  readonly all: Check[] = [];
  readonly #group: string;
  constructor(group: string) {
    this.#group = group;
  }
  note(name: string, detail: string): void {
    this.all.push({ group: this.#group, name, ok: undefined, detail });
  }
  yes(name: string, detail: string): void {
    this.all.push({ group: this.#group, name, ok: true, detail });
  }
  no(name: string, detail: string, fix?: string): void {
    this.all.push({
      group: this.#group,
      name,
      ok: false,
      detail,
      ...(fix === undefined ? {} : { fix }),
    });
  }
}

/** The first line of whatever was thrown. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0]!;
}
