/** A shipped probe on a real workload: through the built command line, and its trace through SQL. */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const kymo: string =
  process.env["KYMO"] ?? fileURLToPath(new URL("../../kymo/bin/kymo.mjs", import.meta.url));
export const probeFile = (name: string): string =>
  fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Rows of a query over the trace. */
  query(sql: string): Record<string, unknown>[];
  /** The first column of the first row, as a number. */
  count(sql: string): number;
}

/** A folder of the test's own; call `clean` after. */
export class Workplace {
  readonly dir: string = mkdtempSync(path.join(tmpdir(), "kymo-probes-"));
  #traces = 0;

  path(name: string): string {
    return path.join(this.dir, name);
  }
  write(name: string, text: string): string {
    const file = this.path(name);
    writeFileSync(file, text);
    return file;
  }

  /**
   * A copy of a command, by a name that nobody else's has: probes see the whole machine, and tests run beside each other.
   * @returns its path; its last part is the name of its threads, too.
   */
  own(command: string): string {
    const folders = (process.env["PATH"] ?? "").split(path.delimiter);
    const found = folders.map((folder) => path.join(folder, command)).find(existsSync);
    const copy = this.path(`${command}${process.pid}`);
    if (found !== undefined) copyFileSync(found, copy);
    return copy;
  }

  /** A C program, compiled. */
  compile(name: string, source: string, ...flags: readonly string[]): string {
    const file = this.write(`${name}.c`, source);
    const out = this.path(name);
    const { status, stderr } = spawnSync("cc", ["-O1", "-g", "-o", out, file, ...flags], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`cc ${name}.c: ${stderr}`);
    return out;
  }

  /** `kymo probe FILE ARGS -o trace -- COMMAND`. */
  probe(
    name: string,
    command: readonly string[],
    options: { readonly args?: readonly string[]; readonly flags?: readonly string[] } = {},
  ): Ran {
    const file = [probeFile(name), ...(options.args ?? [])];
    return this.run(name, ["probe", ...file, ...(options.flags ?? []), "--", ...command]);
  }

  /** `kymo record FLAGS -o trace -- COMMAND`; without a command, what the flags say. */
  record(command: readonly string[], flags: readonly string[] = []): Ran {
    return this.run("record", [
      "record",
      ...flags,
      ...(command.length > 0 ? ["--"] : []),
      ...command,
    ]);
  }

  /** `kymo SUBCOMMAND -o trace ARGS`. */
  run(name: string, [subcommand, ...args]: readonly [string, ...string[]]): Ran {
    const trace = this.path(`${name}-${this.#traces++}.pftrace`);
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [kymo, subcommand, "-o", trace, ...args],
      { encoding: "utf8", cwd: this.dir, timeout: 50_000 },
    );
    const query = (sql: string): Record<string, unknown>[] => {
      const result = spawnSync(process.execPath, [kymo, "query", trace, sql, "--format", "json"], {
        encoding: "utf8",
      });
      if (result.status !== 0) throw new Error(`kymo query: ${result.stderr}\n${stderr}`);
      return JSON.parse(result.stdout) as Record<string, unknown>[];
    };
    return {
      status,
      stdout,
      stderr,
      query,
      count: (sql) => Number(Object.values(query(sql)[0] ?? {})[0]),
    };
  }

  /** `kymo probe -e CODE -- bash -c SCRIPT`, on the terminal. */
  oneLiner(code: string, script: string): Pick<Ran, "status" | "stdout" | "stderr"> {
    return spawnSync(process.execPath, [kymo, "probe", "-e", code, "--", "bash", "-c", script], {
      encoding: "utf8",
      cwd: this.dir,
      timeout: 50_000,
    });
  }

  clean(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
