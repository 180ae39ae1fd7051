/**
 * A live view that is served: the page shows what its feed is given, and goes on showing it when the feed has ended.
 *
 *     capture worker ── batches ──► engine thread ── strips, tracks ──► this thread ── WebSocket ──► page
 */
import path from "node:path";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { openBrowser } from "../server/browser.ts";
import { hostLiveInThread } from "../server/engine-thread.ts";
import { serveTrace } from "../server/serve.ts";

export interface LiveOptions {
  /** Names the page; `/trace` serves it, once it is there. */
  readonly file: string;
  /** Default: any free port. */
  readonly port?: number;
  /** Default: loopback only. */
  readonly host?: string;
  /** Opens the link in a browser too. */
  readonly browser: boolean;
}
export interface LiveServer {
  /** The link with its token. */
  readonly url: string;
  /** For the capture: `teeToViewer` (capture-end.ts) in whichever thread it is transferred to. */
  readonly feed: MessagePort;
  /** Resolves if the engine dies; the recording does not need it. */
  readonly broken: Promise<Error>;
  close(): Promise<void>;
}

/** @throws UserError when the address cannot be served */
export async function serveLive(options: LiveOptions): Promise<LiveServer> {
  const { port1, port2 } = new MessageChannel();
  const engines = hostLiveInThread(path.basename(options.file), port2);
  const { url, broken, close } = await serveTrace(options.file, {
    engines,
    port: options.port ?? 0,
    ...(options.host !== undefined && { host: options.host }),
  });
  if (options.browser) openBrowser(url);
  return { url, feed: port1, broken, close };
}
