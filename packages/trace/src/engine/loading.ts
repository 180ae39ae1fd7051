/** Reads a trace into an OpenTrace while engines show what is there so far. */
import { TraceBuilder } from "../model/builder.ts";
import type { TraceSink } from "../model/sink.ts";
import type { ReadOptions } from "../read/read.ts";
import { OpenTrace } from "./open-trace.ts";

export interface LoadOptions {
  readonly name: string;
  /** 0 when it is not known. */
  readonly totalBytes: number;
  /** Reads all there is into the sink and closes it, as `readTrace` does. @throws what went wrong, in words */
  read(sink: TraceSink, options: ReadOptions): Promise<{ readonly bytesRead: number }>;
  readonly defer?: (task: () => void) => void;
}

/** @returns at once; `loaded` settles, and never rejects, when reading has ended one way or the other */
export function startLoading(options: LoadOptions): {
  readonly open: OpenTrace;
  readonly loaded: Promise<void>;
} {
  const builder = new TraceBuilder();
  const abort = new AbortController();
  const open = new OpenTrace({
    trace: builder.trace,
    name: options.name,
    totalBytes: options.totalBytes,
    stop: () => abort.abort(),
    ...(options.defer && { defer: options.defer }),
  });
  return { open, loaded: load(open, builder, options, abort.signal) };
}

async function load(
  open: OpenTrace,
  builder: TraceBuilder,
  options: LoadOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    const { bytesRead } = await options.read(builder, {
      signal,
      onProgress: (progress) => open.progress(progress.bytesRead),
    });
    open.progress(bytesRead);
    open.finish();
  } catch (error) {
    // The reader did not close the builder: what arrived so far is closed here, so that it can be shown.
    builder.close();
    if (signal.aborted) open.finish();
    else open.fail(messageOf(error), hintOf(error));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
function hintOf(error: unknown): string {
  const { fix, hint } = error as { fix?: unknown; hint?: unknown };
  return typeof fix === "string" ? fix : typeof hint === "string" ? hint : "";
}
