/** `kymo open`: the timeline of a trace file, in the browser. */
import { openBrowser } from "../../server/browser.ts";
import { serveTrace, type TraceServer } from "../../server/serve.ts";
import { helpFlags, parseFlags } from "../arguments.ts";
import { type Command, UsageError } from "../command.ts";

const flags = {
  port: {
    type: "number",
    short: "p",
    value: "N",
    help: "port to serve on; any free one if left out",
  },
  host: {
    type: "string",
    value: "ADDRESS",
    help: "address to listen on; 0.0.0.0 lets other machines in, if they have the link",
    default: "127.0.0.1",
  },
  "no-browser": { type: "boolean", help: "only print the link" },
} as const;

export const command: Command = {
  summary: "show a trace file as a timeline in the browser",
  help: `Usage: kymo open [FLAGS] FILE…

Serves the timeline on this machine and prints its link, until Ctrl-C. The link
carries a secret token: whoever has it can see the trace. FILE may be any trace
that kymo reads, also .gz or .zst; several files get a link each.

Flags:
${helpFlags(flags)}

Examples:
  kymo open trace.pftrace
  kymo open --no-browser --port 9000 before.json after.json.gz`,
  run: async (args) => {
    const { values, positionals, rest } = parseFlags(flags, args);
    const files = [...positionals, ...(rest ?? [])];
    if (files.length === 0) throw new UsageError("kymo open needs a file: kymo open FILE");
    const { port } = values;
    if (
      port !== undefined &&
      !(Number.isInteger(port) && port >= 0 && port + files.length <= 65_536)
    )
      throw new UsageError(`--port must be a whole number from 0 to 65535, not ${port}`);
    return openTraces(files, {
      host: values.host,
      ...(port !== undefined && { port }),
      browser: !values["no-browser"],
    });
  },
};

export interface OpenOptions {
  readonly host?: string;
  /** Of the first file; those after it take the next ones. */
  readonly port?: number;
  /** Open the links in a browser too. Default: true. */
  readonly browser?: boolean;
}

/**
 * Serves every file until SIGINT or SIGTERM.
 * @returns the exit status
 * @throws UserError, FormatError when a file cannot be read: nothing is served then
 */
export async function openTraces(
  files: readonly string[],
  options: OpenOptions = {},
): Promise<number> {
  const stopped = stopSignal();
  const servers: TraceServer[] = [];
  try {
    for (const [i, file] of files.entries()) {
      const port = options.port ? options.port + i : 0;
      const server = serveTrace(file, { port, ...(options.host && { host: options.host }) });
      const served = await Promise.race([server, stopped.signal]);
      if (served === undefined) {
        servers.push(await server.catch(() => noServer));
        return 0;
      }
      servers.push(served);
    }
    for (const [i, { url }] of servers.entries()) {
      console.log(files.length === 1 ? url : `${files[i]}: ${url}`);
      if (options.browser !== false) openBrowser(url);
    }
    if (process.stdout.isTTY) console.error("Ctrl-C stops serving.");
    const failure = await Promise.race([stopped.signal, ...servers.map((server) => server.broken)]);
    if (failure === undefined) return 0;
    throw failure;
  } finally {
    stopped.forget();
    await Promise.all(servers.map((server) => server.close()));
  }
}
const noServer: TraceServer = {
  url: "",
  port: 0,
  broken: new Promise(() => {}),
  close: async () => {},
};

/** Resolves on the first Ctrl-C; a second one ends the program at once, as is usual. */
function stopSignal(): { readonly signal: Promise<undefined>; forget(): void } {
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  let stop = (): void => {};
  const forget = (): void => {
    for (const name of names) process.off(name, stop);
  };
  const signal = new Promise<undefined>((resolve) => {
    stop = () => {
      forget();
      resolve(undefined);
    };
    for (const name of names) process.on(name, stop);
  });
  return { signal, forget };
}
