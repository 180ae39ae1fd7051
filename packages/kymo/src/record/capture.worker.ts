/**
 * Opens the events, drains and decodes their rings and writes the file, all in this one worker: the main thread may be
 * blocked as long as it likes without a loss.
 */
import { parentPort, workerData } from "node:worker_threads";
import { formats, type TraceSink } from "@kymo/trace";
import { AttachError } from "../sources/perf/attach.ts";
import { type PerfStats, source } from "../sources/perf/index.ts";
import type { CaptureRequest, FromWorker, Progress, StoppedBy, ToWorker } from "./messages.ts";
import { OutputError, OutputFile } from "./output.ts";

const progressIntervalNs = 200_000_000;

const request = workerData as CaptureRequest;
const port = parentPort!;
const post = (message: FromWorker): void => port.postMessage(message);

try {
  await record();
} catch (error) {
  // These are words for the user; anything else is a defect of kymo, and its stack is wanted.
  if (error instanceof AttachError)
    post({
      type: "failed",
      message: error.message,
      ...(error.fix === undefined ? {} : { fix: error.fix }),
    });
  else if (error instanceof OutputError) post({ type: "failed", message: error.message });
  else throw error;
} finally {
  port.close();
}

async function record(): Promise<void> {
  const output = new OutputFile(request.file, { maxBytes: request.maxBytes });
  const sink = await fileWriter(output);
  for (const [key, value] of request.metadata) sink.metadata(key, value);

  let stop: (reason: StoppedBy) => void = () => {};
  const stopped = new Promise<StoppedBy>((resolve) => {
    stop = resolve;
  });
  const progress = (stats: PerfStats): Progress => ({
    events: stats.events,
    lost: stats.lost,
    bytes: output.bytes,
    elapsedNs: stats.elapsedNs,
    ownCpuNs: stats.ownCpuNs,
  });
  let nextProgressNs = 0;
  const capture = await source.start(request.perf, sink, {
    onRound: (stats) => {
      if (output.stopped !== undefined) stop(output.stopped.reason);
      if (stats.elapsedNs < nextProgressNs) return;
      nextProgressNs = stats.elapsedNs + progressIntervalNs;
      post({ type: "progress", ...progress(stats) });
    },
  });
  port.on("message", (message: ToWorker) => stop(message.reason));
  const timer =
    request.seconds === Infinity
      ? undefined
      : setTimeout(() => stop("duration"), request.seconds * 1000);
  post({ type: "ready", notes: capture.notes });

  const reason = await Promise.race([stopped, capture.ended.then((): StoppedBy => "target-ended")]);
  clearTimeout(timer);
  await capture.stop();
  const stats = capture.stats;
  sink.close();
  output.close();
  const message = output.stopped?.message;
  post({
    type: "stopped",
    reason: output.stopped?.reason ?? reason,
    ...(message === undefined ? {} : { message }),
    ...progress(stats),
  });
}

async function fileWriter(output: OutputFile): Promise<TraceSink> {
  const format = formats.find(({ name }) => name === "perfetto");
  if (format?.writer === undefined) throw new Error("the perfetto format has no writer");
  return format.writer((bytes) => output.write(bytes));
}
