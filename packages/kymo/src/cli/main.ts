/** The command line: finds the command, runs it, and turns errors into words and an exit status. */
import { FormatError } from "@kymo/trace/format";
import { nearest } from "./arguments.ts";
import { type Command, UsageError, UserError } from "./command.ts";
import { printable } from "./printable.ts";
import { version } from "./version.ts";

export { version };

const commands: { readonly [name: string]: () => Promise<{ readonly command: Command }> } = {
  record: () => import("./commands/record.ts"),
  probe: () => import("./commands/probe.ts"),
  open: () => import("./commands/open.ts"),
  query: () => import("./commands/query.ts"),
  info: () => import("./commands/info.ts"),
  convert: () => import("./commands/convert.ts"),
  types: () => import("./commands/types.ts"),
  doctor: () => import("./commands/doctor.ts"),
};

export const commandNames: readonly string[] = Object.keys(commands);

/** Runs one command line. @returns the exit status: 0 done, 1 the job failed, 2 wrong usage. */
export async function main(argv: readonly string[]): Promise<number> {
  const [name, ...args] = argv;
  try {
    if (name === undefined || name === "help" || name === "--help" || name === "-h") {
      const topic = name === "help" ? args[0] : undefined;
      console.log(topic === undefined ? await help() : (await load(topic)).help);
      return name === undefined ? 2 : 0;
    }
    if (name === "--version" || name === "-V") {
      console.log(`kymo ${version}`);
      return 0;
    }
    const command = await load(name);
    const end = args.indexOf("--");
    if ((end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h")) {
      console.log(command.help);
      return 0;
    }
    return await command.run(args);
  } catch (error) {
    return explain(error, name);
  }
}

async function load(name: string): Promise<Command> {
  const loader = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (loader === undefined) {
    const near = nearest(name, commandNames);
    throw new UsageError(
      `unknown command ${name}${near === undefined ? "" : `: did you mean ${near}?`}`,
    );
  }
  return (await loader()).command;
}

async function help(): Promise<string> {
  const lines = await Promise.all(
    commandNames.map(async (name) => `  ${name.padEnd(10)}${(await load(name)).summary}`),
  );
  return `kymo ${version}: all kinds of system events on one zoomable timeline\n\nUsage: kymo COMMAND [ARGS]\n\n${lines.join("\n")}\n\n  kymo help COMMAND shows a command's flags and examples.`;
}

function explain(error: unknown, name: string | undefined): number {
  if (error instanceof UserError) {
    console.error(error.message);
    if (error.fix !== undefined) console.error(`  fix: ${error.fix}`);
    if (!(error instanceof UsageError)) return 1;
    console.error(
      `  see: kymo ${name !== undefined && Object.hasOwn(commands, name) ? `${name} ` : ""}--help`,
    );
    return 2;
  }
  if (error instanceof FormatError) {
    console.error(printable(error.message));
    return 1;
  }
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === "EPIPE") return 0;
  if (typeof code === "string" && /^E[A-Z]+$/.test(code)) {
    console.error((error as Error).message);
    return 1;
  }
  throw error; // a defect of kymo: the stack trace is wanted
}
