import { writeFileSync } from "node:fs";
import { kernelTypes } from "../../bpf/kernel/vmlinux.ts";
import { typeDeclarations } from "../../bpf/types/index.ts";
import { loadLibc } from "../../linux/libc.ts";
import { findOrMountTracefs } from "../../linux/tracefs.ts";
import { type Flags, helpFlags, parseFlags } from "../arguments.ts";
import { type Command, UserError } from "../command.ts";

const flags = {
  output: {
    type: "string",
    short: "o",
    value: "FILE",
    default: "kernel.d.ts",
    help: "where to write; - is standard output",
  },
} as const satisfies Flags;

export const command: Command = {
  summary: "declarations of this kernel's events and structs, for editors and tsc",
  help: `Usage: kymo types [-o FILE] [STRUCT...]

Writes a .d.ts file with the tracepoints, raw tracepoints, system calls and structs of the running kernel. Beside a
probe file, it lets an editor complete fields and tsc check them; kymo probe itself needs no such file.

${helpFlags(flags)}

Structs that raw tracepoints have as arguments are there, and what they hold; name others that you cast to.

Examples:
  kymo types
  kymo types -o types/kernel.d.ts tcp_sock nf_conn`,
  run: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    if (process.platform !== "linux")
      throw new UserError("kymo types needs Linux: it reads the running kernel");
    const tracefs = findOrMountTracefs(await loadLibc());
    const types = kernelTypes();
    if (!tracefs.ok) console.error(`no tracepoints: ${tracefs.reason}\n  fix: ${tracefs.fix}`);
    if (types === undefined)
      console.error(
        "no raw tracepoints and structs: this kernel does not describe its types (BTF)",
      );
    const text = declare({
      structs: positionals,
      arch: process.arch === "arm64" ? "arm64" : "x64",
      tracefs: tracefs.ok ? tracefs.path : undefined,
      types,
    });
    if (values.output === "-") {
      process.stdout.write(text);
      return 0;
    }
    try {
      writeFileSync(values.output, text);
    } catch (error) {
      throw new UserError(`${values.output}: ${(error as NodeJS.ErrnoException).code}`);
    }
    console.error(`${values.output}: ${(text.length / 1024).toFixed(0)} KiB`);
    return 0;
  },
};

function declare(options: Parameters<typeof typeDeclarations>[0]): string {
  try {
    return typeDeclarations(options);
  } catch (error) {
    throw new UserError(error instanceof Error ? error.message : String(error));
  }
}
