/**
 * The engine in a browser worker. The page's worker file is two lines:
 *
 *     import { startEngineWorker } from "@kymo/trace/engine";
 *     startEngineWorker();
 */

import { readTrace } from "../read/read.ts";
import { Engine, EngineError, type OpenRequest } from "./engine.ts";
import { type LoadOptions, startLoading } from "./loading.ts";
import type { PageMessage } from "./protocol.ts";

/** The part of a worker's global scope that is used. */
export interface WorkerScope {
  onmessage: ((event: MessageEvent) => unknown) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

export function startEngineWorker(
  scope: WorkerScope = globalThis as unknown as WorkerScope,
): Engine {
  const defer = messageTurn();
  const engine = new Engine({
    kind: "worker",
    post: (message, transfer) => scope.postMessage(message, transfer),
    load: (request) => startLoading({ ...inputOf(request), defer }).open,
    defer,
  });
  scope.onmessage = (event) => engine.handle(event.data as PageMessage);
  return engine;
}

/** A turn of the event loop without the 4 ms that nested timers cost in browsers. */
function messageTurn(): (task: () => void) => void {
  const channel = new MessageChannel();
  const tasks: (() => void)[] = [];
  channel.port1.onmessage = () => tasks.shift()?.();
  return (task) => {
    tasks.push(task);
    channel.port2.postMessage(0);
  };
}

/** What the page named, as a stream: a file and a URL are never held whole. */
function inputOf({ name, bytes, file, url }: OpenRequest): LoadOptions {
  if (bytes !== undefined)
    return {
      name,
      totalBytes: bytes.length,
      read: (sink, options) => readTrace(pieces(bytes), name, sink, options),
    };
  if (file !== undefined)
    return {
      name,
      totalBytes: file.size,
      read: (sink, options) => readTrace(file.stream(), name, sink, options),
    };
  return {
    name,
    totalBytes: 0,
    read: async (sink, options) =>
      readTrace(await fetched(url ?? "", options.signal), name, sink, options),
  };
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const size = 1024 * 1024;
  for (let at = 0; at < Math.max(1, bytes.length); at += size) yield bytes.subarray(at, at + size);
}

async function fetched(
  url: string,
  signal: AbortSignal | undefined,
): Promise<ReadableStream<Uint8Array>> {
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null, credentials: "omit" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new EngineError(
      `${url} could not be fetched`,
      "is it reachable, and does its server allow other pages to read it (CORS: Access-Control-Allow-Origin)?",
    );
  }
  if (!response.ok)
    throw new EngineError(
      `${url} answered ${response.status} ${response.statusText}`.trim(),
      "check the address",
    );
  if (response.body === null) throw new EngineError(`${url} sent nothing`, "check the address");
  return response.body;
}
