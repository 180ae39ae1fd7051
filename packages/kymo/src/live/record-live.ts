/** A recording with its live view around it: `kymo record --live`. */
import { UserError } from "../cli/command.ts";
import { type RecordOptions, type RecordResult, record } from "../record/record.ts";
import { serveLive } from "./serve-live.ts";

export interface ViewOptions {
  /** Default: any free port. */
  readonly port?: number;
  /** Opens the link in a browser too. */
  readonly browser: boolean;
}

/**
 * As `record`; prints the link before the recording begins, and serves until Ctrl-C when it has ended. A recording that
 * was asked to end by SIGTERM or SIGHUP is not served on.
 *
 * @throws UserError when nothing can be recorded or served
 */
export async function recordLive(
  options: Omit<RecordOptions, "feed">,
  view: ViewOptions,
): Promise<RecordResult> {
  const live = await serveLive({ file: options.file ?? "probes", ...view });
  try {
    // Standard output is the command's.
    process.stderr.write(`live: ${live.url}\n`);
    let isBroken = false;
    void live.broken.then(({ message }) => {
      isBroken = true;
      process.stderr.write(`note: the live view has ended: ${message}\n`);
    });
    const result = await record({ ...options, feed: live.feed });
    const endsHere = result.signal !== undefined && result.signal !== "SIGINT";
    if (!result.recorded || endsHere || isBroken) return result;
    process.stderr.write(`  still live: ${live.url} until Ctrl-C\n`);
    const end = await Promise.race([untilSignal(), live.broken]);
    if (end instanceof Error) throw new UserError(end.message);
    return result;
  } finally {
    await live.close();
  }
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    const stop = (): void => {
      for (const name of names) process.off(name, stop);
      resolve();
    };
    for (const name of names) process.on(name, stop);
  });
}
