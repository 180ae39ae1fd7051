/**
 * Opens the events, drains and decodes their rings and writes the file, all in this one worker: the main thread may be
 * blocked as long as it likes without a loss.
 */
import { parentPort } from "node:worker_threads";
import { formats, type Ns, type TraceSink } from "@kymo/trace";
import { loadLibc } from "../linux/libc.ts";
import { teeToViewer } from "../live/capture-end.ts";
import { type BpfCapture, type BpfHooks, source as bpf } from "../sources/bpf/index.ts";
import { AttachError } from "../sources/perf/attach.ts";
import { type PerfHooks, type PerfStats, source as perf } from "../sources/perf/index.ts";
import { LineOutput } from "./lines.ts";
import type { CaptureRequest, FromWorker, Progress, StoppedBy, ToWorker } from "./messages.ts";
import { OutputError, OutputFile } from "./output.ts";
import { declarationsOnly, TerminalSink } from "./terminal.ts";

const progressIntervalNs = 200_000_000;

const port = parentPort!;
const post = (message: FromWorker): void => port.postMessage(message);

/** What the main thread says while recording. */
interface Orders {
  stop(reason: StoppedBy): void;
  costs(message: Extract<ToWorker, { readonly costs: unknown }>): void;
  version(message: Extract<ToWorker, { readonly version: number }>): void;
  tell(message: string): void;
}
const orders: Orders = { stop() {}, costs() {}, version() {}, tell() {} };

// The request may be long in coming: what it will need is loaded meanwhile.
loadLibc().catch(() => {}); // said when it is needed
port.on("message", (message: ToWorker) => {
  if (message.type === "start") void run(message.request);
  else if (message.type === "stop") orders.stop(message.reason);
  else if (message.type === "leave")
    process.exit(); // of this thread
  else if (message.type === "tell") orders.tell(message.message);
  else if ("version" in message) orders.version(message);
  else orders.costs(message);
});

async function run(request: CaptureRequest): Promise<void> {
  try {
    await record(request);
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
}

async function record(request: CaptureRequest): Promise<void> {
  const output =
    request.file === undefined
      ? undefined
      : new OutputFile(request.file, { maxBytes: request.maxBytes });
  const lines = new LineOutput();
  const written =
    output === undefined
      ? new TerminalSink(
          (line) => lines.line(line),
          () => {},
        )
      : await fileWriter(output);
  const sink = request.feed === undefined ? written : teeToViewer(written, request.feed);
  for (const [key, value] of request.metadata) sink.metadata(key, value);

  const stopped = new Promise<StoppedBy>((resolve) => {
    orders.stop = resolve;
  });
  const progress = (stats: PerfStats): Progress => ({
    events: stats.events,
    lost: stats.lost,
    bytes: output?.bytes ?? 0,
    elapsedNs: stats.elapsedNs,
    ownCpuNs: stats.ownCpuNs,
  });
  let nextProgressNs = 0;
  let nowNs = 0 as Ns;
  const hooks: PerfHooks = {
    inputSink: sink,
    prompt: output === undefined,
    onRound: (stats) => {
      lines.flush();
      if (lines.closed) orders.stop("asked");
      if (output?.stopped !== undefined) orders.stop(output.stopped.reason);
      nowNs = stats.elapsedNs;
      if (stats.elapsedNs < nextProgressNs) return;
      nextProgressNs = stats.elapsedNs + progressIntervalNs;
      post({ type: "progress", ...progress(stats) });
    },
  };
  const side = output === undefined ? declarationsOnly(sink) : sink;
  const probes =
    request.probes === undefined
      ? undefined
      : await bpf.start(
          {
            perf: request.perf,
            probes: request.probes,
            drawn: output !== undefined,
            live: request.feed !== undefined,
            replaceable: request.replaceable,
          },
          side,
          request.printing ? { ...hooks, ...printTo(lines) } : hooks,
        );
  const capture = probes ?? (await perf.start(request.perf, side, hooks));
  orders.costs = ({ costs }) => probes?.cost(nowNs, costs);
  orders.tell = (message) => probes?.tell(nowNs, message);
  orders.version = (message) => {
    const { version } = message;
    if (probes !== undefined)
      void versionDone(probes, message).then((refused) =>
        post({ type: "version", version, ...(refused === undefined ? {} : { refused }) }),
      );
  };
  const timer =
    request.seconds === Infinity
      ? undefined
      : setTimeout(() => orders.stop("duration"), request.seconds * 1000);
  post({ type: "ready", notes: capture.notes });

  const reason = await Promise.race([stopped, capture.ended.then((): StoppedBy => "target-ended")]);
  clearTimeout(timer);
  if (probes !== undefined) await detached(probes, () => nowNs);
  await capture.stop();
  const stats = capture.stats;
  sink.close();
  lines.flush();
  output?.close();
  const message = output?.stopped?.message;
  post({
    type: "stopped",
    reason: output?.stopped?.reason ?? reason,
    ...(message === undefined ? {} : { message }),
    ...progress(stats),
  });
}

function printTo(lines: LineOutput): Pick<BpfHooks, "onPrint" | "onReport"> {
  return {
    onPrint: (_, text) => lines.line(text),
    onReport: (report) => lines.line(report.join("\n")),
  };
}

/** @returns words when it could not be done */
async function versionDone(
  probes: BpfCapture,
  message: Extract<ToWorker, { readonly version: number }>,
): Promise<string | undefined> {
  try {
    if (message.type === "add") probes.add(message.version, message.probes);
    else if (message.type === "retire") await probes.retire(message.version);
    else probes.discard(message.version);
    return undefined;
  } catch (error) {
    if (error instanceof AttachError) return error.message;
    throw error;
  }
}

/** The main thread attached the probes and detaches them: what they still write is in the ring then. */
async function detached(probes: BpfCapture, now: () => Ns): Promise<void> {
  await new Promise<void>((resolve) => {
    orders.costs = (message) => {
      probes.cost(now(), message.costs);
      if (message.type === "detached") resolve();
    };
    post({ type: "stopping" });
  });
}

async function fileWriter(output: OutputFile): Promise<TraceSink> {
  const format = formats.find(({ name }) => name === "perfetto");
  if (format?.writer === undefined) throw new Error("the perfetto format has no writer");
  return format.writer((bytes) => output.write(bytes));
}
